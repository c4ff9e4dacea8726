"""Foxglove's messages as those of ROS 2: protobuf, JSON, and foxglove_msgs in CDR.

``foxglove.CompressedImage``, ``RawImage`` and ``CameraCalibration`` have the fields of sensor_msgs'
CompressedImage, Image and CameraInfo with ``timestamp`` and ``frame_id`` in place of the header, so
that is what becomes of them; CompressedVideo has no other name in ROS than foxglove_msgs'.
``FrameTransform`` and ``FrameTransforms`` become tf2_msgs/TFMessage. Newer
versions of the schemas append fields (``message_id``, ``lineage``), which are left out.
(https://docs.foxglove.dev/docs/sdk/schemas)
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from mcap.records import Schema

from seg_ros.drive.messages import NANOSECONDS, bag_messages, stamp_ns, typestore
from seg_ros.support.json_text import parse_json

Convert = Callable[["bytes | memoryview"], bytes]
"""Makes a ROS 2 message in CDR of a recorded one; empty where that is damaged."""

_ENCAPSULATION = 4


@dataclass(frozen=True)
class _Fields:
    """The fields of a message, by their names in lower case; one that is not there is empty."""

    stamp: int
    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        return str(self.values.get(name, ""))

    def number(self, name: str) -> int:
        return int(self.values.get(name, 0))

    def data(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        return np.frombuffer(self.values.get("data", b""), np.uint8)

    def numbers(self, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array(self.values.get(name, ()), np.float64).ravel()

    def header(self) -> Any:
        return bag_messages().header(self.stamp, self.text("frame_id"))


def conversion(
    name: str, encoding: str, schema: Schema | None = None
) -> tuple[str, Convert] | None:
    """Return what a recorded message becomes and what makes it so; None where it is of no use here.

    Args:
        name: of its type, ``foxglove.RawImage`` or ``foxglove_msgs/msg/RawImage``.
        encoding: of the message: ``protobuf``, ``json`` or ``cdr``.
        schema: with the descriptors of a protobuf message.

    Raises:
        ValueError: the schema cannot be read.

    """
    package = "foxglove_msgs/msg/" if encoding == "cdr" else "foxglove."
    kind = _KINDS.get(name.removeprefix(package)) if name.startswith(package) else None
    if kind is None:
        return None
    read: Callable[[bytes | memoryview], _Fields]
    if encoding == "cdr":
        read = partial(_of_cdr, name)
    elif encoding == "json":
        read = _of_json
    elif encoding == "protobuf":
        read = partial(_of_protobuf, _parser(schema))
    else:
        return None
    message_type, build = kind
    return message_type, partial(_convert, message_type, read, build)


def _convert(
    message_type: str,
    read: Callable[[bytes | memoryview], _Fields],
    build: Callable[[_Fields], Any],
    data: bytes | memoryview,
) -> bytes:
    try:
        return bytes(typestore().serialize_cdr(build(read(data)), message_type))
    except Exception:  # whatever damaged bytes make of the parsers
        return b""


def _parser(schema: Schema | None) -> Callable[[bytes], Any]:
    try:
        from mcap_protobuf.decoder import DecoderFactory  # with protobuf, where it is needed

        parser = DecoderFactory().decoder_for("protobuf", schema)
    except ImportError as error:
        raise ValueError(f"mcap-protobuf-support is not installed: {error}") from error
    except Exception as error:  # whatever damaged descriptors make of protobuf
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    if parser is None:
        raise ValueError("it is not in protobuf")
    return parser


def _of_protobuf(parse: Callable[[bytes], Any], data: bytes | memoryview) -> _Fields:
    message = parse(bytes(data))
    values = {f.name.lower(): getattr(message, f.name) for f in message.DESCRIPTOR.fields}
    time = values.get("timestamp")
    return _Fields(time.seconds * NANOSECONDS + time.nanos if time else 0, values)


def _of_json(data: bytes | memoryview) -> _Fields:
    values = {name.lower(): value for name, value in parse_json(bytes(data)).items()}
    values["data"] = base64.b64decode(values.get("data", ""), validate=True)
    return _Fields(_json_time(values.get("timestamp", {"sec": 0, "nsec": 0})), values)


def _json_time(time: Mapping[str, Any]) -> int:
    return int(time["sec"]) * NANOSECONDS + int(time["nsec"])


def _of_cdr(name: str, data: bytes | memoryview) -> _Fields:
    """Read the fields that every version of foxglove_msgs has; those of newer ones come after."""
    store = typestore()
    definition = store.get_msgdef(name)
    little = bytes(data[:2]) == b"\x00\x01"
    read = definition.deserialize_cdr_le if little else definition.deserialize_cdr_be
    message: Any = read(memoryview(data)[_ENCAPSULATION:], 0, definition.cls, store)[0]
    stamp = stamp_ns(message.timestamp) if hasattr(message, "timestamp") else 0
    return _Fields(stamp, vars(message))


def _image(fields: _Fields) -> Any:
    return bag_messages().message_type("sensor_msgs/msg/Image")(
        header=fields.header(),
        height=fields.number("height"),
        width=fields.number("width"),
        encoding=fields.text("encoding"),
        is_bigendian=0,
        step=fields.number("step"),
        data=fields.data(),
    )


def _compressed_image(fields: _Fields) -> Any:
    return bag_messages().message_type("sensor_msgs/msg/CompressedImage")(
        header=fields.header(), format=fields.text("format"), data=fields.data()
    )


def _compressed_video(fields: _Fields) -> Any:
    return bag_messages().message_type("foxglove_msgs/msg/CompressedVideo")(
        timestamp=fields.header().stamp,
        frame_id=fields.text("frame_id"),
        data=fields.data(),
        format=fields.text("format"),
    )


_MODELS = {"kannala_brandt": "equidistant"}
"""Foxglove's names of distortion models that have another in sensor_msgs."""


