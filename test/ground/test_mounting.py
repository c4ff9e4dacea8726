"""Where a camera sits, how certain that is, and what a YAML says of it."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.camera_file import load_camera, save_camera
from seg_ros.ground.mounting import ASSUMED_MOUNTING, Mounting, MountingErrors, Source

FOUND = Mounting(
    z=1.62,
    roll=0.01,
    pitch=0.05,
    yaw=-0.02,
    source=Source.ESTIMATED,
    height_source=Source.ASSUMED,
    errors=MountingErrors(z=0.03, roll=0.004, pitch=0.001, yaw=0.002),
)


def test_a_file_keeps_where_the_values_come_from_and_their_errors(tmp_path):
    camera = CameraModel(640, 360, 500, 500, 320, 180, mounting=FOUND)
    save_camera(camera, tmp_path / "camera.yaml")
    assert load_camera(tmp_path / "camera.yaml") == camera


@pytest.mark.parametrize(
    ("data", "source", "height_source"),
    [
        ({}, Source.ASSUMED, Source.ASSUMED),
        ({"pitch": 0.1}, Source.MEASURED, Source.ASSUMED),
        ({"z": 1.2}, Source.ASSUMED, Source.MEASURED),
        ({"z": 1.2, "pitch": 0.1, "source": "tf"}, Source.TF, Source.MEASURED),
    ],
)
def test_what_a_map_leaves_out_is_assumed(data, source, height_source):
    mounting = Mounting.from_map(data)
    assert (mounting.source, mounting.height_source) == (source, height_source)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"source": "guess"}, "use one of measured, tf, estimated, assumed"),
        ({"standard_error": {"x": 1.0}}, "must be a map of z, roll, pitch, yaw"),
        ({"standard_error": {"pitch": -1.0}}, "standard error of pitch is -1.0"),
        ({"height": 1.0}, "unknown keys ['height']"),
    ],
)
def test_a_map_that_is_none_is_refused(data, said):
    with pytest.raises(SegRosError, match=re.escape(said)):
        Mounting.from_map(data)


def test_a_tilted_vehicle_keeps_what_is_known_of_its_camera():
    tilted = FOUND.tilted(roll=0.0, pitch=0.02)
    assert tilted.pitch == pytest.approx(FOUND.pitch + 0.02, abs=1e-3)
    pose = {name: getattr(FOUND, name) for name in ("x", "y", "z", "roll", "pitch", "yaw")}
    assert replace(tilted, **pose) == FOUND


def test_tf_is_named_and_a_camera_without_mounting_is_assumed():
    half = math.sqrt(0.5)
    mounted = Mounting.from_optical([0, 0, 1.4], [-half, half, -half, half])
    assert (mounted.source, mounted.height_source) == (Source.TF, Source.TF)
    assert CameraModel(640, 360, 500, 500, 320, 180).mounting == ASSUMED_MOUNTING
    assert not ASSUMED_MOUNTING.certain and mounted.certain
