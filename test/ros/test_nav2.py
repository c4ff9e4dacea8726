"""Nav2 itself with the shipped parameters: its lifecycle manager, its costmaps, our grid."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from node_messages import image_message, mounting_parameters
from support import HUMBLE, running_node, shipped, wait_until

from seg_ros.ground.grid_spec import FirstContacts
from seg_ros.results import topics
from seg_ros.ros.messages import message_class, ros_messages

pytest.importorskip("rclpy", reason="rclpy is not installed")
AT = (2.0, 1.0)
"""Where the vehicle is in the costmap's frame, m."""

COSTMAP = "/costmap/costmap" if HUMBLE else "/costmap"
"""The costmap's node and its topic, where it runs by itself."""


def program(package: str, name: str) -> Path:
    packages = pytest.importorskip("ament_index_python.packages")
    try:
        return Path(packages.get_package_prefix(package)) / "lib" / package / name
    except (LookupError, OSError):
        pytest.skip(f"{package} is not installed; it comes with Nav2")


@contextmanager
def running(log: Path, executable: Path, name: str, parameters: dict):
    """Run a program of Nav2 with parameters for one node."""
    file = log.with_suffix(".yaml")
    file.write_text(yaml.safe_dump({name: {"ros__parameters": parameters}}))
    with log.open("wb") as output:
        command = [executable, "--ros-args", "--params-file", file]
        process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def nav2_parameters() -> dict:
    """Return the parameters that ship, as the documents say to put them together."""
    ours = shipped("nav2_costmap.yaml")
    if HUMBLE:
        humble = shipped("nav2_humble.yaml")["collision_monitor"]["ros__parameters"]
        ours["collision_monitor"]["ros__parameters"]["stop"] |= humble["stop"]
    return ours


def managed(*nodes: str) -> dict:
    """Parameters of the lifecycle manager, as docs/launch.md says."""
    return {"autostart": True, "bond_timeout": 0.0, "node_names": list(nodes)}


def place(client, parent: str, child: str, x: float = 0.0, y: float = 0.0) -> None:
    """Publish a static transform."""
    tf2_ros = pytest.importorskip("tf2_ros", reason="tf2_ros is not installed; it comes with ROS 2")
    header = ros_messages().header(time.time_ns(), parent)
    where = message_class("geometry_msgs/msg/TransformStamped")(header=header, child_frame_id=child)
    where.transform.translation.x, where.transform.translation.y = x, y
    tf2_ros.StaticTransformBroadcaster(client.node).sendTransform(where)


def value_at(grid, x, y):
    """Values of an OccupancyGrid message at points of its frame; NaN outside."""
    origin, info = grid.info.origin.position, grid.info
    column = np.floor((x - origin.x) / info.resolution).astype(int)
    row = np.floor((y - origin.y) / info.resolution).astype(int)
    inside = (column >= 0) & (column < info.width) & (row >= 0) & (row < info.height)
    data = np.array(grid.data, np.int8).reshape(info.height, info.width)
    values = np.full(x.shape, np.nan)
    values[inside] = data[row[inside], column[inside]]
    return values


