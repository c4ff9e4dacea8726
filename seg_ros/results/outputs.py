"""The folder a person opens afterwards: result/ (a rosbag2), overlay.mp4 and sheet.png.

Everything is made in a folder of its own beside its final place and moved there when it is whole,
so that what a broken run leaves behind never looks like a result.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import Drive
from seg_ros.drive.images import decode_compressed, decode_image
from seg_ros.errors import SegRosError
from seg_ros.ground.grid_spec import GridSpec
from seg_ros.labels import LabelSet
from seg_ros.results.bag_topics import GRID_TOPIC, MASK_PNG_TOPIC, MASK_TOPIC, OVERLAY_TOPIC
from seg_ros.results.grid_drawing import draw_grid, grid_poses
from seg_ros.results.result_bag import read_result
from seg_ros.results.video import OverlayVideo
from seg_ros.segment.paint import colorize, contact_sheet, grid_picture
from seg_ros.support.json_text import parse_json

DEMO_NAMES = ("result", "overlay.mp4", "sheet.png")
"""What a demo leaves in its folder."""

CALIBRATION_NAMES = ("camera.yaml", "calibration.png")
"""What finding the camera's mounting leaves in the folder of a replay."""

REPLAY_NAMES = (*DEMO_NAMES, *CALIBRATION_NAMES, "report.html", "frames.jsonl", "run.json")
"""What a replay leaves in its folder."""

UNFINISHED = "UNFINISHED"
"""Folder of a replay that is going on, or was interrupted."""

_RUN = "run.json"
_MOVED = "moved"
"""In the run's folder where all but :data:`_RUN` has been moved to its final place."""
_LEFT = ".finished"
"""What the run's folder is called while it is removed."""
_SHEET_ROWS = 5
_HIDDEN = ".unfinished."
"""With the number of the process that writes there, so that two runs do not meet."""


class OutputFolder:
    """The folder of one run. Use :attr:`work` to write into and :meth:`publish` when it is whole.

    Args:
        path: the folder; made when it is not there.
        replace: whether results of an earlier run may be replaced.
        names: what the run will leave in the folder.

    Raises:
        SegRosError: there are results already and ``replace`` is false, or it cannot be made.

    """

    def __init__(
        self, path: Path, replace: bool = False, names: Sequence[str] = DEMO_NAMES
    ) -> None:
        self.path = path
        there = [name for name in names if (path / name).exists()]
        if there and not replace:
            raise SegRosError(
                f"{path} already holds {', '.join(there)}; choose another folder, or --replace them"
            )
        self.work = path / f"{_HIDDEN}{os.getpid()}"
        try:
            for left in path.glob(f"{_HIDDEN}*"):
                if left == self.work or not Path("/proc", left.suffix[1:]).exists():
                    shutil.rmtree(left)
            self.work.mkdir(parents=True)
        except OSError as error:
            raise SegRosError(f"cannot write into {path}: {error.strerror or error}") from error

    def publish(self) -> list[Path]:
        """Move what was written to its final place; return the paths."""
        moved = []
        for source in sorted(self.work.iterdir()):
            target = self.path / source.name
            if target.is_dir():
                shutil.rmtree(target)
            moved.append(source.replace(target))
        self.work.rmdir()
        return moved


