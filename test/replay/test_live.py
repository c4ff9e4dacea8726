"""A replay makes of every frame what the live node makes of it."""

import numpy as np
import pytest
from support import running_node, write_bag

from seg_ros import cli
from seg_ros.drive.messages import stamp_ns
from seg_ros.results import topics
from seg_ros.results.bag_topics import MASK_TOPIC
from seg_ros.results.result_bag import read_result

pytest.importorskip("rclpy", reason="rclpy is not installed")


def test_masks_are_those_of_the_node_byte_for_byte(tmp_path, client, scene):
    from seg_ros.ros.messages import ros_messages

    frames = [(1_700_000_000_000_000_001 + i * 10**8, scene[i * 18].image) for i in range(8)]
    bag = write_bag(tmp_path / "bag", frames)
    command = ["replay", "--no-calibrate", str(bag), "-o", str(tmp_path / "out"), "--no-report"]
    assert cli.main(command) == 0
    replayed = list(read_result(tmp_path / "out" / "result", MASK_TOPIC))
    library = ros_messages()
    with running_node(tmp_path / "node.log"):
        client.listen(topics.MASK)
        publisher = client.publisher(topics.IMAGE)
        for count, (stamp, image) in enumerate(frames, 1):
            publisher.publish(library.image(library.header(stamp, "camera"), image))
            client.wait_for(topics.MASK, count)  # one at a time: none is overtaken
        live = client.messages[topics.MASK.name]
    assert [stamp for stamp, _ in replayed] == [stamp for stamp, _ in frames]
    assert len(live) == len(frames)
    for mask, (stamp, message) in zip(live, replayed, strict=True):
        assert stamp_ns(mask.header.stamp) == stamp
        assert mask.header.frame_id == message.header.frame_id == "camera"
        for field in ("height", "width", "encoding", "is_bigendian", "step"):
            assert getattr(mask, field) == getattr(message, field)
        assert np.array_equal(np.frombuffer(mask.data, np.uint8), message.data)
