"""segmentation.launch.py as it is, on a bag written here and played by ``seg_ros play``."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import pytest
from launch_support import launch_test, said, segmentation_launch
from support import Client, write_bag

from seg_ros.drive.messages import stamp_ns
from seg_ros.results import topics
from seg_ros.segment.segmenter import Segmenter
from seg_ros.synthetic import SyntheticDrive

STAMPS = [1_700_000_000_000_000_123 + i * 400_000_001 for i in range(5)]


launch_testing = pytest.importorskip("launch_testing")


@launch_test
def generate_test_description():
    return segmentation_launch()


class TestDefault(unittest.TestCase):
    def test_every_frame_of_a_bag_comes_out_as_its_mask(self):
        scene = SyntheticDrive(frames=150, width=640, height=360)
        images = [scene[i * 30].image for i in range(len(STAMPS))]
        client = Client()
        self.addCleanup(client.close)
        client.listen(topics.MASK)
        client.diagnosis(lambda v: v["listened to"] == "segmentation/mask")
        with tempfile.TemporaryDirectory() as folder:
            bag = write_bag(Path(folder) / "bag", list(zip(STAMPS, images, strict=True)))
            play = [sys.executable, "-m", "seg_ros.cli", "play", str(bag), "--wait", "--rate=0.5"]
            subprocess.run(play, check=True, capture_output=True)
        masks = client.wait_for(topics.MASK, len(STAMPS))
        self.assertEqual([stamp_ns(mask.header.stamp) for mask in masks], STAMPS)
        segmenter = Segmenter.load()
        for mask, image in zip(masks, images, strict=True):
            self.assertEqual((mask.encoding, mask.width, mask.height), ("mono8", 640, 360))
            expected = segmenter.segment(image).class_mask()
            self.assertLess(expected.max(), len(segmenter.labels.classes))
            self.assertTrue(np.array_equal(np.frombuffer(mask.data, np.uint8), expected.ravel()))


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    def test_the_node_ended_well_and_lost_nothing(self, exit_codes, proc_output):
        self.assertEqual(exit_codes, [0])
        counts = "received 5, lost 0, published 5, dropped 0, rejected 0, failed 0"
        self.assertIn(counts, said(proc_output))
        self.assertNotIn("Traceback", said(proc_output))