class ReplayFolder(AbstractContextManager["ReplayFolder"]):
    """The folder of one replay, which can be interrupted and resumed.

    No other process can write there until the block it is used in ends.

    Args:
        path: the folder; made when it is not there.
        run: what is run with what, as JSON can say it. Only the same run can be resumed.
        replace: start anew, whatever is there.
        resume: go on with what is there.

    Raises:
        SegRosError: there are results already, finished or not, and neither was asked for; those
            to be resumed are of another run; another process writes there; or it cannot be made.

    """

    def __init__(
        self, path: Path, run: dict[str, Any], replace: bool = False, resume: bool = False
    ) -> None:
        self.path = path
        self.work = path / UNFINISHED
        self._run = run
        there = self.check(path, replace, resume)
        shutil.rmtree(path / _LEFT, ignore_errors=True)  # killed while it was removed
        begun = self.work.exists()
        self.finished = resume and not begun and _RUN in there
        """Whether the run to be resumed had come to its end; it is published whole then."""
        if there and resume and not begun and not self.finished:
            raise SegRosError(f"{path} holds {', '.join(there)}, but of no replay; --replace them")
        self._lock = -1
        if self.finished:
            self._check(path / _RUN)
            return
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.work, os.O_RDONLY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._unlock()
            raise SegRosError(_going_on(path)) from None
        except OSError as error:
            raise SegRosError(f"cannot write into {path}: {error.strerror or error}") from error
        try:
            if resume and (self.work / _RUN).exists():
                if self._check(self.work / _RUN):
                    self._move()
                    self.finished = True
                return
            if resume and (self.work / _MOVED).exists() and _RUN in there:
                self._check(path / _RUN)
                self._remove()
                self.finished = True
                return
            # First what says which run this is, or what is left would be resumed as that run's. A
            # --replace that is killed before it says which it is has begun: it is begun anew.
            order = {_RUN: 0, _MOVED: 1}
            for left in sorted(self.work.iterdir(), key=lambda left: order.get(left.name, 2)):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            self._write_run({})
        except OSError as error:
            self._unlock()
            raise SegRosError(f"cannot write into {path}: {error.strerror or error}") from error
        except SegRosError:
            self._unlock()
            raise

    @staticmethod
    def check(path: Path, replace: bool, resume: bool) -> list[str]:
        """See, before an engine is loaded, that results there may be touched; return their names.

        Raises:
            SegRosError: there are some, finished or not, and neither was asked for.

        """
        there = [name for name in REPLAY_NAMES if (path / name).exists()]
        work = path / UNFINISHED
        if work.is_symlink() or (work.exists() and not work.is_dir()):
            raise SegRosError(f"{work} is not the folder of a run; move it out of the way")
        if work.exists() and not (replace or resume):
            if _is_locked(work):
                raise SegRosError(_going_on(path))
            raise SegRosError(
                f"{path} holds a run that was interrupted; --resume it, or --replace it"
            )
        if there and not (replace or resume):
            raise SegRosError(
                f"{path} already holds {', '.join(there)}; choose another folder, or --replace them"
            )
        return there

    def _unlock(self) -> None:
        os.close(self._lock)
        self._lock = -1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let others write."""
        if self._lock >= 0:
            self._unlock()

    def _check(self, file: Path) -> bool:
        """See that a file speaks of the same run; return whether that had come to its end."""
        try:
            values = parse_json(file.read_text(encoding="utf-8"))
            before, about = values["run"], values["about"]
            keys = sorted({*self._run, *before})
            finished = bool(about)
            if not (isinstance(before, dict) and isinstance(values["holds"], list)):
                raise TypeError("not the file of a run")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SegRosError(f"{file} cannot be read ({error}); --replace the run") from error
        for key in keys:
            old, new = before.get(key), self._run.get(key)
            if old != new:
                raise SegRosError(
                    f"{self.path} was begun with {key} {old}, not {new}: it can be resumed only as "
                    "it was begun; choose another folder, or --replace it"
                )
        return finished

    def _write_run(self, about: dict[str, Any], names: Sequence[str] = ()) -> None:
        values = {"run": self._run, "about": about, "holds": list(names)}
        beside = self.work / f"{_RUN}.new"
        beside.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        beside.replace(self.work / _RUN)

    def about(self) -> dict[str, Any]:
        """Return what :meth:`publish` was told of a finished run."""
        values: dict[str, Any] = parse_json((self.path / _RUN).read_text(encoding="utf-8"))
        about: dict[str, Any] = values["about"]
        return about

    def publish(self, about: dict[str, Any]) -> None:
        """Move what is whole to its final place, the last of it what says that it is.

        It can be killed at any moment: until the last move nothing there says that it is whole, and
        resuming goes on with the moves.

        Args:
            about: how the run went, as JSON can say it; not empty, for that means unfinished.

        """
        names = [name for name in REPLAY_NAMES if name == _RUN or (self.work / name).exists()]
        self._write_run(about, names)
        self._move()

    def _move(self) -> None:
        """Move what the run's file names, as far as that is still to be done."""
        names = parse_json((self.work / _RUN).read_text(encoding="utf-8"))["holds"]
        # An earlier run's goes first: never does it stand for what is of this one.
        (self.path / _RUN).unlink(missing_ok=True)
        for name in REPLAY_NAMES:
            source, target = self.work / name, self.path / name
            if name in names and not source.exists():
                continue  # it was moved before a kill
            if target.exists():
                target.replace(self.work / f"replaced.{name}")
            if name == _RUN:
                (self.work / _MOVED).touch()
            if name in names:
                source.replace(target)
        self._remove()

    def _remove(self) -> None:
        """Remove the run's folder: it is gone in one step, however much is in it."""
        shutil.rmtree(self.path / _LEFT, ignore_errors=True)
        shutil.rmtree(self.work.rename(self.path / _LEFT))


