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
from seg_ros.ros.background import Background
from seg_ros.ros.frames import Frames
from seg_ros.ros.stalls import Stalls
from seg_ros.ros.worker import Busy, LatestWorker
from seg_ros.segment.output import Processed
from seg_ros.support.statistics import FrameStatistics
from seg_ros.support.turn import Turn

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
        pipeline = SimpleNamespace(process=self.process, segmenter=SimpleNamespace(confident=True))
        loaded = {name: VALUES[name] for name in RELOADED}
        model = SimpleNamespace(pipeline=pipeline, loaded=loaded, turn=Turn())
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
    bench.frames.stop(10)
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
    bench.frames.stop(10)


def test_a_job_between_frames_is_done_although_the_thread_has_ended():
    done = threading.Event()

    def end(_):
        raise SystemExit

    worker = LatestWorker(end, lambda _: None, lambda *_: done.set())
    worker.submit(1)
    wait_until(lambda: not worker._thread.is_alive(), "the thread to end")
    job = worker.between(lambda: 42)
    worker.stop(10)
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
    bench.frames.stop(10)
    counts = bench.counts()
    assert (counts["received"], counts["dropped"]) == (4, 2)
    assert bench.statistics.snapshot().in_hand == 0


class Held:
    """A function that does not come back until it is let go."""

    def __init__(self, result=None):
        self.entered, self.release = threading.Event(), threading.Event()
        self._result = result

    def __call__(self, *_):
        self.entered.set()
        assert self.release.wait(60)
        return self._result


def test_a_worker_that_does_not_come_back_says_at_what_it_is():
    held = Held()
    worker = LatestWorker(held, lambda _: None, lambda *_: None, lambda item: f"image {item}")
    assert worker.busy is None
    worker.submit(7)
    assert held.entered.wait(10)
    first = worker.busy
    assert first.what == "image 7"
    wait_until(lambda: worker.busy.seconds > first.seconds, "time to pass")
    job = worker.between(lambda: 42)
    worker.refuse_jobs("not now")
    with pytest.raises(SegRosError, match="not now"):
        job.result(10)
    held.release.set()
    wait_until(lambda: worker.busy is None, "the worker to come back")
    assert worker.between(lambda: 43).result(10) == 43
    assert worker.stop(10)


def test_who_waits_for_a_job_that_does_not_come_back_is_told_and_the_next_is_done():
    held = Held(1)
    worker = LatestWorker(print, print, print)
    job = worker.between(held)
    assert held.entered.wait(10)
    assert worker.busy.what == "work between two frames"
    worker.refuse_jobs("not now")
    with pytest.raises(SegRosError, match="not now"):
        job.result(10)
    held.release.set()
    assert worker.between(lambda: 2).result(10) == 2
    assert worker.stop(10)


def test_a_frame_that_is_given_up_has_failed_and_is_not_published_when_it_comes_back():
    bench = Bench()
    bench.frames._model.pipeline.process = held = Held(Processed(1))
    bench.send(1)
    assert held.entered.wait(10)
    bench.send(2)
    assert not bench.frames.stop(0.01)
    counts = bench.counts()
    assert (counts["received"], counts["failed"], counts["dropped"]) == (2, 1, 1)
    said = ["failed: image 1: given up, it had not come back after 0.01 s more"]
    assert bench.logger.lines == said
    held.release.set()
    bench.frames._worker._thread.join(60)
    assert bench.counts() == counts
    assert bench.outputs.published == []
    assert bench.logger.lines == said


def test_stalls_are_counted_once_and_their_end_is_said():
    statistics, logger = FrameStatistics(), Logger()
    stalls = Stalls(statistics, logger)
    assert stalls.look({"worker": Busy("image 1", 9.9), "video": None}, 10) == ("", "")
    # What may take longer, such as loading a network, has ten times as long.
    threads = {"worker": Busy("image 1", 11), "background": Busy("loading a model", 99, 10)}
    lasting = "the worker thread has been at image 1 for 11 s"
    assert stalls.look(threads, 10) == (lasting, "")
    threads = {"worker": Busy("image 1", 12), "background": Busy("loading a model", 100, 10)}
    lasting = (
        "the worker thread has been at image 1 for 12 s; "
        "the background thread has been at loading a model for 100 s"
    )
    assert stalls.look(threads, 10) == (lasting, "")
    ended = "the worker thread came back from image 1 after 12 s"
    threads = {"worker": Busy("image 2", 0.5), "background": Busy("loading a model", 101, 10)}
    lasting = "the background thread has been at loading a model for 101 s"
    assert stalls.look(threads, 10) == (lasting, ended)
    over = "the background thread came back from loading a model after 101 s"
    assert stalls.look({"worker": None}, 10) == ("", over)
    assert stalls.look({"worker": None}, 10) == ("", "")
    assert statistics.snapshot().counts["threads_stalled"] == 2
    assert [line.partition(";")[0] for line in logger.lines] == [
        "the worker thread has been at image 1 for 11 s",
        "the background thread has been at loading a model for 100 s",
        ended,
        over,
    ]


def test_work_in_the_background_says_since_when_it_gave_no_sign_of_life():
    background = Background(SimpleNamespace(executor=None))
    held = Held()
    assert background.busy is None
    background.run("loading", held, patience=10)
    assert held.entered.wait(10)
    wait_until(lambda: background.busy.seconds > 0.05, "time to pass")
    before = background.busy
    assert (before.what, before.patience) == ("loading", 10)
    background.alive("loading")
    assert background.busy.seconds < before.seconds
    assert not background.close(0.01)
    held.release.set()
    assert background.close(60)
    assert background.busy is None
