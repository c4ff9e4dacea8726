"""Foxglove's schemas in protobuf, JSON and CDR, and FFMPEGPacket: cameras as any other."""

import numpy as np
import pytest
from foxglove_files import COUNT, LATE, RECTIFIED, calibration, drive_of, write_foxglove
from recordings import (
    CAMERA,
    ffmpeg_recording,
    h264,
    picture,
    stamp,
    write_mcap,
    write_ros1,
    write_rosbag2,
)
from rosbags.typesys import get_types_from_msg
from rosbags.typesys.store import Typestore

from seg_ros.drive import open_drive
from seg_ros.drive.images import encode_jpeg
from seg_ros.drive.messages import typestore
from seg_ros.errors import SegRosError


def cdr(messages, more=""):
    """The same messages as foxglove_msgs in CDR, of a version with ``more`` fields at the end."""
    store = typestore()
    for topic, kind, log_ns, time_ns, fields in messages:
        name = f"foxglove_msgs/msg/{kind}"
        definition, _ = store.generate_msgdef(name, ros_version=2)
        newer = Typestore()
        newer.register({k: v for k, v in store.fielddefs.items() if k != name})
        newer.register(get_types_from_msg(definition.partition("\n===")[0] + more, name))
        sec, nanosec = divmod(time_ns, 10**9)
        values = {
            key.lower(): (
                np.frombuffer(value, np.uint8)
                if isinstance(value, bytes)
                else np.array(value, np.float64)
                if isinstance(value, list)
                else value
            )
            for key, value in fields.items()
        }
        time = newer.types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
        extra = {"message_id": "0198f"} if more else {}
        message = newer.types[name](timestamp=time, **values, **extra)
        yield topic, name, log_ns, bytes(newer.serialize_cdr(message, name))


FORMS = {
    "protobuf": lambda path, m: write_foxglove(path / "a.mcap", m, "protobuf"),
    "json": lambda path, m: write_foxglove(path / "a.mcap", m, "json"),
    "cdr": lambda path, m: write_mcap(path / "a.mcap", cdr(m)),
    "cdr, newer": lambda path, m: write_mcap(path / "a.mcap", cdr(m, "\nstring message_id\n")),
    "cdr in sqlite3": lambda path, m: write_rosbag2(path / "a", cdr(m), sqlite=True),
    "ROS 1": lambda path, m: write_ros1(path / "a.bag", cdr(m)),
}


@pytest.fixture(params=FORMS)
def write(request, tmp_path):
    return lambda messages: str(FORMS[request.param](tmp_path, messages))


@pytest.mark.parametrize(
    ("kind", "becomes"), [("CompressedImage", "CompressedImage"), ("RawImage", "Image")]
)
def test_a_camera_of_foxglove_is_one_of_ros(write, kind, becomes):
    drive = open_drive(write(drive_of(kind)))
    assert drive.camera == CAMERA
    assert drive.notes == ()
    assert [(t.name, t.message_type, t.count) for t in drive.topics] == [
        (RECTIFIED[0], f"sensor_msgs/msg/{becomes}", COUNT),
        (RECTIFIED[1], "sensor_msgs/msg/CameraInfo", COUNT),
    ]
    frames = list(drive.frames())
    assert [f.stamp_ns for f in frames] == [stamp(i) for i in range(COUNT)]  # theirs, not the log's
    for number, frame in enumerate(frames):
        assert frame.frame_id == "CAM_FRONT"
        message = frame.raw.deserialize()
        assert message.header.stamp.nanosec == stamp(number) % 10**9
        if kind == "RawImage":
            assert (message.encoding, message.step) == ("bgr8", 64 * 3 + 16)
            np.testing.assert_array_equal(frame.decode(), picture(number))
        else:
            assert message.format == "jpeg"
            assert message.data.tobytes() == encode_jpeg(picture(number), 95)
    infos = [info.deserialize() for frame in frames for info in frame.camera_infos]
    assert [info.header.stamp.nanosec for info in infos] == [stamp(i) % 10**9 for i in range(COUNT)]


