"""From a class mask to a driveable-area occupancy grid.

Flat-ground projection: the centre of each cell, on the plane z = 0 of ``base_link``, is projected
into the image and takes the class of the pixel it falls on. A thing that stands on the ground hides
what is behind it, and this method marks all of that occupied; it never marks it free unless the
network saw driveable ground there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from seg_ros.camera import CameraModel
from seg_ros.errors import SegRosError
from seg_ros.labels import Kind, LabelSet

UNKNOWN, FREE, OCCUPIED = -1, 0, 1
"""States of a cell in :attr:`GridResult.cells`; message values come from a profile."""

PROFILES: dict[str, dict[int, int]] = {
    "nav2": {FREE: 0, OCCUPIED: 100, UNKNOWN: -1},
    "autoware": {FREE: 1, OCCUPIED: 99, UNKNOWN: 50},
}
"""nav_msgs/OccupancyGrid value of each state, per consumer."""


@dataclass(frozen=True)
class GridSpec:
    """Which part of the ground the grid covers, in metres of ``base_link``.

    The cell (0, 0) has its corner at (``x_min``, ``y_min``). Rows run along y, columns along x, so
    that the flattened array is nav_msgs/OccupancyGrid's row-major order with x first.

    Raises:
        SegRosError: the resolution or an extent is not positive, or there are over 4 million cells.

    """

    resolution: float = 0.1
    x_min: float = 0.0
    x_max: float = 30.0
    y_min: float = -10.0
    y_max: float = 10.0

    def __post_init__(self) -> None:
        """Refuse a grid without cells, or with too many to be meant."""
        if not self.resolution > 0:
            raise SegRosError(f"grid resolution {self.resolution} m must be positive")
        if not (self.x_max > self.x_min and self.y_max > self.y_min):
            raise SegRosError(
                f"grid from ({self.x_min}, {self.y_min}) to ({self.x_max}, {self.y_max}) m is "
                "empty; the maxima must be larger than the minima"
            )
        rows, cols = self.shape
        if not 1 <= rows * cols <= 4_000_000:
            raise SegRosError(
                f"grid of {cols} x {rows} cells; 1 to 4,000,000 are possible, so change "
                "the resolution or the extent"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns): cells along y and along x."""
        return (
            round((self.y_max - self.y_min) / self.resolution),
            round((self.x_max - self.x_min) / self.resolution),
        )

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """Cell centres on the ground, (rows * columns, 3) metres in ``base_link``."""
        rows, cols = self.shape
        x = self.x_min + (np.arange(cols) + 0.5) * self.resolution
        y = self.y_min + (np.arange(rows) + 0.5) * self.resolution
        xs, ys = np.meshgrid(x, y)
        return np.stack([xs.ravel(), ys.ravel(), np.zeros(rows * cols)], axis=1)


class DriveableGrid:
    """Turns class masks of one camera into grids; the projection is computed once.

    Args:
        spec: the part of the ground to cover.
        camera: the camera, for the size of the class masks.
        labels: what the class ids mean.

    """

    def __init__(self, spec: GridSpec, camera: CameraModel, labels: LabelSet) -> None:
        self.spec = spec
        self.camera = camera
        pixels = camera.project(spec.centres)
        columns, rows = (np.floor(pixels + 0.5)).T
        with np.errstate(invalid="ignore"):
            self._inside = np.flatnonzero(
                (columns >= 0) & (columns < camera.width) & (rows >= 0) & (rows < camera.height)
            )
        self._pixel = rows[self._inside].astype(np.intp) * camera.width + columns[
            self._inside
        ].astype(np.intp)
        self._state_of_class = np.full(256, UNKNOWN, np.int8)
        self._state_of_class[: len(labels)] = OCCUPIED
        self._state_of_class[list(labels.ids_of_kind(Kind.OPEN))] = UNKNOWN
        self._state_of_class[list(labels.driveable_ids)] = FREE

    def cells(self, class_mask: NDArray[np.uint8]) -> NDArray[np.int8]:
        """State of every cell for one class mask.

        Args:
            class_mask: (H, W) uint8, of the camera's size.

        Returns:
            (rows, columns) int8 of :data:`FREE`, :data:`OCCUPIED`, :data:`UNKNOWN`.

        Raises:
            ValueError: the mask has another size.

        """
        if class_mask.shape != (self.camera.height, self.camera.width):
            raise ValueError(
                f"class mask is {class_mask.shape}, the camera's image "
                f"{(self.camera.height, self.camera.width)}"
            )
        cells = np.full(self.spec.shape, UNKNOWN, np.int8)
        cells.ravel()[self._inside] = self._state_of_class[class_mask.ravel()[self._pixel]]
        return cells


def occupancy_values(cells: NDArray[np.int8], profile: str) -> NDArray[np.int8]:
    """Values of nav_msgs/OccupancyGrid for cell states, same shape, int8.

    Raises:
        SegRosError: the profile is not one of :data:`PROFILES`.

    """
    if profile not in PROFILES:
        raise SegRosError(f"grid profile {profile!r} is unknown; use {' or '.join(PROFILES)}")
    values = PROFILES[profile]
    return np.array([values[FREE], values[OCCUPIED], values[UNKNOWN]], np.int8)[cells]
