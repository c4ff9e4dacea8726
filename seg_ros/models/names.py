"""A label set from nothing but the names of the classes, as a checkpoint's config gives them."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path

from seg_ros.errors import SegRosError
from seg_ros.labels import (
    UNLABELLED,
    ClassLabel,
    Kind,
    LabelSet,
    bundled_label_sets,
    load_label_set,
)
from seg_ros.support.yaml_file import read_yaml


def label_set_of(names: Sequence[str], name: str) -> LabelSet:
    """Find out what classes mean by their names.

    The names of a bundled label set in its order give that set. Otherwise each name is looked up
    on its own, in the bundled sets first and then in ``words.yaml``. A name that stands nowhere is
    an obstacle, so that the grid never calls it free, and a class is driveable only where its name
    says so. Classes without a colour of their own get one that depends on their id alone.

    Args:
        names: of the classes, in the order of the logits.
        name: of the label set, where it is none of the bundled ones.

    Raises:
        SegRosError: more classes than a class mask can hold.

    """
    if len(names) > UNLABELLED:
        raise SegRosError(f"{name}: {len(names)} classes; 1 to {UNLABELLED} are possible")
    plain = [_plain(n) for n in names]
    for bundled in bundled_label_sets():
        known = load_label_set(bundled)
        if plain == [_plain(c.name) for c in known.classes]:
            return known
    return LabelSet(name, tuple(_class(n, i) for i, n in enumerate(names)))


def _class(name: str, index: int) -> ClassLabel:
    plain = _plain(name)
    known = _known_classes().get(plain)
    if known is not None:
        return ClassLabel(name, known.color, known.kind, known.driveable, known.underside)
    kind, driveable = _words().get(plain, (Kind.OBSTACLE, False))
    return ClassLabel(name, _color(index), kind, driveable)


def _plain(name: str) -> str:
    """Reduce ``Road, route`` and ``lane_marking`` to what is compared."""
    return " ".join(re.findall(r"[a-z0-9]+", re.split(r"[,;]", name)[0].lower()))


@lru_cache(maxsize=1)
def _known_classes() -> dict[str, ClassLabel]:
    """Return the classes of the bundled sets by name; of two sets' the driving one's is taken."""
    known: dict[str, ClassLabel] = {}
    for bundled in sorted(bundled_label_sets(), key=lambda n: n != "cityscapes"):
        for label in load_label_set(bundled).classes:
            known.setdefault(_plain(label.name), label)
    return known


@lru_cache(maxsize=1)
def _words() -> dict[str, tuple[Kind, bool]]:
    words = read_yaml(Path(str(resources.files("seg_ros.models") / "words.yaml")))
    return {
        word: (Kind.GROUND if key == "driveable" else Kind(key), key == "driveable")
        for key, listed in words.items()
        for word in listed
    }


def _color(index: int) -> tuple[int, int, int]:
    """Return a colour far from its neighbours': hues in steps of the golden ratio."""
    red, green, blue = colorsys.hsv_to_rgb((0.1 + index * 0.618034) % 1, 0.6, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)
