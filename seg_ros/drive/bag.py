"""A recording of one or many files as one stream of messages.

A rosbag2 folder with or without metadata.yaml, or one file of it: MCAP, sqlite3, either of them
packed with zstd; or a ROS 1 bag.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from seg_ros.drive.base import RawMessage, RecordedTopic
from seg_ros.drive.mcap_file import McapFile
from seg_ros.drive.pictures import by_number, is_hidden
from seg_ros.drive.ros1_file import Ros1File
from seg_ros.drive.sqlite_file import SqliteFile
from seg_ros.drive.storage import BagFile, in_log_order, unpack_zstd_file
from seg_ros.errors import SegRosError
from seg_ros.support.yaml_file import read_yaml

METADATA = "metadata.yaml"
_FORMATS: dict[str, type[BagFile]] = {".mcap": McapFile, ".db3": SqliteFile, ".bag": Ros1File}
_PACKED = (".zstd", ".zst")
_SPLIT_NUMBER = re.compile(r"_\d+$")


def is_bag(path: Path) -> bool:
    """Whether a path is a bag's file, or a folder with one or with a bag's metadata in it."""
    if path.is_dir():
        return (path / METADATA).exists() or bool(_bag_files(path))
    return _format(path) is not None


class Bag:
    """The messages of a recording.

    Raises:
        SegRosError: it is no bag, or damaged from its beginning.

    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._damage: SegRosError | None = None
        """What ends the recording after the last of the files that can be read."""
        self._counts: dict[str, int] = {}
        paths = self._listed(path) if path.is_dir() else [path]
        self._files: list[BagFile] = []
        for file in paths:
            try:
                self._files.append(_open_file(file))
            except SegRosError as error:
                if not self._files:
                    raise
                self._damage = error
                break
            if len(paths) > 1:
                self._files[-1].release()
        starts = [f for f in self._files if f.start_ns is not None]
        self._in_turn = all((a.end_ns or 0) < (b.start_ns or 0) for a, b in pairwise(starts))
        self.topics = self._merge_topics()

    @property
    def damage(self) -> SegRosError | None:
        """What is known to be wrong with the bag before its messages are read."""
        cut = next((f for f in self._files if f.damage), None)
        return cut.damaged(cut.damage) if cut else self._damage

    def messages(
        self, topics: Collection[str], start_ns: int | None = None
    ) -> Iterator[RawMessage]:
        """Yield the messages of topics in log order, from a log time on.

        Raises:
            SegRosError: the bag is damaged, or holds fewer messages than it says; the messages
                before the damage have been yielded.

        """
        missing = {t.name: t.count or 0 for t in self.topics if t.name in topics}
        for message in self._merged(topics, start_ns):
            missing[message.topic.name] -= 1
            yield message
        if self._damage:
            raise self._damage
        for topic, count in missing.items():
            if start_ns is None and count > 0:
                raise SegRosError(
                    f"bag {self.name} is damaged: {count} messages on {topic} are missing that it "
                    "says it has"
                )

    def _merged(self, topics: Collection[str], start_ns: int | None) -> Iterator[RawMessage]:
        files = [
            f for f in self._files
            if start_ns is None or f.end_ns is None or f.end_ns >= start_ns
        ]  # fmt: skip
        if self._in_turn:
            for file in files:
                yield from file.messages(topics, start_ns)
                if len(self._files) > 1:
                    file.release()
        else:
            yield from in_log_order(
                (f.start_ns or 0, partial(f.messages, topics, start_ns)) for f in files
            )

    def seek(self, topic: str, number: int) -> tuple[int | None, int]:
        """Find where to start reading in order not to miss message ``number`` of a topic.

        Returns:
            The log time to start at, None for the beginning, and the number of the topic's first
            message from there on.

        """
        passed = 0
        for file in self._files if self._in_turn else ():
            count = file.count(topic)
            if count is None or file.damage:
                break
            if passed + count > number:
                start_ns, first = file.seek(topic, number - passed)
                return (file.start_ns if start_ns is None else start_ns), passed + first
            passed += count
        return None, 0

    def _merge_topics(self) -> list[RecordedTopic]:
        """Return each topic of the files once, with the number of its messages."""
        merged: dict[tuple[str, str], RecordedTopic] = {}
        for file in self._files:
            for topic in file.topics:
                merged.setdefault((topic.name, topic.message_type), topic)
        return [
            replace(topic, count=self._count(topic.name))
            for topic in sorted(merged.values(), key=lambda t: t.name)
        ]

    def _count(self, topic: str) -> int | None:
        if topic in self._counts:
            return self._counts[topic]
        counts = [file.count(topic) for file in self._files]
        return None if None in counts or self._damage else sum(c for c in counts if c)

    def _listed(self, folder: Path) -> list[Path]:
        """Return the files of a folder, in order: those its metadata lists, if it has any."""
        if not (folder / METADATA).exists():
            return self._found(folder)
        try:
            data = read_yaml(folder / METADATA, METADATA)
            information = data["rosbag2_bagfile_information"]
            files = [
                _there(folder / PurePath(str(name)).name)
                for name in information["relative_file_paths"]
            ]
            for topic in information["topics_with_message_count"]:
                name = str(topic["topic_metadata"]["name"])
                self._counts[name] = self._counts.get(name, 0) + int(topic["message_count"])
        except (
            SegRosError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            OverflowError,  # a count of .inf
        ) as error:
            self._counts = {}
            self._damage = SegRosError(
                f"bag {folder} is damaged: its {METADATA} cannot be read "
                f"({error}); its files were read without it, and "
                "'ros2 bag reindex' makes a new one"
            )
            if not _bag_files(folder):
                raise self._damage from error
            return self._found(folder)
        if not files:
            raise SegRosError(f"bag {folder} is empty: its {METADATA} lists no files")
        return files

    def _found(self, folder: Path) -> list[Path]:
        files = _bag_files(folder)
        recordings = sorted({_SPLIT_NUMBER.sub("", f.name.partition(".")[0]) for f in files})
        if len(recordings) > 1:
            raise SegRosError(
                f"{folder} has no {METADATA} that says which of its files belong together; name "
                f"one of {', '.join(f.name for f in files)}"
            )
        return files


