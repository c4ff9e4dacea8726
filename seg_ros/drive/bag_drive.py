"""The frames of one camera topic of a bag."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from statistics import median_low
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.bag import Bag
from seg_ros.drive.base import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    COMPRESSED_VIDEO,
    FFMPEG_PACKET,
    IMAGE,
    Drive,
    DriveFrame,
    RawMessage,
    RecordedTopic,
)
from seg_ros.drive.compressed_video import VideoDecoder, format_of, is_key_frame
from seg_ros.drive.images import decode_compressed, decode_image
from seg_ros.drive.messages import NANOSECONDS, camera_frame_id, camera_stamp_ns
from seg_ros.drive.video import bgr_of_video
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.support.choices import did_you_mean

_SAMPLE = 5
"""Messages that say whether a topic has stamps."""

_VIDEOS = (COMPRESSED_VIDEO, FFMPEG_PACKET)

CAMERA_TYPES = (IMAGE, COMPRESSED_IMAGE, *_VIDEOS)

_INFO_NAMES = ("camera_info", "calibration", "camera_calibration")
"""image_transport's name of a CameraInfo topic, and those of Foxglove's recorders."""


def camera_topics(bag: Bag) -> list[RecordedTopic]:
    """Return the topics of a bag that a camera's frames are on."""
    return [
        t for t in bag.topics
        # Depth, in a form of its own, which image_transport calls a CompressedImage.
        if t.message_type in CAMERA_TYPES and not t.name.endswith("/compressedDepth")
    ]  # fmt: skip


class BagDrive(Drive):
    """The frames of a bag's camera topic, in the order of their log times.

    Args:
        path: a rosbag2 folder or one of its files, an MCAP file, a ROS 1 bag.
        topic: the camera topic; may be empty when there is just one.

    """

    def __init__(self, path: Path, topic: str) -> None:
        self.name = str(path)
        self.bag = Bag(path)
        """All that was recorded."""
        self._image = self._choose(topic)
        info = self._info_topic()
        self.topics = (self._image, info) if info else (self._image,)
        if self._image.message_type == COMPRESSED_IMAGE:
            self.message_type = COMPRESSED_IMAGE
        if info:
            self.camera, self.camera_problem = self._read_camera(info)
        self._clock = self._choose_clock()
        self.notes = (self._clock.note,) if self._clock.note else ()

    @property
    def frame_count(self) -> int | None:
        """See :class:`Drive`."""
        return self._image.count

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[DriveFrame]:
        """See :class:`Drive`."""
        if stop is not None and stop <= start:
            return
        build: Callable[[_Recorded], DriveFrame] = partial(_frame, self._clock)
        first = start
        if self._image.message_type in _VIDEOS:
            first = self._key_frame_before(start) if start else 0
            build = _VideoFrames(self._clock).frame
        for recorded in self._recorded(first):
            if recorded.index >= first:
                frame = build(recorded)
                if recorded.index >= start:
                    yield frame
            if recorded.index + 1 == stop:
                return

    def _recorded(self, start: int) -> Iterator[_Recorded]:
        """Yield the frames' messages, from ``start`` or earlier on, with their CameraInfo.

        A frame is held back until the next is there, so that it has its CameraInfo with it.
        """
        log_ns, index = self.bag.seek(self._image.name, start) if start else (None, 0)
        held: _Recorded | None = None
        infos: list[RawMessage] = []
        damage: SegRosError | None = None
        try:
            for message in self.bag.messages({t.name for t in self.topics}, log_ns):
                if message.topic.name != self._image.name:
                    infos.append(message)
                    continue
                if held:
                    yield held
                    index += 1
                if index:  # those so far are of the frame before; only the first has earlier ones
                    infos = []
                held = _Recorded(index, message, infos)
        except SegRosError as error:
            damage = error
        if held:
            yield held
        if damage:
            raise damage

    def _key_frame_before(self, start: int) -> int:
        """Return the index of the last key frame up to a frame; 0 when there is none."""
        key = 0
        images = self.bag.messages({self._image.name})
        for index, message in enumerate(images):
            if index > start:
                break
            try:
                video = message.deserialize()
                if is_key_frame(format_of(video), video.data.tobytes()):
                    key = index
            except SegRosError:
                continue
        return key

    def _choose(self, topic: str) -> RecordedTopic:
        cameras = camera_topics(self.bag)
        chosen = [c for c in cameras if c.name == topic] if topic else cameras
        if len(chosen) > 1:
            chosen = [c for c in chosen if c.count != 0] or chosen
        if len(chosen) == 1:
            return chosen[0]
        if not cameras:
            if self.bag.damage:
                raise self.bag.damage
            found = ", ".join(f"{t.name} ({t.message_type})" for t in self.bag.topics)
            raise SegRosError(f"bag {self.name} has no camera topic; it has {found or 'nothing'}")
        listing = "; ".join(map(self._describe, chosen or cameras))
        if not chosen:
            near = did_you_mean(topic, [camera.name for camera in cameras])
            raise SegRosError(
                f"bag {self.name} has no camera topic {topic}; it has {listing}{near}"
            )
        raise SegRosError(f"bag {self.name} has several camera topics, choose one: {listing}")

    def _describe(self, topic: RecordedTopic) -> str:
        """Return name, type, number of messages and size of the first picture of a topic."""
        facts = [topic.message_type.split("/")[-1]]
        if topic.count is not None:
            facts.append(f"{topic.count} message{'s' if topic.count != 1 else ''}")
        try:
            message = next(self.bag.messages({topic.name}), None)
            if message is not None:
                clock = _Clock(topic.name, 0)
                build: Callable[[_Recorded], DriveFrame] = partial(_frame, clock)
                if topic.message_type in _VIDEOS:
                    build = _VideoFrames(clock).frame
                height, width = build(_Recorded(0, message, [])).decode().shape[:2]
                facts.append(f"{width}x{height}")
        except SegRosError:
            pass  # a list of choices is no place for what is wrong with one of them
        return f"{topic.name} ({', '.join(facts)})"

    def _choose_clock(self) -> _Clock:
        """Decide by the first messages on one clock for all: that of the stamps, or the log's."""
        ahead = []
        try:
            for message in islice(self.bag.messages({self._image.name}), _SAMPLE):
                try:
                    stamp = camera_stamp_ns(message.deserialize())
                except SegRosError:
                    continue
                ahead.append(stamp - message.log_ns if stamp > 0 else None)
        except SegRosError:
            pass  # said where the frames are read
        good = [difference for difference in ahead if difference is not None]
        if good or not ahead:
            return _Clock(self._image.name, int(median_low(good)) if good else 0)
        return _Clock(self._image.name, None)

    def _info_topic(self) -> RecordedTopic | None:
        """Find the CameraInfo that belongs to the image topic; say why there is none.

        image_transport puts it beside the raw image: ``/cam/image_raw/compressed`` and
        ``/cam/image_raw`` both have ``/cam/camera_info``.
        """
        infos = {t.name: t for t in self.bag.topics if t.message_type == CAMERA_INFO}
        parents = list(PurePosixPath(self._image.name).parents)
        beside = parents[:1] if self._image.message_type == IMAGE else parents[:2]
        wanted = [str(parent / _INFO_NAMES[0]) for parent in beside]
        for name in (str(parent / name) for parent in beside for name in _INFO_NAMES):
            if name in infos:
                return infos[name]
        others = f"; it has CameraInfo on {', '.join(sorted(infos))}" if infos else ""
        self.camera_problem = (
            f"bag {self.name} has no {' or '.join(wanted)} for {self._image.name}{others}; "
            "--camera names a camera YAML"
        )
        return None

    def _read_camera(self, topic: RecordedTopic) -> tuple[CameraModel | None, str]:
        """Return the camera of the first CameraInfo, or why there is none."""
        try:
            message = next(self.bag.messages({topic.name}), None)
            if message is None:
                raise SegRosError("it has no message")
            camera = CameraModel.from_camera_info(message.deserialize())
        except SegRosError as error:
            return None, (
                f"CameraInfo on {topic.name} is not used: {error}; --camera names a camera YAML"
            )
        return camera, ""


