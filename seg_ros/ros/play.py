"""Publishes a recorded drive as camera topics in real time, as ``ros2 bag play`` would.

Takes what :func:`seg_ros.drive.open_drive` opens: bags, videos, image folders, the synthetic drive.
A bag's images are published as they were recorded, byte for byte; those of a video as raw images.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import rclpy
from rclpy.exceptions import InvalidNamespaceException
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile
from rclpy.validate_namespace import validate_namespace
from tqdm import tqdm

from seg_ros.drive.base import COMPRESSED_IMAGE, Drive, DriveFrame
from seg_ros.drive.read_ahead import read_ahead
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.results import topics
from seg_ros.ros.messages import message_class, ros_messages
from seg_ros.ros.transport import use_shared_memory
from seg_ros.support.timeline import Pace, say_step

_READ_AHEAD = 32
_SEND_SECONDS = 0.5
_MATCH_SECONDS = 1.0


def play(
    drive: Drive,
    camera: CameraModel | None,
    rate: float,
    loop: bool = False,
    wait: bool = False,
    preload: bool = False,
    namespace: str = "",
) -> None:
    """Publish a drive on ``image`` or ``image/compressed``, and ``camera_info`` where it is known.

    Args:
        drive: the frames; their stamps set the pace, long steps aside, and are published as they
            are.
        camera: the camera, instead of the drive's own.
        rate: times real time.
        loop: start again at the end, stamps jumping back.
        wait: wait for a subscriber before the first frame.
        namespace: of the topics, such as ``/front``.
        preload: hold every frame in memory before the first, for drives slower than real time.

    Raises:
        SegRosError: the rate is not positive or the drive is damaged.

    """
    if not rate > 0:
        raise SegRosError(f"--rate {rate} must be positive")
    try:
        validate_namespace(f"/{namespace.strip('/')}")
    except InvalidNamespaceException as error:
        raise SegRosError(
            f"--namespace {namespace!r}: {str(error).splitlines()[0].rstrip(':')}"
        ) from error
    use_shared_memory()
    rclpy.init()
    node = rclpy.create_node("seg_ros_player", namespace=namespace)
    try:
        _Player(node, drive, camera or drive.camera, rate, preload).run(loop, wait)
    except ExternalShutdownException:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


class _Player:
    def __init__(
        self, node: Any, drive: Drive, camera: CameraModel | None, rate: float, preload: bool
    ) -> None:
        self._node, self._drive, self._camera, self._rate = node, drive, camera, rate
        compressed = drive.message_type == COMPRESSED_IMAGE
        topic = topics.IMAGE_COMPRESSED if compressed else topics.IMAGE
        # Reliable, so that it reaches either kind of subscriber.
        self._images = node.create_publisher(
            message_class(drive.message_type), topic.name, QoSProfile(depth=10)
        )
        self._infos = node.create_publisher(
            message_class(topics.CAMERA_INFO.message_type),
            topics.CAMERA_INFO.name,
            QoSProfile(depth=10),
        )
        self._unread = 0
        self._said: set[str] = set()
        self._loaded: list[DriveFrame] | None = None
        if preload:
            frames = tqdm(drive.frames(), total=drive.frame_count, unit="frame", desc="load")
            self._loaded = list(frames)

    def run(self, loop: bool, wait: bool) -> None:
        for note in self._drive.notes:
            self._say(note)
        while wait and rclpy.ok() and not self._images.get_subscription_count():
            rclpy.spin_once(self._node, timeout_sec=0.1)
        if wait:  # this side knows the subscriber before the subscriber knows this side
            time.sleep(_MATCH_SECONDS)
        self._play_once()
        while loop and rclpy.ok():
            self._play_once()
        # Sending is asynchronous, and to a best effort subscriber nothing confirms it.
        time.sleep(_SEND_SECONDS)
        if self._unread:
            print(f"seg_ros play: {self._unread} frames could not be read", file=sys.stderr)

    def _play_once(self) -> None:
        source = self._drive.frames() if self._loaded is None else iter(self._loaded)
        frames = read_ahead(source, _READ_AHEAD)
        pace = Pace()
        start: float | None = None
        with tqdm(total=self._drive.frame_count, unit="frame", desc="play") as bar:
            for frame in frames:
                start = time.monotonic() if start is None else start
                due = start + pace.shown_ns(frame.stamp_ns) / 1e9 / self._rate
                if pace.cut_ns is not None:
                    step = say_step(pace.cut_ns)
                    self._say(f"stamps step by {step} before frame {frame.index}: not waited for")
                while rclpy.ok() and (left := due - time.monotonic()) > 0:
                    rclpy.spin_once(self._node, timeout_sec=min(left, 0.1))
                if not rclpy.ok():
                    break
                self._publish(frame, bar)
                bar.update()
        frames.close()

    def _say(self, note: str) -> None:
        """Print a line, once."""
        if note not in self._said:
            self._said.add(note)
            tqdm.write(f"seg_ros play: {note}", sys.stderr)

    def _publish(self, frame: DriveFrame, bar: Any) -> None:
        if frame.note:
            self._say(frame.note)
        library = ros_messages()
        header = library.header(frame.stamp_ns, frame.frame_id)
        try:
            recorded = frame.raw
            if recorded and recorded.topic.message_type == self._drive.message_type:
                message: Any = recorded.data
            else:
                message = library.image(header, frame.decode())
        except SegRosError as error:
            self._unread += 1
            bar.write(f"seg_ros play: frame {frame.index}: {error}", sys.stderr)
            return
        if self._camera is not None:
            self._infos.publish(library.camera_info(header, self._camera))
        self._images.publish(message)
