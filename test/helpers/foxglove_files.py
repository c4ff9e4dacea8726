"""MCAP files of Foxglove's own messages, in protobuf and JSON, as its agents and SDK write them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import DESCRIPTOR as TIMESTAMP
from mcap.well_known import MessageEncoding, SchemaEncoding
from mcap.writer import Writer
from recordings import CAMERA, picture, stamp

from seg_ros.drive.images import encode_jpeg

COUNT = 6
"""Frames of :func:`drive_of`."""
LATE = 7_000_000
"""How much later than its timestamp a message of it was logged, nanoseconds."""
RECTIFIED = "/CAM_FRONT/image_rect_compressed", "/CAM_FRONT/camera_info"
"""Topics of camera and calibration as nuScenes' MCAP files have them."""

_TEXT, _BYTES = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_BYTES
_FIXED, _DOUBLE = FieldDescriptorProto.TYPE_FIXED32, FieldDescriptorProto.TYPE_DOUBLE

_FIELDS: dict[str, dict[str, tuple[int, Any]]] = {
    "CompressedImage": {"frame_id": (4, _TEXT), "data": (2, _BYTES), "format": (3, _TEXT)},
    "CompressedVideo": {"frame_id": (2, _TEXT), "data": (3, _BYTES), "format": (4, _TEXT)},
    "RawImage": {
        "frame_id": (7, _TEXT),
        "width": (2, _FIXED),
        "height": (3, _FIXED),
        "encoding": (4, _TEXT),
        "step": (5, _FIXED),
        "data": (6, _BYTES),
    },
    "CameraCalibration": {
        "frame_id": (9, _TEXT),
        "width": (2, _FIXED),
        "height": (3, _FIXED),
        "distortion_model": (4, _TEXT),
        "D": (5, _DOUBLE),
        "K": (6, _DOUBLE),
        "R": (7, _DOUBLE),
        "P": (8, _DOUBLE),
    },
}
"""Numbers and types of the fields, of the .proto files of foxglove/foxglove-sdk; timestamp is 1."""

Message = tuple[str, str, int, int, dict[str, Any]]
"""Topic, name of the schema, log time and timestamp in nanoseconds, fields."""


def descriptors(kind: str) -> FileDescriptorSet:
    """The file descriptors that stand in a recording beside a kind of messages."""
    files = FileDescriptorSet()
    TIMESTAMP.CopyToProto(files.file.add())
    file = files.file.add(name=f"foxglove/{kind}.proto", package="foxglove", syntax="proto3")
    file.dependency.append(TIMESTAMP.name)
    message = file.message_type.add(name=kind)
    one, many = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED
    message.field.add(
        name="timestamp",
        number=1,
        label=one,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=".google.protobuf.Timestamp",
    )
    for name, (number, of) in _FIELDS[kind].items():
        label = many if of == _DOUBLE else one
        message.field.add(name=name, number=number, label=label, type=of)
    return files


def _protobuf(kind: str, time_ns: int, fields: dict[str, Any]) -> bytes:
    pool = DescriptorPool()
    for file in descriptors(kind).file:
        pool.Add(file)
    message = GetMessageClass(pool.FindMessageTypeByName(f"foxglove.{kind}"))(**fields)
    message.timestamp.seconds, message.timestamp.nanos = divmod(time_ns, 10**9)
    return message.SerializeToString()


def _json(time_ns: int, fields: dict[str, Any]) -> bytes:
    sec, nsec = divmod(time_ns, 10**9)
    plain = {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in fields.items()
    }
    return json.dumps({"timestamp": {"sec": sec, "nsec": nsec}, **plain}).encode()


def write_foxglove(
    path: Path, messages: Iterable[Message], encoding: str, schema: bytes | None = None
) -> Path:
    """Write an MCAP file; ``encoding`` is protobuf or json, ``schema`` stands for every schema."""
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=20_000, enable_crcs=True)
        writer.start(profile="", library="test")
        channels: dict[str, int] = {}
        for topic, kind, log_ns, time_ns, fields in messages:
            if encoding == "protobuf":
                data = _protobuf(kind, time_ns, fields)
                form, language = MessageEncoding.Protobuf, SchemaEncoding.Protobuf
                text = descriptors(kind).SerializeToString()
            else:
                data = _json(time_ns, fields)
                form, language = MessageEncoding.JSON, SchemaEncoding.JSONSchema
                text = json.dumps({"title": f"foxglove.{kind}", "type": "object"}).encode()
            if topic not in channels:
                text = text if schema is None else schema
                number = writer.register_schema(f"foxglove.{kind}", language, text)
                channels[topic] = writer.register_channel(topic, form, number)
            writer.add_message(channels[topic], log_ns, data, time_ns)
        writer.finish()
    return path


def calibration(**changed: Any) -> dict[str, Any]:
    """The fields of a CameraCalibration of CAMERA."""
    matrix = CAMERA.k
    return {
        "frame_id": "CAM_FRONT",
        "width": CAMERA.width,
        "height": CAMERA.height,
        "distortion_model": CAMERA.distortion_model,
        "D": list(CAMERA.distortion),
        "K": matrix.ravel().tolist(),
        "R": np.eye(3).ravel().tolist(),
        "P": np.hstack([matrix, np.zeros((3, 1))]).ravel().tolist(),
        **changed,
    }


def _image_fields(kind: str, number: int) -> dict[str, Any]:
    image = picture(number)
    height, width, _ = image.shape
    if kind == "CompressedImage":
        data = encode_jpeg(image, 95)
        return {"frame_id": "CAM_FRONT", "format": "jpeg", "data": data}
    padded = np.pad(image.reshape(height, -1), ((0, 0), (0, 16)))
    return {
        "frame_id": "CAM_FRONT",
        "width": width,
        "height": height,
        "encoding": "bgr8",
        "step": padded.shape[1],
        "data": padded.tobytes(),
    }


def drive_of(
    kind: str,
    topics: tuple[str, str] = RECTIFIED,
    info: Callable[[], dict[str, Any]] = calibration,
) -> Iterator[Message]:
    """Frames of a camera of Foxglove's, each after its calibration."""
    image, infos = topics
    for number in range(COUNT):
        time = stamp(number)
        yield infos, "CameraCalibration", time + LATE - 1, time, info()
        yield image, kind, time + LATE, time, _image_fields(kind, number)
