"""A video file as a drive, and decoded video frames as BGR."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import CLOCKLESS_START, Drive, DriveFrame, refuse_rate
from seg_ros.drive.file_end import missing_end
from seg_ros.drive.image_size import MAX_PIXELS, check_size
from seg_ros.drive.messages import NANOSECONDS
from seg_ros.errors import SegRosError

VIDEOS = {
    ".264", ".265", ".3gp", ".avi", ".h264", ".h265", ".hevc", ".m2ts", ".m4v",
    ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv",
}  # fmt: skip
"""Suffixes of video files, in lower case, by which clips of a folder are known."""

_NO_TIMES = 0x80
"""AVFMT_NOTIMESTAMPS: FFmpeg makes the times of such a format up."""

_USUAL_RATE = 25
"""Frames a second where nothing says so, as FFmpeg assumes."""

_NO_CLOCK = 1980
"""Recording times up to this year are of clocks that nobody had set."""

_SQUARE = 0.005
"""How far from 1 an aspect ratio may be, by the rounding of whoever wrote it."""

_MAX_ASPECT = 4

_INTERLACED = (2, 3, 4, 5)  # AVFieldOrder
_HDR = {16: "PQ", 18: "HLG"}  # ITU-T H.273, table 3


class VideoDrive(Drive):
    """The frames of a video file; the first is at 1 s, the others by the video's own clock.

    Attributes:
        created: when it says it was recorded (UTC, or whatever its camera's clock had); None where
            it does not say.

    Args:
        path: the file.
        fps: frames a second of a raw H.264 or H.265 stream, instead of what it says itself.
        calibrated: whether a camera is given, whose pixels are those that are stored.

    Raises:
        SegRosError: it cannot be read, or ``fps`` is given and it has times.

    """

    camera_problem = "a video has no CameraInfo; --camera names a camera YAML"

    def __init__(self, path: Path, fps: float = 0.0, calibrated: bool = False) -> None:
        self.name = str(path)
        with self._open() as (container, stream):
            self._rate, rate_note = self._choose_rate(container, stream, fps)
            self.rate = self._rate if container.format.flags & _NO_TIMES else None
            self._square, square_note = _squared(stream, calibrated)
            notes = (rate_note, square_note, *_unusual(stream))
            self.notes = tuple(note for note in notes if note)
            self._missing = missing_end(path, container.format.name) or _unindexed(path, stream)
            self._frame_count = None if self._missing else _count(stream)
            self.created = _created(container)
            self._duration = _duration(container, stream)

    @property
    def frame_count(self) -> int | None:
        """See :class:`Drive`."""
        return self._frame_count

    @property
    def length(self) -> int:
        """How many frames it has, or is said to have."""
        if self._frame_count is not None:
            return self._frame_count
        return int(self._duration * self._rate) if self._duration else self._packets

    @property
    def length_ns(self) -> int:
        """From the first frame to the end of the last, nanoseconds, as the file says."""
        return int((self._duration or self._packets / self._rate) * NANOSECONDS)

    @cached_property
    def _packets(self) -> int:
        with self._open() as (container, stream):
            return sum(1 for packet in container.demux(stream) if packet.size)

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        try:
            with av.open(self.name, metadata_errors="replace") as container:
                if not container.streams.video:
                    raise SegRosError(f"{self.name} has no video in it")
                stream = container.streams.video[0]
                if stream.codec_context is None:
                    raise SegRosError(f"{self.name}: FFmpeg has no decoder for its video")
                stream.thread_type = "AUTO"
                try:
                    check_size(stream.width, stream.height)
                except SegRosError as error:
                    raise SegRosError(f"{self.name}: {error}") from error
                # A stream may change its size on the way.
                stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
                yield container, stream
        except av.FFmpegError as error:
            raise SegRosError(
                f"{self.name} cannot be read as a video ({error.strerror}); it is damaged, or not "
                "a video"
            ) from error

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[DriveFrame]:
        """See :class:`Drive`."""
        # What comes before start is decoded, too: a video's index says which of its packets is
        # which frame only where nobody has edited it.
        with self._open() as (container, stream):
            first: Fraction | None = None
            for index, frame in enumerate(self._decoded(container, stream)):
                if index == stop:
                    return
                has_time = frame.pts is not None and frame.time_base is not None
                time = frame.pts * frame.time_base if has_time else index / self._rate
                first = time if first is None else first
                stamp = CLOCKLESS_START + int((time - first) * NANOSECONDS)
                if index >= start:
                    decode = partial(bgr_of_video, frame, self._square)
                    yield DriveFrame(index, stamp, "camera", decode)
            if self._missing:
                raise SegRosError(f"video {self.name} was cut off: {self._missing}")

    def _choose_rate(self, container: Any, stream: Any, fps: float) -> tuple[Fraction, str]:
        """Return the frames a second of a stream without times, and what is assumed of it."""
        if not container.format.flags & _NO_TIMES:
            refuse_rate(self.name, fps)
            return Fraction(stream.average_rate or _USUAL_RATE), ""
        own = stream.codec_context.framerate
        if fps:
            return Fraction(fps).limit_denominator(100_000), ""
        if own:
            return Fraction(own), ""
        return Fraction(_USUAL_RATE), (
            f"{self.name} says nothing of its times: {_USUAL_RATE} frames a second are assumed, "
            "--fps says otherwise"
        )

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        for packet in container.demux(stream):
            if self._missing and packet.is_corrupt:  # the part of it that is there
                continue
            yield from packet.decode()


def _unindexed(path: Path, stream: Any) -> str:
    """Return what of a file is missing by the places that its index has for the frames."""
    if not path.is_file():
        return ""
    size = path.stat().st_size
    beyond = sum(entry.pos + entry.size > size for entry in stream.index_entries)
    return f"its index has {beyond} frame{'s' if beyond != 1 else ''} beyond its end" * bool(beyond)


def _duration(container: Any, stream: Any) -> Fraction | None:
    """Return the seconds that a file says it lasts."""
    if stream.duration and stream.time_base:
        return Fraction(stream.duration * stream.time_base)
    return Fraction(container.duration, av.time_base) if container.duration else None


def _created(container: Any) -> datetime | None:
    """Return when a file says it was recorded; those that never knew say 1904 or 1970."""
    try:
        said = datetime.fromisoformat(container.metadata["creation_time"].replace("Z", "+00:00"))
    except (KeyError, ValueError):
        return None
    return said.replace(tzinfo=None) if said.year > _NO_CLOCK else None


def _count(stream: Any) -> int | None:
    """Return how many frames the index has that are to be shown; None where it has not all.

    The count in the header is of the packets, those that an edit list hides too, or what the
    writer meant to write.
    """
    if not stream.frames:
        return None
    entries = [entry.is_discard for entry in stream.index_entries]
    return entries.count(False) if 0 < len(entries) <= stream.frames else None


def _squared(stream: Any, calibrated: bool) -> tuple[tuple[int, int] | None, str]:
    """Return the (width, height) at which the pixels are square, None where they are as stored.

    Neither side gets shorter. And what is to be said of it.
    """
    aspect = stream.sample_aspect_ratio
    width, height = stream.width, stream.height
    if not aspect or abs(aspect - 1) < _SQUARE:
        return None, ""
    shape = f"its pixels are not square ({aspect.numerator}:{aspect.denominator})"
    if calibrated:
        return None, f"{shape}: they are kept as stored, {width}x{height}, for the camera given"
    if not 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT:
        return None, f"it says that {shape.removeprefix('its ')}: not believed, kept as stored"
    size = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    return size, (
        f"{shape}: scaled from {width}x{height} to {size[0]}x{size[1]}; a --camera keeps them as "
        "stored"
    )


def _unusual(stream: Any) -> Iterator[str]:
    """Say what makes a video look other than a network's pictures."""
    if stream.codec_context.field_order in _INTERLACED:
        yield (
            "its frames are interlaced and taken as they are, with combs on whatever moves; "
            "'ffmpeg -vf yadif' takes them off"
        )
    curve = _HDR.get(int(stream.codec_context.color_trc))
    if curve:
        yield (
            f"its colours are HDR ({curve}) and taken as if they were not: they look washed out; "
            "tone-map it first"
        )


def bgr_of_video(frame: Any, square: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Turn a decoded video frame into (H, W, 3) uint8 BGR, turned as its player would show it.

    Args:
        frame: the decoder's.
        square: (width, height) to scale it to before it is turned, None to leave it.

    Raises:
        SegRosError: the decoder had to guess parts of it.

    """
    if frame.is_corrupt:
        raise SegRosError("the video is damaged here; the decoder guessed parts of the picture")
    image: NDArray[np.uint8] = frame.to_ndarray(format="bgr24")
    if square:
        image = np.asarray(cv2.resize(image, square, interpolation=cv2.INTER_LINEAR), np.uint8)
    turns = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
    turn = turns.get(int(frame.rotation) % 360)
    return image if turn is None else np.asarray(cv2.rotate(image, turn), np.uint8)
