"""Messages as the bytes they travel in: taken and published without a Python object in between.

rclpy copies a message three times on its way in or out, and holds the interpreter meanwhile. So
frames are taken from rcl, which rclpy is made of, straight into memory that is used again, and
images go out from the memory they were made in; other threads go on. Where rcl cannot be called
like that, rclpy's own way with bytes is taken.
"""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEPT = 4
"""Arrays that wait to be used again; a node has about so many frames at a time."""

_UNKNOWN = 2**64 - 1
"""RMW_MESSAGE_INFO_SEQUENCE_NUMBER_UNSUPPORTED, of rmw/types.h."""


class _Allocator(ctypes.Structure):
    """rcutils_allocator_t, of rcutils/allocator.h."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("a", "d", "r", "z", "state")]


class _Array(ctypes.Structure):
    """rcutils_uint8_array_t, of rcutils/types/uint8_array.h."""

    _fields_ = [
        ("buffer", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("capacity", ctypes.c_size_t),
        ("allocator", _Allocator),
    ]


class _Info(ctypes.Structure):
    """rmw_message_info_t, of rmw/types.h: its beginning, and room for what follows."""

    _fields_ = [
        ("source_timestamp", ctypes.c_int64),
        ("received_timestamp", ctypes.c_int64),
        ("publication_sequence_number", ctypes.c_uint64),
        ("reception_sequence_number", ctypes.c_uint64),
        ("rest", ctypes.c_uint8 * 256),
    ]


@lru_cache(maxsize=1)
def _rcl() -> ctypes.CDLL | None:
    """Return librcl, which rclpy has loaded; None where it is not to be found."""
    try:
        rcl, rcutils = ctypes.CDLL("librcl.so"), ctypes.CDLL("librcutils.so")
        take, publish = rcl.rcl_take_serialized_message, rcl.rcl_publish_serialized_message
        default = rcutils.rcutils_get_default_allocator
        rcl.reset_error = rcutils.rcutils_reset_error
    except (OSError, AttributeError):
        return None
    pointer = ctypes.POINTER
    take.argtypes = [ctypes.c_void_p, pointer(_Array), pointer(_Info), ctypes.c_void_p]
    publish.argtypes = [ctypes.c_void_p, pointer(_Array), ctypes.c_void_p]
    default.restype = _Allocator
    rcl.allocator = default()
    rcl.init_array = rcutils.rcutils_uint8_array_init
    rcl.init_array.argtypes = [pointer(_Array), ctypes.c_size_t, pointer(_Allocator)]
    rcl.end_array = rcutils.rcutils_uint8_array_fini
    rcl.end_array.argtypes = [pointer(_Array)]
    return rcl


class SerializedTaker:
    """Takes the messages of one subscription as bytes, into memory that is used again.

    Args:
        subscription: of rclpy, made with ``raw=True``.

    """

    def __init__(self, subscription: Any) -> None:
        self._subscription = subscription
        self._free: deque[_Array] = deque()
        weakref.finalize(self, _end, self._free).atexit = False

    def take(self) -> tuple[NDArray[np.uint8] | bytes, Mapping[str, Any]] | None:
        """Return the next message and what the middleware says of it; None where there is none.

        The memory is the message's as long as the array or a view of it exists.
        """
        rcl, subscription = _rcl(), self._subscription
        if rcl is None:
            taken: Any = subscription.handle.take_message(subscription.msg_type, True)
            return taken
        array = self._free.popleft() if self._free else _new_array(rcl)
        info = _Info()
        code = rcl.rcl_take_serialized_message(subscription.handle.pointer, array, info, None)
        if code:
            rcl.reset_error()
            self._free.append(array)
            return None
        memory = (ctypes.c_uint8 * array.length).from_address(array.buffer)
        # With the last view of it the memory is free again.
        weakref.finalize(memory, _give_back, self._free, array).atexit = False
        number = info.publication_sequence_number
        return np.ctypeslib.as_array(memory), {
            "source_timestamp": info.source_timestamp,
            "received_timestamp": info.received_timestamp,
            "publication_sequence_number": None if number == _UNKNOWN else number,
        }


def _new_array(rcl: Any) -> _Array:
    array = _Array()
    if rcl.init_array(array, 1, rcl.allocator):
        raise MemoryError("no memory for a message")
    return array


def _give_back(free: deque[_Array], array: _Array) -> None:
    rcl = _rcl()
    if len(free) < _KEPT:
        free.append(array)
    elif rcl is not None:
        rcl.end_array(array)


def _end(free: deque[_Array]) -> None:
    rcl = _rcl()
    while rcl is not None and free:
        rcl.end_array(free.popleft())


def publish_serialized(publisher: Any, message: NDArray[np.uint8]) -> None:
    """Publish bytes, (N,) uint8 and contiguous, that are a serialised message of the topic's type.

    Raises:
        RuntimeError: the middleware refuses it.

    """
    rcl = _rcl()
    if rcl is None:
        publisher.publish(message.tobytes())
        return
    if hasattr(publisher, "is_activated") and not publisher.is_activated:
        return  # as a managed publisher does
    array = _Array(message.ctypes.data, message.size, message.size)
    with publisher.handle:
        code = rcl.rcl_publish_serialized_message(publisher.handle.pointer, array, None)
    if code:
        rcl.reset_error()
        raise RuntimeError(f"the middleware does not publish on {publisher.topic_name}: {code}")
