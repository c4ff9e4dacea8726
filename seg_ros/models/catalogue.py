"""From a model's name to its files and label set."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from seg_ros.errors import SegRosError
from seg_ros.labels import LabelSet, bundled_label_sets, load_label_set
from seg_ros.models import huggingface
from seg_ros.models.names import label_set_of
from seg_ros.models.onnx_metadata import class_names, read_metadata
from seg_ros.models.options import UNSAID, NetworkOptions, file_beside, load_beside, with_metadata
from seg_ros.support.choices import DEFAULT_MODEL, did_you_mean
from seg_ros.support.yaml_file import read_yaml

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
"""Files that are taken for weights of a SegFormer."""


class Form(Enum):
    """What a model's file holds."""

    STANDARD = "standard"
    """ONNX that takes one 1 x H x W x 3 uint8 BGR image, normalisation inside, and gives logits."""
    ONNX = "onnx"
    """Any other ONNX network; its options say how it takes images."""
    CHECKPOINT = "checkpoint"
    """Weights of a SegFormer: a file of one of the known layouts, or a Hugging Face folder."""


@dataclass(frozen=True)
class Model:
    """A network on disk and what its classes mean."""

    name: str
    path: Path
    """ONNX file, checkpoint file, or folder with ``config.json``."""
    labels: LabelSet
    form: Form = Form.STANDARD
    options: NetworkOptions = UNSAID
    shipped: bool = False
    """Whether it came with the package: its content is known, and was compared when it was made."""

    @property
    def fit(self) -> str:
        """How frames get into its input, one of :data:`seg_ros.models.options.FITS`.

        Empty where nothing says it and it may be wrong: of an ONNX network from elsewhere.
        """
        known = self.shipped or self.form is Form.CHECKPOINT
        return self.options.fit or ("stretch" if known else "")


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
    data: dict[str, Any] = read_yaml(Path(str(folder / "catalogue.yaml")))
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


def find_model(model: str = DEFAULT_MODEL, labels: str = "") -> Model:
    """Find a model by catalogue name, as a file or folder, or on the Hugging Face hub.

    Reads no weights, and imports neither torch nor onnx. A hub model that is not in the local
    cache is fetched.

    Args:
        model: ``default`` or a name of the catalogue; the path of an ``.onnx`` file, of a
            checkpoint file, or of a Hugging Face folder; or a hub name such as
            ``nvidia/segformer-b0-finetuned-cityscapes-512-1024``.
        labels: bundled name or YAML file of the label set; empty for the catalogue's own, for what
            the YAML beside the model says, or for the names in a Hugging Face config.

    Raises:
        SegRosError: no such model, a damaged file, or nothing says what its classes are.

    """
    for entry in catalogue():
        if model == entry.name or (model == DEFAULT_MODEL and entry.is_default):
            _check_sum(entry)
            said = load_label_set(labels or entry.labels)
            return Model(entry.name, entry.path, said, shipped=True)
    if not model:
        raise SegRosError("the name of the model is empty; leave it out for the default one")
    path = Path(model).expanduser()
    if path.is_dir():
        return _describe(path, path.resolve().name, Form.CHECKPOINT, labels)
    if path.suffix in CHECKPOINT_SUFFIXES or path.suffix == ".onnx":
        if not path.is_file():
            raise SegRosError(f"model file {path} does not exist")
        form = Form.STANDARD if path.suffix == ".onnx" else Form.CHECKPOINT
        return _describe(path, path.stem, form, labels)
    if huggingface.HUB_NAME.fullmatch(model) and not path.exists():
        folder = huggingface.fetch(model)
        return _describe(folder, model.replace("/", "--"), Form.CHECKPOINT, labels)
    names = ", ".join([DEFAULT_MODEL, *(entry.name for entry in catalogue())])
    raise SegRosError(
        f"model {model!r} is neither in the catalogue ({names}) nor an .onnx file, a checkpoint "
        f"({', '.join(CHECKPOINT_SUFFIXES)}), a Hugging Face folder, or a hub name (owner/name)"
        + did_you_mean(model, [DEFAULT_MODEL, *(entry.name for entry in catalogue())])
    )


def _describe(path: Path, name: str, form: Form, labels: str) -> Model:
    """Gather what is said about a model in the YAML beside it and in its own config."""
    beside = file_beside(path)
    said, options = load_beside(beside)
    metadata = {} if form is Form.CHECKPOINT else read_metadata(path)
    options = with_metadata(options, metadata, path)
    if form is Form.STANDARD and options != UNSAID:
        form = Form.ONNX
    if labels:
        said = load_label_set(labels)
    elif path.is_dir() and said is None:
        said = label_set_of(huggingface.class_names(path), name)
    elif said is None:
        said = _named_inside(metadata, name)
    if said is None or not len(said):
        raise SegRosError(
            f"{path}: what are its classes? Name a label set (parameter or option 'labels': "
            f"{', '.join(bundled_label_sets())}, or a YAML), or put one beside it as {beside.name}"
        )
    if options.threshold is not None and (form is Form.CHECKPOINT or len(said) != 2):
        raise SegRosError(
            f"{beside}: a threshold makes two classes of an ONNX network's one channel; "
            + (
                "this is a checkpoint"
                if form is Form.CHECKPOINT
                else f"label set {said.name} has {len(said)}, name the low score's class first"
            )
        )
    return Model(name, path, said, form, options)


def _named_inside(metadata: Mapping[str, str], name: str) -> LabelSet | None:
    names = class_names(metadata)
    if names is not None and len(names) == 1:
        names = ["background", *names]  # of a network of one channel
    return label_set_of(names, name) if names else None


def _check_sum(entry: CatalogueEntry) -> None:
    if not entry.path.is_file():
        raise SegRosError(f"{entry.path} is missing; install seg_ros again")
    found = hashlib.sha256(entry.path.read_bytes()).hexdigest()
    if found != entry.sha256:
        raise SegRosError(
            f"{entry.path}: its SHA-256 is {found[:12]}..., the catalogue says "
            f"{entry.sha256[:12]}...; the file is damaged, install seg_ros again"
        )
