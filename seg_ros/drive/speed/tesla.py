"""Tesla's dashcam: SEI messages within the H.264 of its clips.

https://github.com/teslamotors/dashcam, ``dashcam.proto`` and its extractor; firmware 2025.44.25 or
later. Each frame that was taken while driving has an SEI unit (nal_unit_type 6) of unregistered
user data (payloadType 5) that is some bytes 0x42, one 0x69 and a protobuf message SeiMetadata, of
which are read: 2 ``gear_state`` (2 is reverse), 4 ``vehicle_speed_mps`` float in m/s, 13
``heading_deg`` double, degrees clockwise from north. proto3 leaves out what is 0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np

from seg_ros.drive.base import CLOCKLESS_START, Drive
from seg_ros.drive.speed.track import SpeedTrack, speed_track
from seg_ros.drive.video import VideoDrive
from seg_ros.errors import SegRosError

_SEI, _USER_DATA = 6, 5
_LOOKED_AT = 64
"""Packets that are looked at for a message before a video is none of these: a parked car has none,
and the first frames may be of it."""

_GEAR, _SPEED, _HEADING, _REVERSE = 2, 4, 13, 2


def find(drive: Drive) -> Path | None:
    """Return a video that has such messages."""
    path = Path(drive.name).expanduser()
    if not isinstance(drive, VideoDrive):
        return None
    with suppress(av.FFmpegError, SegRosError):
        if next(_messages(path, _LOOKED_AT), None) is not None:
            return path
    return None


def read(path: Path, _: Drive) -> SpeedTrack:
    """Read the speed of a clip.

    Raises:
        SegRosError: the clip or its messages are damaged.

    """
    rows = []
    try:
        for seconds, message in _messages(path):
            fields = dict(_fields(message))
            speed = struct.unpack("<f", fields.get(_SPEED, bytes(4)))[0]
            heading = struct.unpack("<d", fields.get(_HEADING, bytes(8)))[0]
            backwards = fields.get(_GEAR, 0) == _REVERSE
            rows.append((seconds, -abs(speed) if backwards else speed, heading))
    except av.FFmpegError as error:
        raise SegRosError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, struct.error, TypeError) as error:
        raise SegRosError(f"{path}: a SEI message of Tesla's is damaged ({error})") from error
    seconds, speed, course = np.array(rows, np.float64).reshape(-1, 3).T
    return speed_track(
        f"Tesla's SEI, {path.name}",
        np.round(CLOCKLESS_START + seconds * 1e9),
        speed,
        heading=np.pi / 2 - np.radians(course),
    )


def _messages(path: Path, packets: int | None = None) -> Iterator[tuple[float, bytes]]:
    """Yield the seconds since the first frame and the protobuf message of frames that have one."""
    with av.open(str(path), metadata_errors="replace") as container:
        stream: Any = container.streams.video[0]
        context = stream.codec_context
        extra = bytes((context.extradata if context else None) or b"")
        if stream.name != "h264" or len(extra) < 5 or extra[0] != 1:  # ISO 14496-15, 5.2.4.1
            return
        length_size = (extra[4] & 3) + 1
        first = float((stream.start_time or 0) * stream.time_base)
        for number, packet in enumerate(container.demux(stream)):
            if packet.pts is None or number == packets:
                return
            for unit in _units(memoryview(bytes(packet)), length_size):
                message = _user_data(unit)
                if message is not None:
                    yield float(packet.pts * packet.time_base) - first, message
                    break


def _units(data: memoryview, length_size: int) -> Iterator[memoryview]:
    at = 0
    while at + length_size <= len(data):
        length = int.from_bytes(data[at : at + length_size], "big")
        at += length_size
        yield data[at : at + length]
        at += length


def _user_data(unit: memoryview) -> bytes | None:
    """Return the protobuf message of an SEI unit of Tesla's; None of any other unit."""
    if len(unit) < 8 or unit[0] & 0x1F != _SEI or unit[1] != _USER_DATA:
        return None
    # Emulation prevention bytes, H.264 7.4.1.1.
    data = bytes(unit).replace(b"\x00\x00\x03", b"\x00\x00")
    at, size = 2, 0
    while at < len(data) and data[at] == 0xFF:
        size, at = size + 255, at + 1
    size, at = size + data[at], at + 1
    payload = data[at : at + size]
    mark = payload.lstrip(b"\x42")
    if mark[:1] != b"\x69" or len(mark) == len(payload):
        return None
    return mark[1:]


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of the fields of a protobuf message: int or the bytes of a number."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            if at + size > len(message):
                raise ValueError("it is cut off")
            yield key >> 3, message[at : at + size]
            at += size
        elif kind == 2:
            size, at = _varint(message, at)
            at += size
        else:
            raise ValueError(f"wire type {kind}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("it is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number does not end")
