"""What an ONNX file says of itself beside its graph, read without onnx and without the weights.

A file is one protobuf message, onnx.ModelProto (onnx/onnx.proto3). Of its fields only
``metadata_props`` is read; the graph, which holds the weights, is stepped over.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from seg_ros.errors import SegRosError

_METADATA_PROPS = 14
_KEY, _VALUE = 1, 2
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_LONGEST = 1 << 20
"""Bytes of an entry; a longer one is no word about the network."""
_MOST_NAMES = 255


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of an ONNX file; empty where it has none, or is none.

    Raises:
        SegRosError: it cannot be read.

    """
    try:
        with path.open("rb") as file:
            return dict(_entries(file))
    except OSError as error:
        raise SegRosError(f"{path} cannot be read: {error.strerror or error}") from error


def class_names(metadata: Mapping[str, str]) -> list[str] | None:
    """Return the names of the classes that an exporter wrote as ``names``, in their order.

    Ultralytics writes ``{0: 'road', 1: 'sidewalk'}``; a list does as well. Names that are only
    numbers, as an untrained network has them, say nothing.
    """
    text = metadata.get("names", "")
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if isinstance(found, list):
        found = dict(enumerate(found))
    if not isinstance(found, dict) or not 0 < len(found) <= _MOST_NAMES:
        return None
    if set(found) != set(range(len(found))) or not all(isinstance(n, str) for n in found.values()):
        return None
    names = [found[index] for index in range(len(found))]
    return None if all(name.strip().isdecimal() for name in names) else names


def is_ultralytics(metadata: Mapping[str, str], path: Path) -> bool:
    """Tell whether a file is a semantic network that Ultralytics exported.

    Raises:
        SegRosError: it is a network of theirs for something else.

    """
    if metadata.get("author") != "Ultralytics":
        return False
    task = metadata.get("task", "")
    if task != "semantic":
        raise SegRosError(
            f"{path}: is a network of Ultralytics for {task or 'no task that it names'}; one for "
            "semantic segmentation (yolo26n-sem and its like) is needed"
        )
    return True


def image_size(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the (height, width) a network was exported at, as Ultralytics writes it."""
    try:
        found = ast.literal_eval(metadata.get("imgsz", "").strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(found, list | tuple) or len(found) != 2:
        return None
    return (found[0], found[1]) if all(type(side) is int for side in found) else None


def _entries(file: BinaryIO) -> list[tuple[str, str]]:
    found = []
    file.seek(0, 2)
    end = file.tell()
    file.seek(0)
    while file.tell() < end:
        tag = _varint(file)
        kind = None if tag is None else tag & 7
        size: int | None = {_FIXED64: 8, _FIXED32: 4, _VARINT: 0}.get(-1 if kind is None else kind)
        if kind == _VARINT:
            _varint(file)
        elif kind == _LENGTH:
            size = _varint(file)
        if tag is None or size is None or size > end - file.tell():
            break  # no whole ONNX file, as whoever reads its graph will say
        if tag >> 3 == _METADATA_PROPS and kind == _LENGTH and size <= _LONGEST:
            entry = _strings(file.read(size))
            if entry is not None:
                found.append(entry)
        else:
            file.seek(size, 1)
    return found


def _strings(data: bytes) -> tuple[str, str] | None:
    """Read a StringStringEntryProto: the key is its field 1, the value its field 2."""
    fields = {}
    at = 0
    while at < len(data):
        tag, at = _varint_in(data, at)
        size, at = _varint_in(data, at)
        if tag & 7 != _LENGTH or at + size > len(data):
            return None
        fields[tag >> 3] = data[at : at + size].decode("utf-8", "replace")
        at += size
    return (fields[_KEY], fields.get(_VALUE, "")) if _KEY in fields else None


def _varint_in(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return value, at


def _varint(file: BinaryIO) -> int | None:
    data = b""
    while len(data) < 10:
        byte = file.read(1)
        data += byte
        if not byte:
            return None
        if byte[0] < 0x80:
            return _varint_in(data, 0)[0]
    return None
