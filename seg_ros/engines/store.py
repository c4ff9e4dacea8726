"""Where built engines are kept, and the checks an engine passes before a runtime sees it.

A TensorRT plan is code: deserialising one that was built elsewhere crashes at best. So every entry
has a manifest that says what it was built from, by what and for which GPU, with checksums, and
bytes are handed out only when all of it matches.

    engines/                              $SEG_ROS_ENGINES, else ~/.cache/seg_ros/engines
      segformer-b0-tensorrt-fp16-512x1024-1f0c.../
        manifest.json
        engine.plan
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from seg_ros import __version__
from seg_ros.engines.base import Platform
from seg_ros.errors import SegRosError
from seg_ros.support.json_text import parse_json

FORMAT = 1
"""Version of the manifest; raise it when its meaning changes."""

MANIFEST = "manifest.json"
_UNFINISHED = ".unfinished."

_TYPES = {
    "key.network": str,
    "key.platform.runtime": str,
    "plan.file": str,
    "plan.bytes": int,
    "plan.sha256": str,
    "verification.summary": str,
}
"""What is read of a manifest; whoever changes one can make its checksum right."""


class EngineMissingError(SegRosError):
    """The store has no engine of that key."""


class EngineRefusedError(SegRosError):
    """The store's engine of that key is stale, damaged, changed or not ours: it is not loaded."""


@dataclass(frozen=True)
class EngineKey:
    """What an engine is built from and for. Another value of any field is another engine."""

    network: str
    """SHA-256 of what the network is made from: ``Network.sha256`` in seg_ros.models.network."""
    input_size: tuple[int, int]
    """(H, W) of the network's input in pixels."""
    mask_size: tuple[int, int] | None
    """(H, W) of the mask that the engine decides itself, None where it gives logits only."""
    precision: str
    platform: Platform

    def as_dict(self) -> dict[str, Any]:
        """Return the key as JSON types."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values

    @property
    def digest(self) -> str:
        """Short name of the key, 16 hexadecimal digits."""
        return _digest(self.as_dict())[:16]


@dataclass(frozen=True)
class Entry:
    """An engine in the store whose manifest and plan have been checked."""

    folder: Path
    manifest: Mapping[str, Any]
    plan: bytes

    @property
    def summary(self) -> str:
        """How well it does what the reference does, for a log."""
        return str(self.manifest["verification"]["summary"])


def default_store() -> Path:
    """Return ``$SEG_ROS_ENGINES``, or ``seg_ros/engines`` in the user's cache folder."""
    chosen = os.environ.get("SEG_ROS_ENGINES")
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "seg_ros" / "engines"


