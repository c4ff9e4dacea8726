"""Three cameras in one process: a node each, and nobody gets another's frames."""

import unittest

import numpy as np
import pytest
from launch_support import launch_test, segmentation_launch
from support import Client, wait_until

from seg_ros.drive.messages import stamp_ns
from seg_ros.results import topics
from seg_ros.segment.segmenter import Segmenter
from seg_ros.synthetic import SyntheticDrive

CAMERAS = ("front", "left", "right")


launch_testing = pytest.importorskip("launch_testing")


@launch_test
def generate_test_description():
    return segmentation_launch(
        cameras=",".join(CAMERAS), namespace="car", image="/sensing/{camera}/image_raw"
    )


class TestCameras(unittest.TestCase):
    def test_each_node_segments_its_own_camera(self):
        from sensor_msgs.msg import Image

        from seg_ros.ros.messages import ros_messages

        client = Client()
        self.addCleanup(client.close)
        library = ros_messages()
        scene = SyntheticDrive(frames=150, width=640, height=360)
        masks = {camera: [] for camera in CAMERAS}
        for camera in CAMERAS:
            name = f"/car/{camera}/{topics.MASK.name}"
            client.node.create_subscription(Image, name, masks[camera].append, 10)
        publishers = {
            camera: client.node.create_publisher(Image, f"/sensing/{camera}/image_raw", 10)
            for camera in CAMERAS
        }
        for camera in CAMERAS:
            client.diagnosis(
                lambda v: v["listened to"] == topics.MASK.name and v["image publishers"] == "1",
                f"car/{camera}/segmentation_node",
            )
        images = [scene[i * 50].image for i in range(len(CAMERAS))]
        for i, camera in enumerate(CAMERAS):
            header = library.header(1_000_000_000 + i, f"{camera}_optical_frame")
            publishers[camera].publish(library.image(header, images[i]))
        wait_until(lambda: all(masks.values()), "a mask of each camera")
        segmenter = Segmenter.load()
        for i, camera in enumerate(CAMERAS):
            (mask,) = masks[camera]
            self.assertEqual(stamp_ns(mask.header.stamp), 1_000_000_000 + i)
            self.assertEqual(mask.header.frame_id, f"{camera}_optical_frame")
            expected = segmenter.segment(images[i]).class_mask()
            self.assertTrue(np.array_equal(np.frombuffer(mask.data, np.uint8), expected.ravel()))
        names = sorted(f"{space}/{name}" for name, space in _nodes(client))
        self.assertEqual(names, sorted(f"/car/{c}/segmentation_node" for c in CAMERAS))


def _nodes(client):
    found = client.node.get_node_names_and_namespaces()
    return [(name, space) for name, space in found if name == "segmentation_node"]


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    def test_the_one_process_ended_well(self, exit_codes):
        self.assertEqual(exit_codes, [0])
