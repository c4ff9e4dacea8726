"""MCAP files: by their index where it is whole, record by record where it is not.

The format: https://mcap.dev/spec. A file that was cut off, or is still being written, has no index;
what stands before the cut is found by walking from record to record. Chunk checksums are checked.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import lz4.frame
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, ChunkIndex, Schema, Statistics
from rosbags.rosbag2.metadata import parse_qos

from seg_ros.drive.base import RawMessage, RecordedTopic
from seg_ros.drive.foxglove import Convert
from seg_ros.drive.storage import (
    BagFile,
    as_ros2,
    in_log_order,
    plain,
    unpack_zstd,
    unpack_zstd_beginning,
)
from seg_ros.errors import SegRosError

_MAGIC = b"\x89MCAP0\r\n"
_RECORD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
_CHUNK_TIMES = struct.Struct("<QQ")
_CHUNK = struct.Struct("<QQQII")
"""Start and end time, unpacked size, checksum, length of the compression's name."""
_SIZE = struct.Struct("<Q")
_MESSAGE_INDEX = struct.Struct("<HI")
_FOOTER = struct.Struct("<BQQQI8s")

_RUN_BYTES = 1 << 20
"""Messages outside chunks are read in runs of about this size."""


@dataclass
class _Piece:
    """A chunk, or a run of messages outside chunks."""

    start_ns: int
    end_ns: int
    offset: int
    size: int
    counts: dict[int, int] | None
    """Messages per channel, None until they are known."""
    is_chunk: bool

    def count(self, channels: Collection[int]) -> int:
        """Return the messages of channels."""
        return sum((self.counts or {}).get(channel, 0) for channel in channels)


