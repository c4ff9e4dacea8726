"""The grid in a frame that does not turn with the vehicle, and its fusion over time.

nav_msgs/OccupancyGrid carries an orientation that Nav2 ignores, so a grid in ``odom`` has to lie
along its axes. Each of its cells takes the worst of the vehicle grid's cells that it touches, and
its origin is a whole number of cells, so that cells of successive grids coincide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from seg_ros.ground.grid_spec import FREE, OCCUPIED, UNKNOWN, GridSpec


@dataclass(frozen=True)
class Pose:
    """Where ``base_link`` is in the grid's frame: metres and radians (REP 103)."""

    x: float
    y: float
    yaw: float


def place(cells: NDArray[np.int8], spec: GridSpec, pose: Pose) -> tuple[NDArray[np.int8], GridSpec]:
    """Lay a vehicle's grid out along the axes of the frame the vehicle moves in.

    A cell is free only if every cell it touches is free, occupied if any of them is.

    Args:
        cells: (rows, columns) int8 states of :mod:`seg_ros.ground.grid_spec`.
        spec: where they are in ``base_link``.
        pose: of the vehicle.

    Returns:
        States of a square grid, always of the same size, and where it is in the other frame.

    """
    size = spec.resolution
    half = math.ceil(math.hypot(spec.x_max - spec.x_min, spec.y_max - spec.y_min) / size / 2) + 1
    c, s = math.cos(pose.yaw), math.sin(pose.yaw)
    x, y = (spec.x_min + spec.x_max) / 2, (spec.y_min + spec.y_max) / 2
    column = math.floor((pose.x + c * x - s * y) / size) - half
    row = math.floor((pose.y + s * x + c * y) / size) - half
    placed = np.full((2 * half, 2 * half), UNKNOWN, np.int8)
    first_x, first_y = (column + 0.5) * size - pose.x, (row + 0.5) * size - pose.y
    start = ((c * first_x + s * first_y - spec.x_min) / size,
             (c * first_y - s * first_x - spec.y_min) / size)  # fmt: skip
    _take_worst(cells, start, (c, s), (abs(c) + abs(s)) / 2, placed)
    side = 2 * half * size
    return placed, GridSpec(
        size, column * size, column * size + side, row * size, row * size + side
    )


@njit(nogil=True, cache=True)
def _take_worst(cells, start, turn, reach, placed):  # type: ignore[no-untyped-def]
    """Fill ``placed`` from the cells that the box round each turned cell touches."""
    rows, cols = cells.shape
    slack = 1e-6  # so that a grid that is not turned does not touch its neighbours
    for i in range(placed.shape[0]):
        for j in range(placed.shape[1]):
            x = start[0] + turn[0] * j + turn[1] * i
            y = start[1] - turn[1] * j + turn[0] * i
            c0, c1 = math.floor(x - reach + slack), math.floor(x + reach - slack)
            r0, r1 = math.floor(y - reach + slack), math.floor(y + reach - slack)
            state = FREE if c0 >= 0 and r0 >= 0 and c1 < cols and r1 < rows else UNKNOWN
            for r in range(max(r0, 0), min(r1 + 1, rows)):
                for c in range(max(c0, 0), min(c1 + 1, cols)):
                    if cells[r, c] == OCCUPIED:
                        state = OCCUPIED
                    elif cells[r, c] == UNKNOWN and state == FREE:
                        state = UNKNOWN
            placed[i, j] = state


@dataclass(frozen=True)
class FusionRules:
    """How much one grid counts, in log-odds; states by default after two that agree."""

    free: float = -0.7
    occupied: float = 1.4
    limit: float = 3.5
    """No cell is ever more certain than this, so that what changes is believed soon."""
    half_life: float = 2.0
    """Seconds after which half of what is known about a cell that is not seen is forgotten."""
    decided: float = 1.3
    """Beyond this a cell is free or occupied, else unknown."""
    largest_gap: float = 2.0
    """Seconds without a grid, or any step back in time, after which all is forgotten."""
    fastest: float = 100.0
    """Metres per second; a window that moves faster is of a pose that was set anew."""


class FusedGrid:
    """Log-odds of placed grids over time, in a window that moves by whole cells.

    Moravec and Elfes, "High resolution maps from wide angle sonar", ICRA 1985, with decay towards
    unknown. What it calls free may have been so a moment ago and out of sight now.
    """

    def __init__(self, rules: FusionRules | None = None) -> None:
        self.rules = rules or FusionRules()
        self._odds = np.zeros((0, 0), np.float32)
        self._spec: GridSpec | None = None
        self._stamp_ns = 0

    def add(self, cells: NDArray[np.int8], spec: GridSpec, stamp_ns: int) -> NDArray[np.int8]:
        """Take a grid of :func:`place` in and return the states of all that is known there.

        Args:
            cells: (rows, columns) int8 states.
            spec: where they are in the frame that stands still.
            stamp_ns: of the frame they come from, nanoseconds.

        Returns:
            (rows, columns) int8 states for the same window.

        """
        rules = self.rules
        seconds = (stamp_ns - self._stamp_ns) / 1e9
        known = self._spec
        if (
            known is None
            or not 0 <= seconds <= rules.largest_gap
            or known.resolution != spec.resolution
            or self._odds.shape != cells.shape
            or math.hypot(spec.x_min - known.x_min, spec.y_min - known.y_min)
            > 1.0 + 2 * spec.resolution + rules.fastest * seconds
        ):
            self._odds = np.zeros(cells.shape, np.float32)
        else:
            self._shift(
                round((spec.y_min - known.y_min) / spec.resolution),
                round((spec.x_min - known.x_min) / spec.resolution),
            )
            self._odds *= np.float32(0.5 ** (seconds / rules.half_life))
        self._spec, self._stamp_ns = spec, stamp_ns
        self._odds += np.array([rules.free, rules.occupied, 0.0], np.float32)[cells]
        np.clip(self._odds, -rules.limit, rules.limit, out=self._odds)
        fused = np.full(cells.shape, UNKNOWN, np.int8)
        fused[self._odds <= -rules.decided] = FREE
        fused[self._odds >= rules.decided] = OCCUPIED
        return fused

    def state(self) -> tuple[NDArray[np.float32], GridSpec | None, int]:
        """Return what :meth:`resume` takes: log-odds, where they are, of which stamp."""
        return self._odds, self._spec, self._stamp_ns

    def resume(self, odds: NDArray[np.float32], spec: GridSpec, stamp_ns: int) -> None:
        """Go on with what :meth:`state` returned of another."""
        self._odds, self._spec, self._stamp_ns = odds, spec, stamp_ns

    def _shift(self, rows: int, cols: int) -> None:
        """Move the window by whole cells; what enters it is unknown."""
        old, height, width = self._odds, *self._odds.shape
        self._odds = np.zeros_like(old)
        if abs(rows) < height and abs(cols) < width:
            self._odds[
                max(-rows, 0) : height - max(rows, 0), max(-cols, 0) : width - max(cols, 0)
            ] = old[max(rows, 0) : height - max(-rows, 0), max(cols, 0) : width - max(-cols, 0)]
