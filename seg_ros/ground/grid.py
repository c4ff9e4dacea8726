"""From a class mask to a driveable-area occupancy grid.

The usual way, to project the mask onto flat ground, smears whatever stands on the ground into a
long false obstacle and takes the ground seen beside and under it for free. Here rays go out from
the camera's foot (:mod:`seg_ros.ground.rays`), each up to the first thing in the way:

* a cell is free only if everything a ray sees in it, and one pixel round it, is driveable ground;
* the first run of two samples of an obstacle is the contact. Cells from there to a little behind
  are occupied, all further ones unknown: hidden ground is not free and not occupied;
* ground that is not driveable is occupied where it lies and hides nothing;
* sky, unlabelled and uncertain pixels, the own bonnet and whatever is outside the view are unknown;
* so is what is free for some of the mountings only that the camera's may be within two standard
  errors (:mod:`seg_ros.ground.doubt`).

So an error of the mask may cost free cells, but flat ground that is hidden cannot come out free:
its pixel shows what hides it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from seg_ros.ground.camera import CameraModel
from seg_ros.ground.doubt import Doubt, shifts
from seg_ros.ground.grid_spec import (
    UNKNOWN,
    FirstContacts,
    GridRules,
    GridSpec,
)
from seg_ros.ground.mounting import Mounting
from seg_ros.ground.pixel_table import PixelTable
from seg_ros.ground.rays import TILT_MARGIN, Rays, lay_rays
from seg_ros.ground.walk import (
    DRIVEABLE,
    LANES,
    NOTHING,
    OBSTACLE,
    OTHER_GROUND,
    RayTiles,
    decide_cells,
    walk_tiles,
)
from seg_ros.labels import Kind, LabelSet
from seg_ros.support.bands import run_in_bands

_MOVE_MARGIN = 0.25
"""Metres a camera may move before the rays are laid anew: they are exact, but start at its foot."""

_LARGEST_BLOCK = 2**15
"""Samples in a block from which on a cell is left alone."""

_HIGHEST_UNDERSIDE = 0.5
"""Of the camera's height. Seen from below its underside a thing tells nothing of its distance."""


