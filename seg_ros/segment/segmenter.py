"""A frame of any size in, its class mask and confidence at the same size out."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.engines import Engine, EngineInfo, Inference, SharedEngine
from seg_ros.engines.build import Check, Wish, open_engine
from seg_ros.engines.verify import FRAMES
from seg_ros.errors import SegRosError
from seg_ros.labels import LabelSet
from seg_ros.models.catalogue import find_model
from seg_ros.models.network import Network
from seg_ros.segment.letterbox import GREY, Box, box_of, put_into
from seg_ros.segment.upsample import (
    Part,
    argmax_upsampled,
    confidence_upsampled,
    mean_confidence,
)
from seg_ros.support.choices import DEFAULT_MODEL
from seg_ros.support.turn import Turn

_SQUARE = 0.02
"""Sides that differ by less than this share are those of a square."""


@dataclass(frozen=True)
class Segmentation:
    """What a network says about one frame; masks are made when asked for.

    The answer lies in the engine's memory: ask before the next frame is segmented.
    """

    inference: Inference
    """The engine's answer."""
    size: tuple[int, int]
    """(H, W) of the frame in pixels."""
    engine_ns: int
    """How long the network took, nanoseconds."""
    box: Box | None = None
    """Where the frame lay in the network's input; everywhere by default."""
    input_size: tuple[int, int] = (0, 0)
    """(H, W) of that in pixels."""

    def class_mask(self, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Class ids of the frame, (H, W) uint8; see :mod:`seg_ros.segment.upsample`."""
        decided = self.inference.mask
        if decided is not None and decided.shape == self.size:
            out = np.empty(self.size, np.uint8) if out is None else out
            np.copyto(out, decided)
            return out
        logits = self.inference.logits()
        return argmax_upsampled(logits, self.size, out, self._part(logits))

    def confidence(self, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Probability of each pixel's class, (H, W) uint8, 255 = certain."""
        logits = self.inference.logits()
        return confidence_upsampled(logits, self.size, out, self._part(logits))

    def mean_confidence(self) -> float:
        """Mean probability of the winning class, 0 to 1, over the pixels of the logits.

        Without upsampling it takes a fraction of the time of :meth:`confidence`.
        """
        logits = self.inference.logits()
        return mean_confidence(logits, self._part(logits))

    def _part(self, logits: NDArray[np.float32]) -> Part | None:
        """Return which of the logits are the frame's."""
        if self.box is None:
            return None
        return self.box.part_of((logits.shape[1], logits.shape[2]), self.input_size)


class Segmenter:
    """Runs frames through an engine and decides the class of every pixel. One caller at a time.

    Args:
        engine: the loaded network.
        labels: what its classes mean.
        model_name: for diagnostics and reports.
        fit: how frames of another shape get into the network's input, one of
            :data:`seg_ros.models.options.FITS`; where it is empty they are stretched, and that is
            doubted where the input is a square.
        confident: whether the engine's answers say how sure the network is.

    Raises:
        SegRosError: the label set has another number of classes than the network, or one.

    """

    def __init__(
        self,
        engine: Engine,
        labels: LabelSet,
        model_name: str,
        *,
        fit: str = "stretch",
        confident: bool = True,
    ) -> None:
        if engine.class_count != len(labels):
            raise SegRosError(
                f"model {model_name} has {engine.class_count} classes, label set {labels.name} "
                f"has {len(labels)}; name the label set the model was trained with"
            )
        if len(labels) < 2:
            raise SegRosError(
                f"model {model_name} has one class, so it would be in every pixel; where its one "
                "channel is a score, name two classes in the YAML beside it, first what it is "
                "where the score is low, and say 'network: {threshold: 0.5}'"
            )
        self.labels = labels
        self.model_name = model_name
        self.turn = Turn()
        """Callers that take turns hold it from :meth:`segment` until the last mask is made."""
        self.verification = ""
        """How the engine compares with the fp32 reference; empty for a network run as it is."""
        self.confident = confident
        """Whether there is a confidence: not where a network gives nothing but class ids."""
        self.fit = fit
        self._engine = engine
        self._input = np.empty((*engine.input_size, 3), np.uint8)
        self._box: Box | None = None
        """Where the last frame lay in the buffer, with bars beside it."""

    @classmethod
    def of(cls, engine: Engine, network: Network) -> Segmenter:
        """Return a segmenter on an engine that runs a network."""
        model = network.model
        return cls(engine, model.labels, model.name, fit=model.fit, confident=network.confident)

    @classmethod
    def load(
        cls,
        model: str = DEFAULT_MODEL,
        labels: str = "",
        runtime: str = "auto",
        threads: int = 0,
        *,
        precision: str = "auto",
        input_size: tuple[int, int] | None = None,
        mask_size: tuple[int, int] | None = None,
        build_if_missing: bool = True,
        report: Callable[[str, float], None] = lambda _, __: None,
    ) -> Segmenter:
        """Find a model, open an engine on it and run it once, so that the first frame is fast.

        Arguments and errors as for :func:`seg_ros.models.catalogue.find_model`,
        :class:`seg_ros.engines.build.Wish` and :func:`seg_ros.engines.build.open_engine`. An engine
        that is missing is built and verified on frames of the synthetic drive.
        """
        found = find_model(model, labels)
        wish = Wish(runtime, precision, input_size, mask_size, threads)
        check = Check("synthetic", _scene_frames, cls.of) if build_if_missing else None
        opened = open_engine(found, wish, check, report=report)
        segmenter = cls(
            opened.engine, found.labels, found.name, fit=found.fit, confident=opened.confident
        )
        segmenter.verification = opened.verification
        warm = segmenter.segment(np.zeros((*segmenter.input_size, 3), np.uint8))
        warm.class_mask()
        if segmenter.confident:
            warm.confidence()
        return segmenter

    def share(self, callers: int) -> list[Segmenter]:
        """Return segmenters for several callers at a time, with one network in memory.

        They are ``callers`` many where the engine can do that, otherwise this one alone.
        """
        if not isinstance(self._engine, SharedEngine):
            return [self]
        shared = []
        for engine in self._engine.share(callers):
            twin = copy.copy(self)
            twin.turn, twin._engine, twin._input = Turn(), engine, np.empty_like(self._input)
            twin._box = None
            shared.append(twin)
        return shared

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network's input in pixels."""
        return self._engine.input_size

    @property
    def engine_info(self) -> EngineInfo:
        """Runtime, device and precision of the engine."""
        return self._engine.info

    def segment(
        self, frame: NDArray[np.uint8], size: tuple[int, int] | None = None
    ) -> Segmentation:
        """Run the network on one frame.

        Args:
            frame: (H, W, 3) uint8 BGR of any size; it is stretched to the network's input size, or
                put into a letterbox.
            size: (H, W) of the masks to be made; the frame's own by default.

        Raises:
            SegRosError: the network answered with NaN or infinity.
            ValueError: the frame has another shape or dtype.

        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
            raise ValueError(f"frame must be (H, W, 3) uint8, not {frame.shape} {frame.dtype}")
        image, box = self._fit(frame)
        start = time.perf_counter_ns()
        inference = self._engine.infer(image)
        engine_ns = time.perf_counter_ns() - start
        if not inference.finite:
            raise SegRosError(
                f"model {self.model_name} on {self.engine_info.runtime} answered with NaN or "
                "infinity; the engine is not to be trusted, use another precision or runtime"
                if self.confident
                else f"model {self.model_name} answered with class ids beyond the "
                f"{len(self.labels)} classes of label set {self.labels.name}"
            )
        if box is not None:
            inference = replace(inference, mask=None)  # the engine's is of the whole input
        size = size or (frame.shape[0], frame.shape[1])
        return Segmentation(inference, size, engine_ns, box, self.input_size)

    def doubt(self, frame: tuple[int, int]) -> str:
        """Say what may be wrong about how frames of (H, W) pixels are fed, or nothing."""
        return fit_doubt(self.model_name, self.fit, self.input_size, frame)

    def _fit(self, frame: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Box | None]:
        """Bring a frame to the network's input size, reusing one buffer; copy nothing if it fits.

        Returns:
            (H, W, 3) uint8 BGR, and where the frame lies in it if not everywhere.

        """
        height, width = self.input_size
        if frame.shape[:2] == (height, width):
            return np.ascontiguousarray(frame), None
        if self.fit == "letterbox":
            box = box_of((frame.shape[0], frame.shape[1]), (height, width))
            if box != self._box:
                self._input.fill(GREY)
                self._box = box
            put_into(frame, self._input, box)
            return self._input, None if box == (0, 0, height, width) else box
        # Bilinear: averaging areas takes ten times as long and scores no better (bench/resize.py).
        cv2.resize(frame, (width, height), dst=self._input, interpolation=cv2.INTER_LINEAR)
        return self._input, None


def fit_doubt(model: str, fit: str, size: tuple[int, int], frame: tuple[int, int]) -> str:
    """Say why frames may be fed otherwise than a network was trained, or nothing.

    Args:
        model: its name.
        fit: how frames get into its input; empty where nobody says it.
        size: (H, W) of the input in pixels.
        frame: (H, W) of a frame in pixels.

    """
    if fit or size[0] != size[1] or abs(frame[0] - frame[1]) <= _SQUARE * max(frame):
        return ""
    return (
        f"frames of {frame[1]}x{frame[0]} are squeezed into the square input of {model} "
        f"({size[1]}x{size[0]}); if it was trained with grey bars, say "
        "'network: {fit: letterbox}' in the YAML beside it, else 'fit: stretch'"
    )


def _scene_frames() -> list[NDArray[np.uint8]]:
    """Frames spread over the synthetic drive, (H, W, 3) uint8 BGR each."""
    from seg_ros.synthetic import SyntheticDrive  # its renderer takes a while to load

    scene = SyntheticDrive()
    return [scene[index].image for index in range(0, len(scene), len(scene) // FRAMES)][:FRAMES]
