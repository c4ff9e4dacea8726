"""replay.launch.py: node, `ros2 bag play` and `ros2 bag record` in the bag's time."""

import tempfile
import unittest
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from launch_support import errors, launch_test, ros2_launch, said
from rosbags.highlevel import AnyReader
from support import Client, write_bag

from seg_ros.drive.messages import stamp_ns, typestore
from seg_ros.results import topics
from seg_ros.ros.recording import RECORDED
from seg_ros.segment.segmenter import Segmenter
from seg_ros.synthetic import SyntheticDrive

launch_testing = pytest.importorskip("launch_testing")

STAMPS = [1_700_000_000_000_000_123 + i * 600_000_001 for i in range(5)]
FOLDER = tempfile.TemporaryDirectory()
RECORD = Path(FOLDER.name) / "record"


SCENE = SyntheticDrive(frames=150, width=640, height=360)


def images():
    return [SCENE[i * 30].image for i in range(len(STAMPS))]


@pytest.mark.skipif(
    not find_spec("ros2bag"), reason="ros2bag is not installed; it comes with ROS 2"
)
@launch_test
def generate_test_description():
    frames = list(zip(STAMPS, images(), strict=True))
    folder = Path(FOLDER.name) / "bag"
    bag = write_bag(folder, frames, camera=SCENE.camera, topic="/front/image_raw")
    return ros2_launch(
        "replay.launch.py", f"bag:={bag}", "rviz:=false", "rate:=0.6", f"record:={RECORD}"
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
        self.assertEqual([t for t in times if 0 < t < STAMPS[0] or t > STAMPS[-1] + 10**9], [])
        self.assertTrue(any(times), "diagnostics do not go by the bag's clock")


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    def test_it_ended_well_with_the_bag(self, exit_codes, proc_output):
        self.assertEqual(exit_codes, [0])
        self.assertEqual(errors(proc_output), [])
        self.assertIn("listening on /front/image_raw", said(proc_output))
        self.assertIn("received 5, lost 0, published 5, dropped 0", said(proc_output))
        self.assertIn("unwanted 0", said(proc_output), "a frame came before the recorder listened")
        self.assertNotIn("time_jumps 1", said(proc_output))

    def test_the_recording_has_every_frame_in_the_bags_time(self):
        stamps, logged = {}, {}
        with AnyReader([RECORD], default_typestore=typestore()) as reader:
            for connection, time, data in reader.messages():
                message = reader.deserialize(data, connection.msgtype)
                stamps.setdefault(connection.topic, []).append(stamp_ns(message.header.stamp))
                logged.setdefault(connection.topic, []).append(time)
        for topic in set(RECORDED) - {topics.DIAGNOSTICS, topics.LABEL_INFO}:
            self.assertEqual(stamps[f"/{topic.name}"], STAMPS, topic.name)
            self.assertGreaterEqual(logged[f"/{topic.name}"][0], STAMPS[0])
            self.assertLess(logged[f"/{topic.name}"][-1], STAMPS[-1] + 5 * 10**9)
