"""Bags in every form: the same frames come out of each."""

import dataclasses
import re
from collections import Counter

import cv2
import numpy as np
import pytest
import yaml
from mcap.writer import CompressionType, IndexType
from recordings import (
    CAMERA,
    CAMERA_INFO,
    IMAGE,
    IMAGES,
    INFOS,
    OTHER,
    UNKNOWN,
    picture,
    recording,
    stamp,
    write_mcap,
    write_ros1,
    write_rosbag2,
)
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionMode

from seg_ros.drive import mcap_file, open_drive
from seg_ros.drive.messages import bag_messages, typestore
from seg_ros.errors import SegRosError

FILE, MESSAGE, CHUNKS = CompressionMode.FILE, CompressionMode.MESSAGE, CompressionMode.STORAGE
ZSTD, LZ4 = CompressionType.ZSTD, CompressionType.LZ4

FORMS = {
    "mcap": lambda path, m: write_mcap(path / "a.mcap", m),
    "mcap zstd": lambda path, m: write_mcap(path / "a.mcap", m, compression=ZSTD),
    "mcap lz4": lambda path, m: write_mcap(path / "a.mcap", m, compression=LZ4),
    "mcap without index": lambda path, m: write_mcap(path / "a.mcap", m, index=IndexType.NONE),
    "mcap without message index": lambda path, m: write_mcap(
        path / "a.mcap", m, index=IndexType.CHUNK
    ),
    "mcap without chunks": lambda path, m: write_mcap(path / "a.mcap", m, use_chunking=False),
    "mcap without statistics": lambda path, m: write_mcap(
        path / "a.mcap", m, use_statistics=False, use_summary_offsets=False
    ),
    "rosbag2 mcap": lambda path, m: write_rosbag2(path / "a", m),
    "rosbag2 mcap zstd": lambda path, m: write_rosbag2(path / "a", m, compression=CHUNKS),
    "rosbag2 mcap messages zstd": lambda path, m: write_rosbag2(path / "a", m, compression=MESSAGE),
    "rosbag2 mcap file zstd": lambda path, m: write_rosbag2(path / "a", m, compression=FILE),
    "rosbag2 sqlite3": lambda path, m: write_rosbag2(path / "a", m, sqlite=True),
    "rosbag2 sqlite3 messages zstd": lambda path, m: write_rosbag2(
        path / "a", m, sqlite=True, compression=MESSAGE
    ),
    "rosbag2 sqlite3 file zstd": lambda path, m: write_rosbag2(
        path / "a", m, sqlite=True, compression=FILE
    ),
    "db3 file": lambda path, m: write_rosbag2(path / "a", m, sqlite=True) / "a.db3",
    "packed mcap file": lambda path, m: (
        write_rosbag2(path / "a", m, compression=FILE) / "a.mcap.zstd"
    ),
    "ROS 1": lambda path, m: write_ros1(path / "a.bag", m),
}


@pytest.fixture(params=FORMS)
def bag(request, tmp_path):
    """A recording of ten frames in each form."""
    return str(FORMS[request.param](tmp_path, recording(10)))


def test_every_form_gives_the_same_frames(bag):
    drive = open_drive(bag)
    assert drive.frame_count == 10
    assert drive.camera == CAMERA
    assert drive.camera_problem == ""
    assert [(t.name, t.message_type, t.count) for t in drive.topics] == [
        (IMAGES, IMAGE, 10),
        (INFOS, CAMERA_INFO, 10),
    ]
    images = {log: data for topic, _, log, data in recording(10) if topic == IMAGES}
    infos = {log: data for topic, _, log, data in recording(10) if topic == INFOS}
    for _ in range(2):  # a drive can be read again
        frames = list(drive.frames())
        assert [f.index for f in frames] == list(range(10))
        assert [f.stamp_ns for f in frames] == [stamp(i) for i in range(10)]
        assert {f.frame_id for f in frames} == {"camera"}
        for frame in frames:
            np.testing.assert_array_equal(frame.decode(), picture(frame.index))
            assert (frame.raw.topic.name, frame.raw.log_ns) == (IMAGES, stamp(frame.index) + 5)
            assert frame.raw.data == images[frame.raw.log_ns]
            (info,) = frame.camera_infos
            assert (info.topic.name, info.log_ns) == (INFOS, stamp(frame.index) + 7)
            assert info.data == infos[info.log_ns]


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 3), (4, 7), (9, None), (10, None), (3, 3), (2, 99)]
)
def test_a_piece_is_the_same_frames_as_in_the_whole(bag, start, stop):
    drive = open_drive(bag)
    whole = [(f.index, f.stamp_ns, f.raw, f.camera_infos) for f in drive.frames()]
    piece = [(f.index, f.stamp_ns, f.raw, f.camera_infos) for f in drive.frames(start, stop)]
    assert piece == whole[start:stop]


