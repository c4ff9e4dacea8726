"""A replay takes the node's parameter file, and its grids are the node's, byte for byte."""

import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from quick_engine import QuickEngine
from support import running_node
from vehicle_drive import (
    FOLLOWED,
    LEVEL,
    ODOMETRY,
    START,
    TF,
    camera_messages,
    long_drive,
    motion_messages,
    odometry,
    quaternion,
    transform,
    write,
)

from seg_ros import cli
from seg_ros.drive import open_drive
from seg_ros.drive.messages import stamp_ns, typestore
from seg_ros.errors import SegRosError
from seg_ros.ground.mounting import Source
from seg_ros.labels import load_label_set
from seg_ros.replay.replay import Replay, make_pipelines
from seg_ros.replay.run_files import SAVE_EVERY, State
from seg_ros.replay.settings import ReplaySettings, read_settings
from seg_ros.results import topics
from seg_ros.results.bag_topics import CONTACT_TOPIC, GRID_TOPIC
from seg_ros.results.result_bag import read_result
from seg_ros.segment.segmenter import Segmenter

LABELS = load_label_set("camvid")

PARAMETERS = """
/**:
  ros__parameters:
    autostart: true
    publish_color: false
    grid_frame: odom
    grid_fusion: true
    grid_profile: autoware
    grid_resolution: 0.2
    grid_x_min: 1.0
    grid_x_max: 21.0
    grid_y_min: -6.0
    grid_y_max: 8.0
    grid_contact_depth: 0.6
    grid_max_row_span: 0.9
    grid_min_confidence: 0.3
    grid_ignored: "0.2 0.9, 0.8 0.9, 0.8 1, 0.2 1"
    attitude_source: imu
    attitude_slope_time: 1.0
    odometry_tolerance: 0.2
    camera_x: {x}
    camera_z: {z}
    camera_pitch: {pitch}
"""


def parameters(tmp_path, camera, text=PARAMETERS):
    at = camera.mounting
    file = tmp_path / "params.yaml"
    file.write_text(text.format(x=float(at.x), z=float(at.z), pitch=float(at.pitch)))
    return file


def test_grids_are_those_of_the_node_byte_for_byte(tmp_path, client, scene):
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from seg_ros.ros.messages import message_class, ros_messages

    camera, images = scene.camera, [scene[i * 12].image for i in range(8)]
    messages = [*camera_messages(images, camera), *motion_messages(len(images))]
    bag = write(tmp_path / "drive.mcap", messages)
    file = parameters(tmp_path, camera)
    command = [
        "replay",
        "--no-calibrate",
        str(bag),
        "-o",
        str(tmp_path / "out"),
        "--no-report",
        "--no-video",
    ]
    assert cli.main([*command, "--params-file", str(file)]) == 0
    replayed = {
        topic: dict(read_result(tmp_path / "out" / "result", topic))
        for topic in (GRID_TOPIC, CONTACT_TOPIC)
    }

    def ours(message, kind):
        """The same message of rclpy's, by way of its bytes."""
        from rclpy.serialization import deserialize_message

        data = bytes(typestore().serialize_cdr(message, kind))
        return deserialize_message(data, message_class(kind))

    sent = {
        "/cam/camera_info": topics.CAMERA_INFO,
        "/cam/image_raw": topics.IMAGE,
        "/odom": topics.ODOMETRY,
        "/imu/data": topics.IMU,
    }
    with running_node(tmp_path / "node.log", "--params-file", str(file)):
        client.listen(topics.GRID, topics.CONTACTS)
        publishers = {name: client.publisher(topic) for name, topic in sent.items()}
        frames = 0
        for _, name, kind, message in sorted(messages, key=lambda m: m[0]):
            if name == "/cam/image_raw":
                client.settle()  # what came before has been heard
            publishers[name].publish(ours(message, kind))
            if name == "/cam/image_raw":
                frames += 1
                client.wait_for(topics.GRID, frames)
        grids, scans = (client.messages[t.name] for t in (topics.GRID, topics.CONTACTS))
        client.wait_for(topics.CONTACTS, frames)
    assert ros_messages() is not None
    assert [stamp_ns(g.header.stamp) for g in grids] == sorted(replayed[GRID_TOPIC])
    assert len(grids) == len(images)
    seen = set()
    for live in grids:
        grid = replayed[GRID_TOPIC][stamp_ns(live.header.stamp)]
        assert live.header.frame_id == grid.header.frame_id == "odom"
        assert (live.info.width, live.info.height) == (grid.info.width, grid.info.height)
        at = live.info.origin.position
        assert (at.x, at.y) == (grid.info.origin.position.x, grid.info.origin.position.y)
        assert bytes(live.data) == grid.data.tobytes()
        seen |= set(grid.data.tolist())
    assert seen == {1, 50, 99}
    for live in scans:
        scan = replayed[CONTACT_TOPIC][stamp_ns(live.header.stamp)]
        assert live.header.frame_id == scan.header.frame_id == "base_link"
        assert np.array(live.ranges, np.float32).tobytes() == scan.ranges.tobytes()


