"""TF where ``tf2_ros`` is installed: the camera's mounting at a frame's stamp.

tf2_ros comes with a ROS distribution and not as a wheel, so it is imported only when asked for.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

from seg_ros.drive.messages import NANOSECONDS
from seg_ros.errors import SegRosError
from seg_ros.ground.mounting import Mounting, rotation_of_quaternion

_TIMEOUT = 0.1
"""Seconds to wait for the transform of a stamp; broadcasters are often a little late."""


class Transforms:
    """Listens to TF.

    Args:
        node: to listen with; its executor must spin on another thread than asks.

    Raises:
        SegRosError: tf2_ros is not installed.

    """

    def __init__(self, node: Any) -> None:
        try:
            tf2_ros = import_module("tf2_ros")
            self._duration: Any = import_module("rclpy.duration").Duration
            self._time: Any = import_module("rclpy.time").Time
        except ImportError as error:
            raise SegRosError(
                "mounting_source is tf, but tf2_ros is not installed; install "
                "ros-<distro>-tf2-ros-py or use mounting_source parameters"
            ) from error
        self._error: Any = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def mounting(self, base_frame: str, camera_frame: str, stamp_ns: int) -> Mounting:
        """Look the mounting of an optical frame up at a stamp.

        Raises:
            SegRosError: TF does not know it at that stamp, or the camera is not above the ground.

        """
        try:
            found = self._buffer.lookup_transform(
                base_frame,
                camera_frame,
                self._time(seconds=stamp_ns // NANOSECONDS, nanoseconds=stamp_ns % NANOSECONDS),
                timeout=self._duration(seconds=_TIMEOUT),
            ).transform
        except self._error as error:
            raise SegRosError(
                f"no transform from {camera_frame!r} to {base_frame!r} at the image's stamp: "
                f"{' '.join(str(error).split())}"
            ) from error
        t, q = found.translation, found.rotation
        return Mounting.from_optical([t.x, t.y, t.z], [q.x, q.y, q.z, q.w])

    def fixed(self, frame: str, child: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Where a frame sits in another of the same vehicle: metres, and a quaternion x, y, z, w.

        Does not wait: the executor's own thread may ask.

        Raises:
            SegRosError: TF does not know it, or it is not finite or no rotation.

        """
        try:
            found = self._buffer.lookup_transform(
                frame, child, self._time(), timeout=self._duration(seconds=0.0)
            ).transform
        except self._error as error:
            raise SegRosError(
                f"no transform from {child!r} to {frame!r}: {' '.join(str(error).split())}"
            ) from error
        t, q = found.translation, found.rotation
        offset = (t.x, t.y, t.z)
        if not all(map(math.isfinite, offset)):
            raise SegRosError(f"the transform from {child!r} to {frame!r} is not finite: {offset}")
        rotation = (q.x, q.y, q.z, q.w)
        rotation_of_quaternion(rotation)
        return offset, rotation

    def clear(self) -> None:
        """Forget all but static transforms: after a step back tf2 refuses what is older."""
        self._buffer.clear()

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()
