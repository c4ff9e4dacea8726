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
    seen, spec = add(fused, UNKNOWN, Pose(3.0, -1.0, 0.0), SECOND + 1)
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
    track.add(500, (7.0,))  # a bag that starts again
    assert track.at(600) == (7.0,)


def test_odometry_turns_the_short_way():
    odometry = Odometry()
    odometry.add(0, 1.0, 2.0, yaw(math.pi - 0.1))
    odometry.add(100, 3.0, 2.0, yaw(-math.pi + 0.1))
    pose = odometry.at(50)
    assert (pose.x, pose.y) == (2.0, 2.0)
    assert abs(pose.yaw) == pytest.approx(math.pi)
    with pytest.raises(SegRosError, match="no rotation"):
        odometry.add(200, 0.0, 0.0, (0, 0, 0, 0))


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
