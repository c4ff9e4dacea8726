"""What someone who watches segmentation/attention costs the masks, on the CPU.

Publishes 1280x720 frames to a node in a process of its own and measures, from the publication of a
frame to the receipt of its mask: first nobody watches the attention, then somebody does, from the
moment of the subscription on.

    python bench/attention.py [--frames 100] [--rate 5] [--model default]
"""

import argparse
import subprocess
import sys
import time

import numpy as np
import rclpy

from seg_ros.drive.messages import stamp_ns
from seg_ros.results import topics
from seg_ros.ros.messages import message_class, ros_messages
from seg_ros.ros.transport import use_shared_memory
from seg_ros.support.tables import text_table
from seg_ros.synthetic import SyntheticDrive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--rate", type=float, default=5.0)
    parser.add_argument("--model", default="default")
    parser.add_argument("--labels", default="")
    options = parser.parse_args()
    drive = SyntheticDrive()
    frames = [drive[i].image for i in range(0, len(drive), 15)]
    use_shared_memory()
    rclpy.init()
    node = rclpy.create_node("bench")
    latencies: list[float] = []
    mosaics: list[float] = []
    image = message_class(topics.IMAGE.message_type)

    def since(message) -> float:
        return (time.monotonic_ns() - stamp_ns(message.header.stamp)) / 1e6

    node.create_subscription(
        image, topics.MASK.name, lambda m: latencies.append(since(m)), topics.MASK.qos_profile()
    )
    publisher = node.create_publisher(image, "image", 1)
    library = ros_messages()
    command = [sys.executable, "-m", "seg_ros.ros.start", "--ros-args"]
    command += ["-p", f"model:={options.model}", "-p", f"labels:='{options.labels}'"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def feed(count: int) -> None:
        for number in range(count):
            header = library.header(time.monotonic_ns(), "camera")
            publisher.publish(library.image(header, frames[number % len(frames)]))
            end = time.monotonic() + 1 / options.rate
            while time.monotonic() < end:
                rclpy.spin_once(node, timeout_sec=0.01)

    try:
        while not latencies:
            feed(1)
        feed(int(options.rate))
        rows = [("", "masks", "p50 ms", "p99 ms", "max ms", "mosaics", "p50 ms")]
        for name in ("nobody watches", "somebody watches"):
            latencies.clear()
            if name == "somebody watches":
                node.create_subscription(
                    image,
                    topics.ATTENTION.name,
                    lambda m: mosaics.append(since(m)),
                    topics.ATTENTION.qos_profile(),
                )
            feed(options.frames)
            shown = [np.median(mosaics) if mosaics else float("nan")]
            numbers = [*np.percentile(latencies, [50, 99]), max(latencies)]
            rows.append(
                (
                    name,
                    f"{len(latencies)} of {options.frames}",
                    *(f"{n:.0f}" for n in numbers),
                    str(len(mosaics)),
                    f"{shown[0]:.0f}",
                )
            )
        print(text_table(rows))
    finally:
        process.terminate()
        process.wait()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
