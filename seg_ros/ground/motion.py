"""What the vehicle did at a frame's stamp: odometry and attitude between messages."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np

from seg_ros.errors import SegRosError
from seg_ros.ground.mounting import rotation_of_quaternion
from seg_ros.ground.world_grid import Pose

_KEPT = 400
_STALE_NS = 200_000_000
"""Nanoseconds from the nearest IMU message after which nothing is known of a stamp."""
_LATEST_NS = 500_000_000
"""Nanoseconds that a message may come late; one that is further back is of another run."""
_RUN = 5
"""Messages in a row that contradict what was before: not they are wrong, it is another run."""
_FASTEST = 100.0
"""Metres per second; no vehicle this package is for goes from pose to pose faster."""
_FARTHEST = 1e8
"""Metres from the origin, more than any map frame (UTM, ECEF) has."""
_STEEPEST = math.radians(60)


def attitude(quaternion: Sequence[float]) -> tuple[float, float, float]:
    """Roll, pitch and yaw in radians (REP 103) of a quaternion x, y, z, w.

    Raises:
        SegRosError: it is no rotation.

    """
    r = rotation_of_quaternion(quaternion)
    pitch = math.asin(min(max(-float(r[2, 0]), -1.0), 1.0))
    return math.atan2(r[2, 1], r[2, 2]), pitch, math.atan2(r[1, 0], r[0, 0])


def product(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float, float]:
    """Product of two quaternions x, y, z, w: the second's rotation, then the first's."""
    ax, ay, az, aw = first
    bx, by, bz, bw = second
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


class Track:
    """Values by stamp, asked for at stamps between. One thread may add while another asks.

    A stamp that is there already is left out, a message that comes late is put where it belongs.
    A larger step back, or one that the messages after it confirm, is another run: what was before
    is forgotten.
    """

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._behind: list[_Entry] = []  # the latest ones in a row that came late

    def add(self, stamp_ns: int, values: Sequence[float]) -> bool:
        """Add the values at a stamp; return whether another run begins with them."""
        entries, entry = list(self._entries), (stamp_ns, tuple(values))
        place = bisect_left(entries, stamp_ns, key=_stamp)
        if place < len(entries) and entries[place][0] == stamp_ns:
            return False
        begins = False
        if place == len(entries):
            self._behind.clear()
        elif entries[-1][0] - stamp_ns > _LATEST_NS:
            self._behind.clear()
            entries, place, begins = [], 0, True
        else:
            self._behind.append(entry)
            if len(self._behind) == _RUN:
                entries, begins = sorted(self._behind[:-1], key=_stamp), True
                self._behind.clear()
                place = bisect_left(entries, stamp_ns, key=_stamp)
        entries.insert(place, entry)
        self._entries = entries[-_KEPT:]
        return begins

    @property
    def newest_ns(self) -> int:
        """The newest stamp; 0 where there is none."""
        entries = self._entries
        return entries[-1][0] if entries else 0

    def clear(self) -> None:
        """Forget everything."""
        self._behind.clear()
        self._entries = []

    def near(self, stamp_ns: int) -> tuple[_Entry | None, _Entry | None]:
        """Return the last entry at or before a stamp and the first after it."""
        entries = self._entries
        after = bisect_right(entries, stamp_ns, key=_stamp)
        return (
            entries[after - 1] if after else None,
            entries[after] if after < len(entries) else None,
        )

    def at(self, stamp_ns: int) -> tuple[float, ...] | None:
        """Values at a stamp: between two messages on a line, beyond the last one those it had.

        None when the nearest message is more than 0.2 s away.
        """
        found = [entry for entry in self.near(stamp_ns) if entry is not None]
        if not found or min(abs(stamp - stamp_ns) for stamp, _ in found) > _STALE_NS:
            return None
        return _between(found[0], found[-1], stamp_ns)


_Entry = tuple[int, tuple[float, ...]]


def _stamp(entry: _Entry) -> int:
    return entry[0]


def _between(first: _Entry, last: _Entry, stamp_ns: int) -> tuple[float, ...]:
    """Values on the line through two entries, or of the one that is given twice."""
    if first[0] == last[0]:
        return first[1]
    part = (stamp_ns - first[0]) / (last[0] - first[0])
    return tuple((1 - part) * a + part * b for a, b in zip(first[1], last[1], strict=True))


class Odometry:
    """Poses of nav_msgs/Odometry.

    Between two messages the pose lies on a line. Where none is beyond the stamp, as of a frame that
    is faster than its odometry, the nearest one is carried on with its twist, or where it has none
    with the motion between it and its neighbour.

    Args:
        carried_seconds: how far from the nearest message a pose is carried, and half of the gap
            between two messages that a line is drawn over.

    """

    def __init__(self, carried_seconds: float) -> None:
        self._carried_ns = round(carried_seconds * 1e9)
        self._track = Track()
        self._refused: list[tuple[int, float, float]] = []

    def add(
        self,
        stamp_ns: int,
        x: float,
        y: float,
        quaternion: Sequence[float],
        twist: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> None:
        """Add a pose: metres, and a quaternion x, y, z, w.

        Args:
            stamp_ns: of the message, nanoseconds.
            x: metres.
            y: metres.
            quaternion: x, y, z, w.
            twist: of ``base_link`` in itself: forward and left in m/s, turning in rad/s; zeros are
                no twist, as many publishers leave them.

        Raises:
            SegRosError: the quaternion is no rotation, a value is not finite or absurd, or no
                vehicle is there from the pose before; five such in a row that agree with each
                other are a pose that was set anew, and believed.

        """
        yaw = attitude(quaternion)[2]
        if not all(map(math.isfinite, (x, y, *twist))) or max(abs(x), abs(y)) > _FARTHEST:
            raise SegRosError(f"position ({x:g}, {y:g}) or twist {tuple(twist)} is no vehicle's")
        if math.hypot(*twist[:2]) > _FASTEST:
            raise SegRosError(f"twist of {math.hypot(*twist[:2]):.3g} m/s is no vehicle's")
        self._check_step(stamp_ns, x, y)
        # As cosine and sine, which have no jump at half a turn.
        self._track.add(stamp_ns, (x, y, math.cos(yaw), math.sin(yaw), *twist))

    def _check_step(self, stamp_ns: int, x: float, y: float) -> None:
        """Refuse a pose that no vehicle reaches from the nearest one."""
        before, after = self._track.near(stamp_ns)
        if self._track.newest_ns - stamp_ns > _LATEST_NS:
            self._refused.clear()  # another run, which begins where it likes
            return
        for stamp, values in filter(None, (before, after)):
            if _too_far((stamp, values[0], values[1]), (stamp_ns, x, y)):
                break
        else:
            self._refused.clear()
            return
        if self._refused and _too_far(self._refused[-1], (stamp_ns, x, y)):
            self._refused.clear()
        self._refused.append((stamp_ns, x, y))
        if len(self._refused) >= _RUN:
            self._refused.clear()
            self._track.clear()
            return
        raise SegRosError(
            f"position jumps by {math.hypot(x - values[0], y - values[1]):.3g} m in "
            f"{abs(stamp_ns - stamp) / 1e9:.3g} s"
        )

    def clear(self) -> None:
        """Forget everything."""
        self._refused.clear()
        self._track.clear()

    def at(self, stamp_ns: int) -> Pose | None:
        """Pose at a stamp; None when no message is near enough."""
        before, after = self._track.near(stamp_ns)
        if before and after and after[0] - before[0] <= 2 * self._carried_ns:
            values = _between(before, after, stamp_ns)
            return Pose(values[0], values[1], math.atan2(values[3], values[2]))
        found = [entry for entry in (before, after) if entry is not None]
        if not found:
            return None
        nearest = min(found, key=lambda entry: abs(entry[0] - stamp_ns))
        if abs(nearest[0] - stamp_ns) > self._carried_ns:
            return None
        return self._carried(nearest, (stamp_ns - nearest[0]) / 1e9)

    def _carried(self, entry: _Entry, seconds: float) -> Pose:
        x, y, cos, sin, forward, left, turning = entry[1]
        yaw = math.atan2(sin, cos)
        if not (forward or left or turning):
            forward, left, turning = self._motion(entry)
        # At constant twist the direction in the middle is the mean one.
        middle = yaw + turning * seconds / 2
        c, s = math.cos(middle), math.sin(middle)
        return Pose(
            x + (c * forward - s * left) * seconds,
            y + (s * forward + c * left) * seconds,
            yaw + turning * seconds,
        )

    def _motion(self, entry: _Entry) -> tuple[float, float, float]:
        """Twist from an entry and its neighbour; zeros where it has none that is near."""
        first = self._track.near(entry[0] - 1)[0]
        last: _Entry | None = entry
        if first is None:
            first, last = entry, self._track.near(entry[0])[1]
        if last is None or last[0] - first[0] > 2 * self._carried_ns:
            return 0.0, 0.0, 0.0
        seconds = (last[0] - first[0]) / 1e9
        dx, dy = last[1][0] - first[1][0], last[1][1] - first[1][1]
        yaws = [math.atan2(e[1][3], e[1][2]) for e in (first, last)]
        turned = math.remainder(yaws[1] - yaws[0], math.tau)
        middle = yaws[0] + turned / 2
        c, s = math.cos(middle), math.sin(middle)
        return (c * dx + s * dy) / seconds, (c * dy - s * dx) / seconds, turned / seconds


def _too_far(a: tuple[int, float, float], b: tuple[int, float, float]) -> bool:
    """Whether no vehicle goes from one place to the other; a metre is any localisation's own."""
    seconds = abs(a[0] - b[0]) / 1e9
    return math.hypot(a[1] - b[1], a[2] - b[2]) > 1.0 + _FASTEST * seconds


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
            SegRosError: the quaternion is no rotation, or one that no vehicle on its wheels has.

        """
        measured = np.array(attitude(quaternion)[:2])
        if np.abs(measured).max() > _STEEPEST:
            raise SegRosError(
                f"roll {math.degrees(measured[0]):.0f} and pitch {math.degrees(measured[1]):.0f} "
                "degrees are no vehicle's on its wheels; is the orientation that of base_link?"
            )
        slope, last = self._slope, self._last_ns
        if self._slope_seconds > 0:
            if last is None:
                slope = measured
            elif stamp_ns > last:  # one that comes late is judged by the slope that is known
                part = 1 - math.exp(-(stamp_ns - last) / 1e9 / self._slope_seconds)
                slope = slope + part * (measured - slope)
        if self._track.add(stamp_ns, (measured - slope).tolist()):
            # Of another run, of which only this message is known for certain.
            self._track.clear()
            slope, last = measured if self._slope_seconds > 0 else slope, None
            self._track.add(stamp_ns, (measured - slope).tolist())
        self._slope = slope
        self._last_ns = stamp_ns if last is None else max(stamp_ns, last)

    def at(self, stamp_ns: int) -> tuple[float, float] | None:
        """Roll and pitch over the road at a stamp, radians; None when no message is near."""
        values = self._track.at(stamp_ns)
        return (values[0], values[1]) if values else None

    def clear(self) -> None:
        """Forget everything."""
        self._track.clear()
        self._slope, self._last_ns = np.zeros(2), None
