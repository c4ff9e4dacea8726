"""What went into a run and came out of it: versions and checksums."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from seg_ros import __version__
from seg_ros.errors import SegRosError

_LISTED_FILES = 16
_PACKAGES = ("numpy", "opencv-python-headless", "av", "openvino", "torch", "tensorrt_rtx_cu13")


def checksums(path: Path) -> dict[str, str]:
    """SHA-256 of a file, or of every file of a folder, by name.

    A folder of over 16 files has one digest: of the lines ``sha256sum`` prints for its files in
    the order of their names, folders left out.

    Raises:
        SegRosError: a file cannot be read.

    """
    if not path.is_dir():
        return {path.name: _sha256(path)}
    files = sorted(f for f in path.rglob("*") if f.is_file())
    found = {str(f.relative_to(path)): _sha256(f) for f in files}
    if len(found) <= _LISTED_FILES:
        return {f"{path.name}/{name}": digest for name, digest in found.items()}
    lines = "".join(f"{digest}  {name}\n" for name, digest in found.items())
    return {f"{path.name}/ ({len(found)} files)": hashlib.sha256(lines.encode()).hexdigest()}


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    try:
        with file.open("rb") as data:
            while block := data.read(2**20):
                digest.update(block)
    except OSError as error:
        raise SegRosError(f"{file} cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of this package and of what decides its numbers, where it is installed."""
    found = {"seg_ros": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
