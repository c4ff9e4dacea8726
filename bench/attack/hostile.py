"""Messages that no driver should send, without end and seeded."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from damage import damaged

from seg_ros.drive.images import encode_jpeg
from seg_ros.ground.camera import CameraModel
from seg_ros.ros.messages import message_class, ros_messages

_SIZES = (0, 1, 2, 63, 64, 65, 320, 4097, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
_NUMBERS = (0.0, -0.0, 1.0, -1.0, 1e-9, 1e-300, 1e9, 1e300, float("inf"), -float("inf"),
            float("nan"), 0.5, 3.2, 1e5)  # fmt: skip
_ENCODINGS = ("bgr8", "rgb8", "mono8", "bgra8", "rgba8", "mono16", "16UC1", "32FC1", "8UC3", "8UC2",
              "bayer_rggb8", "bayer_gbrg16", "yuv422", "yuv422_yuy2", "uyvy", "nv12", "nv21",
              "8UC9999999999", "", "bgr8;", "\u202e8rgb", "x" * 5000, "{}%s\n\x1b[2J")  # fmt: skip
_FRAMES = (
    "",
    "front_optical",
    "../../../etc",
    "a\nb",
    "\x1b[31mred",
    "%s%n",
    "y" * 20000,
    "ü\u202e",
)


def _header(dice: random.Random) -> Any:
    """Before the stamps of good frames, so that they are never taken for theirs."""
    header = ros_messages().header(dice.choice((0, 1, 7, 10**9 - 1)), dice.choice(_FRAMES))
    if dice.random() < 0.2:
        header.stamp.sec = dice.choice((-(2**31), -1, 0))
        header.stamp.nanosec = dice.choice((0, 10**9, 2**32 - 1))
    return header


def images(dice: random.Random) -> Iterator[Any]:
    """Yield sensor_msgs/Image whose fields disagree, or agree on something odd."""
    image = message_class("sensor_msgs/msg/Image")
    while True:
        height, width = (dice.choice((1, 2, 3, 65, 180, 320)) for _ in range(2))
        bytes_a_pixel = dice.choice((1, 2, 3, 4, 6))
        message = image(header=_header(dice), height=height, width=width)
        message.encoding = dice.choice(_ENCODINGS)
        message.step = width * bytes_a_pixel + dice.choice((0, 0, 0, 1, 13))
        message.is_bigendian = dice.choice((0, 0, 0, 1, 255))
        length = message.step * height
        for _ in range(dice.choice((0, 1, 2))):
            change = dice.randrange(4)
            if change == 0:
                message.height = dice.choice(_SIZES)
            elif change == 1:
                message.width = dice.choice(_SIZES)
            elif change == 2:
                message.step = dice.choice(_SIZES)
            else:
                length = max(0, dice.choice((0, 1, length - 1, length + 1, length // 2)))
        data = type(message.data)("B")
        data.frombytes(dice.randbytes(min(length, 64)) * (length // 64 + 1))
        message.data = data[:length]
        yield message


def _png(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """Return a small PNG whose header promises a picture of any size."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(100))),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def compressed_images(dice: random.Random) -> Iterator[Any]:
    """Yield sensor_msgs/CompressedImage: damaged, of other formats, or promising too much."""
    compressed = message_class("sensor_msgs/msg/CompressedImage")
    rng = np.random.default_rng(2)
    picture = cv2.resize(rng.integers(0, 255, (9, 16, 3), np.uint8), (160, 90))
    pictures = [encode_jpeg(picture, 90)]
    pictures += [cv2.imencode(e, picture)[1].tobytes() for e in (".png", ".bmp", ".webp", ".tiff")]
    deep = picture.astype(np.uint16) * 257
    pictures += [cv2.imencode(".png", p)[1].tobytes() for p in (deep, picture[:, :, 0])]
    formats = ("", "jpeg", "png", "bgr8; jpeg compressed bgr8", "rgb8; png compressed ", "h264",
               "16UC1; compressedDepth", "bayer_rggb8; jpeg compressed bgr8",
               "\n;;;", "z" * 9000)  # fmt: skip
    while True:
        kind = dice.randrange(10)
        if kind < 6:
            data = damaged(dice.choice(pictures), dice)
        elif kind < 8:
            data = _png(dice.choice(_SIZES), dice.choice(_SIZES), dice.choice((8, 16, 1, 3)),
                        dice.choice((0, 2, 3, 6, 7)))  # fmt: skip
        elif kind == 8:
            jpeg = bytearray(pictures[0])
            at = jpeg.index(b"\xff\xc0") + 5
            jpeg[at : at + 4] = struct.pack(
                ">HH", dice.choice(_SIZES) % 65536, dice.choice(_SIZES) % 65536
            )
            data = bytes(jpeg)
        else:
            data = dice.choice((b"", b"\0", b"\xff\xd8\xff", dice.randbytes(999), b"GIF89a" * 9))
        message = compressed(header=_header(dice), format=dice.choice(formats))
        message.data = type(message.data)("B", data)
        yield message


