"""How fast a vehicle was, by stamp, whoever measured it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seg_ros.drive.base import CLOCKLESS_START, Drive
from seg_ros.drive.messages import NANOSECONDS
from seg_ros.errors import SegRosError

MAX_BYTES = 64 << 20
"""Of a file beside a drive; an hour of any of them has less."""

_FASTEST = 100.0
"""Metres per second; a value beyond it is no vehicle's and is left out."""


@dataclass(frozen=True, eq=False)
class SpeedTrack:
    """What a source says of the vehicle's motion; N values, stamps strictly rising."""

    source: str
    """Where it comes from, for people."""
    stamps_ns: NDArray[np.int64]
    """(N,) nanoseconds of the drive's own clock, as its frames' stamps."""
    speed: NDArray[np.float64]
    """(N,) m/s over the ground. Negative is backwards, where the source knows; others never are."""
    yaw_rate: NDArray[np.float64] | None = None
    """(N,) rad/s, positive turns left (REP 103), NaN where it is not known; None nowhere."""
    heading: NDArray[np.float64] | None = None
    """(N,) rad from the x axis of the source's frame (east for satellites), positive to the left
    (REP 103), NaN where it is not known; None nowhere."""

    def at(self, stamps_ns: ArrayLike, gap_seconds: float = 1.5) -> NDArray[np.float64]:
        """Speed at stamps, m/s, on a line between two values.

        Args:
            stamps_ns: (M,) nanoseconds.
            gap_seconds: the most between two values, or beyond the last of them, that is bridged;
                satellites give one a second.

        Returns:
            (M,) float64, NaN where nothing is known.

        """
        stamps = np.atleast_1d(np.asarray(stamps_ns, np.int64))
        after = np.searchsorted(self.stamps_ns, stamps, side="left")
        last = len(self.stamps_ns) - 1
        before, after = np.clip(after - 1, 0, last), np.clip(after, 0, last)
        there = self.stamps_ns[after]
        span = np.where(before < after, there - self.stamps_ns[before], np.abs(there - stamps))
        span[there == stamps] = 0
        # Relative to the first stamp: float64 does not hold nanoseconds since 1970.
        first = self.stamps_ns[0]
        values = np.interp(
            (stamps - first).astype(float), (self.stamps_ns - first).astype(float), self.speed
        )
        return np.where(span <= gap_seconds * NANOSECONDS, values, np.nan)


def speed_track(
    source: str,
    stamps_ns: ArrayLike,
    speed: ArrayLike,
    yaw_rate: ArrayLike | None = None,
    heading: ArrayLike | None = None,
) -> SpeedTrack:
    """Make a track of what a source says: sorted, each stamp once, without what is no vehicle's.

    Args:
        source: where it comes from.
        stamps_ns: (N,) nanoseconds of the drive's clock; NaN for what is not of its time.
        speed: (N,) m/s, NaN where it is not known.
        yaw_rate: (N,) rad/s, or None.
        heading: (N,) rad, or None.

    Raises:
        SegRosError: fewer than two values are left.

    """
    stamps, values = np.asarray(stamps_ns, np.float64), np.asarray(speed, np.float64)
    exact = np.asarray(stamps_ns)
    good = np.isfinite(stamps) & np.isfinite(values)
    good &= np.abs(np.where(good, values, np.inf)) <= _FASTEST
    whole = exact[good].astype(np.int64)
    unique, first = np.unique(whole, return_index=True)
    if len(unique) < 2:
        raise SegRosError(f"{source} has {len(unique)} usable values of speed; two are needed")

    def taken(other: ArrayLike | None) -> NDArray[np.float64] | None:
        if other is None:
            return None
        array = np.asarray(other, np.float64)[good][first]
        return array if np.isfinite(array).any() else None

    return SpeedTrack(source, unique, values[good][first], taken(yaw_rate), taken(heading))


def on_drive_clock(
    drive: Drive, frame_times: NDArray[np.float64], times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Stamps in a drive without a clock of times of a clock that its frames were recorded with.

    Args:
        drive: a video or pictures; its first frame is at :data:`CLOCKLESS_START`.
        frame_times: (F,) seconds of the clock at which its frames were taken, rising.
        times: (N,) seconds of the same clock.

    Returns:
        (N,) nanoseconds, NaN for what is before the first frame or after the last.

    """
    if drive.rate is not None:
        index = np.interp(times, frame_times, np.arange(len(frame_times)), np.nan, np.nan)
        seconds = index / float(drive.rate)
    else:
        inside = (times >= frame_times[0]) & (times <= frame_times[-1])
        seconds = np.where(inside, times - frame_times[0], np.nan)
    return np.asarray(CLOCKLESS_START + np.round(seconds * NANOSECONDS))


def checked_size(path: Path, most: int = MAX_BYTES) -> Path:
    """Return a path of which it is known that reading it takes no more than so many bytes.

    Raises:
        SegRosError: the file is larger.
        OSError: there is none.

    """
    size = path.stat().st_size
    if size > most:
        raise SegRosError(f"{path} has {size} bytes; at most {most} are read")
    return path
