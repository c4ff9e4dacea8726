"""What a drive holds, found by reading it to its end once: frames, rate, gaps, size, damage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from seg_ros.drive.base import Drive
from seg_ros.drive.messages import NANOSECONDS
from seg_ros.errors import SegRosError

GAP = 3.0
"""A step between two frames of more than so many usual ones is a gap."""


@dataclass(frozen=True)
class DriveSummary:
    """A drive, or one camera of it."""

    name: str
    """What was opened, or the topic of a bag."""
    kind: str
    """Message type of its frames."""
    frames: int
    """Frames that were read."""
    undecodable: int
    """Of those, how many cannot be decoded; 0 where only the first was tried."""
    sizes: dict[str, int]
    """``WIDTHxHEIGHT`` -> how many of the decoded frames have it."""
    begin_ns: int | None
    """Stamp of the first frame, nanoseconds."""
    duration_s: float
    """From the first stamp to the last, steps back left out."""
    rate_hz: float | None
    """One over the usual step; None with fewer than two frames."""
    gaps: int
    longest_gap_s: float
    steps_back: int
    """Frames whose stamp is not after that of the frame before."""
    camera: str
    """Its calibration in a few words, or why there is none."""
    damage: str
    """What ends it before its time, or nothing."""
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        values = dict(vars(self))
        values["notes"] = list(self.notes)
        return values


def summarise(
    drive: Drive, name: str, every_frame: bool = False, on_frame: Callable[[], object] = int
) -> DriveSummary:
    """Read a drive to its end.

    Args:
        drive: to be read; its frames are not decoded, but for the first.
        name: for people.
        every_frame: decode all frames.
        on_frame: called after each frame.

    """
    stamps: list[int] = []
    sizes: Counter[str] = Counter()
    undecodable, damage, kind = 0, "", drive.message_type
    try:
        for frame in drive.frames():
            stamps.append(frame.stamp_ns)
            if frame.raw is not None:
                kind = frame.raw.topic.message_type
            if every_frame or not sizes:
                try:
                    height, width = frame.decode().shape[:2]
                    sizes[f"{width}x{height}"] += 1
                except SegRosError:
                    undecodable += 1
            on_frame()
    except SegRosError as error:
        damage = str(error)
    steps = [b - a for a, b in pairwise(stamps)]
    onward = [step for step in steps if step > 0]
    usual = median(onward) if onward else 0
    gaps = [step for step in onward if step > GAP * usual]
    return DriveSummary(
        name,
        kind,
        len(stamps),
        undecodable,
        dict(sizes),
        stamps[0] if stamps else None,
        sum(onward) / NANOSECONDS,
        NANOSECONDS / usual if usual else None,
        len(gaps),
        max(gaps, default=0) / NANOSECONDS,
        len(steps) - len(onward),
        _camera(drive),
        damage,
        drive.notes,
    )


def _camera(drive: Drive) -> str:
    camera = drive.camera
    if camera is None:
        return f"none: {drive.camera_problem}" if drive.camera_problem else "none"
    return f"{camera.width}x{camera.height}, fx {camera.fx:.1f}, fy {camera.fy:.1f}"
