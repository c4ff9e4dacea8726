"""Where a frame was taken from: calibration, mounting and pose, and why there is no grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.messages import stamp_ns
from seg_ros.drive.vehicle import Vehicle
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.camera_file import load_camera
from seg_ros.ground.world_grid import Pose
from seg_ros.results import topics
from seg_ros.results.parameters import mounting
from seg_ros.results.topics import Topic
from seg_ros.ros.messages import QUIET
from seg_ros.ros.settings import Settings
from seg_ros.ros.transforms import Transforms
from seg_ros.support.statistics import FrameStatistics


class Viewpoint:
    """Answers for a frame's stamp, from the camera file or what has been heard.

    Args:
        node: to listen to TF with, where the parameters ask for it.
        settings: of the node.
        statistics: where calibrations that are no use are counted.

    Raises:
        SegRosError: the camera file cannot be read, or TF is asked for and not installed.

    """

    def __init__(self, node: Any, settings: Settings, statistics: FrameStatistics) -> None:
        self._logger = node.get_logger()
        self._settings = settings
        self._statistics = statistics
        self._info_topic: str = node.resolve_topic_name(topics.CAMERA_INFO.name)
        self._infos: dict[Topic, bytes] = {}  # per subscription, what the other has not had yet
        self._info_stamp = 0  # of the newest calibration, nanoseconds
        self._info_problem = ""  # why the last calibration is no use
        self.grid_problem = ""
        """Why the last frame has no grid, or nothing."""
        self._file = settings.values["camera_file"]
        by_tf = settings.values["mounting_source"] == "tf"
        self._transforms = Transforms(node) if by_tf else None
        self._vehicle = Vehicle(settings.values, self._transforms, self._motion_refused)
        self.camera: CameraModel | None = load_camera(self._file) if self._file else None
        """As it was heard of last, for the size of its calibration."""

    @property
    def problem(self) -> str:
        """Why there is no grid, or nothing."""
        return self._info_problem or self.grid_problem

    def subscriptions(self) -> dict[Topic, Any]:
        """Topics that are needed, and what to call with their messages."""
        infos = {}
        if not self._file:
            infos = {
                topic: partial(self._on_camera_info, topic)
                for topic in (topics.CAMERA_INFO, topics.CAMERA_INFO_SENT_BEFORE)
            }
        heard = self._vehicle.heard()
        return {**infos, **{t: heard[t.name] for t in topics.MOTION if t.name in heard}}

    def mount(self, values: Mapping[str, Any]) -> None:
        """Take the mounting over from the parameters, where they say it."""
        if self.camera is not None and not self._file:
            self.camera = replace(self.camera, mounting=mounting(values))

    def of(self, frame: NDArray[np.uint8], header: Any) -> tuple[CameraModel | None, Pose | None]:
        """Return what the grid needs at the frame's stamp, or no camera and say why."""
        camera = self.camera
        if camera is None:
            self.no_grid(f"no camera_info on {self._info_topic}; publish it or set camera_file")
            return None, None
        try:
            fitted = camera.fitted(frame.shape[1], frame.shape[0])
            stamp = stamp_ns(header.stamp)
            fitted = self._vehicle.camera_at(fitted, header.frame_id, stamp)
            pose = self._vehicle.pose_at(stamp)
        except SegRosError as error:
            self.no_grid(str(error))
            return None, None
        except Exception as error:  # the grid's alone, whatever it is
            self.no_grid(f"unexpected {type(error).__name__}: {error}")
            return None, None
        self.grid_problem = ""
        return fitted, pose

    def no_grid(self, reason: str) -> None:
        """Say why a frame has no grid."""
        self.grid_problem = f"no grid: {reason}"
        self._logger.error(self.grid_problem, throttle_duration_sec=QUIET)

    def time_jumped(self) -> None:
        """Forget what is of another run."""
        self._vehicle.time_jumped()

    def close(self) -> None:
        """Stop listening to TF."""
        if self._transforms is not None:
            self._transforms.close()

    def _motion_refused(self, reason: str) -> None:
        self._statistics.count("motion_rejected")
        self._logger.warning(f"not used: {reason}", throttle_duration_sec=QUIET)

    def _on_camera_info(self, topic: Topic, message: Any) -> None:
        """Take a calibration; a publisher that is transient local reaches both subscriptions."""
        before = topic is topics.CAMERA_INFO_SENT_BEFORE
        other = topics.CAMERA_INFO if before else topics.CAMERA_INFO_SENT_BEFORE
        content, stamp = _content(message), stamp_ns(message.header.stamp)
        if self._infos.get(other) == content:
            del self._infos[other]
            return
        self._infos[topic] = content
        if before and stamp < self._info_stamp:
            return
        self._info_stamp = stamp
        try:
            camera = CameraModel.from_camera_info(message, mounting(self._settings.values))
        except (SegRosError, ValueError, ArithmeticError) as error:
            self._info_problem = f"{self._info_topic}: {error}"
            self._statistics.count("camera_info_rejected")
            self._logger.error(self._info_problem, throttle_duration_sec=QUIET)
            return
        if self.camera is None and self._settings.mounting_assumed:
            self._logger.warning(
                f"camera mounting is assumed: {camera.mounting.z} m above ground, pitch "
                f"{camera.mounting.pitch} rad; set camera_z, camera_pitch and the other camera_* "
                "parameters before anything drives by the grid"
            )
        self._info_problem = ""
        self.camera = camera


def _content(message: Any) -> bytes:
    """Of a CameraInfo all that counts, to tell one from another."""
    roi = message.roi
    head = (
        stamp_ns(message.header.stamp),
        *(message.width, message.height, message.distortion_model),
        *(message.binning_x, message.binning_y),
        *(roi.x_offset, roi.y_offset, roi.width, roi.height),
    )
    return repr(head).encode() + np.array([*message.k, *message.d], np.float64).tobytes()
