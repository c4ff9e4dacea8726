"""What happens to every frame, live and in replay alike: segment, paint, grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto

import numpy as np
from numpy.typing import NDArray

from seg_ros.camera import CameraModel
from seg_ros.grid import DriveableGrid, GridSpec
from seg_ros.paint import colorize, overlay
from seg_ros.segmenter import Segmenter


class Output(Flag):
    """What may be asked of a frame."""

    NONE = 0
    MASK = auto()
    CONFIDENCE = auto()
    COLOR = auto()
    OVERLAY = auto()
    GRID = auto()


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
    """(rows, columns) int8 states of :mod:`seg_ros.grid`; None too while there is no camera."""
    grid_spec: GridSpec | None = None
    """Where the cells are."""


Allocate = Callable[[Output, tuple[int, ...]], NDArray[np.uint8]]
"""Gives the memory an output is written into; it may be the same for every frame."""


def _allocate(_: Output, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.empty(shape, np.uint8)


class Pipeline:
    """Turns frames into outputs. One caller at a time.

    Args:
        segmenter: the network.
        grid: the part of the ground the grid covers.
        overlay_opacity: of the class colours, 0 to 1.

    """

    def __init__(
        self, segmenter: Segmenter, grid: GridSpec | None = None, overlay_opacity: float = 0.5
    ) -> None:
        self.segmenter = segmenter
        self.grid_spec = grid or GridSpec()
        self.overlay_opacity = overlay_opacity
        self._grid: DriveableGrid | None = None

    def warm_up(self) -> None:
        """Compile and touch everything once, so that the first frame is as fast as the others."""
        frame = np.zeros((*self.segmenter.input_size, 3), np.uint8)
        camera = CameraModel(frame.shape[1], frame.shape[0], 100, 100, 50, 50)
        every = Output.MASK | Output.CONFIDENCE | Output.COLOR | Output.OVERLAY | Output.GRID
        for writeable in (True, False):  # numba compiles for each
            frame.flags.writeable = writeable
            self.process(frame, every, camera)

    def process(
        self,
        frame: NDArray[np.uint8],
        wanted: Output,
        camera: CameraModel | None = None,
        allocate: Allocate = _allocate,
    ) -> Processed:
        """Segment one frame and make what is wanted of it, nothing else.

        Args:
            frame: (H, W, 3) uint8 BGR.
            wanted: which outputs to make.
            camera: the frame's camera, for the frame's size; without it there is no grid.
            allocate: gives the memory for each image.

        Raises:
            SegRosError: the engine's answer is not usable.

        """
        size = frame.shape[:2]
        segmentation = self.segmenter.segment(frame)
        labels = self.segmenter.labels
        confidence = color = painted = cells = spec = None
        mask = segmentation.class_mask(allocate(Output.MASK, size))
        if Output.CONFIDENCE in wanted:
            confidence = segmentation.confidence(allocate(Output.CONFIDENCE, size))
        if Output.COLOR in wanted:
            color = colorize(mask, labels, allocate(Output.COLOR, frame.shape))
        if Output.OVERLAY in wanted:
            out = allocate(Output.OVERLAY, frame.shape)
            painted = overlay(frame, mask, labels, self.overlay_opacity, out)
        if Output.GRID in wanted and camera is not None:
            grid = self._grid_for(camera)
            cells, spec = grid.cells(mask), grid.spec
        return Processed(segmentation.engine_ns, mask, confidence, color, painted, cells, spec)

    def _grid_for(self, camera: CameraModel) -> DriveableGrid:
        """Return the grid for this camera, projected anew only when camera or extent changed."""
        grid, spec = self._grid, self.grid_spec
        if grid is None or grid.camera != camera or grid.spec != spec:
            grid = self._grid = DriveableGrid(spec, camera, self.segmenter.labels)
        return grid
