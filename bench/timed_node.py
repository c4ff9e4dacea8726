"""The node for `bench/overhead.py`: says at its end how long frames took, and in which part.

With ``SEG_ROS_BENCH_ENGINE_MS`` the network's answer comes from a stand-in for a GPU: an engine of
its own that waits so long without holding the interpreter or a core. The package cannot choose it.
"""

import contextlib
import functools
import importlib
import json
import os
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seg_ros.engines import EngineInfo, Inference
from seg_ros.engines.build import Opened
from seg_ros.segment import segmenter
from seg_ros.support.statistics import FrameStatistics
from seg_ros.synthetic import SyntheticDrive

PARTS = {
    "hand-over to the worker": [],  # from on_image to _handle, see below
    "message to array": [("seg_ros.ros.frames", "decode_frame")],
    "fit to the network, and the network": [("seg_ros.segment.segmenter.Segmenter", "segment")],
    "class decision": [("seg_ros.segment.segmenter.Segmentation", "class_mask")],
    "overlay": [("seg_ros.segment.pipeline", "overlay")],
    "class decision and overlay in one pass": [
        ("seg_ros.segment.segmenter.Segmentation", "class_mask_and_overlay")
    ],
    "grid": [("seg_ros.ground.grid.DriveableGrid", "cells")],
    "publishing": [("seg_ros.ros.publishing.FramePublishers", "publish")],
}
"""Where the time of a frame is taken; what a version does not have is left out."""

taken: dict[str, list[float]] = defaultdict(list)
threads: dict[str, int] = {}
"""CPU time of each thread so far, clock ticks."""


class TimedEngine:
    """Answers with the embedded network's logits of ten frames, in turn, after a fixed time."""

    def __init__(self, seconds: float) -> None:
        real = segmenter.Segmenter.load()
        self.info = EngineInfo("stand-in", f"{seconds * 1e3:g} ms", "fp32")
        self.input_size, self.class_count = real.input_size, len(real.labels)
        self._seconds = seconds
        drive = SyntheticDrive()
        frames = [drive[i].image for i in range(0, len(drive), len(drive) // 10)]
        self._answers = [real.segment(frame).inference.logits().copy() for frame in frames]
        self._frame = 0

    def infer(self, image: NDArray[np.uint8]) -> Inference:
        """Wait; see :meth:`seg_ros.engines.Engine.infer`."""
        self._frame += 1
        answer = self._answers[self._frame % len(self._answers)]
        time.sleep(self._seconds)
        return Inference(lambda: answer, True)


def stand_in(seconds: float) -> None:
    """Have every segmenter of this process take the stand-in for its engine."""
    engine = TimedEngine(seconds)
    segmenter.open_engine = lambda *_, **__: Opened(engine, "")


def watch() -> None:
    """Take the time of every part, and of every frame."""
    for part, places in PARTS.items():
        for place, name in places:
            owner = _find(place)
            if hasattr(owner, name):
                setattr(owner, name, _timed(part, getattr(owner, name)))
    frames = _find("seg_ros.ros.frames.Frames")
    arrived: dict[int, float] = {}
    handle = frames._handle

    def noting(take):
        def on_image(self, message, info):
            now = time.time_ns()
            taken["arrival to callback"].append((now - info["received_timestamp"]) / 1e6)
            arrived["at"] = time.perf_counter()
            take(self, message, info)

        return on_image

    def _handle(self, received):
        taken["hand-over to the worker"].append((time.perf_counter() - arrived["at"]) * 1e3)
        handle(self, received)

    for name in ("on_image", "on_serialized_image"):
        if hasattr(frames, name):
            setattr(frames, name, noting(getattr(frames, name)))
    frames._handle = _handle
    published = FrameStatistics.published

    def count(self, stamp_ns, latency_ns, engine_ns):
        taken["overhead"].append((latency_ns - engine_ns) / 1e6)
        taken["latency"].append(latency_ns / 1e6)
        taken["engine"].append(engine_ns / 1e6)
        published(self, stamp_ns, latency_ns, engine_ns)

    FrameStatistics.published = count


def watch_threads() -> None:
    """Note the CPU time of every thread once a second, from a thread of its own."""

    def note() -> None:
        while True:
            time.sleep(1.0)
            names = {thread.native_id: thread.name for thread in threading.enumerate()}
            for task in Path("/proc/self/task").iterdir():
                with contextlib.suppress(OSError):  # it has just ended
                    line = (task / "stat").read_text(encoding="utf-8")
                    name, fields = line.partition("(")[2].split(")")[0], line.rpartition(")")[2]
                    ticks = sum(map(int, fields.split()[11:13]))
                    threads[f"{names.get(int(task.name), name)} {task.name}"] = ticks

    threading.Thread(target=note, name="note", daemon=True).start()


def _find(place: str):
    """Return the module or the class of a module."""
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError:
        module, _, name = place.rpartition(".")
        return getattr(importlib.import_module(module), name)


def _timed(part: str, call):
    @functools.wraps(call)
    def timed(*arguments, **named):
        start = time.perf_counter()
        try:
            return call(*arguments, **named)
        finally:
            taken[part].append((time.perf_counter() - start) * 1e3)

    return timed


def main() -> int:
    """Run the node; write what was taken to the file named by the environment."""
    seconds = float(os.environ.get("SEG_ROS_BENCH_ENGINE_MS", 0)) / 1e3
    if seconds:
        stand_in(seconds)
    watch()
    watch_threads()
    from seg_ros.ros.process import run

    code = run()
    Path(os.environ["SEG_ROS_BENCH_FILE"]).write_text(
        json.dumps({"taken": taken, "threads": threads}), encoding="utf-8"
    )
    return code


if __name__ == "__main__":
    sys.exit(main())
