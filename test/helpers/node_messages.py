"""Messages that tests send to a node, and what comes back of them."""

from __future__ import annotations

import math

import numpy as np

from seg_ros.ground.mounting import POSE_NAMES
from seg_ros.labels import load_label_set
from seg_ros.ros.messages import message_class, ros_messages

LABELS = load_label_set("camvid")


def mounting_parameters(camera):
    """The node's parameters that put a camera where it is."""
    return {f"camera_{name}": float(getattr(camera.mounting, name)) for name in POSE_NAMES}


def pixels(message):
    channels = {"mono8": 1, "bgr8": 3}[message.encoding]
    assert message.step == message.width * channels
    assert len(message.data) == message.step * message.height
    image = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, channels)
    return image[:, :, 0] if channels == 1 else image


def image_message(image, stamp=1_000_000_007, encoding="bgr8"):
    message = ros_messages().image(ros_messages().header(stamp, "front_optical"), image)
    message.encoding = encoding
    return message


def turned(angle, axis):
    half = {axis: math.sin(angle / 2), "w": math.cos(angle / 2)}
    return message_class("geometry_msgs/msg/Quaternion")(**half)


def imu(stamp, pitch):
    return message_class("sensor_msgs/msg/Imu")(
        header=ros_messages().header(stamp, "base_link"), orientation=turned(pitch, "y")
    )


def odometry(stamp, pose, frame="odom"):
    message = message_class("nav_msgs/msg/Odometry")(
        header=ros_messages().header(stamp, frame), child_frame_id="base_link"
    )
    message.pose.pose.position.x, message.pose.pose.position.y = pose.x, pose.y
    message.pose.pose.orientation = turned(pose.yaw, "z")
    return message


def trigger(client, service):
    service_type = message_class(service.service_type)
    name = service.name.replace("~", "/segmentation_node")
    return client.call(service_type, name, service_type.Request())
