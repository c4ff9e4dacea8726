"""Direction of travel and rotation from tracks whose truth is known by construction."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from seg_ros.ground.camera import CameraModel
from seg_ros.ground.travel import Tracks, Verdict, follow, motion

LENSES = {
    "pinhole": CameraModel(1280, 720, 900, 900, 640, 360),
    "barrel": CameraModel(1280, 720, 700, 700, 640, 360, "plumb_bob", (-0.25, 0.06, 0, 0)),
    "fisheye": CameraModel(1280, 720, 500, 500, 640, 360, "equidistant", (0.05, 0, 0, 0)),
}


def tracks(camera, direction, turn, metres=1.0, noise=0.0, liars=0, seed=0):
    """Points of a street seen before and after the camera went so far along a direction."""
    rng = np.random.default_rng(seed)
    side = rng.choice([-1.0, 1.0], 600)
    points = np.stack(
        [side * rng.uniform(3, 12, 600), rng.uniform(-6, 1.5, 600), rng.uniform(6, 60, 600)], axis=1
    )
    half = cv2.Rodrigues(np.asarray(turn, float) / 2)[0]
    step = metres * np.asarray(direction) / np.linalg.norm(direction)
    # The direction is that in the frame half way between the two.
    first = camera.pixels((points + step / 2) @ half)
    second = camera.pixels((points - step / 2) @ half.T)
    seen = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    for pixels in (first, second):
        seen &= ((pixels >= 0) & (pixels < (camera.width, camera.height))).all(axis=1)
    first, second = first[seen], second[seen] + rng.normal(0, noise, (int(seen.sum()), 2))
    second[:liars] += rng.uniform(-30, 30, (liars, 2))
    return Tracks(first, second, len(first))


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.01, 0.06, -0.005)])
def test_direction_and_rotation_are_found(lens, turn):
    camera, direction = LENSES[lens], np.array([0.03, -0.05, 1.0])
    found = motion(tracks(camera, direction, turn, noise=0.1, liars=60), camera)
    assert found.verdict is Verdict.MOVED
    off = math.acos(min(1.0, float(found.direction @ direction / np.linalg.norm(direction))))
    assert math.degrees(off) < 0.15
    assert 0 < math.degrees(found.error) < 0.15
    np.testing.assert_allclose(found.rotation, turn, atol=1e-3)


def test_reverse_gear_is_the_same_direction():
    camera = LENSES["pinhole"]
    ahead = motion(tracks(camera, (0.02, 0.0, 1.0), (0, 0, 0)), camera)
    back = motion(tracks(camera, (-0.02, 0.0, -1.0), (0, 0, 0)), camera)
    np.testing.assert_allclose(ahead.direction, back.direction, atol=1e-3)


@pytest.mark.parametrize(
    ("metres", "turn", "verdict"),
    [(0.0, (0, 0, 0), Verdict.STOOD), (0.0, (0, 0.05, 0), Verdict.TURNED)],
)
def test_without_travel_there_is_no_direction(metres, turn, verdict):
    camera = LENSES["pinhole"]
    found = motion(tracks(camera, (0, 0, 1), turn, metres, noise=0.1), camera)
    assert (found.verdict, found.direction) == (verdict, None)


def test_chaos_is_lost_and_darkness_is_blind():
    camera, rng = LENSES["pinhole"], np.random.default_rng(1)
    wild = Tracks(rng.uniform(0, 700, (300, 2)), rng.uniform(0, 700, (300, 2)), 300)
    assert motion(wild, camera).verdict is Verdict.LOST
    dark = np.full((360, 640), 3, np.uint8)
    assert motion(follow(dark, dark), camera).verdict is Verdict.BLIND


def test_corners_are_followed_and_only_where_they_may_be():
    rng = np.random.default_rng(2)
    first = cv2.GaussianBlur(rng.integers(0, 256, (240, 320), np.uint8), (0, 0), 2.0)
    first = cv2.normalize(first, None, 0, 255, cv2.NORM_MINMAX)
    second = cv2.warpAffine(first, np.float64([[1, 0, 3.5], [0, 1, -2.0]]), (320, 240))
    allowed = np.zeros_like(first)
    allowed[60:180, 60:200] = 255
    found = follow(first, second, allowed)
    assert len(found.first) > 40
    assert found.first[:, 0].min() >= 60 and found.first[:, 0].max() < 200
    np.testing.assert_allclose(np.median(found.second - found.first, axis=0), (3.5, -2), atol=0.05)
