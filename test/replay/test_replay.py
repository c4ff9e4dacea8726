import json
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from foxglove_files import RECTIFIED, drive_of, write_foxglove
from recordings import (
    CAMERA_INFO,
    FFMPEG,
    IMAGE,
    IMAGES,
    INFOS,
    ffmpeg_recording,
    h264,
    picture,
    recording,
    write_mcap,
    write_ros1,
)
from rosbags.highlevel import AnyReader
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from support import write_bag

from seg_ros import cli
from seg_ros.drive import open_drive
from seg_ros.drive.images import decode_image
from seg_ros.drive.messages import stamp_ns, typestore
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.camera_file import save_camera
from seg_ros.results.bag_topics import CONTACT_TOPIC, GRID_TOPIC, MASK_TOPIC, OVERLAY_TOPIC
from seg_ros.results.outputs import CALIBRATION_NAMES, REPLAY_NAMES, OutputFolder
from seg_ros.results.result_bag import read_result
from seg_ros.results.video import OverlayVideo

CAMERA = CameraModel(640, 360, 500.0, 500.0, 319.5, 179.5)
SENSOR_QOS = Qos(
    QosHistory.KEEP_LAST,
    5,
    QosReliability.BEST_EFFORT,
    QosDurability.VOLATILE,
    QosTime(0, 0),
    QosTime(0, 0),
    QosLiveliness.AUTOMATIC,
    QosTime(0, 0),
    False,
)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory, scene):
    """A bag of six frames with uneven stamps, replayed through the command line once."""
    folder = tmp_path_factory.mktemp("replay")
    frames = [
        (1_600_000_000_123_456_789 + i * 99_999_999 + i**3, scene[i * 25].image) for i in range(6)
    ]
    bag = write_bag(folder / "bag", frames, camera=CAMERA, qos=[SENSOR_QOS])
    code = cli.main(
        [
            "replay",
            "--no-calibrate",
            str(bag),
            "-o",
            str(folder / "out"),
            "--json",
            str(folder / "figures.json"),
        ]
    )
    return code, frames, folder


def test_every_frame_once_in_order_with_its_stamp(replayed, segmenter):
    code, frames, folder = replayed
    assert code == 0
    masks = list(read_result(folder / "out" / "result", MASK_TOPIC))
    assert [stamp for stamp, _ in masks] == [stamp for stamp, _ in frames]
    for (_, message), (_, image) in zip(masks, frames, strict=True):
        assert message.encoding == "mono8"
        assert message.step == message.width == 640
        assert message.header.frame_id == "camera"
        expected = segmenter.segment(image).class_mask()
        assert np.array_equal(decode_image(message)[:, :, 0], expected)
    for topic in (OVERLAY_TOPIC, GRID_TOPIC, CONTACT_TOPIC):
        stamps = [stamp for stamp, _ in read_result(folder / "out" / "result", topic)]
        assert stamps == [stamp for stamp, _ in frames]


def test_the_result_is_a_rosbag2_with_types_and_qos(replayed):
    _, frames, folder = replayed
    bag = folder / "out" / "result"
    assert {f.name for f in bag.iterdir()} == {"metadata.yaml", "result.mcap"}
    with AnyReader([bag], default_typestore=typestore()) as reader:
        offered = {c.topic: c for c in reader.connections}
        assert {t: c.msgtype for t, c in offered.items()} == {
            MASK_TOPIC: "sensor_msgs/msg/Image",
            OVERLAY_TOPIC: "sensor_msgs/msg/CompressedImage",
            GRID_TOPIC: "nav_msgs/msg/OccupancyGrid",
            CONTACT_TOPIC: "sensor_msgs/msg/LaserScan",
            "/segmentation/label_info": "vision_msgs/msg/LabelInfo",
            "/tf_static": "tf2_msgs/msg/TFMessage",
            "/camera/image_raw": "sensor_msgs/msg/Image",
            "/camera/camera_info": "sensor_msgs/msg/CameraInfo",
        }
        made = {t: c for t, c in offered.items() if t.startswith("/segmentation/")}
        durability = {t: c.ext.offered_qos_profiles[0].durability.name for t, c in made.items()}
        assert durability[GRID_TOPIC] == "TRANSIENT_LOCAL"
        assert durability[MASK_TOPIC] == "VOLATILE"
        reliability = {t: c.ext.offered_qos_profiles[0].reliability.name for t, c in made.items()}
        assert reliability[CONTACT_TOPIC] == "BEST_EFFORT"
        assert reliability[GRID_TOPIC] == "RELIABLE"
        times = [time for _, time, _ in reader.messages(connections=[offered[MASK_TOPIC]])]
        assert times == [stamp for stamp, _ in frames]


