"""sqlite3 files of rosbag2, also those that were cut off or are still being recorded."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw
from rosbags.rosbag2.metadata import parse_qos

from seg_ros.drive.base import RawMessage, RecordedTopic
from seg_ros.drive.foxglove import Convert
from seg_ros.drive.storage import BagFile, as_ros2, plain
from seg_ros.errors import SegRosError

_HEADER = struct.Struct(">16sHBB4xIII56xI4x")
"""Magic, page size, versions to write and read (2: with a log of changes), change counter, pages,
(first free page), version-valid-for."""


class SqliteFile(BagFile):
    """A rosbag2 sqlite3 file."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, name)
        self.damage = self._missing()
        self._converts: dict[int, Convert | None] = {}
        with self._connect() as database:
            self._ids, self.topics = self._read_topics(database)
            self._indexed = bool(
                _rows(database, "SELECT 1 FROM sqlite_master WHERE name = 'timestamp_idx'")
            )
            try:
                ((first, last),) = _rows(
                    database,
                    "SELECT (SELECT MIN(timestamp) FROM messages),"
                    " (SELECT MAX(timestamp) FROM messages)",
                )
                if not all(time is None or isinstance(time, int) for time in (first, last)):
                    raise apsw.CorruptError("a message in it has no time")
                self.start_ns, self.end_ns = first, last
            except apsw.Error as error:
                self.damage = self.damage or str(error)
        self._counts: dict[str, int | None] = {}

    def count(self, topic: str) -> int | None:
        """See :class:`BagFile`."""
        if topic not in self._counts:
            with self._connect() as database:
                try:
                    ((self._counts[topic],),) = _rows(
                        database, f"SELECT COUNT(*) FROM {self._messages(topic)}"
                    )
                except apsw.Error:
                    self._counts[topic] = None
        return self._counts[topic]

    def seek(self, topic: str, number: int) -> tuple[int | None, int]:
        """See :class:`BagFile`."""
        source = self._messages(topic)
        with self._connect() as database:
            try:
                rows = _rows(
                    database,
                    f"SELECT timestamp FROM {source} ORDER BY timestamp LIMIT 1 OFFSET ?",
                    number,
                )
                if not rows:
                    return None, 0
                ((first_ns,),) = rows
                ((passed,),) = _rows(
                    database, f"SELECT COUNT(*) FROM {source} AND timestamp < ?", first_ns
                )
            except apsw.Error:
                return None, 0
        return first_ns, passed

    def messages(self, topics: Collection[str], start_ns: int | None) -> Iterator[RawMessage]:
        """See :class:`BagFile`."""
        # The order comes from the index on time, the message from the table: what the two say of
        # each other must agree, as sqlite has no checksums.
        order = (
            f"SELECT id, timestamp FROM {self._messages(*topics)} AND timestamp >= ?"
            " ORDER BY timestamp, id"
        )
        with self._connect() as database, closing(database.cursor()) as row_of:
            try:
                last = (-1, -1)
                for number, log_ns in database.execute(order, (start_ns or 0,)):
                    if not isinstance(log_ns, int):  # a column may hold anything
                        raise apsw.CorruptError("a message in it has no time")
                    row = row_of.execute(
                        "SELECT topic_id, timestamp, data FROM messages WHERE id = ?", (number,)
                    ).fetchone()
                    if row is None or row[1] != log_ns or (log_ns, number) <= last:
                        raise apsw.CorruptError("its index and its messages disagree")
                    if not isinstance(row[2], bytes) or row[0] not in self._ids:
                        raise apsw.CorruptError(f"message {number} is not one")
                    last = log_ns, number
                    data, convert = plain(row[2]), self._converts[row[0]]
                    data = convert(data) if convert else data
                    yield RawMessage(self._ids[row[0]], log_ns, data)
            except apsw.Error as error:
                raise self.damaged(self.damage or str(error)) from error
        if self.damage:
            raise self.damaged(self.damage)

    def _messages(self, *topics: str) -> str:
        """Return the SQL for the messages of topics, in which damage at the end hurts last."""
        ids = ",".join(str(i) for i, topic in self._ids.items() if topic.name in topics)
        index = " INDEXED BY timestamp_idx" if self._indexed else ""
        return f"messages{index} WHERE topic_id IN ({ids})"

    def _missing(self) -> str:
        """Return what the file says of itself that is not so: its size, its journal."""
        try:
            with self.path.open("rb") as file:
                head = file.read(_HEADER.size)
                size = file.seek(0, 2)
        except OSError as error:
            raise SegRosError(f"cannot read {self.name}: {error.strerror or error}") from error
        if len(head) < _HEADER.size or not head.startswith(b"SQLite format 3\0"):
            raise self.damaged("it does not begin as a sqlite3 file does")
        _, page, _, version, changes, pages, _, valid_for = _HEADER.unpack(head)
        self._has_log = version == 2
        whole = pages * (65536 if page == 1 else page)
        self._is_cut = changes == valid_for and size < whole
        if self._is_cut:
            return f"it was cut off, {size} of its {whole} bytes are there"
        if self.path.with_name(self.path.name + "-journal").exists():
            return "it is still being recorded, or its recorder was killed: a journal is beside it"
        return ""

    @contextmanager
    def _connect(self) -> Iterator[apsw.Connection]:
        """Open it to read only; a journal or log of changes beside it stays as it is."""
        try:
            if self._is_cut:
                database = self._open(_whole_pages().vfs_name, immutable=True)
            elif self._has_log:
                database = self._open_with_log()
            else:
                database = self._open_without_log()
        except apsw.Error as error:
            raise self.damaged(str(error)) from error
        with closing(database):
            try:
                yield database
            except apsw.Error as error:
                raise self.damaged(str(error)) from error

    def _open_without_log(self) -> apsw.Connection:
        try:
            return self._open()
        except (apsw.CantOpenError, apsw.ReadOnlyError):  # a journal that cannot be rolled back
            return self._open(immutable=True)

    def _open_with_log(self) -> apsw.Connection:
        """Open a database of which the latest changes may be in a log beside it (``-wal``)."""
        if not self.path.with_name(self.path.name + "-wal").exists():  # nobody has it open
            return self._open(immutable=True)
        if self.path.with_name(self.path.name + "-shm").exists():  # a recorder may be at work
            try:
                return self._open()
            except (apsw.CantOpenError, apsw.ReadOnlyError):  # on a card that cannot be written
                pass
        return self._open(_log_readers().vfs_name)

    def _open(self, vfs: str | None = None, immutable: bool = False) -> apsw.Connection:
        database = apsw.Connection(
            f"file:{quote(str(self.path))}?mode=ro{'&immutable=1' if immutable else ''}",
            apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
            vfs=vfs,
        )
        try:
            # What a recorder left in its log of changes stays there.
            database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            if vfs == _LogReaders.vfs_name:  # the log's index in memory, not in a file beside it
                _rows(database, "PRAGMA locking_mode = EXCLUSIVE")
            # Otherwise sqlite refuses all of a file of which the end is missing.
            _rows(database, "PRAGMA writable_schema = ON")
            _rows(database, "SELECT COUNT(*) FROM sqlite_master")
        except apsw.Error:
            database.close()
            raise
        return database

    def _read_topics(
        self, database: apsw.Connection
    ) -> tuple[dict[int, RecordedTopic], list[RecordedTopic]]:
        try:
            columns = {row[1] for row in _rows(database, "PRAGMA table_info(topics)")}
            if not columns or not _rows(database, "PRAGMA table_info(messages)"):
                raise self.damaged("it has no tables of topics and messages; is it a bag?")
            qos = "offered_qos_profiles" if "offered_qos_profiles" in columns else "''"
            topics = _rows(database, f"SELECT id, name, type, {qos} FROM topics ORDER BY id")
        except apsw.Error as error:
            raise self.damaged(str(error)) from error
        if not all(isinstance(text, str) for topic in topics for text in topic[1:3]):
            raise self.damaged("a topic in it has no name or no type")
        ids = {}
        for number, name, recorded, profiles in topics:
            kind, self._converts[number] = as_ros2(recorded)
            ids[number] = RecordedTopic(name, kind, _qos(profiles))
        return ids, list(ids.values())


