"""Labelled frames on disk: which image belongs to which label image, and what its values mean.

Understood are a folder of images beside one of label images, Cityscapes and BDD100K's driveable
area, each as its authors lay it out.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.pictures import PICTURES, by_number
from seg_ros.errors import SegRosError
from seg_ros.labels import UNLABELLED, LabelSet

DEFAULT_SPLIT = "val"
"""The split that is taken when nobody names one."""

LAYOUTS = (
    "images/ + labels/ (or annotations/ or masks/), with or without a folder per split in each",
    "<split>/images/ + <split>/labels/",
    "<split>/ + <split>annot/ (CamVid as in the SegNet tutorial)",
    "leftImg8bit/<split>/ + gtFine/<split>/ (Cityscapes)",
    "images/100k/<split>/ + labels/drivable/masks/<split>/ (BDD100K)",
)
"""The folder layouts :func:`open_dataset` understands, in words."""

_LABEL_FOLDERS = ("labels", "annotations", "masks")

# cityscapesScripts, helpers/labels.py: id to trainId; every other id up to 33 is void.
_CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_CITYSCAPES_MEANING = {
    **dict.fromkeys((*range(34), 255), UNLABELLED),
    **{value: class_id for class_id, value in enumerate(_CITYSCAPES_IDS)},
}
_BDD100K_CLASSES = 3


@dataclass(frozen=True)
class LabelledImage:
    """An image and the label image that belongs to it."""

    image: Path
    label: Path
    meaning: Mapping[int, int]
    """Class id of each value the label image may have; 255 for those that are no class (void)."""


@dataclass(frozen=True)
class LabelledDataset:
    """The labelled images of one split, in order."""

    layout: str
    """How the folder is laid out, in words."""
    split: str
    """Empty when the folder has none."""
    images: tuple[LabelledImage, ...]


def open_dataset(path: Path, labels: LabelSet, split: str = "") -> LabelledDataset:
    """Find the images of a labelled data set, and check that each has a label image.

    In a label image a value is the id of a class of ``labels``. Two more are void: 255, and the
    one after the last class, which is where data sets put it (CamVid's 11, BDD100K's 3). Only
    Cityscapes' ``labelIds`` are mapped; they are read where ``labelTrainIds`` are absent.

    Args:
        path: the folder, in one of the layouts of :data:`LAYOUTS`.
        labels: the classes.
        split: which part of it; empty for ``val``, or for all of a folder without splits.

    Raises:
        SegRosError: no such folder, split or layout, images without labels, no images, or a data
            set with another number of classes.

    """
    if not path.is_dir():
        raise SegRosError(f"data set {path} is not a folder; understood are {'; '.join(LAYOUTS)}")
    try:
        if (path / "leftImg8bit").is_dir():
            return _cityscapes(path, labels, split)
        if (path / "images" / "100k").is_dir():
            return _bdd100k(path, labels, split)
        return _folders(path, labels, split)
    except OSError as error:
        raise SegRosError(f"cannot read {error.filename}: {error.strerror}") from error


def _cityscapes(path: Path, labels: LabelSet, split: str) -> LabelledDataset:
    _check_classes(path, "Cityscapes", len(_CITYSCAPES_IDS), labels)
    split = _choose(path, "leftImg8bit/{}", split)
    end = "_leftImg8bit.png"
    train_ids = _meaning(labels)
    pairs = []
    for city in sorted(f for f in (path / "leftImg8bit" / split).iterdir() if f.is_dir()):
        for image in sorted(city.glob(f"*{end}"), key=by_number):
            stem = path / "gtFine" / split / city.name / image.name.removesuffix(end)
            label, meaning = stem.with_name(f"{stem.name}_gtFine_labelTrainIds.png"), train_ids
            if not label.is_file():
                ids = stem.with_name(f"{stem.name}_gtFine_labelIds.png")
                if ids.is_file():
                    label, meaning = ids, _CITYSCAPES_MEANING
            pairs.append(LabelledImage(image, label, meaning))
    return _complete("Cityscapes", path / "leftImg8bit" / split, split, pairs)


def _bdd100k(path: Path, labels: LabelSet, split: str) -> LabelledDataset:
    _check_classes(path, "BDD100K driveable area", _BDD100K_CLASSES, labels)
    split = _choose(path, "images/100k/{}", split)
    return _pair(
        "BDD100K driveable area",
        path / "images" / "100k" / split,
        path / "labels" / "drivable" / "masks" / split,
        split,
        labels,
    )


def _folders(path: Path, labels: LabelSet, split: str) -> LabelledDataset:
    if any(f.is_dir() and f.name != "annot" for f in path.glob("*annot")):
        split = _choose(path, "{}annot", split)
        return _pair(
            "<split>/ + <split>annot/", path / split, path / f"{split}annot", split, labels
        )
    if (path / "images").is_dir():
        images, name = path / "images", _label_folder(path)
        layout, truth = f"images/ + {name}/", path / name
        has_split = (images / (split or DEFAULT_SPLIT)).is_dir()
        if has_split or not any(f.suffix.lower() in PICTURES for f in images.iterdir()):
            split = _choose(path, "images/{}", split)
            return _pair(f"{layout} by split", images / split, truth / split, split, labels)
        if split:
            raise SegRosError(
                f"data set {path} has no split {split!r}: images/ has no folders; leave --split out"
            )
        return _pair(layout, images, truth, "", labels)
    if any(path.glob("*/images")):
        split = _choose(path, "{}/images", split)
        name = _label_folder(path / split)
        layout, images = f"<split>/images/ + <split>/{name}/", path / split / "images"
        return _pair(layout, images, path / split / name, split, labels)
    raise SegRosError(
        f"data set {path} has none of the folders a labelled data set has; understood are "
        f"{'; '.join(LAYOUTS)}"
    )


def _label_folder(path: Path) -> str:
    """Return the folder of label images that is there; where none is, the one there should be."""
    return next((name for name in _LABEL_FOLDERS if (path / name).is_dir()), _LABEL_FOLDERS[0])


def _choose(path: Path, pattern: str, split: str) -> str:
    """Return the split to take, or say which there are; its folder is ``pattern`` with its name."""
    split = split or DEFAULT_SPLIT
    if not (path / pattern.format(split)).is_dir():
        before, _, after = pattern.partition("{}")
        found = (
            f.relative_to(path).as_posix().removeprefix(before).removesuffix(after)
            for f in path.glob(pattern.format("*"))
            if f.is_dir()
        )
        there = ", ".join(sorted(name for name in found if name)) or "none"
        raise SegRosError(
            f"data set {path} has no split {split!r} ({pattern.format(split)} is not there); "
            f"splits there: {there}; choose one with --split"
        )
    return split


def _pair(layout: str, images: Path, truth: Path, split: str, labels: LabelSet) -> LabelledDataset:
    """Pair the images of a folder with the PNG files of the same name in another."""
    if not images.is_dir():
        raise SegRosError(f"{images} is not there, but its label images are; add the images")
    meaning = _meaning(labels)
    pairs = [
        LabelledImage(image, truth / f"{image.stem}.png", meaning)
        for image in sorted(images.iterdir(), key=by_number)
        if image.suffix.lower() in PICTURES and not image.name.startswith(".")
    ]
    return _complete(layout, images, split, pairs)


def _complete(layout: str, folder: Path, split: str, pairs: list[LabelledImage]) -> LabelledDataset:
    if not pairs:
        raise SegRosError(
            f"{folder} has no images (PNG or JPEG); add them, or choose another split"
        )
    without = [pair for pair in pairs if not pair.label.is_file()]
    if without:
        raise SegRosError(
            f"{without[0].image} has no label image: {without[0].label} is not there "
            f"({len(without)} of {len(pairs)} images have none); add it as a PNG of class ids, "
            "or remove the image"
        )
    return LabelledDataset(layout, split, tuple(pairs))


def _check_classes(path: Path, name: str, count: int, labels: LabelSet) -> None:
    if len(labels) != count:
        raise SegRosError(
            f"data set {path} is {name} with {count} classes, the model's label set {labels.name} "
            f"has {len(labels)}; use a model of its classes, or write label images of the model's "
            "classes into a folder images/ + labels/"
        )


def _meaning(labels: LabelSet) -> dict[int, int]:
    count = len(labels)
    return {**{i: i for i in range(count)}, count: UNLABELLED, UNLABELLED: UNLABELLED}


def read_truth(pair: LabelledImage) -> NDArray[np.uint8]:
    """Read a label image as class ids.

    Returns:
        (H, W) uint8 class ids, 255 where there is no class.

    Raises:
        SegRosError: it is damaged, no label image, or has values without a meaning; the message
            names the file.

    """
    values = read_label_image(pair.label)
    table = np.full(256, UNLABELLED, np.uint8)
    table[list(pair.meaning)] = list(pair.meaning.values())
    found = np.flatnonzero(np.bincount(np.ravel(values), minlength=256))
    strange = [int(v) for v in found if int(v) not in pair.meaning]
    if strange:
        shown = ", ".join(map(str, strange[:8])) + (", ..." if len(strange) > 8 else "")
        last = max(value for value in pair.meaning if value != UNLABELLED)
        raise SegRosError(
            f"{pair.label} has label ids {shown}; it may have 0 to {last} and 255; name the label "
            "set it was made with, or correct it"
        )
    return np.asarray(table[values], np.uint8)


def read_label_image(file: Path) -> NDArray[np.uint8]:
    """Read the values of a PNG label image, one per pixel: 8 or 16 bit grey, or a palette.

    Of a palette the indices are the values. 16 bit values must be 255 at most.

    Returns:
        (H, W) uint8.

    Raises:
        SegRosError: not a PNG, damaged, a colour picture, or values that do not fit.

    """
    advice = "replace it, or remove it and its image"
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SegRosError(f"{file}: {error.strerror or error}; {advice}") from error
    if not _is_whole_png(data):
        raise SegRosError(f"label image {file} is not a PNG, or a damaged one; {advice}")
    bits, color = struct.unpack_from("BB", data, 24)  # IHDR: width, height, bit depth, colour type
    readers: dict[int, Callable[[bytes], NDArray[Any] | None]] = {0: _grey, 3: _palette_indices}
    if color not in readers:
        raise SegRosError(
            f"label image {file} is a colour picture; it must be grey or have a palette, each "
            "pixel the id of its class"
        )
    if color == 0 and bits < 8:
        # Decoders stretch these to 0..255, so that the ids are lost.
        raise SegRosError(f"label image {file} has {bits} bits per pixel; save it with 8")
    values = readers[color](data)
    if values is None:
        raise SegRosError(f"label image {file} is damaged; {advice}")
    if values.max() > 255:
        raise SegRosError(f"label image {file} has ids up to {values.max()}; 255 is the largest")
    return values.astype(np.uint8)


def _is_whole_png(data: bytes) -> bool:
    """Check every chunk's sum; decoders make up what they cannot read."""
    if data[:16] != b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR":
        return False
    at, kind = 8, b""
    while kind != b"IEND" and at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if data[end : end + 4] != struct.pack(">I", zlib.crc32(data[at + 4 : end])):
            return False
        at = end + 4
    return kind == b"IEND"


def _grey(data: bytes) -> NDArray[Any] | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH)


def _palette_indices(data: bytes) -> NDArray[Any] | None:
    """Return the indices of a palette PNG, which OpenCV would give as colours."""
    try:
        with av.open(BytesIO(data)) as container:
            frame = next(container.decode(video=0))
    except (av.FFmpegError, StopIteration):
        return None
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8)[: frame.height * plane.line_size]
    return np.asarray(rows.reshape(frame.height, plane.line_size)[:, : frame.width])
