"""A video file as a drive, and decoded video frames as BGR."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import CLOCKLESS_START, Drive, DriveFrame
from seg_ros.drive.file_end import missing_end
from seg_ros.drive.image_size import MAX_PIXELS, check_size
from seg_ros.drive.messages import NANOSECONDS
from seg_ros.drive.pictures import FOLDER_RATE
from seg_ros.errors import SegRosError


class VideoDrive(Drive):
    """The frames of a video file; the first is at 1 s, the others by the video's own clock."""

    camera_problem = "a video has no CameraInfo; --camera names a camera YAML"

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        with self._open() as (container, stream):
            self._missing = missing_end(path, container.format.name)
            self._frame_count = None if self._missing else _count(stream)

    @property
    def frame_count(self) -> int | None:
        """See :class:`Drive`."""
        return self._frame_count

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
            rate = Fraction(stream.average_rate or FOLDER_RATE)
            first: Fraction | None = None
            for index, frame in enumerate(self._decoded(container, stream)):
                if index == stop:
                    return
                has_time = frame.pts is not None and frame.time_base is not None
                time = frame.pts * frame.time_base if has_time else index / rate
                first = time if first is None else first
                stamp = CLOCKLESS_START + int((time - first) * NANOSECONDS)
                if index >= start:
                    yield DriveFrame(index, stamp, "camera", partial(bgr_of_video, frame))
            if self._missing:
                raise SegRosError(f"video {self.name} was cut off: {self._missing}")

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        for packet in container.demux(stream):
            if self._missing and packet.is_corrupt:  # the part of it that is there
                continue
            yield from packet.decode()


def _count(stream: Any) -> int | None:
    """Return how many frames the index has that are to be shown; None where it has not all.

    The count in the header is of the packets, those that an edit list hides too, or what the
    writer meant to write.
    """
    if not stream.frames:
        return None
    entries = [entry.is_discard for entry in stream.index_entries]
    return entries.count(False) if 0 < len(entries) <= stream.frames else None


def bgr_of_video(frame: Any) -> NDArray[np.uint8]:
    """Turn a decoded video frame into (H, W, 3) uint8 BGR, turned as its player would show it.

    Raises:
        SegRosError: the decoder had to guess parts of it.

    """
    if frame.is_corrupt:
        raise SegRosError("the video is damaged here; the decoder guessed parts of the picture")
    image: NDArray[np.uint8] = frame.to_ndarray(format="bgr24")
    turns = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
    turn = turns.get(int(frame.rotation) % 360)
    return image if turn is None else np.asarray(cv2.rotate(image, turn), np.uint8)
