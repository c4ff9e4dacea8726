"""Recordings in every form a recorder may leave them in, for the tests of drives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from mcap.well_known import MessageEncoding, SchemaEncoding
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
from rosbags.interfaces import Qos
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from seg_ros.drive.messages import bag_messages, typestore
from seg_ros.ground.camera import CameraModel

CAMERA = CameraModel(64, 48, 50.0, 51.0, 31.5, 23.5, "plumb_bob", (0.1, -0.05, 0.0, 0.0, 0.01))
IMAGE = "sensor_msgs/msg/Image"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
VIDEO = "foxglove_msgs/msg/CompressedVideo"
FFMPEG = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"
IMAGES, INFOS, OTHER = "/cam/image_raw", "/cam/camera_info", "/vehicle/state"

Message = tuple[str, str, int, bytes]
"""Topic, type, log time in nanoseconds, CDR."""

UNKNOWN = "vehicle_msgs/msg/State"
"""A type that no ROS distribution brings; its definition is only in the bag."""
UNKNOWN_DEFINITION = "uint8 gear\nfloat64 speed\n"


def picture(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A picture that differs from that of every other number."""
    noise = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = np.roll(noise, number, axis=1)
    image[0, 0] = number % 256, number // 256, 77
    return image


def stamp(number: int) -> int:
    return 10**18 + number * 100_000_001 + number**2


def recording(count: int, first: int = 0, height: int = 48, width: int = 64) -> list[Message]:
    """Images, each followed by its CameraInfo, and a topic of a type nobody knows."""
    messages: list[Message] = []
    library, store = bag_messages(), typestore()
    for number in range(first, first + count):
        header = library.header(stamp(number), "camera")
        image = store.serialize_cdr(library.image(header, picture(number, height, width)), IMAGE)
        info = store.serialize_cdr(library.camera_info(header, CAMERA), CAMERA_INFO)
        messages += [
            (IMAGES, IMAGE, stamp(number) + 5, bytes(image)),
            (INFOS, CAMERA_INFO, stamp(number) + 7, bytes(info)),
            (OTHER, UNKNOWN, stamp(number) + 8, bytes(4) + bytes([number % 256]) + bytes(15)),
        ]
    return messages


def _definition(kind: str) -> str:
    if kind == UNKNOWN:
        return UNKNOWN_DEFINITION
    text, _ = typestore().generate_msgdef(kind, ros_version=2)
    return text


def write_rosbag2(
    path: Path,
    messages: Iterable[Message],
    *,
    sqlite: bool = False,
    compression: CompressionMode = CompressionMode.NONE,
    qos: Mapping[str, Sequence[Qos]] = {},
    empty: Mapping[str, str] = {},
) -> Path:
    """Write a rosbag2 folder; ``empty`` are topics, with their types, that have no messages."""
    plugin = StoragePlugin.SQLITE3 if sqlite else StoragePlugin.MCAP
    writer = Writer(path, version=9, storage_plugin=plugin)
    if compression != CompressionMode.NONE:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    connections: dict[str, Any] = {}
    messages = list(messages)
    with writer:
        for topic, kind in {**{m[0]: m[1] for m in messages}, **empty}.items():
            connections[topic] = writer.add_connection(
                topic,
                kind,
                msgdef=_definition(kind),
                rihs01="RIHS01_" + "0" * 64,
                offered_qos_profiles=qos.get(topic, ()),
            )
        for topic, _, log_ns, data in messages:
            writer.write(connections[topic], log_ns, data)
    return path