def test_camera_messages_are_copied_as_they_were_recorded(replayed):
    _, frames, folder = replayed
    read = {}
    for name in ("bag", "out/result"):
        with AnyReader([folder / name], default_typestore=typestore()) as reader:
            wanted = [c for c in reader.connections if c.topic.startswith("/camera/")]
            read[name] = {
                c.topic: (
                    c.msgtype,
                    c.msgdef,
                    c.ext.offered_qos_profiles,
                    [bytes(data) for *_, data in reader.messages(connections=[c])],
                )
                for c in wanted
            }
    assert read["bag"] == read["out/result"]
    _, _, qos, images = read["out/result"]["/camera/image_raw"]
    assert qos == [SENSOR_QOS]
    assert len(images) == len(frames)


def test_a_video_is_shown_as_jpeg_with_its_camera(tmp_path, scene):
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), scene[0].image)
    save_camera(CAMERA, tmp_path / "camera.yaml")
    command = ["replay", "--no-calibrate", str(folder), "-o", str(tmp_path / "out")]
    assert cli.main([*command, "--camera", str(tmp_path / "camera.yaml")]) == 0
    bag = tmp_path / "out" / "result"
    ((stamp, jpeg),) = read_result(bag, "/image/compressed")
    assert stamp == 10**9
    assert cv2.PSNR(cv2.imdecode(jpeg.data, cv2.IMREAD_COLOR), scene[0].image) > 30
    ((_, info),) = read_result(bag, "/camera_info")
    assert (info.width, info.height, info.k[0]) == (640, 360, 500.0)


def test_the_video_shows_the_overlays_at_their_times(replayed):
    _, frames, folder = replayed
    with av.open(str(folder / "out" / "overlay.mp4")) as video:
        (stream,) = video.streams
        assert stream.codec_context.name == "h264"
        shown = list(video.decode(stream))
    assert len(shown) == 6
    seconds = [(stamp - frames[0][0]) / 1e9 for stamp, _ in frames]
    assert [float(f.pts * f.time_base) for f in shown] == pytest.approx(seconds, abs=1e-4)
    overlays = read_result(folder / "out" / "result", OVERLAY_TOPIC)
    for shot, (_, message) in zip(shown, overlays, strict=True):
        expected = cv2.imdecode(np.asarray(message.data), cv2.IMREAD_COLOR)
        assert cv2.PSNR(shot.to_ndarray(format="bgr24"), expected) > 28


def test_the_sheet_and_the_figures(replayed):
    _, _, folder = replayed
    sheet = cv2.imread(str(folder / "out" / "sheet.png"))
    assert sheet.shape[0] > 5 * 240  # five rows
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["frames_in"] == figures["frames_out"] == 6
    assert figures["rejected"] == 0
    assert set(figures["outputs"]) == {
        "result/metadata.yaml",
        "result/result.mcap",
        "overlay.mp4",
    }
    assert figures["engine"].startswith("openvino")
    assert figures["model"] == "camvid-b0"
    assert 0.1 < figures["driveable_share"] < 0.9
    assert {f.name for f in (folder / "out").iterdir()} == {*REPLAY_NAMES} - {*CALIBRATION_NAMES}