@pytest.mark.parametrize("costmap", ["local_costmap", "global_costmap"])
def test_the_costmap_has_what_the_grid_says(tmp_path, client, scene, costmap):
    costmap_node = program("nav2_costmap_2d", "nav2_costmap_2d")
    manager_node = program("nav2_lifecycle_manager", "lifecycle_manager")
    # Besides, how the test looks at it.
    seen = {"always_send_full_costmap": True, "publish_frequency": 5.0}
    parameters = nav2_parameters()[costmap][costmap]["ros__parameters"] | seen
    place(client, parameters["global_frame"], parameters["robot_base_frame"], *AT)
    camera = scene.camera
    costmaps = []
    grid_type = message_class(topics.GRID.message_type)
    client.node.create_subscription(grid_type, COSTMAP, costmaps.append, 1)
    manager = managed("segmentation_node", COSTMAP.lstrip("/"))
    with (
        running_node(tmp_path / "node.log", autostart=False, **mounting_parameters(camera)) as node,
        running(tmp_path / "costmap.log", costmap_node, COSTMAP, parameters),
        running(tmp_path / "manager.log", manager_node, "lifecycle_manager", manager),
    ):
        node.wait_for("active, listening on /image")
        client.listen(topics.GRID)
        images, infos = (client.publisher(t) for t in (topics.IMAGE, topics.CAMERA_INFO))
        stamp = time.time_ns()
        infos.publish(ros_messages().camera_info(ros_messages().header(stamp, "front"), camera))
        client.settle()
        images.publish(image_message(scene[0].image, stamp))
        (grid,) = client.wait_for(topics.GRID)
        costmaps.clear()
        wait_until(lambda: len(costmaps) > 3, "costmaps after the grid")
        got = costmaps[-1]

    assert got.header.frame_id == parameters["global_frame"]
    x0, y0 = got.info.origin.position.x, got.info.origin.position.y
    columns, rows = np.meshgrid(np.arange(got.info.width), np.arange(got.info.height))
    x = x0 + (columns + 0.5) * got.info.resolution
    y = y0 + (rows + 0.5) * got.info.resolution
    cost = value_at(got, x, y)
    ours = value_at(grid, x - AT[0], y - AT[1])
    assert {-1, 0, 100} <= set(ours[~np.isnan(ours)]), "the frame shows not every state"
    assert np.all(cost[ours == 100] == 100), "an obstacle is not lethal"
    assert np.all(cost[ours == -1] != 0), "unknown has become free"
    assert np.all(cost[np.isnan(ours)] != 0), "free where there is no grid"
    free = cost[ours == 0]
    if costmap == "global_costmap":
        assert np.all(free == 0)
        assert np.all(cost[ours == -1] == -1)
    else:  # inflated: costly near obstacles, and passable elsewhere
        assert np.all(free >= 0)
        assert np.all(free < 100)
        assert np.mean(free == 0) > 0.5


def test_the_collision_monitor_stops_for_a_contact_ahead(tmp_path, client):
    monitor_node = program("nav2_collision_monitor", "collision_monitor")
    manager_node = program("nav2_lifecycle_manager", "lifecycle_manager")
    parameters = nav2_parameters()["collision_monitor"]["ros__parameters"]
    place(client, parameters["odom_frame_id"], parameters["base_frame_id"])
    twist = message_class("geometry_msgs/msg/Twist")
    allowed = []
    client.node.create_subscription(twist, "/allowed", allowed.append, 10)
    wanted = client.node.create_publisher(twist, "/wanted", 10)
    scans = client.node.create_publisher(
        message_class(topics.CONTACTS.message_type),
        topics.CONTACTS.name,
        topics.CONTACTS.qos_profile(),
    )
    ahead = np.full(91, np.inf, np.float32)
    ahead[40:51] = 3.0
    away = np.full(91, np.inf, np.float32)
    away[40:51] = 8.0
    unknown = np.full(91, np.nan, np.float32)
    step = twist()
    step.linear.x = 1.0

    def slows(ranges, to):
        """Wait until so much is left of 1 m/s while the scan shows these ranges, or is silent."""

        def so() -> bool:
            if ranges is not None:
                contacts = FirstContacts(-0.45, 0.01, 20.0, ranges)
                stamp = ros_messages().header(time.time_ns(), parameters["base_frame_id"])
                scans.publish(ros_messages().laser_scan(stamp, contacts))
            wanted.publish(step)
            time.sleep(0.1)
            return bool(allowed) and allowed[-1].linear.x == to

        wait_until(so, f"{to} m/s")

    parameters |= {"cmd_vel_in_topic": "wanted", "cmd_vel_out_topic": "allowed"}
    log = tmp_path / "manager.log"
    with (
        running(tmp_path / "monitor.log", monitor_node, "collision_monitor", parameters),
        running(log, manager_node, "lifecycle_manager", managed("collision_monitor")),
    ):
        wait_until(lambda: "nodes are active" in log.read_text(), "the collision monitor")
        wait_until(scans.get_subscription_count, "its subscription")
        slows(away, to=1.0)
        slows(ahead, to=0.0)
        slows(unknown, to=1.0)  # the scan says nothing there; that is the grid's to say
        if HUMBLE:  # drives on, as docs/grid.md warns
            slows(ahead, to=0.0)
            slows(None, to=1.0)
        else:
            slows(None, to=0.0)