def _camera_info(fields: _Fields) -> Any:
    """Make a CameraInfo; without R and P, those of an unrectified camera."""
    model = fields.text("distortion_model")
    k = fields.numbers("k") if len(fields.numbers("k")) else np.zeros(9)
    r = fields.numbers("r") if len(fields.numbers("r")) else np.eye(3).ravel()
    p = fields.numbers("p")
    if not len(p):
        p = np.hstack([k.reshape(3, 3), np.zeros((3, 1))]).ravel()
    if (len(k), len(r), len(p)) != (9, 9, 12):
        raise ValueError("K, R and P have 9, 9 and 12 numbers")
    message = bag_messages().message_type
    return message("sensor_msgs/msg/CameraInfo")(
        header=fields.header(),
        height=fields.number("height"),
        width=fields.number("width"),
        distortion_model=_MODELS.get(model, model),
        d=fields.numbers("d"),
        k=k,
        r=r,
        p=p,
        binning_x=0,
        binning_y=0,
        roi=message("sensor_msgs/msg/RegionOfInterest")(
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        ),
    )


def _of(value: Any, name: str) -> Any:
    """Return a field of a message within a message, in whichever form it came."""
    return value[name] if isinstance(value, Mapping) else getattr(value, name)


def _transforms(fields: _Fields) -> Any:
    """Make a TFMessage of one transform or of a list of them."""
    several = fields.values.get("transforms")
    parts = [_Part(v, None) for v in several] if several is not None else [_Part(None, fields)]
    message = bag_messages().message_type
    return message("tf2_msgs/msg/TFMessage")(transforms=[part.stamped(message) for part in parts])


@dataclass(frozen=True)
class _Part:
    """A FrameTransform, within a message or a message of its own."""

    value: Any
    fields: _Fields | None

    def get(self, name: str) -> Any:
        return self.fields.values[name] if self.fields else _of(self.value, name)

    def stamp(self) -> int:
        if self.fields:
            return self.fields.stamp
        time = self.get("timestamp")
        if isinstance(time, Mapping):
            return _json_time(time)
        return (
            stamp_ns(time) if hasattr(time, "nanosec") else time.seconds * NANOSECONDS + time.nanos
        )

    def stamped(self, message: Callable[[str], Any]) -> Any:
        shift, turn = self.get("translation"), self.get("rotation")
        return message("geometry_msgs/msg/TransformStamped")(
            header=bag_messages().header(self.stamp(), str(self.get("parent_frame_id"))),
            child_frame_id=str(self.get("child_frame_id")),
            transform=message("geometry_msgs/msg/Transform")(
                translation=message("geometry_msgs/msg/Vector3")(
                    **{axis: float(_of(shift, axis)) for axis in "xyz"}
                ),
                rotation=message("geometry_msgs/msg/Quaternion")(
                    **{axis: float(_of(turn, axis)) for axis in "xyzw"}
                ),
            ),
        )


_KINDS: Mapping[str, tuple[str, Callable[[_Fields], Any]]] = {
    "RawImage": ("sensor_msgs/msg/Image", _image),
    "CompressedImage": ("sensor_msgs/msg/CompressedImage", _compressed_image),
    "CompressedVideo": ("foxglove_msgs/msg/CompressedVideo", _compressed_video),
    "CameraCalibration": ("sensor_msgs/msg/CameraInfo", _camera_info),
    "FrameTransform": ("tf2_msgs/msg/TFMessage", _transforms),
    "FrameTransforms": ("tf2_msgs/msg/TFMessage", _transforms),
}
"""Foxglove's schema -> what it becomes in ROS 2, and what builds that."""