@pytest.fixture
def quick():
    return lambda: make_pipelines(Segmenter(QuickEngine(), LABELS, "quick"), 2)


def test_fused_grids_of_an_interrupted_run_are_those_of_a_whole_one(tmp_path, scene, quick):
    drive = long_drive(tmp_path / "drive.mcap", scene)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    Replay(drive, quick(), None, settings=FOLLOWED).run(whole)
    seen = []

    def interrupt():
        seen.append(1)
        if len(seen) == SAVE_EVERY + 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Replay(drive, quick(), None, settings=FOLLOWED, on_frame=interrupt).run(broken)
    assert State.load(broken).frames == SAVE_EVERY
    Replay(drive, quick(), None, settings=FOLLOWED).run(broken)
    name = "result/result.mcap"
    assert (broken / name).read_bytes() == (whole / name).read_bytes()
    grids = [message.data for _, message in read_result(whole / "result", GRID_TOPIC)]
    assert len(grids) == drive.frame_count
    assert len({bytes(g) for g in grids}) > 40
    (broken / f"ground.{drive.frame_count}.npz").write_bytes(b"no zip")
    with pytest.raises(SegRosError, match=r"ground\.\d+\.npz cannot be read .*--replace"):
        Replay(drive, quick(), None, settings=FOLLOWED).run(broken)


def test_without_what_is_asked_for_there_is_no_grid_and_several_are_chosen_from(
    tmp_path, scene, quick
):
    camera = scene.camera.scaled(320, 180)
    messages = list(camera_messages([scene[0].image[::2, ::2]] * 2, camera))
    path = write(tmp_path / "a.mcap", messages)
    wanted = {"grid_frame": "odom", "attitude_source": "imu"}
    assert grids_of(path, tmp_path / "a", quick, **wanted) == (
        {},
        [
            f"no grid: bag {path} has no nav_msgs/msg/Odometry for odometry and no "
            "sensor_msgs/msg/Imu for imu"
        ],
    )
    work = tmp_path / "pictures"
    (work / "work").mkdir(parents=True)
    cv2.imwrite(str(work / "1.png"), scene[0].image)
    notes = []
    settings = ReplaySettings({"mounting_source": "tf"})
    Replay(open_drive(str(work)), quick(), camera, None, settings, on_note=notes.append).run(
        work / "work"
    )
    assert notes == [f"no grid: {work} is no bag, so it has no TF"]
    two = [(START + i, f"/{i}/odom", ODOMETRY, odometry(START, 0, 0)) for i in range(2)]
    drive = open_drive(str(write(tmp_path / "b.mcap", [*messages, *two])))
    settings = ReplaySettings({"grid_frame": "odom"})
    with pytest.raises(SegRosError, match="several topics for odometry, choose one with --odom"):
        settings.views(drive, None)
    replace(settings, topics={"odometry": "/1/odom"}).views(drive, None)
    with pytest.raises(SegRosError, match="no nav_msgs/msg/Odometry on /2/odom; it has /0/odom"):
        replace(settings, topics={"odometry": "/2/odom"}).views(drive, None)


