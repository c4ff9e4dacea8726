"""How a picture file is to be turned to stand upright, by its Exif data (CIPA DC-008, TIFF 6.0).

The tag lies in the first directory of a TIFF: the file itself, the APP1 segment of a JPEG, the eXIf
chunk of a PNG, the EXIF chunk of a WebP file.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.image_size import JPEG, PNG

_TAG = 0x0112
_MAX_ENTRIES = 512
_EXIF = b"Exif\0\0"


def orientation(data: bytes) -> int:
    """Return the orientation of a picture file, 1 to 8; 1, upright, where it says none.

    Damaged Exif data say none: they cost no pixel.
    """
    tiff = _exif(data)
    try:
        place = _place(tiff)
    except struct.error:
        return 1
    return int(struct.unpack_from(place[1] + "H", tiff, place[0])[0]) if place else 1


def without_orientation(tiff: bytes) -> bytes:
    """Return a TIFF file that says that it is upright; OpenCV turns others whatever its flags."""
    try:
        place = _place(tiff)
    except struct.error:
        return tiff
    if place is None:
        return tiff
    at, order = place
    return tiff[:at] + struct.pack(order + "H", 1) + tiff[at + 2 :]


def turn_upright(image: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """Turn an (H, W, 3) uint8 picture of an orientation; 5 to 8 exchange height and width."""
    if turn >= 5:
        image = np.asarray(cv2.transpose(image), np.uint8)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(turn)
    return image if flip is None else np.asarray(cv2.flip(image, flip), np.uint8)


def _place(tiff: bytes) -> tuple[int, str] | None:
    """Return where the tag's value stands in a TIFF structure, and in which order its bytes are."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return None
    (at,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, at)
    for entry in range(at + 2, at + 2 + 12 * min(count, _MAX_ENTRIES), 12):
        tag, kind, values, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if (tag, kind, values) == (_TAG, 3, 1) and 1 <= value <= 8:
            return entry + 8, order
    return None


def _exif(data: bytes) -> bytes:
    """Return the TIFF structure in a picture file, empty where there is none."""
    if data[:4] in (b"II*\0", b"MM\0*"):
        return data
    if data.startswith(JPEG):
        return _jpeg(data)
    if data.startswith(PNG):
        return _chunk(data, 8, b"eXIf", ">I4s", 4, 1)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        found = _chunk(data, 12, b"EXIF", "<4sI", 0, 2)
        return found.removeprefix(_EXIF)
    return b""


def _jpeg(data: bytes) -> bytes:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if kind == 0xE1 and body.startswith(_EXIF):
            return body.removeprefix(_EXIF)
        if kind == 0xDA or length < 2:  # the pixels begin
            break
        at += 2 + length
    return b""


def _chunk(data: bytes, at: int, wanted: bytes, form: str, after: int, even: int) -> bytes:
    """Return the body of a chunk.

    Args:
        data: the file.
        at: where its first chunk begins.
        wanted: the chunk's name.
        form: of a chunk's name and length, in the file's order.
        after: bytes that follow its body.
        even: what lengths are filled up to a multiple of.

    """
    while at + 8 <= len(data):
        head = struct.unpack_from(form, data, at)
        name, length = head if isinstance(head[0], bytes) else head[::-1]
        if name == wanted:
            return data[at + 8 : at + 8 + length]
        at += 8 + length + length % even + after
    return b""