def test_results_are_not_replaced_unasked(replayed, capsys):
    _, _, folder = replayed
    before = (folder / "out" / "result" / "result.mcap").read_bytes()
    assert (
        cli.main(["replay", "--no-calibrate", str(folder / "bag"), "-o", str(folder / "out")]) == 1
    )
    said = capsys.readouterr().err
    assert "already holds result, overlay.mp4, sheet.png" in said
    assert (folder / "out" / "result" / "result.mcap").read_bytes() == before


def test_a_damaged_frame_is_reported_and_left_out(tmp_path, scene, capsys):
    frames = [(10**9 + i, scene[i].image) for i in range(3)]
    bag = write_bag(tmp_path / "bag", frames, compressed=True)
    file = bag / "bag.mcap"
    data = bytearray(file.read_bytes())
    second = data.index(b"\xff\xd8", data.index(b"\xff\xd8") + 2)
    data[second : second + 2] = b"??"
    file.write_bytes(data)
    out = tmp_path / "out"
    figures = tmp_path / "figures.json"
    assert (
        cli.main(["replay", "--no-calibrate", str(bag), "-o", str(out), "--json", str(figures)])
        == 0
    )
    assert "frame 1: compressed image of" in capsys.readouterr().err
    assert [stamp for stamp, _ in read_result(out / "result", MASK_TOPIC)] == [10**9, 10**9 + 2]
    assert json.loads(figures.read_text())["rejected"] == 1


