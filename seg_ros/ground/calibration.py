"""Whether a calibration can be a camera's: finite numbers may still be absurd.

Judged for the whole sensor, before a region of interest and binning, when it comes: what follows
would cost look-up tables of any size, and a grid that is nowhere near the road.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from seg_ros.errors import SegRosError

if TYPE_CHECKING:
    from seg_ros.ground.camera import CameraModel

SMALLEST, LARGEST = 16, 32_768
"""Pixels of a side of a sensor."""

NARROWEST = 5.0
"""Degrees of the wider field of view; a longer lens sees no road."""

WIDEST = {"plumb_bob": 170.0, "rational_polynomial": 170.0, "equidistant": 200.0}
"""Degrees of the wider field of view by distortion model, of the lens without its distortion."""

_PROPORTION = 8.0
"""How many times longer one side of a sensor may be, and one focal length than the other."""

_OUTSIDE = 0.5
"""Parts of the image's size by which the principal point may lie outside it: a shifted lens."""


def check_calibration(camera: CameraModel) -> None:
    """Refuse a calibration that no camera has.

    Args:
        camera: for the whole sensor.

    Raises:
        SegRosError: its size, proportions, field of view or principal point are impossible; the
            message says which and what it may be.

    """
    width, height = camera.width, camera.height
    if not (min(width, height) >= SMALLEST and max(width, height) <= LARGEST):
        raise SegRosError(
            f"camera size {width}x{height} is no camera's: a side has {SMALLEST} to {LARGEST} "
            "pixels"
        )
    if max(width, height) > _PROPORTION * min(width, height):
        raise SegRosError(
            f"camera size {width}x{height} is no camera's: a side is at most {_PROPORTION:g} times "
            "the other"
        )
    focal = f"fx = {camera.fx:g}, fy = {camera.fy:g}"
    if camera.fx < 2 and camera.fy < 2:
        raise SegRosError(
            f"camera is not calibrated in pixels: {focal} for {width}x{height}, as if given as "
            "parts of the image's size; multiply fx and cx by the width, fy and cy by the height"
        )
    if max(camera.fx, camera.fy) > _PROPORTION * min(camera.fx, camera.fy):
        raise SegRosError(
            f"camera calibration is impossible: {focal}; one is at most {_PROPORTION:g} times the "
            "other"
        )
    widest = WIDEST[camera.distortion_model]
    seen = max(_field_of_view(camera, width, camera.fx), _field_of_view(camera, height, camera.fy))
    if not NARROWEST <= seen <= widest:
        raise SegRosError(
            f"camera calibration is impossible: {focal} for {width}x{height} is a field of view of "
            f"{seen:.3g} degrees; {camera.distortion_model} is used from {NARROWEST:g} to "
            f"{widest:g}"
        )
    for name, centre, size in (("cx", camera.cx, width), ("cy", camera.cy, height)):
        if not -_OUTSIDE * size <= centre <= (1 + _OUTSIDE) * size:
            raise SegRosError(
                f"camera calibration is impossible: {name} = {centre:g} is far outside the "
                f"{width}x{height} image"
            )


def _field_of_view(camera: CameraModel, size: int, focal: float) -> float:
    """Degrees across a side seen from the axis, without distortion."""
    half = size / 2 / focal
    angle = half if camera.distortion_model == "equidistant" else math.atan(half)
    return math.degrees(2 * angle)
