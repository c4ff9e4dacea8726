"""One file of a recording, whatever its format, and messages of several sources in log order."""

from __future__ import annotations

import heapq
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path

from mcap.records import Schema
from rosbags.typesys.msg import normalize_msgtype

from seg_ros.drive.base import RawMessage, RecordedTopic
from seg_ros.drive.foxglove import Convert, conversion
from seg_ros.drive.messages import typestore
from seg_ros.errors import SegRosError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class BagFile(ABC):
    """A file with messages of several topics.

    Args:
        path: the file to read.
        name: what to call it in messages.

    Raises:
        SegRosError: it cannot be read at all.

    """

    topics: list[RecordedTopic]
    """What is recorded in it; several entries with one name are one topic."""
    start_ns: int | None = None
    """Log time of its first message, None when it has none, or none that can be read."""
    end_ns: int | None = None
    """Log time of its last message."""
    damage: str = ""
    """What is known to be wrong with the file before its messages are read."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name

    @abstractmethod
    def count(self, topic: str) -> int | None:
        """Messages of a topic, None when only reading to the end tells."""

    @abstractmethod
    def seek(self, topic: str, number: int) -> tuple[int | None, int]:
        """Find where to start reading in order not to miss message ``number`` of a topic.

        Returns:
            The log time to start at, None for the beginning, and the number of the topic's first
            message from there on.

        """

    @abstractmethod
    def messages(self, topics: Collection[str], start_ns: int | None) -> Iterator[RawMessage]:
        """Yield the messages of topics in log order, from a log time on.

        Raises:
            SegRosError: the file is damaged; the messages before the damage have been yielded.

        """

    def release(self) -> None:  # noqa: B027, most have nothing to give back
        """Give back what is only needed while the file is read."""

    def damaged(self, reason: str) -> SegRosError:
        """Return the error that says what is wrong with the file."""
        return SegRosError(f"bag file {self.name} is damaged: {reason}")


def in_log_order(
    parts: Iterable[tuple[int, Callable[[], Iterable[RawMessage]]]],
) -> Iterator[RawMessage]:
    """Merge parts that are each in log order; a part is opened when its time has come.

    Args:
        parts: log time before which a part has no message, and what opens it. Where log times are
            equal, the order of the parts decides.

    Raises:
        SegRosError: a part is damaged; what it and the parts before it still held has been yielded.

    """
    waiting = sorted(enumerate(parts), key=lambda part: part[1][0], reverse=True)
    heap: list[tuple[int, int, RawMessage, Iterator[RawMessage]]] = []
    damage: SegRosError | None = None
    while waiting or heap:
        if waiting and (not heap or waiting[-1][1][0] <= heap[0][0]):
            number, (_, read) = waiting.pop()
            messages = iter(read())
        else:
            _, number, message, messages = heapq.heappop(heap)
            yield message
        try:
            if (following := next(messages, None)) is not None:
                heapq.heappush(heap, (following.log_ns, number, following, messages))
        except SegRosError as error:
            damage = damage or error
            waiting.clear()
    if damage:
        raise damage


def as_ros2(
    name: str, encoding: str = "cdr", schema: Schema | None = None
) -> tuple[str, Convert | None]:
    """Return the ROS 2 name of what a recorded message is read as, and what makes it that.

    Args:
        name: of its type, as it was recorded.
        encoding: of the message, as MCAP names it: ``cdr``, ``ros1``, ``protobuf``, ``json``.
        schema: its type's, where the recording has one.

    Returns:
        A type that cannot be read is named as such. None where the message is CDR already.

    """
    if encoding not in ("cdr", "ros1"):
        try:
            found = conversion(name, encoding, schema)
        except ValueError as error:
            return f"{name} in {encoding}, whose schema cannot be read ({error})", None
        return found or (f"{name} in {encoding}", None)
    if name.count("/") in (1, 2):  # sensor_msgs/Image is sensor_msgs/msg/Image
        name = str(normalize_msgtype(name))
    found = conversion(name, "cdr")
    if encoding == "cdr":
        return found or (name, None)
    of_ros1 = partial(_cdr_of_ros1, name)
    if found is None:
        return name, of_ros1
    of_foxglove = found[1]
    return found[0], lambda data: of_foxglove(of_ros1(data))


def plain(data: bytes | memoryview) -> bytes:
    """Return a message without the zstd compression that rosbag2 can put on each.

    CDR never begins as zstd does, so it is told by its first bytes. What cannot be decompressed
    comes out empty, and so is no message.
    """
    if data[:4] != _ZSTD_MAGIC:
        return bytes(data)
    try:
        return unpack_zstd(memoryview(data))
    except ValueError:
        return b""


def _cdr_of_ros1(type_name: str, data: bytes | memoryview) -> bytes:
    """Return a ROS 1 message as CDR; empty when it is damaged."""
    try:
        return bytes(typestore().ros1_to_cdr(data, type_name))
    except Exception:  # rosbags lets those of numpy and struct through
        return b""


def unpack_zstd(data: memoryview) -> bytes:
    """Return what zstd data hold.

    Raises:
        ValueError: they are damaged.

    """
    try:
        return bytes(zstd.decompress(data))
    except zstd.ZstdError as error:
        raise ValueError(f"its zstd data is damaged ({error})") from error


def unpack_zstd_beginning(data: memoryview) -> bytes:
    """Return what can be unpacked of zstd data that were cut off."""
    return bytes(zstd.ZstdDecompressor().decompress(data))


def unpack_zstd_file(source: Path, target: Path) -> str:
    """Unpack a zstd file as far as it goes; return what is wrong with it, empty when nothing is.

    Raises:
        SegRosError: it cannot be read, or the target not written.

    """
    try:
        with source.open("rb") as packed, target.open("wb") as unpacked:
            decompressor = zstd.ZstdDecompressor()
            while block := packed.read(1 << 16):
                while block:
                    if decompressor.eof:  # a file may hold several zstd frames
                        decompressor = zstd.ZstdDecompressor()
                    unpacked.write(decompressor.decompress(block))
                    block = decompressor.unused_data
    except zstd.ZstdError as error:
        return f"its zstd data is damaged ({error})"
    except OSError as error:
        raise SegRosError(
            f"cannot unpack {source} into {target.parent}: {error.strerror or error}"
        ) from error
    return "" if decompressor.eof else "its zstd data ends too early: it was cut off"
