"""What lets a viewer place a result, and a camera of another shape, which costs the grid alone."""

import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from quick_engine import QuickEngine
from vehicle_drive import (
    FOLLOWED,
    LEVEL,
    START,
    TF,
    camera_messages,
    long_drive,
    quaternion,
    transform,
    write,
)

from seg_ros.drive import open_drive
from seg_ros.drive.bag import Bag
from seg_ros.drive.messages import typestore
from seg_ros.errors import SegRosError
from seg_ros.ground.camera_file import save_camera
from seg_ros.ground.mounting import Mounting, MountingErrors
from seg_ros.labels import load_label_set
from seg_ros.replay import job as replay_job
from seg_ros.replay import spread
from seg_ros.replay.job import Engine, EngineOptions, ReplayJob, run_job
from seg_ros.replay.replay import Replay, make_pipelines
from seg_ros.replay.settings import ReplaySettings
from seg_ros.results.bag_topics import GRID_TOPIC, MASK_TOPIC
from seg_ros.results.result_bag import read_result
from seg_ros.segment.segmenter import Segmenter

LABELS = load_label_set("camvid")


@pytest.fixture(autouse=True)
def quick_engine(monkeypatch):
    loaded = (
        Engine("quick", {}, LABELS, "quick fp32", "test", (45, 80)),
        make_pipelines(Segmenter(QuickEngine(), LABELS, "quick"), 2),
    )
    for module in (replay_job, spread):
        monkeypatch.setattr(module, "load_engine", lambda _: loaded)


def recorded(result, topic):
    """Log times and messages of a topic of a result bag, by the bag's own reader."""
    return [(raw.log_ns, raw.deserialize()) for raw in Bag(result).messages({topic})]


def mounting_of(message):
    (stamped,) = message.transforms
    t, q = stamped.transform.translation, stamped.transform.rotation
    return stamped, Mounting.from_optical([t.x, t.y, t.z], [q.x, q.y, q.z, q.w])


def small(scene):
    return scene.camera.scaled(320, 180)


def run(path, out, **changed):
    changed.setdefault("report", False)
    return run_job(ReplayJob(str(path), out, EngineOptions("quick"), **changed))


def test_a_fixed_camera_and_the_class_names_come_once(tmp_path, scene):
    image = scene[0].image[::2, ::2]
    path = write(tmp_path / "a.mcap", camera_messages([image] * 3, small(scene)))
    settings = ReplaySettings({"camera_z": 1.4, "camera_pitch": 0.1, "camera_yaw": -0.2})
    run(path, tmp_path / "out", settings=settings)
    result = tmp_path / "out" / "result"
    ((log_ns, message),) = recorded(result, "/tf_static")
    stamped, mounting = mounting_of(message)
    assert log_ns == START
    assert (stamped.header.frame_id, stamped.child_frame_id) == ("base_link", "front_optical")
    assert (mounting.z, mounting.pitch, mounting.yaw, mounting.roll) == pytest.approx(
        (1.4, 0.1, -0.2, 0.0)
    )
    ((_, info),) = recorded(result, "/segmentation/label_info")
    assert [c.class_name for c in info.class_map] == [label.name for label in LABELS.classes]
    assert [c.class_id for c in info.class_map] == list(range(len(LABELS)))
    assert recorded(result, "/tf") == []
    (topic,) = (t for t in Bag(result).topics if t.name == "/tf_static")
    assert topic.qos[0].durability.name == "TRANSIENT_LOCAL"


def test_a_vehicle_that_moves_in_the_grids_frame_comes_with_every_frame(tmp_path, scene):
    drive = long_drive(tmp_path / "a.mcap", scene, 4)
    run(drive.name, tmp_path / "out", settings=FOLLOWED)
    moves = recorded(tmp_path / "out" / "result", "/tf")
    assert [log_ns for log_ns, _ in moves] == [START + i * 100_000_000 for i in range(4)]
    ((_, fixed),) = recorded(tmp_path / "out" / "result", "/tf_static")
    assert mounting_of(fixed)[1].pitch == pytest.approx(0.1)  # not leaning as the vehicle does
    grids = dict(read_result(tmp_path / "out" / "result", GRID_TOPIC))
    for index, (log_ns, message) in enumerate(moves):
        (stamped,) = message.transforms
        assert (stamped.header.frame_id, stamped.child_frame_id) == ("odom", "base_link")
        assert grids[log_ns].header.frame_id == "odom"
        turn, at = stamped.transform.rotation, stamped.transform.translation
        # odometry() is 0.08 m and 0.002 rad further every 20 ms, the first 40 ms before.
        # The last of them was heard after the frame, so the one before is carried on.
        assert at.x == pytest.approx(0.08 * (2 + 5 * index), abs=0.01)
        yaw = 0.3 + 0.002 * (1 + 5 * index)
        assert 2 * math.atan2(turn.z, turn.w) == pytest.approx(yaw, abs=1e-9)


