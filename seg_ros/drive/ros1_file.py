"""ROS 1 bags."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from rosbags.rosbag1 import Reader

from seg_ros.drive.base import RawMessage, RecordedTopic
from seg_ros.drive.storage import BagFile, as_ros2
from seg_ros.errors import SegRosError


class Ros1File(BagFile):
    """A ROS 1 bag; its messages come out as those of ROS 2."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, name)
        with self._open() as reader:
            read_as = [as_ros2(c.msgtype, "ros1") for c in reader.connections]
            self.topics = [
                RecordedTopic(c.topic, kind)
                for c, (kind, _) in zip(reader.connections, read_as, strict=True)
            ]
            self._converts = [convert for _, convert in read_as]
            self._counts = {name: topic.msgcount for name, topic in reader.topics.items()}
            if reader.message_count:
                self.start_ns, self.end_ns = reader.start_time, reader.end_time - 1

    def count(self, topic: str) -> int:
        """See :class:`BagFile`."""
        return self._counts.get(topic, 0)

    def seek(self, topic: str, number: int) -> tuple[int | None, int]:
        """See :class:`BagFile`."""
        return None, 0

    def messages(self, topics: Collection[str], start_ns: int | None) -> Iterator[RawMessage]:
        """See :class:`BagFile`."""
        with self._open() as reader:
            wanted = [c for c in reader.connections if c.topic in topics]
            ways = zip(reader.connections, self.topics, self._converts, strict=True)
            described = {c.id: (topic, convert) for c, topic, convert in ways}
            for connection, log_ns, data in reader.messages(wanted, start_ns) if wanted else ():
                topic, convert = described[connection.id]
                assert convert is not None  # nothing of ROS 1 is CDR
                yield RawMessage(topic, log_ns, convert(data))

    @contextmanager
    def _open(self) -> Iterator[Reader]:
        try:
            with Reader(self.path) as reader:
                yield reader
        except SegRosError:
            raise
        except OSError as error:
            raise SegRosError(f"cannot read {self.name}: {error.strerror or error}") from error
        except Exception as error:  # the formats underneath rosbags let theirs through
            raise self.damaged(
                f"{' '.join(str(error).split()) or type(error).__name__}; "
                "'rosbag reindex' may repair it"
            ) from error
