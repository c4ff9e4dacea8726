"""Memory, frames a second and fairness of 1, 2 and 4 cameras in one process and in one each.

Every camera sends 1280x720 bgr8 faster than it can be served; its masks are counted here.
Memory is the proportional set size (PSS) of the nodes' processes.

    python bench/cameras.py [--cameras 1 2 4] [--seconds 15] [--rate 30]
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "test" / "helpers")]

import rclpy
from domain import own_domain
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message

from seg_ros.results import topics
from seg_ros.ros.messages import message_class, ros_messages
from seg_ros.ros.transport import use_shared_memory
from seg_ros.support.tables import markdown_table
from seg_ros.synthetic import SyntheticDrive

_PROGRAM = (sys.executable, "-m", "seg_ros.ros.start")


def pss_mb(pid: int) -> float:
    """Return the proportional set size of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def measure(names: list[str], shared: bool, options: argparse.Namespace, frame: bytes) -> list[str]:
    """Run the nodes of some cameras; return a row."""
    groups = [names] if shared else [[name] for name in names]
    image, mask = (message_class(t.message_type) for t in (topics.IMAGE, topics.MASK))
    node = rclpy.create_node("bench")
    counts = dict.fromkeys(names, 0)

    def counting(name: str):
        def take(_) -> None:
            counts[name] += 1

        return take

    for name in names:
        topic = f"/{name}/{topics.MASK.name}"
        node.create_subscription(mask, topic, counting(name), QoSProfile(depth=1), raw=True)
    publishers = [node.create_publisher(image, f"/{name}/image", 1) for name in names]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    processes = [
        subprocess.Popen(
            [*_PROGRAM, *(word for name in group for word in ("--camera", f"/{name}"))],
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        for group in groups
    ]
    try:
        end = time.monotonic() + 300
        number = 0

        def send() -> None:
            nonlocal number
            publishers[number % len(names)].publish(frame)
            number += 1

        while not all(counts.values()):  # all are served before the time begins
            assert time.monotonic() < end, "the nodes do not start"
            send()
            rclpy.spin_once(node, timeout_sec=0.05)
        for name in names:
            counts[name] = 0
        start = time.monotonic()
        due = start
        while due < start + options.seconds:
            send()
            due += 1 / (options.rate * len(names))
            while (left := due - time.monotonic()) > 0:
                rclpy.spin_once(node, timeout_sec=left)
        seconds = time.monotonic() - start
        memory = sum(pss_mb(process.pid) for process in processes)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
        node.destroy_node()
    served = list(counts.values())
    spread = (max(served) - min(served)) / max(max(served), 1)
    return [
        str(len(names)), "one" if shared else "one each", f"{memory:.0f}",
        f"{sum(served) / seconds:.1f}", " ".join(map(str, served)), f"{spread:.1%}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cameras", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rate", type=float, default=30.0, help="frames a second of each camera")
    options = parser.parse_args()
    os.environ["ROS_DOMAIN_ID"] = str(own_domain()[0])
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    use_shared_memory()
    rclpy.init()
    library = ros_messages()
    frame = serialize_message(library.image(library.header(1, "c"), SyntheticDrive()[0].image))
    head = ["cameras", "processes", "PSS, MB", "frames/s in all", "frames of each", "apart by"]
    rows = []
    for count in options.cameras:
        names = [f"camera_{number}" for number in range(count)]
        for shared in (True, False) if count > 1 else (True,):
            rows.append(measure(names, shared, options, frame))
            print(markdown_table(head, rows), flush=True)
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
