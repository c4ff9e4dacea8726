"""The size of a compressed image, from its header, before a pixel of it is decoded.

PNG (W3C PNG, 5.6: IHDR comes first), JPEG (as libjpeg-turbo reads it, which decodes it), BMP
(BITMAPINFOHEADER), WebP (RFC 9649) and TIFF (revision 6.0, the first image).
"""

from __future__ import annotations

import struct
import zlib

import simplejpeg

from seg_ros.errors import SegRosError

MAX_PIXELS = 64_000_000
"""Pixels of an image beyond which it is refused, unless a parameter says otherwise."""

MAX_ASPECT = 64
"""How many times longer one side may be than the other."""

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"


def check_size(width: int, height: int, max_pixels: int = MAX_PIXELS) -> None:
    """Refuse an image that is no camera's, before memory is taken for it.

    Raises:
        SegRosError: it has no pixels, more than ``max_pixels``, or one side is more than
            :data:`MAX_ASPECT` times the other.

    """
    if height < 1 or width < 1:
        raise SegRosError(f"image is {width}x{height}: it has no pixels")
    if width * height > max_pixels:
        raise SegRosError(
            f"image is {width}x{height}, {width * height} pixels; at most {max_pixels} are decoded "
            "(max_pixels)"
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise SegRosError(
            f"image is {width}x{height}: no side may be more than {MAX_ASPECT} times the other"
        )


def image_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) in pixels as a header says; None where the format is not known.

    Raises:
        SegRosError: the header is damaged or cut off.

    """
    for beginning, (name, read) in _READERS.items():
        if data.startswith(beginning):
            try:
                return read(data)
            except (struct.error, ValueError, LookupError) as error:
                raise SegRosError(
                    f"{name} image of {len(data)} bytes is damaged or cut off in its header"
                ) from error
    return None


def is_whole_png(data: bytes) -> bool:
    """Check that every chunk is within the data, and its sum.

    Decoders take memory for whatever length a chunk says, and make up what they cannot read.
    """
    if data[:16] != PNG + b"\0\0\0\x0dIHDR":
        return False
    view, at, kind = memoryview(data), 8, b""
    while kind != b"IEND" and at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if view[end : end + 4] != struct.pack(">I", zlib.crc32(view[at + 4 : end])):
            return False
        at = end + 4
    return kind == b"IEND"


def _png(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR":
        raise ValueError
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    height, width = simplejpeg.decode_jpeg_header(data, strict=False)[:2]
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    (size,) = struct.unpack_from("<I", data, 14)
    if size == 12:  # BITMAPCOREHEADER
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return abs(width), abs(height)  # a negative height is from top to bottom


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if data[8:12] != b"WEBP":
        raise ValueError
    if kind == b"VP8X":
        width, height = data[24:27], data[27:30]
        if len(height) < 3:
            raise ValueError
        return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError


def _tiff(data: bytes) -> tuple[int, int]:
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    found: dict[int, int] = {}
    for entry in range(at + 2, at + 2 + 12 * min(count, 512), 12):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in (256, 257):  # ImageWidth, ImageLength: SHORT or LONG
            (found[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, entry + 8)
    if len(found) < 2:
        raise ValueError
    return found[256], found[257]


_READERS = {
    PNG: ("PNG", _png),
    JPEG: ("JPEG", _jpeg),
    b"BM": ("BMP", _bmp),
    b"RIFF": ("WebP", _webp),
    b"II*\x00": ("TIFF", _tiff),
    b"MM\x00*": ("TIFF", _tiff),
}
