"""A camera is found from a drive whose truth is known: the synthetic one, with its own masks."""

from __future__ import annotations

import math
from functools import partial

import cv2
import numpy as np
import pytest

from seg_ros.drive.base import Drive, DriveFrame
from seg_ros.drive.speed.track import speed_track
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.mounting import Mounting, Source
from seg_ros.labels import load_label_set
from seg_ros.replay.calibrate import ASSUMED_FOV, Lens, find_mounting
from seg_ros.replay.pairs import PairWalk
from seg_ros.results.calibration_picture import calibration_picture
from seg_ros.synthetic import EGO_SPEED, SyntheticDrive

WIDTH, HEIGHT, RATE = 400, 224, 10.0
LABELS = load_label_set("camvid")
TRUE = Mounting(z=1.35, roll=math.radians(1.5), pitch=math.radians(4.0), yaw=math.radians(-1.2))
CAMERA = CameraModel(
    WIDTH, HEIGHT, 280, 280, 199.5, 111.5, "plumb_bob", (-0.2, 0.05, 0, 0), mounting=TRUE
)
START = 1_700_000_000_000_000_000


class Frames(Drive):
    """Pictures with stamps and masks of their own."""

    def __init__(self, frames):
        self.name, self.made = "made", frames

    @property
    def frame_count(self):
        return len(self.made)

    def frames(self, start=0, stop=None):
        for index, frame in list(enumerate(self.made))[start:stop]:
            yield DriveFrame(index, frame.stamp_ns, "camera", partial(np.asarray, frame.image))


def find(frames, **options):
    drive = Frames(frames)
    walk = PairWalk(
        drive, lambda view: frames[view.frame.index].class_mask, LABELS, Lens(CAMERA).of
    )
    return find_mounting(walk, LABELS, options.pop("lens", Lens(CAMERA)), **options)


@pytest.fixture(scope="module")
def street():
    scene = SyntheticDrive(80, WIDTH, HEIGHT, RATE, 3, CAMERA, START)
    return list(scene)


@pytest.fixture(scope="module")
def speed():
    stamps = START + np.arange(80) * 100_000_000
    return speed_track("the scene", stamps, np.full(80, EGO_SPEED))


@pytest.fixture(scope="module")
def found(street, speed):
    return find(street, speed=speed)


def test_angles_and_height_are_found_with_their_errors(found):
    mounting = found.camera.mounting
    off = np.degrees([mounting.pitch - TRUE.pitch, mounting.yaw - TRUE.yaw])
    assert np.abs(off).max() < 0.15
    assert abs(math.degrees(mounting.roll - TRUE.roll)) < 0.6
    assert mounting.z == pytest.approx(TRUE.z, rel=0.04)
    assert (mounting.source, mounting.height_source) == (Source.ESTIMATED, Source.ESTIMATED)
    errors = mounting.errors
    assert 0 < math.degrees(errors.pitch) < 0.2 and 0 < errors.z < 0.05
    assert found.assumed == () and found.lens is Source.MEASURED
    assert found.values()["pairs"]["moved"] >= found.aim.pairs >= 12


def test_the_picture_shows_horizon_and_estimates(found):
    picture = calibration_picture(found.shown)
    blue, green, red = np.moveaxis(picture.astype(int), 2, 0)
    yellow = (green > 180) & (red > 180) & (blue < 100)
    assert yellow.sum() > 400
    assert picture.shape[0] > 600 and picture.dtype == np.uint8


def test_without_scale_the_height_is_assumed_and_said(street):
    camera = find(street[:50]).camera
    assert camera.mounting.height_source is Source.ASSUMED
    assert (camera.mounting.z, camera.mounting.errors.z) == (1.5, 0.0)
    given = find(street[:50], height=1.35)
    assert given.camera.mounting.height_source is Source.MEASURED
    assert not any("height" in line for line in given.assumed)


def test_a_parked_car_a_night_and_a_turntable_are_refused(street):
    rng = np.random.default_rng(0)
    parked = [_again(street[0], k, _noisy(street[0].image, rng)) for k in range(32)]
    with pytest.raises(SegRosError, match="the camera stood still"):
        find(parked)
    night = [_again(street[0], k, np.full_like(street[0].image, 4)) for k in range(32)]
    with pytest.raises(SegRosError, match="too little to follow"):
        find(night)
    turning = [_again(street[0], k, _turned(street[0].image, 0.6 * k)) for k in range(32)]
    with pytest.raises(SegRosError, match="turned on the spot"):
        find(turning)


def test_a_cut_is_noticed_and_a_camera_that_was_moved_refused(street):
    other = CameraModel(
        WIDTH, HEIGHT, 280, 280, 199.5, 111.5, "plumb_bob", (-0.2, 0.05, 0, 0),
        mounting=Mounting(z=1.35, pitch=math.radians(5.0), yaw=TRUE.yaw, roll=TRUE.roll),
    )  # fmt: skip
    scene = SyntheticDrive(200, WIDTH, HEIGHT, RATE, 9, other, START)
    after = [_again(scene[140 + k], 40 + k, scene[140 + k].image) for k in range(32)]
    with pytest.raises(SegRosError, match=r"sits differently after the cut 0:04 into the drive"):
        find([*street[:40], *after])


def test_a_lens_that_nobody_knows_is_assumed_and_said():
    camera = Lens().of(640, 360)
    assert 2 * math.degrees(math.atan(320 / camera.fx)) == pytest.approx(ASSUMED_FOV)
    assert Lens().source is Source.ASSUMED
    assert Lens(fov=90).of(640, 360).fx == pytest.approx(320)
    assert Lens(focal=500).of(640, 360).fx == 500


def _again(frame, index, image):
    return type(frame)(index, START + index * 100_000_000, image, frame.class_mask)


def _noisy(image, rng):
    return np.clip(image + rng.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)


def _turned(image, degrees):
    """As a camera sees it that turned on the spot."""
    turn = cv2.Rodrigues(np.array([0.0, math.radians(degrees), 0.0]))[0]
    u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    flat = np.stack([u, v], axis=-1).reshape(-1, 2).astype(float)
    rays = np.concatenate([CAMERA.undistort(flat), np.ones((len(flat), 1))], axis=1)
    seen = CAMERA.pixels(rays @ turn).astype(np.float32).reshape(HEIGHT, WIDTH, 2)
    return cv2.remap(image, seen, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
