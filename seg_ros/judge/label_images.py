"""Label images: what their pixels say, and what a file that is none really is."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.image_size import is_whole_png
from seg_ros.errors import SegRosError
from seg_ros.labels import UNLABELLED, LabelSet

Color = tuple[int, int, int]
"""Red, green, blue, 0 to 255 each."""

COLOR_FILES = ("labelmap.txt", "label_colors.txt")
"""Colour maps as CVAT and datumaro write them into a data set's folder."""

NO_CLASS = frozenset(("", "void", "background", "unlabeled", "unlabelled", "ignore", "none"))
"""Names of what is no class, where a label set has no class of that name."""

_COLOR_TYPES = {2: "a colour picture", 4: "a grey picture with alpha", 6: "a colour with alpha"}
_MAGIC = {
    b"\xff\xd8\xff": "a JPEG, which does not keep values",
    b"GIF8": "a GIF",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"RIFF": "a WebP",
    b"BM": "a BMP",
}


@dataclass(frozen=True)
class LabelledImage:
    """An image and the label image that belongs to it."""

    image: Path
    label: Path
    meaning: Mapping[int, int]
    """Class id of each value the label image may have; 255 for those that are no class (void)."""
    colors: ColorMap | None = None
    """What its colours mean, where the data set says it."""
    read: Callable[[LabelSet], NDArray[np.uint8]] | None = None
    """Reads (H, W) uint8 class ids where :attr:`label` is no label image."""


@dataclass(frozen=True)
class ColorMap:
    """What the colours of a data set's label images mean."""

    file: Path
    names: tuple[tuple[Color, str], ...]
    """Name of each colour; their order says nothing."""

    def class_id(self, name: str, labels: LabelSet) -> int | None:
        """Id of a name; 255 for one that is no class, None where the label set has no such."""
        return id_of_name(name, labels)


def id_of_name(name: str, labels: LabelSet) -> int | None:
    """Id of a name; 255 for one that is no class, None where the label set has no such."""
    plain = _plain(name)
    return _ids_by_name(labels).get(plain, UNLABELLED if plain in NO_CLASS else None)


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", " ").replace("-", " ")


def _ids_by_name(labels: LabelSet) -> dict[str, int]:
    return {_plain(label.name): i for i, label in enumerate(labels.classes)}


def read_color_map(folder: Path) -> ColorMap | None:
    """Read the colour map in a data set's folder: ``name:r,g,b:...`` or ``r g b name`` a line.

    The line's number is not the id: pixels are looked up by their colour.

    Raises:
        SegRosError: a line says something else, or two lines give one colour two names.

    """
    file = next((folder / name for name in COLOR_FILES if (folder / name).is_file()), None)
    if file is None:
        return None
    names: dict[Color, str] = {}
    for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if ":" in text:
            name, _, rest = text.partition(":")
            numbers = rest.partition(":")[0]
            parts = numbers.split(",")
        else:
            *parts, name = text.split(None, 3)
        try:
            r, g, b = (int(part) for part in parts)
            if not all(0 <= value <= 255 for value in (r, g, b)):
                raise ValueError
        except ValueError:
            raise SegRosError(
                f"{file}, line {number}: neither 'name:r,g,b:...' nor 'r g b name'"
            ) from None
        if names.setdefault((r, g, b), name) != name:
            raise SegRosError(
                f"{file}, line {number}: {name!r} has the colour of {names[r, g, b]!r}"
            )
    if not names:
        raise SegRosError(f"{file} names no colour; remove it, or fill it in")
    return ColorMap(file, tuple(names.items()))


def parse_values(text: str, labels: LabelSet) -> dict[int, int] | None:
    """Read ``0=void,255=road`` as class ids by value; None where nothing is said.

    Raises:
        SegRosError: a part is no ``VALUE=CLASS``, or the label set has no such class.

    """
    ids = _ids_by_name(labels)
    meaning: dict[int, int] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        value, _, name = part.partition("=")
        class_id = ids.get(_plain(name))
        if class_id is None and _plain(name) in NO_CLASS - {""}:
            class_id = UNLABELLED
        if class_id is None and name.strip().isdecimal() and int(name) < len(labels):
            class_id = int(name)
        if class_id is None or not value.strip().isdecimal() or int(value) > 255:
            raise SegRosError(
                f"--values {part!r}: must be VALUE=CLASS, a value of 0 to 255 and a class of label "
                f"set {labels.name} or void"
            )
        meaning[int(value)] = class_id
    return meaning or None


