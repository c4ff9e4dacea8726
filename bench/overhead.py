"""What the live node adds to the engine, for 1280x720 bgr8 with mask, overlay and grid subscribed.

Runs the node in a process of its own and publishes frames to it over DDS; the node itself measures
from the receipt of a frame (by the middleware) to its last output's publication. Then times each
step alone in this process.

    python bench/overhead.py [--frames 200] [--rate 5]
"""

import argparse
import subprocess
import sys
import time
from functools import partial

import numpy as np
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile

from seg_ros.drive.images import decode_image
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.grid import DriveableGrid
from seg_ros.ground.grid_spec import GridSpec, occupancy_values
from seg_ros.ground.mounting import Mounting
from seg_ros.results import topics
from seg_ros.ros.messages import ReusedImage, message_class, ros_messages
from seg_ros.ros.transport import use_shared_memory
from seg_ros.segment.paint import overlay
from seg_ros.segment.segmenter import Segmenter
from seg_ros.support.tables import text_table
from seg_ros.synthetic import SyntheticDrive

CAMERA = CameraModel(1280, 720, 1000, 1000, 639.5, 359.5, mounting=Mounting())


def median_ms(step, repeats: int = 51) -> float:
    step()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


def live(frames: list[np.ndarray], count: int, rate: float) -> dict[str, str]:
    """Publish to a node process; return its last diagnostics."""
    node = rclpy.create_node("bench")
    values: dict[str, str] = {}

    def on_diagnostics(message) -> None:
        values.update({pair.key: pair.value for pair in message.status[0].values})

    for topic in (topics.MASK, topics.OVERLAY, topics.GRID):
        qos = QoSProfile(depth=1)
        if topic.transient_local:
            qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
        node.create_subscription(
            message_class(topic.message_type), topic.name, lambda _: None, qos, raw=True
        )
    diagnostics = message_class(topics.DIAGNOSTICS.message_type)
    node.create_subscription(diagnostics, "/diagnostics", on_diagnostics, 10)
    images = node.create_publisher(message_class(topics.IMAGE.message_type), "image", 1)
    infos = node.create_publisher(message_class(topics.CAMERA_INFO.message_type), "camera_info", 1)
    library = ros_messages()
    messages = [library.image(library.header(i + 1, "camera"), f) for i, f in enumerate(frames)]
    info = library.camera_info(library.header(1, "camera"), CAMERA)
    process = subprocess.Popen(
        [sys.executable, "-m", "seg_ros.ros.start"], stderr=subprocess.DEVNULL
    )
    try:
        while len(values.get("listened to", "").split()) < 3:
            rclpy.spin_once(node, timeout_sec=0.1)
        for number in range(count):
            infos.publish(info)
            images.publish(messages[number % len(messages)])
            end = time.monotonic() + 1 / rate
            while time.monotonic() < end:
                rclpy.spin_once(node, timeout_sec=0.01)
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            rclpy.spin_once(node, timeout_sec=0.1)
    finally:
        process.terminate()
        process.wait()
        node.destroy_node()
    return values


def steps(frame: np.ndarray) -> list[tuple[str, float]]:
    """Time every step between the callback and the last publication."""
    segmenter = Segmenter.load()
    labels = segmenter.labels
    segmentation = segmenter.segment(frame)
    mask = segmentation.class_mask()
    grid = DriveableGrid(GridSpec(), CAMERA, labels)
    library = ros_messages()
    header = library.header(1, "camera")
    message = library.image(header, frame)
    images = {topics.MASK: ReusedImage(), topics.OVERLAY: ReusedImage()}
    mask_out = images[topics.MASK].pixels(mask.shape)
    overlay_out = images[topics.OVERLAY].pixels(frame.shape)
    node = rclpy.create_node("steps")
    publishers = {
        topic: node.create_publisher(
            message_class(topic.message_type), f"alone/{topic.name}", topic.qos_profile()
        )
        for topic in (topics.MASK, topics.OVERLAY, topics.GRID)
    }
    for topic in publishers:
        node.create_subscription(
            message_class(topic.message_type), f"alone/{topic.name}", lambda _: None,
            topic.qos_profile(), raw=True,
        )  # fmt: skip

    def grid_message():
        values = occupancy_values(grid.cells(mask), "nav2")
        return library.occupancy_grid(header, grid.spec, values)

    built = grid_message()
    measured = [
        ("message to array", partial(decode_image, message)),
        ("resize to the network's input", partial(segmenter._fit, frame)),
        ("class decision at full size", partial(segmentation.class_mask, mask_out)),
        ("overlay", partial(overlay, frame, mask, labels, 0.5, overlay_out)),
        ("grid and its message", grid_message),
        ("publish mask", partial(publishers[topics.MASK].publish, images[topics.MASK].message)),
        (
            "publish overlay",
            partial(publishers[topics.OVERLAY].publish, images[topics.OVERLAY].message),
        ),
        ("publish grid", partial(publishers[topics.GRID].publish, built)),
    ]  # fmt: skip
    rows = [(name, median_ms(step)) for name, step in measured]
    node.destroy_node()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rate", type=float, default=5.0)
    options = parser.parse_args()
    drive = SyntheticDrive()
    frames = [drive[i].image for i in range(0, len(drive), 15)]
    use_shared_memory()
    rclpy.init()
    values = live(frames, options.frames, options.rate)
    keys = ["published", "dropped", "lost", "latency p50 ms", "engine p50 ms", "overhead p50 ms"]
    print(text_table([("live node, between processes", ""), *((k, values[k]) for k in keys)]))
    rows = steps(frames[0])
    print(text_table([("each step alone", "ms"), *((n, f"{v:.2f}") for n, v in rows)]))
    print(f"sum of the steps  {sum(v for _, v in rows):.2f}")
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
