"""replay.launch.py where a node of that name runs already: it is left alone."""

import tempfile
import unittest
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from launch_support import errors, launch_test, ros2_launch
from support import Client, NodeProcess, write_bag

launch_testing = pytest.importorskip("launch_testing")

FOLDER = tempfile.TemporaryDirectory()


@pytest.mark.skipif(
    not find_spec("ros2bag"), reason="ros2bag is not installed; it comes with ROS 2"
)
@launch_test
def generate_test_description():
    node = NodeProcess(Path(FOLDER.name) / "node.log", {"autostart": False})
    node.wait_for("unconfigured: waits for")
    bag = write_bag(Path(FOLDER.name) / "bag", [(10**9, np.zeros((36, 64, 3), np.uint8))])
    description, given = ros2_launch("replay.launch.py", f"bag:={bag}", "rviz:=false")
    return description, {**given, "node": node}


class TestRefused(unittest.TestCase):
    def test_it_ends_and_the_other_node_is_as_it_was(self, proc_info, node):
        self.addCleanup(node.end)
        proc_info.assertWaitForShutdown("ros2_launch", timeout=60)
        client = Client()
        self.addCleanup(client.close)
        self.assertEqual(client.state(), "unconfigured")


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    def test_one_line_says_why(self, proc_output, exit_codes):
        (line,) = errors(proc_output)
        self.assertIn("/segmentation_node runs already and would be activated", line)
        self.assertEqual(exit_codes, [1])
