"""A node that is killed comes back by itself, active, and publishes again."""

import os
import signal
import unittest

import pytest
from launch_support import launch_test, segmentation_launch
from support import Client, wait_until

from seg_ros.drive.messages import stamp_ns
from seg_ros.results import topics
from seg_ros.synthetic import SyntheticDrive

launch_testing = pytest.importorskip("launch_testing")


@launch_test
def generate_test_description():
    return segmentation_launch()


class TestRespawn(unittest.TestCase):
    def test_a_killed_node_publishes_again(self, pids):
        from seg_ros.ros.messages import ros_messages

        client = Client()
        self.addCleanup(client.close)
        client.listen(topics.MASK)
        image = SyntheticDrive(frames=150, width=640, height=360)[0].image
        for life in (1, 2):
            wait_until(lambda life=life: len(pids) == life, f"start {life} of the node")
            publisher = client.publisher(topics.IMAGE)
            header = ros_messages().header(life, "camera")
            publisher.publish(ros_messages().image(header, image))
            masks = client.wait_for(topics.MASK, life)
            self.assertEqual(stamp_ns(masks[-1].header.stamp), life)
            client.node.destroy_publisher(publisher)
            if life == 1:
                client.messages[topics.DIAGNOSTICS.name].clear()
                os.kill(pids[0], signal.SIGKILL)
        self.assertNotEqual(pids[0], pids[1])


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    def test_it_was_killed_once_and_then_ended_well(self, exit_codes):
        self.assertEqual(exit_codes, [-signal.SIGKILL, 0])
