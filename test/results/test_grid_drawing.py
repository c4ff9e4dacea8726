"""A grid that does not turn with the vehicle is drawn from where the vehicle was."""

import math

import numpy as np
from vehicle_drive import START

from seg_ros.drive.messages import bag_messages
from seg_ros.ground.grid_spec import FREE, OCCUPIED, UNKNOWN, GridSpec, occupancy_values
from seg_ros.ground.world_grid import Pose, place
from seg_ros.results.bag_topics import GRID_TOPIC, RESULT_TOPICS, TF, result_topic
from seg_ros.results.grid_drawing import draw_grid, grid_poses
from seg_ros.results.result_bag import ResultBag, read_result
from seg_ros.segment.paint import grid_picture


def test_a_placed_grid_is_drawn_as_the_vehicle_saw_it(tmp_path):
    spec = GridSpec(0.2, 0.0, 20.0, -6.0, 6.0)
    cells = np.full(spec.shape, UNKNOWN, np.int8)
    cells[15:45, 20:80] = FREE
    cells[15:45, 80:85] = OCCUPIED
    pose = Pose(120.0, -40.0, math.radians(30))
    placed, where = place(cells, spec, pose)
    library = bag_messages()
    header = library.header(START, "odom")
    c, s = math.cos(pose.yaw), math.sin(pose.yaw)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    topics = [result_topic(RESULT_TOPICS[name]) for name in (GRID_TOPIC, TF.name)]
    with ResultBag(tmp_path / "result", topics) as bag:
        values = occupancy_values(placed, "nav2")
        bag.write(GRID_TOPIC, START, library.occupancy_grid(header, where, values))
        bag.write(TF.name, START, library.transform(header, "base_link", (120, -40, 0), turn))
    poses = grid_poses(tmp_path / "result", [START])
    assert list(poses) == [("odom", START)]
    ((_, message),) = read_result(tmp_path / "result", GRID_TOPIC)
    drawn = draw_grid(message, poses)
    # As it was, but for the cells that the turning back and forth takes the worst of.
    known = GridSpec(0.2, 4.0, 17.0, -3.0, 3.0)
    plain = grid_picture(cells[15:45, 20:85], known, 300)
    assert abs(drawn.shape[1] - plain.shape[1]) < 12
    green, ours = ((np.array([96, 160, 64]) == p).all(axis=2) for p in (plain, drawn))
    assert green.mean() > 0.5
    assert ours.mean() > 0.45
    for axis in (0, 1):  # in the same places, ahead of the vehicle
        middles = [np.nonzero(g)[axis].mean() / g.shape[axis] for g in (green, ours)]
        assert abs(middles[0] - middles[1]) < 0.03
    away = draw_grid(message)
    assert away.shape != drawn.shape


def test_a_result_without_transforms_has_no_poses(tmp_path):
    topics = [result_topic(RESULT_TOPICS[GRID_TOPIC])]
    spec = GridSpec(0.5, 0.0, 5.0, -2.0, 2.0)
    with ResultBag(tmp_path / "result", topics) as bag:
        values = occupancy_values(np.zeros(spec.shape, np.int8), "autoware")
        header = bag_messages().header(START, "base_link")
        bag.write(GRID_TOPIC, START, bag_messages().occupancy_grid(header, spec, values))
    assert grid_poses(tmp_path / "result") == {}
    ((_, message),) = read_result(tmp_path / "result", GRID_TOPIC)
    np.testing.assert_array_equal(
        draw_grid(message), grid_picture(np.zeros(spec.shape, np.int8), spec, 300)
    )
