"""Rays over the ground: which mask pixel shows each piece of ground, and what is met first.

Rays leave the camera's foot (the point of the ground under it) by azimuth. A ray over the ground
and everything that stands on it lie in one vertical plane through the camera, so they lie on one
line of the image, whatever roll and lens: going out along the ray is going up along the things that
stand on it, and the first of them is where the vehicle would touch it.

A ray is cut into bins of equal depression angle. One sample stands for a bin; neither bins nor rays
are coarser than a mask pixel, so between two samples there is no pixel that was not looked at.

Two look-ups keep the work per frame small. The lens table gives the pixel of a direction and
depends on the calibration only. The pixel table gives the pixel of every sample; when the camera
moves (pitch, roll), it is filled again from the lens table, which is exact for any pose.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numba import njit
from numpy.typing import NDArray

from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.doubt import Doubt
from seg_ros.ground.mounting import Mounting
from seg_ros.support.bands import run_in_bands

DRIVEABLE, OTHER_GROUND, OBSTACLE, NOTHING = 0, 1, 2, 3
"""What a class is to a ray; NOTHING (sky, unlabelled) is neither ground nor in the way."""

SEEN_FREE, NOT_SEEN, IN_THE_WAY = 0, 1, 2
"""What a bin of a ray turned out to be."""

OCCUPIED_UNIT = 1 << 16
"""Two counts share one number: bins that are not free, and times this, those that are occupied."""

_COUNTED_AS = (0, 1, OCCUPIED_UNIT + 1)
"""By what each of the bins above is counted."""

TILT_MARGIN = math.radians(4.0)
"""How far the camera may turn before rays are laid anew."""

_RIM = math.radians(1.5)
"""How far rays reach beyond the view; where a turn shows more, its rim stays unknown."""

_STEP_MARGIN = 0.97
"""Rays and bins are this much finer than the view asks for, as it may turn by the margin above."""

_STEEPEST = math.radians(85.0)
_LENS_NODES = 80
_STRIDE = 8
"""Bins from one sample that is looked up in the lens table to the next; a line between them."""

MOST_RAYS = MOST_BINS = 2**15 - 1
"""Of a camera; the cells' blocks count them with 16 bits."""

MOST_SAMPLES = 2**26
"""Of all rays, 256 MiB of pixel numbers; a normal lens needs one for each pixel of the mask."""

LONGEST = 5.0
"""Seconds that filling the pixel table may take; for a 1280x720 camera it is some milliseconds."""

_BLOCK = 2**21
"""Samples that are filled between two looks at the clock."""

_LENS_ERROR = 0.05
"""Pixels; what both interpolations may add up to, test_grid holds them to this."""


