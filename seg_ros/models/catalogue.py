"""From a model's name to its file and label set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from seg_ros.errors import SegRosError
from seg_ros.labels import LabelSet, load_label_set

DEFAULT = "default"
"""The name that stands for the catalogue's default model."""


@dataclass(frozen=True)
class Model:
    """A network on disk and what its classes mean."""

    name: str
    path: Path
    labels: LabelSet


@dataclass(frozen=True)
class CatalogueEntry:
    """A model that comes with the package."""

    name: str
    path: Path
    sha256: str
    labels: str
    summary: str
    is_default: bool


@lru_cache(maxsize=1)
def catalogue() -> tuple[CatalogueEntry, ...]:
    """Return the models that come with the package, in the catalogue's order."""
    folder = resources.files("seg_ros.models")
    data: dict[str, Any] = yaml.safe_load((folder / "catalogue.yaml").read_text(encoding="utf-8"))
    return tuple(
        CatalogueEntry(
            name=name,
            path=Path(str(folder / entry["file"])),
            sha256=entry["sha256"],
            labels=entry["labels"],
            summary=entry["summary"],
            is_default=name == data["default"],
        )
        for name, entry in data["models"].items()
    )


def find_model(model: str = DEFAULT, labels: str = "") -> Model:
    """Find a model by catalogue name or as an ONNX file.

    Args:
        model: ``default``, a name of the catalogue, or the path of an ``.onnx`` file.
        labels: bundled name or YAML file of the label set; empty for the catalogue's own, or for
            an ONNX file the ``.yaml`` of the same name beside it.

    Raises:
        SegRosError: no such model, a damaged file, or no label set for an ONNX file.

    """
    for entry in catalogue():
        if model == entry.name or (model == DEFAULT and entry.is_default):
            _check_sum(entry)
            return Model(entry.name, entry.path, load_label_set(labels or entry.labels))
    path = Path(model).expanduser()
    if path.suffix != ".onnx":
        names = ", ".join([DEFAULT, *(entry.name for entry in catalogue())])
        raise SegRosError(
            f"model {model!r} is neither in the catalogue ({names}) nor an .onnx file"
        )
    if not path.is_file():
        raise SegRosError(f"model file {path} does not exist")
    beside = path.with_suffix(".yaml")
    if not labels and not beside.is_file():
        raise SegRosError(
            f"{path}: what are its classes? Name a label set (parameter or option 'labels'), "
            f"or put one beside it as {beside.name}"
        )
    return Model(path.stem, path, load_label_set(labels or beside))


def _check_sum(entry: CatalogueEntry) -> None:
    if not entry.path.is_file():
        raise SegRosError(f"{entry.path} is missing; install seg_ros again")
    found = hashlib.sha256(entry.path.read_bytes()).hexdigest()
    if found != entry.sha256:
        raise SegRosError(
            f"{entry.path}: its SHA-256 is {found[:12]}..., the catalogue says "
            f"{entry.sha256[:12]}...; the file is damaged, install seg_ros again"
        )
