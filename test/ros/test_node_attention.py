"""The live attention mosaic, over real DDS."""

import time

import numpy as np
import pytest
from node_messages import image_message, pixels
from support import running_node, wait_until

from seg_ros.drive.messages import stamp_ns
from seg_ros.models.catalogue import find_model
from seg_ros.results import topics
from seg_ros.segment.attention import AttentionNetwork, attention_picture

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytestmark = pytest.mark.usefixtures("client")


def test_the_mosaic_is_published_for_who_subscribes(tmp_path, client, scene):
    """Every value of the mosaic; its stage and query changed while it runs."""
    image = scene[60].image
    with running_node(tmp_path / "node.log") as node:
        client.listen(topics.MASK)
        publisher = client.publisher(topics.IMAGE)
        publisher.publish(image_message(image, 1))
        client.wait_for(topics.MASK)
        assert "attention of" not in node.said(), "opened although nobody looks"
        client.listen(topics.ATTENTION)
        client.diagnosis(lambda v: topics.ATTENTION.name in v["listened to"].split())
        for stamp, stage, query in ((2, 4, ""), (3, 3, ""), (4, 3, "500,300")):
            assert client.set_parameter("attention_stage", stage).successful
            assert client.set_parameter("attention_query", query).successful
            publisher.publish(image_message(image, stamp))
            mosaic = client.wait_for(topics.ATTENTION, stamp - 1)[-1]
            assert stamp_ns(mosaic.header.stamp) == stamp
            assert (mosaic.header.frame_id, mosaic.encoding) == ("front_optical", "bgr8")
            maps = AttentionNetwork.load(find_model(), stage).maps(
                image, (500, 300) if query else None
            )
            assert np.array_equal(pixels(mosaic), attention_picture(image, maps))
        masks = client.wait_for(topics.MASK, 4)
        assert [stamp_ns(m.header.stamp) for m in masks] == [1, 2, 3, 4]

        assert client.set_parameter("publish_attention", False).successful
        publisher.publish(image_message(image, 5))
        client.wait_for(topics.MASK, 5)
        _, values = client.diagnosis(lambda v: v["received"] == "5")
        assert values["attention_published"] == "3"
        assert topics.ATTENTION.name not in values["listened to"].split()
        assert "stage 4, block 2, 8 heads" in node.said()
        assert node.stop() == 0


def test_frames_that_come_too_fast_are_counted_and_masks_go_on(tmp_path, client, scene):
    with running_node(tmp_path / "node.log"):
        client.listen(topics.MASK, topics.ATTENTION)
        publisher = client.publisher(topics.IMAGE)
        for stamp in range(1, 21):
            publisher.publish(image_message(scene[0].image, stamp))
            time.sleep(0.01)

        mosaics = client.messages[topics.ATTENTION.name]
        wait_until(
            lambda: mosaics and stamp_ns(mosaics[-1].header.stamp) == 20,
            "the latest frame's mosaic",
        )
        client.messages[topics.DIAGNOSTICS.name].clear()

        def settled(v):
            done = ("published", "dropped", "rejected", "failed", "unwanted")
            drawn = ("attention_published", "attention_dropped", "attention_failed")
            drawn = (*drawn, "dropped")  # without a mask there is no mosaic
            sums = [sum(int(v[name]) for name in names) for names in (done, drawn)]
            return sums == [int(v["received"])] * 2

        _, values = client.diagnosis(settled)
        stamps = [stamp_ns(m.header.stamp) for m in mosaics]
        assert stamps == sorted(set(stamps))
        assert int(values["attention_published"]) == len(stamps)
        assert len(stamps) < 20, "it was not overloaded, so nothing was shown"


def test_what_cannot_be_shown_is_one_clear_line(tmp_path, client, scene):
    with running_node(tmp_path / "node.log", attention_query="'639,359'") as node:
        client.listen(topics.MASK, topics.ATTENTION)
        publisher = client.publisher(topics.IMAGE)
        small = np.ascontiguousarray(scene[0].image[:100, :100])
        publisher.publish(image_message(small, 1))
        node.wait_for(
            "no attention: query 639,359 is outside the frame: x is 0 to 99, y is 0 to 99"
        )
        client.wait_for(topics.MASK, 1)
        publisher.publish(image_message(scene[0].image, 2))
        (mosaic,) = client.wait_for(topics.ATTENTION)
        assert stamp_ns(mosaic.header.stamp) == 2
        _, values = client.diagnosis(lambda v: v["attention_published"] == "1")
        assert values["attention_failed"] == "1"
        result = client.set_parameter("attention_query", "left")
        assert not result.successful
        assert "query 'left' must be x,y" in result.reason
        assert not client.set_parameter("attention_stage", 5).successful
        assert "Traceback" not in node.said()
