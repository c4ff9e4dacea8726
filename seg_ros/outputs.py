"""The folder a person opens afterwards: result/ (a rosbag2), overlay.mp4 and sheet.png.

Everything is made in a hidden folder beside its final place and moved there when it is whole, so
that what a broken run leaves behind never looks like a result.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from seg_ros.drive import Drive
from seg_ros.errors import SegRosError
from seg_ros.grid import FREE, OCCUPIED, PROFILES, UNKNOWN, GridSpec
from seg_ros.images import decode_compressed, decode_image
from seg_ros.labels import LabelSet
from seg_ros.messages import stamp_ns, typestore
from seg_ros.paint import colorize, contact_sheet, grid_picture
from seg_ros.topics import CONTACTS, GRID, MASK, OVERLAY_COMPRESSED, Topic

MASK_TOPIC, OVERLAY_TOPIC, GRID_TOPIC, CONTACT_TOPIC = (
    f"/{topic.name}" for topic in (MASK, OVERLAY_COMPRESSED, GRID, CONTACTS)
)

RESULT_TOPICS = {f"/{topic.name}": topic for topic in (MASK, OVERLAY_COMPRESSED, GRID, CONTACTS)}
"""Topics of the result bag."""

REPLAY_NAMES = ("result", "overlay.mp4", "sheet.png")
"""What a replay leaves in its folder."""

_SHEET_ROWS = 5
_UNFINISHED = ".unfinished."
"""With the number of the process that writes there, so that two runs do not meet."""


class OutputFolder:
    """The folder of one run. Use :attr:`work` to write into and :meth:`publish` when it is whole.

    Args:
        path: the folder; made when it is not there.
        replace: whether results of an earlier run may be replaced.
        names: what the run will leave in the folder.

    Raises:
        SegRosError: there are results already and ``replace`` is false, or it cannot be made.

    """

    def __init__(
        self, path: Path, replace: bool = False, names: Sequence[str] = REPLAY_NAMES
    ) -> None:
        self.path = path
        there = [name for name in names if (path / name).exists()]
        if there and not replace:
            raise SegRosError(
                f"{path} already holds {', '.join(there)}; choose another folder, or --replace them"
            )
        self.work = path / f"{_UNFINISHED}{os.getpid()}"
        try:
            for left in path.glob(f"{_UNFINISHED}*"):
                if left == self.work or not Path("/proc", left.suffix[1:]).exists():
                    shutil.rmtree(left)
            self.work.mkdir(parents=True)
        except OSError as error:
            raise SegRosError(f"cannot write into {path}: {error.strerror or error}") from error

    def publish(self) -> list[Path]:
        """Move what was written to its final place; return the paths."""
        moved = []
        for source in sorted(self.work.iterdir()):
            target = self.path / source.name
            if target.is_dir():
                shutil.rmtree(target)
            moved.append(source.replace(target))
        self.work.rmdir()
        return moved


class ResultBag(AbstractContextManager["ResultBag"]):
    """A rosbag2 in MCAP with zstd chunks, with the topics of :data:`RESULT_TOPICS`.

    Args:
        path: the bag's folder; must not exist.

    """

    def __init__(self, path: Path) -> None:
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> ResultBag:
        """Open the bag for writing."""
        self._writer.open()
        for name, topic in RESULT_TOPICS.items():
            self._connections[name] = self._writer.add_connection(
                name,
                topic.message_type,
                typestore=typestore(),
                offered_qos_profiles=[_qos(topic)],
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the bag."""
        self._writer.close()

    def write(self, topic: str, log_ns: int, message: Any) -> None:
        """Append a message of rosbags' own types, or serialised bytes, at a log time."""
        if not isinstance(message, bytes):
            message = typestore().serialize_cdr(message, RESULT_TOPICS[topic].message_type)
        self._writer.write(self._connections[topic], log_ns, message)


def _qos(topic: Topic) -> Qos:
    """QoS the node publishes a topic with, as a bag records it."""
    forever = QosTime(9223372036, 854775807)
    return Qos(
        QosHistory.KEEP_LAST,
        1,
        QosReliability.RELIABLE if topic.reliable else QosReliability.BEST_EFFORT,
        QosDurability.TRANSIENT_LOCAL if topic.transient_local else QosDurability.VOLATILE,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )


