"""Labelled frames on disk: which image belongs to which label image, and what its values mean.

Understood are a folder of images beside one of label images, Cityscapes and BDD100K's driveable
area, each as its authors lay it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from seg_ros.drive.pictures import PICTURES, by_number
from seg_ros.errors import SegRosError
from seg_ros.judge.annotations import (
    find_studio,
    is_labelme,
    match_images,
    read_labelme,
    read_studio,
    studio_images,
)
from seg_ros.judge.label_images import (
    ColorMap,
    LabelledImage,
    read_color_map,
    read_label_image,
)
from seg_ros.labels import UNLABELLED, LabelSet, ids_by_name, load_label_set

DEFAULT_SPLIT = "val"
"""The split that is taken when nobody names one."""

LAYOUTS = (
    "images/ + labels/ (or annotations/ or masks/), with or without a folder per split in each",
    "<split>/images/ + <split>/labels/",
    "<split>/ + <split>annot/ (CamVid as in the SegNet tutorial)",
    "leftImg8bit/<split>/ + gtFine/<split>/ (Cityscapes), with or without a folder per city",
    "JPEGImages/ + SegmentationClass/ (Pascal VOC, CVAT's Segmentation mask 1.1)",
    "images with labelme's JSON of the same name beside them, or in labels/",
    "images/ + pictures of Label Studio, one a label, + its JSON export",
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
_LOOKED_AT = 10
_BDD100K_CLASSES = 3


@dataclass(frozen=True)
class LabelledDataset:
    """The labelled images of one split, in order."""

    layout: str
    """How the folder is laid out, in words."""
    split: str
    """Empty when the folder has none."""
    images: tuple[LabelledImage, ...]
    note: str = ""
    """What was left out, or nothing."""


def open_dataset(
    path: Path,
    labels: LabelSet,
    split: str = "",
    *,
    reduced: bool = False,
    values: Mapping[int, int] | None = None,
) -> LabelledDataset:
    """Find the images of a labelled data set, and check that each has a label image.

    In a label image a value is the id of a class of ``labels``. Two more are void: 255, and the
    one after the last class, which is where data sets put it (CamVid's 11, BDD100K's 3).
    Cityscapes' ``labelIds`` are mapped; they are read where ``labelTrainIds`` are absent. Label
    images of colours are read by the colour map in the folder (:func:`read_color_map`).

    Args:
        path: the folder, in one of the layouts of :data:`LAYOUTS`.
        labels: the classes.
        split: which part of it; empty for ``val``, or for all of a folder without splits.
        reduced: 0 is no class and ids count from 1, as ``do_reduce_labels`` of a checkpoint says.
        values: class id of each value, 255 for no class, instead of all of that.

    Raises:
        SegRosError: no such folder, split or layout, images without labels, no images, or a data
            set with another number of classes.

    """
    if not path.is_dir():
        raise SegRosError(f"data set {path} is not a folder; understood are {'; '.join(LAYOUTS)}")
    try:
        colors = None if reduced or values else read_color_map(path)
        if (path / "leftImg8bit").is_dir():
            found = _cityscapes(path, labels, split, colors, checked=not (reduced or values))
        elif (path / "images" / "100k").is_dir():
            found = _bdd100k(path, labels, split)
        elif (path / "JPEGImages").is_dir():
            found = _voc(path, labels, split)
        else:
            found = _folders(path, labels, split)
        if reduced:
            ids = {i + 1: i for i in range(len(labels))}
            values = values or {0: UNLABELLED, UNLABELLED: UNLABELLED, **ids}
        if values:
            return replace(found, images=tuple(replace(p, meaning=values) for p in found.images))
        if colors is not None and not (path / "leftImg8bit").is_dir():
            return replace(found, images=tuple(replace(p, colors=colors) for p in found.images))
        return found
    except OSError as error:
        raise SegRosError(f"cannot read {error.filename}: {error.strerror}") from error


def _cityscapes(
    path: Path, labels: LabelSet, split: str, colors: ColorMap | None, *, checked: bool
) -> LabelledDataset:
    _check_classes(path, "Cityscapes", len(_CITYSCAPES_IDS), labels)
    split = _choose(path, "leftImg8bit/{}", split)
    train_ids, pairs = _meaning(labels), []
    folder, end = path / "leftImg8bit" / split, ".png"
    for image in sorted((*folder.glob(f"*{end}"), *folder.glob(f"*/*{end}")), key=_place):
        stem = (
            path
            / "gtFine"
            / image.relative_to(path / "leftImg8bit").with_name(
                image.name.removesuffix(end).removesuffix("_leftImg8bit")
            )
        )
        label, meaning = stem.with_name(f"{stem.name}_gtFine_labelTrainIds.png"), train_ids
        by_id = stem.with_name(f"{stem.name}_gtFine_labelIds.png")
        if not label.is_file() and by_id.is_file():
            if colors is not None:
                # datumaro counts ids of its own, which the file's lines do not tell; colours do.
                label = stem.with_name(f"{stem.name}_gtFine_color.png")
                pairs.append(LabelledImage(image, label, {}, colors))
                continue
            label, meaning = by_id, _CITYSCAPES_MEANING
        pairs.append(LabelledImage(image, label, meaning))
    found = _complete("Cityscapes", folder, split, pairs)
    if checked:
        _check_official([p.label for p in pairs if p.meaning is _CITYSCAPES_MEANING])
    return found


def _place(file: Path) -> tuple[str, list[tuple[int, str]]]:
    return str(file.parent), by_number(file)


def _check_official(files: list[Path]) -> None:
    """Refuse ``labelIds`` that are none: of official ones vegetation, sky and cars are above 18."""
    files = files[:_LOOKED_AT]
    found = {int(v) for f in files for v in np.unique(read_label_image(f))} - {UNLABELLED}
    if found and max(found) < len(_CITYSCAPES_IDS):
        raise SegRosError(
            f"{files[0]} and those after it have no id above {max(found)}: these are not "
            "Cityscapes' official ids (vegetation 21, sky 23, car 26) but train ids, it seems; if "
            "so name them ..._labelTrainIds.png, or say with --values what they mean"
        )


def _voc(path: Path, labels: LabelSet, split: str) -> LabelledDataset:
    """Pascal VOC: ImageSets/Segmentation/<split>.txt lists the images, where it is there."""
    lists = path / "ImageSets" / "Segmentation"
    there = sorted(f.stem for f in lists.glob("*.txt"))
    if split and split not in there:
        raise SegRosError(
            f"data set {path} has no split {split!r}; splits there: {', '.join(there) or 'none'} "
            "(ImageSets/Segmentation/*.txt)"
        )
    chosen = split or (DEFAULT_SPLIT if DEFAULT_SPLIT in there else "")
    images, truth = path / "JPEGImages", path / "SegmentationClass"
    files = sorted(f for f in images.rglob("*") if f.suffix.lower() in PICTURES)
    if chosen:
        names = set((lists / f"{chosen}.txt").read_text("utf-8", "replace").split())
        files = [f for f in files if f.relative_to(images).with_suffix("").as_posix() in names]
    note = ""
    if not chosen:  # those without a label image are for detection
        count = len(files)
        files = [f for f in files if (truth / f.relative_to(images)).with_suffix(".png").is_file()]
        if len(files) < count:
            note = f"{count - len(files)} of {count} images are left out: {truth} has none of them"
    meaning = _meaning(labels)
    pairs = [
        LabelledImage(f, (truth / f.relative_to(images)).with_suffix(".png"), meaning)
        for f in sorted(files, key=_place)
    ]
    found = _complete("JPEGImages/ + SegmentationClass/ (Pascal VOC)", images, chosen, pairs)
    return replace(found, note=note)


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


def _labelme(path: Path) -> LabelledDataset | None:
    """Images of a folder with labelme's JSON beside them; those without any are left out."""
    images = [
        file
        for file in sorted(path.iterdir(), key=by_number)
        if file.suffix.lower() in PICTURES and not file.name.startswith(".")
    ]
    pairs = [_of_labelme(image, image.with_suffix(".json")) for image in images]
    known = [pair for pair in pairs if pair is not None]
    if not known:
        return None
    note = ""
    if len(known) < len(images):
        note = f"{len(images) - len(known)} of {len(images)} images are left out: no JSON beside"
    return LabelledDataset("images + labelme's JSON", "", tuple(known), note)