@dataclass(frozen=True)
class Rays:
    """Rays and bins for one camera height; everything in metres and radians of ``base_link``."""

    foot: tuple[float, float]
    """Where the rays start."""
    height: float
    """Of the camera above the ground."""
    heading: float
    """Azimuth of the camera's axis; ray k looks along ``heading + (first + k + 0.5) * step``."""
    first: int
    count: int
    step: float
    """Angle between rays."""
    pixel_angle: float
    """The largest angle between neighbouring pixels, with the lens table's error."""
    steepest: float
    """Depression at which the first bin begins."""
    drop: float
    """Depression from one bin to the next."""
    bins: int
    limit: float
    """Range up to which bins count; those beyond serve to find what hangs over nearer ground, or
    what may be nearer than it is believed to be."""
    doubt: Doubt
    """By how much the camera's mounting may be wrong."""

    @property
    def azimuths(self) -> NDArray[np.float64]:
        """Azimuth of each ray relative to ``heading``, (count,)."""
        return np.asarray((self.first + np.arange(self.count) + 0.5) * self.step, np.float64)

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """Ranges between bins, rising, (bins + 1,)."""
        return np.asarray(self.height / np.tan(self._depressions))

    def near_edges(self, undersides: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return :meth:`seg_ros.ground.doubt.Doubt.near_edges` of the bins, (N, bins + 1)."""
        return self.doubt.near_edges(self.height, self._depressions, undersides)

    @property
    def _depressions(self) -> NDArray[np.float64]:
        return np.asarray(self.steepest - self.drop * np.arange(self.bins + 1), np.float64)

    @property
    def inverse_ranges(self) -> NDArray[np.float64]:
        """1 / range of each bin's sample, the middle of its depressions, (bins,)."""
        middle = self.steepest - self.drop * (np.arange(self.bins) + 0.5)
        return np.asarray(np.tan(middle) / self.height)


def lay_rays(camera: CameraModel, farthest: float, max_row_span: float, overhang: float) -> Rays:
    """Lay rays over what a camera sees of the ground.

    Args:
        camera: for the size of the class mask.
        farthest: range in metres beyond which nothing is asked.
        max_row_span: metres of ground one mask row may cover; where it covers more, rays end.
        overhang: largest underside height of any class over the camera's height, 0 to < 1.

    Raises:
        SegRosError: the camera sees no ground within the limits, or needs more rays than are laid.

    """
    mounting = camera.mounting
    axis = mounting.base_from_optical[:, 2]
    heading = math.atan2(axis[1], axis[0])
    rays, step, drop, largest = _view(camera)
    depression = -np.arcsin(np.clip(rays[:, 2], -1, 1))
    doubt = Doubt.of(mounting)
    limit = min(farthest, _believed_limit(camera, doubt, max_row_span))
    azimuth = np.arctan2(rays[:, 1], rays[:, 0]) - heading
    azimuth = (azimuth + np.pi) % (2 * np.pi) - np.pi
    half_circle = int(math.pi / step)
    first = max(math.floor((azimuth.min() - _RIM) / step), -half_circle)
    last = min(math.ceil((azimuth.max() + _RIM) / step), half_circle)
    nearest = min(float(depression.max()) + _RIM, _STEEPEST)
    # What is met at the limit may be seen as far as this, and takes two bins to be believed.
    lowest = mounting.z * (1 - doubt.height) * (1 - overhang)
    shallowest = math.atan2(lowest, limit) - doubt.deepest(nearest) - 3 * drop
    bins = math.floor((nearest - max(shallowest, drop / 2)) / drop)
    if limit <= 0 or bins < 1:
        error = " with its standard errors" if doubt.any else ""
        raise SegRosError(
            f"the camera sees no ground nearer than {limit:.1f} m, where the grid ends: z = "
            f"{mounting.z:g} m, pitch = {mounting.pitch:g} rad (positive looks down){error}, max "
            f"row span {max_row_span:g} m; change one of them or the grid"
        )
    count = last - first
    if count > MOST_RAYS or bins > MOST_BINS or count * bins > MOST_SAMPLES:
        raise SegRosError(
            f"the look-up table of this camera would have {count} x {bins} samples, for "
            f"{camera.width}x{camera.height} pixels; at most {MOST_RAYS} x {MOST_BINS} and "
            f"{MOST_SAMPLES} in all are made: check its calibration, or scale its images down"
        )
    return Rays(
        foot=(mounting.x, mounting.y),
        height=mounting.z,
        heading=heading,
        first=first,
        count=count,
        step=step,
        pixel_angle=largest * (1 + _LENS_ERROR),
        steepest=nearest,
        drop=drop,
        bins=bins,
        limit=limit,
        doubt=doubt,
    )


def _view(camera: CameraModel) -> tuple[NDArray[np.float64], float, float, float]:
    """Directions of a lattice of pixels, and how fine the image is in them.

    Returns:
        (N, 3) directions in ``base_link`` that may come to look at the ground; the largest steps in
        azimuth and in depression that move no sample by more than a pixel; the largest angle
        between neighbouring pixels.

    """
    u, v = np.meshgrid(
        np.linspace(-0.5, camera.width - 0.5, 17), np.linspace(-0.5, camera.height - 0.5, 17)
    )
    pixels = np.stack([u.ravel(), v.ravel()], axis=1)
    inward = np.where(pixels < [camera.cx, camera.cy], 1.0, -1.0)
    here, aside, below = (
        camera.unproject(pixels + inward * move) for move in ([0, 0], [1, 0], [0, 1])
    )
    seen = np.isfinite(np.concatenate([here, aside, below], axis=1)).all(axis=1)
    seen &= ~(here[:, 2] > math.sin(TILT_MARGIN))
    here, aside, below = here[seen], aside[seen], below[seen]
    if not len(here):
        raise SegRosError(
            f"the camera sees no ground: no pixel within its distortion's valid radius of "
            f"{camera.valid_radius:.2f} looks down; check pitch, roll and distortion coefficients"
        )
    chords = np.concatenate([np.linalg.norm(here - other, axis=1) for other in (aside, below)])
    flat = np.maximum(np.hypot(here[:, 0], here[:, 1]), 1e-6)
    left = np.stack([-here[:, 1], here[:, 0], 0 * flat], axis=1)
    down = np.stack([here[:, 0] * here[:, 2], here[:, 1] * here[:, 2], -(flat**2)], axis=1)
    optical, small = camera.mounting.base_from_optical, 1e-5
    start = camera.pixels(here @ optical)
    steps = [
        small
        / np.nanmax(np.abs(camera.pixels((here + small * turn) @ optical) - start))
        * _STEP_MARGIN
        for turn in (left, down / flat[:, None])
    ]
    return here, float(steps[0]), float(steps[1]), float(chords.max())


def _believed_limit(camera: CameraModel, doubt: Doubt, max_row_span: float) -> float:
    """Range within which a mask row covers no more, whatever of the mounting is believed.

    It changes with the mounting but for the rows' edges, which is up to one row's ground.
    """
    limits = [
        _row_span_limit(replace(camera, mounting=mounting), max_row_span)
        for mounting in doubt.extremes(camera.mounting)
    ]
    return min(limits) - (max_row_span if doubt.any else 0.0)


def _row_span_limit(camera: CameraModel, max_row_span: float) -> float:
    """Range from which on a mask row covers more than ``max_row_span`` metres of ground."""
    columns = np.linspace(0, camera.width - 1, 5)
    edges = np.arange(camera.height + 1) - 0.5
    u, v = np.meshgrid(columns, edges)
    rays = camera.unproject(np.stack([u.ravel(), v.ravel()], axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        ranges = camera.mounting.z * np.hypot(rays[:, 0], rays[:, 1]) / -rays[:, 2]
    ranges[~(rays[:, 2] < 0)] = np.inf
    ranges = ranges.reshape(u.shape)
    # Rows count downwards, so the range falls; upside down it rises.
    near, far = np.minimum(ranges[1:], ranges[:-1]), np.maximum(ranges[1:], ranges[:-1])
    finite = np.isfinite(near)
    coarse = near[finite] + max_row_span < far[finite]
    return float(near[finite][coarse].min(initial=math.inf)) if finite.any() else 0.0


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


@njit(nogil=True, cache=True)
def walk_rays(  # type: ignore[no-untyped-def]
    mask, ignored, confidence, threshold, meaning, level, pixels, edges, near, depth, limit,
    contacts, clear, sums, first, last,
):  # fmt: skip
    """Go out along rays ``first`` to ``last`` and say what each bin is.

    Args:
        mask: (H * W,) uint8 class ids.
        ignored: (H * W,) bool, pixels that show the vehicle itself; empty when there are none.
        confidence: (H * W,) uint8; not read where ``threshold`` is 0.
        threshold: driveable pixels below this confidence are not seen.
        meaning: (256,) uint8, what each class is to a ray.
        level: (256,) uint8, which row of ``near`` is for each class' lower edge.
        pixels: (rays, bins) int32 of :class:`PixelTable`.
        edges: (bins + 1,) ranges in metres.
        near: (levels, bins + 1) ranges in metres at which what is seen there begins, a row for each
            height that lower edges have, rising (:meth:`seg_ros.ground.doubt.Doubt.near_edges`).
        depth: metres that count as occupied from a contact on.
        limit: range in metres up to which a contact is one.
        contacts: (rays,) out: range of the first thing in the way in metres, inf for none.
        clear: (rays,) bool out: nothing but driveable ground as far as the limit.
        sums: (rays + 1, used + 1) int32 out: bins up to here that are not free, plus
            :data:`OCCUPIED_UNIT` for each that is occupied; row 0 stays 0.
        first: ray to begin with.
        last: ray to end before.

    """
    bins, used = pixels.shape[1], sums.shape[1] - 1
    highest = near.shape[0] - 1
    bonnet = ignored.size > 0
    states = np.empty(bins, np.uint8)
    for i in range(first, last):
        contact = np.inf
        run, start, height, seen, blind = 0, 0, 0, False, False
        for j in range(bins):
            pixel = pixels[i, j]
            state = NOT_SEEN
            met = False
            if pixel >= 0 and not (bonnet and ignored[pixel]):
                seen = True
                label = mask[pixel]
                kind = meaning[label]
                if kind == DRIVEABLE:
                    if threshold == 0 or confidence[pixel] >= threshold:
                        state = SEEN_FREE
                elif kind == OTHER_GROUND:
                    state = IN_THE_WAY
                elif kind == OBSTACLE:
                    met = True
                    if run == 0:
                        start, height = j, level[label]
                    else:
                        # What hangs at a height is nearer than the ground it is seen against.
                        height = max(height, level[label])
                        contact = min(contact, near[height, start])
                    run += 1
            if not met:
                run = 0
            states[j] = state
            if seen and state != SEEN_FREE and edges[j] < limit:
                blind = True
            # Whatever is met from here on is no nearer than this.
            if near[highest, j] > contact:
                break
        if contact < np.inf:
            j = bins - 1
            while j > 0 and edges[j] > contact:
                j -= 1
            while j < bins and edges[j] < contact + depth:
                states[j] = IN_THE_WAY
                j += 1
            states[j:] = NOT_SEEN
        contacts[i] = contact if contact <= limit else np.inf
        clear[i] = seen and not blind
        total = 0
        for j in range(used):
            total += _COUNTED_AS[states[j]]
            sums[i + 1, j + 1] = total


@njit(nogil=True, cache=True)
def sum_over_rays(sums):  # type: ignore[no-untyped-def]
    """Turn the sums along each ray into sums over rays and bins, so that any block takes 4 reads.

    Crow, "Summed-area tables for texture mapping", SIGGRAPH 1984. The sums may overflow; what is
    read from them are differences, which are right as long as a block's own sum fits.
    """
    for i in range(1, sums.shape[0]):
        for j in range(sums.shape[1]):
            sums[i, j] += sums[i - 1, j]
