"""H.264 videos that play in a browser, and that can be cut off anywhere and continued.

While a video is being made it is a bare H.264 stream: appended to, without an index. A stream is
made of closed runs of pictures, each from an encoder of its own, so one that was cut off after a
run and continued is byte for byte the one that was never cut off. The times of the pictures are
added when the stream is put into an MP4 file, without encoding it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from seg_ros.errors import SegRosError
from seg_ros.support.bands import core_count
from seg_ros.support.timeline import Pace

RUN = 25
"""Pictures per closed run, where nobody ends it earlier: what a player decodes to seek."""

_CLOCK = 90_000
# The fastest preset takes a quarter of the time of the usual ones (bench/README.md).
_OPTIONS = {"preset": "ultrafast", "crf": "23"}
_MAX_THREADS = 8


class H264Stream(AbstractContextManager["H264Stream"]):
    """A bare H.264 stream in a file.

    Args:
        path: the file.
        keep: continue the file that is there after so many bytes, as :meth:`end_run` gave them; 0
            begins a new one.
        size: (height, width) of the pictures; that of the first one when None.

    """

    def __init__(self, path: Path, keep: int = 0, size: tuple[int, int] | None = None) -> None:
        self._file = path.open("r+b" if keep else "wb")
        self._file.truncate(keep)
        self._file.seek(keep)
        self._end = keep
        self._size = size
        self._encoder: Any = None
        self._in_run = 0

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Append a (H, W, 3) uint8 BGR picture; one of another size is scaled to the first's."""
        if self._size is None:
            self._size = (picture.shape[0], picture.shape[1])
        height, width = (max(2, side // 2 * 2) for side in self._size)  # 4:2:0 needs even sides
        if picture.shape[:2] != (height, width):
            picture = np.asarray(cv2.resize(picture, (width, height)), np.uint8)
        if self._in_run == RUN:
            self.end_run()
        if self._encoder is None:
            self._encoder = _encoder(height, width)
        planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
        frame = av.VideoFrame.from_ndarray(np.asarray(planes, np.uint8), format="yuv420p")
        frame.pts = self._in_run
        self._in_run += 1
        self._write(self._encoder.encode(frame))

    def end_run(self) -> int:
        """Close the run of pictures and hand everything to the system; return the file's size."""
        if self._encoder is not None:
            self._write(self._encoder.encode(None))
            self._encoder, self._in_run = None, 0
        self._file.flush()
        return self._end

    def append(self, path: Path, size: int) -> None:
        """Append the first ``size`` bytes of another stream of pictures of the same size."""
        self.end_run()
        with path.open("rb") as source:
            while size and (part := source.read(min(size, 2**20))):
                self._end += self._file.write(part)
                size -= len(part)

    def _write(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            self._end += self._file.write(bytes(packet))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the run and the file; after an error the run is as it is."""
        with self._file:
            if error is None:
                self.end_run()


def _encoder(height: int, width: int) -> Any:
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    # What cv2.cvtColor makes; players take large pictures for BT.709 where nothing is said.
    encoder.colorspace, encoder.color_range = Colorspace.ITU601, ColorRange.MPEG
    encoder.time_base, encoder.framerate = Fraction(1, 10), Fraction(10)
    encoder.thread_count = min(_MAX_THREADS, max(1, core_count() // 2))
    encoder.options = _OPTIONS
    return encoder


def write_mp4(stream: Path, stamps_ns: Iterable[int], path: Path) -> None:
    """Put a bare H.264 stream into an MP4 file in which each picture has its time.

    What :mod:`seg_ros.support.timeline` calls a cut is one.

    Args:
        stream: the stream's file.
        stamps_ns: of the pictures, nanoseconds, as many as there are pictures.
        path: the ``.mp4`` file.

    Raises:
        SegRosError: there are fewer stamps than pictures.

    """
    pace = Pace()
    last_pts = -1
    stamps = iter(stamps_ns)
    with (
        av.open(str(stream), format="h264") as source,
        av.open(str(path), "w", options={"movflags": "+faststart"}) as target,
    ):
        pictures = source.streams.video[0]
        out = target.add_stream_from_template(pictures)
        out.time_base = Fraction(1, _CLOCK)
        for packet in source.demux(pictures):
            if not packet.size:  # the end
                continue
            stamp = next(stamps, None)
            if stamp is None:
                raise SegRosError(f"{stream} has more pictures than there are stamps")
            # Players need rising times even where stamps repeat or step back.
            ticks = max(pace.shown_ns(stamp) * _CLOCK // 1_000_000_000, last_pts + 1)
            packet.stream = out
            packet.time_base = Fraction(1, _CLOCK)
            # Counts for the last picture only, which is shown as long as the one before it.
            packet.duration = ticks - last_pts if last_pts >= 0 else _CLOCK // 10
            packet.pts = packet.dts = last_pts = ticks
            target.mux(packet)


class OverlayVideo(AbstractContextManager["OverlayVideo"]):
    """An H.264 video that plays at the pace of the frames' stamps.

    Args:
        path: the ``.mp4`` file.

    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bare = path.with_suffix(".h264")
        self._stream = H264Stream(self._bare)
        self._stamps: list[int] = []

    def add(self, frame_stamp_ns: int, picture: NDArray[np.uint8]) -> None:
        """Append a (H, W, 3) uint8 BGR picture; one of another size is scaled to the first's."""
        self._stamps.append(frame_stamp_ns)
        self._stream.add(picture)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the file."""
        self._stream.__exit__(kind, error, trace)
        if error is None and self._stamps:
            write_mp4(self._bare, self._stamps, self._path)
        self._bare.unlink()
