"""Two models, or two engines, on one drive: where they disagree and how fast each is.

Classes are compared by name. Classes that only one of the two has, or that only one of the two
calls driveable, are compared as driveable or not, so that any two label sets can be compared.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import Drive, DriveFrame
from seg_ros.drive.read_ahead import read_ahead
from seg_ros.errors import SegRosError
from seg_ros.judge.evaluate import Scores, confusion_matrix, scores
from seg_ros.labels import UNLABELLED, ClassLabel, Kind, LabelSet
from seg_ros.report.compare_page import write_compare_page
from seg_ros.report.page import PictureRows
from seg_ros.report.page.parts import most, small_jpeg
from seg_ros.results.outputs import OutputFolder
from seg_ros.results.video import OverlayVideo
from seg_ros.segment.paint import contact_sheet, difference, overlay
from seg_ros.segment.segmenter import Segmenter
from seg_ros.support.choices import PRECISIONS, RUNTIMES
from seg_ros.support.provenance import checksums, versions
from seg_ros.support.statistics import percentile
from seg_ros.support.tables import text_table

COMPARE_NAMES = ("compare.html", "compare.mp4")
"""What a comparison leaves in its folder."""

_READ_AHEAD = 4
_TILE_HEIGHT = 360
_OPACITY = 0.5
_PAIRS = 8
"""The commonest disagreements that are listed."""


@dataclass(frozen=True)
class Contender:
    """One of the two, as the command line names it: ``MODEL[@RUNTIME[:PRECISION]]``."""

    name: str
    """For people: without folders."""
    model: str
    runtime: str = "auto"
    precision: str = "auto"

    @classmethod
    def parse(cls, text: str) -> Contender:
        """Read it; a file whose name has an @ in it is a model all the same.

        Raises:
            SegRosError: what follows the @ is no runtime, or what follows the colon no precision.

        """
        name = Path(text).name
        model, at, engine = text.rpartition("@")
        if not at or Path(text).expanduser().exists():
            return cls(name, text)
        runtime, colon, precision = engine.partition(":")
        for what, value, known in (
            ("runtime", runtime, RUNTIMES),
            ("precision", precision if colon else "auto", PRECISIONS),
        ):
            if value not in known:
                raise SegRosError(
                    f"{text!r}: {what} {value!r} is unknown; write MODEL, MODEL@RUNTIME or "
                    f"MODEL@RUNTIME:PRECISION with a {what} of {', '.join(known)}"
                )
        return cls(name, model, runtime, precision or "auto")


@dataclass(frozen=True)
class CommonClasses:
    """Classes of two label sets in which their masks can be compared."""

    labels: LabelSet
    tables: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    """Per label set, (256,) uint8: the common id of each of its ids."""

    @classmethod
    def of(cls, first: LabelSet, second: LabelSet) -> CommonClasses:
        """Find what two label sets share: names of classes, and what may be driven on."""
        sets = (first, second)
        keys = [{_key(label): label for label in labels.classes} for labels in sets]
        shared = [key for key in keys[0] if key in keys[1]]
        classes = [keys[0][key] for key in shared]
        ids = {key: i for i, key in enumerate(shared)}
        for driveable in (True, False):
            rest = [k for known in keys for k in known if k[1] == driveable and k not in ids]
            if rest:
                ids.update(dict.fromkeys(rest, len(classes)))
                classes.append(_rest_class(driveable, bool(shared)))
        tables = []
        for labels in sets:
            table = np.full(256, UNLABELLED, np.uint8)
            table[: len(labels)] = [ids[_key(label)] for label in labels.classes]
            tables.append(table)
        common = LabelSet(f"{first.name} and {second.name}", tuple(classes))
        return cls(common, (tables[0], tables[1]))


def _key(label: ClassLabel) -> tuple[str, bool]:
    return label.name.lower().replace("_", " ").replace("-", " "), label.driveable


def _rest_class(driveable: bool, others: bool) -> ClassLabel:
    other = "other " if others else ""
    if driveable:
        return ClassLabel(f"{other}driveable", (128, 64, 128), Kind.GROUND, driveable=True)
    return ClassLabel(f"{other}not driveable", (110, 120, 130), Kind.OBSTACLE)


@dataclass
class _Frames:
    """What was found per frame; one list per figure."""

    index: list[int] = field(default_factory=list)
    stamp_ns: list[int] = field(default_factory=list)
    agreement: list[float] = field(default_factory=list)
    driveable_iou: list[float | None] = field(default_factory=list)
    class_iou: list[list[float | None]] = field(default_factory=list)
    engine_ms: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))

    def add(self, frame: DriveFrame, found: Scores, both: Sequence[_Answer]) -> None:
        self.index.append(frame.index)
        self.stamp_ns.append(frame.stamp_ns)
        self.agreement.append(found.pixel_accuracy)
        self.driveable_iou.append(_known(found.driveable_iou))
        for column, iou in zip(self.class_iou, found.class_iou, strict=True):
            column.append(_known(float(iou)))
        for times, answer in zip(self.engine_ms, both, strict=True):
            times.append(answer.engine_ms)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


@dataclass(frozen=True)
class _Answer:
    mask: NDArray[np.uint8]
    """(H, W) uint8 in the contender's own classes."""
    common: NDArray[np.uint8]
    """The same in the common ones."""
    engine_ms: float