def _of_labelme(image: Path, file: Path) -> LabelledImage | None:
    if not file.is_file() or not is_labelme(file):
        return None
    return LabelledImage(image, file, {}, read=partial(read_labelme, file))


def _studio(path: Path) -> LabelledDataset | None:
    """Label Studio's export "Brush labels to PNG", with the JSON export beside it.

    Raises:
        SegRosError: the export is missing, or an image.

    """
    folders = (path, *(path / name for name in _LABEL_FOLDERS))
    tasks = next((t for f in folders if f.is_dir() and (t := find_studio(f))), None)
    if tasks is None:
        return None
    exports = sorted(path.glob("*.json"))
    if len(exports) != 1:
        raise SegRosError(
            f"data set {path} has label images of Label Studio and {len(exports)} JSON files; add "
            "its JSON export alone, which says which image each task is of"
        )
    names = studio_images(exports[0])
    images = path / "images" if (path / "images").is_dir() else path
    there = [file for file in images.iterdir() if file.suffix.lower() in PICTURES]
    pairs = []
    for task, files in tasks.items():
        image = match_images(there, names.get(task, ""))
        if image is None:
            raise SegRosError(
                f"{files[0]} is of task {task}, whose image {names.get(task, '')!r} is not in "
                f"{images}; add it, or remove the label image"
            )
        pairs.append(LabelledImage(image, files[0], {}, read=partial(read_studio, files)))
    return LabelledDataset("images/ + Label Studio's label images", "", tuple(pairs))


def _camvid_by_name(found: LabelledDataset, labels: LabelSet) -> LabelledDataset:
    """Read CamVid's ids by their names where a label set has all of them, and more, or otherwise.

    Its void (11) would else be the first class that it does not know. What the model answers
    beyond CamVid's classes is then wrong wherever CamVid has a class.
    """
    camvid = load_label_set("camvid")
    ids = ids_by_name(camvid, labels)
    if labels == camvid or len(ids) < len(camvid):
        return found
    meaning = {**ids, len(camvid): UNLABELLED, UNLABELLED: UNLABELLED}
    return replace(
        found,
        images=tuple(replace(pair, meaning=meaning) for pair in found.images),
        note=found.note + "the label images' ids are taken for CamVid's, and read by name; "
        "--values says otherwise",
    )


def _folders(path: Path, labels: LabelSet, split: str) -> LabelledDataset:
    found = None if split else _studio(path) or _labelme(path)
    if found is not None:
        return found
    if any(f.is_dir() and f.name != "annot" for f in path.glob("*annot")):
        split = _choose(path, "{}annot", split)
        found = _pair(
            "<split>/ + <split>annot/", path / split, path / f"{split}annot", split, labels
        )
        return _camvid_by_name(found, labels)
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
        _of_labelme(image, truth / f"{image.stem}.json")
        or LabelledImage(image, truth / f"{image.stem}.png", meaning)
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
