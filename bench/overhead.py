"""What the live node adds to the engine, for 1280x720 bgr8 with mask, overlay and grid subscribed.

Runs the node in a process of its own, publishes frames to it over DDS and subscribes to what comes;
the node itself measures from the receipt of a frame (by the middleware) to its last output's
publication. With --engine-ms the network is replaced by one that answers after that time without
holding the interpreter or a core, as a GPU does. With --against another checkout of the package is
run in turns with this one, and the table has both.

    python bench/overhead.py [--engine-ms 3] [--rate 60] [--seconds 10] [--rounds 2]
                             [--against CHECKOUT]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "test" / "helpers")]

import rclpy
from domain import own_domain
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message

from seg_ros.ground.camera import CameraModel
from seg_ros.ground.mounting import Mounting
from seg_ros.results import topics
from seg_ros.ros.messages import message_class, ros_messages
from seg_ros.ros.transport import use_shared_memory
from seg_ros.support.tables import text_table
from seg_ros.synthetic import SyntheticDrive

CAMERA = CameraModel(1280, 720, 1000, 1000, 639.5, 359.5, mounting=Mounting())
FIRST = ("frames", "published", "dropped", "lost", "overhead", "CPU")
WARM_UP = 20
"""Frames at the beginning that count for nothing."""


def run_node(tree: Path, options: argparse.Namespace, messages: list[bytes]) -> dict[str, list]:
    """Publish to a node of a checkout; return what it took by part, in ms, and the counts."""
    node = rclpy.create_node("bench")
    values: dict[str, str] = {}
    got: dict[str, int] = {topic.name: 0 for topic in (topics.MASK, topics.OVERLAY, topics.GRID)}

    def on_diagnostics(message) -> None:
        values.update({pair.key: pair.value for pair in message.status[0].values})

    def count(name: str):
        def take(_) -> None:
            got[name] += 1

        return take

    for topic in (topics.MASK, topics.OVERLAY, topics.GRID):
        qos = QoSProfile(depth=1)
        if topic.transient_local:
            qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
        node.create_subscription(
            message_class(topic.message_type), topic.name, count(topic.name), qos, raw=True
        )
    diagnostics = message_class(topics.DIAGNOSTICS.message_type)
    node.create_subscription(diagnostics, "/diagnostics", on_diagnostics, 10)
    images = node.create_publisher(message_class(topics.IMAGE.message_type), "image", 1)
    infos = node.create_publisher(message_class(topics.CAMERA_INFO.message_type), "camera_info", 1)
    library = ros_messages()
    info = library.camera_info(library.header(1, "camera"), CAMERA)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "taken.json"
        environment = {
            **os.environ,
            "PYTHONPATH": str(tree),
            "SEG_ROS_BENCH_FILE": str(file),
            "SEG_ROS_BENCH_ENGINE_MS": str(options.engine_ms),
        }
        process = subprocess.Popen(
            [sys.executable, str(HERE / "timed_node.py")],
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        try:
            end = time.monotonic() + 600  # a fresh checkout compiles its kernels first
            while len(values.get("listened to", "").split()) < 3:
                assert process.poll() is None, "the node ended"
                assert time.monotonic() < end, "the node does not start"
                rclpy.spin_once(node, timeout_sec=0.1)
            infos.publish(info)
            total = WARM_UP + round(options.seconds * options.rate)
            cpu = 0.0
            start = time.monotonic()
            for number in range(total):
                if number == WARM_UP:
                    cpu = _cpu_ms(process.pid)
                images.publish(messages[number % len(messages)])
                due = start + (number + 1) / options.rate
                while (left := due - time.monotonic()) > 0:
                    rclpy.spin_once(node, timeout_sec=left)
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                rclpy.spin_once(node, timeout_sec=0.1)
            cpu = _cpu_ms(process.pid) - cpu
        finally:
            process.terminate()
            process.wait(30)
            node.destroy_node()
        said = json.loads(file.read_text(encoding="utf-8"))
        taken = said["taken"]
        if options.threads:
            tick = 1e3 / os.sysconf("SC_CLK_TCK")
            for name, ticks in sorted(said["threads"].items(), key=lambda item: -item[1])[:12]:
                print(f"{name:40} {ticks * tick:8.0f} ms")
    counts = {name: int(values[name]) for name in ("received", "published", "dropped", "lost")}
    taken = {part: times[WARM_UP:] for part, times in taken.items()}
    taken["CPU"] = [cpu / max(counts["published"] - WARM_UP, 1)]
    for name, number in counts.items():
        taken[name] = [number]
    taken["frames"] = [total]
    taken["received by the subscriber"] = [min(got.values())]
    return taken


def _cpu_ms(pid: int) -> float:
    """User and system time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") * 1e3


def table(results: dict[str, list[dict[str, list]]]) -> str:
    """Lay all runs of each checkout out; times are over the frames of all its runs."""
    merged: dict[str, dict[str, list]] = {}
    for name, runs in results.items():
        if not runs:
            continue
        merged[name] = {}
        for run in runs:
            for part, values in run.items():
                merged[name].setdefault(part, []).extend(values)
    rows = [("", *merged)]
    for name in ("frames", "published", "dropped", "lost", "received by the subscriber"):
        rows.append((name, *(str(sum(m[name])) for m in merged.values())))
    cpu = [float(np.mean(m["CPU"])) for m in merged.values()]
    rows.append(("CPU a frame, ms", *(f"{value:.2f}" for value in cpu)))
    parts = list(dict.fromkeys(part for m in merged.values() for part in m))
    skip = {row[0] for row in rows} | {"CPU", "received"}
    parts = [part for part in ("overhead", *parts) if part not in skip]
    for part in dict.fromkeys(parts):
        for percent in (50, 99):
            cells = [
                f"{np.percentile(m[part], percent):.2f}" if m.get(part) else ""
                for m in merged.values()
            ]
            rows.append((f"{part}, p{percent}, ms", *cells))
    if len(merged) == 2:
        new, old = merged.values()
        ratios = []
        for percent in (50, 99):
            ours, theirs = (np.percentile(m["overhead"], percent) for m in (new, old))
            ratios.append(f"overhead p{percent} {ours / theirs:.2f}")
        rows.append(("ratio", f"{', '.join(ratios)}, CPU {cpu[0] / cpu[1]:.2f}", ""))
    return text_table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine-ms", type=float, default=0.0, help="0: the embedded network")
    parser.add_argument("--rate", type=float, default=5.0, help="frames a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--against", type=Path, help="another checkout, to be run in turns")
    parser.add_argument("--threads", action="store_true", help="CPU time of each thread, too")
    options = parser.parse_args()
    os.environ["ROS_DOMAIN_ID"] = str(own_domain()[0])
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    use_shared_memory()
    rclpy.init()
    drive = SyntheticDrive()
    library = ros_messages()
    messages = [
        serialize_message(library.image(library.header(i + 1, "camera"), drive[15 * i].image))
        for i in range(len(drive) // 15)
    ]
    trees = {"this": HERE.parent}
    if options.against:
        trees["against"] = options.against.resolve()
    results: dict[str, list] = {name: [] for name in trees}
    for _ in range(options.rounds):
        for name, tree in trees.items():
            results[name].append(run_node(tree, options, messages))
            print(table(results), flush=True)
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
