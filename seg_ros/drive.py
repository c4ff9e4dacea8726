"""A recorded drive as frames: a rosbag2, a video file, a folder of images, or the synthetic scene.

Frames come in order, each once. A frame's pixels are decoded when asked for, so a damaged frame is
an error of that frame alone and the drive goes on.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from typing import Any, TypeVar

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection

from seg_ros.camera import CameraModel, Mounting
from seg_ros.errors import SegRosError
from seg_ros.images import decode_compressed, decode_image
from seg_ros.messages import NANOSECONDS, stamp_ns, typestore

SYNTHETIC = "synthetic"
"""The name that stands for the procedural road scene."""

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"

PICTURES = {".png", ".jpg", ".jpeg"}
"""Suffixes of picture files, in lower case."""

_FOLDER_RATE = 10
_CLOCKLESS_START = NANOSECONDS
"""Videos and folders have no clock: their first frame is at 1 s, as ROS reads 0 as "not set"."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class DriveFrame:
    """One frame of a drive."""

    index: int
    stamp_ns: int
    """Header stamp, nanoseconds."""
    frame_id: str
    decode: Callable[[], NDArray[np.uint8]]
    """Gives (H, W, 3) uint8 BGR; raises SegRosError when the frame is damaged."""
    cdr: bytes | None = None
    """The frame's serialised message, of :attr:`Drive.message_type`, when it comes from a bag."""


class Drive(ABC):
    """A recorded drive. Iterate over :meth:`frames`, as often as needed."""

    name: str
    """What the user called it, for messages and reports."""
    message_type: str = IMAGE
    """Type of the messages it holds, or of those it is played as."""
    camera: CameraModel | None = None
    """Its camera, when known; from a bag it has the default mounting."""

    @property
    @abstractmethod
    def frame_count(self) -> int | None:
        """Number of frames, None when only reading to the end tells."""

    @abstractmethod
    def frames(self) -> Iterator[DriveFrame]:
        """Yield every frame once, in order.

        Raises:
            SegRosError: the source is damaged; every frame before the damage has been yielded.

        """


def open_drive(source: str, topic: str = "") -> Drive:
    """Open a drive.

    Args:
        source: ``synthetic``, a rosbag2 folder (sqlite3 or MCAP), a video file or a folder of
            PNG and JPEG images.
        topic: camera topic of a bag; may be empty when the bag has just one.

    Raises:
        SegRosError: nothing there, not a drive, or several camera topics and none chosen.

    """
    if source == SYNTHETIC:
        return _SyntheticDrive()
    path = Path(source).expanduser()
    if not path.exists():
        raise SegRosError(
            f"drive {source} does not exist; give a rosbag2 folder, a video, a folder of images "
            f"or '{SYNTHETIC}'"
        )
    if path.suffix in {".mcap", ".db3"} and (path.parent / "metadata.yaml").is_file():
        path = path.parent
    if (path / "metadata.yaml").is_file():
        return _BagDrive(path, topic)
    if topic:
        raise SegRosError(f"drive {source} is not a bag, so it has no topic {topic!r}")
    if path.is_dir():
        return _FolderDrive(path)
    if path.suffix in {".mcap", ".db3"}:
        raise SegRosError(
            f"{path} has no metadata.yaml beside it; run 'ros2 bag reindex' on its folder"
        )
    return _VideoDrive(path)


class _SyntheticDrive(Drive):
    def __init__(self) -> None:
        from seg_ros.synthetic import SyntheticDrive  # its renderer takes a while to load

        self.name = SYNTHETIC
        self._scene = SyntheticDrive()
        camera = self._scene.camera
        self.camera = CameraModel(
            camera.width,
            camera.height,
            camera.fx,
            camera.fy,
            camera.cx,
            camera.cy,
            mounting=Mounting(camera.x, camera.y, camera.z, camera.roll, camera.pitch, camera.yaw),
        )

    @property
    def frame_count(self) -> int:
        return len(self._scene)

    def frames(self) -> Iterator[DriveFrame]:
        for index in range(len(self._scene)):
            frame = self._scene[index]
            yield DriveFrame(index, frame.stamp_ns, "camera", partial(_same, frame.image))


