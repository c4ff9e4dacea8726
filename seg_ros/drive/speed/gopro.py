"""GoPro: the GPMF track of its MP4 files.

https://github.com/gopro/gpmf-parser. A track of data packets, one a second, of nested key, length,
value: four letters, a type, the size of a value, how many (big endian), padded to four bytes.
Within ``DEVC`` and ``STRM``, ``GPS5`` has latitude, longitude, altitude, speed over the ground and
speed in space in m/s, int32 each, to be divided by ``SCAL``; ``GPSF`` says the fix: 0 none, 2 or 3
of that dimension. From HERO11 on ``GPS9`` has the fix as its ninth value. The values of a packet
are spread evenly over its time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import CLOCKLESS_START, Drive
from seg_ros.drive.speed.track import SpeedTrack, speed_track
from seg_ros.drive.video import VideoDrive
from seg_ros.errors import SegRosError

_MAX_PACKETS = 100_000
_MAX_PACKET = 4 << 20
_DEEPEST = 8
_SPEED, _FIX = 3, 8
_SCALES = {"b": "i1", "B": "u1", "s": ">i2", "S": ">u2", "l": ">i4", "L": ">u4"}


def find(drive: Drive) -> Path | None:
    """Return a video that has such a track."""
    path = Path(drive.name).expanduser()
    if not isinstance(drive, VideoDrive):
        return None
    with suppress(av.FFmpegError), av.open(str(path), metadata_errors="replace") as container:
        if _track(container) is not None:
            return path
    return None


def _track(container: Any) -> Any:
    """Return the data stream whose packets are GPMF, which its first says."""
    for stream in container.streams.data:
        packet = next(iter(container.demux(stream)), None)
        container.seek(0)
        if packet is not None and bytes(packet)[:4] == b"DEVC":
            return stream
    return None


def read(path: Path, _: Drive) -> SpeedTrack:
    """Read the speed of a video.

    Raises:
        SegRosError: the track is damaged, or never had a fix.

    """
    stamps: list[float] = []
    speeds: list[float] = []
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            video, stream = container.streams.video[0], _track(container)
            first = float((video.start_time or 0) * video.time_base)
            for number, packet in enumerate(container.demux(stream)):
                if packet.pts is None or number >= _MAX_PACKETS:
                    break
                if packet.size > _MAX_PACKET:
                    raise SegRosError(f"{path}: a GPMF packet has {packet.size} bytes")
                start = float(packet.pts * packet.time_base) - first
                length = float((packet.duration or 0) * packet.time_base) or 1.0
                values = list(_speeds(bytes(packet)))
                for k, value in enumerate(values):
                    stamps.append(CLOCKLESS_START + (start + length * k / len(values)) * 1e9)
                    speeds.append(value)
    except av.FFmpegError as error:
        raise SegRosError(f"{path}: its GPMF track cannot be read ({error.strerror})") from error
    except (struct.error, ValueError) as error:
        raise SegRosError(f"{path}: its GPMF track is damaged ({error})") from error
    return speed_track(f"GoPro's GPMF, {path.name}", np.round(stamps), speeds)


def _speeds(data: bytes) -> Iterator[float]:
    """Yield the speeds of a packet, NaN where there was no fix."""
    for stream in _streams(data, 0):
        scale = stream.get("SCAL")
        if scale is None or len(scale) == 0:
            continue
        for key in ("GPS5", "GPS9"):
            rows = stream.get(key)
            if rows is None:
                continue
            for row in rows:
                fix = row[_FIX] if key == "GPS9" else float(stream.get("GPSF", [[3.0]])[0][0])
                divisor = scale[min(_SPEED, len(scale) - 1)][0]
                yield float(row[_SPEED] / divisor) if fix >= 2 and divisor else float("nan")


def _streams(data: bytes, depth: int) -> Iterator[dict[str, Any]]:
    """Yield the values of each stream, arrays of a row a sample."""
    here: dict[str, Any] = {}
    for key, kind, size, count, value in _items(data):
        if kind == 0 and depth < _DEEPEST:
            yield from _streams(value, depth + 1)
        elif key == "GPS9":
            # TYPE says lllllllSS, and that is what all of them have written.
            here[key] = [struct.unpack_from(">7i2H", value, i * size) for i in range(count)]
        elif chr(kind) in _SCALES:
            here[key] = _rows(value, _SCALES[chr(kind)], size, count)
    if here:
        yield here


def _rows(value: bytes, kind: str, size: int, count: int) -> NDArray[np.float64]:
    numbers = np.frombuffer(value, kind).astype(np.float64)
    return numbers.reshape(count, size // np.dtype(kind).itemsize)


def _items(data: bytes) -> Iterator[tuple[str, int, int, int, bytes]]:
    """Yield key, type, size, count and value of the items that follow each other."""
    at = 0
    while at + 8 <= len(data):
        key, kind, size, count = struct.unpack_from(">4sBBH", data, at)
        length = size * count
        if at + 8 + length > len(data):
            raise ValueError(f"{key!r} is longer than what it is in")
        yield key.decode("latin-1"), kind, size, count, data[at + 8 : at + 8 + length]
        at += 8 + -(-length // 4) * 4