class DriveableGrid:
    """Turns class masks of one camera into grids; look-ups are made once.

    Args:
        spec: the part of the ground to cover.
        camera: the camera, for the size of the class masks.
        labels: what the class ids mean.
        rules: what counts as what.

    Raises:
        SegRosError: the camera sees none of that ground, or its look-ups are beyond their limits.

    """

    def __init__(
        self,
        spec: GridSpec,
        camera: CameraModel,
        labels: LabelSet,
        rules: GridRules | None = None,
    ) -> None:
        self.spec = spec
        self.camera = camera
        self.rules = rules or GridRules()
        height = camera.mounting.z * (1.0 - Doubt.of(camera.mounting).height)
        self._meaning = np.full(256, NOTHING, np.uint8)
        self._meaning[list(labels.ids_of_kind(Kind.OBSTACLE))] = OBSTACLE
        self._meaning[list(labels.ids_of_kind(Kind.GROUND))] = OTHER_GROUND
        self._meaning[list(labels.driveable_ids)] = DRIVEABLE
        underside = np.zeros(256)
        underside[: len(labels)] = [label.underside for label in labels.classes]
        undersides, level = np.unique(
            np.minimum(underside / height, _HIGHEST_UNDERSIDE), return_inverse=True
        )
        self._level = level.astype(np.uint8)
        self._threshold = math.ceil(self.rules.min_confidence * 255)
        x = np.array([spec.x_min, spec.x_max]) - camera.mounting.x
        y = np.array([spec.y_min, spec.y_max]) - camera.mounting.y
        farthest = math.hypot(np.abs(x).max(), np.abs(y).max())
        self._rays = lay_rays(camera, farthest, self.rules.max_row_span, float(undersides.max()))
        self._near = self._rays.near_edges(undersides)
        self._table = PixelTable(camera, self._rays)
        self._tiles = RayTiles(self._table.pixels, self._ignored_pixels())
        self._index, self._blocks = _cell_blocks(spec, self._rays)
        # Of whole tiles; the last one may have lanes without a ray.
        self._contacts = np.empty(self._tiles.count * LANES)
        self._clear = np.empty(self._tiles.count * LANES, np.bool_)
        self._taken = np.empty(self._tiles.base.shape, np.uint64)
        self._occupied = np.empty(self._tiles.base.shape, np.uint64)

    def serves(self, camera: CameraModel) -> bool:
        """Whether masks of a camera can be taken with these look-ups: the same, moved a little."""
        if replace(camera, mounting=self.camera.mounting) != self.camera:
            return False
        here, there = self.camera.mounting, camera.mounting
        if here.errors != there.errors:
            return False
        turn = here.base_from_optical.T @ there.base_from_optical
        angle = math.acos(min(max((np.trace(turn) - 1) / 2, -1.0), 1.0))
        moved = float(np.linalg.norm(here.position - there.position))
        return angle <= TILT_MARGIN and moved <= min(_MOVE_MARGIN, 0.1 * here.z)

    def cells(
        self,
        class_mask: NDArray[np.uint8],
        confidence: NDArray[np.uint8] | None = None,
        mounting: Mounting | None = None,
    ) -> NDArray[np.int8]:
        """State of every cell for one class mask.

        Args:
            class_mask: (H, W) uint8, of the camera's size.
            confidence: (H, W) uint8, 255 = certain; needed where the rules ask for some.
            mounting: of the camera at the mask's stamp, over level ground; the camera's own if
                None. The rays follow it, the look-ups stay.

        Returns:
            (rows, columns) int8 of :data:`FREE`, :data:`OCCUPIED`, :data:`UNKNOWN`.

        Raises:
            ValueError: mask or confidence has another size, or the confidence is missing.

        """
        size = (self.camera.height, self.camera.width)
        if class_mask.shape != size:
            raise ValueError(f"class mask is {class_mask.shape}, the camera's image {size}")
        if self._threshold and (confidence is None or confidence.shape != size):
            raise ValueError(f"the rules ask for confidence, so it must come with the mask, {size}")
        mounting = mounting or self.camera.mounting
        if mounting != self._table.mounting:
            self._table.aim(mounting)
            self._tiles.fill(self._table.pixels)
        mask = np.ascontiguousarray(class_mask).reshape(-1)
        walk = partial(
            walk_tiles,
            mask,
            mask if confidence is None else np.ascontiguousarray(confidence).reshape(-1),
            self._threshold,
            self._meaning,
            self._level,
            self._tiles.base,
            self._tiles.valid,
            self._tiles.offsets,
            self._rays.edges,
            self._near,
            self.rules.contact_depth,
            self._rays.limit,
            self._contacts,
            self._clear,
            self._taken,
            self._occupied,
        )
        run_in_bands(walk, self._tiles.count)
        cells = np.full(self.spec.shape, UNKNOWN, np.int8)
        decide = partial(
            decide_cells,
            self._index,
            self._blocks,
            self._taken,
            self._occupied,
            cells.reshape(-1),
        )
        run_in_bands(decide, len(self._index))
        return cells

    def first_contacts(self) -> FirstContacts:
        """Return what was met first in the mask that :meth:`cells` was called with last.

        The rays start at the camera's foot, the message's at the origin of its frame; so contacts
        are sorted anew by their azimuth there, and of several in one direction the nearest is kept.
        """
        rays = self._rays
        contacts, clear = self._contacts[: rays.count], self._clear[: rays.count]
        angle = rays.heading + rays.azimuths
        ends = np.where(np.isfinite(contacts), contacts, rays.limit)
        x, y = rays.foot[0] + ends * np.cos(angle), rays.foot[1] + ends * np.sin(angle)
        distance = np.hypot(x, y)
        nothing = ~np.isfinite(contacts)
        offset = (np.arctan2(y, x) - angle[0] + np.pi) % (2 * np.pi) - np.pi
        slot = np.floor(offset / rays.step + 0.5).astype(int)
        inside = (slot >= 0) & (slot < rays.count)
        range_max = float(distance[nothing].min(initial=np.inf))
        if not math.isfinite(range_max):
            range_max = rays.limit
        # Nearest wins; a direction is clear only if no ray that ends there says otherwise.
        ranges = np.full(rays.count, np.inf)
        met = inside & ~nothing & (distance <= range_max)
        np.minimum.at(ranges, slot[met], distance[met])
        known = np.zeros(rays.count, np.bool_)
        known[slot[inside & nothing & clear]] = True
        known[slot[inside & nothing & ~clear]] = False
        ranges[~known & np.isinf(ranges)] = np.nan
        return FirstContacts(float(angle[0]), rays.step, range_max, ranges.astype(np.float32))

    def _ignored_pixels(self) -> NDArray[np.bool_]:
        """Pixels of the own bonnet, (H * W,), or empty without a polygon."""
        if not self.rules.ignored:
            return np.empty(0, np.bool_)
        size = (self.camera.height, self.camera.width)
        painted = np.zeros(size, np.uint8)
        corners = np.array(self.rules.ignored) * size[::-1] - 0.5
        cv2.fillPoly(painted, [np.round(corners).astype(np.int32)], 1)
        return painted.astype(np.bool_).reshape(-1)


