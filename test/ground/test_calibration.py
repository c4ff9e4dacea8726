"""Calibrations that no camera has, finite as they are."""

from dataclasses import replace

import pytest

from seg_ros.drive.messages import bag_messages
from seg_ros.errors import SegRosError
from seg_ros.ground.calibration import check_calibration
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.camera_file import load_camera, save_camera

CAR = CameraModel(1280, 720, 1000, 1000, 640, 360)
FISHEYE = replace(CAR, distortion_model="equidistant", fx=380, fy=380)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fx": 14_000, "fy": 14_000},  # 5.2 degrees
        {"fx": 57, "fy": 57},  # 169.8 degrees
        {"cx": -600, "cy": 1000},  # the lens is shifted
        {"width": 5000, "height": 700, "fx": 4000, "fy": 4000},  # a line of cameras stitched
    ],
)
def test_what_cameras_have(changes):
    check_calibration(replace(CAR, **changes))


def test_a_fisheye_sees_more():
    check_calibration(FISHEYE)  # 193 degrees
    with pytest.raises(SegRosError, match="field of view of 210 degrees; equidistant is used from"):
        check_calibration(replace(FISHEYE, fx=349.2, fy=349.2))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fx": 0.98, "fy": 0.98, "cx": 0.5, "cy": 0.5}, "as if given as parts of the image's"),
        ({"cx": 1e6}, "cx = 1e"),
        ({"cy": -1e6}, "cy = -1e"),
        ({"fx": 20, "fy": 20}, "field of view of 176 degrees; plumb_bob is used from 5 to 170"),
        ({"fx": 1e9, "fy": 1e9}, "field of view of"),
        ({"fx": 1e-9, "fy": 1e-9}, "not calibrated in pixels"),
        ({"fx": 100_000, "fy": 1000}, "one is at most 8 times the other"),
        ({"width": 2_000_000_000}, "a side has 16 to 32768 pixels"),
        ({"width": 8, "height": 8}, "a side has 16 to 32768 pixels"),
        ({"width": 30_000, "height": 100}, "a side is at most 8 times the other"),
    ],
)
def test_what_no_camera_has(changes, reason):
    with pytest.raises(SegRosError, match=reason):
        check_calibration(replace(CAR, **changes))


def test_files_and_messages_are_judged_when_they_come(tmp_path):
    absurd = replace(CAR, cy=-1e6)
    save_camera(absurd, tmp_path / "camera.yaml")
    with pytest.raises(SegRosError, match=r"camera\.yaml: .*cy = -1e\+06 is far outside"):
        load_camera(tmp_path / "camera.yaml")
    messages = bag_messages()
    info = messages.camera_info(messages.header(1, "c"), absurd)
    with pytest.raises(SegRosError, match="far outside"):
        CameraModel.from_camera_info(info)


def test_a_message_is_judged_for_the_whole_sensor():
    """A small region far from the axis, binned: of the region alone the numbers look absurd."""
    messages = bag_messages()
    info = messages.camera_info(messages.header(1, "c"), CAR)
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 1200, 680, 64, 32
    info.binning_x = info.binning_y = 4
    camera = CameraModel.from_camera_info(info)
    assert (camera.width, camera.height) == (16, 8)
    with pytest.raises(SegRosError):
        check_calibration(camera)