def write_mcap(
    path: Path,
    messages: Iterable[Message],
    *,
    compression: CompressionType = CompressionType.NONE,
    chunk_size: int = 20_000,
    index: IndexType = IndexType.ALL,
    finish: bool = True,
    definitions: Mapping[str, str] = {},
    described: tuple[str, str] | None = None,
    ros1: bool = False,
    **options: Any,
) -> Path:
    """Write an MCAP file, small chunks, checksums on.

    Args:
        path: the file.
        messages: what is in it.
        compression: of its chunks.
        chunk_size: in bytes.
        index: which parts of an index it has.
        finish: whether its recorder lived to its end.
        definitions: of types, instead of ROS 2's.
        described: encoding and text of every definition, instead.
        ros1: whether the messages are of ROS 1, with its definitions.
        options: others of the library's writer.

    """
    with path.open("wb") as file:
        writer = McapWriter(
            file,
            chunk_size=chunk_size,
            compression=compression,
            index_types=index,
            enable_crcs=True,
            **options,
        )
        writer.start(profile="ros2", library="test")
        channels: dict[str, int] = {}
        for number, (topic, kind, log_ns, data) in enumerate(messages):
            if topic not in channels:
                encoding, text = SchemaEncoding.ROS2, definitions.get(kind) or _definition(kind)
                if ros1:
                    encoding, text = SchemaEncoding.ROS1, _ros1().generate_msgdef(kind, 1)[0]
                encoding, text = described or (encoding, text)
                schema = writer.register_schema(kind, encoding, text.encode())
                form = MessageEncoding.ROS1 if ros1 else MessageEncoding.CDR
                channels[topic] = writer.register_channel(topic, form, schema)
            if ros1:
                data = bytes(typestore().cdr_to_ros1(data, kind))
            writer.add_message(channels[topic], log_ns, data, log_ns, number)
        if finish:
            writer.finish()
    return path


def _ros1() -> Typestore:
    store = get_typestore(Stores.ROS1_NOETIC)
    for kind in typestore().fielddefs:
        if kind.startswith("foxglove_msgs/"):
            definition, _ = typestore().generate_msgdef(kind, ros_version=1)
            store.register(get_types_from_msg(definition, kind))
    return store


def write_ros1(path: Path, messages: Iterable[Message]) -> Path:
    """Write a ROS 1 bag of the messages whose types ROS 1 has."""
    store = _ros1()
    with Ros1Writer(path) as writer:
        connections: dict[str, Any] = {}
        for topic, kind, log_ns, data in messages:
            if kind == UNKNOWN:
                continue
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], log_ns, typestore().cdr_to_ros1(data, kind))
    return path


def h264(pictures: Sequence[np.ndarray], codec: str = "libx264", **options: str) -> list[bytes]:
    """Encode pictures as H.264 or H.265 in Annex B form, a packet a picture, key frame every 5."""
    height, width = pictures[0].shape[:2]
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 10), 10
    if codec == "libx264":
        encoder.options = {
            "g": "5",
            "bf": "0",
            "preset": "veryfast",
            "tune": "zerolatency",
            "sc_threshold": "0",
        }
    else:
        encoder.options = {
            "preset": "ultrafast",
            "x265-params": "keyint=5:scenecut=0:bframes=0:repeat-headers=1:log-level=none",
        }
    encoder.options = {**encoder.options, **options}
    packets = []
    for number, image in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts = number
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in [*packets, *encoder.encode(None)]]


def video_recording(packets: Iterable[bytes], video_format: str = "h264") -> list[Message]:
    """CompressedVideo messages on /cam/video, as Foxglove's bridge records them."""
    store = typestore()
    kind, time = store.types[VIDEO], store.types["builtin_interfaces/msg/Time"]
    messages = []
    for number, packet in enumerate(packets):
        sec, nanosec = divmod(stamp(number), 10**9)
        message = kind(
            timestamp=time(sec=sec, nanosec=nanosec),
            frame_id="camera",
            data=np.frombuffer(packet, np.uint8),
            format=video_format,
        )
        messages.append(
            ("/cam/video", VIDEO, stamp(number) + 5, bytes(store.serialize_cdr(message, VIDEO)))
        )
    return messages


def ffmpeg_recording(packets: Iterable[bytes], encoding: str) -> Iterator[Message]:
    """FFMPEGPacket messages on /front/image_raw/ffmpeg, of pictures of 128x96."""
    store, library = typestore(), bag_messages()
    for number, packet in enumerate(packets):
        message = store.types[FFMPEG](
            header=library.header(stamp(number), "front"),
            width=128,
            height=96,
            encoding=encoding,
            pts=number,
            flags=1 - bool(number % 5),
            is_bigendian=False,
            data=np.frombuffer(packet, np.uint8),
        )
        data = bytes(store.serialize_cdr(message, FFMPEG))
        yield "/front/image_raw/ffmpeg", FFMPEG, stamp(number) + 5, data
