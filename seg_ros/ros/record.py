"""Records the node's outputs into a result bag until it is told to stop."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile

from seg_ros.results import topics
from seg_ros.results.bag_topics import LIVE_TOPICS
from seg_ros.results.result_bag import ResultBag
from seg_ros.ros.messages import message_class
from seg_ros.ros.transport import use_shared_memory

_DEPTH = 100


class Recorder:
    """Writes every message of the result topics, as it came over the wire.

    Args:
        node: to subscribe with.
        bag: to write to.

    """

    def __init__(self, node: Any, bag: ResultBag) -> None:
        self.counts: Counter[str] = Counter()
        self.diagnostics: dict[str, str] = {}
        self._bag = bag
        self._node_name = f"{node.get_namespace().strip('/')}/segmentation_node".lstrip("/")
        for name, topic in LIVE_TOPICS.items():
            qos = topic.qos_profile()
            qos.depth = _DEPTH
            node.create_subscription(
                message_class(topic.message_type),
                topic.name,
                partial(self._write, name),
                qos,
                raw=True,
            )
        node.create_subscription(
            message_class(topics.DIAGNOSTICS.message_type),
            topics.DIAGNOSTICS.name,
            self._on_diagnostics,
            QoSProfile(depth=_DEPTH),
        )

    def _write(self, topic: str, message: bytes) -> None:
        self._bag.write(topic, time.time_ns(), message)
        self.counts[topic] += 1

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            if status.name == f"{self._node_name}: segmentation":
                self.diagnostics = {pair.key: pair.value for pair in status.values}


def main(arguments: Sequence[str] | None = None) -> int:
    """Record until interrupted, then print what was recorded as one line of JSON."""
    parser = argparse.ArgumentParser(description="Record the segmentation topics into a bag.")
    parser.add_argument("bag", type=Path, help="folder of the bag; must not exist")
    parser.add_argument("--namespace", default="", help="of the node to record")
    options = parser.parse_args(arguments)
    use_shared_memory()
    rclpy.init(args=[])
    node = rclpy.create_node("seg_ros_recorder", namespace=options.namespace)
    with ResultBag(options.bag) as bag:
        recorder = Recorder(node, bag)
        print("ready", flush=True)
        with suppress(KeyboardInterrupt, ExternalShutdownException):
            rclpy.spin(node)
    print(json.dumps({"counts": recorder.counts, "diagnostics": recorder.diagnostics}), flush=True)
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
