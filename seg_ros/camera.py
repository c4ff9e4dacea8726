"""Camera model: intrinsics, lens distortion and mounting; between pixels and the vehicle frame.

Frames follow REP 103. ``base_link``: x forward, y left, z up, z = 0 on the ground. The camera's
body frame is turned against it by roll, pitch, yaw (about x, y, z; R = Rz Ry Rx), so a positive
pitch looks down. The optical frame is z forward, x right, y down. Pixel centres have whole
coordinates. Distortion models and their names are those of sensor_msgs/CameraInfo (REP 104).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from seg_ros.errors import SegRosError

_COEFFICIENTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}

# Body (x forward, y left, z up) from optical (x right, y down, z forward).
_BODY_FROM_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


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
    def base_from_optical(self) -> NDArray[np.float64]:
        """Rotation that takes a direction in the optical frame to ``base_link``, (3, 3)."""
        (sr, cr), (sp, cp), (sy, cy) = (
            (math.sin(a), math.cos(a)) for a in (self.roll, self.pitch, self.yaw)
        )
        rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        rotation: NDArray[np.float64] = rz @ ry @ rx @ _BODY_FROM_OPTICAL
        return rotation

    @property
    def position(self) -> NDArray[np.float64]:
        """Camera centre in ``base_link``, (3,) metres."""
        return np.array([self.x, self.y, self.z])


@dataclass(frozen=True)
class CameraModel:
    """A calibrated, mounted camera.

    ``fx, fy, cx, cy`` are in pixels of a ``width`` x ``height`` image; ``distortion`` holds the
    coefficients of ``distortion_model`` in OpenCV's order.

    Raises:
        SegRosError: sizes or focal lengths are not positive, or the distortion model is unknown
            or has another number of coefficients.

    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = "plumb_bob"
    distortion: tuple[float, ...] = ()
    mounting: Mounting = Mounting()

    def __post_init__(self) -> None:
        """Refuse a camera that cannot be."""
        if self.width < 1 or self.height < 1:
            raise SegRosError(f"camera size {self.width}x{self.height} must be positive")
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not all(map(math.isfinite, numbers)) or self.fx <= 0 or self.fy <= 0:
            raise SegRosError(
                f"camera is not calibrated: fx = {self.fx}, fy = {self.fy} must be positive and "
                "all values finite (sensor_msgs/CameraInfo: K[0] = 0 means uncalibrated)"
            )
        allowed = _COEFFICIENTS.get(self.distortion_model)
        if allowed is None:
            raise SegRosError(
                f"distortion model {self.distortion_model!r} is unknown; use one of "
                f"{', '.join(_COEFFICIENTS)}"
            )
        if self.distortion and len(self.distortion) not in allowed:
            raise SegRosError(
                f"distortion model {self.distortion_model} has {len(self.distortion)} "
                f"coefficients; it needs {' or '.join(map(str, allowed))}, or none"
            )

    @classmethod
    def from_intrinsics(
        cls,
        width: int,
        height: int,
        k: Sequence[float],
        distortion_model: str = "",
        d: Sequence[float] = (),
        mounting: Mounting | None = None,
    ) -> CameraModel:
        """Build from the fields of sensor_msgs/CameraInfo: ``k`` row-major 3x3, ``d`` any length.

        An empty distortion model, or coefficients that are all zero, is no distortion.

        Raises:
            SegRosError: as for the class, or ``k`` has not nine values.

        """
        if len(k) != 9:
            raise SegRosError(f"camera matrix K has {len(k)} values; it needs 9, row by row")
        distortion = tuple(float(c) for c in d) if any(d) else ()
        return cls(
            width=int(width),
            height=int(height),
            fx=float(k[0]),
            fy=float(k[4]),
            cx=float(k[2]),
            cy=float(k[5]),
            distortion_model=distortion_model or "plumb_bob",
            distortion=distortion,
            mounting=mounting or Mounting(),
        )

    @property
    def k(self) -> NDArray[np.float64]:
        """Camera matrix, (3, 3)."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    def scaled(self, width: int, height: int) -> CameraModel:
        """Return the same camera for its image resized to ``width`` x ``height`` pixels."""
        if (width, height) == (self.width, self.height):
            return self
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            # Pixel centres are whole numbers, so the image's corner is at -0.5.
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def fitted(self, width: int, height: int) -> CameraModel:
        """Return :meth:`scaled`, for an image that should be this camera's.

        Raises:
            SegRosError: the image has other proportions, so it is another camera's or was cropped.

        """
        if abs(self.width * height - self.height * width) > max(width, height):
            raise SegRosError(
                f"camera calibration is for {self.width}x{self.height}, the image is "
                f"{width}x{height}: they do not belong together"
            )
        return self.scaled(width, height)

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels of points in ``base_link``.

        Args:
            points: (N, 3) metres.

        Returns:
            (N, 2) pixel coordinates (u, v); NaN for points that are not in front of the camera.

        """
        rays = (points - self.mounting.position) @ self.mounting.base_from_optical
        pixels = np.full((len(rays), 2), np.nan)
        ahead = rays[:, 2] > 1e-6
        if not ahead.any():
            return pixels
        flat = rays[ahead][:, None, :]
        zero = np.zeros(3)
        if self.distortion_model == "equidistant" and self.distortion:
            image, _ = cv2.fisheye.projectPoints(
                flat, zero, zero, self.k, np.array(self.distortion)
            )
        else:
            image, _ = cv2.projectPoints(flat, zero, zero, self.k, np.array(self.distortion))
        pixels[ahead] = image.reshape(-1, 2)
        return pixels

    def unproject(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Directions in ``base_link`` in which pixels look.

        Args:
            pixels: (N, 2) pixel coordinates (u, v).

        Returns:
            (N, 3) unit vectors.

        """
        points = np.ascontiguousarray(pixels, np.float64)[:, None, :]
        if not self.distortion:
            flat = (points - [self.cx, self.cy]) / [self.fx, self.fy]
        else:
            flat = self._undistort(points)
        rays = np.concatenate([flat.reshape(-1, 2), np.ones((len(pixels), 1))], axis=1)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        return np.asarray(rays @ self.mounting.base_from_optical.T)

    def _undistort(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Normalised coordinates of distorted pixels, (N, 1, 2) both."""
        distortion = np.array(self.distortion)
        if self.distortion_model == "equidistant":
            return np.asarray(cv2.fisheye.undistortPoints(points, self.k, distortion))
        # OpenCV's default of 5 fixed-point steps is off by whole pixels at wide angles.
        stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-9)
        steps: Any = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)  # 4.x, 5.x
        if steps is cv2.undistortPoints:
            return np.asarray(steps(points, self.k, distortion, criteria=stop))
        return np.asarray(steps(points, self.k, distortion, None, None, stop))


