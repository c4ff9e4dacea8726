"""Where the vehicle and its camera were at a frame's stamp: TF, IMU and odometry.

Live and recorded messages alike: those of rclpy and those of rosbags have the same fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from seg_ros.drive.messages import stamp_ns
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.motion import Attitude, Odometry, product
from seg_ros.ground.mounting import Mounting, rotation_of_quaternion
from seg_ros.ground.world_grid import Pose

ODOMETRY, IMU = "odometry", "imu"
"""What the node calls the topics."""


class Transforms(Protocol):
    """TF, from whatever it is known."""

    def mounting(self, base_frame: str, camera_frame: str, stamp_ns: int) -> Mounting:
        """Look the mounting of an optical frame up at a stamp.

        Raises:
            SegRosError: TF does not know it at that stamp, or the camera is not above the ground.

        """

    def fixed(self, frame: str, child: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Where a frame sits in another of the same vehicle: metres, and a quaternion x, y, z, w.

        Raises:
            SegRosError: TF does not know it, or it is not finite or no rotation.

        """

    def clear(self) -> None:
        """Forget all but static transforms."""


class Vehicle:
    """Answers for a stamp, from what its callbacks have heard. Callbacks and questions may overlap.

    Args:
        values: of the parameters.
        transforms: TF, where ``mounting_source`` is tf.
        on_refused: called with the reason when a message of odometry or IMU is not used.

    """

    def __init__(
        self,
        values: Mapping[str, Any],
        transforms: Transforms | None = None,
        on_refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._on_refused = on_refused
        self._base_frame: str = values["base_frame"]
        self._grid_frame: str = values["grid_frame"]
        self._tolerance: float = values["odometry_tolerance"]
        self._transforms = transforms
        with_imu = values["attitude_source"] == "imu"
        self._attitude = Attitude(values["attitude_slope_time"]) if with_imu else None
        self._odometry = Odometry(self._tolerance) if self._grid_frame != self._base_frame else None
        self._problems: dict[str, str] = {}

    def heard(self) -> dict[str, Callable[[Any], None]]:
        """Return what takes the messages of those of :data:`ODOMETRY` and :data:`IMU` needed."""
        needed: dict[str, Callable[[Any], None]] = {}
        if self._odometry is not None:
            needed[ODOMETRY] = self._on_odometry
        if self._attitude is not None:
            needed[IMU] = self._on_imu
        return needed

    def mounting_at(self, mounting: Mounting, camera_frame: str, stamp: int) -> Mounting:
        """Return where the camera is on the vehicle, that of the camera unless TF is asked.

        Raises:
            SegRosError: TF says nothing of that stamp.

        """
        if self._transforms is None:
            return mounting
        return self._transforms.mounting(self._base_frame, camera_frame, stamp)

    def camera_at(self, camera: CameraModel, camera_frame: str, stamp: int) -> CameraModel:
        """Return the camera mounted as it was over the road at a stamp in nanoseconds.

        Raises:
            SegRosError: TF or the IMU says nothing of that stamp.

        """
        mounting = self.mounting_at(camera.mounting, camera_frame, stamp)
        if self._attitude is not None:
            tilt = self._attitude.at(stamp)
            if tilt is None:
                raise SegRosError(self._why(IMU, "or set attitude_source to none"))
            mounting = mounting.tilted(*tilt)
        return replace(camera, mounting=mounting)

    def pose_at(self, stamp: int) -> Pose | None:
        """Return the vehicle's pose in the grid's frame; None where that is the vehicle's own.

        Raises:
            SegRosError: odometry says nothing of that stamp.

        """
        if self._odometry is None:
            return None
        pose = self._odometry.at(stamp)
        if pose is None:
            raise SegRosError(self._why(ODOMETRY, f"or set grid_frame to {self._base_frame}"))
        return pose

    def time_jumped(self) -> None:
        """Forget the transforms of another run. Odometry and IMU notice it by themselves."""
        if self._transforms is not None:
            self._transforms.clear()

    def _why(self, topic: str, else_do: str) -> str:
        near = self._tolerance if topic == ODOMETRY else 0.2
        return self._problems.get(topic) or (
            f"no {topic} within {near:g} s of the image's stamp; publish it, {else_do}"
        )

    def _on_odometry(self, message: Any) -> None:
        assert self._odometry is not None
        odometry = self._odometry

        def add(turn: Sequence[float]) -> None:
            frame, child = message.header.frame_id, message.child_frame_id
            if frame != self._grid_frame:
                raise SegRosError(
                    f"it is in frame {frame!r}, grid_frame is {self._grid_frame!r}; make them the "
                    "same"
                )
            at, twist = message.pose.pose.position, message.twist.twist
            x, y, moved = at.x, at.y, (twist.linear.x, twist.linear.y, twist.angular.z)
            if child not in ("", self._base_frame):
                x, y, turn = self._of_base((at.x, at.y, at.z), turn, child)
                moved = (0.0, 0.0, 0.0)  # of another point; the poses tell it
            odometry.add(stamp_ns(message.header.stamp), x, y, turn, moved)

        self._add(ODOMETRY, add, message.pose.pose.orientation)

    def _of_base(
        self, position: Sequence[float], turn: Sequence[float], child: str
    ) -> tuple[float, float, Sequence[float]]:
        """Return x, y and orientation of ``base_frame`` from those of another frame on the vehicle.

        Raises:
            SegRosError: TF is not listened to, or does not know where that frame is.

        """
        if self._transforms is None:
            raise SegRosError(
                f"it is of {child!r}, not of base_frame {self._base_frame!r}; publish that one's, "
                "or set mounting_source to tf, which converts it"
            )
        offset, rotation = self._transforms.fixed(child, self._base_frame)
        x, y, _ = np.asarray(position) + rotation_of_quaternion(turn) @ offset
        return float(x), float(y), product(turn, rotation)

    def _on_imu(self, message: Any) -> None:
        assert self._attitude is not None
        attitude = self._attitude

        def add(turn: Sequence[float]) -> None:
            if message.orientation_covariance[0] == -1:
                raise SegRosError(
                    "it has no orientation (orientation_covariance[0] is -1); publish that of a "
                    "filter, or set attitude_source to none"
                )
            frame = message.header.frame_id
            if frame not in ("", self._base_frame):
                _, _, turn = self._of_base((0.0, 0.0, 0.0), turn, frame)
            attitude.add(stamp_ns(message.header.stamp), turn)

        self._add(IMU, add, message.orientation)

    def _add(self, topic: str, add: Callable[[Sequence[float]], None], orientation: Any) -> None:
        try:
            add((orientation.x, orientation.y, orientation.z, orientation.w))
        except SegRosError as error:
            self._problems[topic] = f"{topic}: {error}"
            self._on_refused(self._problems[topic])
        else:
            self._problems.pop(topic, None)