def test_chunks_before_a_piece_are_not_unpacked(tmp_path, monkeypatch):
    bag = write_mcap(tmp_path / "a.mcap", recording(30), compression=ZSTD)
    drive = open_drive(str(bag))
    unpacked = []
    unpack = mcap_file._unpacked
    monkeypatch.setattr(
        mcap_file, "_unpacked", lambda data, piece: unpacked.append(piece) or unpack(data, piece)
    )
    assert [f.index for f in drive.frames()] == list(range(30))
    whole = len(unpacked)
    unpacked.clear()
    assert [f.index for f in drive.frames(25, 27)] == [25, 26]
    assert len(unpacked) <= 3 < whole


def split(path, parts, counts=None, sqlite=False):
    """Write a rosbag2 of several files; return its folder."""
    path.mkdir()
    names = []
    for number, messages in enumerate(parts):
        made = write_rosbag2(path.parent / f"{path.name}_{number}", messages, sqlite=sqlite)
        (file,) = (f for f in made.iterdir() if f.suffix != ".yaml")
        names.append(file.rename(path / file.name).name)
        metadata = yaml.safe_load((made / "metadata.yaml").read_text())
    information = metadata["rosbag2_bagfile_information"]
    information["relative_file_paths"] = names
    total = Counter(topic for messages in parts for topic, *_ in messages)
    for entry in information["topics_with_message_count"]:
        name = entry["topic_metadata"]["name"]
        entry["message_count"] = (counts or total)[name]
    (path / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    return path


@pytest.mark.parametrize("sqlite", [False, True])
def test_a_split_bag_is_one_drive(tmp_path, sqlite):
    parts = [recording(4), recording(1, first=4), recording(5, first=5)]
    bag = split(tmp_path / "bag", parts, sqlite=sqlite)
    drive = open_drive(str(bag))
    assert drive.frame_count == 10
    frames = list(drive.frames())
    assert [(f.index, f.stamp_ns) for f in frames] == [(i, stamp(i)) for i in range(10)]
    assert [f.stamp_ns for f in drive.frames(6)] == [stamp(i) for i in range(6, 10)]
    assert all(len(f.camera_infos) == 1 for f in frames)
    # One of its files, named alone, is that file.
    suffix = "db3" if sqlite else "mcap"
    alone = open_drive(str(bag / f"bag_2.{suffix}"))
    assert [f.stamp_ns for f in alone.frames()] == [stamp(i) for i in range(5, 10)]
    # And without metadata.yaml the files tell their order.
    (bag / "metadata.yaml").unlink()
    assert [f.stamp_ns for f in open_drive(str(bag)).frames()] == [stamp(i) for i in range(10)]


def test_splits_that_overlap_come_in_log_order(tmp_path):
    messages = recording(10)
    late = [m for m in messages if m[2] in (stamp(3) + 5, stamp(6) + 5)]
    parts = [[m for m in messages[:15] if m not in late], late + messages[15:18], messages[21:]]
    parts[2] += [m for m in messages[18:21] if m not in late]
    drive = open_drive(str(split(tmp_path / "bag", parts)))
    assert [f.stamp_ns for f in drive.frames()] == [stamp(i) for i in range(10)]
    assert [f.stamp_ns for f in drive.frames(7, 9)] == [stamp(7), stamp(8)]


@pytest.mark.parametrize("form", ["mcap", "mcap without chunks", "rosbag2 sqlite3", "ROS 1"])
def test_messages_written_out_of_order_come_in_log_order(tmp_path, form):
    messages = recording(12)
    order = np.random.default_rng(1).permutation(len(messages))
    drive = open_drive(str(FORMS[form](tmp_path, [messages[i] for i in order])))
    assert [f.stamp_ns for f in drive.frames()] == [stamp(i) for i in range(12)]
    assert [f.stamp_ns for f in drive.frames(5)] == [stamp(i) for i in range(5, 12)]


@pytest.mark.parametrize("form", ["mcap", "rosbag2 mcap", "rosbag2 sqlite3", "ROS 1"])
def test_frames_of_one_log_time_are_all_there(tmp_path, form):
    messages = [(topic, kind, 10**18, data) for topic, kind, _, data in recording(6)]
    drive = open_drive(str(FORMS[form](tmp_path, messages)))
    assert [f.stamp_ns for f in drive.frames()] == [stamp(i) for i in range(6)]
    assert [f.stamp_ns for f in drive.frames(4)] == [stamp(4), stamp(5)]


def test_folders_are_read_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9):
        write_mcap(tmp_path / f"run_{number}.mcap", recording(2, first=2 * (number - 9)))
    assert [f.stamp_ns for f in open_drive(str(tmp_path)).frames()] == [stamp(i) for i in range(4)]
    write_mcap(tmp_path / "other_0.mcap", recording(1))
    with pytest.raises(SegRosError, match=r"name one of other_0.mcap, run_9.mcap, run_10.mcap"):
        open_drive(str(tmp_path))


