"""What becomes of a frame, without DDS: each is counted once, whatever happens to it."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from support import wait_until

from seg_ros.drive.messages import bag_messages
from seg_ros.errors import SegRosError
from seg_ros.results import topics
from seg_ros.results.parameters import PARAMETERS, RELOADED
from seg_ros.ros.frames import Frames
from seg_ros.ros.worker import LatestWorker
from seg_ros.segment.output import Processed
from seg_ros.support.statistics import FrameStatistics

VALUES = {spec.name: spec.default for spec in PARAMETERS}


class Logger:
    """Keeps what is said."""

    def __init__(self):
        self.lines = []

    def error(self, line, **_):
        self.lines.append(line)

    info = warning = error


class Outputs:
    """Somebody listens to the mask; nobody to attention."""

    attention = SimpleNamespace(get_subscription_count=lambda: 0)
    allocate = None

    def __init__(self):
        self.published = []
        self.listeners = [topics.MASK]

    def listening(self, _):
        return self.listeners

    def publish(self, header, *_):
        self.published.append(header.stamp.nanosec)
        return 1


class Bench:
    """Frames with a pipeline that does what it is told by the frame's stamp."""

    def __init__(self, **trouble):
        self.trouble = trouble
        self.statistics, self.outputs, self.logger = FrameStatistics(), Outputs(), Logger()
        pipeline = SimpleNamespace(process=self.process)
        model = SimpleNamespace(pipeline=pipeline, loaded={name: VALUES[name] for name in RELOADED})
        self.frames = Frames(
            SimpleNamespace(values={**VALUES, "max_pixels": 100}),
            self.statistics,
            model,
            SimpleNamespace(grid_problem="no grid: none"),
            self.outputs,
            lambda: 1,
            lambda stamp: self.act("stamp", stamp),
            self.logger,
        )

    def act(self, where, stamp):
        error = self.trouble.get(f"{where}_{stamp}")
        if error is not None:
            raise error

    def process(self, *arguments):
        self.act("process", arguments[-1])
        return Processed(1)

    def send(self, stamp, size=(10, 10)):
        before = self.counts()
        messages = bag_messages()
        image = messages.image(messages.header(stamp, "c"), np.zeros((*size, 3), np.uint8))
        self.frames.on_image(image, {})
        return before

    def counts(self):
        return self.statistics.snapshot().counts

    def work_off(self, stamp, size=(10, 10)):
        self.send(stamp, size)
        wait_until(lambda: not self.statistics.snapshot().in_hand, "the frame's outcome")


def test_every_frame_has_one_outcome_and_the_next_is_worked_on():
    bench = Bench(
        process_2=SegRosError("no answer"),
        process_3=ZeroDivisionError("nobody expects"),
        stamp_4=OverflowError("not round decoding either"),
        process_5=MemoryError("all of it"),
    )
    for stamp in range(1, 6):
        bench.work_off(stamp)
    bench.work_off(6, (10, 11))
    bench.outputs.listeners = []
    bench.work_off(7)
    bench.outputs.listeners = [topics.MASK]
    bench.work_off(8)
    bench.frames.stop()
    counts = bench.counts()
    wanted = {"received": 8, "published": 2, "failed": 4, "rejected": 1, "unwanted": 1}
    assert {name: counts[name] for name in wanted} == wanted
    assert counts["dropped"] == counts["threads_restarted"] == 0
    assert bench.outputs.published == [1, 8]
    assert bench.logger.lines == [
        "failed: image 2: no answer",
        "failed: image 3: unexpected ZeroDivisionError: nobody expects",
        "failed: image 4: unexpected OverflowError: not round decoding either",
        "failed: image 5: unexpected MemoryError: all of it",
        "rejected: image 6: image is 11x10, 110 pixels; at most 100 are decoded (max_pixels)",
    ]


def test_a_worker_that_ends_is_started_again_and_its_frame_has_failed():
    bench = Bench(process_2=SystemExit("a library ends the thread"))
    bench.work_off(1)
    bench.send(2)
    wait_until(lambda: not bench.frames._worker._thread.is_alive(), "the thread to end")
    assert bench.statistics.snapshot().in_hand == 1
    bench.frames.revive()
    bench.work_off(3)
    bench.frames.revive()  # there is nothing more to say
    counts = bench.counts()
    assert (counts["published"], counts["failed"], counts["threads_restarted"]) == (2, 1, 1)
    reason = "SystemExit: a library ends the thread"
    assert bench.logger.lines == [
        f"failed: image 2: unexpected {reason}",
        f"the worker thread ended and was started again: {reason}",
    ]
    assert bench.statistics.snapshot().last_error == bench.logger.lines[-1]
    bench.frames.stop()


def test_a_job_between_frames_is_done_although_the_thread_has_ended():
    done = threading.Event()

    def end(_):
        raise SystemExit

    worker = LatestWorker(end, lambda _: None, lambda *_: done.set())
    worker.submit(1)
    wait_until(lambda: not worker._thread.is_alive(), "the thread to end")
    job = worker.between(lambda: 42)
    worker.stop()
    assert job.result(10) == 42
    assert done.is_set()


def test_frames_that_wait_are_dropped_and_counted():
    bench = Bench()
    held, busy = threading.Event(), threading.Event()

    def process(*_):
        busy.set()
        held.wait(10)
        return Processed(1)

    bench.frames._model.pipeline.process = process
    bench.send(1)
    assert busy.wait(10)
    for stamp in (2, 3, 4):
        bench.send(stamp)
    assert bench.statistics.snapshot().in_hand == 2
    held.set()
    wait_until(lambda: bench.counts()["published"] == 2, "both")
    bench.frames.stop()
    counts = bench.counts()
    assert (counts["received"], counts["dropped"]) == (4, 2)
    assert bench.statistics.snapshot().in_hand == 0
