"""What the class ids of a network mean: names, colours, and what each class is in the world."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_ros.errors import SegRosError
from seg_ros.support.choices import did_you_mean
from seg_ros.support.yaml_file import read_yaml

UNLABELLED = 255
"""Class id of a pixel without a class, in every class mask of this package."""


_MOVING = (
    r"\b(animal|bicycle|bicyclist|boat|bus|car|caravan|cyclist|dog|ego|hood|horse|minibike|motorbike|"
    r"motorcycle|motorcyclist|pedestrian|people|person|plane|rider|ship|tractor|trailer|train|truck|"
    r"van|vehicle)\b"
)
"""Names of classes that move by themselves, or with the camera."""


class Kind(Enum):
    """What a class is in the world: decides how its pixels enter the occupancy grid."""

    GROUND = "ground"
    """Lies in the ground plane: road, sidewalk, terrain."""
    OBSTACLE = "obstacle"
    """Stands on the ground: car, pole, person, building."""
    OPEN = "open"
    """Nothing that could be hit and no ground: sky."""


@dataclass(frozen=True)
class ClassLabel:
    """One class: its name, its RGB colour (0..255) and what it is in the world."""

    name: str
    color: tuple[int, int, int]
    kind: Kind
    driveable: bool = False
    underside: float = 0.0
    """Metres between the ground and the lowest edge of such a thing: a car's bumper, not its wheel.

    One sees the ground beneath it, so it is nearer than the ground it is seen against.
    """


@dataclass(frozen=True)
class LabelSet:
    """The classes of a network, in the order of its logits.

    Class id *i* is ``classes[i]``; 255 (:data:`UNLABELLED`) is no class.
    """

    name: str
    classes: tuple[ClassLabel, ...]

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def palette_bgr(self) -> NDArray[np.uint8]:
        """Colour of every possible class id, (256, 3) uint8 BGR; black where there is no class."""
        palette = np.zeros((256, 3), np.uint8)
        for index, label in enumerate(self.classes):
            palette[index] = label.color[::-1]
        return palette

    @cached_property
    def driveable_ids(self) -> tuple[int, ...]:
        """Ids of the classes a vehicle may drive on."""
        return tuple(i for i, label in enumerate(self.classes) if label.driveable)

    @cached_property
    def static_ids(self) -> tuple[int, ...]:
        """Ids of the classes that stay where they are, as far as their names tell; not the sky."""
        return tuple(
            i
            for i, label in enumerate(self.classes)
            if label.kind is not Kind.OPEN
            and not re.search(_MOVING, label.name.lower().replace("_", " "))
        )

    def ids_of_kind(self, kind: Kind) -> tuple[int, ...]:
        """Ids of the classes that are ``kind`` in the world."""
        return tuple(i for i, label in enumerate(self.classes) if label.kind is kind)


ALIASES = {
    "pavement": "sidewalk",
    "tree": "vegetation",
    "sign symbol": "traffic sign",
    "pedestrian": "person",
}
"""CamVid's names of what Cityscapes, and whoever follows it, calls otherwise."""


def ids_by_name(theirs: LabelSet, ours: LabelSet) -> dict[int, int]:
    """Return the id in ``ours`` of each class of ``theirs`` that has the same name or an alias."""
    known = {ALIASES.get(label.name, label.name): i for i, label in enumerate(ours.classes)}
    names = (ALIASES.get(label.name, label.name) for label in theirs.classes)
    return {i: known[name] for i, name in enumerate(names) if name in known}


def bundled_label_sets() -> tuple[str, ...]:
    """Names of the label sets that come with the package, sorted."""
    folder = resources.files("seg_ros") / "label_sets"
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml")))


def load_label_set(name_or_path: str | Path) -> LabelSet:
    """Read a label set by bundled name (``camvid``) or from a YAML file.

    Raises:
        SegRosError: no such name or file, or the file is not a label set; the message names the
            file and the entry that is wrong.

    """
    text_name = str(name_or_path)
    if text_name in bundled_label_sets():
        source = resources.files("seg_ros") / "label_sets" / f"{text_name}.yaml"
        return _parse(Path(str(source)), f"label set {text_name}")
    path = Path(name_or_path)
    if not path.is_file():
        raise SegRosError(
            f"label set {text_name!r} is neither a file nor one of the bundled sets "
            f"({', '.join(bundled_label_sets())})" + did_you_mean(text_name, bundled_label_sets())
        )
    return _parse(path, str(path))


def _parse(path: Path, where: str) -> LabelSet:
    data = read_yaml(path, where)
    if not isinstance(data, dict) or not isinstance(data.get("classes"), list):
        raise SegRosError(f"{where}: a label set needs a 'name' and a list 'classes'")
    entries = data["classes"]
    if not 1 <= len(entries) <= UNLABELLED:
        raise SegRosError(f"{where}: {len(entries)} classes; 1 to {UNLABELLED} are possible")
    classes = tuple(_parse_class(entry, i, where) for i, entry in enumerate(entries))
    return LabelSet(name=str(data.get("name", where)), classes=classes)


def _parse_class(entry: Any, index: int, where: str) -> ClassLabel:
    place = f"{where}: class {index}"
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise SegRosError(f"{place} needs a 'name'")
    place = f"{place} ({entry['name']})"
    unknown = set(entry) - {"name", "color", "kind", "driveable", "underside"}
    if unknown:
        raise SegRosError(f"{place} has unknown keys {sorted(map(str, unknown))}")
    color = entry.get("color")
    if (
        not isinstance(color, list)
        or len(color) != 3
        or not all(type(c) is int and 0 <= c <= 255 for c in color)
    ):
        raise SegRosError(f"{place}: 'color' must be [red, green, blue], each 0 to 255")
    try:
        kind = Kind(entry.get("kind"))
    except ValueError:
        kinds = ", ".join(k.value for k in Kind)
        raise SegRosError(f"{place}: 'kind' must be one of {kinds}") from None
    driveable = entry.get("driveable", False)
    if not isinstance(driveable, bool):
        raise SegRosError(f"{place}: 'driveable' must be true or false")
    if driveable and kind is not Kind.GROUND:
        raise SegRosError(f"{place} is driveable, so its kind must be ground, not {kind.value}")
    underside = entry.get("underside", 0.0)
    if type(underside) not in (int, float) or not 0 <= underside < 10:
        raise SegRosError(f"{place}: 'underside' must be a height in metres, 0 or more")
    if underside and kind is not Kind.OBSTACLE:
        raise SegRosError(f"{place} has an underside, so its kind must be obstacle")
    return ClassLabel(
        entry["name"], (color[0], color[1], color[2]), kind, driveable, float(underside)
    )
