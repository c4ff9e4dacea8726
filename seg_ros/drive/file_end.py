"""Whether a video file was cut off, by what its own outermost parts say of their lengths.

The count of frames in a header says nothing of it: clips that were trimmed without encoding hold
packets that no player shows (edit lists), and AVI files hold empty chunks. The formats: ISO/IEC
14496-12 (MP4, 4.2), AVI with OpenDML (RIFF), Matroska (RFC 9559 and 8794), MPEG-2 TS (H.222.0).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_BOXES = frozenset(
    b"ftyp styp moov moof mdat mfra free skip wide sidx ssix emsg prft uuid meta pnot udta".split()
)
_TS_PACKET = 188
_SEGMENT = b"\x18\x53\x80\x67"


def missing_end(path: Path, container: str) -> str:
    """Return what of a file is missing at its end; empty where nothing says that it was cut off.

    Args:
        path: the file.
        container: FFmpeg's name of its format, such as ``mov,mp4,m4a,3gp,3g2,mj2``.

    Raises:
        OSError: it cannot be read.

    """
    judge = next((j for name, j in _JUDGES.items() if name in container.split(",")), None)
    if judge is None or not path.is_file():
        return ""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        return judge(file, size)


def _mp4(file: BinaryIO, size: int) -> str:
    at, kind = 0, b""
    while at + 8 <= size:
        file.seek(at)
        length, following = struct.unpack(">I4s", file.read(8))
        if following not in _BOXES and not following.isalnum():
            return ""  # what some cameras pad their files with
        kind = following
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
        if length < 8:  # 0: to the end of the file
            return ""
        at += length
        if at > size and kind in _BOXES:
            return _beyond(f"its last box ({kind.decode()})", at - size)
    return "the data of its last fragment are missing" if kind == b"moof" else ""


def _avi(file: BinaryIO, size: int) -> str:
    at = 0
    while at + 8 <= size:
        file.seek(at)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF" or length in (0, 0xFFFFFFFF):  # written before the length was known
            return ""
        at += 8 + length
        if at > size:
            return _beyond("its RIFF chunk", at - size)
        at += length % 2
    return ""


def _matroska(file: BinaryIO, size: int) -> str:
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(12)
        marker = head.find(_SEGMENT)
        if marker == 0:
            length, used = _vint(head[4:])
            if length is None or (end := at + 4 + used + length) <= size:
                return ""
            return _beyond("its segment", end - size)
        if at or not head.startswith(b"\x1a\x45\xdf\xa3"):
            return ""
        length, used = _vint(head[4:])
        if length is None:
            return ""
        at = 4 + used + length
    return ""


def _vint(data: bytes) -> tuple[int | None, int]:
    """Return the value of a variable-length number, None where it says "unknown", and its bytes."""
    if not data or not data[0]:
        return None, 1
    used = 9 - data[0].bit_length()
    value = int.from_bytes(data[:used], "big") & ((1 << 7 * used) - 1)
    return (None if value == (1 << 7 * used) - 1 else value), used


def _transport_stream(file: BinaryIO, size: int) -> str:
    head = file.read(_TS_PACKET + 1)
    if head[:1] == head[-1:] == b"G" and size % _TS_PACKET:
        return "its last packet is not whole"
    return ""


def _beyond(what: str, missing: int) -> str:
    return f"{what} goes {missing} byte{'s' if missing != 1 else ''} beyond its end"


_JUDGES = {"mp4": _mp4, "avi": _avi, "matroska": _matroska, "mpegts": _transport_stream}