def _by_color(pair: LabelledImage, labels: LabelSet, picture: NDArray[np.uint8]) -> Any:
    """Class ids of (H, W, 3) uint8 RGB; of a colour or name without a meaning, say which."""
    assert pair.colors is not None
    packed = picture.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    found, where = np.unique(packed, return_inverse=True)
    known = dict(pair.colors.names)
    ids = np.empty(len(found), np.uint8)
    for index, value in enumerate(found.tolist()):
        color = (value >> 16, value >> 8 & 255, value & 255)
        if color not in known:
            raise SegRosError(
                f"{pair.label} has pixels of colour {color}, which {pair.colors.file} does not "
                "name; add it there, or correct the label image"
            )
        class_id = pair.colors.class_id(known[color], labels)
        if class_id is None:
            raise SegRosError(
                f"{pair.label} has pixels of {known[color]!r}, which label set {labels.name} does "
                f"not have; name it in {pair.colors.file} as one of its classes, or as void"
            )
        ids[index] = class_id
    return ids[where].reshape(packed.shape)


def read_truth(pair: LabelledImage, labels: LabelSet | None = None) -> NDArray[np.uint8]:
    """Read a label image as class ids.

    Args:
        pair: the label image and what its values mean.
        labels: the classes, needed where colours are what it says them by.

    Returns:
        (H, W) uint8 class ids, 255 where there is no class.

    Raises:
        SegRosError: it is damaged, no label image, or has values without a meaning; the message
            names the file.

    """
    if pair.read is not None and labels is not None:
        return pair.read(labels)
    if pair.colors is not None and labels is not None:
        picture = read_colors(pair.label)
        if picture is not None:
            return np.asarray(_by_color(pair, labels, picture), np.uint8)
    values = read_label_image(pair.label)
    table = np.full(256, UNLABELLED, np.uint8)
    table[list(pair.meaning)] = list(pair.meaning.values())
    found = np.flatnonzero(np.bincount(np.ravel(values), minlength=256))
    strange = [int(v) for v in found if int(v) not in pair.meaning]
    if strange:
        shown = ", ".join(map(str, strange[:8])) + (", ..." if len(strange) > 8 else "")
        usual = [value for value in pair.meaning if value != UNLABELLED]
        may = f"0 to {max(usual)}" if len(usual) > 2 else " and ".join(map(str, usual))
        raise SegRosError(
            f"{pair.label} has label ids {shown}; it may have {may} and 255; name the label "
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
    data = _read_png(file, advice)
    bits, color = struct.unpack_from("BB", data, 24)  # IHDR: width, height, bit depth, colour type
    readers: dict[int, Callable[[bytes], NDArray[Any] | None]] = {0: _grey, 3: _palette_indices}
    if color not in readers:
        raise SegRosError(
            f"label image {file} is {_COLOR_TYPES.get(color, 'no picture')}; it must be grey or "
            f"have a palette, each pixel the id of its class, or a {' or '.join(COLOR_FILES)} in "
            "the data set's folder must say what its colours mean"
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


def read_colors(file: Path) -> NDArray[np.uint8] | None:
    """Read a PNG label image of colours as (H, W, 3) uint8 RGB; None where it is grey.

    Raises:
        SegRosError: not a PNG, or damaged.

    """
    advice = "replace it, or remove it and its image"
    data = _read_png(file, advice)
    if data[25] not in (2, 3, 6):
        return None
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise SegRosError(f"label image {file} is damaged; {advice}")
    return np.asarray(picture[:, :, ::-1], np.uint8)


def _read_png(file: Path, advice: str) -> bytes:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SegRosError(f"{file}: {error.strerror or error}; {advice}") from error
    if not is_whole_png(data):
        other = next((what for magic, what in _MAGIC.items() if data.startswith(magic)), "")
        what = f"is not a PNG but {other}" if other else "is not a PNG, or a damaged one"
        raise SegRosError(f"label image {file} {what}; {advice}")
    return data


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