def test_what_the_node_would_not_use_is_said_once_and_counts_for_nothing(tmp_path, scene, quick):
    work = tmp_path / "work"
    work.mkdir()
    camera, image = scene.camera.scaled(320, 180), scene[0].image[::2, ::2]
    stamps = [START + i * 100_000_000 for i in range(4)]
    messages = [
        *camera_messages([image] * 4, camera),
        *((s - 5, "/odom", ODOMETRY, odometry(s, 1.0, 0.0, "map")) for s in stamps[:2]),
        *((s - 5, "/odom", ODOMETRY, odometry(s, 1.0, 0.0, child="gps")) for s in stamps[2:]),
    ]
    drive = open_drive(str(write(tmp_path / "a.mcap", messages)))
    notes = []
    settings = ReplaySettings({"grid_frame": "odom"})
    Replay(drive, quick(), None, settings=settings, on_note=notes.append).run(work)
    assert list(read_result(work / "result", GRID_TOPIC)) == []
    assert [n.partition(";")[0] for n in notes] == [
        "not used: odometry: it is in frame 'map', grid_frame is 'odom'",
        "no grid: odometry: it is in frame 'map', grid_frame is 'odom'",
        "not used: odometry: it is of 'gps', not of base_frame 'base_link'",
        "no grid: odometry: it is of 'gps', not of base_frame 'base_link'",
    ]


