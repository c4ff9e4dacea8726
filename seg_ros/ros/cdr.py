"""sensor_msgs/Image in the bytes it travels in: read where they are, written around its pixels.

The Common Data Representation of the middleware (OMG, DDS-XTypes 1.3, 7.4: plain CDR): four bytes
that say which, then the fields in order, each aligned to its size as counted after those four.
"""

from __future__ import annotations

import struct
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_ros.errors import SegRosError
from seg_ros.ros.messages import message_class

_LITTLE = {b"\x00\x01": "<", b"\x00\x07": "<", b"\x00\x00": ">", b"\x00\x06": ">"}
"""Byte order by the first two bytes: plain CDR and, of the same layout here, plain XCDR2."""

_HEAD = 4
_ROOM = 1024
"""Bytes kept before the pixels for what comes before them; only ``frame_id`` varies in length."""


class SerializedImage:
    """The fields of a sensor_msgs/Image, read from its bytes; its pixels stay where they are.

    Args:
        serialized: the message, (N,) uint8 or bytes.

    Raises:
        SegRosError: they are no such message.

    """

    def __init__(self, serialized: NDArray[np.uint8] | bytes) -> None:
        content = np.frombuffer(serialized, np.uint8)
        order = _LITTLE.get(content[:2].tobytes())
        if order is None:
            raise SegRosError("the message is not in plain CDR; use another RMW implementation")
        reader = _Reader(content, order)
        try:
            self.sec: int = reader.number("i")
            self.nanosec: int = reader.number("I")
            self.frame_id: str = reader.text()
            self.height: int = reader.number("I")
            self.width: int = reader.number("I")
            self.encoding: str = reader.text()
            self.is_bigendian: int = reader.number("B")
            self.step: int = reader.number("I")
            size = reader.number("I")
        except (struct.error, ValueError) as error:
            raise SegRosError(f"the message of {content.size} bytes is damaged: {error}") from error
        self.data = content[reader.at : reader.at + size]
        """(N,) uint8, fewer than the message says where it was cut off."""

    @cached_property
    def header(self) -> Any:
        """std_msgs/Header of rclpy."""
        time = message_class("builtin_interfaces/msg/Time")(sec=self.sec, nanosec=self.nanosec)
        return message_class("std_msgs/msg/Header")(stamp=time, frame_id=self.frame_id)


class _Reader:
    """Reads one field after another; ``at`` is where the next one is."""

    def __init__(self, content: NDArray[np.uint8], order: str) -> None:
        self._content = content.data
        self._order = order
        self.at = _HEAD

    def number(self, kind: str) -> int:
        size = struct.calcsize(f"={kind}")
        self.at += -(self.at - _HEAD) % size
        (value,) = struct.unpack_from(f"{self._order}{kind}", self._content, self.at)
        self.at += size
        return int(value)

    def text(self) -> str:
        length = self.number("I")
        if self.at + length > len(self._content):
            raise ValueError(f"a text of {length} bytes does not fit")
        text = self._content[self.at : self.at + length].tobytes()
        self.at += length
        return text.rstrip(b"\0").decode("utf-8", "replace")


class ImageBuffer:
    """Memory of a sensor_msgs/Image that goes out as it is, frame after frame.

    What comes before the pixels is written backwards from where they begin: they never move.
    """

    def __init__(self) -> None:
        self._memory: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._pixels: NDArray[np.uint8] = np.empty((0, 0), np.uint8)

    def pixels(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return the image's memory as an array: (H, W) for mono8, (H, W, 3) for bgr8."""
        if self._pixels.shape != shape:
            self._memory = np.empty(_ROOM + int(np.prod(shape)), np.uint8)
            self._pixels = self._memory[_ROOM:].reshape(shape)
        return self._pixels

    def serialized(self, header: Any) -> NDArray[np.uint8]:
        """Return the message with a header, (N,) uint8: a view of the memory where that has room.

        Args:
            header: std_msgs/Header.

        """
        height, width = self._pixels.shape[:2]
        channels = self._pixels.size // max(height * width, 1)
        stamp = header.stamp
        head = bytearray(struct.pack("=iI", stamp.sec, stamp.nanosec))
        _add_text(head, header.frame_id)
        _add_numbers(head, height, width)
        _add_text(head, "mono8" if channels == 1 else "bgr8")
        head += b"\0"  # pixels of bytes have no byte order
        _add_numbers(head, width * channels, self._pixels.size)
        head[:0] = bytes((0, np.little_endian, 0, 0))
        if len(head) > _ROOM:
            return np.concatenate([np.frombuffer(head, np.uint8), self._memory[_ROOM:]])
        start = _ROOM - len(head)
        self._memory[start:_ROOM] = np.frombuffer(head, np.uint8)
        return self._memory[start:]


def _add_numbers(head: bytearray, *numbers: int) -> None:
    head += bytes(-len(head) % 4) + struct.pack(f"={len(numbers)}I", *numbers)


def _add_text(head: bytearray, text: str) -> None:
    content = text.encode() + b"\0"
    _add_numbers(head, len(content))
    head += content
