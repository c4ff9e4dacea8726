"""Grids in a frame that stands still, their fusion, and what the vehicle did at a stamp."""

from __future__ import annotations

import math

import numpy as np
import pytest
from grid_scenes import GRIDS, LABELS, SCENES, camera

from seg_ros.errors import SegRosError
from seg_ros.ground.grid import DriveableGrid
from seg_ros.ground.grid_spec import FREE, OCCUPIED, UNKNOWN, GridSpec
from seg_ros.ground.motion import Attitude, Odometry, Track, attitude
from seg_ros.ground.world_grid import FusedGrid, Pose, place

SPEC = GridSpec(0.5, 0.0, 10.0, -5.0, 5.0)
MS = 1_000_000
SECOND = 1_000_000_000


def yaw(angle):
    return (0.0, 0.0, math.sin(angle / 2), math.cos(angle / 2))


def pitch(angle):
    return (0.0, math.sin(angle / 2), 0.0, math.cos(angle / 2))


def state_at(cells, spec, x, y):
    return cells[
        math.floor((y - spec.y_min) / spec.resolution),
        math.floor((x - spec.x_min) / spec.resolution),
    ]


def test_the_origin_is_a_whole_number_of_cells_and_the_size_is_always_the_same():
    cells = np.zeros(SPEC.shape, np.int8)
    shapes = set()
    for pose in (Pose(0, 0, 0), Pose(12.34, -7.89, 1.0), Pose(-3.3, 100.1, -2.5)):
        placed, spec = place(cells, SPEC, pose)
        shapes.add(placed.shape)
        assert placed.shape == spec.shape
        for corner in (spec.x_min, spec.y_min):
            assert corner / 0.5 == pytest.approx(round(corner / 0.5))
    assert len(shapes) == 1


def test_a_vehicle_that_stands_on_the_cells_keeps_them():
    rng = np.random.default_rng(3)
    cells = rng.integers(-1, 2, SPEC.shape).astype(np.int8)
    placed, spec = place(cells, SPEC, Pose(2.0, -1.5, 0.0))
    row, col = round((-6.5 - spec.y_min) / 0.5), round((2.0 - spec.x_min) / 0.5)
    np.testing.assert_array_equal(placed[row : row + 20, col : col + 20], cells)
    placed[row : row + 20, col : col + 20] = UNKNOWN
    assert (placed == UNKNOWN).all()


@pytest.mark.parametrize("turn", [0.3, 1.2, -2.0, math.pi / 2])
def test_no_placed_cell_is_free_that_touches_another(turn):
    """Every point of a free cell lies in a free cell of the vehicle's grid."""
    cam = camera()
    street = next(s for s in SCENES if s.name == "street")
    cells = DriveableGrid(GRIDS[0], cam, LABELS).cells(street.mask(cam))
    pose = Pose(31.27, -4.11, turn)
    placed, spec = place(cells, GRIDS[0], pose)
    inside = np.linspace(1e-3, 1 - 1e-3, 4)
    rows, cols = np.nonzero(placed == FREE)
    assert len(rows) > 0.7 * np.count_nonzero(cells == FREE)
    for a in inside:
        for b in inside:
            x = spec.x_min + (cols + a) * spec.resolution - pose.x
            y = spec.y_min + (rows + b) * spec.resolution - pose.y
            bx = math.cos(turn) * x + math.sin(turn) * y
            by = math.cos(turn) * y - math.sin(turn) * x
            assert (cells[((by + 10) / 0.1).astype(int), (bx / 0.1).astype(int)] == FREE).all()
    for row, col in np.argwhere(cells == OCCUPIED)[::50]:
        bx, by = (col + 0.5) * 0.1, -10 + (row + 0.5) * 0.1
        x = pose.x + math.cos(turn) * bx - math.sin(turn) * by
        y = pose.y + math.sin(turn) * bx + math.cos(turn) * by
        assert state_at(placed, spec, x, y) == OCCUPIED


def one(state):
    cells = np.full(SPEC.shape, UNKNOWN, np.int8)
    cells[10, 10] = state
    return cells


def add(fused, state, pose, stamp):
    placed, spec = place(one(state), SPEC, pose)
    return fused.add(placed, spec, stamp), spec


