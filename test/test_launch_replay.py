"""replay.launch.py: node and bag in the bag's time; it ends with the bag."""

import importlib.util
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import pytest
from launch_support import errors, launch_test, ros2_launch, said
from support import Client, write_bag

from seg_ros import topics
from seg_ros.messages import stamp_ns
from seg_ros.segmenter import Segmenter
from seg_ros.synthetic import SyntheticDrive

launch_testing = pytest.importorskip("launch_testing")

STAMPS = [1_700_000_000_000_000_123 + i * 600_000_001 for i in range(5)]
FOLDER = tempfile.TemporaryDirectory()


def images():
    scene = SyntheticDrive(frames=150, width=640, height=360)
    return [scene[i * 30].image for i in range(len(STAMPS))]


def path_with_ros2_bag():
    """PATH with a command ros2 that plays bags: the real one or a stand-in for it."""
    if importlib.util.find_spec("ros2bag"):
        return os.environ["PATH"]
    command = Path(FOLDER.name) / "bin" / "ros2"
    command.parent.mkdir()
    player = Path(__file__).with_name("bag_player.py")
    command.write_text(
        '#!/bin/sh\n[ "$1 $2" = "bag play" ] || exec '
        f'{shutil.which("ros2")} "$@"\nshift 2\nexec {sys.executable} {player} "$@"\n'
    )
    command.chmod(0o755)
    return f"{command.parent}{os.pathsep}{os.environ['PATH']}"


@launch_test
def generate_test_description():
    frames = list(zip(STAMPS, images(), strict=True))
    bag = write_bag(Path(FOLDER.name) / "bag", frames, topic="/front/image_raw")
    return ros2_launch(
        "replay.launch.py", f"bag:={bag}", "rviz:=false", "rate:=0.6", PATH=path_with_ros2_bag()
    )


class TestReplay(unittest.TestCase):
    def test_every_frame_comes_out_and_the_time_is_the_bags(self, proc_info):
        client = Client()
        self.addCleanup(client.close)
        client.listen(topics.MASK)
        masks = client.wait_for(topics.MASK, len(STAMPS))
        self.assertEqual([stamp_ns(mask.header.stamp) for mask in masks], STAMPS)
        segmenter = Segmenter.load()
        for mask, image in zip(masks, images(), strict=True):
            expected = segmenter.segment(image).class_mask()
            self.assertTrue(np.array_equal(np.frombuffer(mask.data, np.uint8), expected.ravel()))
        proc_info.assertWaitForShutdown("ros2_launch", timeout=60)
        times = [stamp_ns(m.header.stamp) for m in client.messages[topics.DIAGNOSTICS.name]]
        self.assertTrue(set(times) & set(STAMPS), "diagnostics do not go by the bag's clock")
        self.assertLessEqual(max(times), STAMPS[-1])


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    def test_it_ended_well_with_the_bag(self, exit_codes, proc_output):
        self.assertEqual(exit_codes, [0])
        self.assertEqual(errors(proc_output), [])
        self.assertIn("listening on /front/image_raw", said(proc_output))
        self.assertIn("received 5, lost 0, published 5, dropped 0", said(proc_output))