def load_camera(path: str | Path) -> CameraModel:
    """Read a camera from YAML: camera_calibration's format, with an optional ``mounting``.

    ``mounting`` is a map of ``x, y, z`` in metres and ``roll, pitch, yaw`` in radians; what is
    left out keeps the default of :class:`Mounting`.

    Raises:
        SegRosError: the file is missing or not such a YAML; the message names file and key.

    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SegRosError(f"camera file {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SegRosError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    try:
        return CameraModel.from_intrinsics(
            width=int(data["image_width"]),
            height=int(data["image_height"]),
            k=[float(v) for v in data["camera_matrix"]["data"]],
            distortion_model=str(data.get("distortion_model", "")),
            d=[float(v) for v in data.get("distortion_coefficients", {}).get("data", [])],
            mounting=_mounting(data.get("mounting", {})),
        )
    except KeyError as error:
        raise SegRosError(f"{path}: no {error} (camera_calibration's YAML has it)") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise SegRosError(f"{path}: not a camera YAML ({error})") from error
    except SegRosError as error:
        raise SegRosError(f"{path}: {error}") from error


def save_camera(camera: CameraModel, path: Path) -> None:
    """Write a camera in the format that :func:`load_camera` reads."""
    mounting = camera.mounting
    data = {
        "image_width": camera.width,
        "image_height": camera.height,
        "camera_name": "camera",
        "camera_matrix": {"rows": 3, "cols": 3, "data": camera.k.ravel().tolist()},
        "distortion_model": camera.distortion_model,
        "distortion_coefficients": {
            "rows": 1,
            "cols": len(camera.distortion),
            "data": list(camera.distortion),
        },
        "mounting": {f.name: float(getattr(mounting, f.name)) for f in fields(mounting)},
    }
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def _mounting(data: Any) -> Mounting:
    if not isinstance(data, dict):
        raise SegRosError("'mounting' must be a map of x, y, z, roll, pitch, yaw")
    unknown = set(data) - {f.name for f in fields(Mounting)}
    if unknown:
        raise SegRosError(f"'mounting' has unknown keys {sorted(map(str, unknown))}")
    return Mounting(**{key: float(value) for key, value in data.items()})
