"""A calibration that changes during a drive is followed, from wherever the drive is read."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from seg_ros.drive import open_drive
from seg_ros.drive.messages import bag_messages, stamp_ns, typestore
from seg_ros.engines import EngineInfo, Inference
from seg_ros.ground import grid as grid_module
from seg_ros.ground.camera import CameraModel
from seg_ros.labels import load_label_set
from seg_ros.replay.cameras import FrameCameras
from seg_ros.replay.replay import Replay, make_pipelines
from seg_ros.results.bag_topics import GRID_TOPIC, MASK_TOPIC
from seg_ros.results.result_bag import read_result
from seg_ros.segment.segmenter import Segmenter

WIDE = CameraModel(320, 180, 250.0, 250.0, 159.5, 89.5)
ZOOMED = CameraModel(320, 180, 500.0, 500.0, 159.5, 89.5)
SMALL = CameraModel(160, 90, 125.0, 125.0, 79.5, 44.5)
IMAGE, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
START = 1_700_000_000_000_000_000


def write(path, cameras, *, before=True, every=1):
    """A bag of a frame per camera; one of 0 is a calibration nobody filled in."""
    messages = bag_messages()
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        images = writer.add_connection("/cam/image_raw", IMAGE, typestore=typestore())
        infos = writer.add_connection("/cam/camera_info", INFO, typestore=typestore())
        for index, camera in enumerate(cameras):
            stamp = START + index * 100_000_000
            header = messages.header(stamp, "camera")
            size = (180, 320, 3) if not camera else (camera.height, camera.width, 3)
            info = messages.camera_info(header, camera or WIDE)
            if not camera:
                info = replace(info, k=np.zeros(9), d=np.empty(0))
            image = messages.image(header, np.full(size, index, np.uint8))
            order = [(infos, info), (images, image)] if index % every == 0 else [(images, image)]
            for topic, message in order if before else order[::-1]:
                writer.write(topic, stamp, typestore().serialize_cdr(message, topic.msgtype))
    return open_drive(str(path))


def cameras_of(drive, start=0, camera=None):
    return list(FrameCameras(drive, camera).along(drive.frames(start), start))


@pytest.mark.parametrize("before", [True, False])
def test_every_frame_has_its_own_calibration(tmp_path, before):
    wanted = [WIDE, WIDE, ZOOMED, SMALL, WIDE]
    drive = write(tmp_path / "bag", wanted, before=before)
    assert [camera for _, camera, _ in cameras_of(drive)] == wanted
    for start in range(1, 5):
        assert [camera for _, camera, _ in cameras_of(drive, start)] == wanted[start:]


def test_a_calibration_that_comes_seldom_is_found_from_further_back(tmp_path):
    drive = write(tmp_path / "bag", [WIDE] * 40 + [ZOOMED] * 40, every=40)
    for start in (39, 41, 79):
        wanted = ([WIDE] * 40 + [ZOOMED] * 40)[start:]
        assert [camera for _, camera, _ in cameras_of(drive, start)] == wanted


def test_zeros_at_first_are_no_camera_until_one_comes_and_later_ones_keep_the_last(tmp_path):
    drive = write(tmp_path / "bag", [0, 0, WIDE, 0, 0, ZOOMED])
    assert drive.camera is None
    seen = cameras_of(drive)
    assert [camera for _, camera, _ in seen] == [None, None, WIDE, WIDE, WIDE, ZOOMED]
    assert [problem for _, _, problem in seen[:3]] == ["", "", ""]  # the drive's own problem
    assert [camera for _, camera, _ in cameras_of(drive, 4)] == [WIDE, ZOOMED]


def test_a_calibration_that_turns_bad_is_said_once(tmp_path):
    seen = cameras_of(write(tmp_path / "bag", [WIDE, 0, 0, WIDE, 0]))
    assert [camera for _, camera, _ in seen] == [WIDE] * 5
    problems = [problem for _, _, problem in seen if problem]
    assert len(problems) == 1
    assert problems[0].startswith("CameraInfo on /cam/camera_info is not used: camera is not calib")


def test_a_camera_that_is_given_stays(tmp_path):
    drive = write(tmp_path / "bag", [WIDE, ZOOMED, SMALL])
    assert [camera for _, camera, _ in cameras_of(drive, camera=SMALL)] == [SMALL] * 3


class RoadEngine:
    """All of every frame is road."""

    info = EngineInfo("road", "test", "fp32")
    input_size = (45, 80)
    class_count = 11

    def infer(self, image):
        logits = np.zeros((11, 45, 80), np.float32)
        logits[LABELS.driveable_ids[0]] = 1
        return Inference(lambda: logits, True)


LABELS = load_label_set("camvid")


def replayed(drive, work, **how):
    """Masks' sizes and grids by frame, and what was noted."""
    notes = []
    pipelines = make_pipelines(Segmenter(RoadEngine(), LABELS, "road"), 2)
    Replay(drive, pipelines, on_note=notes.append, **how).run(work)
    found = {topic: {} for topic in (MASK_TOPIC, GRID_TOPIC)}
    for topic, by_frame in found.items():
        for _, message in read_result(work / "result", topic):
            by_frame[round((stamp_ns(message.header.stamp) - START) / 1e8)] = message
    sizes = {i: (m.width, m.height) for i, m in found[MASK_TOPIC].items()}
    return sizes, {i: m.data.tobytes() for i, m in found[GRID_TOPIC].items()}, notes


def test_replay_has_the_grid_of_the_calibration_that_is_in_force(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    drive = write(tmp_path / "bag", [0, WIDE, ZOOMED, SMALL, WIDE])
    sizes, grids, _ = replayed(drive, work)
    assert sizes == {0: (320, 180), 1: (320, 180), 2: (320, 180), 3: (160, 90), 4: (320, 180)}
    assert sorted(grids) == [1, 2, 3, 4]
    assert grids[1] == grids[4] != grids[2]  # a longer lens sees a narrower strip of road


def test_frames_of_another_size_and_an_error_of_the_grid_cost_the_grid_alone(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    drive = write(tmp_path / "bag", [WIDE, SMALL, CameraModel(100, 90, 90, 90, 50, 45), WIDE])
    real = grid_module.DriveableGrid.cells

    def cells(self, *arguments):
        if self.camera == SMALL:
            raise ZeroDivisionError("of the test")
        return real(self, *arguments)

    monkeypatch.setattr(grid_module.DriveableGrid, "cells", cells)
    sizes, grids, notes = replayed(drive, work, camera=WIDE)
    assert sizes == {0: (320, 180), 1: (160, 90), 2: (100, 90), 3: (320, 180)}
    assert sorted(grids) == [0, 3]
    assert sorted(notes) == [
        "no grid: camera calibration is for 320x180, the image is 100x90: they do not belong "
        "together",
        "no grid: unexpected ZeroDivisionError: of the test",
    ]


def test_a_decoder_that_raises_what_it_should_not_costs_that_frame(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    drive = write(tmp_path / "bag", [WIDE] * 4)
    real = drive.frames

    def fail():
        raise cv2.error("of the test")

    def frames(start=0, stop=None):
        return (replace(f, decode=fail) if f.index == 2 else f for f in real(start, stop))

    monkeypatch.setattr(drive, "frames", frames)
    sizes, _, notes = replayed(drive, work)
    assert sorted(sizes) == [0, 1, 3]
    assert notes == ["frame 2: cannot be decoded: error: of the test"]
