"""The node's grid where the vehicle moves: IMU, odometry and TF at the frame's stamp."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from node_messages import (
    LABELS,
    image_message,
    imu,
    mounting_parameters,
    odometry,
    turned,
)
from support import running_node, wait_until

from seg_ros.drive.messages import stamp_ns
from seg_ros.drive.vehicle import Vehicle
from seg_ros.errors import SegRosError
from seg_ros.ground.grid import DriveableGrid
from seg_ros.ground.grid_spec import GridSpec, occupancy_values
from seg_ros.ground.world_grid import Pose, place
from seg_ros.results import topics
from seg_ros.results.parameters import BY_NAME
from seg_ros.ros.messages import message_class, ros_messages

STAMP = 5 * 10**9
DEFAULTS = {name: spec.default for name, spec in BY_NAME.items()}


def test_the_grid_follows_pitch_and_pose_at_the_stamp(tmp_path, client, scene, segmenter):
    camera, image = scene.camera, scene[0].image
    with running_node(
        tmp_path / "node.log",
        grid_frame="odom",
        attitude_source="imu",
        attitude_slope_time=0.0,
        **mounting_parameters(camera),
    ):
        client.listen(topics.GRID, topics.CONTACTS)
        send = {
            topic: client.publisher(topic)
            for topic in (topics.IMAGE, topics.CAMERA_INFO, topics.ODOMETRY, topics.IMU)
        }
        header = ros_messages().header(STAMP, "camera")
        send[topics.CAMERA_INFO].publish(ros_messages().camera_info(header, camera))
        send[topics.IMAGE].publish(image_message(image, STAMP))
        client.diagnosis(lambda v: "no imu within 0.2 s" in v["camera"])

        send[topics.IMU].publish(imu(STAMP - 10**7, 0.01))
        send[topics.IMU].publish(imu(STAMP + 10**7, 0.03))
        send[topics.ODOMETRY].publish(odometry(STAMP - 10**7, Pose(10.0, 5.0, 0.5)))
        send[topics.ODOMETRY].publish(odometry(STAMP + 10**7, Pose(12.0, 5.0, 0.5)))
        client.settle()
        send[topics.IMAGE].publish(image_message(image, STAMP))
        (grid,) = client.wait_for(topics.GRID)
        (scan,) = client.wait_for(topics.CONTACTS)

    tilted = replace(camera, mounting=camera.mounting.tilted(0.0, 0.02))
    ours = DriveableGrid(GridSpec(), tilted, LABELS)
    cells = ours.cells(segmenter.segment(image).class_mask())
    placed, spec = place(cells, GridSpec(), Pose(11.0, 5.0, 0.5))
    assert grid.header.frame_id == "odom"
    assert (grid.info.origin.position.x, grid.info.origin.position.y) == (spec.x_min, spec.y_min)
    data = np.array(grid.data, np.int8).reshape(grid.info.height, grid.info.width)
    # The pitch between two messages is 0.02 to the last bit or two, a pixel's edge may feel that.
    assert np.mean(data != occupancy_values(placed, "nav2")) < 1e-3
    assert scan.header.frame_id == "base_link"
    contacts = ours.first_contacts()
    assert scan.range_max == pytest.approx(contacts.range_max, rel=1e-3)
    assert len(scan.ranges) == len(contacts.ranges)


def test_odometry_of_another_frame_is_said(tmp_path, client, scene):
    with running_node(tmp_path / "node.log", grid_frame="odom"):
        client.listen(topics.GRID)
        images, infos = client.publisher(topics.IMAGE), client.publisher(topics.CAMERA_INFO)
        poses = client.publisher(topics.ODOMETRY)
        header = ros_messages().header(STAMP, "camera")
        infos.publish(ros_messages().camera_info(header, scene.camera))
        poses.publish(odometry(STAMP, Pose(0.0, 0.0, 0.0), "map"))
        client.settle()
        images.publish(image_message(scene[0].image, STAMP))
        _, values = client.diagnosis(lambda v: v["camera"] != "ok, mounting assumed")
        assert values["camera"] == (
            "no grid: odometry: it is in frame 'map', grid_frame is 'odom'; make them the same"
        )


class FakeBuffer:
    """As much of tf2_ros.Buffer as is asked: one transform, known at one stamp."""

    asked: list[tuple]
    cleared = 0

    def clear(self):
        type(self).cleared += 1

    def lookup_transform(self, target, source, time, timeout):
        type(self).asked.append((target, source, time.nanoseconds))
        if time.nanoseconds != STAMP:
            raise LookupError("extrapolation\ninto the future")
        xyz = SimpleNamespace(x=1.5, y=0.1, z=1.6)
        level = SimpleNamespace(x=-0.5, y=0.5, z=-0.5, w=0.5)
        return SimpleNamespace(transform=SimpleNamespace(translation=xyz, rotation=level))


@pytest.fixture
def fake_tf2(monkeypatch):
    FakeBuffer.asked, FakeBuffer.cleared = [], 0
    module = ModuleType("tf2_ros")
    module.Buffer, module.TransformException = FakeBuffer, LookupError
    module.TransformListener = lambda *_: SimpleNamespace(unregister=lambda: None)
    monkeypatch.setitem(sys.modules, "tf2_ros", module)


def vehicle(on_refused=lambda _: None, **changes):
    from seg_ros.ros.transforms import Transforms

    transforms = Transforms(None) if changes.get("mounting_source") == "tf" else None
    return Vehicle({**DEFAULTS, **changes}, transforms, on_refused)


@pytest.mark.usefixtures("fake_tf2")
def test_the_mounting_comes_from_tf_at_the_frames_stamp(scene):
    camera = scene.camera
    found = vehicle(mounting_source="tf").camera_at(camera, "front_optical", STAMP)
    assert FakeBuffer.asked == [("base_link", "front_optical", STAMP)]
    assert found.mounting.position.tolist() == [1.5, 0.1, 1.6]
    assert found.mounting.pitch == pytest.approx(0.0)
    assert replace(found, mounting=camera.mounting) == camera


@pytest.mark.usefixtures("fake_tf2")
def test_no_transform_is_one_clear_line(scene):
    with pytest.raises(SegRosError, match=r"'front_optical' to 'base_link'.*into the future"):
        vehicle(mounting_source="tf").camera_at(scene.camera, "front_optical", STAMP + 1)


@pytest.mark.usefixtures("fake_tf2")
def test_transforms_of_another_run_are_forgotten():
    vehicle().time_jumped()
    assert FakeBuffer.cleared == 0
    vehicle(mounting_source="tf").time_jumped()
    assert FakeBuffer.cleared == 1


def test_the_mounting_comes_from_tf_itself(tmp_path, client, scene, segmenter):
    """A static transform and one that changes, over DDS: the grid is of the pitch at the stamp."""
    tf2_ros = pytest.importorskip("tf2_ros", reason="tf2_ros is not installed; it comes with ROS 2")
    camera = scene.camera
    at = camera.mounting

    def transform(stamp, parent, child, xyz, rotation):
        message = message_class("geometry_msgs/msg/TransformStamped")(
            header=ros_messages().header(stamp, parent), child_frame_id=child
        )
        t = message.transform.translation
        t.x, t.y, t.z = map(float, xyz)
        message.transform.rotation = rotation
        return message

    level = message_class("geometry_msgs/msg/Quaternion")(x=-0.5, y=0.5, z=-0.5, w=0.5)
    fixed, moving = (
        kind(client.node)
        for kind in (tf2_ros.StaticTransformBroadcaster, tf2_ros.TransformBroadcaster)
    )
    fixed.sendTransform(transform(0, "mast", "front_optical", (0, 0, 0), level))

    def moved(stamp, pitch):
        moving.sendTransform(
            transform(stamp, "base_link", "mast", (at.x, at.y, at.z), turned(pitch, "y"))
        )

    with running_node(tmp_path / "node.log", mounting_source="tf"):
        client.listen(topics.GRID)
        images = client.publisher(topics.IMAGE)
        infos = client.publisher(topics.CAMERA_INFO)
        wait_until(
            lambda: (
                client.node.count_subscribers("/tf") and client.node.count_subscribers("/tf_static")
            ),
            "the node to listen to TF",
        )
        infos.publish(
            ros_messages().camera_info(ros_messages().header(STAMP, "front_optical"), camera)
        )
        images.publish(image_message(scene[0].image, STAMP))
        _, values = client.diagnosis(lambda v: "no grid" in v["camera"])
        assert "no transform from 'front_optical' to 'base_link'" in values["camera"]

        client.settle()
        moved(STAMP - 10**7, 0.01)
        moved(STAMP + 10**7, 0.03)
        client.settle()
        images.publish(image_message(scene[0].image, STAMP))
        (grid,) = client.wait_for(topics.GRID)
    tilted = replace(camera, mounting=replace(at, roll=0.0, pitch=0.02, yaw=0.0))
    cells = DriveableGrid(GridSpec(), tilted, LABELS).cells(
        segmenter.segment(scene[0].image).class_mask()
    )
    data = np.array(grid.data, np.int8).reshape(grid.info.height, grid.info.width)
    # The pitch between two transforms is 0.02 to the last bit or two; a pixel's edge may feel that.
    assert np.mean(data != occupancy_values(cells, "nav2")) < 1e-3
    assert grid.header.frame_id == "base_link"


def test_tf_without_tf2_ros_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    with pytest.raises(SegRosError, match="tf2_ros is not installed; install"):
        vehicle(mounting_source="tf")


def test_without_sources_the_parameters_stand(scene):
    camera = scene.camera
    assert vehicle().camera_at(camera, "camera", STAMP) == camera
    assert vehicle().pose_at(STAMP) is None
    assert vehicle().heard() == {}


def heard(vehicle, topic, message):
    vehicle.heard()[topic.name](message)


def test_an_imu_without_orientation_is_not_used(scene):
    refused = []
    asked = vehicle(refused.append, attitude_source="imu")
    message = imu(STAMP, 0.0)
    message.orientation_covariance[0] = -1.0
    heard(asked, topics.IMU, message)
    assert "has no orientation" in refused[0]
    with pytest.raises(SegRosError, match="has no orientation"):
        asked.camera_at(scene.camera, "camera", STAMP)


def test_odometry_of_another_frame_is_refused_where_nothing_converts_it():
    asked = vehicle(grid_frame="odom")
    message = odometry(STAMP, Pose(1.0, 2.0, 0.0))
    message.child_frame_id = "gps"
    heard(asked, topics.ODOMETRY, message)
    with pytest.raises(SegRosError, match="of 'gps', not of base_frame 'base_link'"):
        asked.pose_at(STAMP)


def test_an_imu_of_another_frame_is_refused_where_nothing_converts_it(scene):
    refused = []
    asked = vehicle(refused.append, attitude_source="imu")
    message = imu(STAMP, 0.02)
    message.header.frame_id = "imu_link"
    heard(asked, topics.IMU, message)
    assert refused == [
        "imu: it is of 'imu_link', not of base_frame 'base_link'; publish that one's, or set "
        "mounting_source to tf, which converts it"
    ]
    with pytest.raises(SegRosError, match="of 'imu_link', not of base_frame 'base_link'"):
        asked.camera_at(scene.camera, "camera", STAMP)


@pytest.mark.usefixtures("fake_tf2")
def test_an_imu_of_another_frame_is_converted_through_tf(monkeypatch, scene):
    """It is mounted turned to the left by a right angle: its roll is the vehicle's pitch."""
    optical = SimpleNamespace(
        transform=SimpleNamespace(
            translation=SimpleNamespace(x=1.0, y=0.0, z=1.5),
            rotation=SimpleNamespace(x=-0.5, y=0.5, z=-0.5, w=0.5),
        )
    )
    turn = SimpleNamespace(
        transform=SimpleNamespace(
            translation=SimpleNamespace(x=0.3, y=0.1, z=0.2), rotation=turned(-math.pi / 2, "z")
        )
    )
    between = {("imu_link", "base_link"): turn, ("base_link", "camera"): optical}
    monkeypatch.setattr(FakeBuffer, "lookup_transform", lambda _, a, b, *__, **___: between[a, b])
    asked = vehicle(attitude_source="imu", mounting_source="tf", attitude_slope_time=0.0)
    message = imu(STAMP, 0.0)
    message.header.frame_id = "imu_link"
    # The vehicle's nose is down by 0.02 about its own left, which is the unit's forward axis.
    message.orientation = turned(0.02, "x")
    heard(asked, topics.IMU, message)
    level = vehicle(mounting_source="tf").camera_at(scene.camera, "camera", STAMP)
    tilted = asked.camera_at(scene.camera, "camera", STAMP)
    assert tilted.mounting.pitch - level.mounting.pitch == pytest.approx(0.02)
    assert tilted.mounting.roll == pytest.approx(level.mounting.roll)


