"""How fast the vehicle was, read where the maker of a recording put it.

:func:`find_speed` looks beside and in a drive and returns a :class:`SpeedTrack`: ``stamps_ns``
(N,) int64 in the drive's own clock, that of its frames' stamps; ``speed`` (N,) float64 in m/s;
where the source knows them ``yaw_rate`` (N,) rad/s and ``heading`` (N,) rad, both positive to the
left (REP 103). ``at(stamps)`` gives the speed at the frames' stamps, NaN where nothing is known.

One adapter a maker, each with its source and units in its docstring: two functions, ``find(drive)``
for the path of what is there, or None, and ``read(path, drive)``.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from seg_ros.drive.bag_drive import BagDrive
from seg_ros.drive.base import Drive
from seg_ros.drive.speed import bdd, messages, oxts
from seg_ros.drive.speed.track import SpeedTrack
from seg_ros.errors import SegRosError
from seg_ros.support.choices import SYNTHETIC

__all__ = ["SpeedTrack", "find_speed"]

_ADAPTERS: tuple[ModuleType, ...] = (bdd, oxts)


def find_speed(drive: Drive, topic: str = "") -> tuple[SpeedTrack | None, tuple[str, ...]]:
    """Find what is recorded of a drive's speed.

    Args:
        drive: any.
        topic: of a bag that has several; the best of them otherwise.

    Returns:
        The speed, None where there is none, and what is to be said of it, a line each: which source
        it is, or why one that is there is not used.

    Raises:
        SegRosError: the topic is not there, or not of a type that tells a speed.

    """
    if isinstance(drive, BagDrive):
        return messages.find_speed(drive.bag, topic)
    if topic:
        raise SegRosError(f"drive {drive.name} is not a bag, so it has no topic {topic!r}")
    if drive.name == SYNTHETIC:
        return None, ()
    notes = []
    for adapter in _ADAPTERS:
        path: Path | None = adapter.find(drive)
        if path is None:
            continue
        try:
            track: SpeedTrack = adapter.read(path, drive)
        except OSError as error:
            notes.append(f"speed: cannot read {path}: {error.strerror or error}")
        except SegRosError as error:
            notes.append(f"speed: {error}; not used")
        else:
            return track, (*notes, f"speed: {track.source}")
    return None, tuple(notes)
