"""What a folder is: a bag, clips or pictures, by what most of it is, and what is left out then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from seg_ros.drive.bag import METADATA, is_bag
from seg_ros.drive.bag_drive import BagDrive
from seg_ros.drive.base import Drive, refuse_rate
from seg_ros.drive.clips import ClipsDrive
from seg_ros.drive.pictures import PICTURES, FolderDrive, is_hidden
from seg_ros.drive.video import VIDEOS, VideoDrive
from seg_ros.errors import SegRosError

_SAID = 4
"""Kinds of files that are said to be left out."""


def open_folder(path: Path, topic: str, fps: float, calibrated: bool) -> Drive:
    """Open a folder as what most of it is; see :func:`seg_ros.drive.open_drive`.

    A bag that has its metadata is one. Else a bag counts by the bytes of its files, clips and
    pictures by their frames.

    Raises:
        SegRosError: it is none of these, or as of what it is.

    """
    files = [f for f in sorted(path.iterdir()) if f.is_file() and not is_hidden(f)]
    bags = [f for f in files if is_bag(f)]
    clips = [f for f in files if f.suffix.lower() in VIDEOS]
    pictures = [f for f in files if f.suffix.lower() in PICTURES]
    if (path / METADATA).exists():
        refuse_rate(str(path), fps)
        return BagDrive(path, topic)
    drive: Drive
    if bags and _size(bags) >= _size(clips + pictures):
        refuse_rate(str(path), fps)
        drive, taken = BagDrive(path, topic), bags
    elif clips and (not pictures or _frames(clips) > len(pictures)):
        drive, taken = ClipsDrive(path, clips, topic, fps, calibrated), clips
    elif topic:
        raise SegRosError(f"drive {path} is not a bag, so it has no topic {topic!r}")
    elif pictures:
        drive, taken = FolderDrive(path, fps), pictures
    else:
        raise SegRosError(_nothing(path))
    left_out = [f for f in files if f not in set(taken)]
    if left_out:
        drive.notes = (*drive.notes, f"left out of {path}: {_say_files(left_out)}")
    return drive


def _size(files: Sequence[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _frames(clips: Sequence[Path]) -> int:
    """Return how many frames clips say they have, at least one each."""
    total = 0
    for clip in clips:
        try:
            total += max(1, VideoDrive(clip).length)
        except SegRosError:  # said where it is read
            total += 1
    return total


def _say_files(files: Sequence[Path]) -> str:
    """Name files, those of a kind by their number."""
    kinds = Counter(file.suffix.lower() for file in files)
    said = []
    for kind, count in kinds.most_common():
        named = [f.name for f in files if f.suffix.lower() == kind]
        said.append(named[0] if count == 1 else f"{count} {kind or 'files without a suffix'}")
    more = sum(kinds[k] for k, _ in kinds.most_common()[_SAID:])
    return ", ".join(said[:_SAID]) + (f" and {more} more files" if more else "")


def _nothing(path: Path) -> str:
    inner = sorted(f.name for f in path.iterdir() if f.is_dir() and not is_hidden(f))
    text = (
        f"{path} has neither a bag ({METADATA}, .mcap or .db3), nor videos, nor pictures "
        f"({', '.join(sorted(PICTURES))})"
    )
    return text + (f"; is it one of its folders, such as {inner[0]}?" if inner else "")
