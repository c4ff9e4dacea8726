"""From many pairs of frames to where the camera looks, and to why that cannot be said."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seg_ros.errors import SegRosError
from seg_ros.ground.aim import Directions, Pair, find_aim
from seg_ros.ground.mounting import Mounting, mounting_of_aim, quaternion_of_rotation
from seg_ros.ground.mounting import rotation_of_quaternion as rotation_of
from seg_ros.ground.travel import PairMotion, Verdict

SECOND = 1_000_000_000


def pair(k, pitch, yaw, turning=0.0):
    """A pair every half second, with angles in degrees and turning in degrees a second."""
    p, y = math.radians(pitch), math.radians(yaw)
    direction = np.array([math.sin(y) * math.cos(p), -math.sin(p), math.cos(y) * math.cos(p)])
    rotation = np.array([0.0, math.radians(turning) * 0.2, 0.0])
    moved = PairMotion(Verdict.MOVED, 300, 10.0, 8.0, rotation, direction, 0.001)
    start = 7 * SECOND + k * SECOND // 2
    return Pair(5 * k, start, start + SECOND // 5, moved)


def without(k, verdict):
    start = k * SECOND // 2
    return Pair(k, start, start + SECOND // 5, PairMotion(verdict, 300))


def drive(count, pitch=2.0, yaw=-0.5, scatter=0.2, seed=0, first=0):
    rng = np.random.default_rng(seed)
    off = rng.normal(0, scatter, (count, 2))
    return [pair(first + k, pitch + off[k, 0], yaw + off[k, 1]) for k in range(count)]


def test_the_truth_lies_within_two_standard_errors_nearly_always():
    inside = 0
    for seed in range(60):
        aim, _ = find_aim([drive(120, seed=seed)])
        off = np.abs(np.degrees([aim.pitch, aim.yaw]) - [2.0, -0.5])
        errors = np.degrees([aim.pitch_error, aim.yaw_error])
        assert off.max() < 0.12
        assert errors.max() < 0.08
        inside += int((off < 2 * errors).sum())
    assert inside >= 0.92 * 120


def test_pairs_of_a_bend_do_not_count_where_there_are_straight_ones():
    bends = [pair(200 + k, 2.0, 6.0, turning=15.0) for k in range(40)]
    aim, _ = find_aim([drive(30) + bends])
    assert math.degrees(aim.yaw) == pytest.approx(-0.5, abs=0.15)
    assert aim.pairs == 30


def test_a_camera_that_is_turned_by_a_degree_half_way_is_noticed_and_when():
    pairs = drive(60) + drive(60, pitch=3.0, seed=1, first=60)
    with pytest.raises(
        SegRosError, match=r"camera was moved 0:30 into the drive: pitch [12]\.\d"
    ) as e:
        find_aim([pairs])
    assert "after" in str(e.value)


def test_scatter_is_no_move():
    assert Directions(drive(120, scatter=1.0)).moved_at() is None


def test_pieces_between_cuts_are_judged_apart():
    aim, pieces = find_aim([drive(40), drive(5, pitch=9.0), drive(40, seed=3, first=60)])
    assert [len(p) for p in pieces] == [40, 40]  # five pairs are too few to say anything
    assert math.degrees(aim.pitch) == pytest.approx(2.0, abs=0.1)
    with pytest.raises(SegRosError, match=r"sits differently after the cut 0:30 into the drive"):
        find_aim([drive(40), drive(40, pitch=5.0, first=60)])


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (Verdict.STOOD, "the camera stood still in 30 of 34 pairs"),
        (Verdict.TURNED, "turned on the spot"),
        (Verdict.BLIND, "as at night"),
        (Verdict.LOST, "cuts"),
    ],
)
def test_why_there_is_no_direction(verdict, said):
    pairs = drive(4) + [without(10 + k, verdict) for k in range(30)]
    with pytest.raises(SegRosError, match=said) as refused:
        find_aim([pairs])
    assert "4 show travel; film a minute of driving straight on" in str(refused.value)


def test_too_few_pairs_and_too_wide_a_scatter():
    with pytest.raises(SegRosError, match="5 pairs of frames are too few"):
        find_aim([drive(5)])
    with pytest.raises(SegRosError, match="scatter too widely"):
        find_aim([drive(20, scatter=4.0)])


@pytest.mark.parametrize("roll", [0.0, -0.05, 0.04])
def test_direction_and_normal_give_the_mounting_back(roll):
    true = Mounting(z=1.4, roll=roll, pitch=0.09, yaw=-0.04)
    optical = true.base_from_optical.T
    up = optical[:, 2] + 0.05 * optical[:, 0]  # what lies along the travel does not count
    found = mounting_of_aim(optical[:, 0], up / np.linalg.norm(up))
    assert (found.roll, found.pitch, found.yaw) == pytest.approx((roll, 0.09, -0.04), abs=1e-9)
    if not roll:
        level = mounting_of_aim(optical[:, 0])
        assert (level.roll, level.pitch, level.yaw) == pytest.approx((0, 0.09, -0.04), abs=1e-9)


def test_a_rotation_and_its_quaternion():
    rng = np.random.default_rng(0)
    for q in rng.normal(size=(20, 4)):
        rotation = rotation_of(q)
        np.testing.assert_allclose(
            rotation_of(quaternion_of_rotation(rotation)), rotation, atol=1e-9
        )
