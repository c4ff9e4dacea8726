"""What the driveable-area grid is: its extent, its rules, the states of its cells, its values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_ros.errors import SegRosError

UNKNOWN, FREE, OCCUPIED = -1, 0, 1
"""States of a cell; message values come from a profile."""

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


@dataclass(frozen=True)
class GridRules:
    """What counts as what.

    Raises:
        SegRosError: a value is out of range, or the polygon has fewer than three corners.

    """

    contact_depth: float = 0.5
    """Metres that are occupied from the near edge of an obstacle on; what it hides is unknown."""
    max_row_span: float = 0.5
    """Metres of ground one mask row may cover; beyond, the grid is unknown."""
    min_confidence: float = 0.0
    """Driveable pixels the network is less sure of, 0 to 1, are not free; 0 asks for none."""
    ignored: tuple[tuple[float, float], ...] = ()
    """Polygon round the own bonnet: corners (x, y) as parts of image width and height, 0 to 1."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant."""
        if not (self.contact_depth > 0 and self.max_row_span > 0):
            raise SegRosError(
                f"contact depth {self.contact_depth} m and max row span {self.max_row_span} m "
                "must be positive"
            )
        if not 0 <= self.min_confidence <= 1:
            raise SegRosError(f"min confidence {self.min_confidence} must be 0 to 1")
        if self.ignored and (
            len(self.ignored) < 3 or not all(0 <= c <= 1 for xy in self.ignored for c in xy)
        ):
            raise SegRosError(
                f"polygon {self.ignored} of the own bonnet needs three corners or more, x and y "
                "as parts of the image's width and height, 0 to 1"
            )


def parse_polygon(text: str) -> tuple[tuple[float, float], ...]:
    """Read a polygon from ``x y, x y, x y``; empty text is none.

    Raises:
        SegRosError: it is not pairs of numbers.

    """
    try:
        corners = [tuple(map(float, corner.split())) for corner in text.split(",") if text.strip()]
    except ValueError:
        corners = [()]
    if any(len(corner) != 2 for corner in corners):
        raise SegRosError(f"polygon {text!r} must be 'x y, x y, x y', parts of width and height")
    return tuple((corner[0], corner[1]) for corner in corners)


@dataclass(frozen=True)
class FirstContacts:
    """What is met first, by azimuth, as sensor_msgs/LaserScan has it; metres and radians.

    Ranges are from the origin of ``base_link``: (N,) float32, inf where there is nothing but
    driveable ground up to ``range_max``, NaN where nothing is known (REP 117).
    """

    angle_min: float
    angle_increment: float
    range_max: float
    ranges: NDArray[np.float32]


def occupancy_values(cells: NDArray[np.int8], profile: str) -> NDArray[np.int8]:
    """Values of nav_msgs/OccupancyGrid for cell states, same shape, int8.

    Raises:
        SegRosError: the profile is not one of :data:`PROFILES`.

    """
    if profile not in PROFILES:
        raise SegRosError(f"grid profile {profile!r} is unknown; use {' or '.join(PROFILES)}")
    values = PROFILES[profile]
    return np.array([values[FREE], values[OCCUPIED], values[UNKNOWN]], np.int8)[cells]
