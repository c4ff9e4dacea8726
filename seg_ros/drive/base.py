"""What a drive is: frames in order, with their stamps, and what was recorded beside them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Qos

from seg_ros.drive.messages import NANOSECONDS, typestore
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
COMPRESSED_VIDEO = "foxglove_msgs/msg/CompressedVideo"
FFMPEG_PACKET = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"

CLOCKLESS_START = NANOSECONDS
"""Videos and folders have no clock: their first frame is at 1 s, as ROS reads 0 as "not set"."""


def refuse_rate(source: str, fps: float) -> None:
    """Refuse a rate for a drive that has times of its own.

    Raises:
        SegRosError: a rate is given.

    """
    if fps:
        raise SegRosError(
            f"{source} has times of its own; --fps is for pictures and raw H.264 or H.265 streams"
        )


@dataclass(frozen=True)
class RecordedTopic:
    """A topic of a bag."""

    name: str
    message_type: str
    """The ROS 2 name of what its messages are read as, such as ``sensor_msgs/msg/Image``."""
    qos: tuple[Qos, ...] = ()
    """QoS profiles its publishers offered, as recorded; none where the bag does not say."""
    count: int | None = None
    """Messages in the bag, None when only reading to the end tells."""


@dataclass(frozen=True)
class RawMessage:
    """A message as it was recorded."""

    topic: RecordedTopic
    log_ns: int
    """When it was recorded, nanoseconds."""
    data: bytes
    """CDR with its four bytes of encapsulation header; what was recorded otherwise, converted."""

    def deserialize(self) -> Any:
        """Return it as a message of rosbags' own types.

        Raises:
            SegRosError: it is damaged.

        """
        try:
            return typestore().deserialize_cdr(self.data, self.topic.message_type)
        except Exception as error:  # rosbags lets those of numpy and struct through
            reason = " ".join(str(error).split()) or type(error).__name__
            raise SegRosError(f"its message is damaged: {reason}") from error


@dataclass(frozen=True)
class DriveFrame:
    """One frame of a drive."""

    index: int
    stamp_ns: int
    """Header stamp, nanoseconds."""
    frame_id: str
    decode: Callable[[], NDArray[np.uint8]]
    """Gives (H, W, 3) uint8 BGR; raises SegRosError when the frame is damaged."""
    raw: RawMessage | None = None
    """The frame's message, when it comes from a bag."""
    note: str = ""
    """What was assumed of it, such as its stamp; the same words for the same reason."""
    camera_infos: tuple[RawMessage, ...] = ()
    """Its camera's CameraInfo messages that were logged after this frame and before the next.

    The first frame also has those before it, so copying them with their frames copies each once.
    """


class Drive(ABC):
    """A recorded drive. Iterate over :meth:`frames`, as often as needed."""

    name: str
    """What the user called it, for messages and reports."""
    message_type: str = IMAGE
    """What it is played as: CompressedImage where it is recorded so, else Image."""
    camera: CameraModel | None = None
    """Its camera, when known; from a bag it has the default mounting."""
    camera_problem: str = ""
    """Why :attr:`camera` is None, in a sentence; empty when it is not."""
    rate: Fraction | None = None
    """Frames a second where it has no clock: frame i is at :data:`CLOCKLESS_START` + i / rate."""
    notes: tuple[str, ...] = ()
    """How it is taken where there was a choice that its user may want to know of, a line each."""
    topics: tuple[RecordedTopic, ...] = ()
    """The recorded topics of its messages: the image's, then CameraInfo's where there is one."""

    @property
    @abstractmethod
    def frame_count(self) -> int | None:
        """Number of frames, None when only reading to the end tells."""

    @abstractmethod
    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[DriveFrame]:
        """Yield every frame once, in order.

        Args:
            start: index of the first frame to yield; what comes before is passed over as cheaply
                as the format allows, and the frames are the same as if it had been read.
            stop: index of the frame to stop before, None for the end.

        Raises:
            SegRosError: the source is damaged; every frame before the damage has been yielded.

        """