class EngineStore:
    """A folder of engines.

    Args:
        folder: made when the first engine is stored.

    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_store()

    def load(self, key: EngineKey) -> Entry:
        """Return the entry of a key, every part of it checked.

        Raises:
            EngineMissingError: there is none; the message says what there is of the network.
            EngineRefusedError: there is one that must not be loaded; the message says why.
        """
        folder = self._folder(key)
        if folder is None:
            raise EngineMissingError(
                f"no {key.precision} engine for {key.platform.runtime} {key.platform.version} in "
                f"{self.folder}{self._near(key)}"
            )
        _check_owner(self.folder)
        _check_owner(folder)
        manifest = _read_manifest(folder)
        _check_key(folder, manifest, key)
        _check_manifest(folder, manifest)
        return Entry(folder, manifest, _read_plan(folder, manifest["plan"]))

    def save(self, name: str, key: EngineKey, plan: bytes, facts: Mapping[str, Any]) -> Entry:
        """Store an engine; an entry of the same key is replaced when the new one is whole.

        Args:
            name: of the model; the folder's name begins with it.
            key: what it was built from and for.
            plan: what the runtime deserialises.
            facts: further content of the manifest, JSON types: model, labels, verification...

        Raises:
            SegRosError: the store cannot be written; nothing already in it has changed.

        """
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "key": key.as_dict(),
            "plan": {
                "file": "engine.plan",
                "bytes": len(plan),
                "sha256": hashlib.sha256(plan).hexdigest(),
            },
            **facts,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "seg_ros": __version__,
        }
        manifest["sha256"] = _digest(manifest)
        height, width = key.input_size
        safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).lstrip(".") or "model"
        stem = f"{safe}-{key.platform.runtime}-{key.precision}-{height}x{width}"
        target = self.folder / f"{stem}-{key.digest}"
        work = self.folder / f"{_UNFINISHED}{os.getpid()}.{key.digest}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._clear_unfinished()
            work.mkdir(mode=0o700)
            _write(work / "engine.plan", plan)
            _write(work / MANIFEST, json.dumps(manifest, indent=2).encode() + b"\n")
            old = self._folder(key)
            if old is not None:
                old.rename(self.folder / f"{_UNFINISHED}{os.getpid()}.old.{key.digest}")
            work.rename(target)
            self._clear_unfinished(mine=True)
        except OSError as error:
            shutil.rmtree(work, ignore_errors=True)
            raise SegRosError(
                f"cannot store the engine in {self.folder}: {error.strerror or error}; make room, "
                "or set SEG_ROS_ENGINES to a folder that can be written"
            ) from error
        return Entry(target, manifest, plan)

    @contextmanager
    def lock(self, network: str) -> Iterator[None]:
        """Keep other processes from building engines of a network meanwhile; they wait here."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = (self.folder / f".{network[:16]}.lock").open("w")
        except OSError as error:
            raise SegRosError(
                f"cannot use the engine store {self.folder}: {error.strerror or error}; set "
                "SEG_ROS_ENGINES to a folder that can be written"
            ) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def scratch(self, name: str) -> Path:
        """Return where a runtime may keep what only saves time and may be lost at any time."""
        return self.folder / f".{name}"

    def manifests(self) -> list[tuple[Path, Mapping[str, Any] | str]]:
        """List every entry: its folder, and its manifest or what is wrong with it.

        The plans are not read: this is for showing, not for running.
        """
        found: list[tuple[Path, Mapping[str, Any] | str]] = []
        if not self.folder.is_dir():
            return found
        for folder in sorted(self.folder.iterdir()):
            if folder.name.startswith(".") or not folder.is_dir():
                continue
            try:
                manifest = _read_manifest(folder)
                _check_manifest(folder, manifest)
                found.append((folder, manifest))
            except SegRosError as error:
                found.append((folder, str(error)))
        return found

    def _folder(self, key: EngineKey) -> Path | None:
        return next(iter(sorted(self.folder.glob(f"[!.]*-{key.digest}"))), None)

    def _near(self, key: EngineKey) -> str:
        """Say what is there of the same network, so that an upgrade is recognised as the cause."""
        wanted = key.as_dict()
        for _, manifest in self.manifests():
            if isinstance(manifest, str) or manifest["key"]["network"] != key.network:
                continue
            there = manifest["key"]
            if there["platform"]["runtime"] == key.platform.runtime:
                changed = "; ".join(_differences(there, wanted))
                return f"; one was built, but {changed}"
        return ""

    def _clear_unfinished(self, mine: bool = False) -> None:
        """Remove what broken builds left behind, and with ``mine`` what this one replaced."""
        for left in self.folder.glob(f"{_UNFINISHED}*"):
            process = left.name.removeprefix(_UNFINISHED).partition(".")[0]
            if (mine and process == str(os.getpid())) or not Path("/proc", process).exists():
                shutil.rmtree(left, ignore_errors=True)


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _check_owner(folder: Path) -> None:
    found = folder.stat()
    if found.st_uid not in (os.geteuid(), 0):
        raise EngineRefusedError(
            f"{folder} belongs to another user, and an engine is code; it is not loaded"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EngineRefusedError(
            f"{folder} can be written by other users, and an engine is code; it is not loaded "
            f"(chmod go-w {folder} if you trust what is in it)"
        )


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EngineRefusedError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise EngineRefusedError(f"{path} is damaged: it is not JSON ({error})") from error
    if not isinstance(manifest, dict):
        raise EngineRefusedError(f"{path} is damaged: it is not a JSON object")
    if manifest.get("format") != FORMAT:
        raise EngineRefusedError(
            f"{path} has format {manifest.get('format')!r}, this version of seg_ros writes {FORMAT}"
        )
    return manifest


def _check_key(folder: Path, manifest: Mapping[str, Any], key: EngineKey) -> None:
    differences = _differences(manifest.get("key"), key.as_dict())
    if differences:
        raise EngineRefusedError(f"{folder} is not the engine wanted: {'; '.join(differences)}")


def _differences(there: Any, wanted: Mapping[str, Any], path: str = "") -> list[str]:
    """Say, field by field, how the key in a manifest differs from the one wanted."""
    if not isinstance(there, dict):
        return [f"{path or 'its key'} is missing"]
    found = []
    for name, value in wanted.items():
        if isinstance(value, dict):
            found += _differences(there.get(name), value, name)
        elif there.get(name) != value:
            found.append(
                f"its {name.replace('_', ' ')} is {there.get(name)!r}, wanted is {value!r}"
            )
    return found


def _check_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    rest = {name: value for name, value in manifest.items() if name != "sha256"}
    if manifest.get("sha256") != _digest(rest):
        raise EngineRefusedError(
            f"{folder / MANIFEST} was changed after it was written: its checksum does not match"
        )
    for names, kind in _TYPES.items():
        value: Any = manifest
        for name in names.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if not isinstance(value, kind):
            raise EngineRefusedError(
                f"{folder / MANIFEST} is damaged: its {names} is not a {kind.__name__}"
            )


def _read_plan(folder: Path, recorded: Mapping[str, Any]) -> bytes:
    path = folder / Path(recorded["file"]).name
    try:
        plan = path.read_bytes()
    except OSError as error:
        raise EngineRefusedError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(plan) != recorded["bytes"]:
        raise EngineRefusedError(
            f"{path} has {len(plan)} bytes, its manifest says {recorded['bytes']}: it was cut off"
        )
    if hashlib.sha256(plan).hexdigest() != recorded["sha256"]:
        raise EngineRefusedError(f"{path} is damaged: its SHA-256 is not the one in the manifest")
    return plan