def calibrations(dice: random.Random, camera: CameraModel) -> Iterator[Any]:
    """Yield sensor_msgs/CameraInfo with a value or several that no camera has."""
    models = ("", "plumb_bob", "rational_polynomial", "equidistant", "fisheye", "w" * 999)
    number = _NUMBERS
    while True:
        message = ros_messages().camera_info(_header(dice), camera)
        for _ in range(dice.choice((1, 1, 2, 4))):
            change = dice.randrange(7)
            if change == 0:
                message.width = dice.choice(_SIZES)
            elif change == 1:
                message.height = dice.choice(_SIZES)
            elif change == 2:
                k = np.array(message.k)
                k[dice.choice((0, 2, 4, 5, 8))] = dice.choice(number) * dice.choice((1, 250.0))
                message.k = k
            elif change == 3:
                message.distortion_model = dice.choice(models)
            elif change == 4:
                count = dice.choice((0, 1, 4, 5, 8, 12, 14, 300))
                scale = dice.choice((1e-3, 0.5, 1.0))
                message.d = [dice.choice(number) * scale for _ in range(count)]
            elif change == 5:
                message.binning_x, message.binning_y = dice.choice(_SIZES), dice.choice(_SIZES)
            else:
                roi = message.roi
                roi.x_offset, roi.y_offset = dice.choice(_SIZES), dice.choice(_SIZES)
                roi.width, roi.height = dice.choice(_SIZES), dice.choice(_SIZES)
        yield message


def transforms(dice: random.Random) -> Iterator[tuple[list[float], list[float]]]:
    """Yield (translation in metres, quaternion x, y, z, w) of no camera, or nearly none."""
    usual = ([1.5, 0.0, 1.6], [-0.5, 0.5, -0.5, 0.5])
    while True:
        translation, rotation = (list(values) for values in usual)
        for _ in range(dice.choice((1, 1, 2, 7))):
            values = dice.choice((translation, rotation))
            values[dice.randrange(len(values))] = dice.choice(_NUMBERS)
        yield translation, rotation


def motions(dice: random.Random) -> Iterator[tuple[Any, Any]]:
    """Yield (topic, nav_msgs/Odometry or sensor_msgs/Imu) of no vehicle."""
    from seg_ros.results import topics

    odometry, imu = (message_class(t.message_type) for t in (topics.ODOMETRY, topics.IMU))

    def quaternion(q: Any) -> None:
        q.x, q.y, q.z, q.w = (dice.choice(_NUMBERS) for _ in range(4))

    while True:
        if dice.random() < 0.5:
            message = odometry(header=_header(dice), child_frame_id=dice.choice(_FRAMES))
            message.header.frame_id = dice.choice(("odom", "odom", "map", ""))
            p = message.pose.pose.position
            p.x, p.y, p.z = (dice.choice(_NUMBERS) for _ in range(3))
            quaternion(message.pose.pose.orientation)
            yield topics.ODOMETRY, message
        else:
            message = imu(header=_header(dice))
            quaternion(message.orientation)
            for vector in (message.angular_velocity, message.linear_acceleration):
                vector.x, vector.y, vector.z = (dice.choice(_NUMBERS) for _ in range(3))
            yield topics.IMU, message
