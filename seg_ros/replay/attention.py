"""A drive becomes a film of what the attention heads of a SegFormer look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import Drive, DriveFrame
from seg_ros.drive.read_ahead import read_ahead
from seg_ros.errors import SegRosError
from seg_ros.results.outputs import OutputFolder
from seg_ros.results.video import OverlayVideo
from seg_ros.segment.attention import AttentionMaps, AttentionNetwork, attention_picture
from seg_ros.segment.paint import contact_sheet

ATTENTION_NAMES = ("attention.mp4", "attention.png")
"""What a run leaves in its folder."""

_AHEAD = 2
_SHEET_MOSAICS = 4


@dataclass(frozen=True)
class AttentionFigures:
    """What came of a drive."""

    frames_in: int
    frames_out: int
    rejected: int


def attention_of_drive(
    drive: Drive,
    network: AttentionNetwork,
    folder: OutputFolder,
    head: int | None = None,
    query: tuple[int, int] | None = None,
    on_frame: Callable[[], object] = lambda: None,
    on_bad_frame: Callable[[str], None] = lambda _: None,
) -> AttentionFigures:
    """Draw the attention in every frame of a drive: a video, and a sheet of some of its pictures.

    A drive of one frame becomes ``attention.png`` at full size and no video. The outputs appear in
    ``folder`` when they are whole. A frame that cannot be shown is reported, counted and left out.

    Args:
        drive: the frames.
        network: what they are put through.
        folder: where the outputs go, made for :data:`ATTENTION_NAMES`.
        head: the one head to show, from 1; None for all.
        query: (x, y) pixel whose attention is shown; None for the mean over all queries.
        on_frame: called after every frame.
        on_bad_frame: called with the reason for every frame left out.

    Raises:
        SegRosError: the drive is damaged (what came before the damage is written), no frame can be
            shown, or the outputs cannot be written.

    """
    sheet = _Sheet()
    frames_in = 0
    damage: SegRosError | None = None
    first_ns: int | None = None
    video_file = folder.work / "attention.mp4"
    try:
        with OverlayVideo(video_file) as video:
            # The network works on the next frames while this one is drawn and encoded.
            seen = read_ahead(_seen(drive, network, query), _AHEAD)
            while True:
                try:
                    frame, answer = next(seen)
                except StopIteration:
                    break
                except SegRosError as error:
                    damage = error
                    break
                frames_in += 1
                first_ns = frame.stamp_ns if first_ns is None else first_ns
                if isinstance(answer, SegRosError):
                    on_bad_frame(f"frame {frame.index}: {answer}")
                else:
                    moment = f"{(frame.stamp_ns - first_ns) / 1e9:.2f} s"
                    mosaic = attention_picture(*answer, head, moment)
                    video.add(frame.stamp_ns, mosaic)
                    sheet.add(mosaic)
                on_frame()
        if not sheet.count:
            raise damage or SegRosError(f"drive {drive.name} has no frame that can be decoded")
        if sheet.count == 1:
            video_file.unlink()
        if not cv2.imwrite(str(folder.work / "attention.png"), sheet.picture()):
            raise SegRosError(f"cannot write {folder.work / 'attention.png'}")
    except OSError as error:
        raise SegRosError(
            f"cannot write into {folder.path}: {error.strerror or error}; what was written is in "
            f"{folder.work}"
        ) from error
    folder.publish()
    if damage:
        raise SegRosError(
            f"{damage}. The {sheet.count} frames before the damage are in {folder.path}"
        )
    return AttentionFigures(frames_in, sheet.count, frames_in - sheet.count)


_Answer = tuple[NDArray[np.uint8], AttentionMaps] | SegRosError
"""A frame's picture and attention, or why there is none."""


def _seen(
    drive: Drive, network: AttentionNetwork, query: tuple[int, int] | None
) -> Iterator[tuple[DriveFrame, _Answer]]:
    """Yield every frame with its attention; raise an error of the first: all would have it."""
    any_seen = False
    for frame in drive.frames():
        try:
            image = frame.decode()
        except SegRosError as error:
            yield frame, error
            continue
        try:
            answer: _Answer = (image, network.maps(image, query))
        except SegRosError as error:
            if not any_seen:
                raise
            answer = error
        any_seen = True
        yield frame, answer


class _Sheet:
    """Keeps a few pictures spread evenly over a drive whose length nobody knows."""

    def __init__(self) -> None:
        self.count = 0
        self._step = 1
        self._kept: list[NDArray[np.uint8]] = []

    def add(self, picture: NDArray[np.uint8]) -> None:
        if self.count % self._step == 0:
            self._kept.append(picture)
            if len(self._kept) == 2 * _SHEET_MOSAICS:  # too many: keep every other one
                self._kept = self._kept[::2]
                self._step *= 2
        self.count += 1

    def picture(self) -> NDArray[np.uint8]:
        if self.count == 1:
            return self._kept[0]
        count = min(_SHEET_MOSAICS, len(self._kept))
        chosen = [("", self._kept[i * len(self._kept) // count]) for i in range(count)]
        return contact_sheet([chosen[i : i + 2] for i in range(0, count, 2)], row_height=720)
