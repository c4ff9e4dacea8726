"""Stands in for ``ros2 bag play`` where rosbag2 is not installed.

It takes the options that replay.launch.py uses, publishes every message of the bag on its topic at
its time, and the clock beside them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path


def play(arguments: list[str]) -> int:
    """Play a bag."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bag_path", type=Path)
    parser.add_argument("--clock", type=float)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--delay", type=float)
    parser.add_argument("--disable-keyboard-controls", action="store_true")
    parser.add_argument("--topics", nargs="+")
    options = parser.parse_args(arguments)

    import rclpy
    from rosbags.highlevel import AnyReader
    from rosgraph_msgs.msg import Clock

    from seg_ros.ros.messages import message_class

    rclpy.init()
    node = rclpy.create_node("rosbag2_player")
    clock = node.create_publisher(Clock, "/clock", 10)
    with AnyReader([options.bag_path]) as reader:
        wanted = [c for c in reader.connections if c.topic in options.topics]
        publishers = {
            c.topic: node.create_publisher(message_class(c.msgtype), c.topic, 10) for c in wanted
        }
        time.sleep(options.delay)
        start = None
        for connection, stamp, data in reader.messages(connections=wanted):
            start = start or (time.monotonic(), stamp)
            due = start[0] + (stamp - start[1]) / 1e9 / options.rate
            time.sleep(max(0.0, due - time.monotonic()))
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(stamp, 10**9)
            clock.publish(message)
            publishers[connection.topic].publish(bytes(data))
    time.sleep(0.5)
    rclpy.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(play(sys.argv[1:]))
