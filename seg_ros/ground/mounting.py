"""Where a camera sits in the vehicle, and how it is turned.

Frames follow REP 103. ``base_link``: x forward, y left, z up, z = 0 on the ground. The camera's
body frame is turned against it by roll, pitch, yaw (about x, y, z; R = Rz Ry Rx), so a positive
pitch looks down. The optical frame is z forward, x right, y down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_ros.errors import SegRosError

# Body (x forward, y left, z up) from optical (x right, y down, z forward).
_BODY_FROM_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def _rotation(roll: float, pitch: float, yaw: float) -> NDArray[np.float64]:
    """Rz(yaw) Ry(pitch) Rx(roll), (3, 3), of angles in radians (REP 103)."""
    (sr, cr), (sp, cp), (sy, cy) = ((math.sin(a), math.cos(a)) for a in (roll, pitch, yaw))
    rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    rotation: NDArray[np.float64] = rz @ ry @ rx
    return rotation


def rotation_of_quaternion(quaternion: Sequence[float]) -> NDArray[np.float64]:
    """Rotation (3, 3) of a quaternion x, y, z, w of any length but zero.

    Raises:
        SegRosError: its length is zero or not finite, as in a message nobody filled in.

    """
    q = np.asarray(quaternion, np.float64)
    length = math.hypot(*q)
    if not (math.isfinite(length) and length > 1e-6):
        raise SegRosError(f"orientation {q.tolist()} is no rotation: a quaternion has length 1")
    x, y, z, w = (q / length).tolist()
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_of_rotation(rotation: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Quaternion x, y, z, w of a rotation (3, 3), with w not negative."""
    # Of the four squares the largest is exact enough to divide by (Shepperd, 1978).
    r = rotation
    squares = np.array([r[0, 0], r[1, 1], r[2, 2], np.trace(r)])
    k = int(squares.argmax())
    if k == 3:
        q = np.array(
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 1 + squares[3]], np.float64
        )
    else:
        i, j = (k + 1) % 3, (k + 2) % 3
        q = np.empty(4)
        q[k] = 1 + r[k, k] - r[i, i] - r[j, j]
        q[i], q[j] = r[i, k] + r[k, i], r[j, k] + r[k, j]
        q[3] = r[j, i] - r[i, j]
    q /= np.linalg.norm(q) * (1.0 if q[3] >= 0 else -1.0)
    x, y, z, w = q.tolist()
    return x, y, z, w


POSE_NAMES = ("x", "y", "z", "roll", "pitch", "yaw")
"""What a mounting consists of, in the order of its class."""


class Source(str, Enum):
    """Where a value of a mounting comes from."""

    MEASURED = "measured"
    """Somebody gave it: in a camera YAML, a parameter or an argument."""
    TF = "tf"
    """From TF, live or recorded."""
    ESTIMATED = "estimated"
    """From the drive itself, with a standard error."""
    ASSUMED = "assumed"
    """Nobody said it: the default."""


LOWEST, FARTHEST = 0.01, 1000.0
"""Metres that a camera may be above the ground, and in any direction from ``base_link``."""


@dataclass(frozen=True)
class MountingErrors:
    """Standard errors of a mounting: ``z`` in metres, angles in radians; 0 where none is known."""

    z: float = 0.0
    roll: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0

    def __post_init__(self) -> None:
        """Refuse errors that are none."""
        for f in fields(self):
            value = getattr(self, f.name)
            if not (math.isfinite(value) and value >= 0.0):
                raise SegRosError(f"standard error of {f.name} is {value}: must be 0 or more")