class McapFile(BagFile):
    """An MCAP file of ROS 2, ROS 1 or Foxglove's messages, with or without chunks and index."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, name)
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, RecordedTopic] = {}
        self._converts: dict[int, Convert | None] = {}
        self._pieces: list[_Piece] = []
        with self._open() as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise self.damaged("it does not begin as an MCAP file does")
            if not self._read_summary(file):
                self._schemas, self._channels, self._converts, self._pieces = {}, {}, {}, []
                self._walk(file)
                self._find_channels(file)
        self.topics = list(self._channels.values())
        timed = [p for p in self._pieces if p.start_ns <= p.end_ns and p.counts != {}]
        if timed:
            self.start_ns = min(p.start_ns for p in timed)
            self.end_ns = max(p.end_ns for p in timed)

    def count(self, topic: str) -> int:
        """See :class:`BagFile`."""
        ids = self._ids({topic})
        return sum(piece.count(ids) for piece in self._pieces)

    def seek(self, topic: str, number: int) -> tuple[int | None, int]:
        """See :class:`BagFile`."""
        ids = self._ids({topic})
        best: tuple[int | None, int] = None, 0
        passed, latest = 0, -1
        for piece in sorted(self._pieces, key=lambda p: p.start_ns):
            if passed > number:
                break
            if piece.start_ns > latest:  # all that was passed is earlier than this piece
                best = piece.start_ns, passed
            passed += piece.count(ids)
            latest = max(latest, piece.end_ns)
        return best

    def messages(self, topics: Collection[str], start_ns: int | None) -> Iterator[RawMessage]:
        """See :class:`BagFile`."""
        ids = self._ids(topics)
        first = -1 if start_ns is None else start_ns
        with self._open() as file:
            yield from in_log_order(
                (piece.start_ns, partial(self._read_messages, file, piece, ids, first))
                for piece in self._pieces
                if piece.end_ns >= first and piece.count(ids)
            )
        if self.damage:
            raise self.damaged(self.damage)

    def _ids(self, topics: Collection[str]) -> set[int]:
        return {i for i, topic in self._channels.items() if topic.name in topics}

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        try:
            with self.path.open("rb") as file:
                yield file
        except OSError as error:
            raise SegRosError(f"cannot read {self.name}: {error.strerror or error}") from error

    def _read_summary(self, file: BinaryIO) -> bool:
        """Take channels and chunks from the index; return False when it is missing or damaged."""
        size = file.seek(0, 2)
        if size < len(_MAGIC) + _FOOTER.size:
            self.damage = "it was cut off, or is still being recorded"
            return False
        file.seek(-_FOOTER.size, 2)
        footer = file.read(_FOOTER.size)
        opcode, length, summary_start, _, crc, magic = _FOOTER.unpack(footer)
        if (opcode, length, magic) != (Opcode.FOOTER, 20, _MAGIC):
            self.damage = "it was cut off, or is still being recorded: its index is missing"
            return False
        if summary_start == 0:
            return False
        if summary_start > size:
            self.damage = "its index is said to be behind its end"
            return False
        file.seek(summary_start)
        summary = file.read(size - summary_start)
        statistics: Statistics | None = None
        try:
            if crc and zlib.crc32(summary[: -_FOOTER.size + 25]) != crc:
                raise ValueError("its checksum differs")
            for kind, body in _records(summary[: -_FOOTER.size]):
                if kind == Opcode.CHUNK_INDEX:
                    self._pieces.append(_piece_of(ChunkIndex.read(_stream(body))))
                elif kind == Opcode.STATISTICS:
                    statistics = Statistics.read(_stream(body))
                else:
                    self._declare(kind, body)
        except Exception as error:  # whatever damaged bytes make of the parser
            self.damage = f"its index cannot be read ({_one_line(error)})"
            return False
        # An index without chunks, channels or message counts is allowed, and no help.
        indexed = sum(sum((p.counts or {}).values()) for p in self._pieces)
        return (
            bool(self._pieces)
            and statistics is not None
            and indexed == statistics.message_count
            and all(i in self._channels for p in self._pieces for i in p.counts or ())
        )

    def _declare(self, kind: int, body: bytes | memoryview) -> None:
        """Take note of a Schema or Channel record."""
        if kind == Opcode.SCHEMA:
            schema = Schema.read(_stream(body))
            self._schemas[schema.id] = schema
        elif kind == Opcode.CHANNEL:
            channel = Channel.read(_stream(body))
            if channel.id not in self._channels:
                self._channels[channel.id] = self._topic(channel)

    def _topic(self, channel: Channel) -> RecordedTopic:
        described = self._schemas.get(channel.schema_id)
        recorded = "" if described is None else described.name
        name, convert = as_ros2(recorded, channel.message_encoding, described)
        self._converts[channel.id] = convert
        try:
            qos = tuple(parse_qos(channel.metadata.get("offered_qos_profiles", "")))
        except Exception:  # a recorder's odd profile must not cost the frames
            qos = ()
        return RecordedTopic(channel.topic, name, qos)

    def _walk(self, file: BinaryIO) -> None:
        """Find chunks, messages and channels from record to record."""
        size = file.seek(0, 2)
        at = len(_MAGIC)
        run: _Piece | None = None
        while at < size:
            file.seek(at)
            head = file.read(_RECORD.size)
            if len(head) < _RECORD.size:
                break
            kind, length = _RECORD.unpack(head)
            after = at + _RECORD.size + length
            if kind in (Opcode.DATA_END, Opcode.FOOTER):
                return
            if kind == 0 or Opcode.DATA_END < kind < 0x80:  # the format has no others
                break
            if after > size:
                if kind == Opcode.CHUNK:
                    self._add_chunk(file, at, size - at)
                break
            if kind == Opcode.MESSAGE and length >= _MESSAGE.size:
                channel, _, log_ns, _ = _MESSAGE.unpack(file.read(_MESSAGE.size))
                if run is None or run.size >= _RUN_BYTES or run.offset + run.size != at:
                    run = _Piece(log_ns, log_ns, at, 0, {}, is_chunk=False)
                    self._pieces.append(run)
                run.size = after - run.offset
                run.start_ns, run.end_ns = min(run.start_ns, log_ns), max(run.end_ns, log_ns)
                assert run.counts is not None
                run.counts[channel] = run.counts.get(channel, 0) + 1
            elif kind == Opcode.CHUNK and length >= 40:
                self._add_chunk(file, at, after - at)
            elif kind == Opcode.MESSAGE_INDEX and length >= _MESSAGE_INDEX.size and self._pieces:
                channel, entries = _MESSAGE_INDEX.unpack(file.read(_MESSAGE_INDEX.size))
                counts = self._pieces[-1].counts or {}
                self._pieces[-1].counts = {**counts, channel: entries // 16}
            elif kind in (Opcode.SCHEMA, Opcode.CHANNEL):
                try:
                    self._declare(kind, file.read(length))
                except Exception as error:  # whatever damaged bytes make of the parser
                    self.damage = f"record at byte {at} cannot be read ({_one_line(error)})"
                    return
            at = after
        self.damage = self.damage or f"there is no whole record at byte {at}"
        if self._pieces and self._pieces[-1].is_chunk:
            self._pieces[-1].counts = None  # some of its index may be missing

    def _add_chunk(self, file: BinaryIO, at: int, size: int) -> None:
        file.seek(at + _RECORD.size)
        times = file.read(_CHUNK_TIMES.size)
        if len(times) == _CHUNK_TIMES.size:
            start_ns, end_ns = _CHUNK_TIMES.unpack(times)
            self._pieces.append(_Piece(start_ns, end_ns, at, size, None, is_chunk=True))

    def _find_channels(self, file: BinaryIO) -> None:
        """Read the chunks that declare channels or of which nothing says what is in them."""
        for number, piece in enumerate(self._pieces):
            if piece.counts is not None and all(i in self._channels for i in piece.counts):
                continue
            counts: dict[int, int] = {}
            try:
                for kind, body in self._read(file, piece):
                    if kind == Opcode.MESSAGE:
                        channel = _MESSAGE.unpack_from(body)[0]
                        counts[channel] = counts.get(channel, 0) + 1
                    else:
                        self._declare(kind, body)
            except SegRosError as error:
                self.damage = self.damage or str(error).partition("is damaged: ")[2]
            except Exception as error:  # whatever damaged bytes make of the parser
                self.damage = self.damage or (
                    f"chunk at byte {piece.offset} cannot be read ({_one_line(error)})"
                )
            else:
                piece.counts = counts
                continue
            piece.counts = counts  # the messages before the damage
            del self._pieces[number + 1 :]
            return

    def _read(self, file: BinaryIO, piece: _Piece) -> Iterator[tuple[int, memoryview]]:
        """Yield the records in a chunk or run.

        Raises:
            SegRosError: the checksum or the compressed data is wrong, so nothing can be trusted.
            ValueError: the records do not fill it.

        """
        file.seek(piece.offset)
        data: bytes | memoryview = file.read(piece.size)
        try:
            if len(data) < piece.size:
                raise ValueError("the file is cut off there")
            if piece.is_chunk:
                data = _unpacked(memoryview(data), piece)
        except Exception as error:  # lz4 and zstd have errors of their own
            raise self.damaged(f"chunk at byte {piece.offset}: {_one_line(error)}") from error
        yield from _records(data)

    def _read_messages(
        self, file: BinaryIO, piece: _Piece, ids: set[int], first_ns: int
    ) -> Iterator[RawMessage]:
        messages: list[RawMessage] = []
        damage: SegRosError | None = None
        try:
            for kind, body in self._read(file, piece):
                if kind == Opcode.MESSAGE:
                    channel, _, log_ns, _ = _MESSAGE.unpack_from(body)
                    if not piece.start_ns <= log_ns <= piece.end_ns:
                        raise ValueError("it has messages of another time")
                    if channel in ids and log_ns >= first_ns:
                        messages.append(self._message(channel, log_ns, body[_MESSAGE.size :]))
        except (ValueError, struct.error) as error:
            damage = self.damaged(self.damage or f"chunk at byte {piece.offset}: {error}")
        except SegRosError as error:
            damage = error
        yield from sorted(messages, key=lambda m: m.log_ns)
        if damage:
            raise damage

    def _message(self, channel: int, log_ns: int, body: memoryview) -> RawMessage:
        data, convert = plain(body), self._converts[channel]
        return RawMessage(self._channels[channel], log_ns, convert(data) if convert else data)


def _piece_of(index: ChunkIndex) -> _Piece:
    # A message index takes 15 bytes and 16 a message, one channel's after the other's. Where a
    # recorder wrote none, the number of messages does not add up, and the index is not used.
    starts = sorted((offset, channel) for channel, offset in index.message_index_offsets.items())
    ends = [offset for offset, _ in starts[1:]]
    ends.append(index.chunk_start_offset + index.chunk_length + index.message_index_length)
    counts = {
        channel: (end - start - 15) // 16
        for (start, channel), end in zip(starts, ends, strict=False)
    }
    return _Piece(
        index.message_start_time,
        index.message_end_time,
        index.chunk_start_offset,
        index.chunk_length,
        counts,
        is_chunk=True,
    )


def _unpacked(data: memoryview, piece: _Piece) -> bytes | memoryview:
    """Return the records of a chunk; of one that the end of the file cuts off, what is there."""
    kind, length = _RECORD.unpack_from(data)
    if kind != Opcode.CHUNK or length < len(data) - _RECORD.size:
        raise ValueError("there is no chunk of that size")
    start_ns, end_ns, size, crc, name_size = _CHUNK.unpack_from(data, _RECORD.size)
    if (start_ns, end_ns) != (piece.start_ns, piece.end_ns):
        raise ValueError("its times differ from those in the index")
    at = _RECORD.size + _CHUNK.size + name_size
    compression = str(data[at - name_size : at], "utf-8")
    (packed_size,) = _SIZE.unpack_from(data, at)
    packed = data[at + _SIZE.size :][:packed_size]
    if compression not in _UNPACK:
        raise ValueError(f"its compression {compression!r} is not known")
    if length > len(data) - _RECORD.size:
        return _UNPACK_BEGINNING[compression](packed)
    records = _UNPACK[compression](packed)
    if len(records) != size:
        raise ValueError(f"it has {len(records)} bytes instead of {size}")
    if crc and zlib.crc32(records) != crc:
        raise ValueError("its checksum differs")
    return records


_UNPACK: dict[str, Callable[[memoryview], bytes | memoryview]] = {
    "": lambda data: data,
    "zstd": unpack_zstd,
    "lz4": lz4.frame.decompress,
}
_UNPACK_BEGINNING: dict[str, Callable[[memoryview], bytes | memoryview]] = {
    "": lambda data: data,
    "zstd": unpack_zstd_beginning,
    "lz4": lambda data: lz4.frame.LZ4FrameDecompressor().decompress(data),
}


def _records(data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield opcode and body of the records in some bytes.

    Raises:
        ValueError: they do not end with a record's end.

    """
    data = memoryview(data)
    at = 0
    while at < len(data):
        if at + _RECORD.size > len(data):
            raise ValueError("its last record is cut off")
        kind, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if at + length > len(data):
            raise ValueError("its last record is cut off")
        yield kind, data[at : at + length]
        at += length


def _stream(data: bytes | memoryview) -> ReadDataStream:
    return ReadDataStream(BytesIO(data))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
