"""What the vehicle did at a frame's stamp: odometry and attitude between messages."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

import numpy as np

from seg_ros.ground.camera import rotation_of_quaternion
from seg_ros.ground.world_grid import Pose

_KEPT = 400
_STALE_NS = 200_000_000
"""Nanoseconds from the nearest message after which nothing is known of a stamp."""


def attitude(quaternion: Sequence[float]) -> tuple[float, float, float]:
    """Roll, pitch and yaw in radians (REP 103) of a quaternion x, y, z, w.

    Raises:
        SegRosError: it is no rotation.

    """
    r = rotation_of_quaternion(quaternion)
    pitch = math.asin(min(max(-float(r[2, 0]), -1.0), 1.0))
    return math.atan2(r[2, 1], r[2, 2]), pitch, math.atan2(r[1, 0], r[0, 0])


class Track:
    """Values by stamp, asked for at stamps between. One thread may add while another asks."""

    def __init__(self) -> None:
        self._entries: deque[tuple[int, tuple[float, ...]]] = deque(maxlen=_KEPT)

    def add(self, stamp_ns: int, values: Sequence[float]) -> None:
        """Add the values at a stamp; a step back in time forgets what was."""
        if self._entries and stamp_ns <= self._entries[-1][0]:
            self._entries.clear()
        self._entries.append((stamp_ns, tuple(values)))

    def at(self, stamp_ns: int) -> tuple[float, ...] | None:
        """Values at a stamp: between two messages on a line, beyond the last one those it had.

        None when the nearest message is more than 0.2 s away.
        """
        entries = list(self._entries)
        after = bisect_left(entries, stamp_ns, key=lambda entry: entry[0])
        near = entries[max(after - 1, 0) : after + 1]
        if not near or min(abs(stamp - stamp_ns) for stamp, _ in near) > _STALE_NS:
            return None
        if len(near) == 1:
            return near[0][1]
        (t0, first), (t1, last) = near
        part = (stamp_ns - t0) / (t1 - t0)
        return tuple((1 - part) * a + part * b for a, b in zip(first, last, strict=True))


class Odometry:
    """Poses of nav_msgs/Odometry."""

    def __init__(self) -> None:
        self._track = Track()

    def add(self, stamp_ns: int, x: float, y: float, quaternion: Sequence[float]) -> None:
        """Add a pose: metres, and a quaternion x, y, z, w.

        Raises:
            SegRosError: the quaternion is no rotation.

        """
        yaw = attitude(quaternion)[2]
        # As cosine and sine, which have no jump at half a turn.
        self._track.add(stamp_ns, (x, y, math.cos(yaw), math.sin(yaw)))

    def at(self, stamp_ns: int) -> Pose | None:
        """Pose at a stamp, None when no message is near."""
        values = self._track.at(stamp_ns)
        return Pose(values[0], values[1], math.atan2(values[3], values[2])) if values else None


class Attitude:
    """Roll and pitch of sensor_msgs/Imu against the road.

    An IMU measures against gravity, the grid lies on the road, and on a slope the two differ. What
    the IMU says for long is the road; what it says for a moment is braking, bumps and bends.

    Args:
        slope_seconds: time constant of the mean that is taken for the road's slope; 0 takes the
            road for level.

    """

    def __init__(self, slope_seconds: float) -> None:
        self._slope_seconds = slope_seconds
        self._track = Track()
        self._slope = np.zeros(2)
        self._last_ns: int | None = None

    def add(self, stamp_ns: int, quaternion: Sequence[float]) -> None:
        """Add an orientation x, y, z, w of ``base_link`` (REP 145: gravity is down).

        Raises:
            SegRosError: the quaternion is no rotation.

        """
        measured = np.array(attitude(quaternion)[:2])
        if self._slope_seconds > 0:
            if self._last_ns is None or stamp_ns <= self._last_ns:
                self._slope = measured
            else:
                seconds = (stamp_ns - self._last_ns) / 1e9
                part = 1 - math.exp(-seconds / self._slope_seconds)
                self._slope = self._slope + part * (measured - self._slope)
        self._last_ns = stamp_ns
        self._track.add(stamp_ns, (measured - self._slope).tolist())

    def at(self, stamp_ns: int) -> tuple[float, float] | None:
        """Roll and pitch over the road at a stamp, radians; None when no message is near."""
        values = self._track.at(stamp_ns)
        return (values[0], values[1]) if values else None
