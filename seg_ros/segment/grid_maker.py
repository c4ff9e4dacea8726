"""From masks to grids, frame after frame: look-ups, contacts, the frame they lie in, fusion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.grid import DriveableGrid
from seg_ros.ground.grid_spec import FirstContacts, GridRules, GridSpec
from seg_ros.ground.world_grid import FusedGrid, Pose, place
from seg_ros.labels import LabelSet


@dataclass(frozen=True)
class Grid:
    """What came of a frame."""

    cells: NDArray[np.int8] | None = None
    """(rows, columns) int8 states of :mod:`seg_ros.ground.grid_spec`."""
    spec: GridSpec | None = None
    """Where they are."""
    contacts: FirstContacts | None = None
    problem: str = ""
    """Why there is none, or empty."""


class GridMaker:
    """Makes the grids of frames in their order. One caller at a time.

    Args:
        labels: what the class ids of the masks mean.
        spec: the part of the ground the grid covers.
        rules: what counts as what.

    """

    def __init__(
        self, labels: LabelSet, spec: GridSpec | None = None, rules: GridRules | None = None
    ) -> None:
        self.labels = labels
        self.spec = spec or GridSpec()
        self.rules = rules or GridRules()
        self.fusion: FusedGrid | None = None
        """Remembers grids over time when set; only placed grids are fused."""
        self._grid: DriveableGrid | None = None
        self._refused: tuple[tuple[CameraModel, GridSpec, GridRules], str] | None = None

    @property
    def laid_for(self) -> CameraModel | None:
        """The camera that the look-ups were made for; they stay while it moves little."""
        return self._grid.camera if self._grid is not None else None

    def lay(self, camera: CameraModel) -> None:
        """Make the look-ups for a camera, unless those there are serve it.

        Raises:
            SegRosError: the camera sees none of the ground, or its look-ups are beyond a limit.

        """
        grid = self._grid
        same = grid is not None and (grid.spec, grid.rules) == (self.spec, self.rules)
        if grid is None or not same or not grid.serves(camera):
            wanted = (camera, self.spec, self.rules)
            if self._refused is not None and self._refused[0] == wanted:
                raise SegRosError(self._refused[1])  # finding out again may take seconds
            try:
                self._grid = DriveableGrid(self.spec, camera, self.labels, self.rules)
            except SegRosError as error:
                self._refused = (wanted, str(error))
                raise

    def make(
        self,
        mask: NDArray[np.uint8],
        confidence: NDArray[np.uint8] | None,
        camera: CameraModel,
        contacts: bool = True,
        pose: Pose | None = None,
        stamp_ns: int = 0,
    ) -> Grid:
        """Make the grid of a frame.

        Args:
            mask: (H, W) uint8 class ids.
            confidence: (H, W) uint8, where the rules ask for some.
            camera: of the mask's size, mounted as at the frame's stamp.
            contacts: whether the first contacts are wanted.
            pose: of the vehicle in the grid's frame; None where that is the vehicle's own.
            stamp_ns: of the frame, for the fusion.

        """
        try:
            self.lay(camera)
            assert self._grid is not None
            cells, spec = self._grid.cells(mask, confidence, camera.mounting), self.spec
            met = self._grid.first_contacts() if contacts else None
            if pose is not None:
                cells, spec = place(cells, spec, pose)
                if self.fusion is not None:
                    cells = self.fusion.add(cells, spec, stamp_ns)
        except SegRosError as error:  # the camera's fault; the mask is as good as ever
            return Grid(problem=str(error))
        except Exception as error:  # the grid's alone, whatever it is
            return Grid(problem=f"unexpected {type(error).__name__}: {error}")
        return Grid(cells, spec, met)
