"""TF of a recording by the rules of tf2, and Foxglove's FrameTransform, which counts as TF."""

import json
import math

import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import DESCRIPTOR as TIMESTAMP
from mcap.records import Schema
from vehicle_drive import LEVEL, START, quaternion, transform

from seg_ros.drive.foxglove import conversion
from seg_ros.drive.messages import typestore
from seg_ros.drive.transforms import RecordedTransforms
from seg_ros.errors import SegRosError

TENTH = 100_000_000


def level():
    return typestore().types["geometry_msgs/msg/Quaternion"](**LEVEL)


def buffer():
    """base_link - mast, which turns to the left by 0.2 rad in 0.1 s, - camera; map - base_link."""
    transforms = RecordedTransforms()
    transforms.add(transform(0, "mast", "camera", (0.5, 0.0, 0.2), level()), True)
    for i in range(3):
        turn = quaternion(yaw=0.2 * i)
        at = (1.0, 0.1 * i, 1.0)
        transforms.add(transform(START + i * TENTH, "base_link", "mast", at, turn), False)
    return transforms


def test_a_chain_at_a_stamp_between_two():
    mounting = buffer().mounting("base_link", "camera", START + TENTH // 2)
    assert mounting.yaw == pytest.approx(0.1)
    assert (mounting.x, mounting.y, mounting.z) == pytest.approx(
        (1.0 + 0.5 * math.cos(0.1), 0.05 + 0.5 * math.sin(0.1), 1.2)
    )
    assert mounting.pitch == pytest.approx(0.0, abs=1e-12)
    assert mounting.source.value == "tf"
    exact = buffer().mounting("base_link", "camera", START + TENTH)
    assert exact.yaw == pytest.approx(0.2)


def test_frames_beside_each_other_meet_in_what_they_have_in_common():
    transforms = buffer()
    half = math.sqrt(0.5)
    turned = typestore().types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=half, w=half)
    transforms.add(transform(0, "/base_link", "gps", (0.0, 2.0, 0.0), turned), True)
    offset, rotation = transforms.fixed("gps", "base_link")
    assert offset == pytest.approx((-2.0, 0.0, 0.0))
    assert rotation == pytest.approx((0.0, 0.0, -half, half))
    # At the latest stamp that all of them have.
    offset, _ = transforms.fixed("gps", "mast")
    assert offset == pytest.approx((0.2 - 2.0, -1.0, 1.0))


@pytest.mark.parametrize(
    ("frame", "stamp", "said"),
    [
        ("camera", START - TENTH, "that is 0.100 s before the first of 'mast'"),
        ("camera", START + 3 * TENTH, "that is 0.100 s after the last of 'mast'"),
        ("rear", START, "they are not connected; known are camera, mast"),
    ],
)
def test_what_is_not_known_is_said(frame, stamp, said):
    with pytest.raises(SegRosError, match="no transform from") as raised:
        buffer().mounting("base_link", frame, stamp)
    assert said in str(raised.value)


def test_what_is_old_what_comes_twice_and_what_is_none_changes_nothing():
    transforms = buffer()
    bad = quaternion()
    bad.w = float("nan")
    transforms.add(transform(START, "base_link", "mast", (9.0, 9.0, 9.0), quaternion()), False)
    transforms.add(transform(START + 5, "base_link", "mast", (9.0, 9.0, 9.0), bad), False)
    transforms.add(transform(START + 5, "mast", "mast", (9.0, 9.0, 9.0), quaternion()), False)
    assert transforms.mounting("base_link", "camera", START).y == pytest.approx(0.0, abs=1e-12)
    later = START + 12 * 10 * TENTH
    transforms.add(transform(later, "base_link", "mast", (1.0, 0.0, 1.0), quaternion()), False)
    transforms.add(transform(START, "base_link", "mast", (1.0, 0.0, 1.0), quaternion()), False)
    with pytest.raises(SegRosError, match="before the first"):
        transforms.mounting("base_link", "camera", START)
    transforms.clear()
    with pytest.raises(SegRosError, match="not connected; known are camera"):
        transforms.mounting("base_link", "camera", later)


def test_a_loop_ends():
    transforms = RecordedTransforms()
    transforms.add(transform(0, "a", "b", (0, 0, 0), quaternion()), True)
    transforms.add(transform(0, "b", "a", (0, 0, 0), quaternion()), True)
    with pytest.raises(SegRosError, match="not connected"):
        transforms.mounting("base_link", "a", START)


