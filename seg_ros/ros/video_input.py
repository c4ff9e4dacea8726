"""A camera that sends H.264 or H.265: every packet is decoded, only the newest picture converted.

Of foxglove_msgs/CompressedVideo (https://docs.foxglove.dev/docs/sdk/schemas/compressed-video) and
ffmpeg_image_transport_msgs/FFMPEGPacket.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.compressed_video import KeyFrameMissingError, VideoDecoder, format_of
from seg_ros.drive.image_size import check_size
from seg_ros.drive.images import decode_message
from seg_ros.drive.messages import camera_stamp_ns, stamp_ns
from seg_ros.drive.video import bgr_of_video
from seg_ros.errors import SegRosError
from seg_ros.ros.messages import ros_messages
from seg_ros.ros.worker import Busy, LatestWorker

_T = TypeVar("_T")

_PACKETS = 50
"""Packets that may wait to be decoded; the next to come breaks the stream up to a key frame."""


@dataclass(frozen=True)
class VideoPicture:
    """A decoded picture in the place of the message it came with."""

    header: Any
    """std_msgs/Header with the packet's stamp and frame_id."""
    format: str
    """The packet's."""
    picture: Any
    """av.VideoFrame."""


def decode_frame(message: Any, max_pixels: int) -> NDArray[np.uint8]:
    """Turn an Image, a CompressedImage or a :class:`VideoPicture` into (H, W, 3) uint8 BGR.

    Raises:
        SegRosError: as of :func:`seg_ros.drive.images.decode_message`.

    """
    if not isinstance(message, VideoPicture):
        return decode_message(message, max_pixels)
    check_size(message.picture.width, message.picture.height, max_pixels)
    return bgr_of_video(message.picture)


class VideoInput(Generic[_T]):
    """Decodes a stream in its order, on a thread of its own.

    Args:
        max_pixels: of a picture.
        picture: called with each packet's owner and what it became.
        none: called with the owner of each packet that came to nothing and why; None where it was
            left over or came too fast to be decoded.
        failed: called with the owner of a packet of which nobody expected what was raised.

    """

    def __init__(
        self,
        max_pixels: int,
        picture: Callable[[_T, VideoPicture], None],
        none: Callable[[_T, SegRosError | None], None],
        failed: Callable[[_T, BaseException], None],
    ) -> None:
        self._picture = picture
        self._none = none
        self._failed = failed
        self._decoder = VideoDecoder(max_pixels)
        self._number = self._decoded = 0
        self.awaited = ""
        """That and why a key frame is awaited, or nothing."""
        self._worker: LatestWorker[tuple[int, _T, Any]] = LatestWorker(
            self._decode,
            lambda item: none(item[1], None),
            self._unexpected,
            lambda item: f"packet {camera_stamp_ns(item[2])}",
            keep=_PACKETS,
        )

    def submit(self, owner: _T, message: Any, lost: int) -> None:
        """Hand over the next packet of the stream, after some that were lost on the way."""
        self._number += 1 + lost
        self._worker.submit((self._number, owner, message))

    def revive(self) -> str:
        """Start its thread again where it ended by itself; return why it had, or nothing."""
        return self._worker.revive()

    @property
    def busy(self) -> Busy | None:
        """What its thread is at, or None."""
        return self._worker.busy

    def stop(self, patience: float) -> bool:
        """Finish the packet in hand and end; see :meth:`LatestWorker.stop`."""
        return self._worker.stop(patience)

    def _decode(self, item: tuple[int, _T, Any]) -> None:
        number, owner, message = item
        if number != self._decoded + 1:
            self._decoder.interrupt()
        self._decoded = number
        stamp = camera_stamp_ns(message)
        try:
            codec = format_of(message)
            picture = self._decoder.decode(codec, bytes(message.data), stamp)
        except KeyFrameMissingError as error:
            self.awaited = f"waiting for a key frame of the video: {error}"
            self._none(owner, error)
        except SegRosError as error:
            self._none(owner, error)
        else:
            self.awaited = ""
            self._picture(owner, VideoPicture(_header(message), codec, picture))

    def _unexpected(self, item: tuple[int, _T, Any], error: BaseException) -> None:
        self._decoder.interrupt()
        self._failed(item[1], error)


def _header(message: Any) -> Any:
    if hasattr(message, "header"):
        return message.header
    return ros_messages().header(stamp_ns(message.timestamp), message.frame_id)