def test_a_camera_that_moves_comes_with_every_frame(tmp_path, scene):
    image = scene[0].image[::2, ::2]
    level = typestore().types["geometry_msgs/msg/Quaternion"](**LEVEL)
    messages = [
        *camera_messages([image] * 2, small(scene)),
        (START, "/tf_static", TF, transform(0, "mast", "front_optical", (0, 0, 0.5), level)),
    ]
    for stamp, pitch in ((START - 1, 0.1), (START + 99_000_000, 0.2), (START + 101_000_000, 0.2)):
        turn = quaternion(pitch=pitch)
        messages.append((stamp, "/tf", TF, transform(stamp, "base_link", "mast", (0, 0, 1), turn)))
    path = write(tmp_path / "a.mcap", messages)
    run(path, tmp_path / "out", settings=ReplaySettings({"mounting_source": "tf"}))
    result = tmp_path / "out" / "result"
    assert recorded(result, "/tf_static") == []
    pitches = [mounting_of(message)[1].pitch for _, message in recorded(result, "/tf")]
    assert pitches == pytest.approx([0.1, 0.2], abs=1e-6)


def test_a_video_without_a_camera_has_names_and_no_frames(tmp_path, scene):
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "1.png"), scene[0].image)
    run(tmp_path / "pictures", tmp_path / "out")
    assert len(recorded(tmp_path / "out" / "result", "/segmentation/label_info")) == 1
    assert recorded(tmp_path / "out" / "result", "/tf_static") == []


@pytest.mark.parametrize("pool", [False, True])
def test_a_recorded_calibration_of_another_shape_is_one_line_before_the_first_frame(
    tmp_path, scene, pool
):
    image = scene[0].image[::2, ::2]
    square = scene.camera.scaled(300, 300)
    path = write(tmp_path / "a.mcap", camera_messages([image] * 30, square))
    said = []
    job = ReplayJob(str(path), tmp_path / "out", EngineOptions("quick"), report=False)
    if pool:
        values = spread.run_spread([job], Here(), on_note=said.append)[0]
    else:
        values = run_job(job, on_frame=lambda: said.append("frame"), on_note=said.append)
    line = (
        "no grid: camera calibration is for 300x300, the image is 320x180: they do not belong "
        "together"
    )
    assert [s for s in said if s != "frame"] == [line]
    assert said[0] == line
    assert values["problems"] == [line]
    assert values["frames_out"] == 30
    result = tmp_path / "out" / "result"
    assert len(list(read_result(result, MASK_TOPIC))) == 30
    assert list(read_result(result, GRID_TOPIC)) == []
    again = ReplayJob(**{**vars(job), "resume": True})
    assert run_job(again)["frames_out"] == 30


class Here:
    """A pool that runs what it is given at once."""

    def submit(self, function, *arguments):
        from concurrent.futures import Future

        future = Future()
        try:
            future.set_result(function(*arguments))
        except SegRosError as error:
            future.set_exception(error)
        return future


def test_a_camera_file_of_another_shape_is_refused_before_anything_is_written(tmp_path, scene):
    image = scene[0].image[::2, ::2]
    path = write(tmp_path / "a.mcap", camera_messages([image], small(scene)))
    file = tmp_path / "camera.yaml"
    save_camera(scene.camera.scaled(300, 300), file)
    with pytest.raises(SegRosError, match=r"camera.yaml: camera calibration is for 300x300, the"):
        run(path, tmp_path / "out", camera=file)
    assert not (tmp_path / "out").exists()


def test_another_camera_is_said_in_words_when_a_run_is_resumed(tmp_path, scene):
    image = scene[0].image[::2, ::2]
    path = write(tmp_path / "a.mcap", camera_messages([image], small(scene)))
    run(path, tmp_path / "out")
    about = json.loads((tmp_path / "out" / "run.json").read_text())["run"]["camera"]
    assert about.startswith("320x180, focal length ")
    save_camera(scene.camera, tmp_path / "camera.yaml")
    with pytest.raises(SegRosError, match=r"begun with camera 320x180, .* not 640x360, focal le"):
        run(path, tmp_path / "out", camera=tmp_path / "camera.yaml", resume=True)