class OverlayVideo(AbstractContextManager["OverlayVideo"]):
    """An H.264 video that plays at the pace of the frames' stamps.

    Args:
        path: the ``.mp4`` file.

    """

    _CLOCK = 90_000

    def __init__(self, path: Path) -> None:
        self._container: Any = av.open(str(path), "w", options={"movflags": "+faststart"})
        self._stream: Any = None
        self._size = (0, 0)
        self._first_ns = 0
        self._last_pts = -1

    def add(self, frame_stamp_ns: int, picture: NDArray[np.uint8]) -> None:
        """Append a (H, W, 3) uint8 BGR picture; one of another size is scaled to the first's."""
        if self._stream is None:
            self._open_stream(picture, frame_stamp_ns)
        width, height = self._size
        if picture.shape[:2] != (height, width):
            picture = np.asarray(cv2.resize(picture, (width, height)), np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        ticks = (frame_stamp_ns - self._first_ns) * self._CLOCK // 1_000_000_000
        # Players need rising times even where stamps repeat or step back.
        self._last_pts = frame.pts = max(ticks, self._last_pts + 1)
        frame.time_base = Fraction(1, self._CLOCK)
        self._container.mux(self._stream.encode(frame))

    def _open_stream(self, picture: NDArray[np.uint8], first_ns: int) -> None:
        height, width = (max(2, side // 2 * 2) for side in picture.shape[:2])  # 4:2:0 needs even
        self._size, self._first_ns = (width, height), first_ns
        stream = self._container.add_stream(
            "libx264", rate=10, options={"preset": "veryfast", "crf": "23"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, self._CLOCK)
        self._stream = stream

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what the encoder still holds and finish the file."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()


def read_result(bag: Path, topic: str) -> Iterator[tuple[int, Any]]:
    """Yield (header stamp in nanoseconds, message) of one topic of a result bag, in order."""
    with AnyReader([bag], default_typestore=typestore()) as reader:
        wanted = [c for c in reader.connections if c.topic == topic]
        for connection, _, data in reader.messages(connections=wanted) if wanted else ():
            message: Any = reader.deserialize(data, connection.msgtype)
            yield stamp_ns(message.header.stamp), message


def write_video(bag: Path, path: Path, progress: Callable[[], object]) -> None:
    """Make the overlay video of a result bag; ``progress`` is called once per frame."""
    with OverlayVideo(path) as video:
        for stamp, message in read_result(bag, OVERLAY_TOPIC):
            video.add(stamp, decode_compressed(message))
            progress()


def write_sheet(bag: Path, drive: Drive, labels: LabelSet, path: Path) -> None:
    """Make the contact sheet of a result bag: frame, mask, overlay and grid side by side.

    The frames come from the drive and are matched by stamp, the rest is read back from the bag, so
    the sheet shows what is on disk.
    """
    stamps = [stamp for stamp, _ in read_result(bag, MASK_TOPIC)]
    if not stamps:
        raise SegRosError(f"{bag} holds no masks, so there is nothing to show")
    count = min(_SHEET_ROWS, len(stamps))
    chosen = {stamps[(2 * i + 1) * len(stamps) // (2 * count)] for i in range(count)}
    tiles: dict[int, dict[str, NDArray[np.uint8]]] = {stamp: {} for stamp in sorted(chosen)}
    missing = set(chosen)
    for frame in drive.frames():
        if frame.stamp_ns in missing:
            tiles[frame.stamp_ns]["frame"] = frame.decode()
            missing.remove(frame.stamp_ns)
        if not missing:
            break
    for topic, name, draw in (
        (MASK_TOPIC, "mask", lambda m: colorize(decode_image(m)[:, :, 0], labels)),
        (OVERLAY_TOPIC, "overlay", decode_compressed),
        (GRID_TOPIC, "grid", draw_grid),
    ):
        for stamp, message in read_result(bag, topic):
            if stamp in chosen:
                tiles[stamp][name] = draw(message)
    for row in tiles.values():
        row.setdefault("grid", grid_picture(None, GridSpec(), 300, "no camera: no grid"))
    sheet = contact_sheet(
        [
            [
                (_CAPTIONS[name].format((stamp - stamps[0]) / 1e9), row[name])
                for name in _CAPTIONS
                if name in row
            ]
            for stamp, row in tiles.items()
        ]
    )
    if not cv2.imwrite(str(path), sheet):
        raise SegRosError(f"cannot write {path}")


_CAPTIONS = {"frame": "frame at {:.2f} s", "mask": "mask", "overlay": "overlay", "grid": "grid"}


def draw_grid(message: Any) -> NDArray[np.uint8]:
    """Draw a nav_msgs/OccupancyGrid of a result bag as (300, W, 3) uint8 BGR."""
    info = message.info
    values = np.asarray(message.data, np.int8).reshape(info.height, info.width)
    origin = info.origin.position
    spec = GridSpec(
        info.resolution,
        origin.x,
        origin.x + info.width * info.resolution,
        origin.y,
        origin.y + info.height * info.resolution,
    )
    cells = np.full(values.shape, UNKNOWN, np.int8)
    for profile in PROFILES.values():
        for state in (FREE, OCCUPIED):
            cells[values == profile[state]] = state
    return grid_picture(cells, spec, 300)
