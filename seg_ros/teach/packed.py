"""The one file that training reads: frames, label images and what the labels mean.

A ZIP archive whose entries are stored as they are: ``index.json`` (label sets; source, group and
split of every frame; the settings it was made with), then ``N.frame.webp`` and ``N.label.webp``
(lossless, ids of label sets). Made from the same sources it is the same to the byte.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.errors import SegRosError
from seg_ros.support.json_text import parse_json
from seg_ros.teach.partial import PartialLabels

_INDEX = "index.json"
_DATE = (1980, 1, 1, 0, 0, 0)
_LARGEST_SIDE = 2048
"""Pixels; frames are packed at training size, so anything larger is damage."""


@dataclass(frozen=True)
class Frame:
    """A frame, (H, W, 3) uint8 BGR, and its labels, (H, W) uint8 ids of label sets."""

    image: NDArray[np.uint8]
    label: NDArray[np.uint8]
    source: str
    """Where it is from: data set, split and name."""
    group: str
    """What the recipe draws by: camvid, idd, footage, synthetic..."""
    split: str = "train"


@dataclass(frozen=True)
class Pack:
    """What a packed file holds, decoded."""

    labels: PartialLabels
    frames: tuple[Frame, ...]
    settings: Mapping[str, Any]
    """What the packing recipe said."""


def write_pack(
    path: Path,
    labels: PartialLabels,
    frames: Iterable[Frame],
    settings: Mapping[str, Any],
    quality: int,
) -> int:
    """Write a packed file under a name of its own, then rename it; returns its size in bytes.

    Raises SegRosError if a frame cannot be encoded, or there is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    index: list[dict[str, str]] = []
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for number, frame in enumerate(frames):
            rgb = np.repeat(frame.label[..., None], 3, axis=2)
            _add(archive, f"{number}.frame.webp", _webp(frame.image, quality, frame.source))
            _add(archive, f"{number}.label.webp", _webp(rgb, 101, frame.source))
            index.append({"source": frame.source, "group": frame.group, "split": frame.split})
        if not index:
            raise SegRosError(f"{path}: there is no frame to pack")
        said = {"labels": labels.as_dict(), "frames": index, "settings": dict(settings)}
        _add(archive, _INDEX, json.dumps(said, indent=1, sort_keys=True).encode())
    partial.replace(path)
    return path.stat().st_size


def read_pack(path: Path) -> Pack:
    """Read and decode a packed file. Raises SegRosError if it is not one or is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            said = parse_json(archive.read(_INDEX))
            labels = PartialLabels.from_dict(said["labels"])
            frames = tuple(
                Frame(
                    _decode(archive, f"{number}.frame.webp", path),
                    np.ascontiguousarray(_decode(archive, f"{number}.label.webp", path)[..., 0]),
                    entry["source"],
                    entry["group"],
                    entry["split"],
                )
                for number, entry in enumerate(said["frames"])
            )
    except FileNotFoundError:
        raise SegRosError(f"{path} does not exist; 'pack' makes it") from None
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise SegRosError(f"{path}: not a packed training file, or damaged ({error})") from error
    for frame in frames:
        if frame.image.shape[:2] != frame.label.shape:
            raise SegRosError(f"{path}: frame {frame.source} and its labels differ in size")
    return Pack(labels, frames, said["settings"])


def _webp(image: NDArray[np.uint8], quality: int, source: str) -> bytes:
    done, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise SegRosError(f"{source}: cannot be encoded as WebP")
    return data.tobytes()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _DATE), data)


def _decode(archive: zipfile.ZipFile, name: str, path: Path) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR)
    if image is None or max(image.shape) > _LARGEST_SIDE:
        raise SegRosError(f"{path}: {name} is damaged; make the file anew with 'pack'")
    return np.asarray(image, np.uint8)
