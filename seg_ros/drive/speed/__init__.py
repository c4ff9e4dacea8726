"""How fast the vehicle was, read where the maker of a recording put it.

:func:`find_speed` looks beside and in a drive and returns a :class:`SpeedTrack`: ``stamps_ns``
(N,) int64 in the drive's own clock, that of its frames' stamps; ``speed`` (N,) float64 in m/s;
where the source knows them ``yaw_rate`` (N,) rad/s and ``heading`` (N,) rad, both positive to the
left (REP 103). ``at(stamps)`` gives the speed at the frames' stamps, NaN where nothing is known.

One adapter a maker, each with its source and units in its docstring: two functions, ``find(drive)``
for the path of what is there, or None, and ``read(path, drive)``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np

from seg_ros.drive.bag_drive import BagDrive
from seg_ros.drive.base import Drive
from seg_ros.drive.clips import ClipsDrive
from seg_ros.drive.speed import bdd, comma, gopro, messages, oxts, tesla
from seg_ros.drive.speed.track import SpeedTrack, speed_track
from seg_ros.errors import SegRosError
from seg_ros.support.choices import SYNTHETIC

__all__ = ["SpeedTrack", "find_speed"]

_ADAPTERS: tuple[ModuleType, ...] = (bdd, comma, oxts, gopro, tesla)


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
    if isinstance(drive, ClipsDrive):
        return _of_clips(drive)
    if topic:
        raise SegRosError(f"drive {drive.name} is not a bag, so it has no topic {topic!r}")
    if drive.name == SYNTHETIC:
        return None, ()
    return _beside(drive)


def _beside(drive: Drive) -> tuple[SpeedTrack | None, tuple[str, ...]]:
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


def _of_clips(drive: ClipsDrive) -> tuple[SpeedTrack | None, tuple[str, ...]]:
    """Join what the clips of a drive have, on its timeline."""
    tracks: list[SpeedTrack] = []
    notes: list[str] = []
    for clip, start_ns in drive.clips:
        track, said = _beside(clip)
        if track is None:
            notes += said
        else:
            tracks.append(replace(track, stamps_ns=track.stamps_ns + start_ns))
    if not tracks:
        return None, tuple(notes[:1])
    joined = speed_track(
        f"{tracks[0].source} and {len(tracks) - 1} more" if tracks[1:] else tracks[0].source,
        np.concatenate([t.stamps_ns for t in tracks]),
        np.concatenate([t.speed for t in tracks]),
        heading=np.concatenate(
            [np.full(len(t.speed), np.nan) if t.heading is None else t.heading for t in tracks]
        ),
    )
    missing = len(drive.clips) - len(tracks)
    if missing:
        notes = [f"speed: {missing} of {len(drive.clips)} clips have none"]
    return joined, (f"speed: {joined.source}", *notes[:1])
