"""What a network's file does not say about itself: its normalisation, output and size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seg_ros.errors import SegRosError
from seg_ros.labels import LabelSet, load_label_set
from seg_ros.models.onnx_metadata import image_size, is_ultralytics
from seg_ros.support.yaml_file import read_yaml

Triple = tuple[float, float, float]

FITS = ("stretch", "letterbox")
"""How a frame of another shape gets into the network's input: as a whole, or with its proportions
kept and grey bars beside it."""


@dataclass(frozen=True)
class Normalisation:
    """What a network wants its pixels turned into: ``(pixel / scale - mean) / std``."""

    mean: Triple = (0.485, 0.456, 0.406)
    """Per channel, in the network's order of channels."""
    std: Triple = (0.229, 0.224, 0.225)
    scale: float = 255.0
    """What pixels of 0 to 255 are divided by first; 1 where mean and std are those of 0 to 255."""
    order: str = "rgb"
    """Order of the channels, ``rgb`` or ``bgr``."""


@dataclass(frozen=True)
class NetworkOptions:
    """What is said about a network in the YAML beside it."""

    normalisation: Normalisation | None = None
    """None where nothing is said."""
    output: str = ""
    """Name of the logits where the network has several outputs."""
    size: tuple[int, int] | None = None
    """(height, width) of the input in pixels."""
    threshold: float | None = None
    """Of a network of one channel: the second class is where its probability is above."""
    fit: str = ""
    """One of :data:`FITS`; empty where nothing is said, which stretches."""


UNSAID = NetworkOptions()


def file_beside(model: Path) -> Path:
    """Return where the YAML of a model lies: ``model.yaml`` beside a file or a folder."""
    return model.with_suffix(".yaml") if model.is_file() else model.parent / f"{model.name}.yaml"


def load_beside(path: Path) -> tuple[LabelSet | None, NetworkOptions]:
    """Read the YAML beside a model: its classes (or the name of a label set) and its network.

    Returns:
        The label set, None where the file names none (or does not exist), and the options.

    Raises:
        SegRosError: the file is wrong; the message names it and the entry.

    """
    if not path.is_file():
        return None, UNSAID
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise SegRosError(f"{path}: needs 'classes' or 'labels', and where it applies 'network'")
    known = {"name", "classes", "labels", "network"}
    if {"backbone", "head"} <= set(data) and known.isdisjoint(data):
        return None, UNSAID  # of the network's architecture, as Ultralytics has them
    unknown = set(data) - known
    if unknown:
        raise SegRosError(
            f"{path}: unknown keys {sorted(map(str, unknown))}; known are name, classes, labels "
            "and network"
        )
    return _labels(data, path), _options(data.get("network", {}), path)


def _labels(data: dict[str, Any], path: Path) -> LabelSet | None:
    if "classes" in data and "labels" in data:
        raise SegRosError(f"{path}: has both 'classes' and 'labels'; keep one of them")
    if "classes" in data:
        return load_label_set(path)
    named = data.get("labels")
    if named is None:
        return None
    if not isinstance(named, str):
        raise SegRosError(f"{path}: 'labels' must be the name of a label set")
    file = path.parent / named
    return load_label_set(file if file.is_file() else named)


def _options(data: Any, path: Path) -> NetworkOptions:
    where = f"{path}: network"
    if not isinstance(data, dict):
        raise SegRosError(f"{where} must be a mapping")
    known = {"mean", "std", "scale", "order", "output", "size", "threshold", "fit"}
    unknown = set(data) - known
    if unknown:
        raise SegRosError(
            f"{where} has unknown keys {sorted(map(str, unknown))}; known are "
            f"{', '.join(sorted(known))}"
        )
    output = data.get("output", "")
    if not isinstance(output, str):
        raise SegRosError(f"{where}: 'output' must be the name of an output")
    size = data.get("size")
    if size is not None:
        if not (isinstance(size, list) and len(size) == 2 and all(type(n) is int for n in size)):
            raise SegRosError(f"{where}: 'size' must be [height, width] in pixels")
        size = (size[0], size[1])
    normalised = {"mean", "std", "scale", "order"} & set(data)
    threshold = data.get("threshold")
    if threshold is not None and not (type(threshold) is float and 0 < threshold < 1):
        raise SegRosError(f"{where}: 'threshold' must be a share between 0 and 1, such as 0.5")
    fit = data.get("fit", "")
    if "fit" in data and fit not in FITS:
        raise SegRosError(f"{where}: 'fit' must be one of {', '.join(FITS)}, not {fit!r}")
    normalisation = _normalisation(data, where) if normalised else None
    return NetworkOptions(normalisation, output, size, threshold, fit)


def with_metadata(
    options: NetworkOptions, metadata: Mapping[str, str], path: Path
) -> NetworkOptions:
    """Fill in what an ONNX file's exporter is known to do, where nothing is said.

    Ultralytics' networks are trained and exported on RGB / 255, in a letterbox.

    Raises:
        SegRosError: it is a network of Ultralytics that is none for semantic segmentation.

    """
    if not is_ultralytics(metadata, path):
        return options
    plain = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return replace(
        options,
        normalisation=options.normalisation or plain,
        size=options.size or image_size(metadata),
        fit=options.fit or "letterbox",
    )


def _normalisation(data: dict[str, Any], where: str) -> Normalisation:
    if not {"mean", "std"} <= set(data):
        raise SegRosError(f"{where}: a normalisation needs both 'mean' and 'std'")
    mean, std = (_triple(data[key], f"{where}: {key!r}") for key in ("mean", "std"))
    scale = data.get("scale", 255)
    if type(scale) not in (int, float) or scale <= 0:
        raise SegRosError(f"{where}: 'scale' must be a number above 0: what pixels are divided by")
    if min(std) <= 0:
        raise SegRosError(f"{where}: 'std' must be above 0")
    # The slip that makes a network see black for ever: means of 0..255 for values of 0..1.
    if max(mean) > 255 / scale:
        raise SegRosError(
            f"{where}: mean {list(mean)} is beyond pixels divided by {scale:g}; where mean and std "
            "are those of 0 to 255, say 'scale: 1'"
        )
    order = data.get("order", "rgb")
    if order not in ("rgb", "bgr"):
        raise SegRosError(f"{where}: 'order' must be rgb or bgr, not {order!r}")
    return Normalisation(mean, std, float(scale), order)


def _triple(value: Any, where: str) -> Triple:
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(type(v) in (int, float) for v in value)
    ):
        raise SegRosError(f"{where} must be three numbers, one per channel")
    return float(value[0]), float(value[1]), float(value[2])