@dataclass(frozen=True)
class Mounting:
    """Where the camera sits in ``base_link``: position in metres, rotation in radians (REP 103).

    The default values are those of a windscreen camera of a car that looks slightly down: a guess
    to look at pictures with, not one to drive by. Who takes them for want of better says so with
    :data:`ASSUMED_MOUNTING`.
    """

    x: float = 0.0
    y: float = 0.0
    z: float = 1.5
    roll: float = 0.0
    pitch: float = 0.04
    yaw: float = 0.0
    source: Source = Source.MEASURED
    """Where the angles come from."""
    height_source: Source = Source.MEASURED
    """Where ``z`` comes from."""
    errors: MountingErrors = MountingErrors()

    def __post_init__(self) -> None:
        """Refuse what cannot be: a camera in the ground, or values that are no numbers."""
        if not all(math.isfinite(getattr(self, name)) for name in POSE_NAMES):
            raise SegRosError(f"camera mounting {self} has a value that is not a finite number")
        if not LOWEST <= self.z <= FARTHEST:
            raise SegRosError(
                f"camera height z = {self.z} m: must be {LOWEST:g} to {FARTHEST:g} m "
                "above the ground"
            )
        if max(abs(self.x), abs(self.y)) > FARTHEST:
            raise SegRosError(
                f"camera position x = {self.x}, y = {self.y} m: at most {FARTHEST:g} m "
                "from base_link"
            )

    @property
    def certain(self) -> bool:
        """Whether neither angles nor height are assumed."""
        return Source.ASSUMED not in (self.source, self.height_source)

    @cached_property
    def base_from_body(self) -> NDArray[np.float64]:
        """Rotation that takes a direction in the camera's body frame to ``base_link``, (3, 3)."""
        return _rotation(self.roll, self.pitch, self.yaw)

    @cached_property
    def base_from_optical(self) -> NDArray[np.float64]:
        """Rotation that takes a direction in the optical frame to ``base_link``, (3, 3)."""
        return np.asarray(self.base_from_body @ _BODY_FROM_OPTICAL)

    @property
    def position(self) -> NDArray[np.float64]:
        """Camera centre in ``base_link``, (3,) metres."""
        return np.array([self.x, self.y, self.z])

    @classmethod
    def from_rotation(
        cls, position: Sequence[float], base_from_body: NDArray[np.float64]
    ) -> Mounting:
        """Build from a position and a rotation (3, 3) of the camera's body frame (REP 103)."""
        x, y, z = map(float, position)
        roll, pitch, yaw = _angles(base_from_body)
        return cls(x, y, z, roll, pitch, yaw)

    @classmethod
    def from_optical(cls, translation: Sequence[float], quaternion: Sequence[float]) -> Mounting:
        """Build from the transform of an image's frame, which is an optical frame (REP 103).

        Args:
            translation: x, y, z in metres.
            quaternion: x, y, z, w; takes directions of the optical frame to ``base_link``.

        Raises:
            SegRosError: the quaternion has no length, or the camera is not above the ground.

        """
        rotation = rotation_of_quaternion(quaternion) @ _BODY_FROM_OPTICAL.T
        return replace(
            cls.from_rotation(translation, rotation), source=Source.TF, height_source=Source.TF
        )

    @classmethod
    def from_map(cls, data: object) -> Mounting:
        """Build from what a YAML says, as :meth:`to_map` writes it; all of it may be left out.

        Angles of which the pitch is left out, and a height that is left out, are assumed.

        Raises:
            SegRosError: it is no map of those.
            ValueError: a value is no number.

        """
        if not isinstance(data, dict):
            raise SegRosError("'mounting' must be a map of x, y, z, roll, pitch, yaw")
        unknown = set(data) - {*POSE_NAMES, "source", "height_source", "standard_error"}
        if unknown:
            raise SegRosError(f"'mounting' has unknown keys {sorted(map(str, unknown))}")
        values = {key: float(data[key]) for key in POSE_NAMES if key in data}
        return cls(
            **values,
            source=_source(data, "source", "pitch"),
            height_source=_source(data, "height_source", "z"),
            errors=_errors(data.get("standard_error", {})),
        )

    def to_map(self) -> dict[str, Any]:
        """Return what :meth:`from_map` reads."""
        values: dict[str, Any] = {name: float(getattr(self, name)) for name in POSE_NAMES}
        values |= {"source": self.source.value, "height_source": self.height_source.value}
        errors = {name: float(value) for name, value in asdict(self.errors).items()}
        return {**values, **({"standard_error": errors} if any(errors.values()) else {})}

    def tilted(self, roll: float, pitch: float) -> Mounting:
        """Return the mounting over level ground of a vehicle that is tilted.

        The vehicle turns about the origin of ``base_link``; x stays the direction it heads in.

        Args:
            roll: of the vehicle in radians, positive leans to the right.
            pitch: of the vehicle in radians, positive is nose down.

        """
        tilt = _rotation(roll, pitch, 0.0)
        x, y, z = (tilt @ self.position).tolist()
        angles = _angles(tilt @ self.base_from_body)
        return replace(self, x=x, y=y, z=z, roll=angles[0], pitch=angles[1], yaw=angles[2])


ASSUMED_MOUNTING = Mounting(source=Source.ASSUMED, height_source=Source.ASSUMED)
"""What is taken where nobody says where the camera sits."""


def _angles(r: NDArray[np.float64]) -> tuple[float, float, float]:
    """Roll, pitch and yaw of a rotation (3, 3) of the camera's body frame."""
    return (
        math.atan2(r[2, 1], r[2, 2]),
        math.asin(min(max(-r[2, 0], -1.0), 1.0)),
        math.atan2(r[1, 0], r[0, 0]),
    )


def mounting_of_aim(
    direction: NDArray[np.float64], up: NDArray[np.float64] | None = None
) -> Mounting:
    """Return the mounting of a camera that sees the direction of travel and the road's normal.

    Args:
        direction: (3,) unit vector of the direction of travel in the optical frame; ahead of it.
        up: (3,) the road's normal, away from the road, in the optical frame; what of it lies along
            the direction of travel does not count. None: a camera that does not roll.

    Returns:
        With x, y, z of the default.

    """
    if up is None:
        yaw = math.atan2(direction[0], math.hypot(direction[1], direction[2]))
        pitch = math.atan2(-direction[1], direction[2])
        return Mounting(pitch=pitch, yaw=yaw)
    up = up - direction * (up @ direction)
    up /= np.linalg.norm(up)
    base_from_optical = np.stack([direction, np.cross(up, direction), up])
    return Mounting.from_rotation((0.0, 0.0, 1.0), base_from_optical @ _BODY_FROM_OPTICAL.T)


def _source(data: Mapping[Any, Any], key: str, value: str) -> Source:
    """Where a value of a map comes from, by default from who wrote it there."""
    given = data.get(key, Source.MEASURED if value in data else Source.ASSUMED)
    try:
        return Source(given)
    except ValueError:
        choices = ", ".join(source.value for source in Source)
        raise SegRosError(f"'mounting' has {key} {given!r}; use one of {choices}") from None


def _errors(data: object) -> MountingErrors:
    names = [f.name for f in fields(MountingErrors)]
    if not isinstance(data, dict) or not set(data) <= set(names):
        raise SegRosError(f"'standard_error' of the mounting must be a map of {', '.join(names)}")
    return MountingErrors(**{str(key): float(value) for key, value in data.items()})
