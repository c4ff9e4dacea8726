"""What Nav2 makes of our messages, by its own rules, written down again here.

nav2_util's validate_messages.hpp and nav2_costmap_2d's StaticLayer::interpretValue (Jazzy).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import yaml
from grid_scenes import GRIDS, LABELS, SCENES, camera
from support import shipped

from seg_ros.drive.messages import bag_messages, typestore
from seg_ros.ground.grid import DriveableGrid
from seg_ros.ground.grid_spec import (
    FREE,
    OCCUPIED,
    UNKNOWN,
    FirstContacts,
    GridSpec,
    occupancy_values,
)

NO_INFORMATION, LETHAL_OBSTACLE, FREE_SPACE = 255, 254, 0


def static_layer(value: int, parameters: dict) -> int:
    """Cost of an OccupancyGrid value; it arrives as int8 and is read as an unsigned char."""
    value %= 256
    if value == parameters.get("unknown_cost_value", -1) % 256:
        return NO_INFORMATION if parameters["track_unknown_space"] else FREE_SPACE
    if value >= min(max(parameters["lethal_cost_threshold"], 0), 100):
        return LETHAL_OBSTACLE
    if parameters["trinary_costmap"]:
        return FREE_SPACE
    return int(value / parameters["lethal_cost_threshold"] * LETHAL_OBSTACLE)


def refused_by_nav2(message) -> str:
    """Why nav2_util::validateMsg would drop a message, or nothing."""
    if not message.header.frame_id:
        return "frame id"
    if message.header.stamp.nanosec >= 10**9:
        return "stamp"
    info = message.info
    q, p = info.origin.orientation, info.origin.position
    if not all(map(math.isfinite, (q.x, q.y, q.z, q.w, p.x, p.y, p.z, info.resolution))):
        return "not finite"
    if abs(q.x**2 + q.y**2 + q.z**2 + q.w**2 - 1.0) > 1e-4:
        return "quaternion"
    if info.resolution < 1e-6 or not (info.width and info.height):
        return "metadata"
    if len(message.data) != info.width * info.height:
        return "data length"
    return ""


@pytest.fixture(scope="module")
def costmaps():
    return shipped("nav2_costmap.yaml")


@pytest.fixture(scope="module")
def street():
    cam = camera()
    grid = DriveableGrid(GRIDS[0], cam, LABELS)
    street = next(s for s in SCENES if s.name == "street")
    return grid.cells(street.mask(cam)), grid.first_contacts()


def message(cells, profile="nav2"):
    messages = bag_messages()
    header = messages.header(1_500_000_000_000_000_001, "base_link")
    return messages.occupancy_grid(header, GRIDS[0], occupancy_values(cells, profile))


def test_nav2_takes_the_message(street):
    made = message(street[0])
    assert refused_by_nav2(made) == ""
    q = made.info.origin.orientation
    assert (q.x, q.y, q.z, q.w) == (0, 0, 0, 1)  # StaticLayer does not look at it
    typestore().serialize_cdr(made, "nav_msgs/msg/OccupancyGrid")


def layers(costmaps):
    for name in ("local_costmap", "global_costmap"):
        parameters = costmaps[name][name]["ros__parameters"]
        yield parameters, parameters["driveable_layer"]


def test_nav2_reads_every_state_with_the_shipped_costmap(street, costmaps):
    cells = street[0]
    data = np.array(message(cells).data).reshape(cells.shape)
    meant = {FREE: FREE_SPACE, OCCUPIED: LETHAL_OBSTACLE, UNKNOWN: NO_INFORMATION}
    for costmap, layer in layers(costmaps):
        parameters = {**costmap, **layer}
        for state, cost in meant.items():
            values = set(data[cells == state].tolist())
            assert {static_layer(v, parameters) for v in values} == {cost}
        assert "driveable_layer" in costmap["plugins"]
        assert layer["map_topic"] == "/segmentation/driveable_grid"
        assert layer["map_subscribe_transient_local"] is True
        assert costmap["resolution"] <= GridSpec().resolution, "Nav2 would skip cells of the grid"


def test_humbles_collision_monitor_stops_where_the_other_does(costmaps):
    stop = costmaps["collision_monitor"]["ros__parameters"]["stop"]
    humble = shipped("nav2_humble.yaml")["collision_monitor"]["ros__parameters"]["stop"]
    assert humble["points"] == np.ravel(yaml.safe_load(stop["points"])).tolist()
    assert humble["max_points"] == stop["min_points"] - 1


def test_what_goes_wrong_otherwise(costmaps):
    costmap, layer = next(layers(costmaps))
    parameters = {**costmap, **layer}
    assert static_layer(-1, {**parameters, "track_unknown_space": False}) == FREE_SPACE
    assert static_layer(50, parameters) == FREE_SPACE  # autoware's unknown
    assert static_layer(99, {**parameters, "lethal_cost_threshold": 100}) == FREE_SPACE


def test_the_scan_is_a_laser_scan(street):
    contacts = street[1]
    messages = bag_messages()
    scan = messages.laser_scan(messages.header(5, "base_link"), contacts)
    typestore().serialize_cdr(scan, "sensor_msgs/msg/LaserScan")
    assert len(scan.ranges) == 1 + round((scan.angle_max - scan.angle_min) / scan.angle_increment)
    usable = scan.ranges[np.isfinite(scan.ranges)]
    assert len(usable)
    assert (usable >= scan.range_min).all()
    assert (usable <= scan.range_max + 1e-5).all()
    assert scan.ranges.dtype == np.float32


def test_scan_angles_are_left_positive():
    ranges = np.array([np.nan, 4.0, np.inf], np.float32)
    scan = bag_messages().laser_scan(
        bag_messages().header(5, "base_link"), FirstContacts(-0.1, 0.1, 9.0, ranges)
    )
    assert scan.angle_max == pytest.approx(0.1)
