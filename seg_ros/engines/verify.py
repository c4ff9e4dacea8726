"""Does an engine compute what the network says? Its masks against those of a reference.

What turns logits into masks stands above this room: it is handed in as a :class:`Decider`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.engines.base import EngineInfo, Inference
from seg_ros.errors import SegRosError
from seg_ros.labels import LabelSet
from seg_ros.support.choices import MAX_FALSE_FREE, MIN_AGREEMENT

FRAMES = 8
"""Frames compared, spread over the drive."""


class Decision(Protocol):
    """What an engine says about one frame; valid until the next."""

    @property
    def inference(self) -> Inference:
        """The engine's answer."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the mask in pixels."""

    def class_mask(self) -> NDArray[np.uint8]:
        """Class ids, (H, W) uint8."""


class Decider(Protocol):
    """An engine and the way the classes of a frame's pixels are decided from what it answers.

    That of the product is :class:`seg_ros.segment.segmenter.Segmenter`.
    """

    @property
    def labels(self) -> LabelSet:
        """What the classes mean."""

    @property
    def engine_info(self) -> EngineInfo:
        """Runtime, device and precision of the engine."""

    def segment(self, frame: NDArray[np.uint8], size: tuple[int, int] | None = None) -> Decision:
        """Run the network on an (H, W, 3) uint8 BGR frame, for a mask of ``size`` or its own."""


@dataclass(frozen=True)
class Limits:
    """What an engine may differ by; shares from 0 to 1.

    Raises:
        SegRosError: one is not.

    """

    agreement: float = MIN_AGREEMENT
    """At least this share of pixels has the reference's class."""
    false_free: float = MAX_FALSE_FREE
    """At most this share of what the reference calls not driveable is driveable to the engine."""

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        for name, share in (("agreement", self.agreement), ("false free", self.false_free)):
            if not 0 <= share <= 1:
                raise SegRosError(f"limit of {name} is {share}; it is a share, 0 to 1")


