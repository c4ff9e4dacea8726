"""The message library of rclpy."""

from __future__ import annotations

import array
from functools import lru_cache
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from seg_ros.drive.messages import MessageLibrary

QUIET = 5.0
"""Seconds in which one line of code logs once; what it would have said is counted all the same."""

_TYPECODES = {"uint8": "B", "int8": "b", "float32": "f", "float64": "d"}


@lru_cache(maxsize=64)
def message_class(name: str) -> Any:
    """Class of a name such as ``sensor_msgs/msg/Image`` or ``std_srvs/srv/Trigger``.

    Raises ImportError where it is absent.
    """
    package, kind, message = name.split("/")
    return getattr(import_module(f"{package}.{kind}"), message)


def _sequence(values: NDArray[Any]) -> Any:
    # An array.array is copied as a block; a list or ndarray would be copied number by number.
    sequence = array.array(_TYPECODES[values.dtype.name])
    sequence.frombytes(values.tobytes())
    return sequence


def ros_messages() -> MessageLibrary:
    """Messages that rclpy publishes."""
    return MessageLibrary(message_class, _sequence)
