"""A live node between hostile messages and good frames, and under more frames than it can take."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
from hostile import calibrations, compressed_images, images, motions
from node_messages import image_message, mounting_parameters, pixels
from support import Client, running_node
from tally import Clock, Tally
from transforms import attack_transforms

from seg_ros.drive.images import decode_compressed, encode_jpeg
from seg_ros.drive.messages import stamp_ns
from seg_ros.results import topics
from seg_ros.results.parameters import BY_NAME
from seg_ros.ros.messages import ros_messages
from seg_ros.segment.segmenter import Segmenter
from seg_ros.support.statistics import FrameStatistics
from seg_ros.synthetic import SyntheticDrive

OUTCOMES = FrameStatistics.OUTCOMES
PATIENCE = 120.0
"""Seconds after which a good frame has no answer."""
ROUND = 20
"""Hostile messages before a good frame."""
SETTLED = 0.004
"""Seconds between messages; faster, most would be replaced before they are looked at."""
EARLY = 10**9
"""Nanoseconds; good frames have later stamps than hostile ones."""


class Good:
    """Frames that must be answered: each has its own stamp and its mask is known."""

    def __init__(self, transport: str) -> None:
        scene = SyntheticDrive(frames=150, width=320, height=180)
        segmenter = Segmenter.load()
        self.camera = scene.camera
        self._stamp = EARLY
        self._frames = []
        library = ros_messages()
        for number in (0, 40, 80):
            image = scene[number].image
            if transport == "compressed":
                header = library.header(1, "front_optical")
                message = library.jpeg(header, encode_jpeg(image, 95))
                image = decode_compressed(message)
            else:
                message = image_message(image, 1)
            self._frames.append((message, segmenter.segment(image).class_mask()))

    def next(self):
        """Return the next frame's stamp, message and mask."""
        self._stamp += 33_333_333
        message, mask = self._frames[self._stamp % len(self._frames)]
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(self._stamp, 10**9)
        return self._stamp, message, mask


def attack_messages(tally: Tally, clock: Clock, folder: Path) -> None:
    """Send hostile messages of every kind, to a node that takes raw and one that takes JPEGs."""
    attack_transforms(tally, Clock(clock.left() * 0.1))
    for number, transport in enumerate(("raw", "compressed")):
        part = Clock(clock.left() / (2 - number))
        _attack(tally, part, folder / f"{transport}.log", transport)


def _attack(tally: Tally, clock: Clock, log: Path, transport: str) -> None:
    good = Good(transport)
    image_topic = topics.IMAGE_COMPRESSED if transport == "compressed" else topics.IMAGE
    hostile = compressed_images if transport == "compressed" else images
    kinds = {
        f"message: {transport} image": (image_topic, hostile(tally.random(transport))),
        f"message: calibration, {transport}": (
            topics.CAMERA_INFO, calibrations(tally.random(f"calibration {transport}"), good.camera)
        ),
        f"message: odometry and IMU, {transport}": (
            None, motions(tally.random(f"motion {transport}"))
        ),
    }  # fmt: skip
    parameters: dict = {
        "image_transport": transport,
        "grid_frame": "odom",
        "attitude_source": "imu",
        **mounting_parameters(good.camera),
    }
    if "max_pixels" in BY_NAME:  # a limit of ours is met before those of other software
        parameters["max_pixels"] = 2**20
    client = Client()
    try:
        while clock.left() and any(map(tally.open, kinds)):
            with running_node(log, **parameters) as node:
                client.listen(topics.MASK, topics.GRID)
                send = {
                    topic: client.publisher(topic)
                    for topic in (image_topic, topics.CAMERA_INFO, *topics.MOTION)
                }
                if _rounds(tally, clock, client, node, send, kinds, good, image_topic):
                    balance(tally, client, transport)
                if "Traceback" in node.said():
                    tally.add("node: no traceback in its log", node.said()[-400:], log)
                else:
                    tally.add("node: no traceback in its log")
    finally:
        client.close()