def test_a_camera_file_gives_the_grid_a_video_has_none(tmp_path, scene):
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), scene[0].image)
    assert cli.main(["replay", "--no-calibrate", str(folder), "-o", str(tmp_path / "without")]) == 0
    assert not list(read_result(tmp_path / "without" / "result", GRID_TOPIC))
    save_camera(CAMERA, tmp_path / "camera.yaml")
    command = ["replay", "--no-calibrate", str(folder), "-o", str(tmp_path / "with")]
    assert cli.main([*command, "--camera", str(tmp_path / "camera.yaml")]) == 0
    ((stamp, grid),) = read_result(tmp_path / "with" / "result", GRID_TOPIC)
    assert stamp == stamp_ns(grid.header.stamp) == 10**9
    assert set(np.unique(grid.data)) <= {-1, 0, 100}
    assert 0 in grid.data


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["replay", "--no-calibrate", "/nowhere", "-o", "{tmp}/out"],
            "drive /nowhere does not exist",
        ),
        (
            ["replay", "--no-calibrate", "synthetic", "-o", "{tmp}/out", "--model", "x"],
            "model 'x' is neither",
        ),
        (
            [
                "replay",
                "--no-calibrate",
                "synthetic",
                "-o",
                "{tmp}/out",
                "--camera",
                "{tmp}/c.yaml",
            ],
            "camera file",
        ),
        (
            ["replay", "--no-calibrate", "synthetic", "-o", "/proc/nowhere"],
            "cannot write into /proc/nowhere",
        ),
        (["play", "synthetic", "--rate", "0"], "--rate 0.0 must be positive"),
    ],
)
def test_errors_are_one_line_and_exit_code_1(tmp_path, capsys, arguments, said):
    assert cli.main([a.replace("{tmp}", str(tmp_path)) for a in arguments]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out" / "result").exists()


def test_unfinished_work_is_not_in_the_results_place(tmp_path):
    folder = OutputFolder(tmp_path)
    (folder.work / "result").mkdir()
    assert not (tmp_path / "result").exists()
    folder = OutputFolder(tmp_path)  # a later run starts clean
    assert not list(folder.work.iterdir())
    (folder.work / "sheet.png").write_text("whole")
    assert folder.publish() == [tmp_path / "sheet.png"]
    with pytest.raises(SegRosError, match=r"already holds sheet.png"):
        OutputFolder(tmp_path)


def test_a_video_of_odd_size_with_stamps_that_step_back(tmp_path):
    with OverlayVideo(tmp_path / "v.mp4") as video:
        for stamp in (5_000_000_000, 5_100_000_000, 5_050_000_000):
            video.add(stamp, np.full((37, 51, 3), 100, np.uint8))
    with av.open(str(tmp_path / "v.mp4")) as container:
        times = [f.pts * f.time_base for f in container.decode(video=0)]
        assert (container.streams[0].width, container.streams[0].height) == (50, 36)
    assert times[:2] == [0, Fraction(1, 10)]
    assert times[2] > times[1]


def test_models_are_listed(capsys):
    assert cli.main(["models"]) == 0
    assert "camvid-b0 (default)" in capsys.readouterr().out


def test_the_real_highway_once_through(tmp_path, real_drives):
    drive = open_drive(str(real_drives / "highway"))
    stamps = [f.stamp_ns for f in drive.frames()]
    out = tmp_path / "out"
    assert cli.main(["replay", "--no-calibrate", str(real_drives / "highway"), "-o", str(out)]) == 0
    assert [stamp for stamp, _ in read_result(out / "result", MASK_TOPIC)] == stamps


def test_a_ros_1_bags_camera_is_written_as_what_it_then_is(tmp_path):
    """Whoever reads the result by its own definitions gets what was recorded."""
    messages = [m for m in recording(6) if m[1] in (IMAGE, CAMERA_INFO)]
    bag = write_ros1(tmp_path / "drive.bag", messages)
    assert cli.main(["replay", "--no-calibrate", str(bag), "-o", str(tmp_path / "out")]) == 0
    with AnyReader([tmp_path / "out" / "result"]) as reader:
        wanted = [c for c in reader.connections if c.topic in (IMAGES, INFOS)]
        assert all("seq" not in str(c.msgdef.data).split() for c in wanted)
        copied = sorted((c.topic, bytes(data)) for c, _, data in reader.messages(wanted))
        for connection, _, data in reader.messages(wanted):
            assert reader.deserialize(data, connection.msgtype).header.frame_id == "camera"
    assert copied == sorted((topic, data) for topic, _, _, data in messages)


def read_by_its_own_definitions(result, topic):
    with AnyReader([result]) as reader:
        wanted = [c for c in reader.connections if c.topic == topic]
        for connection, _, data in reader.messages(wanted):
            yield connection.msgtype, reader.deserialize(data, connection.msgtype)


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_a_camera_of_foxglove_is_written_as_ros_has_it(tmp_path, encoding):
    bag = write_foxglove(tmp_path / "drive.mcap", drive_of("CompressedImage"), encoding)
    assert cli.main(["replay", "--no-calibrate", str(bag), "-o", str(tmp_path / "out")]) == 0
    result = tmp_path / "out" / "result"
    frames = list(open_drive(str(bag)).frames())
    copied = list(read_by_its_own_definitions(result, RECTIFIED[0]))
    assert [kind for kind, _ in copied] == ["sensor_msgs/msg/CompressedImage"] * len(frames)
    for frame, (_, message) in zip(frames, copied, strict=True):
        assert stamp_ns(message.header.stamp) == frame.stamp_ns
        np.testing.assert_array_equal(message.data, frame.raw.deserialize().data)
    infos = list(read_by_its_own_definitions(result, RECTIFIED[1]))
    assert [kind for kind, _ in infos] == [CAMERA_INFO] * len(frames)
    assert len(list(read_result(result, GRID_TOPIC))) == len(frames)


def test_packets_of_ffmpeg_image_transport_are_copied_as_they_are(tmp_path):
    packets = h264([picture(n, 96, 128) for n in range(4)])
    messages = list(ffmpeg_recording(packets, "h264;yuv420p;bgr8;bgr8"))
    bag = write_mcap(tmp_path / "drive.mcap", messages)
    assert cli.main(["replay", "--no-calibrate", str(bag), "-o", str(tmp_path / "out")]) == 0
    copied = list(read_by_its_own_definitions(tmp_path / "out" / "result", messages[0][0]))
    assert [kind for kind, _ in copied] == [FFMPEG] * len(packets)
    assert [message.data.tobytes() for _, message in copied] == packets
