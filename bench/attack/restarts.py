"""A live node under fire while its peers are killed, participants come and go, and it is restarted.

Run as a program it is the peer: it subscribes and publishes until it is killed.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "test" / "helpers"))

import numpy as np
from live import EARLY, PATIENCE, Good, balance
from node_messages import image_message, pixels
from support import Client, NodeProcess, running_node
from tally import Clock, Tally

from seg_ros.drive.messages import stamp_ns
from seg_ros.results import topics

_EVERY = 0.03
"""Seconds from frame to frame."""


class Fire:
    """Good frames without end, from a thread; every mask that comes must be its frame's, once."""

    def __init__(self, client: Client) -> None:
        self._good = Good("raw")
        self._publisher = client.publisher(topics.IMAGE)
        self._masks = client.messages[topics.MASK.name]
        self._expected: dict[int, np.ndarray] = {}
        self._last = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(_EVERY):
            stamp, message, expected = self._good.next()
            self._expected[stamp] = expected
            self._last = stamp
            self._publisher.publish(message)

    def problem(self, node: NodeProcess) -> str:
        """Wait for the mask of a frame that is sent from now on; say what is wrong, or nothing."""
        since, end = self._last, time.monotonic() + PATIENCE
        while True:
            count = len(self._masks)
            came, self._masks[:count] = self._masks[:count], []
            for mask in came:
                stamp = stamp_ns(mask.header.stamp)
                if stamp < EARLY:  # a peer's
                    continue
                expected = self._expected.pop(stamp, None)
                if expected is None:
                    return f"{stamp} was answered twice, or was never sent"
                if not np.array_equal(pixels(mask), expected):
                    return f"the mask of {stamp} is not that of the frame"
                for old in [s for s in list(self._expected) if s < stamp]:
                    del self._expected[old]  # it was dropped, and must not come any more
                if stamp > since:
                    return ""
            if node.process.poll() is not None:
                return f"the node ended with {node.process.returncode}"
            if time.monotonic() > end:
                return f"no mask within {PATIENCE:.0f} s"
            time.sleep(0.005)

    def close(self) -> None:
        """Cease."""
        self._over.set()
        self._thread.join()


def _peer_killed(_: Client, dice: random.Random) -> str:
    """Kill a peer."""
    peer = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE)
    assert peer.stdout
    peer.stdout.readline()  # it is there
    time.sleep(dice.random())
    peer.kill()
    peer.wait()
    return ""


def _participant(_: Client, dice: random.Random) -> str:
    """Let a participant come and go."""
    visitor = Client()
    outputs = [topics.OVERLAY, topics.MASK, topics.CONFIDENCE, topics.COLOR, topics.LABEL_INFO]
    visitor.listen(*dice.sample(outputs[:-1], 2))
    time.sleep(dice.random() * 0.5)
    visitor.close()
    return ""


def _lifecycle(client: Client, dice: random.Random) -> str:
    """Take the node down and up again."""
    steps = ["deactivate", "activate"]
    if dice.random() < 0.5:
        steps = ["deactivate", "cleanup", "configure", "activate"]
    for step in steps:
        if step == "activate" and dice.random() < 0.5 and client.transition("deactivate"):
            return "deactivated what was not active"
        if not client.transition(step):
            return f"{step} failed"
    return ""


def attack_restarts(tally: Tally, clock: Clock, folder: Path) -> None:
    """Disturb the node in turn, each followed by a frame that must be answered."""
    disturbances: dict[str, Callable[[Client, random.Random], str]] = {
        f"restart: {(d.__doc__ or '').rstrip('.').lower()}": d
        for d in (_peer_killed, _participant, _lifecycle)
    }
    dice = tally.random("restarts")
    client, log = Client(), folder / "restarts.log"
    try:
        with running_node(log) as node:
            client.listen(topics.MASK)
            fire = Fire(client)
            try:
                while clock.left() and any(map(tally.open, disturbances)):
                    for kind, disturb in disturbances.items():
                        if not clock.left() or not tally.open(kind):
                            continue
                        problem = disturb(client, dice) or fire.problem(node)
                        tally.add(kind, problem, log)
                        if problem:
                            return
            finally:
                fire.close()
            balance(tally, client, "restarts")
            said = node.said()
            tally.add("node: no traceback in its log", "Traceback" in said and said[-400:], log)
    finally:
        client.close()


def peer() -> None:
    """Subscribe and publish until killed."""
    client = Client()
    client.listen(topics.MASK, topics.OVERLAY)
    publisher = client.publisher(topics.IMAGE)
    print("ready", flush=True)
    frame = np.zeros((90, 160, 3), np.uint8)
    for stamp in range(1, EARLY):
        publisher.publish(image_message(frame, stamp))
        time.sleep(_EVERY)


if __name__ == "__main__":
    peer()