def test_fusion_needs_two_that_agree_and_forgets():
    fused = FusedGrid()
    here = Pose(0.0, 0.0, 0.0)
    seen, spec = add(fused, FREE, here, SECOND)
    assert state_at(seen, spec, 5.25, 0.25) == UNKNOWN
    seen, spec = add(fused, FREE, here, SECOND + SECOND // 10)
    assert state_at(seen, spec, 5.25, 0.25) == FREE
    seen, spec = add(fused, UNKNOWN, here, 2 * SECOND)
    seen, spec = add(fused, UNKNOWN, here, 3 * SECOND)
    assert state_at(seen, spec, 5.25, 0.25) == UNKNOWN


def test_fusion_moves_by_whole_cells():
    fused = FusedGrid()
    add(fused, OCCUPIED, Pose(0.0, 0.0, 0.0), SECOND)
    seen, spec = add(fused, UNKNOWN, Pose(3.0, -1.0, 0.0), SECOND + 100 * MS)
    assert state_at(seen, spec, 5.25, 0.25) == OCCUPIED
    assert np.count_nonzero(seen == OCCUPIED) == 1
    assert spec.x_min == pytest.approx(place(one(UNKNOWN), SPEC, Pose(3.0, -1.0, 0.0))[1].x_min)


@pytest.mark.parametrize("stamp", [SECOND - 1, 10 * SECOND])
def test_fusion_forgets_all_at_a_jump_of_time(stamp):
    fused = FusedGrid()
    for k in range(5):
        add(fused, OCCUPIED, Pose(0.0, 0.0, 0.0), SECOND + k)
    seen, _ = add(fused, UNKNOWN, Pose(0.0, 0.0, 0.0), stamp)
    assert (seen == UNKNOWN).all()


def test_an_obstacle_is_believed_against_what_was_free():
    fused = FusedGrid()
    for k in range(20):
        add(fused, FREE, Pose(0.0, 0.0, 0.0), SECOND + k)
    for k in range(2):
        seen, spec = add(fused, OCCUPIED, Pose(0.0, 0.0, 0.0), SECOND + 30 + k)
    assert state_at(seen, spec, 5.25, 0.25) != FREE


def test_a_track_interpolates_and_goes_stale():
    track = Track()
    assert track.at(0) is None
    track.add(1000, (0.0,))
    track.add(2000, (10.0,))
    assert track.at(1500) == (5.0,)
    assert track.at(2500) == (10.0,)
    assert track.at(2000 + 300_000_000) is None


def test_a_track_takes_late_messages_and_forgets_only_at_a_real_jump():
    track = Track()
    for k in (0, 10, 10, 30, 20, 40):  # one stamp twice, one message late
        assert not track.add(10 * SECOND + k * MS, (float(k),))
    assert track.at(10 * SECOND + 25 * MS) == (25.0,)
    assert track.at(10 * SECOND + 5 * MS) == (5.0,)
    assert track.add(SECOND, (7.0,))  # a bag that starts again
    assert track.at(SECOND) == (7.0,)
    assert track.at(10 * SECOND) is None


def test_a_clock_set_back_by_little_is_noticed_when_it_goes_on():
    track = Track()
    for k in range(20):
        track.add(SECOND + k * 10 * MS, (1.0,))
    begins = [track.add(SECOND + k * 10 * MS + MS, (2.0,)) for k in range(5)]
    assert begins == [False, False, False, False, True]
    assert track.at(SECOND + 25 * MS) == (2.0,)
    assert track.at(SECOND + 150 * MS) == (2.0,)  # nothing of the old clock's time is left


def test_odometry_turns_the_short_way():
    odometry = Odometry(0.3)
    odometry.add(0, 1.0, 2.0, yaw(math.pi - 0.1))
    odometry.add(100 * MS, 3.0, 2.0, yaw(-math.pi + 0.1))
    pose = odometry.at(50 * MS)
    assert (pose.x, pose.y) == (2.0, 2.0)
    assert abs(pose.yaw) == pytest.approx(math.pi)
    with pytest.raises(SegRosError, match="no rotation"):
        odometry.add(200 * MS, 0.0, 0.0, (0, 0, 0, 0))


@pytest.mark.parametrize("says_twist", [True, False])
def test_a_frame_before_its_odometry_gets_a_pose_carried_on(says_twist):
    """20 m/s on a circle of 100 m, odometry at 5 Hz, the frame up to 0.2 s ahead of it."""
    odometry = Odometry(0.3)

    def truth(seconds):
        angle = 0.2 * seconds
        return Pose(100 * math.sin(angle), 100 - 100 * math.cos(angle), angle)

    for k in range(6):
        pose = truth(k * 0.2)
        twist = (20.0, 0.0, 0.2) if says_twist else (0.0, 0.0, 0.0)
        odometry.add(k * 200 * MS, pose.x, pose.y, yaw(pose.yaw), twist)
        if k == 0 and not says_twist:
            continue
        asked = k * 0.2 + 0.19
        said, true = odometry.at(round(asked * SECOND)), truth(asked)
        assert math.hypot(said.x - true.x, said.y - true.y) < 0.1
        assert said.yaw == pytest.approx(true.yaw, abs=1e-6)
    assert odometry.at(SECOND + 301 * MS) is None


def test_a_gap_in_odometry_is_not_bridged():
    odometry = Odometry(0.3)
    odometry.add(0, 0.0, 0.0, yaw(0), (10.0, 0.0, 0.0))
    odometry.add(SECOND, 20.0, 0.0, yaw(0), (10.0, 0.0, 0.0))
    assert odometry.at(100 * MS).x == pytest.approx(1.0)
    assert odometry.at(500 * MS) is None
    assert odometry.at(900 * MS).x == pytest.approx(19.0)


@pytest.mark.parametrize(
    ("x", "turn", "twist", "reason"),
    [
        (math.nan, (0, 0, 0, 1), (0, 0, 0), "no vehicle's"),
        (math.inf, (0, 0, 0, 1), (0, 0, 0), "no vehicle's"),
        (1e12, (0, 0, 0, 1), (0, 0, 0), "no vehicle's"),
        (0.0, (0, 0, 0, math.nan), (0, 0, 0), "no rotation"),
        (0.0, (0, 0, 0, 1), (math.nan, 0, 0), "no vehicle's"),
        (0.0, (0, 0, 0, 1), (1e6, 0, 0), "no vehicle's"),
        (500.0, (0, 0, 0, 1), (0, 0, 0), "jumps by 500 m"),
    ],
)
def test_odometry_of_no_vehicle_is_refused_and_changes_nothing(x, turn, twist, reason):
    odometry = Odometry(0.3)
    odometry.add(0, 0.0, 0.0, yaw(0))
    with pytest.raises(SegRosError, match=reason):
        odometry.add(100 * MS, x, 0.0, turn, twist)
    assert odometry.at(100 * MS) == Pose(0.0, 0.0, 0.0)


def test_a_pose_that_was_set_anew_is_believed_when_it_stays():
    odometry = Odometry(0.3)
    odometry.add(0, 0.0, 0.0, yaw(0))
    for k in range(1, 5):
        with pytest.raises(SegRosError, match="jumps by"):
            odometry.add(k * 20 * MS, 500.0, 0.0, yaw(0))
    odometry.add(100 * MS, 500.0, 0.0, yaw(0))
    assert odometry.at(100 * MS).x == 500.0


def test_a_pose_set_anew_leaves_nothing_fused():
    fused = FusedGrid()
    for k in range(5):
        add(fused, FREE, Pose(0.0, 0.0, 0.0), SECOND + k * 100 * MS)
    seen, _ = add(fused, UNKNOWN, Pose(11.5, 0.0, 0.0), SECOND + 410 * MS)
    assert (seen == UNKNOWN).all()


def test_attitude_is_roll_and_pitch_of_rep_103():
    assert attitude(pitch(0.2))[1] == pytest.approx(0.2)


def test_a_slope_is_not_a_pitch_but_braking_is():
    imu = Attitude(slope_seconds=5.0)
    for k in range(100):
        imu.add(k * SECOND // 10, pitch(-0.1))  # a steady climb
    roll, steady = imu.at(99 * SECOND // 10)
    assert (roll, steady) == (pytest.approx(0.0), pytest.approx(0.0, abs=1e-6))
    imu.add(100 * SECOND // 10, pitch(-0.08))
    assert imu.at(100 * SECOND // 10)[1] == pytest.approx(0.02, abs=0.001)
    level = Attitude(slope_seconds=0.0)
    level.add(0, pitch(-0.1))
    assert level.at(0)[1] == pytest.approx(-0.1)


def test_an_imu_that_repeats_itself_or_comes_late_keeps_its_slope():
    """Braking on the flat: as the same IMU says without the disorder."""
    clean, messy = Attitude(5.0), Attitude(5.0)
    for k in range(100):
        stamp, turn = k * 10 * MS, pitch(0.02 if k > 50 else 0.0)
        clean.add(stamp, turn)
        messy.add(stamp, turn)
        if k % 7 == 0:
            messy.add(stamp, turn)
        if k % 5 == 1:
            messy.add(stamp - 5 * MS, turn)
    assert clean.at(990 * MS)[1] > 0.015
    assert messy.at(990 * MS) == pytest.approx(clean.at(990 * MS), abs=1e-12)


def test_an_imu_of_another_run_starts_its_slope_anew():
    imu = Attitude(5.0)
    for k in range(50):
        imu.add(60 * SECOND + k * 10 * MS, pitch(-0.1))
    imu.add(SECOND, pitch(0.05))
    assert imu.at(SECOND)[1] == pytest.approx(0.0, abs=1e-9)
    assert imu.at(60 * SECOND) is None


def test_an_orientation_of_no_vehicle_is_refused():
    imu = Attitude(5.0)
    imu.add(0, pitch(0.0))
    with pytest.raises(SegRosError, match="pitch 86 degrees are no vehicle's"):
        imu.add(10 * MS, pitch(1.5))
    assert imu.at(10 * MS) == (0.0, 0.0)