class _PackedFile(BagFile):
    """A file that was packed with zstd as a whole; unpacked while it is read."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, name)
        self._folder: TemporaryDirectory[str] | None = None
        self._inner: BagFile | None = None
        inner = self._unpacked()
        self.topics, self.start_ns, self.end_ns = inner.topics, inner.start_ns, inner.end_ns
        self._counts = {t.name: inner.count(t.name) for t in inner.topics}

    def _unpacked(self) -> BagFile:
        if self._inner is None:
            self._folder = TemporaryDirectory(prefix="seg_ros_")
            target = Path(self._folder.name, self.path.stem)
            self.damage = unpack_zstd_file(self.path, target)
            try:
                self._inner = _FORMATS[target.suffix](target, self.name)
            except SegRosError as error:
                raise self.damaged(self.damage) if self.damage else error from None
            if not self.damage:
                self.damage = self._inner.damage
        return self._inner

    def count(self, topic: str) -> int | None:
        return self._counts.get(topic, 0)

    def seek(self, topic: str, number: int) -> tuple[int | None, int]:
        return self._unpacked().seek(topic, number)

    def messages(self, topics: Collection[str], start_ns: int | None) -> Iterator[RawMessage]:
        yield from self._unpacked().messages(topics, start_ns)
        if self.damage:
            raise self.damaged(self.damage)

    def release(self) -> None:
        self._inner = self._folder = None  # the folder goes with its last reader


def _format(path: Path) -> type[BagFile] | None:
    packed = path.suffix in _PACKED
    kind = _FORMATS.get(Path(path.stem).suffix if packed else path.suffix)
    return _PackedFile if packed and kind else kind


def _open_file(path: Path) -> BagFile:
    kind: Any = _format(path)
    if kind is None:
        raise SegRosError(
            f"bag file {path} is of an unknown kind; known are {', '.join(_FORMATS)}, and "
            f"{' and '.join(_PACKED)} of the first two"
        )
    opened: BagFile = kind(path, str(path))
    return opened


def _bag_files(folder: Path) -> list[Path]:
    """Return the bag files of a folder; where a file is there packed and unpacked, once."""
    there = (f for f in folder.iterdir() if _format(f) and not is_hidden(f))
    files = {f.stem if f.suffix in _PACKED else f.name: f for f in there}
    return sorted(files.values(), key=by_number)


def _there(path: Path) -> Path:
    """Return the path, or that of the packed file where only that is there."""
    packed = (path.with_name(path.name + suffix) for suffix in _PACKED)
    return path if path.exists() else next((p for p in packed if p.exists()), path)