def test_metadata_that_cannot_be_read_costs_no_frame_and_is_reported(tmp_path):
    bag = write_rosbag2(tmp_path / "bag", recording(3))
    (bag / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: [")
    drive = open_drive(str(bag))
    frames = []
    with pytest.raises(SegRosError, match=r"metadata.yaml cannot be read .* 'ros2 bag reindex'"):
        frames.extend(drive.frames())
    assert [f.stamp_ns for f in frames] == [stamp(i) for i in range(3)]


def test_a_file_that_is_absent_ends_the_drive(tmp_path):
    bag = split(tmp_path / "bag", [recording(2), recording(2, first=2), recording(2, first=4)])
    (bag / "bag_1.mcap").unlink()
    drive = open_drive(str(bag))
    assert drive.frame_count == 6
    frames = []
    with pytest.raises(SegRosError, match=r"cannot read .*bag_1.mcap: No such file"):
        frames.extend(drive.frames())
    assert [f.stamp_ns for f in frames] == [stamp(0), stamp(1)]


def test_fewer_messages_than_the_bag_says_are_reported(tmp_path):
    counts = {IMAGES: 6, INFOS: 4, OTHER: 4}
    bag = split(tmp_path / "bag", [recording(2), recording(2, first=2)], counts)
    frames = []
    with pytest.raises(SegRosError, match=r"2 messages on /cam/image_raw are missing"):
        frames.extend(open_drive(str(bag)).frames())
    assert len(frames) == 4
    assert len(list(open_drive(str(bag)).frames(0, 4))) == 4  # a piece cannot tell


def test_what_is_in_the_bag_beside_the_camera_is_no_matter(tmp_path):
    messages = recording(2)
    messages += [("/odd", "odd_msgs/msg/Odd", 5, b"\0\1\0\0"), ("/log", "foxglove.Log", 6, b"{}")]
    definitions = {"odd_msgs/msg/Odd": "%( no definition", "foxglove.Log": "{}"}
    bag = write_mcap(tmp_path / "a.mcap", messages, definitions=definitions)
    assert [f.stamp_ns for f in open_drive(str(bag)).frames()] == [stamp(0), stamp(1)]


@pytest.mark.parametrize("sqlite", [False, True])
def test_qos_is_kept(tmp_path, sqlite):
    second = QosTime(1, 0)
    qos = Qos(
        QosHistory.KEEP_LAST,
        5,
        QosReliability.BEST_EFFORT,
        QosDurability.VOLATILE,
        second,
        second,
        QosLiveliness.AUTOMATIC,
        second,
        False,
    )
    path = tmp_path / "bag"
    bag = write_rosbag2(path, recording(1), sqlite=sqlite, qos={IMAGES: [qos]})
    image, info = open_drive(str(bag)).topics
    assert image.qos == (qos,)
    assert info.qos == ()


def messages_on(topics):
    """One small picture or CameraInfo on each topic."""
    library, store = bag_messages(), typestore()
    header = library.header(stamp(0), "camera")
    made = {
        IMAGE: library.image(header, picture(0)),
        "sensor_msgs/msg/CompressedImage": library.jpeg(header, b"no jpeg"),
        CAMERA_INFO: library.camera_info(header, CAMERA),
    }
    return [
        (topic, kind, stamp(0) + number, bytes(store.serialize_cdr(made[kind], kind)))
        for number, (topic, kind) in enumerate(topics.items())
    ]


COMPRESSED = "sensor_msgs/msg/CompressedImage"


@pytest.mark.parametrize(
    ("image", "kind", "info", "found"),
    [
        ("/cam/image_raw", IMAGE, "/cam/camera_info", True),
        ("/cam/image_raw/compressed", COMPRESSED, "/cam/camera_info", True),
        ("/cam/image_rect_color", IMAGE, "/cam/camera_info", True),
        ("/cam/compressed", COMPRESSED, "/cam/camera_info", True),
        ("/image_raw", IMAGE, "/camera_info", True),
        ("/image_raw/compressed", COMPRESSED, "/camera_info", True),
        ("/a/cam/image_raw", IMAGE, "/b/cam/camera_info", False),
        ("/a/cam/image_raw", IMAGE, "/a/camera_info", False),
    ],
)
def test_the_camera_info_beside_the_image_is_its_own(tmp_path, image, kind, info, found):
    bag = write_mcap(tmp_path / "a.mcap", messages_on({image: kind, info: CAMERA_INFO}))
    drive = open_drive(str(bag))
    assert (drive.camera == CAMERA) is found
    expected = (
        "" if found else f"has no /a/cam/camera_info for {image}; it has CameraInfo on {info}"
    )
    assert expected in drive.camera_problem
    assert bool(drive.camera_problem) is not found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"k": np.zeros(9)}, r"/cam/camera_info is not used: camera is not calibrated: fx = 0.0"),
        ({"distortion_model": "fancy"}, r"not used: distortion model 'fancy' is unknown"),
        ({"width": 0}, r"not used: camera size 0x48 must be positive"),
    ],
)
def test_a_calibration_that_is_not_used_says_why(tmp_path, change, reason):
    messages = recording(1)
    info = bag_messages().camera_info(bag_messages().header(1, "camera"), CAMERA)
    data = bytes(typestore().serialize_cdr(dataclasses.replace(info, **change), CAMERA_INFO))
    messages[1] = (INFOS, CAMERA_INFO, stamp(0), data)
    drive = open_drive(str(write_mcap(tmp_path / "a.mcap", messages)))
    assert drive.camera is None
    assert re.search(reason, drive.camera_problem)
    assert [t.name for t in drive.topics] == [IMAGES, INFOS]  # still there to be copied