@pytest.mark.usefixtures("fake_tf2")
def test_odometry_of_another_frame_is_converted_through_tf(monkeypatch):
    """The antenna is 2 m behind and turned to the left: base_link ahead and to its right."""

    found = SimpleNamespace(
        transform=SimpleNamespace(
            translation=SimpleNamespace(x=0.0, y=-2.0, z=-1.0), rotation=turned(-math.pi / 2, "z")
        )
    )
    between = {("gps", "base_link"): found}
    monkeypatch.setattr(FakeBuffer, "lookup_transform", lambda _, a, b, *__, **___: between[a, b])
    asked = vehicle(grid_frame="odom", mounting_source="tf")
    message = odometry(STAMP, Pose(10.0, 20.0, math.pi / 2))
    message.child_frame_id = "gps"
    heard(asked, topics.ODOMETRY, message)
    pose = asked.pose_at(STAMP)
    assert (pose.x, pose.y, pose.yaw) == pytest.approx((12.0, 20.0, 0.0))


def test_a_calibration_sent_once_before_the_node_is_there_counts(tmp_path, client, scene):
    """By a driver that is transient local and has said it; a newer one of any kind replaces it."""
    camera, library = scene.camera, ros_messages()

    def info(stamp, camera):
        return library.camera_info(library.header(stamp, "front_optical"), camera)

    topic = topics.CAMERA_INFO_SENT_BEFORE
    driver = client.node.create_publisher(
        message_class(topic.message_type), topic.name, topic.qos_profile()
    )
    driver.publish(info(STAMP, camera))
    with running_node(tmp_path / "node.log"):
        client.listen(topics.GRID)
        images = client.publisher(topics.IMAGE)
        wait_until(lambda: driver.get_subscription_count() == 2, "both subscriptions")
        client.settle()
        images.publish(image_message(scene[0].image, STAMP))
        (grid,) = client.wait_for(topics.GRID)
        assert stamp_ns(grid.header.stamp) == STAMP
        driver.publish(info(STAMP + 1, replace(camera, width=300, height=300, cx=150, cy=150)))
        client.settle()
        images.publish(image_message(scene[0].image, STAMP + 1))
        client.diagnosis(lambda v: "is for 300x300" in v["camera"])
        driver.publish(info(STAMP + 2, replace(camera, fx=0.5)))
        # Received twice, counted once.
        client.diagnosis(lambda v: v["camera_info_rejected"] == "1")
    client.node.destroy_publisher(driver)