def test_a_video_of_foxglove(write):
    packets = h264([picture(n // 2, 96, 128) for n in range(COUNT)])

    def recorded():
        for number, packet in enumerate(packets):
            fields = {"frame_id": "front", "format": "h264", "data": packet}
            yield "/front/video", "CompressedVideo", stamp(number) + LATE, stamp(number), fields

    drive = open_drive(write(recorded()))
    frames = list(drive.frames())
    assert [f.stamp_ns for f in frames] == [stamp(i) for i in range(COUNT)]
    assert [f.raw.deserialize().data.tobytes() for f in frames] == packets
    assert all(f.decode().shape == (96, 128, 3) for f in frames)


@pytest.mark.parametrize("name", ["camera_info", "calibration", "camera_calibration"])
def test_the_calibration_beside_it_whatever_its_name(tmp_path, name):
    topics = "/front/image", f"/front/{name}"
    file = write_foxglove(tmp_path / "a.mcap", drive_of("CompressedImage", topics), "protobuf")
    assert open_drive(str(file)).camera == CAMERA


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_fields_that_a_message_does_not_have(tmp_path, encoding):
    def bare():
        fields = calibration()
        return {k: fields[k] for k in ("width", "height", "K")}

    file = write_foxglove(tmp_path / "a.mcap", drive_of("RawImage", info=bare), encoding)
    camera = open_drive(str(file)).camera
    assert np.array_equal(camera.k, CAMERA.k)
    assert not any(camera.distortion)


def test_a_fisheye_has_the_name_that_ros_gives_it(tmp_path):
    def fisheye():
        return calibration(distortion_model="kannala_brandt", D=[0.01, 0.002, 0.0, 0.0])

    file = write_foxglove(tmp_path / "a.mcap", drive_of("RawImage", info=fisheye), "protobuf")
    assert open_drive(str(file)).camera.distortion_model == "equidistant"


def test_a_calibration_that_is_none_says_so(tmp_path):
    def zeros():
        return calibration(K=[0.0] * 9)

    file = write_foxglove(tmp_path / "a.mcap", drive_of("RawImage", info=zeros), "json")
    drive = open_drive(str(file))
    assert drive.camera is None
    assert "CameraInfo on /CAM_FRONT/camera_info is not used" in drive.camera_problem


def test_a_schema_that_cannot_be_read_costs_its_topic_alone(tmp_path):
    file = tmp_path / "a.mcap"
    write_foxglove(file, drive_of("RawImage"), "protobuf", schema=b"\xff\xff no descriptors")
    with pytest.raises(SegRosError, match=r"has no camera topic; it has .*whose schema cannot be"):
        open_drive(str(file))


@pytest.mark.parametrize(
    ("encoding", "wrong"),
    [
        ("json", {"data": "not base64!"}),
        ("json", {"width": "wide"}),
        ("protobuf", {"width": 0}),
        ("protobuf", {"data": b"short"}),
    ],
)
def test_a_damaged_message_costs_its_frame_alone(tmp_path, encoding, wrong):
    messages = list(drive_of("RawImage"))
    messages[5] = (*messages[5][:4], {**messages[5][4], **wrong})
    frames = list(open_drive(str(write_foxglove(tmp_path / "a.mcap", messages, encoding))).frames())
    assert len(frames) == COUNT
    with pytest.raises(SegRosError):
        frames[2].decode()
    np.testing.assert_array_equal(frames[3].decode(), picture(3))


@pytest.mark.parametrize(
    ("codec", "encoding"),
    [
        ("libx264", "h264;yuv420p;bgr8;bgr8"),
        ("libx264", "h264_nvenc"),
        ("libx265", "hevc;yuv420p;bgr8;bgr8"),
        ("libx265", "hevc_vaapi"),
    ],
)
def test_ffmpeg_image_transport(tmp_path, codec, encoding):
    shown = [np.full((96, 128, 3), 20 * n + 30, np.uint8) for n in range(COUNT)]
    bag = write_rosbag2(tmp_path / "bag", ffmpeg_recording(h264(shown, codec), encoding))
    drive = open_drive(str(bag))
    for start in (0, COUNT - 1):  # a piece of it, too
        for frame in drive.frames(start):
            assert frame.stamp_ns == stamp(frame.index)
            assert frame.frame_id == "front"
            assert np.abs(frame.decode().astype(int) - shown[frame.index]).max() < 7


def test_what_ffmpeg_image_transport_can_also_send_is_named(tmp_path):
    bag = write_rosbag2(tmp_path / "bag", ffmpeg_recording([b"\x12\x00rest"], "libsvtav1;yuv420p"))
    (frame,) = open_drive(str(bag)).frames()
    with pytest.raises(SegRosError, match="video format 'libsvtav1;yuv420p' is not read"):
        frame.decode()
