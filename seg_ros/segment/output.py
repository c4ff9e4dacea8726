"""What may be made of a frame, and what was made of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto

import numpy as np
from numpy.typing import NDArray

from seg_ros.ground.grid_spec import FirstContacts, GridSpec


class Output(Flag):
    """What may be asked of a frame."""

    NONE = 0
    MASK = auto()
    CONFIDENCE = auto()
    COLOR = auto()
    OVERLAY = auto()
    GRID = auto()
    CONTACTS = auto()
    MEAN_CONFIDENCE = auto()


@dataclass(frozen=True)
class Processed:
    """What was asked of a frame; the rest is None."""

    engine_ns: int
    """Time the network took, nanoseconds."""
    mask: NDArray[np.uint8] | None = None
    """(H, W) uint8 class ids."""
    confidence: NDArray[np.uint8] | None = None
    """(H, W) uint8, 255 = certain."""
    color: NDArray[np.uint8] | None = None
    """(H, W, 3) uint8 BGR."""
    overlay: NDArray[np.uint8] | None = None
    """(H, W, 3) uint8 BGR."""
    cells: NDArray[np.int8] | None = None
    """(rows, columns) int8 states of :mod:`seg_ros.ground.grid_spec`; None without a camera."""
    grid_spec: GridSpec | None = None
    """Where the cells are."""
    contacts: FirstContacts | None = None
    """What is met first, by azimuth; None without a camera."""
    mean_confidence: float | None = None
    """Mean probability of the winning class, 0 to 1, at the resolution of the logits."""
    grid_problem: str = ""
    """Why there is no grid although there is a camera, or empty."""
