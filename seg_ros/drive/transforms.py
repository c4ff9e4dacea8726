"""TF from a recording, by the rules of tf2.

tf2_msgs/TFMessage on any topic; what comes on one that ends with ``tf_static`` holds at any time.
Between two transforms of a frame the translation lies on a line and the rotation on an arc (slerp),
beyond them nothing is known; what is more than 10 s older than the newest is forgotten.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.messages import NANOSECONDS, stamp_ns
from seg_ros.errors import SegRosError
from seg_ros.ground.motion import product
from seg_ros.ground.mounting import Mounting, rotation_of_quaternion

TF_TYPE = "tf2_msgs/msg/TFMessage"

_CACHE_NS = 10 * NANOSECONDS
_DEEPEST = 64
"""Frames from one to its root; more are a loop."""


@dataclass(frozen=True, order=True)
class _Entry:
    stamp: int
    parent: str = field(compare=False)
    shift: tuple[float, ...] = field(compare=False)
    turn: tuple[float, ...] = field(compare=False)


class RecordedTransforms:
    """A buffer of transforms, as :class:`seg_ros.drive.vehicle.Transforms` is asked."""

    def __init__(self) -> None:
        self._static: dict[str, _Entry] = {}
        self._moving: dict[str, list[_Entry]] = {}

    def add(self, message: Any, static: bool) -> None:
        """Take the transforms of a TFMessage that are any; others are left out, as tf2 does."""
        for transform in message.transforms:
            t, q = transform.transform.translation, transform.transform.rotation
            shift, turn = (t.x, t.y, t.z), (q.x, q.y, q.z, q.w)
            child = transform.child_frame_id.strip("/")
            parent = transform.header.frame_id.strip("/")
            length = math.hypot(*turn)
            finite = all(map(math.isfinite, (*shift, *turn)))
            if not (finite and abs(length - 1) < 1e-3 and child and parent and child != parent):
                continue
            stamp = stamp_ns(transform.header.stamp)
            entry = _Entry(stamp, parent, shift, tuple(v / length for v in turn))
            if static:
                self._static[child] = entry
            else:
                self._add_moving(self._moving.setdefault(child, []), entry)

    @staticmethod
    def _add_moving(entries: list[_Entry], entry: _Entry) -> None:
        if entries and entry.stamp < entries[-1].stamp - _CACHE_NS:
            return
        place = bisect_left(entries, entry)
        if place < len(entries) and entries[place].stamp == entry.stamp:
            return  # tf2 keeps the first of a stamp
        insort(entries, entry)
        while entries[0].stamp < entries[-1].stamp - _CACHE_NS:
            del entries[0]

    def clear(self) -> None:
        """See :class:`seg_ros.drive.vehicle.Transforms`."""
        self._moving.clear()

    def mounting(self, base_frame: str, camera_frame: str, stamp_ns: int) -> Mounting:
        """See :class:`seg_ros.drive.vehicle.Transforms`."""
        try:
            shift, turn = self._between(base_frame, camera_frame, stamp_ns)
        except LookupError as error:
            raise SegRosError(
                f"no transform from {camera_frame!r} to {base_frame!r} at the image's stamp: "
                f"{error.args[0]}"
            ) from error
        return Mounting.from_optical(shift.tolist(), turn)

    def fixed(self, frame: str, child: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """See :class:`seg_ros.drive.vehicle.Transforms`."""
        try:
            shift, turn = self._between(frame, child, None)
        except LookupError as error:
            raise SegRosError(
                f"no transform from {child!r} to {frame!r}: {error.args[0]}"
            ) from error
        x, y, z = shift.tolist()
        return (x, y, z), tuple(turn)

    def _between(
        self, target: str, source: str, stamp: int | None
    ) -> tuple[NDArray[np.float64], Sequence[float]]:
        """Position and rotation of ``source`` in ``target``; None: at the latest stamp of all.

        Raises:
            LookupError: it is not known.

        """
        target, source = target.strip("/"), source.strip("/")
        up, down = self._way(source), self._way(target)
        common = next((frame for frame in up if frame in down), None)
        if common is None:
            known = sorted({*self._static, *self._moving})
            raise LookupError(
                f"they are not connected; known are {', '.join(known[:20]) or 'none'}"
            )
        up, down = up[: up.index(common)], down[: down.index(common)]
        if stamp is None:
            newest = [self._moving[f][-1].stamp for f in (*up, *down) if f not in self._static]
            stamp = min(newest, default=0)
        at_source, at_target = self._chain(up, stamp), self._chain(down, stamp)
        inverse = (*(-v for v in at_target[1][:3]), at_target[1][3])
        shift = rotation_of_quaternion(inverse) @ (at_source[0] - at_target[0])
        return shift, product(inverse, at_source[1])

    def _way(self, frame: str) -> list[str]:
        """Frames from one to its root."""
        way = [frame]
        while len(way) < _DEEPEST:
            entry = self._static.get(way[-1]) or next(
                iter(self._moving.get(way[-1], [])[-1:]), None
            )
            if entry is None:
                break
            way.append(entry.parent)
        return way

    def _chain(
        self, frames: Sequence[str], stamp: int
    ) -> tuple[NDArray[np.float64], tuple[float, ...]]:
        """Position and rotation of the first of frames in the parent of the last."""
        shift, turn = np.zeros(3), (0.0, 0.0, 0.0, 1.0)
        for frame in frames:
            entry = self._static.get(frame) or _at(frame, self._moving[frame], stamp)
            shift = rotation_of_quaternion(entry.turn) @ shift + np.array(entry.shift)
            turn = product(entry.turn, turn)
        return shift, turn


def _at(frame: str, entries: Sequence[_Entry], stamp: int) -> _Entry:
    after = bisect_left(entries, _Entry(stamp, "", (), ()))
    if after < len(entries) and entries[after].stamp == stamp:
        return entries[after]
    if after in (0, len(entries)):
        first, last = entries[0].stamp, entries[-1].stamp
        where = "before the first" if after == 0 else "after the last"
        away = (first - stamp if after == 0 else stamp - last) / 1e9
        raise LookupError(f"that is {away:.3f} s {where} of {frame!r}")
    a, b = entries[after - 1], entries[after]
    part = (stamp - a.stamp) / (b.stamp - a.stamp)
    shift = tuple((1 - part) * p + part * q for p, q in zip(a.shift, b.shift, strict=True))
    return _Entry(stamp, a.parent, shift, _slerp(a.turn, b.turn, part))


def _slerp(a: Sequence[float], b: Sequence[float], part: float) -> tuple[float, ...]:
    """Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985."""
    dot = sum(p * q for p, q in zip(a, b, strict=True))
    if dot < 0:
        dot, b = -dot, [-q for q in b]
    angle = math.acos(min(dot, 1.0))
    if angle < 1e-9:
        return tuple((1 - part) * p + part * q for p, q in zip(a, b, strict=True))
    first, last = math.sin((1 - part) * angle), math.sin(part * angle)
    return tuple((first * p + last * q) / math.sin(angle) for p, q in zip(a, b, strict=True))