@dataclass
class Comparison:
    """Compares two segmenters frame by frame.

    Args:
        names: what the two are called.
        segmenters: the two.
        drive: the frames.
        on_frame: called after every frame.
        on_bad_frame: called with the reason for every frame that is left out.

    """

    names: tuple[str, str]
    segmenters: tuple[Segmenter, Segmenter]
    drive: Drive
    on_frame: Callable[[], object] = lambda: None
    on_bad_frame: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        """Find the classes to compare in."""
        first, second = self.segmenters
        self.common = CommonClasses.of(first.labels, second.labels)
        self._frames = _Frames(class_iou=[[] for _ in self.common.labels.classes])
        count = len(self.common.labels)
        self._confusion = np.zeros((count, count), np.int64)
        self._frames_in = 0
        self._problems: list[str] = []

    def run(self, folder: OutputFolder, about: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare every frame; write ``compare.mp4`` and ``compare.html``.

        Args:
            folder: where they go when they are whole.
            about: ``command``, ``started`` and ``inputs`` (checksums) for the page.

        Returns:
            All figures, as JSON takes them; shares of 1, times in milliseconds.

        Raises:
            SegRosError: the drive is damaged (what came before is compared and written), it has no
                frame that can be decoded, or the outputs cannot be written.

        """
        start = time.perf_counter()
        video = folder.work / "compare.mp4"
        try:
            with OverlayVideo(video) as film:
                damage = self._compare(film)
            if not self._frames.index:
                raise damage or SegRosError(
                    f"drive {self.drive.name} has no frame that can be decoded"
                )
            values = self._values(about or {}, time.perf_counter() - start)
            values["outputs"] = checksums(video)
            values["finished"] = damage is None
            values["problems"] += [str(damage)] if damage else []
            page = folder.work / "compare.html"
            write_compare_page(values, video, self._moment_pictures, page)
            folder.publish()
        except OSError as error:
            raise SegRosError(
                f"cannot write into {folder.path}: {error.strerror or error}"
            ) from error
        if damage:
            count = len(self._frames.index)
            raise SegRosError(f"{damage}. The {count} frames before it are in {folder.path}")
        return values

    def _compare(self, film: OverlayVideo) -> SegRosError | None:
        """Compare every frame; return the damage that ended the drive early."""
        frames = read_ahead(self.drive.frames(), _READ_AHEAD)
        while True:
            try:
                frame = next(frames, None)
            except SegRosError as error:
                return error
            if frame is None:
                return None
            self._frames_in += 1
            try:
                image = frame.decode()
                both = self._answers(image, frame.index)
            except SegRosError as error:
                self._problems.append(f"frame {frame.index}: {error}")
                self.on_bad_frame(self._problems[-1])
                self.on_frame()
                continue
            counts = confusion_matrix(both[0].common, both[1].common, len(self.common.labels))
            self._confusion += counts
            self._frames.add(frame, scores(counts, self.common.labels.driveable_ids), both)
            film.add(frame.stamp_ns, self._sheet(image, both))
            self.on_frame()

    def _answers(self, image: NDArray[np.uint8], index: int) -> tuple[_Answer, _Answer]:
        """Ask both, by turns the one and the other first: none always finds a warm cache."""
        found: dict[int, _Answer] = {}
        for which in (0, 1) if index % 2 == 0 else (1, 0):
            segmentation = self.segmenters[which].segment(image)
            mask = segmentation.class_mask()
            common = np.asarray(cv2.LUT(mask, self.common.tables[which]), np.uint8)
            found[which] = _Answer(mask, common, segmentation.engine_ns / 1e6)
        return found[0], found[1]

    def _pictures(
        self, image: NDArray[np.uint8], both: tuple[_Answer, _Answer]
    ) -> tuple[NDArray[np.uint8], ...]:
        """Overlay A, overlay B, where they disagree."""
        overlays = [
            overlay(image, answer.mask, segmenter.labels, _OPACITY)
            for answer, segmenter in zip(both, self.segmenters, strict=True)
        ]
        return *overlays, difference(image, both[0].common, both[1].common)

    def _sheet(self, image: NDArray[np.uint8], both: tuple[_Answer, _Answer]) -> NDArray[np.uint8]:
        """Put the two above, where they disagree and the frame below."""
        first, second, unlike = self._pictures(image, both)
        share = np.count_nonzero(both[0].common == both[1].common) / both[0].common.size
        names = [f"{letter}: {name}" for letter, name in zip("AB", self.names, strict=True)]
        return contact_sheet(
            [
                [(names[0], first), (names[1], second)],
                [(f"{share:.1%} agree, red does not", unlike), ("frame", image)],
            ],
            _TILE_HEIGHT,
        )

    def _values(self, about: dict[str, Any], seconds: float) -> dict[str, Any]:
        frames, labels = self._frames, self.common.labels
        total = scores(self._confusion, labels.driveable_ids)
        shares = (self._confusion.sum(axis=0) + self._confusion.sum(axis=1)) / 2
        shares = shares / self._confusion.sum()
        first, second = (
            {
                "name": name,
                "model": segmenter.model_name,
                "engine": f"{segmenter.engine_info.runtime} {segmenter.engine_info.precision}",
                "device": segmenter.engine_info.device,
                "input_size": list(segmenter.input_size),
                "labels": segmenter.labels.name,
                "engine_p50_ms": percentile(times, 50),
                "engine_p99_ms": percentile(times, 99),
            }
            for name, segmenter, times in zip(
                self.names, self.segmenters, frames.engine_ms, strict=True
            )
        )
        return {
            "drive": self.drive.name,
            "a": first,
            "b": second,
            "frames_in": self._frames_in,
            "frames_out": len(frames.index),
            "rejected": self._frames_in - len(frames.index),
            "seconds": seconds,
            "agreement": total.pixel_accuracy,
            "driveable_iou": _known(total.driveable_iou),
            "classes": [
                {
                    "name": label.name,
                    "color": list(label.color),
                    "driveable": label.driveable,
                    "mean_share": float(share),
                    "iou": _known(float(iou)),
                }
                for label, share, iou in zip(labels.classes, shares, total.class_iou, strict=True)
            ],
            "disagreements": self._disagreements(),
            "notable": {
                "largest_disagreement": most([1 - v for v in frames.agreement]),
                "least_driveable_agreement": most(
                    [None if v is None else 1 - v for v in frames.driveable_iou]
                ),
            },
            "problems": list(self._problems),
            "command": about.get("command", ""),
            "started": about.get("started", ""),
            "inputs": about.get("inputs", {}),
            "versions": versions(),
            "frames": {
                "index": frames.index,
                "stamp_ns": frames.stamp_ns,
                "agreement": frames.agreement,
                "driveable_iou": frames.driveable_iou,
                "class_iou": frames.class_iou,
                "engine_ms_a": frames.engine_ms[0],
                "engine_ms_b": frames.engine_ms[1],
            },
        }

    def _disagreements(self) -> list[dict[str, Any]]:
        """List what one calls this and the other that, the commonest first."""
        names = [label.name for label in self.common.labels.classes]
        unlike = self._confusion.copy()
        np.fill_diagonal(unlike, 0)
        order = np.argsort(-unlike, axis=None, kind="stable")[:_PAIRS]
        found = []
        for a, b in zip(*np.unravel_index(order, unlike.shape), strict=True):
            if unlike[a, b]:
                share = float(unlike[a, b] / self._confusion.sum())
                found.append({"a": names[a], "b": names[b], "share": share})
        return found

    def _moment_pictures(self, index: int) -> PictureRows:
        """Ask both again about a frame worth looking at: keeping pictures would take memory."""
        with suppress(SegRosError):  # it could be read before; the page goes without
            for frame in self.drive.frames(index, index + 1):
                image = frame.decode()
                pictures = [
                    small_jpeg(p) for p in self._pictures(image, self._answers(image, index))
                ]
                first, second, unlike = pictures
                return (
                    (("disagreement", *unlike),),
                    (("overlay A", *first), ("overlay B", *second)),
                )
        return ()


def comparison_table(values: dict[str, Any]) -> str:
    """Lay the figures of a comparison out for a person to read."""
    rows = [("class", "IoU of A and B", "pixels")]
    rows += [(c["name"], _figure(c["iou"]), f"{c['mean_share']:.1%}") for c in values["classes"]]
    rows += [
        ("", "", ""),
        ("all pixels, the same class", _figure(values["agreement"]), ""),
        ("driveable area", _figure(values["driveable_iou"]), ""),
        ("frames", str(values["frames_out"]), f"of {values['frames_in']}"),
    ]
    for key in "ab":
        known = values[key]
        rows.append((f"engine {key.upper()}", f"{known['engine_p50_ms']:.1f} ms", known["engine"]))
    return text_table(rows)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
