"""How good the networks are on streets none of them was trained on: the table of the cards.

Every network gives road or not for each pixel of a frame; ours also give the other classes, which
CamVid's validation frames score by name. A teacher's road is where its probability is above a half.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from seg_ros import Segmenter
from seg_ros.drive import open_drive
from seg_ros.labels import ALIASES, load_label_set
from seg_ros.support.tables import text_table
from seg_ros.synthetic import SyntheticDrive
from seg_ros.teach import weather
from seg_ros.teach.sources import read
from seg_ros.teach.teachers import load_teachers

Image = NDArray[np.uint8]
Bools = NDArray[np.bool_]

SURE_NOT = 0.1
"""Probability of road below which both teachers say no: IDD calls such sand driveable."""
NEAR_ROAD = ((0.48, 0.55), (0.53, 0.55), (0.70, 1.0), (0.30, 1.0))
"""Corners (x, y) of the own lane in front of a vehicle, as shares of the frame."""
SYNTHETIC_SEEDS = range(900, 906)
"""Of streets that no packed file holds."""
REGIONS = Path(__file__).with_name("regions.yaml")


@dataclass(frozen=True)
class Judged:
    """A network under its name: where is road, and, if it knows more classes, which."""

    name: str
    road: Callable[[Image], Bools]
    classes: Callable[[Image], Image] | None = None
    names: tuple[str, ...] = ()


@dataclass
class Row:
    """The figures of one network, each a share of pixels between 0 and 1."""

    name: str
    figures: dict[str, float] = field(default_factory=dict)


def of_model(model: str, labels: str = "") -> Judged:
    """Judge one of ours: a name of the catalogue, or an ONNX file and its label set."""
    segmenter = Segmenter.load(model, labels, runtime="openvino", precision="fp32")
    names = tuple(ALIASES.get(label.name, label.name) for label in segmenter.labels.classes)
    road = names.index("road")

    def classes(image: Image) -> Image:
        return segmenter.segment(image).class_mask().copy()

    return Judged(segmenter.model_name, lambda image: classes(image) == road, classes, names)


class _Overlap:
    """Intersection over union of road, summed over frames."""

    def __init__(self) -> None:
        self.both = self.either = 0

    def add(self, said: Bools, truth: Bools, known: Bools) -> None:
        self.both += int((said & truth & known).sum())
        self.either += int(((said | truth) & known).sum())

    @property
    def share(self) -> float:
        return self.both / max(self.either, 1)


class _Share:
    """Share of a region's pixels that are called road, summed over frames."""

    def __init__(self) -> None:
        self.road = self.all = 0

    def add(self, said: Bools, region: Bools) -> None:
        self.road += int((said & region).sum())
        self.all += int(region.sum())

    @property
    def share(self) -> float:
        return self.road / max(self.all, 1)


def camvid(judged: Judged, data: Path) -> dict[str, float]:
    """Score the validation frames at the labels' size as `seg_ros evaluate` does."""
    truth_names = [ALIASES.get(c.name, c.name) for c in load_label_set("camvid").classes]
    count, other = len(truth_names), len(truth_names)
    table = np.full(256, other, np.uint8)  # a class that CamVid does not know is a wrong answer
    for index, name in enumerate(judged.names):
        if name in truth_names:
            table[index] = truth_names.index(name)
    confusion = np.zeros((count, count + 1), np.int64)
    road, pavement = _Overlap(), _Share()
    road_id, pavement_id = truth_names.index("road"), truth_names.index("sidewalk")
    for path in sorted((data / "val").glob("*.png")):
        image, ids = read(path), read(data / "valannot" / path.name, grey=True)
        known = ids < count
        if judged.classes is None:
            said = judged.road(image)
        else:
            mask = table[judged.classes(image)]
            pairs = ids[known].astype(np.int64) * (count + 1) + mask[known]
            confusion += np.bincount(pairs, minlength=confusion.size).reshape(confusion.shape)
            said = mask == road_id
        road.add(said, ids == road_id, known)
        pavement.add(said, ids == pavement_id)
    figures = {
        "CamVid val: road IoU": road.share,
        "CamVid val: pavement called road": pavement.share,
    }
    if judged.classes is not None:
        hit = np.diag(confusion)
        iou = hit / np.maximum(confusion.sum(1) + confusion[:, :count].sum(0) - hit, 1)
        figures = {
            "CamVid val: mIoU": float(iou.mean()),
            "CamVid val: pavement IoU": float(iou[pavement_id]),
            **figures,
        }
    return figures


