"""Speed from the messages of a bag: odometry, twists, satellites.

* nav_msgs/Odometry: ``twist.linear.x`` in m/s and ``twist.angular.z`` in rad/s of the child frame;
  where a publisher leaves the twist at zero, from pose to pose. Heading from the orientation.
* geometry_msgs/TwistStamped and TwistWithCovarianceStamped: the same of the frame they are in.
* sensor_msgs/NavSatFix: from place to place over the ellipsoid (WGS 84), heading that of the way;
  a message whose ``status`` is -1 (no fix) counts for nothing.

A message counts at its header's stamp, at the time it was recorded where that is not set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.bag import Bag
from seg_ros.drive.base import RecordedTopic
from seg_ros.drive.messages import stamp_ns
from seg_ros.drive.speed.track import SpeedTrack, speed_track
from seg_ros.errors import SegRosError
from seg_ros.ground.motion import attitude

_MAX_MESSAGES = 2_000_000
_LEAST_SECONDS = 0.05
"""Between two places that a speed is made of: nearer ones tell their noise."""
_LONGEST_SECONDS = 3.0
_EQUATOR, _FLATTENING = 6378137.0, 1 / 298.257223563


def find_speed(bag: Bag, topic: str = "") -> tuple[SpeedTrack | None, tuple[str, ...]]:
    """Read the speed of a topic, or of the first that has one; see :func:`..find_speed`."""
    known = [t for t in bag.topics if t.message_type in _READERS and t.count != 0]
    if topic:
        chosen = [t for t in known if t.name == topic]
        if not chosen:
            there = ", ".join(f"{t.name} ({t.message_type})" for t in known)
            raise SegRosError(
                f"bag {bag.name} has no topic {topic} that tells a speed; it has {there or 'none'}"
            )
        return _read(bag, chosen[0]), (f"speed: {topic} ({chosen[0].message_type})",)
    notes = []
    for candidate in sorted(known, key=lambda t: list(_READERS).index(t.message_type)):
        try:
            track = _read(bag, candidate)
        except SegRosError as error:
            notes.append(f"speed: {error}; not used")
        else:
            return track, (*notes, f"speed: {track.source}")
    return None, tuple(notes)


def _read(bag: Bag, topic: RecordedTopic) -> SpeedTrack:
    if topic.count is not None and topic.count > _MAX_MESSAGES:
        raise SegRosError(f"{topic.name} has {topic.count} messages; {_MAX_MESSAGES} are read")
    return _READERS[topic.message_type](
        f"{topic.name} ({topic.message_type})", _stamped(bag, topic)
    )


def _stamped(bag: Bag, topic: RecordedTopic) -> Iterable[tuple[int, Any]]:
    """Yield stamp and message of those that can be read; damage ends them."""
    try:
        for raw in bag.messages({topic.name}):
            try:
                message = raw.deserialize()
            except SegRosError:
                continue
            yield stamp_ns(message.header.stamp) or raw.log_ns, message
    except SegRosError:
        return  # said where the frames are read


def _of_odometry(source: str, messages: Iterable[tuple[int, Any]]) -> SpeedTrack:
    rows, stamps = [], []
    for stamp, message in messages:
        at, turn, twist = message.pose.pose.position, message.pose.pose.orientation, message.twist
        try:
            yaw = attitude((turn.x, turn.y, turn.z, turn.w))[2]
        except SegRosError:
            yaw = math.nan
        linear, angular = twist.twist.linear, twist.twist.angular
        rows.append((at.x, at.y, yaw, linear.x, linear.y, angular.z))
        stamps.append(stamp)
    x, y, yaws, forward, left, turning = _columns(rows, 6)
    when = np.array(stamps, np.int64)
    if np.any(forward) or np.any(left):
        return speed_track(source, when, forward, turning, yaws)
    times, speed, way = _between(when, x, y)
    # Backwards where the way is against the heading.
    heading = yaws[np.searchsorted(when, times).clip(0, max(len(when) - 1, 0))]
    speed = np.where(np.cos(way - heading) < 0, -speed, speed)
    return speed_track(f"{source}, from pose to pose", times, speed, heading=heading)


def _of_twist(source: str, messages: Iterable[tuple[int, Any]]) -> SpeedTrack:
    rows, stamps = [], []
    for stamp, message in messages:
        twist = getattr(message.twist, "twist", message.twist)
        rows.append((twist.linear.x, twist.angular.z))
        stamps.append(stamp)
    forward, turning = _columns(rows, 2)
    return speed_track(source, np.array(stamps, np.int64), forward, turning)


def _of_satellites(source: str, messages: Iterable[tuple[int, Any]]) -> SpeedTrack:
    rows, stamps = [], []
    for stamp, message in messages:
        if message.status.status >= 0 and math.isfinite(message.latitude + message.longitude):
            rows.append((math.radians(message.latitude), math.radians(message.longitude)))
            stamps.append(stamp)
    latitude, longitude = _columns(rows, 2)
    # Metres for a radian along the meridian and the parallel (radii of curvature of WGS 84).
    square = _FLATTENING * (2 - _FLATTENING)
    bent = 1 - square * np.sin(latitude) ** 2
    north = _EQUATOR * (1 - square) / bent**1.5
    east = _EQUATOR / np.sqrt(bent) * np.cos(latitude)
    first = (latitude[0], longitude[0]) if len(latitude) else (0.0, 0.0)
    x, y = (longitude - first[1]) * east, (latitude - first[0]) * north
    times, speed, way = _between(np.array(stamps, np.int64), x, y)
    return speed_track(f"{source}, from place to place", times, speed, heading=way)


def _between(
    stamps: NDArray[np.int64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Speed and direction from place to place, at the stamps in the middle."""
    order = np.argsort(stamps, kind="stable")
    kept: list[Any] = []
    for i in order:
        if not kept or stamps[i] - stamps[kept[-1]] >= _LEAST_SECONDS * 1e9:
            kept.append(i)
    stamps, x, y = stamps[kept], x[kept], y[kept]
    seconds = np.diff(stamps) / 1e9
    dx, dy = np.diff(x), np.diff(y)
    speed = np.where(seconds <= _LONGEST_SECONDS, np.hypot(dx, dy) / seconds, np.nan)
    return stamps[:-1] + np.diff(stamps) // 2, speed, np.arctan2(dy, dx)


def _columns(rows: list[Any], count: int) -> NDArray[np.float64]:
    return np.asarray(np.array(rows, np.float64).reshape(-1, count).T)


_READERS: dict[str, Callable[[str, Iterable[tuple[int, Any]]], SpeedTrack]] = {
    "nav_msgs/msg/Odometry": _of_odometry,
    "geometry_msgs/msg/TwistWithCovarianceStamped": _of_twist,
    "geometry_msgs/msg/TwistStamped": _of_twist,
    "sensor_msgs/msg/NavSatFix": _of_satellites,
}
"""The best first: a vehicle's own wheels before what satellites make of its places."""
