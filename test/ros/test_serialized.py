"""Images in the bytes they travel in, compared with what rclpy makes of the same."""

import struct

import numpy as np
import pytest
from node_messages import image_message, pixels

from seg_ros.errors import SegRosError

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image

from seg_ros.ros.cdr import ImageBuffer, SerializedImage
from seg_ros.ros.messages import ros_messages

FIELDS = ("height", "width", "encoding", "is_bigendian", "step")


@pytest.fixture
def picture():
    return np.random.default_rng(3).integers(0, 256, (6, 10, 3), np.uint8)


@pytest.mark.parametrize("frame_id", ["", "a", "abc", "front_optical", "für"])
@pytest.mark.parametrize("encoding", ["bgr8", "mono8", "bayer_rggb16", ""])
def test_an_image_is_read_in_place(picture, frame_id, encoding):
    message = image_message(picture, 3_000_000_005, encoding)
    message.header.frame_id = frame_id
    message.is_bigendian = 1
    content = np.frombuffer(serialize_message(message), np.uint8)
    read = SerializedImage(content)
    for name in FIELDS:
        assert getattr(read, name) == getattr(message, name)
    assert read.header == message.header
    assert read.data.tobytes() == picture.tobytes()
    assert np.shares_memory(read.data, content)


def test_an_image_of_the_other_byte_order():
    head = struct.pack(">4xiI", -7, 2**32 - 1) + struct.pack(">I", 2) + b"a\0\0\0"
    head += struct.pack(">III", 2, 3, 5) + b"bgr8\0\0\0\0" + struct.pack(">II", 9, 18)
    read = SerializedImage(head + bytes(range(18)))
    assert (read.header.stamp.sec, read.header.stamp.nanosec) == (-7, 2**32 - 1)
    assert (read.frame_id, read.height, read.width, read.step) == ("a", 2, 3, 9)
    assert (read.encoding, read.data.tobytes()) == ("bgr8", bytes(range(18)))


def test_what_is_no_image_is_refused(picture):
    content = serialize_message(image_message(picture))
    with pytest.raises(SegRosError, match="not in plain CDR"):
        SerializedImage(b"\0\3" + content[2:])
    for length in (0, 1, 3, 4, 11, 20, 30, 50):
        with pytest.raises(SegRosError):
            SerializedImage(content[:length])
    with pytest.raises(SegRosError, match="damaged"):
        SerializedImage(content[:12] + struct.pack("=I", 2**31) + content[16:])
    assert SerializedImage(content[:-9]).data.size == picture.size - 9, "decode_image judges it"


@pytest.mark.parametrize("frame_id", ["", "a", "abc", "front_optical", "für", "x" * 2000])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_written_around_its_pixels(picture, frame_id, channels):
    wanted = np.ascontiguousarray(picture if channels == 3 else picture[:, :, 0])
    header = ros_messages().header(5_000_000_007, frame_id)
    buffer = ImageBuffer()
    for _ in range(2):  # the memory is used again
        memory = buffer.pixels(wanted.shape)
        np.copyto(memory, wanted)
        message = deserialize_message(buffer.serialized(header).tobytes(), Image)
        assert message.header == header
        assert np.array_equal(pixels(message), wanted)
        assert buffer.pixels(wanted.shape) is memory
