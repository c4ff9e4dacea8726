"""The usual way, for comparison only: every cell takes the class of the pixel its centre falls on.

It is kept here, outside the package, so that nobody drives by it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_ros.ground.camera import CameraModel
from seg_ros.ground.grid_spec import FREE, OCCUPIED, UNKNOWN, GridSpec
from seg_ros.labels import Kind, LabelSet


def naive_cells(
    spec: GridSpec, camera: CameraModel, labels: LabelSet, mask: NDArray[np.uint8]
) -> NDArray[np.int8]:
    rows, cols = spec.shape
    x, y = np.meshgrid(
        spec.x_min + (np.arange(cols) + 0.5) * spec.resolution,
        spec.y_min + (np.arange(rows) + 0.5) * spec.resolution,
    )
    pixels = camera.project(np.stack([x, y, 0 * x], -1).reshape(-1, 3))
    u, v = np.nan_to_num(np.floor(pixels + 0.5), nan=-1).astype(int).T
    inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    state = np.full(256, UNKNOWN, np.int8)
    state[: len(labels)] = OCCUPIED
    state[list(labels.ids_of_kind(Kind.OPEN))] = UNKNOWN
    state[list(labels.driveable_ids)] = FREE
    cells = np.full(rows * cols, UNKNOWN, np.int8)
    cells[inside] = state[mask[v[inside], u[inside]]]
    return cells.reshape(rows, cols)