def grids_of(path, work, quick, **values):
    work.mkdir()
    notes = []
    settings = ReplaySettings(values)
    Replay(open_drive(str(path)), quick(), None, settings=settings, on_note=notes.append).run(work)
    found = dict(read_result(work / "result", GRID_TOPIC))
    return {(s - START) // 100_000_000: m.data.tobytes() for s, m in found.items()}, notes


def test_the_mounting_comes_from_recorded_tf_at_the_stamp(tmp_path, scene, quick):
    """A mast that nods, a camera fixed on it: the same grids as with the pitch at each frame."""
    camera, images = scene.camera.scaled(320, 180), [scene[0].image[::2, ::2]] * 3
    optical = typestore().types["geometry_msgs/msg/Quaternion"](**LEVEL)
    frames = list(camera_messages(images, camera))
    fixed = transform(0, "mast", "front_optical", (0.0, 0.0, 0.5), optical)
    moving = []
    for milliseconds, pitch in ((-50, 0.08), (50, 0.12), (150, 0.12), (250, 0.06)):
        stamp, turn = START + milliseconds * 1_000_000, quaternion(pitch=pitch)
        moved = transform(stamp, "base_link", "mast", (1.0, 0.0, 1.0), turn)
        moving.append((stamp, "/tf", TF, moved))
    # Logged after the first frame, and still known at it, as it is to who comes late.
    late = (START + 260_000_000, "/tf_static", TF, fixed)
    path = write(tmp_path / "tf.mcap", [*frames, *moving, late])
    with_tf, notes = grids_of(path, tmp_path / "tf", quick, mounting_source="tf")
    assert notes == []
    assert sorted(with_tf) == [0, 1, 2]
    for index, pitch in ((0, 0.10), (1, 0.12), (2, 0.09)):
        camera_x, camera_z = 1.0 + 0.5 * math.sin(pitch), 1.0 + 0.5 * math.cos(pitch)
        plain, _ = grids_of(
            path, tmp_path / str(index), quick,
            camera_x=camera_x, camera_z=camera_z, camera_pitch=pitch,
        )  # fmt: skip
        different = np.frombuffer(plain[index], np.int8) != np.frombuffer(with_tf[index], np.int8)
        assert different.mean() < 1e-2  # the look-ups of the first stay, and the pitch's last bits


def test_where_tf_says_nothing_there_is_no_grid_and_it_is_said_once(tmp_path, scene, quick):
    camera, images = scene.camera.scaled(320, 180), [scene[0].image[::2, ::2]] * 3
    optical = typestore().types["geometry_msgs/msg/Quaternion"](**LEVEL)
    once = transform(START, "base_link", "front_optical", (0.0, 0.0, 1.5), optical)
    path = write(
        tmp_path / "a.mcap", [*camera_messages(images, camera), (START - 9, "/tf", TF, once)]
    )
    grids, notes = grids_of(path, tmp_path / "a", quick, mounting_source="tf")
    assert sorted(grids) == [0]
    assert notes == [
        "no grid: no transform from 'front_optical' to 'base_link' at the image's stamp: that is "
        "0.100 s after the last of 'front_optical'"
    ]


def test_the_command_line_goes_before_the_file_and_what_means_nothing_is_said(
    tmp_path, monkeypatch, capsys
):
    from seg_ros.cli import replay as command

    file = tmp_path / "params.yaml"
    file.write_text(
        "/front/segmentation_node: {ros__parameters: {model: of_the_file, precision: fp16, "
        "cpu_threads: 3, camera_z: 1.7, autostart: false, image_transport: video, "
        "input_size: 256x512}}"
    )
    seen = []
    monkeypatch.setattr(command, "_here", lambda job, _: seen.append(job) or SegRosError("enough"))
    drive = ["replay", "--no-calibrate", "x.mp4", "-o", str(tmp_path / "out")]
    cli.main([*drive, "--params-file", str(file), "--model", "of_the_line", "--size", "128x256"])
    (job,) = seen
    engine = job.engine
    assert (engine.model, engine.precision, engine.threads) == ("of_the_line", "fp16", 3)
    assert engine.input_size == (128, 256)
    assert job.settings.given == {"camera_z": 1.7}
    mounting = job.settings.mounting
    assert (mounting.z, mounting.height_source, mounting.source) == (
        1.7, Source.MEASURED, Source.ASSUMED,
    )  # fmt: skip
    assert job.notes == (
        f"params_file {file}: of no meaning in a replay: autostart, image_transport",
    )
    cli.main(drive)
    assert seen[1].engine.model == "default"
    assert seen[1].engine.threads == 0
    assert seen[1].settings.mounting is None
    capsys.readouterr()
    file.write_text("/**: {ros__parameters: {grid_x_max: 30}}")
    assert cli.main([*drive, "--params-file", str(file)]) == 1
    assert "grid_x_max is 30; it takes -1000 to 1000 (with a point: 2.0, not 2)" in (
        capsys.readouterr().err
    )


def test_a_run_is_resumed_with_the_parameters_it_was_begun_with(tmp_path, capsys):
    file = tmp_path / "params.yaml"
    file.write_text("/**: {ros__parameters: {grid_profile: autoware, grid_resolution: 0.5}}")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "1.png"), np.full((90, 160, 3), 99, np.uint8))
    command = [
        "replay",
        "--no-calibrate",
        str(pictures),
        "-o",
        str(tmp_path / "out"),
        "--no-report",
        "--no-video",
    ]
    assert cli.main([*command, "--params-file", str(file)]) == 0
    run = json.loads((tmp_path / "out" / "run.json").read_text())["run"]
    assert run["parameters"] == {"grid_profile": "autoware", "grid_resolution": 0.5}
    assert cli.main([*command, "--params-file", str(file), "--resume"]) == 0
    capsys.readouterr()
    assert cli.main([*command, "--resume"]) == 1
    assert "was begun with parameters {'grid_profile': 'autoware'" in capsys.readouterr().err


def test_settings_take_every_parameter_that_means_something(tmp_path):
    used, notes = read_settings(parameters(tmp_path, open_drive("synthetic").camera))
    assert used["grid_ignored"] == "0.2 0.9, 0.8 0.9, 0.8 1, 0.2 1"
    assert notes[0].endswith("of no meaning in a replay: autostart, publish_color")
