"""How right a model is on labelled images: confusion matrix, IoU per class and what follows.

The scores are those of the Cityscapes and PASCAL VOC benchmarks: pixels of all images are counted
in one confusion matrix, and IoU = TP / (TP + FP + FN) per class (Everingham et al., "The Pascal
Visual Object Classes Challenge: A Retrospective", IJCV 2015). Pixels without a class count nowhere.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.pictures import read_picture
from seg_ros.drive.read_ahead import read_ahead
from seg_ros.errors import SegRosError
from seg_ros.judge.datasets import LabelledDataset
from seg_ros.judge.label_images import LabelledImage, read_truth
from seg_ros.judge.reliability import Reliability, reliability_picture
from seg_ros.labels import UNLABELLED, LabelSet
from seg_ros.segment.paint import colorize, confusion_picture, contact_sheet, difference, legend
from seg_ros.segment.segmenter import Segmenter
from seg_ros.support.tables import text_table

EVALUATION_NAMES = ("confusion.png", "worst.png", "reliability.png", "images.csv")
"""What :func:`write_pictures` leaves in its folder."""

_READ_AHEAD = 4
_WORST = 10
_PIECES = 20
"""The worst image of each such part of the data set may be shown: neighbours look alike."""
_NAME_LENGTH = 40
_NOTHING = "-"


def confusion_matrix(
    truth: NDArray[np.uint8], prediction: NDArray[np.uint8], class_count: int
) -> NDArray[np.int64]:
    """Count the pixels of each true class by the class they were given.

    Args:
        truth: (H, W) uint8 class ids; pixels of 255 are left out.
        prediction: (H, W) uint8 class ids.
        class_count: C.

    Returns:
        (C, C) int64, rows the true class, columns the predicted one.

    Raises:
        ValueError: shapes or dtypes differ, or an id is no class.

    """
    if truth.shape != prediction.shape or {truth.dtype, prediction.dtype} != {np.dtype(np.uint8)}:
        raise ValueError(
            f"truth {truth.shape} {truth.dtype} and prediction {prediction.shape} "
            f"{prediction.dtype} must be uint8 of one shape"
        )
    labelled = truth != UNLABELLED
    true, said = truth[labelled], prediction[labelled]
    if true.size and max(true.max(), said.max()) >= class_count:
        raise ValueError(f"id {max(true.max(), said.max())} is none of {class_count} classes")
    cells = np.bincount(
        true.astype(np.uint16) * np.uint16(class_count) + said, minlength=class_count**2
    )
    return cells.reshape(class_count, class_count).astype(np.int64)


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says, each between 0 and 1, or NaN where there is nothing to say."""

    class_iou: NDArray[np.float64]
    """(C,) IoU; NaN for a class that occurs neither in the labels nor in the predictions."""
    class_precision: NDArray[np.float64]
    """(C,) share of the pixels given a class that have it; NaN where it was given to none."""
    class_recall: NDArray[np.float64]
    """(C,) share of the pixels of a class that were given it; NaN where the labels have none."""
    mean_iou: float
    """Mean over the classes that have an IoU."""
    pixel_accuracy: float
    """Share of the labelled pixels that are right."""
    driveable_iou: float
    """IoU of all driveable classes taken as one."""


def scores(confusion: NDArray[np.int64], driveable_ids: Sequence[int] = ()) -> Scores:
    """Score a confusion matrix.

    Args:
        confusion: (C, C) int64 as :func:`confusion_matrix` gives it, or a sum of such.
        driveable_ids: the classes a vehicle may drive on.

    Returns:
        The scores. A class that occurs in the labels and is never predicted, or the other way
        round, has IoU 0 and counts in the mean; one that occurs in neither is left out of it.

    """
    right = np.diag(confusion)
    said, true = confusion.sum(axis=0), confusion.sum(axis=1)
    union = said + true - right
    class_iou, precision, recall = (
        np.divide(right, whole, out=np.full(len(confusion), np.nan), where=whole > 0)
        for whole in (union, said, true)
    )
    known = class_iou[union > 0]
    ids = list(driveable_ids)
    both = confusion[np.ix_(ids, ids)].sum()
    either = confusion[ids].sum() + confusion[:, ids].sum() - both
    return Scores(
        class_iou,
        precision,
        recall,
        float(known.mean()) if known.size else float("nan"),
        _ratio(right.sum(), confusion.sum()),
        _ratio(both, either),
    )