@dataclass(frozen=True)
class Verification:
    """How an engine's masks compare with the reference's."""

    reference: str
    """Runtime of the reference."""
    source: str
    """Drive the frames are from."""
    frames: int
    pixels: int
    """Pixels compared, of all masks."""
    limits: Limits
    agreement: float
    """Share of pixels with the same class."""
    iou: tuple[tuple[str, float | None], ...]
    """Per class: name and IoU with the reference's masks; None where neither sees it."""
    largest_region: int
    """Pixels of the largest connected region of one frame in which the two differ."""
    largest_region_at: str
    """Where that is: frame, and the box in pixels; empty if there is none."""
    false_free: float
    """Share of the pixels not driveable to the reference that are driveable to the engine."""
    logit_difference: float
    """Largest difference of a logit."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Which limits are exceeded; empty when the engine is good."""
        problems = []
        if not self.agreement >= self.limits.agreement:
            problems.append(
                f"only {_percent(self.agreement)} of the pixels agree with {self.reference} "
                f"(limit {_percent(self.limits.agreement)})"
            )
        if not self.false_free <= self.limits.false_free:
            problems.append(
                f"{_percent(self.false_free)} of what is not driveable became driveable "
                f"(limit {_percent(self.limits.false_free)})"
            )
        return tuple(problems)

    @property
    def summary(self) -> str:
        """One line for logs and tables."""
        return (
            f"{_percent(self.agreement)} of pixels as {self.reference} on {self.frames} frames of "
            f"{self.source}, {_percent(self.false_free)} of the rest turned driveable, largest "
            f"region of difference {self.largest_region} px, logits within "
            f"{self.logit_difference:.2g}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON types."""
        return {
            "summary": self.summary,
            "passed": not self.problems,
            "problems": list(self.problems),
            "reference": self.reference,
            "source": self.source,
            "frames": self.frames,
            "pixels": self.pixels,
            "agreement": self.agreement,
            "agreement_limit": self.limits.agreement,
            "false_free": self.false_free,
            "false_free_limit": self.limits.false_free,
            "iou": dict(self.iou),
            "largest_region_px": self.largest_region,
            "largest_region_at": self.largest_region_at,
            "logit_difference": self.logit_difference,
        }


def verify(
    engine: Decider,
    reference: Decider,
    frames: Sequence[NDArray[np.uint8]],
    source: str,
    limits: Limits | None = None,
    report: Callable[[str, float], None] = lambda _, __: None,
) -> Verification:
    """Compare the masks an engine makes with those of the reference.

    Masks are compared at the frame's size and, where the engine decides classes itself, at the size
    it does so: both ways to a mask that the node uses.

    Args:
        engine: what is judged.
        reference: what is right, in fp32.
        frames: (H, W, 3) uint8 BGR each.
        source: where they are from, for people.
        limits: the default is 99 % agreement and 0.1 % turned driveable.
        report: called with what is being done and the share that is done.

    Raises:
        SegRosError: the frames cannot tell a good engine from a bad one, because the reference
            sees one class only; or an engine's answer is not usable.

    """
    labels = reference.labels
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    largest, largest_at, difference = 0, "", 0.0
    for index, frame in enumerate(frames):
        report(f"verifying on {source}", index / len(frames))
        wanted, found = reference.segment(frame), engine.segment(frame)
        pairs = [(wanted.class_mask(), found.class_mask())]
        gap = np.abs(wanted.inference.logits() - found.inference.logits()).max()
        difference = max(difference, float(gap))
        decided = found.inference.mask
        if decided is not None and decided.shape != found.size:
            pairs.append((reference.segment(frame, decided.shape).class_mask(), decided))
        for true, said in pairs:
            if said.max() >= len(labels):
                raise SegRosError(
                    f"{engine.engine_info.runtime} answered with class {said.max()} of "
                    f"{len(labels)}; the engine is broken"
                )
            confusion += np.bincount(
                true.ravel().astype(np.int64) * len(labels) + said.ravel(),
                minlength=len(labels) ** 2,
            ).reshape(len(labels), -1)
            size, box = _largest_region(true != said)
            if size > largest:
                largest, largest_at = size, f"frame {index}, {box}"
    if np.count_nonzero(confusion.sum(1)) < 2:
        raise SegRosError(
            f"the reference sees one class only in all frames of {source}, so they would pass any "
            "engine; name a drive that shows more (--frames)"
        )
    return Verification(
        reference=f"{reference.engine_info.runtime} {reference.engine_info.precision}",
        source=source,
        frames=len(frames),
        pixels=int(confusion.sum()),
        limits=limits or Limits(),
        agreement=float(np.trace(confusion) / confusion.sum()),
        iou=_iou(confusion, labels),
        largest_region=largest,
        largest_region_at=largest_at,
        false_free=_false_free(confusion, labels),
        logit_difference=difference,
    )


def _iou(confusion: NDArray[np.int64], labels: LabelSet) -> tuple[tuple[str, float | None], ...]:
    both = np.diag(confusion)
    either = confusion.sum(0) + confusion.sum(1) - both
    return tuple(
        (label.name, float(both[i] / either[i]) if either[i] else None)
        for i, label in enumerate(labels.classes)
    )


def _false_free(confusion: NDArray[np.int64], labels: LabelSet) -> float:
    driveable = np.zeros(len(labels), bool)
    driveable[list(labels.driveable_ids)] = True
    blocked = confusion[~driveable]
    return float(blocked[:, driveable].sum() / max(blocked.sum(), 1))


def _largest_region(differs: NDArray[np.bool_]) -> tuple[int, str]:
    """Return the pixels and the box, "x y w h", of the largest connected region that is set."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(differs.astype(np.uint8), connectivity=8)
    if count < 2:
        return 0, ""
    widest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    x, y, width, height, area = (int(v) for v in stats[widest])
    return area, f"x {x} y {y} width {width} height {height}"


def _percent(share: float) -> str:
    return f"{100 * share:.3f} %"