@dataclass(frozen=True)
class _Clock:
    """Which clock a drive's stamps are of."""

    topic: str
    ahead_ns: int | None
    """How far its stamps are ahead of the log times; None where it has none: log times count."""

    @property
    def note(self) -> str:
        """What is to be said of it."""
        if self.ahead_ns is not None:
            return ""
        return f"{self.topic} has no stamps: the times when it was recorded stand for them"

    def of(self, stamp: int, log_ns: int) -> tuple[int, str]:
        """Return the time of a message, and what was assumed.

        Args:
            stamp: its header's, nanoseconds; 0 is one that the driver did not set.
            log_ns: when it was recorded.

        """
        if self.ahead_ns is None:
            return log_ns, ""
        if stamp > 0:
            return stamp, ""
        return log_ns + self.ahead_ns, (
            f"{self.topic} has messages without a stamp: each has the time when it was recorded, "
            f"moved by {self.ahead_ns / NANOSECONDS:+.6f} s, as far as the others' stamps are"
        )


@dataclass(frozen=True)
class _Recorded:
    """A frame as it was recorded."""

    index: int
    message: RawMessage
    camera_infos: list[RawMessage] = field(default_factory=list)


def _frame(clock: _Clock, recorded: _Recorded) -> DriveFrame:
    """Build the frame of an Image or CompressedImage."""
    raw, infos = recorded.message, tuple(recorded.camera_infos)
    try:
        message = raw.deserialize()
    except SegRosError as error:
        fail = partial(_fail, str(error))
        stamp, note = clock.of(0, raw.log_ns)
        return DriveFrame(recorded.index, stamp, "", fail, camera_infos=infos)
    stamp, note = clock.of(camera_stamp_ns(message), raw.log_ns)
    decode: Any = decode_image if raw.topic.message_type == IMAGE else decode_compressed
    return DriveFrame(
        recorded.index,
        stamp,
        message.header.frame_id,
        partial(decode, message),
        raw,
        note,
        infos,
    )


class _VideoFrames:
    """Builds the frames of a CompressedVideo or FFMPEGPacket topic, given in their order.

    Each is decoded as it comes, as the next may refer to it; it is turned into BGR when asked for.
    """

    def __init__(self, clock: _Clock) -> None:
        self._clock = clock
        self._decoder = VideoDecoder()

    def frame(self, recorded: _Recorded) -> DriveFrame:
        raw, infos = recorded.message, tuple(recorded.camera_infos)
        (stamp, _), frame_id, note = self._clock.of(0, raw.log_ns), "", ""
        decode: Callable[[], NDArray[np.uint8]]
        try:
            message = raw.deserialize()
            stamp, note = self._clock.of(camera_stamp_ns(message), raw.log_ns)
            frame_id = camera_frame_id(message)
            picture = self._decoder.decode(format_of(message), message.data.tobytes(), stamp)
            decode = partial(bgr_of_video, picture)
        except SegRosError as error:
            decode = partial(_fail, str(error))
        return DriveFrame(recorded.index, stamp, frame_id, decode, raw, note, infos)


def _fail(reason: str) -> NDArray[np.uint8]:
    raise SegRosError(reason)