def _fail(reason: str) -> NDArray[np.uint8]:
    raise SegRosError(reason)


def _same(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image


class _FolderDrive(Drive):
    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._files = sorted(
            (f for f in path.iterdir() if f.suffix.lower() in PICTURES), key=by_number
        )
        if not self._files:
            raise SegRosError(f"{path} has neither a bag's metadata.yaml nor PNG or JPEG images")

    @property
    def frame_count(self) -> int:
        return len(self._files)

    def frames(self) -> Iterator[DriveFrame]:
        for index, file in enumerate(self._files):
            stamp = _CLOCKLESS_START + index * NANOSECONDS // _FOLDER_RATE
            yield DriveFrame(index, stamp, "camera", partial(read_picture, file))


@dataclass
class _Picture:
    """A picture file in the form of a CompressedImage."""

    format: str
    data: bytes


def read_picture(file: Path) -> NDArray[np.uint8]:
    """Read a PNG or JPEG file as (H, W, 3) uint8 BGR.

    Raises:
        SegRosError: it cannot be read, or is damaged; the message names the file.

    """
    try:
        return decode_compressed(_Picture(file.suffix, file.read_bytes()))
    except OSError as error:
        raise SegRosError(f"{file}: {error.strerror or error}") from error
    except SegRosError as error:
        raise SegRosError(f"{file}: {error}") from error


def by_number(file: Path) -> list[tuple[int, str]]:
    """Sort key by which frame_2 comes before frame_10."""
    parts = re.findall(r"\d+|\D+", file.name)
    return [(int(p), "") if p.isdigit() else (-1, p) for p in parts]


class _VideoDrive(Drive):
    def __init__(self, path: Path) -> None:
        self.name = str(path)
        with self._open() as (_, stream):
            self._frame_count = stream.frames or None

    @property
    def frame_count(self) -> int | None:
        return self._frame_count

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        try:
            with av.open(self.name) as container:
                if not container.streams.video:
                    raise SegRosError(f"{self.name} has no video in it")
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                yield container, stream
        except av.FFmpegError as error:
            raise SegRosError(
                f"{self.name} cannot be read as a video ({error.strerror}); it is damaged, or not "
                "a video"
            ) from error

    def frames(self) -> Iterator[DriveFrame]:
        with self._open() as (container, stream):
            rate = Fraction(stream.average_rate or _FOLDER_RATE)
            first: Fraction | None = None
            read = 0
            for index, frame in enumerate(container.decode(stream)):
                has_time = frame.pts is not None and frame.time_base is not None
                time = frame.pts * frame.time_base if has_time else index / rate
                first = time if first is None else first
                stamp = _CLOCKLESS_START + int((time - first) * NANOSECONDS)
                read = index + 1
                yield DriveFrame(index, stamp, "camera", partial(_upright, frame))
            if self._frame_count and read < self._frame_count:
                raise SegRosError(
                    f"video {self.name} ends after {read} of {self._frame_count} frames: it was "
                    "cut off"
                )


def _upright(frame: Any) -> NDArray[np.uint8]:
    """Turn a decoded video frame into BGR, turned as its player would show it."""
    if frame.is_corrupt:
        raise SegRosError("the video is damaged here; the decoder guessed parts of the picture")
    image: NDArray[np.uint8] = frame.to_ndarray(format="bgr24")
    turns = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
    turn = turns.get(int(frame.rotation) % 360)
    return image if turn is None else np.asarray(cv2.rotate(image, turn), np.uint8)


class _BagDrive(Drive):
    def __init__(self, path: Path, topic: str) -> None:
        self.name = str(path)
        self._path = path
        with self._open() as reader:
            connection = self._choose(reader, topic)
            self.topic = connection.topic
            self.message_type = connection.msgtype
            self._frame_count = connection.msgcount
            self.camera = self._read_camera(reader)

    @property
    def frame_count(self) -> int | None:
        return self._frame_count

    @contextmanager
    def _open(self) -> Iterator[AnyReader]:
        try:
            with AnyReader([self._path], default_typestore=typestore()) as reader:
                yield reader
        except SegRosError:
            raise
        except Exception as error:  # the formats underneath rosbags let theirs through
            raise SegRosError(
                f"bag {self.name} is damaged: {_one_line(error)}; 'ros2 bag reindex' may repair it"
            ) from error

    def _choose(self, reader: AnyReader, topic: str) -> Connection:
        cameras = [c for c in reader.connections if c.msgtype in (IMAGE, COMPRESSED_IMAGE)]
        chosen = [c for c in cameras if c.topic == topic] if topic else cameras
        listing = ", ".join(f"{c.topic} ({c.msgtype.split('/')[-1]})" for c in cameras)
        if not cameras:
            topics = ", ".join(sorted({c.topic for c in reader.connections})) or "nothing"
            raise SegRosError(f"bag {self.name} has no camera topic; it has {topics}")
        if not chosen:
            raise SegRosError(f"bag {self.name} has no camera topic {topic}; it has {listing}")
        if len(chosen) > 1:
            raise SegRosError(f"bag {self.name} has several camera topics, choose one: {listing}")
        return chosen[0]

    def _read_camera(self, reader: AnyReader) -> CameraModel | None:
        """Return the camera of the first CameraInfo beside the image topic, if it is calibrated."""
        base = self.topic.removesuffix("/compressed").rpartition("/")[0]
        wanted = [
            c
            for c in reader.connections
            if c.msgtype == CAMERA_INFO and c.topic == f"{base}/camera_info"
        ]
        for connection, _, data in reader.messages(connections=wanted) if wanted else ():
            info: Any = reader.deserialize(data, connection.msgtype)
            try:
                return CameraModel.from_intrinsics(
                    info.width, info.height, info.k, info.distortion_model, info.d
                )
            except SegRosError:
                return None
        return None

    def frames(self) -> Iterator[DriveFrame]:
        with self._open() as reader:
            wanted = [c for c in reader.connections if c.topic == self.topic]
            decode: Any = decode_image if self.message_type == IMAGE else decode_compressed
            for index, (connection, log_ns, data) in enumerate(reader.messages(connections=wanted)):
                try:
                    message: Any = reader.deserialize(data, connection.msgtype)
                except Exception as error:  # rosbags lets those of numpy and struct through
                    reason = f"its message is damaged: {_one_line(error)}"
                    yield DriveFrame(index, log_ns, "", partial(_fail, reason))
                    continue
                yield DriveFrame(
                    index,
                    # A stamp of 0 is one that the driver did not set.
                    stamp_ns(message.header.stamp) or log_ns,
                    message.header.frame_id,
                    partial(decode, message),
                    bytes(data),
                )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def read_ahead(items: Iterator[_T], depth: int) -> Generator[_T, None, None]:
    """Yield the items of an iterator that a thread runs up to ``depth`` items ahead.

    An error of the iterator is raised here, after all the items before it. Closing this generator
    stops the thread.
    """
    queue: Queue[tuple[bool, Any]] = Queue(depth)
    stop = Event()

    def run() -> None:
        try:
            for item in items:
                queue.put((True, item))
                if stop.is_set():
                    return
            queue.put((False, None))
        except BaseException as error:
            queue.put((False, error))

    thread = Thread(target=run, name="read_ahead", daemon=True)
    thread.start()
    try:
        while True:
            more, item = queue.get()
            if not more:
                if item is not None:
                    raise item
                return
            yield item
    finally:
        stop.set()
        while thread.is_alive():
            while not queue.empty():
                queue.get_nowait()
            thread.join(0.01)