def test_camera_infos_come_once_with_the_frame_before_them(tmp_path):
    image, info = ((m[1], m[3]) for m in recording(1)[:2])
    times = [("i", 1), ("i", 2), ("f", 3), ("f", 4), ("i", 5), ("i", 6), ("f", 7), ("i", 8)]
    messages = [
        (IMAGES, image[0], t, image[1]) if what == "f" else (INFOS, info[0], t, info[1])
        for what, t in times
    ]
    drive = open_drive(str(write_mcap(tmp_path / "a.mcap", messages)))
    with_frames = [(f.raw.log_ns, [i.log_ns for i in f.camera_infos]) for f in drive.frames()]
    assert with_frames == [(3, [1, 2]), (4, [5, 6]), (7, [8])]
    assert [[i.log_ns for i in f.camera_infos] for f in drive.frames(1, 2)] == [[5, 6]]


def test_the_list_of_cameras_says_what_each_is(tmp_path):
    topics = {
        "/front/image": IMAGE,
        "/rear/image/compressed": COMPRESSED,
        "/depth/image/compressedDepth": COMPRESSED,
    }
    bag = str(write_mcap(tmp_path / "a.mcap", messages_on(topics)))
    with pytest.raises(SegRosError) as error:
        open_drive(bag)
    assert str(error.value) == (
        f"bag {bag} has several camera topics, choose one: /front/image (Image, 1 message, 64x48); "
        "/rear/image/compressed (CompressedImage, 1 message)"
    )
    with pytest.raises(SegRosError, match=r"no camera topic /left; it has /front/image \(Image"):
        open_drive(bag, "/left")
    (frame,) = open_drive(bag, "/front/image").frames()
    np.testing.assert_array_equal(frame.decode(), picture(0))


def test_a_camera_topic_without_messages_is_no_choice(tmp_path):
    bag = write_rosbag2(tmp_path / "bag", recording(1), empty={"/cam/image_rect": IMAGE})
    assert open_drive(str(bag)).topics[0].name == IMAGES


def test_a_bag_without_a_camera_lists_what_it_has(tmp_path):
    bag = write_mcap(tmp_path / "a.mcap", [m for m in recording(1) if m[0] == OTHER])
    with pytest.raises(SegRosError, match=rf"no camera topic; it has {OTHER} \({UNKNOWN}\)"):
        open_drive(str(bag))


def test_other_drives_say_why_they_have_no_camera(tmp_path):
    cv2.imwrite(str(tmp_path / "f1.png"), picture(0))
    assert "--camera" in open_drive(str(tmp_path)).camera_problem
    drive = open_drive(str(tmp_path))
    assert [f.index for f in drive.frames(1)] == []
    assert [f.index for f in drive.frames(0, 5)] == [0]


def test_pieces_of_real_drives(real_drives):
    drive = open_drive(str(real_drives / "highway"))
    whole = [(f.index, f.stamp_ns, f.raw.log_ns) for f in drive.frames()]
    parts = [drive.frames(0, 70), drive.frames(70, 140), drive.frames(140)]
    assert [(f.index, f.stamp_ns, f.raw.log_ns) for p in parts for f in p] == whole
    video = open_drive(str(real_drives / "highway.mp4"))
    (piece,) = video.frames(60, 61)
    assert piece.stamp_ns == 7 * 10**9
    # The video was made from the same frames.
    (same,) = drive.frames(60, 61)
    assert np.abs(piece.decode().astype(int) - same.decode()).mean() < 3
