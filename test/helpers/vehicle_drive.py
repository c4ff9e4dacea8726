"""Recorded drives of a camera on a vehicle that moves: odometry, IMU and TF beside the frames."""

from __future__ import annotations

import math

import numpy as np
from recordings import write_mcap

from seg_ros.drive import open_drive
from seg_ros.drive.messages import bag_messages, typestore
from seg_ros.replay.run_files import SAVE_EVERY
from seg_ros.replay.settings import ReplaySettings

START = 1_700_000_000_000_000_000
IMAGE, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
ODOMETRY, IMU, TF = "nav_msgs/msg/Odometry", "sensor_msgs/msg/Imu", "tf2_msgs/msg/TFMessage"


def quaternion(roll=0.0, pitch=0.0, yaw=0.0):
    """Of rotations about x, y, z; one of them."""
    axis = {"x": roll, "y": pitch, "z": yaw}
    half = sum(axis.values()) / 2
    values = {name: math.sin(half) if angle else 0.0 for name, angle in axis.items()}
    return typestore().types["geometry_msgs/msg/Quaternion"](**values, w=math.cos(half))


def make(kind, **fields):
    return typestore().types[kind](**fields)


def vector(x=0.0, y=0.0, z=0.0, kind="Vector3"):
    return make(f"geometry_msgs/msg/{kind}", x=x, y=y, z=z)


def odometry(stamp, x, yaw, frame="odom", child="base_link"):
    twist = make("geometry_msgs/msg/Twist", linear=vector(4.0), angular=vector())
    pose = make(
        "geometry_msgs/msg/Pose",
        position=vector(x, 2.0, kind="Point"),
        orientation=quaternion(yaw=yaw),
    )
    zeros = np.zeros(36)
    return make(
        ODOMETRY,
        header=bag_messages().header(stamp, frame),
        child_frame_id=child,
        pose=make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=zeros),
        twist=make("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=zeros),
    )


def imu(stamp, pitch, known=True):
    covariance = np.zeros(9)
    covariance[0] = 0.0 if known else -1.0
    return make(
        IMU,
        header=bag_messages().header(stamp, "base_link"),
        orientation=quaternion(pitch=pitch),
        orientation_covariance=covariance,
        angular_velocity=vector(),
        angular_velocity_covariance=np.zeros(9),
        linear_acceleration=vector(),
        linear_acceleration_covariance=np.zeros(9),
    )


def transform(stamp, parent, child, xyz, turn):
    return make(
        TF,
        transforms=[
            make(
                "geometry_msgs/msg/TransformStamped",
                header=bag_messages().header(stamp, parent),
                child_frame_id=child,
                transform=make(
                    "geometry_msgs/msg/Transform", translation=vector(*xyz), rotation=turn
                ),
            )
        ],
    )


def write(path, messages):
    """An MCAP of (log time in ns, topic, type, message)."""
    written = [
        (topic, kind, log_ns, bytes(typestore().serialize_cdr(message, kind)))
        for log_ns, topic, kind, message in sorted(messages, key=lambda m: m[0])
    ]
    return write_mcap(path, written)


def camera_messages(images, camera, frame="front_optical"):
    library = bag_messages()
    for index, image in enumerate(images):
        stamp = START + index * 100_000_000
        header = library.header(stamp, frame)
        yield stamp - 1, "/cam/camera_info", INFO, library.camera_info(header, camera)
        yield stamp, "/cam/image_raw", IMAGE, library.image(header, image)


def motion_messages(count):
    """Odometry and IMU at 50 Hz; with duplicates, late ones, one that jumps and one of nothing."""
    for i in range(5 * count + 2):
        stamp = START - 40_000_000 + i * 20_000_000
        log = stamp + 3_000_000
        yield log, "/odom", ODOMETRY, odometry(stamp, 0.08 * i, 0.3 + 0.002 * i)
        yield log + 1, "/imu/data", IMU, imu(stamp, 0.01 * math.sin(i / 3))
        if i == 7:
            yield log + 2, "/odom", ODOMETRY, odometry(stamp, 9000.0, 0.0)
            yield log + 3, "/odom", ODOMETRY, odometry(stamp - 50_000_000, 0.08 * 4.5, 0.309)
            yield log + 4, "/odom", ODOMETRY, odometry(stamp, 0.1, 0.0)
            yield log + 5, "/imu/data", IMU, imu(stamp + 1, 0.0, known=False)


LEVEL = {"x": -0.5, "y": 0.5, "z": -0.5, "w": 0.5}
"""Rotation of an optical frame that looks ahead."""

FOLLOWED = ReplaySettings(
    {
        "grid_frame": "odom",
        "grid_fusion": True,
        "attitude_source": "imu",
        "camera_z": 1.5,
        "camera_pitch": 0.1,
        "grid_resolution": 0.5,
    }
)


def long_drive(path, scene, count=2 * SAVE_EVERY + 9):
    images = [scene[i].image[::2, ::2] for i in range(count)]
    camera = scene.camera.scaled(320, 180)
    return open_drive(str(write(path, [*camera_messages(images, camera), *motion_messages(count)])))
