"""What may be sent to the node and is no camera's: refused and counted, and good frames go on."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from node_messages import image_message, imu, odometry, pixels
from support import running_node

from seg_ros.drive.images import decode_compressed, encode_jpeg
from seg_ros.drive.messages import stamp_ns
from seg_ros.ground.world_grid import Pose
from seg_ros.results import topics
from seg_ros.ros.messages import ros_messages

pytest.importorskip("rclpy", reason="rclpy is not installed")

OUTCOMES = ("published", "dropped", "rejected", "failed", "unwanted")
HEIGHT, WIDTH = 360, 640


def compressed(stamp, data):
    library = ros_messages()
    return library.jpeg(library.header(stamp, "c"), data)


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


def test_no_image_is_decoded_beyond_the_limit_and_good_ones_go_on(
    tmp_path, client, scene, segmenter
):
    good = encode_jpeg(scene[0].image, 95)
    expected = segmenter.segment(decode_compressed(compressed(1, good))).class_mask()
    tall = np.zeros((HEIGHT + 1, WIDTH, 3), np.uint8)
    long = np.zeros((2, 130, 3), np.uint8)
    damaged = bytearray(png(tall[:HEIGHT]))
    damaged[60:80] = bytes(20)
    bad = {
        "image is 640x361, 231040 pixels; at most 230400 are decoded": png(tall),
        "640x361, 231040 pixels": encode_jpeg(tall, 50),
        "image is 130x2: no side may be more than 64 times": png(long),
        "PNG image of 20 bytes is damaged or cut off in its header": png(long)[:20],
        "JPEG image of 30 bytes is damaged or cut off": good[:30],
        "neither JPEG nor PNG": b"nothing",
        "PNG image": bytes(damaged),
    }
    parameters = {"image_transport": "compressed", "max_pixels": HEIGHT * WIDTH}
    with running_node(tmp_path / "node.log", **parameters) as node:
        client.listen(topics.MASK)
        publisher = client.publisher(topics.IMAGE_COMPRESSED)
        for number, (reason, data) in enumerate(bad.items(), 1):
            publisher.publish(compressed(10 * number, data))
            _, values = client.diagnosis(lambda v, n=number: v["rejected"] == str(n))
            assert reason in values["last error"]
            publisher.publish(compressed(10 * number + 1, good))
            mask = client.wait_for(topics.MASK, number)[-1]
            assert stamp_ns(mask.header.stamp) == 10 * number + 1
            assert np.array_equal(pixels(mask), expected)
        assert client.set_parameter("max_pixels", 1).successful
        publisher.publish(compressed(1000, good))
        status, values = client.diagnosis(lambda v: v["rejected"] == str(len(bad) + 1))
        assert status.level == b"\x02"
        assert int(values["received"]) == sum(int(values[name]) for name in OUTCOMES)
        assert values["in hand"] == "0"
        assert "Traceback" not in node.said()


def absurd(camera):
    yield replace(camera, fx=0.98, fy=0.98, cx=0.5, cy=0.5), "as if given as parts of the image's"
    yield replace(camera, cy=-1e6), "cy = -1e+06 is far outside the 640x360 image"
    yield replace(camera, fx=1e9, fy=1e9), "a field of view of 3.67e-05 degrees"
    yield replace(camera, width=2_000_000_000), "camera size 2000000000x360 is no camera's"


def test_an_absurd_calibration_costs_the_grid_and_never_the_mask(tmp_path, client, scene):
    camera, library = scene.camera, ros_messages()
    with running_node(tmp_path / "node.log") as node:
        client.listen(topics.MASK, topics.GRID)
        images, infos = client.publisher(topics.IMAGE), client.publisher(topics.CAMERA_INFO)
        for number, (bad, reason) in enumerate(absurd(camera), 1):
            infos.publish(library.camera_info(library.header(1, "c"), bad))
            _, values = client.diagnosis(lambda v, n=number: v["camera_info_rejected"] == str(n))
            assert reason in values["camera"]
            images.publish(image_message(scene[0].image, number))
            assert stamp_ns(client.wait_for(topics.MASK, number)[-1].header.stamp) == number
        assert not client.messages[topics.GRID.name]
        infos.publish(library.camera_info(library.header(1, "c"), camera))
        client.diagnosis(lambda v: v["camera"].startswith("no grid: no camera_info"))
        images.publish(image_message(scene[0].image, 100))
        (grid,) = client.wait_for(topics.GRID)
        assert stamp_ns(grid.header.stamp) == 100
        assert "Traceback" not in node.said()


def broken(message, **fields):
    """A message with some fields of its pose or orientation set to what no sensor says."""
    target = message.pose.pose if hasattr(message, "pose") else message
    for name, value in fields.items():
        setattr(target.position if name in ("x", "y") else target.orientation, name[-1], value)
    return message


def test_motion_that_no_vehicle_has_costs_the_grid_and_never_the_mask(tmp_path, client, scene):
    nan, still = float("nan"), Pose(0.0, 0.0, 0.0)
    hostile = [
        (topics.ODOMETRY, lambda t: broken(odometry(t, still), x=nan)),
        (topics.ODOMETRY, lambda t: broken(odometry(t, still), qw=0.0)),
        (topics.ODOMETRY, lambda t: broken(odometry(t, still), qz=nan)),
        (topics.ODOMETRY, lambda t: broken(odometry(t, still), x=float("inf"))),
        (topics.IMU, lambda t: broken(imu(t, 0.0), qw=0.0)),
        (topics.IMU, lambda t: broken(imu(t, 0.0), qw=nan)),
    ]
    camera, library = scene.camera, ros_messages()
    wanted = {"grid_frame": "odom", "attitude_source": "imu", "grid_fusion": True}
    with running_node(tmp_path / "node.log", **wanted) as node:
        client.listen(topics.MASK, topics.GRID)
        send = {
            topic: client.publisher(topic)
            for topic in (topics.IMAGE, topics.CAMERA_INFO, *topics.MOTION)
        }
        send[topics.CAMERA_INFO].publish(library.camera_info(library.header(1, "c"), camera))
        stamp = 10 * 10**9
        for number, (topic, make) in enumerate(hostile, 1):
            stamp += 10**9
            for other in topics.MOTION:
                if other is not topic:
                    good = imu(stamp, 0.0) if other is topics.IMU else odometry(stamp, still)
                    send[other].publish(good)
            send[topic].publish(make(stamp))
            client.settle()
            send[topics.IMAGE].publish(image_message(scene[0].image, stamp))
            assert stamp_ns(client.wait_for(topics.MASK, number)[-1].header.stamp) == stamp
            client.diagnosis(lambda v: v["camera"].startswith("no grid: "))
            assert not client.messages[topics.GRID.name], make
        stamp += 10**9
        send[topics.ODOMETRY].publish(odometry(stamp, still))
        send[topics.IMU].publish(imu(stamp, 0.0))
        client.settle()
        send[topics.IMAGE].publish(image_message(scene[0].image, stamp))
        assert stamp_ns(client.wait_for(topics.GRID)[-1].header.stamp) == stamp
        _, values = client.diagnosis(lambda v: v["published"] == str(len(hostile) + 1))
        assert int(values["failed"]) == int(values["messages_failed"]) == 0
        assert "Traceback" not in node.said()