VALUES = {
    "parent_frame_id": "base_link",
    "child_frame_id": "CAM_FRONT",
    "translation": {"x": 1.7, "y": 0.0, "z": 1.5},
    "rotation": {"x": -0.5, "y": 0.5, "z": -0.5, "w": 0.5},
}


def descriptors():
    """Those of foxglove-sdk's FrameTransform.proto and FrameTransforms.proto."""
    files = FileDescriptorSet()
    TIMESTAMP.CopyToProto(files.file.add())
    file = files.file.add(name="foxglove/FrameTransform.proto", package="foxglove", syntax="proto3")
    file.dependency.append(TIMESTAMP.name)
    kinds = {
        "Vector3": [(c, n, ".d") for n, c in enumerate("xyz", 1)],
        "Quaternion": [(c, n, ".d") for n, c in enumerate("xyzw", 1)],
        "FrameTransform": [
            ("timestamp", 1, ".google.protobuf.Timestamp"),
            ("parent_frame_id", 2, ".s"),
            ("child_frame_id", 3, ".s"),
            ("translation", 4, ".foxglove.Vector3"),
            ("rotation", 5, ".foxglove.Quaternion"),
        ],
        "FrameTransforms": [("transforms", 1, ".foxglove.FrameTransform")],
    }
    plain = {".d": FieldDescriptorProto.TYPE_DOUBLE, ".s": FieldDescriptorProto.TYPE_STRING}
    for kind, fields in kinds.items():
        message = file.message_type.add(name=kind)
        for name, number, of in fields:
            label = (
                FieldDescriptorProto.LABEL_REPEATED
                if name == "transforms"
                else FieldDescriptorProto.LABEL_OPTIONAL
            )
            field = message.field.add(name=name, number=number, label=label)
            field.type = plain.get(of, FieldDescriptorProto.TYPE_MESSAGE)
            if of not in plain:
                field.type_name = of
    return files


def protobuf(kind, values):
    pool = DescriptorPool()
    for file in descriptors().file:
        pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"foxglove.{kind}"))(**values)


def as_json(kind):
    one = {"timestamp": {"sec": START // 10**9, "nsec": 7}, **VALUES}
    return json.dumps(one if kind == "FrameTransform" else {"transforms": [one]}).encode(), None


def as_protobuf(kind):
    one = {"timestamp": {"seconds": START // 10**9, "nanos": 7}, **VALUES}
    message = protobuf(kind, one if kind == "FrameTransform" else {"transforms": [one]})
    data = descriptors().SerializeToString()
    return message.SerializeToString(), Schema(1, data, "protobuf", f"foxglove.{kind}")


def as_cdr(kind):
    types = typestore().types
    one = types["foxglove_msgs/msg/FrameTransform"](
        timestamp=types["builtin_interfaces/msg/Time"](sec=START // 10**9, nanosec=7),
        parent_frame_id=VALUES["parent_frame_id"],
        child_frame_id=VALUES["child_frame_id"],
        translation=types["geometry_msgs/msg/Vector3"](**VALUES["translation"]),
        rotation=types["geometry_msgs/msg/Quaternion"](**VALUES["rotation"]),
    )
    name = f"foxglove_msgs/msg/{kind}"
    message = one if kind == "FrameTransform" else types[name](transforms=[one])
    return bytes(typestore().serialize_cdr(message, name)), None


@pytest.mark.parametrize("kind", ["FrameTransform", "FrameTransforms"])
@pytest.mark.parametrize("form", [as_json, as_protobuf, as_cdr])
def test_foxgloves_frame_transforms_are_tf(kind, form):
    data, schema = form(kind)
    encoding = form.__name__.removeprefix("as_")
    package = "foxglove_msgs/msg/" if encoding == "cdr" else "foxglove."
    message_type, convert = conversion(f"{package}{kind}", encoding, schema)
    assert message_type == "tf2_msgs/msg/TFMessage"
    message = typestore().deserialize_cdr(convert(data), message_type)
    transforms = RecordedTransforms()
    transforms.add(message, False)
    mounting = transforms.mounting("base_link", "CAM_FRONT", START + 7)
    assert np.allclose(mounting.position, (1.7, 0.0, 1.5))
    assert (mounting.pitch, mounting.yaw, mounting.roll) == pytest.approx((0, 0, 0), abs=1e-12)
    assert convert(data[: len(data) // 2]) == b""