def _rounds(tally, clock, client, node, send, kinds, good, image_topic) -> bool:
    """Send in rounds: some hostile messages of a kind, then a good frame; say if the node lives."""
    masks = client.messages[topics.MASK.name]
    seen: Counter[int] = Counter()
    while clock.left() and any(map(tally.open, kinds)):
        for kind, (topic, generator) in kinds.items():
            if not tally.open(kind):
                continue
            sent = []
            for _ in range(ROUND):
                message = next(generator)
                if topic is None:
                    chosen, message = message
                else:
                    chosen = topic
                sent.append(repr(message)[:4000])
                send[chosen].publish(message)
                time.sleep(SETTLED)
            client.settle() if topic is not image_topic else time.sleep(0.05)
            stamp, frame, expected = good.next()
            send[image_topic].publish(frame)
            problem, end = "", time.monotonic() + PATIENCE
            while not (answer := [m for m in list(masks) if stamp_ns(m.header.stamp) == stamp]):
                if node.process.poll() is not None:
                    problem = f"the node ended with {node.process.returncode}"
                elif time.monotonic() > end:
                    problem = f"no mask within {PATIENCE:.0f} s"
                if problem:
                    break
                time.sleep(0.002)
            if answer and not np.array_equal(pixels(answer[0]), expected):
                problem = "its mask is not that of the frame"
            seen.update(stamp_ns(m.header.stamp) for m in masks)
            if seen[stamp] > 1:
                problem = "it was answered twice"
            masks.clear()
            client.messages[topics.GRID.name].clear()
            for _ in sent[1:]:
                tally.add(kind)
            tally.add(
                kind, problem and f"the good frame after it: {problem}", "\n".join(sent).encode()
            )
            tally.add("good frames among them", problem)
            if problem:
                return False
    return True


def balance(tally: Tally, client: Client, name: str) -> None:
    """All that was received came to something: to the frame."""
    kind = "counts that balance"

    def balanced(values: dict[str, str]) -> bool:
        return int(values["received"]) == sum(int(values[key]) for key in OUTCOMES)

    try:
        client.settle()
        client.messages[topics.DIAGNOSTICS.name].clear()
        _, values = client.diagnosis(balanced)
    except AssertionError as error:
        tally.add(kind, f"{name}: {error}")
        return
    tally.add(kind)
    counts = ", ".join(f"{key} {values[key]}" for key in ("received", "lost", *OUTCOMES))
    tally.note(f"{name}: {counts}")


def attack_overload(tally: Tally, clock: Clock, folder: Path) -> None:
    """Send more frames than it can take while subscribers come and go; watch memory and counts."""
    good = Good("raw")
    client, memory = Client(), []
    with running_node(folder / "overload.log") as node:
        client.listen(topics.MASK)
        images = client.publisher(topics.IMAGE)
        start, sent, last = time.monotonic(), 0, 0.0
        visitor = Client()
        visitor.listen(topics.OVERLAY)
        while clock.left() and node.process.poll() is None:
            _, message, _ = good.next()
            images.publish(message)
            sent += 1
            time.sleep(0.002)
            client.messages[topics.MASK.name].clear()
            if time.monotonic() - last > 2.0:  # the subscriber dies, another comes
                last = time.monotonic()
                visitor.close()
                visitor = Client()
                visitor.listen(topics.OVERLAY)
                memory.append((last - start, _resident(node.process.pid)))
        visitor.close()
        problem = "the node ended" if node.process.poll() is not None else ""
        tally.add("overload: the node lives", problem)
        if not problem:
            stamp, message, expected = good.next()
            masks = client.messages[topics.MASK.name]
            time.sleep(1.0)
            images.publish(message)
            end = time.monotonic() + PATIENCE
            while not (m := [x for x in list(masks) if stamp_ns(x.header.stamp) == stamp]):
                if time.monotonic() > end:
                    break
                time.sleep(0.01)
            right = bool(m) and np.array_equal(pixels(m[0]), expected)
            tally.add("overload: the frame after it", "" if right else "no mask, or a wrong one")
            tally.note(f"overload: {sent + 1} frames sent")
            balance(tally, client, "overload")
    client.close()
    _slope(tally, memory)


def _resident(pid: int) -> float:
    """Return a process' resident memory in MB."""
    status = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1]
    return int(status.split()[0]) / 1000


def _slope(tally: Tally, memory: list[tuple[float, float]]) -> None:
    """How fast memory grew after the first third, which fills caches; judged from 10 minutes on."""
    late = np.array(memory[len(memory) // 3 :])
    if len(late) < 5:
        return
    slope = float(np.polyfit(late[:, 0], late[:, 1], 1)[0]) * 3600
    seconds = late[-1, 0] - late[0, 0]
    tally.note(f"overload: memory {slope:+.1f} MB an hour, seen for {seconds:.0f} s after warm-up")
    if seconds > 600:
        tally.add("overload: memory", f"grows by {slope:.1f} MB an hour" if slope > 1 else "")