def test_replay_without_settings_is_that_of_the_defaults(tmp_path, scene):
    """The same bytes as with every parameter given as it is by default."""
    image = scene[0].image[::2, ::2]
    path = write(tmp_path / "a.mcap", camera_messages([image] * 2, small(scene)))
    results = []
    for name, settings in (("a", None), ("b", ReplaySettings(ReplaySettings().values))):
        work = tmp_path / name
        work.mkdir()
        pipelines = make_pipelines(Segmenter(QuickEngine(), LABELS, "quick"), 2)
        Replay(open_drive(str(path)), pipelines, None, None, settings).run(work)
        results.append(dict(read_result(work / "result", GRID_TOPIC)))
    assert all(
        np.array_equal(results[0][stamp].data, results[1][stamp].data) for stamp in results[0]
    )
    assert len(results[0]) == 2


def test_fused_grids_of_several_processes_are_those_of_one(tmp_path, scene, monkeypatch):
    """Grids that depend on those before them are not cut into pieces; what does not is."""
    monkeypatch.setattr(spread, "PIECE", 4)
    drive = long_drive(tmp_path / "a.mcap", scene, 10)
    for name, settings in (("fused", FOLLOWED), ("plain", ReplaySettings({"camera_z": 1.4}))):
        one, several = tmp_path / name / "one", tmp_path / name / "several"
        run(drive.name, one, settings=settings)
        job = ReplayJob(
            drive.name, several, EngineOptions("quick"), report=False, settings=settings
        )
        (values,) = spread.run_spread([job], Here())
        assert values["frames_out"] == 10
        messages = [
            [(m.topic.name, m.log_ns, m.data) for m in Bag(out / "result").messages(
                {GRID_TOPIC, MASK_TOPIC, "/tf", "/tf_static", "/segmentation/label_info"}
            )]
            for out in (one, several)
        ]  # fmt: skip
        assert messages[0] == messages[1]
        assert len(messages[0]) > 20


def test_the_report_draws_how_far_the_error_of_the_mounting_leaves_the_grid_useful(tmp_path, scene):
    image = scene[0].image[::2, ::2]
    path = write(tmp_path / "a.mcap", camera_messages([image], small(scene)))
    sure, unsure = tmp_path / "sure.yaml", tmp_path / "unsure.yaml"
    camera = small(scene)
    save_camera(camera, sure)
    errors = MountingErrors(z=0.02, pitch=math.radians(0.3))
    save_camera(replace(camera, mounting=replace(camera.mounting, errors=errors)), unsure)
    values = run(path, tmp_path / "out", camera=sure, report=True)
    assert values["distance_errors"] == {}
    assert "How wrong a distance may be" not in (tmp_path / "out" / "report.html").read_text()
    values = run(path, tmp_path / "doubt", camera=unsure, report=True)
    told = values["distance_errors"]
    at = camera.mounting
    d, e = math.atan2(at.z, 11.0), math.radians(0.6)
    assert told["edges"][5:7] == [10.0, 12.0]
    assert told["nearer"][5] == pytest.approx(11 - (at.z - 0.04) / math.tan(d + e), abs=1e-3)
    assert told["farther"][5] == pytest.approx((at.z + 0.04) / math.tan(d - e) - 11, abs=1e-3)
    assert 5 < told["useful_m"] < 30
    page = (tmp_path / "doubt" / "report.html").read_text()
    assert "How wrong a distance may be" in page
    assert f"Up to {told['useful_m']:.0f} m a distance is right to a tenth." in page


def test_a_search_for_the_mounting_says_whose_speed_it_takes(tmp_path, scene, monkeypatch):
    from seg_ros.replay import ground

    seen = []

    def find(*arguments):
        seen.append(arguments[4])
        raise SegRosError("enough")

    monkeypatch.setattr(ground, "calibrate", find)
    drive = long_drive(tmp_path / "a.mcap", scene, 2)
    said = []
    settings = ReplaySettings(topics={"odometry": "/odom"})
    found = ground.settle_ground(
        drive, drive.camera, settings, None, tmp_path, False, True, said.append
    )
    assert found.no_grid == "enough"
    assert said[1:] == ["speed: /odom (nav_msgs/msg/Odometry)", "no grid: enough"]
    assert seen[0].speed.tolist() == [4.0] * len(seen[0].speed)
