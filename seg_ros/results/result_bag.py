"""The bag of a run: a rosbag2 in MCAP that can be cut off anywhere, read as it is, and continued.

Follows the MCAP specification (https://mcap.dev/spec) and what rosbag2_storage_mcap adds to it.
Schemas and channels stand at the start, outside the chunks. So what a killed run leaves behind can
be read up to its last chunk; a file cut after a chunk can be continued; and the chunks of one file
can be copied into another of the same topics without unpacking them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
import zstandard
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    Chunk,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    MessageIndex,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)
from mcap.writer import MCAP0_MAGIC
from rosbags.rosbag2.metadata import dump_qos_v8

from seg_ros import __version__
from seg_ros.drive.bag import Bag
from seg_ros.drive.messages import stamp_ns, typestore
from seg_ros.results.bag_topics import LIVE_TOPICS, RESULT_TOPICS, BagTopic, result_topic
from seg_ros.results.mcap_chunks import RECORD_HEAD, chunks_of, end_of, record_bytes

_CHUNK_BYTES = 4 * 2**20
_ZSTD_LEVEL = 1
"""Level 3 takes six times as long on raw images for 5 % fewer bytes (bench/README.md)."""

_MESSAGE = struct.Struct("<BQHIQQ")
_NO_TIME = 2**63 - 1


class ResultBag(AbstractContextManager["ResultBag"]):
    """A rosbag2 in MCAP with zstd chunks.

    Args:
        path: the bag's folder; its file is in it under the same name.
        topics: what may be written; by default :data:`LIVE_TOPICS`.
        keep: continue the file that is there after so many bytes, as :meth:`flush` gave them; 0
            begins a new one.

    Raises:
        SegRosError: the file to be continued is of other topics, or shorter than that.
        FileExistsError: a new bag is to be begun and there is one.

    """

    def __init__(self, path: Path, topics: Sequence[BagTopic] | None = None, keep: int = 0) -> None:
        if topics is None:
            topics = [result_topic(topic) for topic in LIVE_TOPICS.values()]
        self._path = path
        self._topics = topics
        self._keep = keep
        self._ids = {topic.name: index + 1 for index, topic in enumerate(topics)}
        types = {topic.message_type: topic for topic in topics}
        self._schemas = [
            Schema(index + 1, topic.definition.encode(), "ros2msg", name)
            for index, (name, topic) in enumerate(types.items())
        ]
        schema_ids = {schema.name: schema.id for schema in self._schemas}
        self._channels = [
            Channel(
                self._ids[topic.name],
                topic.name,
                "cdr",
                {"offered_qos_profiles": dump_qos_v8(list(topic.qos))},
                schema_ids[topic.message_type],
            )
            for topic in topics
        ]
        self._chunks: list[ChunkIndex] = []
        self._counts = dict.fromkeys(self._ids.values(), 0)
        self._buffer = bytearray()
        self._indexes: dict[int, MessageIndex] = {}
        self._compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)

    @property
    def file(self) -> Path:
        """The MCAP file."""
        return self._path / f"{self._path.name}.mcap"

    def __enter__(self) -> ResultBag:
        """Open the bag for writing."""
        prefix = self._prefix()
        if self._keep:
            self._file = self.file.open("r+b", buffering=0)
            self._chunks = chunks_of(self._file, prefix, self._keep, self.file)
            for index in self._chunks:
                self._count(index)
            self._file.truncate(self._keep)
            self._file.seek(self._keep)
        else:
            self._path.mkdir(parents=True)
            self._file = self.file.open("xb", buffering=0)
            self._put(prefix)
        self._end = self._keep or len(prefix)
        return self

    def _put(self, data: bytes) -> None:
        """Write at the file's place; nothing of it waits in a buffer when the disk is full."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]

    def _prefix(self) -> bytes:
        header = Header("ros2", f"seg_ros {__version__}")
        return MCAP0_MAGIC + record_bytes([header, *self._schemas, *self._channels])

    def __contains__(self, topic: str) -> bool:
        """Whether a topic may be written."""
        return topic in self._ids

    def write(self, topic: str, log_ns: int, message: Any) -> None:
        """Append a message of rosbags' own types, or serialised bytes, at a log time."""
        if not isinstance(message, bytes | memoryview):
            message = typestore().serialize_cdr(message, RESULT_TOPICS[topic].message_type)
        channel = self._ids[topic]
        index = self._indexes.setdefault(channel, MessageIndex(channel, []))
        index.records.append((log_ns, len(self._buffer)))
        size = _MESSAGE.size - RECORD_HEAD.size + len(message)
        self._buffer += _MESSAGE.pack(Opcode.MESSAGE, size, channel, 0, log_ns, log_ns)
        self._buffer += message
        if len(self._buffer) > _CHUNK_BYTES:
            self._write_chunk()

    def flush(self) -> int:
        """Finish the chunk and hand it to the system; return the file's size in bytes."""
        self._write_chunk()
        return self._end

    def _write_chunk(self) -> None:
        if not self._buffer:
            return
        times = [time for index in self._indexes.values() for time, _ in index.records]
        packed = self._compressor.compress(self._buffer)
        chunk = Chunk(
            compression="zstd",
            data=packed,
            message_start_time=min(times),
            message_end_time=max(times),
            uncompressed_crc=zlib.crc32(self._buffer),
            uncompressed_size=len(self._buffer),
        )
        records = [
            record_bytes([chunk]),
            *(record_bytes([index]) for index in self._indexes.values()),
        ]
        self._put(b"".join(records))
        offsets, offset = {}, self._end + len(records[0])
        for channel, record in zip(self._indexes, records[1:], strict=True):
            offsets[channel] = offset
            offset += len(record)
        self._add(
            ChunkIndex(
                chunk_length=len(records[0]),
                chunk_start_offset=self._end,
                compression="zstd",
                compressed_size=len(packed),
                message_end_time=chunk.message_end_time,
                message_index_length=offset - self._end - len(records[0]),
                message_index_offsets=offsets,
                message_start_time=chunk.message_start_time,
                uncompressed_size=chunk.uncompressed_size,
            )
        )
        self._buffer, self._indexes = bytearray(), {}

    def _add(self, index: ChunkIndex) -> None:
        """Note a chunk that was written."""
        self._chunks.append(index)
        self._count(index)
        self._end = end_of(index)

    def _count(self, index: ChunkIndex) -> None:
        ends = [*list(index.message_index_offsets.values())[1:], end_of(index)]
        # A message index is 9 + 2 + 4 bytes and 16 for each message.
        for (channel, start), end in zip(index.message_index_offsets.items(), ends, strict=True):
            self._counts[channel] += (end - start - 15) // 16

    def append(self, file: Path, size: int) -> None:
        """Copy the chunks of another bag's file as they are.

        Args:
            file: an MCAP file that was written with the same topics.
            size: how many of its bytes, as :meth:`flush` gave them.

        Raises:
            SegRosError: it is of other topics, or shorter.

        """
        self._write_chunk()
        with file.open("rb") as source:
            for index in chunks_of(source, self._prefix(), size, file):
                start = index.chunk_start_offset
                source.seek(start)
                self._put(source.read(end_of(index) - start))
                shift = self._end - start
                index.chunk_start_offset += shift
                for channel in index.message_index_offsets:
                    index.message_index_offsets[channel] += shift
                self._add(index)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the bag; after an error it ends with the last chunk that was written."""
        if error is None:
            with self._file:
                self._finish()
            return
        self._buffer, self._indexes = bytearray(), {}
        with suppress(OSError), self._file:
            self._finish()

    def _finish(self) -> None:
        try:
            self._write_chunk()
        finally:
            self._file.seek(self._end)  # a chunk for which there was no room is cut off
            self._file.truncate()
            information = self._information()
            self._put(self._summary(information))
            text = _yaml({"rosbag2_bagfile_information": information})
            (self._path / "metadata.yaml").write_text(text, encoding="utf-8")

    def _times(self) -> tuple[int, int]:
        """First and last log time."""
        starts = [index.message_start_time for index in self._chunks]
        ends = [index.message_end_time for index in self._chunks]
        return min(starts, default=_NO_TIME), max(ends, default=0)

    def _summary(self, information: dict[str, Any]) -> bytes:
        metadata = Metadata("rosbag2", {"serialized_metadata": _yaml(information)})
        data = record_bytes([metadata])
        metadata_index = MetadataIndex(self._end, len(data), metadata.name)
        data += record_bytes([DataEnd(0)])
        start, end = self._times()
        statistics = Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts=self._counts,
            chunk_count=len(self._chunks),
            message_count=sum(self._counts.values()),
            metadata_count=1,
            message_start_time=start if self._chunks else 0,
            message_end_time=end,
            schema_count=len(self._schemas),
        )
        groups: list[tuple[Opcode, Sequence[McapRecord]]] = [
            (Opcode.SCHEMA, self._schemas),
            (Opcode.CHANNEL, self._channels),
            (Opcode.STATISTICS, [statistics]),
            (Opcode.CHUNK_INDEX, self._chunks),
            (Opcode.METADATA_INDEX, [metadata_index]),
        ]
        summary_start = self._end + len(data)
        summary, offsets = b"", []
        for opcode, records in groups:
            group = record_bytes(records)
            if group:
                offsets.append(SummaryOffset(opcode, summary_start + len(summary), len(group)))
            summary += group
        offset_start = summary_start + len(summary)
        summary += record_bytes(offsets)
        footer = struct.pack("<BQQQ", Opcode.FOOTER, 20, summary_start, offset_start)
        crc = zlib.crc32(footer, zlib.crc32(summary))
        return (
            data + summary + record_bytes([Footer(summary_start, offset_start, crc)]) + MCAP0_MAGIC
        )

    def _information(self) -> dict[str, Any]:
        """Return what ``metadata.yaml`` says (rosbag2_storage, version 8).

        Version 9 gives QoS as a list and by names, which Humble does not read.
        """
        start, end = self._times()
        span = {
            "starting_time": {"nanoseconds_since_epoch": start},
            "duration": {"nanoseconds": max(0, end - start)},
            "message_count": sum(self._counts.values()),
        }
        return {
            "version": 8,
            "storage_identifier": "mcap",
            "relative_file_paths": [self.file.name],
            **span,
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": topic.name,
                        "type": topic.message_type,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": dump_qos_v8(list(topic.qos)),
                        "type_description_hash": topic.type_hash,
                    },
                    "message_count": self._counts[self._ids[topic.name]],
                }
                for topic in self._topics
            ],
            "compression_format": "",
            "compression_mode": "",
            "files": [{"path": self.file.name, **span}],
            "custom_data": None,
            "ros_distro": "jazzy",
        }


class _PlainYaml(yaml.SafeDumper):
    """Writes what occurs twice twice, as rosbag2 does."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_PlainYaml, sort_keys=False)


def read_result(bag: Path, topic: str, stamps: Sequence[int] = ()) -> Iterator[tuple[int, Any]]:
    """Yield (header stamp in nanoseconds, message) of one topic of a result bag, in order.

    Args:
        bag: a folder with a rosbag2.
        topic: its name.
        stamps: read only what was logged at these times, nanoseconds; all when empty.

    Raises:
        SegRosError: it is damaged; what comes before the damage has been yielded.

    """
    recording = Bag(bag)
    for start in sorted(stamps) if stamps else (None,):
        for message in recording.messages({topic}, start):
            if start is not None and message.log_ns != start:
                break
            read = message.deserialize()
            yield stamp_ns(read.header.stamp), read
