"""Camera model: intrinsics, lens distortion and mounting; between pixels and the vehicle frame.

Frames are those of :mod:`seg_ros.ground.mounting`. Pixel centres have whole coordinates. Distortion
models and their names are those of sensor_msgs/CameraInfo (REP 104).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.errors import SegRosError
from seg_ros.ground.calibration import check_calibration
from seg_ros.ground.mounting import ASSUMED_MOUNTING, Mounting

_COEFFICIENTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
_UNDISTORTED = frozenset(
    ("", "none", "no_distortion", "undistorted", "rectified", "ideal", "pinhole", "perspective")
)
"""What drivers call a lens without distortion; REP 104 and CameraInfo have no name for it."""
_SAME_AS_PLUMB_BOB_AT_ZERO = frozenset(
    ("brown_conrady", "inverse_brown_conrady", "modified_brown_conrady", "radtan")
)
"""Models that cannot be told from ``plumb_bob`` only where all their coefficients are zero."""

_TABLE = 512
"""Nodes of the radial distortion's table, from which its inverse is started."""

_NEWTON_STEPS = 6
_FAR = 1e6
"""Distance from the axis, at depth 1, that no lens reaches."""

_ROUND_TRIP = 1e-3
"""Pixels by which an unprojected pixel may miss itself; more, and there is no such ray."""


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
    mounting: Mounting = ASSUMED_MOUNTING

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

        Coefficients that are all zero or absent are no distortion, where the model is a known one,
        empty, ``none`` or what else drivers call a lens without distortion.

        Raises:
            SegRosError: as for the class, ``k`` has not nine values, or there are coefficients
                while the model's name says that there is no distortion.

        """
        if len(k) != 9:
            raise SegRosError(f"camera matrix K has {len(k)} values; it needs 9, row by row")
        distortion = tuple(float(c) for c in d) if any(d) else ()
        name = str(distortion_model).strip().lower().replace(" ", "_").replace("-", "_")
        if name in _COEFFICIENTS:
            distortion_model = name
        elif name in _UNDISTORTED or (name in _SAME_AS_PLUMB_BOB_AT_ZERO and not distortion):
            if distortion and name:
                raise SegRosError(
                    f"distortion model {distortion_model!r} says there is none, but there are "
                    f"coefficients {list(distortion)}; use one of {', '.join(_COEFFICIENTS)}"
                )
            distortion_model = ""
        return cls(
            width=int(width),
            height=int(height),
            fx=float(k[0]),
            fy=float(k[4]),
            cx=float(k[2]),
            cy=float(k[5]),
            distortion_model=distortion_model or "plumb_bob",
            distortion=distortion,
            mounting=mounting or ASSUMED_MOUNTING,
        )

    @classmethod
    def from_camera_info(cls, info: Any, mounting: Mounting | None = None) -> CameraModel:
        """Build from a sensor_msgs/CameraInfo, for the image that comes with it.

        K and D are for the whole sensor. Its region of interest is cut out first, then pixels are
        binned, so an image has roi.width / binning_x by roi.height / binning_y pixels; a region of
        zeros is the whole sensor and a binning of 0 is none, as the message's definition says.

        Raises:
            SegRosError: as for the class, the calibration is no camera's, or the region is not
                within the sensor.

        """
        full = cls.from_intrinsics(
            info.width, info.height, info.k, info.distortion_model, info.d, mounting
        )
        check_calibration(full)
        roi = info.roi
        region = (roi.x_offset, roi.y_offset, roi.width, roi.height)
        seen = full.cropped(*map(int, region)) if any(region) else full
        binning = max(int(info.binning_x), 1), max(int(info.binning_y), 1)
        return seen.scaled(seen.width // binning[0], seen.height // binning[1])

    @property
    def k(self) -> NDArray[np.float64]:
        """Camera matrix, (3, 3)."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    def cropped(self, left: int, top: int, width: int, height: int) -> CameraModel:
        """Return the same camera for a part of its image.

        Args:
            left: first column of the part.
            top: first row of the part.
            width: of the part in pixels.
            height: of the part in pixels.

        Raises:
            SegRosError: the part is empty or not within the image.

        """
        if width < 1 or height < 1 or left + width > self.width or top + height > self.height:
            raise SegRosError(
                f"region of interest {width}x{height} at {left}, {top} is not within the "
                f"{self.width}x{self.height} image"
            )
        return replace(self, width=width, height=height, cx=self.cx - left, cy=self.cy - top)

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
            (N, 2) pixel coordinates (u, v), also outside the image; NaN for points that are not in
            front of the camera or beyond the :attr:`valid_radius`.

        """
        return self.pixels((points - self.mounting.position) @ self.mounting.base_from_optical)

    def unproject(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Directions in ``base_link`` in which pixels look.

        Args:
            pixels: (N, 2) pixel coordinates (u, v).

        Returns:
            (N, 3) unit vectors; NaN for pixels beyond the :attr:`valid_radius`.

        """
        flat = self.undistort(np.asarray(pixels, np.float64))
        rays = np.concatenate([flat, np.ones((len(flat), 1))], axis=1)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        return np.asarray(rays @ self.mounting.base_from_optical.T)

    def pixels(self, rays: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels of directions of any length in the optical frame, (N, 3) to (N, 2).

        What :meth:`project` says of NaN holds here, too.
        """
        pixels = np.full((len(rays), 2), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            flat = rays[:, :2] / rays[:, 2:]
            seen = (rays[:, 2] > 0) & (np.hypot(flat[:, 0], flat[:, 1]) <= self.valid_radius)
        if seen.any():
            pixels[seen] = self._distort(flat[seen])
        return pixels

    @cached_property
    def valid_radius(self) -> float:
        """Distance from the axis, at depth 1, up to which the distortion is a distortion.

        A radial polynomial fits the lens inside the image and turns back somewhere outside it.
        From there on two directions fall on one pixel, and a point far off the axis would come out
        in the middle of the picture. So a direction is a pixel only as far as the distorted radius
        grows. Equidistant: also nearer than 90 degrees to the axis, as OpenCV's model demands.
        """
        d = [*self.distortion, *[0.0] * 8][:8]
        if not self.distortion:
            return _FAR
        if self.distortion_model == "equidistant":
            # theta_d = theta (1 + k1 theta^2 + ... + k4 theta^8); grows while its derivative does.
            turn = _first_root(
                np.polynomial.Polynomial([1, 3 * d[0], 5 * d[1], 7 * d[2], 9 * d[3]])
            )
            return math.tan(min(math.sqrt(turn), math.radians(89.0)))
        # r_d = r N(r^2) / D(r^2), D = 1 for plumb_bob.
        top = np.polynomial.Polynomial([1, d[0], d[1], d[4]])
        bottom = np.polynomial.Polynomial([1, *(d[5:8] if len(self.distortion) >= 8 else ())])
        square = np.polynomial.Polynomial([0, 1])
        slope = (top + 2 * square * top.deriv()) * bottom - 2 * square * top * bottom.deriv()
        return math.sqrt(min(_first_root(slope), _first_root(bottom)))

    def _distort(self, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels of points at depth 1, (N, 2) both."""
        if not self.distortion:
            return np.asarray(flat * [self.fx, self.fy] + [self.cx, self.cy])
        zero, distortion = np.zeros(3), np.array(self.distortion)
        if self.distortion_model == "equidistant":
            image = cv2.fisheye.distortPoints(flat[:, None, :], self.k, distortion)
        else:
            points = np.concatenate([flat, np.ones((len(flat), 1))], axis=1)
            image, _ = cv2.projectPoints(points[:, None, :], zero, zero, self.k, distortion)
        return np.asarray(image, np.float64).reshape(-1, 2)

    @cached_property
    def _radial_table(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rising distorted radii, and the radii they come from, both at depth 1, (_TABLE,)."""
        # Even steps of the angle, so that wide angles do not get all the nodes.
        radius = np.tan(np.linspace(0, math.atan(self.valid_radius), _TABLE))
        if self.distortion_model == "equidistant":
            k = np.array([1.0, *self.distortion])
            angle = np.arctan(radius)
            return angle * np.polynomial.polynomial.polyval(angle**2, k), radius
        d = [*self.distortion, *[0.0] * 8][:8]
        rational = d[5:8] if len(self.distortion) >= 8 else []
        square = radius**2
        top = np.polynomial.polynomial.polyval(square, [1, d[0], d[1], d[4]])
        return radius * top / np.polynomial.polynomial.polyval(square, [1, *rational]), radius

    def undistort(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points at depth 1 of pixels, (N, 2) both; NaN where there is no such ray.

        OpenCV's own inverses stop short or run off at wide angles, so this starts from the inverse
        of the radial part and takes Newton steps on OpenCV's forward model.
        """
        flat: NDArray[np.float64] = (pixels - [self.cx, self.cy]) / [self.fx, self.fy]
        if not self.distortion or not len(flat):
            return flat
        distorted, radius = self._radial_table
        length = np.hypot(flat[:, 0], flat[:, 1])
        flat *= (np.interp(length, distorted, radius) / np.maximum(length, 1e-12))[:, None]
        aside, below = np.array([1e-6, 0.0]), np.array([0.0, 1e-6])
        for _ in range(_NEWTON_STEPS):
            miss = self._distort(flat) - pixels
            if np.abs(miss).max() < _ROUND_TRIP / 100:
                break
            along_x = (self._distort(flat + aside) - pixels - miss) / 1e-6
            along_y = (self._distort(flat + below) - pixels - miss) / 1e-6
            det = along_x[:, 0] * along_y[:, 1] - along_x[:, 1] * along_y[:, 0]
            det[det == 0] = np.nan
            flat[:, 0] -= (miss[:, 0] * along_y[:, 1] - miss[:, 1] * along_y[:, 0]) / det
            flat[:, 1] -= (miss[:, 1] * along_x[:, 0] - miss[:, 0] * along_x[:, 1]) / det
            # No further than the model holds, or a step in its flat end runs off.
            length = np.hypot(flat[:, 0], flat[:, 1])
            flat *= np.minimum(1.0, self.valid_radius / np.maximum(length, 1e-12))[:, None]
        miss = np.abs(self._distort(flat) - pixels).max(axis=1)
        flat[~(miss < _ROUND_TRIP)] = np.nan
        return flat


def _first_root(polynomial: np.polynomial.Polynomial) -> float:
    """Smallest positive real root, or one so large that it does not matter."""
    roots = polynomial.trim(1e-15).roots()
    real = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)]
    return float(real.min(initial=_FAR**2))