def _going_on(path: Path) -> str:
    """Say that a run is going on in a folder, and of which process where the system tells."""
    process = ""
    with suppress(OSError, ValueError, IndexError):
        node = str((path / UNFINISHED).stat().st_ino)
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            _, kind, _, _, holder, file, *_ = line.split()  # see proc_locks(5)
            if kind == "FLOCK" and file.rpartition(":")[2] == node and int(holder) > 0:
                process = f" (process {holder})"
    return (
        f"{path}: a run is still going on there{process}; wait for it, or end it and go on with it "
        "with --resume"
    )


def _is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of a run's folder."""
    try:
        file = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def write_video(bag: Path, path: Path, progress: Callable[[], object]) -> None:
    """Make the overlay video of a result bag; ``progress`` is called once per frame."""
    with OverlayVideo(path) as video:
        for stamp, message in read_result(bag, OVERLAY_TOPIC):
            video.add(stamp, decode_compressed(message))
            progress()


def write_sheet(
    bag: Path,
    drive: Drive,
    labels: LabelSet,
    path: Path,
    frames: Sequence[tuple[int, int]] = (),
) -> None:
    """Make the contact sheet of a result bag: frame, mask, overlay and grid side by side.

    The frames come from the drive and are matched by stamp, the rest is read back from the bag, so
    the sheet shows what is on disk.

    Args:
        bag: the result bag.
        drive: what it was made of.
        labels: what its class ids mean.
        path: the picture.
        frames: (index in the drive, stamp) of the bag's frames, where they are known and the
            bag's log times are the stamps: then only what is shown is read.

    """
    stamps = [stamp for _, stamp in frames] or [s for s, _ in read_result(bag, MASK_TOPIC)]
    if not stamps:
        raise SegRosError(f"{bag} holds no masks, so there is nothing to show")
    count = min(_SHEET_ROWS, len(stamps))
    rows = [(2 * i + 1) * len(stamps) // (2 * count) for i in range(count)]
    chosen = sorted({stamps[row] for row in rows})
    tiles: dict[int, dict[str, NDArray[np.uint8]]] = {stamp: {} for stamp in chosen}
    missing = set(chosen)
    for index in [frames[row][0] for row in rows] if frames else [0]:
        for frame in drive.frames(index):
            if frame.stamp_ns in missing:
                tiles[frame.stamp_ns]["frame"] = frame.decode()
                missing.remove(frame.stamp_ns)
            if frames or not missing:
                break
    poses = grid_poses(bag, chosen if frames else ())
    for topic, name, draw in (
        (MASK_TOPIC, "mask", lambda m: colorize(decode_image(m)[:, :, 0], labels)),
        (MASK_PNG_TOPIC, "mask", lambda m: colorize(decode_compressed(m)[:, :, 0], labels)),
        (OVERLAY_TOPIC, "overlay", decode_compressed),
        (GRID_TOPIC, "grid", lambda m: draw_grid(m, poses)),
    ):
        for stamp, message in read_result(bag, topic, chosen if frames else ()):
            if stamp in tiles:
                tiles[stamp][name] = draw(message)
    for row in tiles.values():
        row.setdefault("grid", grid_picture(None, GridSpec(), 300, "no camera: no grid"))
    sheet = contact_sheet(
        [
            [
                (_CAPTIONS[name].format((stamp - stamps[0]) / 1e9), row[name])
                for name in _CAPTIONS
                if name in row
            ]
            for stamp, row in tiles.items()
        ]
    )
    if not cv2.imwrite(str(path), sheet):
        raise SegRosError(f"cannot write {path}")


_CAPTIONS = {"frame": "frame at {:.2f} s", "mask": "mask", "overlay": "overlay", "grid": "grid"}