def _rows(database: apsw.Connection, query: str, *values: Any) -> list[Any]:
    try:
        return list(database.execute(query, values))
    except UnicodeDecodeError as error:
        raise apsw.CorruptError("a text in it is not UTF-8") from error


class _WholePages(apsw.VFS):
    """Files as they are, but for a last page of which only a part is there.

    sqlite would take the rest of it for zeros, and so a picture that was cut off for a whole one.
    """

    vfs_name = "seg_ros_whole_pages"

    def __init__(self) -> None:
        super().__init__(self.vfs_name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _WholePagesFile("", name, flags)


class _WholePagesFile(apsw.VFSFile):
    def xFileSize(self) -> int:  # noqa: N802
        size = super().xFileSize()
        page = int.from_bytes(self.xRead(2, 16), "big") if size >= 512 else 1
        return size - size % (65536 if page == 1 else page or 512)


@lru_cache(maxsize=1)
def _whole_pages() -> _WholePages:
    return _WholePages()


class _LogReaders(apsw.VFS):
    """A database and its log of changes, neither locked nor written, nothing created beside them.

    sqlite itself wants to make a file of shared memory (``-shm``) even to read them. Here it thinks
    that it has them for itself, and needs none.
    """

    vfs_name = "seg_ros_log_readers"

    def __init__(self) -> None:
        super().__init__(self.vfs_name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        writing = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        flags[0] = flags[0] & ~writing | apsw.SQLITE_OPEN_READONLY
        return _UnlockedFile("", name, flags)


class _UnlockedFile(apsw.VFSFile):
    def xLock(self, level: int) -> None:  # noqa: N802
        pass

    def xUnlock(self, level: int) -> None:  # noqa: N802
        pass

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False


@lru_cache(maxsize=1)
def _log_readers() -> _LogReaders:
    return _LogReaders()


def _qos(profiles: Any) -> tuple[Any, ...]:
    try:
        return tuple(parse_qos(profiles))
    except Exception:  # a recorder's odd profile must not cost the frames
        return ()
