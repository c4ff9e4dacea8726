"""What happens to every frame, live and in replay alike: segment, paint, grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.grid_spec import GridRules, GridSpec
from seg_ros.ground.world_grid import Pose
from seg_ros.labels import LabelSet
from seg_ros.segment.grid_maker import Grid, GridMaker
from seg_ros.segment.output import Output, Processed
from seg_ros.segment.paint import colorize, overlay
from seg_ros.segment.segmenter import Segmenter

FRAMES_OF_ONE_CLASS = 10
"""So many frames from the first on without a second class are worth a warning."""

Allocate = Callable[[Output, tuple[int, ...]], NDArray[np.uint8]]
"""Gives the memory an output is written into; it may be the same for every frame."""


def refuse_confidence(segmenter: Segmenter, rules: GridRules) -> None:
    """Refuse rules that ask for a confidence which a network does not give.

    Raises:
        SegRosError: they do.

    """
    if rules.min_confidence and not segmenter.confident:
        raise SegRosError(
            f"grid_min_confidence is {rules.min_confidence}, but model {segmenter.model_name} "
            "gives class ids, without a confidence; set it to 0, or export the network without "
            "what makes class ids of its logits"
        )


def one_class_note(labels: LabelSet, class_id: int, frames: int) -> str:
    """Say that a network has answered with one class, in every pixel of so many frames."""
    name = labels.classes[class_id].name if class_id < len(labels) else str(class_id)
    return (
        f"every pixel of all {frames} frames is {name!r}: a network that is damaged, or fed with "
        "another normalisation than in training, answers so"
    )


def _allocate(_: Output, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.empty(shape, np.uint8)


class Pipeline:
    """Turns frames into outputs. One caller at a time.

    Args:
        segmenter: the network.
        grid: the part of the ground the grid covers.
        overlay_opacity: of the class colours, 0 to 1.
        grid_rules: what counts as what in the grid.

    """

    def __init__(
        self,
        segmenter: Segmenter,
        grid: GridSpec | None = None,
        overlay_opacity: float = 0.5,
        grid_rules: GridRules | None = None,
    ) -> None:
        self.segmenter = segmenter
        self.grid = GridMaker(segmenter.labels, grid, grid_rules)
        self.overlay_opacity = overlay_opacity
        self._frames_of_one_class: int | None = 0
        self._one_class = 0
        self._size: tuple[int, int] | None = None

    @property
    def doubt(self) -> str:
        """What about the answers so far looks wrong, or nothing."""
        count = self._frames_of_one_class
        if count is None or count < FRAMES_OF_ONE_CLASS:
            return self.segmenter.doubt(self._size) if self._size else ""
        return one_class_note(self.segmenter.labels, self._one_class, count)

    def warm_up(self) -> None:
        """Compile and touch everything once, so that the first frame is as fast as the others."""
        frame = np.zeros((*self.segmenter.input_size, 3), np.uint8)
        camera = CameraModel(frame.shape[1], frame.shape[0], 100, 100, 50, 50)
        every = ~Output.NONE
        for writeable in (True, False):  # numba compiles for each
            frame.flags.writeable = writeable
            self.process(frame, every, camera)
        self._frames_of_one_class, self._size = 0, None

    def process(
        self,
        frame: NDArray[np.uint8],
        wanted: Output,
        camera: CameraModel | None = None,
        allocate: Allocate = _allocate,
        pose: Pose | None = None,
        stamp_ns: int = 0,
    ) -> Processed:
        """Segment one frame and make what is wanted of it, nothing else.

        Args:
            frame: (H, W, 3) uint8 BGR.
            wanted: which outputs to make.
            camera: the frame's camera, for the frame's size and mounted as at the frame's stamp;
                without it there is no grid.
            allocate: gives the memory for each image.
            pose: of the vehicle in the grid's frame; None where that is the vehicle's own.
            stamp_ns: of the frame, for the fusion.

        Raises:
            SegRosError: the engine's answer is not usable.

        """
        size = frame.shape[:2]
        on_ground = camera is not None and bool(wanted & (Output.GRID | Output.CONTACTS))
        labels = self.segmenter.labels
        self._size = (size[0], size[1])
        sure = self.segmenter.confident
        confidence = mean_confidence = color = painted = None
        grid = Grid()
        with self.segmenter.turn:
            segmentation = self.segmenter.segment(frame)
            mask = segmentation.class_mask(allocate(Output.MASK, size))
            if sure and (
                Output.CONFIDENCE in wanted or (on_ground and self.grid.rules.min_confidence)
            ):
                confidence = segmentation.confidence(allocate(Output.CONFIDENCE, size))
            if sure and Output.MEAN_CONFIDENCE in wanted:
                mean_confidence = segmentation.mean_confidence()
        self._watch(mask)
        if Output.COLOR in wanted:
            color = colorize(mask, labels, allocate(Output.COLOR, frame.shape))
        if Output.OVERLAY in wanted:
            out = allocate(Output.OVERLAY, frame.shape)
            painted = overlay(frame, mask, labels, self.overlay_opacity, out)
        if on_ground and camera is not None:
            try:
                refuse_confidence(self.segmenter, self.grid.rules)
            except SegRosError as error:
                grid = Grid(problem=str(error))
            else:
                grid = self.grid.make(
                    mask, confidence, camera, Output.CONTACTS in wanted, pose, stamp_ns
                )
        return Processed(
            segmentation.engine_ns,
            mask,
            confidence,
            color,
            painted,
            grid.cells,
            grid.spec,
            grid.contacts,
            mean_confidence,
            grid.problem,
        )

    def _watch(self, mask: NDArray[np.uint8]) -> None:
        """Count the frames of one and the same class, until there is a second for the first time.

        A damaged network, or one that is fed as it was not trained, answers so.
        """
        if self._frames_of_one_class is None:
            return
        first = int(mask[0, 0])
        same = not self._frames_of_one_class or first == self._one_class
        if same and mask.min() == mask.max():
            self._one_class = first
            self._frames_of_one_class += 1
        else:
            self._frames_of_one_class = None
