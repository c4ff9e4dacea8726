"""Arrays to ROS messages, for whichever library provides the message classes.

The same builders serve rclpy in the node and rosbags when a file is written without ROS: both make
messages from keyword arguments and differ only in what a sequence field takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from seg_ros.ground.camera import CameraModel
from seg_ros.ground.grid_spec import FirstContacts, GridSpec
from seg_ros.ground.mounting import quaternion_of_rotation
from seg_ros.labels import LabelSet

NANOSECONDS = 1_000_000_000


def stamp_ns(stamp: Any) -> int:
    """Nanoseconds of a builtin_interfaces/Time."""
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


def camera_stamp_ns(message: Any) -> int:
    """Stamp of a camera's message, nanoseconds; Foxglove's have no header."""
    return stamp_ns(message.header.stamp if hasattr(message, "header") else message.timestamp)


def camera_frame_id(message: Any) -> str:
    """Frame of a camera's message."""
    return str((message.header if hasattr(message, "header") else message).frame_id)


@dataclass(frozen=True)
class MessageLibrary:
    """Builds messages of one library.

    Args:
        message_type: gives the class of a name such as ``sensor_msgs/msg/Image``.
        sequence: turns a flat array into what the library's sequence fields take.

    """

    message_type: Callable[[str], Any]
    sequence: Callable[[NDArray[Any]], Any]

    def header(self, stamp: int, frame_id: str) -> Any:
        """std_msgs/Header with a stamp in nanoseconds."""
        sec, nanosec = divmod(stamp, NANOSECONDS)
        time = self.message_type("builtin_interfaces/msg/Time")(sec=sec, nanosec=nanosec)
        return self.message_type("std_msgs/msg/Header")(stamp=time, frame_id=frame_id)

    def image(self, header: Any, pixels: NDArray[np.uint8]) -> Any:
        """sensor_msgs/Image: mono8 from (H, W) uint8, bgr8 from (H, W, 3) uint8; no padding."""
        height, width = pixels.shape[:2]
        return self.message_type("sensor_msgs/msg/Image")(
            header=header,
            height=height,
            width=width,
            encoding="mono8" if pixels.ndim == 2 else "bgr8",
            is_bigendian=0,
            step=pixels[0].size,
            data=self.sequence(np.ascontiguousarray(pixels).ravel()),
        )

    def jpeg(self, header: Any, data: bytes) -> Any:
        """sensor_msgs/CompressedImage of JPEG data made from a bgr8 image (image_transport)."""
        return self.message_type("sensor_msgs/msg/CompressedImage")(
            header=header,
            format="bgr8; jpeg compressed bgr8",
            data=self.sequence(np.frombuffer(data, np.uint8)),
        )

    def png(self, header: Any, data: bytes) -> Any:
        """sensor_msgs/CompressedImage of PNG data made from a mono8 image (image_transport)."""
        return self.message_type("sensor_msgs/msg/CompressedImage")(
            header=header,
            format="mono8; png compressed ",
            data=self.sequence(np.frombuffer(data, np.uint8)),
        )

    def camera_info(self, header: Any, camera: CameraModel) -> Any:
        """sensor_msgs/CameraInfo of an unrectified camera: R is identity, P repeats K."""
        k = camera.k
        return self.message_type("sensor_msgs/msg/CameraInfo")(
            header=header,
            height=camera.height,
            width=camera.width,
            distortion_model=camera.distortion_model,
            d=self.sequence(np.array(camera.distortion or (0.0,) * 5, np.float64)),
            k=k.ravel(),
            r=np.eye(3).ravel(),
            p=np.hstack([k, np.zeros((3, 1))]).ravel(),
            binning_x=0,
            binning_y=0,
            roi=self.message_type("sensor_msgs/msg/RegionOfInterest")(
                x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
            ),
        )

    def label_info(self, header: Any, labels: LabelSet) -> Any:
        """vision_msgs/LabelInfo of a label set; of rclpy an ImportError without vision_msgs."""
        entry = self.message_type("vision_msgs/msg/VisionClass")
        return self.message_type("vision_msgs/msg/LabelInfo")(
            header=header,
            class_map=[
                entry(class_id=index, class_name=label.name)
                for index, label in enumerate(labels.classes)
            ],
            threshold=0.0,
        )

    def transform(
        self,
        header: Any,
        child_frame_id: str,
        translation: Sequence[float],
        rotation: NDArray[np.float64],
    ) -> Any:
        """tf2_msgs/TFMessage of one frame: where it is in the header's, metres and (3, 3)."""
        stamped = self.message_type("geometry_msgs/msg/TransformStamped")
        vector = self.message_type("geometry_msgs/msg/Vector3")
        turn = self.message_type("geometry_msgs/msg/Quaternion")
        x, y, z, w = quaternion_of_rotation(rotation)
        transform = self.message_type("geometry_msgs/msg/Transform")(
            translation=vector(**dict(zip("xyz", map(float, translation), strict=True))),
            rotation=turn(x=x, y=y, z=z, w=w),
        )
        return self.message_type("tf2_msgs/msg/TFMessage")(
            transforms=[stamped(header=header, child_frame_id=child_frame_id, transform=transform)]
        )

    def occupancy_grid(self, header: Any, spec: GridSpec, values: NDArray[np.int8]) -> Any:
        """nav_msgs/OccupancyGrid of (rows, columns) int8 values; identity orientation."""
        point = self.message_type("geometry_msgs/msg/Point")
        quaternion = self.message_type("geometry_msgs/msg/Quaternion")
        pose = self.message_type("geometry_msgs/msg/Pose")
        rows, cols = values.shape
        return self.message_type("nav_msgs/msg/OccupancyGrid")(
            header=header,
            info=self.message_type("nav_msgs/msg/MapMetaData")(
                map_load_time=header.stamp,
                resolution=float(spec.resolution),
                width=cols,
                height=rows,
                origin=pose(
                    position=point(x=float(spec.x_min), y=float(spec.y_min), z=0.0),
                    orientation=quaternion(x=0.0, y=0.0, z=0.0, w=1.0),
                ),
            ),
            data=self.sequence(np.ascontiguousarray(values).ravel()),
        )

    def laser_scan(self, header: Any, contacts: FirstContacts) -> Any:
        """sensor_msgs/LaserScan of what is met first; all of it is of one instant."""
        count = len(contacts.ranges)
        return self.message_type("sensor_msgs/msg/LaserScan")(
            header=header,
            angle_min=contacts.angle_min,
            angle_max=contacts.angle_min + (count - 1) * contacts.angle_increment,
            angle_increment=contacts.angle_increment,
            time_increment=0.0,
            scan_time=0.0,
            range_min=0.0,
            range_max=contacts.range_max,
            ranges=self.sequence(contacts.ranges),
            intensities=self.sequence(np.empty(0, np.float32)),
        )


