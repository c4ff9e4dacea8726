"""A model that is not there: one line says so, nothing is started, and the exit code tells."""

import unittest

import pytest
from launch_support import errors, launch_test, ros2_launch, said

launch_testing = pytest.importorskip("launch_testing")


@launch_test
def generate_test_description():
    return ros2_launch("segmentation.launch.py", "model:=/nowhere/road.onnx")


class TestBadModel(unittest.TestCase):
    def test_it_ends_by_itself(self, proc_info):
        proc_info.assertWaitForShutdown("ros2_launch", timeout=60)


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    def test_one_line_says_what_was_wrong(self, proc_output):
        (line,) = errors(proc_output)
        self.assertTrue(line.endswith(": model file /nowhere/road.onnx does not exist"), line)
        self.assertNotIn("process started", said(proc_output))

    def test_the_exit_code_is_that_of_a_failure(self, exit_codes):
        self.assertEqual(exit_codes, [1])
