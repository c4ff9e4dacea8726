"""Where a camera sits in the vehicle, and how it is turned.

Frames follow REP 103. ``base_link``: x forward, y left, z up, z = 0 on the ground. The camera's
body frame is turned against it by roll, pitch, yaw (about x, y, z; R = Rz Ry Rx), so a positive
pitch looks down. The optical frame is z forward, x right, y down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

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
    length = float(np.linalg.norm(q))
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


@dataclass(frozen=True)
class Mounting:
    """Where the camera sits in ``base_link``: position in metres, rotation in radians (REP 103).

    The default is a windscreen camera of a car, looking slightly down: a guess to look at
    pictures with, not one to drive by.
    """

    x: float = 0.0
    y: float = 0.0
    z: float = 1.5
    roll: float = 0.0
    pitch: float = 0.04
    yaw: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be: a camera in the ground, or values that are no numbers."""
        if not all(math.isfinite(getattr(self, f.name)) for f in fields(self)):
            raise SegRosError(f"camera mounting {self} has a value that is not a finite number")
        if self.z <= 0.0:
            raise SegRosError(f"camera height z = {self.z} m: must be above the ground (z > 0)")

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
        r = base_from_body
        x, y, z = map(float, position)
        return cls(
            x,
            y,
            z,
            roll=math.atan2(r[2, 1], r[2, 2]),
            pitch=math.asin(min(max(-r[2, 0], -1.0), 1.0)),
            yaw=math.atan2(r[1, 0], r[0, 0]),
        )

    @classmethod
    def from_optical(cls, translation: Sequence[float], quaternion: Sequence[float]) -> Mounting:
        """Build from the transform of an image's frame, which is an optical frame (REP 103).

        Args:
            translation: x, y, z in metres.
            quaternion: x, y, z, w; takes directions of the optical frame to ``base_link``.

        Raises:
            SegRosError: the quaternion has no length, or the camera is not above the ground.

        """
        return cls.from_rotation(
            translation, rotation_of_quaternion(quaternion) @ _BODY_FROM_OPTICAL.T
        )

    @classmethod
    def from_map(cls, data: object) -> Mounting:
        """Build from what a YAML says: any of x, y, z in metres and roll, pitch, yaw in radians.

        Raises:
            SegRosError: it is no map of those.
            ValueError: a value is no number.

        """
        if not isinstance(data, dict):
            raise SegRosError("'mounting' must be a map of x, y, z, roll, pitch, yaw")
        unknown = set(data) - {f.name for f in fields(cls)}
        if unknown:
            raise SegRosError(f"'mounting' has unknown keys {sorted(map(str, unknown))}")
        return cls(**{key: float(value) for key, value in data.items()})

    def tilted(self, roll: float, pitch: float) -> Mounting:
        """Return the mounting over level ground of a vehicle that is tilted.

        The vehicle turns about the origin of ``base_link``; x stays the direction it heads in.

        Args:
            roll: of the vehicle in radians, positive leans to the right.
            pitch: of the vehicle in radians, positive is nose down.

        """
        tilt = _rotation(roll, pitch, 0.0)
        return Mounting.from_rotation((tilt @ self.position).tolist(), tilt @ self.base_from_body)