# Of packages that no ROS distribution's core holds. Newer versions of foxglove_msgs append fields.
_STAMPED = "builtin_interfaces/Time timestamp\nstring frame_id\n"
_FRAME_TRANSFORM = (
    "builtin_interfaces/Time timestamp\nstring parent_frame_id\nstring child_frame_id\n"
    "geometry_msgs/Vector3 translation\ngeometry_msgs/Quaternion rotation\n"
)
_DEFINITIONS = {
    "foxglove_msgs/msg/CompressedVideo": f"{_STAMPED}uint8[] data\nstring format\n",
    "foxglove_msgs/msg/CompressedImage": f"{_STAMPED}uint8[] data\nstring format\n",
    "foxglove_msgs/msg/RawImage": (
        f"{_STAMPED}uint32 width\nuint32 height\nstring encoding\nuint32 step\nuint8[] data\n"
    ),
    "foxglove_msgs/msg/CameraCalibration": (
        f"{_STAMPED}uint32 width\nuint32 height\nstring distortion_model\nfloat64[] d\n"
        "float64[9] k\nfloat64[9] r\nfloat64[12] p\n"
    ),
    "foxglove_msgs/msg/FrameTransform": _FRAME_TRANSFORM,
    "foxglove_msgs/msg/FrameTransforms": "foxglove_msgs/FrameTransform[] transforms\n",
    "vision_msgs/msg/VisionClass": "uint16 class_id\nstring class_name\n",
    "vision_msgs/msg/LabelInfo": (
        "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n"
    ),
    "ffmpeg_image_transport_msgs/msg/FFMPEGPacket": (
        "std_msgs/Header header\nint32 width\nint32 height\nstring encoding\nuint64 pts\n"
        "uint8 flags\nbool is_bigendian\nuint8[] data\n"
    ),
}


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """Message definitions of ROS 2 Jazzy and of other cameras' messages, for bags without ROS."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, definition in _DEFINITIONS.items():
        store.register(get_types_from_msg(definition, name))
    return store


@lru_cache(maxsize=1)
def bag_messages() -> MessageLibrary:
    """Messages of rosbags, which :func:`typestore` serialises."""
    return MessageLibrary(lambda name: typestore().types[name], lambda array: array)