def _cell_blocks(spec: GridSpec, rays: Rays) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """Which rays and bins touch each cell.

    Returns:
        Flat indices of the cells that rays reach, (N,) int32, and their blocks, (N, 8) int16: first
        and last ray, first and last bin that must be free for the cell to be, with one pixel
        around, and as far around as the mounting may be wrong; then the same of those that touch
        the cell itself. Last ones are exclusive. A block that begins with ray -1 is not wholly in
        reach, so that its cell cannot be free.

    """
    rows, cols = spec.shape
    x = spec.x_min + np.arange(cols + 1) * spec.resolution - rays.foot[0]
    y = spec.y_min + np.arange(rows + 1) * spec.resolution - rays.foot[1]
    azimuth = np.arctan2(y[:, None], x[None, :])
    if rays.heading:
        azimuth = (azimuth - rays.heading + np.pi) % (2 * np.pi) - np.pi
    index = np.empty(rows * cols, np.int32)
    blocks = np.empty((rows * cols, 8), np.int16)
    extent = (rays.first, rays.count, rays.bins, rays.height, rays.limit)
    angles = (rays.step, rays.steepest, rays.drop, rays.pixel_angle)
    doubt = rays.doubt.values(rays.heading)
    count = _fill_blocks(x, y, azimuth, extent, angles, doubt, index, blocks)
    return index[:count].copy(), blocks[:count].copy()


@njit(nogil=True, cache=True)
def _fill_blocks(x, y, azimuth, extent, angles, doubt, index, blocks):  # type: ignore[no-untyped-def]
    """Fill the arrays of :func:`_cell_blocks`; return how many cells there are."""
    first, rays, bins, height, limit = extent
    step, steepest, drop, pixel = angles
    share = doubt[2]
    doubted = doubt[0] + doubt[1] + share > 0.0
    count = 0
    for row in range(len(y) - 1):
        near_y = max(y[row], -y[row + 1], 0.0)
        far_y = max(-y[row], y[row + 1])
        for col in range(len(x) - 1):
            near_x = max(x[col], -x[col + 1], 0.0)
            farthest = math.hypot(max(-x[col], x[col + 1]), far_y)
            a, b = azimuth[row, col], azimuth[row, col + 1]
            c, d = azimuth[row + 1, col], azimuth[row + 1, col + 1]
            right, left = min(a, b, c, d), max(a, b, c, d)
            # More than half a circle: it holds the foot, or lies across the back.
            if farthest > limit or left - right >= np.pi:
                continue
            steep = math.atan2(height, math.hypot(near_x, near_y))
            flat = math.atan2(height, farthest)
            r0, r1 = math.floor(right / step) - first, math.ceil(left / step) - first
            b0 = math.floor((steepest - steep) / drop)
            b1 = math.ceil((steepest - flat) / drop)
            r0, r1, b0, b1 = max(r0, 0), min(r1, rays), max(b0, 0), min(b1, bins)
            # So large it is under the camera.
            if r0 >= r1 or b0 >= b1 or (r1 - r0) * (b1 - b0) >= _LARGEST_BLOCK:
                continue
            index[count] = row * (len(x) - 1) + col
            blocks[count, 4], blocks[count, 5] = r0, r1
            blocks[count, 6], blocks[count, 7] = b0, b1
            down, aside = pixel, 0.0
            if doubted:
                steep = math.atan2(height * (1.0 + share), math.hypot(near_x, near_y))
                flat = math.atan2(height * (1.0 - share), farthest)
                moved, aside = shifts(
                    doubt, (right + left) / 2.0, (left - right) / 2.0, steep, steepest
                )
                down += moved
            # Towards the foot a pixel spans more and more azimuth.
            aside += pixel / max(math.cos(steep + down), 1e-3)
            r0, r1 = math.floor((right - aside) / step), math.ceil((left + aside) / step)
            r0, r1 = r0 - first, r1 - first
            b0 = math.floor((steepest - steep - down) / drop)
            b1 = math.ceil((steepest - flat + down) / drop)
            whole = r0 >= 0 and r1 <= rays and b0 >= 0 and b1 <= bins
            if not whole or (r1 - r0) * (b1 - b0) >= _LARGEST_BLOCK:
                r0, r1, b0, b1 = -1, 0, 0, 0
            blocks[count, 0], blocks[count, 1] = r0, r1
            blocks[count, 2], blocks[count, 3] = b0, b1
            count += 1
    return count