def test_a_calibration_sent_before_does_not_replace_a_newer_one(scene):
    from seg_ros.ros.viewpoint import Viewpoint
    from seg_ros.support.statistics import FrameStatistics

    camera, library = scene.camera, ros_messages()
    quiet = SimpleNamespace(error=lambda *_, **__: None, warning=lambda *_, **__: None)
    node = SimpleNamespace(get_logger=lambda: quiet, resolve_topic_name=lambda name: f"/{name}")
    settings = SimpleNamespace(values=DEFAULTS, mounting_assumed=False)
    viewpoint = Viewpoint(node, settings, FrameStatistics())

    def hear(topic, stamp, fx):
        header = library.header(stamp, "front_optical")
        message = library.camera_info(header, replace(camera, fx=fx))
        viewpoint.subscriptions()[topic](message)
        return viewpoint.camera.fx

    now, before = topics.CAMERA_INFO, topics.CAMERA_INFO_SENT_BEFORE
    assert hear(before, 100, 500.0) == 500.0
    assert hear(now, 200, 510.0) == 510.0
    assert hear(before, 150, 520.0) == 510.0
    assert hear(before, 200, 510.0) == 510.0
    assert hear(before, 300, 530.0) == 530.0
    assert hear(now, 50, 540.0) == 540.0  # live, after a clock that went back
