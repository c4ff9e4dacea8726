"""The mask pixel of every sample of a set of rays.

Two look-ups keep the work per frame small. The lens table gives the pixel of a direction and
depends on the calibration only. The pixel table gives the pixel of every sample; when the camera
moves (pitch, roll), it is filled again from the lens table, which is exact for any pose.
"""

from __future__ import annotations

import math
import time
from functools import partial

import numpy as np
from numba import njit
from numpy.typing import NDArray

from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.mounting import Mounting
from seg_ros.ground.rays import Rays
from seg_ros.support.bands import run_in_bands

_LENS_NODES = 80
_STRIDE = 8
"""Bins from one sample that is looked up in the lens table to the next; a line between them."""

LONGEST = 5.0
"""Seconds that filling the pixel table may take; for a 1280x720 camera it is some milliseconds."""

_BLOCK = 2**21
"""Samples that are filled between two looks at the clock."""


class PixelTable:
    """The mask pixel of every sample of a set of rays.

    Args:
        camera: the calibration, for the size of the class mask.
        rays: whose samples.

    Raises:
        SegRosError: filling it takes longer than :data:`LONGEST`.

    """

    def __init__(self, camera: CameraModel, rays: Rays) -> None:
        self._rays = rays
        self._size = (camera.height, camera.width)
        self._lens, self._origin, self._per_node = _lens_table(camera)
        angle = rays.heading + rays.azimuths
        self._directions = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        self._inverse_ranges = rays.inverse_ranges
        self.pixels = np.empty((rays.count, rays.bins), np.int32)
        """Flat index of the pixel of each sample, -1 where there is none, (rays, bins) int32."""
        block = max(_BLOCK // rays.bins, 1)
        self._aim(camera.mounting, 0, min(block, rays.count))  # numba may have to compile first
        end = time.monotonic() + LONGEST
        for first in range(block, rays.count, block):
            self._aim(camera.mounting, first, min(first + block, rays.count))
            if time.monotonic() > end:
                raise SegRosError(
                    f"the look-up table of this camera, {rays.count} x {rays.bins} samples, takes "
                    f"longer than {LONGEST:g} s to make; scale its images down"
                )

    def aim(self, mounting: Mounting) -> None:
        """Fill the table for a camera that is mounted like this."""
        self._aim(mounting, 0, self._rays.count)

    def _aim(self, mounting: Mounting, first: int, last: int) -> None:
        """Fill the rows of some rays."""
        self.mounting = mounting
        rotation = mounting.base_from_optical
        to_foot = np.array([*self._rays.foot, 0.0]) - mounting.position
        kernel = partial(
            _aim_rays,
            self._directions[first:last] @ rotation[:2],
            self._inverse_ranges,
            to_foot @ rotation,
            self._lens,
            self._origin,
            self._per_node,
            *self._size,
            self.pixels[first:last],
        )
        run_in_bands(kernel, last - first)


def _lens_table(
    camera: CameraModel,
) -> tuple[NDArray[np.float32], NDArray[np.float64], float]:
    """Pixel of a direction, by its stereographic coordinates (x, y) / (length + z).

    They reach round the whole sphere but one point, so one table serves every lens.

    Returns:
        (rows, columns, 2) float32 pixel coordinates, NaN where no pixel is; coordinates of its
        first node; nodes per unit.

    """
    side = np.linspace(-0.5, 0.5, 41)
    u, v = np.meshgrid(side * camera.width, side * camera.height)
    centre = [(camera.width - 1) / 2, (camera.height - 1) / 2]
    rays = camera.unproject(np.stack([u.ravel(), v.ravel()], axis=1) + centre)
    rays = rays[np.isfinite(rays[:, 0])] @ camera.mounting.base_from_optical
    plane = rays[:, :2] / (1 + rays[:, 2:])
    low, high = plane.min(axis=0), plane.max(axis=0)
    step = float((high - low).max()) / _LENS_NODES
    # Room for the stride that reaches out of the image, and for NaN beyond the valid radius.
    rim = math.ceil(_STRIDE * _LENS_NODES / max(camera.width, camera.height)) + 2
    origin = low - rim * step
    columns, rows = (np.ceil((high - low) / step).astype(int) + 2 * rim + 1).tolist()
    x, y = np.meshgrid(origin[0] + step * np.arange(columns), origin[1] + step * np.arange(rows))
    square = x * x + y * y
    directions = np.stack([2 * x, 2 * y, 1 - square], axis=-1).reshape(-1, 3)
    pixels = camera.pixels(directions).reshape(rows, columns, 2)
    return pixels.astype(np.float32), origin, 1 / step


@njit(nogil=True, cache=True)
def _look_up(x, y, z, lens, origin, per_node):  # type: ignore[no-untyped-def]
    """Pixel coordinates (u, v) of an optical direction; NaN where there is no pixel."""
    scale = per_node / (math.sqrt(x * x + y * y + z * z) + z)
    column = x * scale - origin[0] * per_node
    row = y * scale - origin[1] * per_node
    u, v = np.nan, np.nan
    if 0.0 <= column < lens.shape[1] - 1 and 0.0 <= row < lens.shape[0] - 1:
        c, r = int(column), int(row)
        right, down = column - c, row - r
        left, up = 1.0 - right, 1.0 - down
        u = up * (left * lens[r, c, 0] + right * lens[r, c + 1, 0]) + down * (
            left * lens[r + 1, c, 0] + right * lens[r + 1, c + 1, 0]
        )
        v = up * (left * lens[r, c, 1] + right * lens[r, c + 1, 1]) + down * (
            left * lens[r + 1, c, 1] + right * lens[r + 1, c + 1, 1]
        )
    return u, v


@njit(nogil=True, cache=True)
def _aim_rays(  # type: ignore[no-untyped-def]
    along, inverse_ranges, to_foot, lens, origin, per_node, height, width, pixels, first, last
):
    """Find the pixels of rays ``first`` to ``last``: optical direction, lens table, pixel."""
    bins = inverse_ranges.size
    for i in range(first, last):
        ax, ay, az = along[i]
        u, v, end_u, end_v = 0.0, 0.0, np.nan, np.nan
        for start in range(0, bins, _STRIDE):
            end = min(start + _STRIDE, bins - 1)
            if start == 0:
                q = inverse_ranges[0]
                end_u, end_v = _look_up(
                    ax + q * to_foot[0], ay + q * to_foot[1], az + q * to_foot[2],
                    lens, origin, per_node,
                )  # fmt: skip
            u, v = end_u, end_v
            # (foot + range * direction - camera) / range, so that no range is too large.
            q = inverse_ranges[end]
            end_u, end_v = _look_up(
                ax + q * to_foot[0], ay + q * to_foot[1], az + q * to_foot[2],
                lens, origin, per_node,
            )  # fmt: skip
            count = max(end - start, 1)
            step_u, step_v = (end_u - u) / count, (end_v - v) / count
            last_bin = min(start + _STRIDE, bins)
            if (
                min(u, end_u) >= 0
                and max(u, end_u) <= width - 1
                and (min(v, end_v) >= 0 and max(v, end_v) <= height - 1)
            ):  # both ends inside: so is all between, and the loop has no branches
                for k in range(last_bin - start):
                    row, column = np.int32(v + step_v * k + 0.5), np.int32(u + step_u * k + 0.5)
                    pixels[i, start + k] = row * width + column
                continue
            for k in range(last_bin - start):
                at_u, at_v = u + step_u * k, v + step_v * k
                # NaN, beyond the valid radius, fails every comparison.
                inside = -0.5 <= at_u < width - 0.5 and -0.5 <= at_v < height - 0.5
                pixels[i, start + k] = int(at_v + 0.5) * width + int(at_u + 0.5) if inside else -1
