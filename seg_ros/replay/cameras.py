"""The camera of each frame of a recorded drive, as the node would have had it live."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from seg_ros.drive.base import Drive, DriveFrame, RawMessage
from seg_ros.drive.messages import NANOSECONDS
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.mounting import Mounting

_WAITING = 64
"""CameraInfo messages that may wait for their frame; with more, their clock is not the frames'."""

_LOOK_BACK = (1, 16, 256)
"""Frames before the first one wanted that are searched for its CameraInfo, before all of them."""

_BODY = 12
"""Bytes of a CameraInfo up to the end of its stamp: encapsulation header, seconds, nanoseconds."""


class FrameCameras:
    """Follows the CameraInfo of a drive: a frame has the last usable one that is not after it.

    Args:
        drive: with its CameraInfo recorded, or not; then every frame has the drive's own camera.
        camera: the camera of every frame, where it is given instead.
        mounting: of the drive's own camera, where it is given.

    """

    def __init__(
        self,
        drive: Drive,
        camera: CameraModel | None = None,
        mounting: Mounting | None = None,
    ) -> None:
        self._drive = drive
        self._mounting = mounting
        self._own = drive.camera and self._mounted(drive.camera)
        is_given = camera is not None and camera is not drive.camera
        self._camera = camera if is_given else self._own
        self._topic = drive.topics[1].name if len(drive.topics) > 1 else ""
        self._given = not self._topic or drive.topics[1].count == 1 or is_given
        self._waiting: deque[RawMessage] = deque()
        self._last = b""
        self._problem = ""

    def _mounted(self, camera: CameraModel) -> CameraModel:
        return replace(camera, mounting=self._mounting) if self._mounting else camera

    def along(
        self, frames: Iterator[DriveFrame], start: int
    ) -> Iterator[tuple[DriveFrame, CameraModel | None, str]]:
        """Yield frames with their cameras, and why a CameraInfo that came with one is not used.

        Args:
            frames: those of the drive from ``start`` on.
            start: index of the first; its camera is the same as if the drive had been read so far.

        """
        if not self._given and start:
            self._go_to(start)
        for frame in frames:
            yield frame, *self._of(frame)

    def _of(self, frame: DriveFrame) -> tuple[CameraModel | None, str]:
        if self._given:
            return self._camera, ""
        problem = ""
        self._waiting.extend(frame.camera_infos)
        while self._waiting and (
            len(self._waiting) > _WAITING or _stamp_ns(self._waiting[0]) <= frame.stamp_ns
        ):
            problem = self._take(self._waiting.popleft()) or problem
        return self._camera, problem

    def _take(self, message: RawMessage) -> str:
        """Go over to a CameraInfo, if it is another; return why it is no use, when that is new."""
        if message.data[_BODY:] == self._last:
            return ""
        self._last = message.data[_BODY:]
        try:
            info = message.deserialize()
            self._camera = CameraModel.from_camera_info(info, self._mounting)
        except SegRosError as error:
            problem = f"CameraInfo on {self._topic} is not used: {error}"
            if problem == self._problem or problem in self._drive.camera_problem:
                return ""
            self._problem = problem
            return problem
        return ""

    def _go_to(self, start: int) -> None:
        """Come to the camera that the frame before ``start`` has, from as near as can be."""
        for back in (*_LOOK_BACK, start):
            first = max(0, start - back)
            self._camera, self._last = self._own, b""
            self._waiting.clear()
            before = self._camera
            try:
                for frame in self._drive.frames(first, start):
                    self._of(frame)
            except SegRosError:
                pass  # what is damaged is said where the frames themselves are read
            if self._camera is not before or first == 0:
                return


def _stamp_ns(message: RawMessage) -> int:
    """Header stamp of a CameraInfo, the log time where it is not set."""
    if len(message.data) < _BODY:
        return message.log_ns
    order = "<" if message.data[1] & 1 else ">"
    sec, nanosec = struct.unpack(f"{order}iI", message.data[4:_BODY])
    return sec * NANOSECONDS + nanosec or message.log_ns