def idd(
    judged: Judged, data: Path, not_road: Sequence[Callable[[Image], Bools]]
) -> dict[str, float]:
    """IDD-Lite's validation frames, with and without what both teachers say is no road."""
    overlap, clear = _Overlap(), _Overlap()
    ground, clear_ground = _Share(), _Share()
    for path in sorted((data / "leftImg8bit" / "val").glob("*/*_image.jpg")):
        name = path.name.replace("_image.jpg", "_label.png")
        image, ids = read(path), read(data / "gtFine/val" / path.parent.name / name, grey=True)
        said = judged.road(image)
        known, truth = ids != 255, ids == 0
        denied = np.logical_and.reduce([no(image) for no in not_road])
        overlap.add(said, truth, known)
        clear.add(said, truth, known & ~denied)
        ground.add(said, ids == 1)
        clear_ground.add(said, (ids == 1) & ~denied)
    return {
        "IDD val: driveable IoU": overlap.share,
        "IDD val: driveable IoU, teachers' no left out": clear.share,
        "IDD val: not driveable called road": ground.share,
        "IDD val: not driveable called road, teachers' no left out": clear_ground.share,
    }


def drives(judged: Judged, shared: Path) -> dict[str, float]:
    """Measure the verge and near road of the highway, the lawn of kitti."""
    regions = yaml.safe_load(REGIONS.read_text(encoding="utf-8"))
    shares = {"highway": _Share(), "kitti": _Share()}
    near = _Share()
    for drive, share in shares.items():
        polygons = regions[drive]
        for frame in open_drive(str(shared / "drives" / drive)).frames():
            if frame.index not in polygons:
                continue
            image = frame.decode()
            said = judged.road(image)
            share.add(said, _filled(image.shape, polygons[frame.index]))
            if drive == "highway":
                corners = np.array(NEAR_ROAD) * [image.shape[1], image.shape[0]]
                near.add(said, _filled(image.shape, [np.rint(corners)]))
    return {
        "highway: verge called road": shares["highway"].share,
        "highway: near road called road": near.share,
        "kitti: lawn called road": shares["kitti"].share,
    }


def _filled(shape: Sequence[int], polygons: Sequence[Any]) -> Bools:
    region = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(region, [np.asarray(polygon, np.int32) for polygon in polygons], 1)
    return region.astype(bool)


def synthetic(judged: Judged, recipe: Mapping[str, Any]) -> dict[str, float]:
    """Synthetic streets by day and as the recipe makes night, wet and snow of them."""
    by_light = {light: _Overlap() for light in ("day", "night", "wet", "snow")}
    for seed in SYNTHETIC_SEEDS:
        drive = SyntheticDrive(frames=8, width=640, height=360, rate=0.4, seed=seed)
        for frame in drive:
            road = frame.class_mask == 3
            for light, image in _lights(frame.image, road, recipe, [seed, frame.index]):
                by_light[light].add(judged.road(image), road, np.ones_like(road))
    return {f"synthetic {light}: road IoU": overlap.share for light, overlap in by_light.items()}


def _lights(
    image: Image, road: Bools, recipe: Mapping[str, Any], seed: Sequence[int]
) -> Iterator[tuple[str, Image]]:
    pixels = image.astype(np.float32)
    yield "day", image
    changed = {
        "night": weather.night(pixels, recipe["photometry"]["night"], np.random.default_rng(seed)),
        "wet": weather.wet(pixels, road, np.random.default_rng(seed)),
        "snow": weather.snowfall(pixels, road, np.random.default_rng(seed)),
    }
    for light, other in changed.items():
        yield light, np.clip(other, 0, 255).astype(np.uint8)


def judge(models: Sequence[tuple[str, str]], shared: Path, recipe: Mapping[str, Any]) -> list[Row]:
    """Score every network given (name or file, label set) and both teachers."""
    adas, twin = load_teachers(shared)
    not_road = [
        _remembered(lambda image, teacher=teacher: teacher.road(image) < SURE_NOT)
        for teacher in (adas, twin)
    ]
    teachers = [
        Judged("road-segmentation-adas-0001", lambda image: adas.road(image) > 0.5),
        Judged("TwinLiteNet, driveable", lambda image: twin.road(image) > 0.5),
    ]
    rows = []
    for judged in [*(of_model(*model) for model in models), *teachers]:
        row = Row(judged.name)
        row.figures |= camvid(judged, shared / "data" / "camvid")
        row.figures |= idd(judged, shared / "data" / "idd_lite", not_road)
        row.figures |= drives(judged, shared)
        row.figures |= synthetic(judged, recipe)
        rows.append(row)
        print(
            f"{row.name}: {json.dumps({k: round(v, 4) for k, v in row.figures.items()})}",
            flush=True,
        )
    return rows


def _remembered(answer: Callable[[Image], Bools]) -> Callable[[Image], Bools]:
    known: dict[bytes, Bools] = {}

    def ask(image: Image) -> Bools:
        key = image[::7, ::7].tobytes()
        if key not in known:
            known[key] = answer(image)
        return known[key]

    return ask


def laid_out(rows: Sequence[Row]) -> str:
    """Lay out a table for people: a line a figure, a column a network, in per cent."""
    figures = list(dict.fromkeys(name for row in rows for name in row.figures))
    lines = [("", *(row.name for row in rows))]
    for name in figures:
        values = (f"{100 * row.figures[name]:.1f}" if name in row.figures else "" for row in rows)
        lines.append((name, *values))
    return text_table(lines)
