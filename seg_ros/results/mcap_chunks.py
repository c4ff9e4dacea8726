"""Records of an MCAP file as bytes, and the chunks of one that was never finished."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from mcap.data_stream import ReadDataStream, RecordBuilder
from mcap.opcode import Opcode
from mcap.records import ChunkIndex, McapRecord

from seg_ros.errors import SegRosError

_CHUNK_HEAD = struct.Struct("<QQQII")
RECORD_HEAD = struct.Struct("<BQ")
"""Opcode and length, before every record."""


def end_of(index: ChunkIndex) -> int:
    """Offset in the file behind a chunk and its message indexes."""
    return index.chunk_start_offset + index.chunk_length + index.message_index_length


def record_bytes(records: Sequence[McapRecord]) -> bytes:
    """Return records as they stand in a file."""
    builder = RecordBuilder()
    for record in records:
        record.write(builder)
    data: bytes = builder.end()  # type: ignore[no-untyped-call]
    return data


def chunks_of(file: BinaryIO, prefix: bytes, size: int, path: Path) -> list[ChunkIndex]:
    """Index the chunks in the first ``size`` bytes of a file; only their heads are read."""
    if file.seek(0, 2) < size:
        raise SegRosError(f"{path} is shorter than it was: it has been changed or was cut off")
    file.seek(0)
    if file.read(len(prefix)) != prefix:
        raise SegRosError(
            f"{path} was begun with other topics or by another version of seg_ros; --replace it"
        )
    chunks: list[ChunkIndex] = []
    offset = len(prefix)
    while offset < size:
        opcode, length = RECORD_HEAD.unpack(file.read(RECORD_HEAD.size))
        end = offset + RECORD_HEAD.size + length
        if opcode == Opcode.CHUNK:
            start_time, end_time, uncompressed, _, name_length = _CHUNK_HEAD.unpack(
                file.read(_CHUNK_HEAD.size)
            )
            compression = file.read(name_length).decode()
            (compressed,) = struct.unpack("<Q", file.read(8))
            chunks.append(
                ChunkIndex(
                    chunk_length=end - offset,
                    chunk_start_offset=offset,
                    compression=compression,
                    compressed_size=compressed,
                    message_end_time=end_time,
                    message_index_length=0,
                    message_index_offsets={},
                    message_start_time=start_time,
                    uncompressed_size=uncompressed,
                )
            )
        elif opcode == Opcode.MESSAGE_INDEX and chunks:
            channel = ReadDataStream(file).read2()
            chunks[-1].message_index_offsets[channel] = offset
            chunks[-1].message_index_length += end - offset
        else:
            raise SegRosError(f"{path} is damaged at byte {offset}; --replace it")
        offset = file.seek(end)
    return chunks