def _ratio(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else float("nan")


@dataclass(frozen=True)
class Judged:
    """One image with its labels and what the model said, at the label image's size."""

    image: Path
    truth: NDArray[np.uint8]
    """(H, W) uint8, 255 = void."""
    prediction: NDArray[np.uint8]
    """(H, W) uint8."""
    scores: Scores


@dataclass(frozen=True)
class Evaluation:
    """A model scored on a data set."""

    labels: LabelSet
    confusion: NDArray[np.int64]
    """(C, C) int64 over all images."""
    scores: Scores
    image_count: int
    void_share: float
    """Share of the pixels that have no class and count nowhere."""
    worst: tuple[Judged, ...]
    """Images of the lowest mIoU, worst first, ten at most, spread over the data set."""
    images: tuple[tuple[Path, Scores], ...] = ()
    """Every image with its scores, in the data set's order."""
    reliability: Reliability | None = None
    """How far the confidence can be believed; None for a network that has none."""
    predicted: frozenset[int] = frozenset()
    """Classes that were predicted anywhere, also where the labels have no class."""

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON has them: null for NaN."""
        names = [label.name for label in self.labels.classes]
        return {
            "images": self.image_count,
            "void_share": self.void_share,
            "mean_iou": _or_none(self.scores.mean_iou),
            "pixel_accuracy": _or_none(self.scores.pixel_accuracy),
            "driveable_iou": _or_none(self.scores.driveable_iou),
            "classes": names,
            "class_iou": [_or_none(value) for value in self.scores.class_iou],
            "class_precision": [_or_none(value) for value in self.scores.class_precision],
            "class_recall": [_or_none(value) for value in self.scores.class_recall],
            "reliability": self.reliability.as_dict() if self.reliability else None,
            "confusion": self.confusion.tolist(),
            "worst": [
                {"image": str(judged.image), "mean_iou": judged.scores.mean_iou}
                for judged in self.worst
            ],
        }


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def evaluate(
    segmenter: Segmenter, dataset: LabelledDataset, on_image: Callable[[], object] = lambda: None
) -> Evaluation:
    """Segment every image of a data set and compare with its labels.

    The score is that of the label image's own size: where it is not the image's, the logits are
    upsampled to it and the class is decided there; a mask is never resized.

    Args:
        segmenter: the model.
        dataset: images and labels, opened with the segmenter's label set.
        on_image: called after every image.

    Raises:
        SegRosError: an image or label image is damaged or they do not fit, or no pixel has a class.

    """
    labels = segmenter.labels
    total = np.zeros((len(labels), len(labels)), np.int64)
    pixels = 0
    predicted: set[int] = set()
    worst: dict[int, Judged] = {}
    images: list[tuple[Path, Scores]] = []
    reliability = Reliability() if segmenter.confident else None
    for pair, frame, truth in read_ahead(_read(dataset, labels), _READ_AHEAD):
        segmentation = segmenter.segment(frame, truth.shape)
        prediction = segmentation.class_mask()
        if reliability:
            reliability.add(truth, prediction, segmentation.confidence())
        confusion = confusion_matrix(truth, prediction, len(labels))
        total += confusion
        predicted.update(np.flatnonzero(np.bincount(prediction.ravel(), minlength=1)).tolist())
        pixels += truth.size
        judged = Judged(pair.image, truth, prediction, scores(confusion, labels.driveable_ids))
        piece = len(images) * _PIECES // len(dataset.images)
        images.append((pair.image, judged.scores))
        if confusion.any() and (
            piece not in worst or judged.scores.mean_iou < worst[piece].scores.mean_iou
        ):
            worst[piece] = judged
        on_image()
    if not total.any():
        raise SegRosError(
            f"none of the {len(dataset.images)} label images like {dataset.images[0].label} has a "
            "pixel with a class; are the labels of this split public? choose another with --split"
        )
    return Evaluation(
        labels,
        total,
        scores(total, labels.driveable_ids),
        len(dataset.images),
        1 - int(total.sum()) / pixels,
        tuple(sorted(worst.values(), key=lambda judged: judged.scores.mean_iou)[:_WORST]),
        tuple(images),
        reliability,
        frozenset(predicted),
    )


def _read(
    dataset: LabelledDataset, labels: LabelSet
) -> Iterator[tuple[LabelledImage, NDArray[np.uint8], NDArray[np.uint8]]]:
    for pair in dataset.images:
        try:
            frame = read_picture(pair.image)
        except SegRosError as error:
            raise SegRosError(f"{error}; replace it, or remove it and its label image") from error
        truth = read_truth(pair, labels)
        (height, width), (rows, columns) = frame.shape[:2], truth.shape
        # The same proportions, to a pixel of rounding.
        if abs(height * columns - width * rows) > max(height, width):
            raise SegRosError(
                f"label image {pair.label} is {columns}x{rows}, its image {pair.image.name} is "
                f"{width}x{height}: not the same proportions; is it of another image?"
            )
        yield pair, frame, truth


def evaluation_table(evaluation: Evaluation) -> str:
    """Lay the scores out for a person to read."""
    found = evaluation.scores
    pixels = evaluation.confusion.sum(axis=1)
    rows = [("class", "IoU", "precision", "recall", "pixels")]
    columns = found.class_iou, found.class_precision, found.class_recall, pixels
    for label, iou, precision, recall, count in zip(
        evaluation.labels.classes, *columns, strict=True
    ):
        figures = _figure(iou), _figure(precision), _figure(recall)
        rows.append((label.name, *figures, f"{count / pixels.sum():.1%}"))
    rest = [
        ("mean IoU", _figure(found.mean_iou)),
        ("pixel accuracy", _figure(found.pixel_accuracy)),
        ("driveable IoU", _figure(found.driveable_iou)),
        ("images", str(evaluation.image_count)),
        ("void, ignored", f"{evaluation.void_share:.1%}"),
    ]
    if evaluation.reliability:
        rest.append(("calibration error", _figure(evaluation.reliability.expected_error)))
    rows += [("",) * 5, *((name, value, "", "", "") for name, value in rest)]
    table = text_table(rows)
    unknown = [i for i, iou in enumerate(found.class_iou) if np.isnan(iou)]
    for what, ids in (
        ("neither in the labels nor predicted", set(unknown) - evaluation.predicted),
        (
            "not in the labels, predicted only where they have no class",
            set(unknown) & evaluation.predicted,
        ),
    ):
        if ids:
            names = ", ".join(evaluation.labels.classes[i].name for i in sorted(ids))
            table += f"\n{what}, so left out of the mean: {names}"
    if pixels[0] == pixels.sum() and evaluation.void_share > 0:
        name = evaluation.labels.classes[0].name
        table += (
            f"\nthe label images say only {name} (0) and no class (255), as binary masks do that "
            f"mean something else by it; say what: --values 0=void,255={name}"
        )
    return table


def _figure(value: float) -> str:
    return _NOTHING if np.isnan(value) else f"{value:.4f}"


def write_pictures(evaluation: Evaluation, folder: Path) -> None:
    """Draw the pictures of :data:`EVALUATION_NAMES` and write the images' scores into a folder.

    Raises:
        SegRosError: they cannot be written.

    """
    confusion = confusion_picture(
        evaluation.confusion, evaluation.labels, evaluation.scores.class_iou
    )
    pictures = {"confusion.png": confusion, "worst.png": worst_sheet(evaluation)}
    if evaluation.reliability:
        pictures["reliability.png"] = reliability_picture(evaluation.reliability)
    for name, picture in pictures.items():
        if not cv2.imwrite(str(folder / name), picture):
            raise SegRosError(f"cannot write {folder / name}; is there space and permission?")
    _write_images(evaluation, folder / "images.csv")


def _write_images(evaluation: Evaluation, path: Path) -> None:
    """Write a line of scores for each image; a class without a pixel in it has an empty cell."""
    names = [label.name for label in evaluation.labels.classes]
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(
            ["image", "mean_iou", "pixel_accuracy", "driveable_iou", *(f"IoU {n}" for n in names)]
        )
        for image, found in evaluation.images:
            values = found.mean_iou, found.pixel_accuracy, found.driveable_iou, *found.class_iou
            lines.writerow([image, *("" if np.isnan(v) else f"{v:.4f}" for v in values)])


def worst_sheet(evaluation: Evaluation) -> NDArray[np.uint8]:
    """Show the worst images: frame, truth, prediction and where they differ, and the colours.

    Returns:
        (H, W, 3) uint8 BGR.

    """
    rows = []
    for judged in evaluation.worst:
        labelled = judged.truth != UNLABELLED
        wrong = np.count_nonzero(labelled & (judged.truth != judged.prediction))
        frame = read_picture(judged.image)
        rows.append(
            [
                (_shortened(judged.image.name), frame),
                ("truth (black: void)", colorize(judged.truth, evaluation.labels)),
                (
                    f"prediction, mIoU {judged.scores.mean_iou:.3f}",
                    colorize(judged.prediction, evaluation.labels),
                ),
                (
                    f"wrong in red, {wrong / np.count_nonzero(labelled):.1%}",
                    difference(frame, judged.truth, judged.prediction),
                ),
            ]
        )
    sheet = contact_sheet(rows)
    return np.vstack([sheet, legend(evaluation.labels, sheet.shape[1])])


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"...{name[3 - _NAME_LENGTH :]}"
