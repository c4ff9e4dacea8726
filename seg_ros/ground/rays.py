"""Rays over the ground: which mask pixel shows each piece of ground, and what is met first.

Rays leave the camera's foot (the point of the ground under it) by azimuth. A ray over the ground
and everything that stands on it lie in one vertical plane through the camera, so they lie on one
line of the image, whatever roll and lens: going out along the ray is going up along the things that
stand on it, and the first of them is where the vehicle would touch it.

A ray is cut into bins of equal depression angle. One sample stands for a bin; neither bins nor rays
are coarser than a mask pixel, so between two samples there is no pixel that was not looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.doubt import Doubt

TILT_MARGIN = math.radians(4.0)
"""How far the camera may turn before rays are laid anew."""

_RIM = math.radians(1.5)
"""How far rays reach beyond the view; where a turn shows more, its rim stays unknown."""

_STEP_MARGIN = 0.97
"""Rays and bins are this much finer than the view asks for, as it may turn by the margin above."""

_PHASES = 4
"""Places within a mask row at which its beginning is looked at where the mounting is in doubt."""

_STEEPEST = math.radians(85.0)
MOST_RAYS = MOST_BINS = 2**15 - 1
"""Of a camera; the cells' blocks count them with 16 bits."""

MOST_SAMPLES = 2**26
"""Of all rays, 256 MiB of pixel numbers; a normal lens needs one for each pixel of the mask."""

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
    limit = min(farthest, _row_span_limit(camera, doubt, max_row_span))
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


def _row_span_limit(camera: CameraModel, doubt: Doubt, max_row_span: float) -> float:
    """Range within which no mask row covers more than so many metres, whatever is believed.

    Of a mounting in doubt it is least for the lowest height and at an end of pitch and roll; but
    where the rows begin changes with each mounting, so all places they may have are looked at.
    """
    phases = _PHASES if doubt.any else 1
    columns = np.linspace(0, camera.width - 1, 5)
    edges = np.arange(camera.height * phases + 1) / phases - 0.5
    u, v = np.meshgrid(columns, edges)
    rays = camera.unproject(np.stack([u.ravel(), v.ravel()], axis=1))
    if not doubt.any:
        return _coarse_from(rays, u.shape, camera.mounting.z, 1, max_row_span)
    optical = rays @ camera.mounting.base_from_optical
    limits = [
        _coarse_from(optical @ m.base_from_optical.T, u.shape, m.z, phases, max_row_span)
        for m in doubt.lowest(camera.mounting)
    ]
    return min(limits) - max_row_span / phases


def _coarse_from(
    rays: NDArray[np.float64], shape: tuple[int, ...], height: float, phases: int, span: float
) -> float:
    """Range from which on rows cover more than ``span`` metres.

    Args:
        rays: directions of the rows' edges, (edges * columns, 3).
        shape: (edges, columns).
        height: of the camera in metres.
        phases: edges a row.
        span: metres.

    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ranges = height * np.hypot(rays[:, 0], rays[:, 1]) / -rays[:, 2]
    ranges[~(rays[:, 2] < 0)] = np.inf
    ranges = ranges.reshape(shape)
    # Rows count downwards, so the range falls; upside down it rises.
    above, below = ranges[:-phases], ranges[phases:]
    near, far = np.minimum(above, below), np.maximum(above, below)
    finite = np.isfinite(near)
    coarse = near[finite] + span < far[finite]
    return float(near[finite][coarse].min(initial=math.inf)) if finite.any() else 0.0
