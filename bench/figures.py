"""What figures of frames and the report of a long drive cost: python bench/figures.py [FRAMES].

Figures of a 1280x720 mask of 11 classes and of logits at a tenth of that; the page of FRAMES frames
(36,000 by default, an hour at 10 Hz) of 19 classes with 600 pictures of 640x360 instead of a video.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from seg_ros.drive import open_drive
from seg_ros.drive.images import encode_jpeg
from seg_ros.drive.messages import bag_messages
from seg_ros.ground.grid_spec import FirstContacts
from seg_ros.labels import load_label_set
from seg_ros.report.page.parts import shown_positions
from seg_ros.report.report import FIGURES_NAME, write_report
from seg_ros.report.run_values import RunInfo
from seg_ros.results.bag_topics import OVERLAY_TOPIC
from seg_ros.results.figures import FrameFigures, FrameJudge
from seg_ros.results.result_bag import ResultBag
from seg_ros.segment.output import Processed
from seg_ros.segment.upsample import confidence_upsampled, mean_confidence
from seg_ros.support.tables import markdown_table

SECOND = 1_000_000_000


def median_ms(call: Callable[[], object], times: int = 200) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]) * 1e3


def frame_costs() -> list[tuple[str, str]]:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 11, (2, 72, 128), np.uint8)
    masks = blocks.repeat(10, axis=1).repeat(10, axis=2)
    contacts = FirstContacts(-0.6, 0.005, 30.0, np.full(240, 12, np.float32))
    logits = rng.normal(0, 3, (11, 72, 128)).astype(np.float32)
    judge = FrameJudge(load_label_set("camvid"))
    turn = iter(range(10**6))

    def judged() -> FrameFigures:
        index = next(turn)
        return judge.judge(index, index, Processed(10**6, masks[index % 2], contacts=contacts))

    figures = judged()
    return [
        ("figures of a frame", f"{median_ms(judged):.2f} ms"),
        ("their line of JSON", f"{median_ms(figures.to_line):.2f} ms"),
        ("mean confidence, of the logits", f"{median_ms(lambda: mean_confidence(logits)):.2f} ms"),
        (
            "confidence of every pixel",
            f"{median_ms(lambda: confidence_upsampled(logits, (720, 1280)), 50):.1f} ms",
        ),
    ]


def long_drive(count: int) -> Iterator[FrameFigures]:
    rng = np.random.default_rng(0)
    for index in range(count):
        shares = rng.dirichlet(np.ones(19)).round(6)
        yield FrameFigures(
            index=index,
            stamp_ns=index * SECOND // 10,
            latency_ms=40 + 9 * float(rng.random()),
            engine_ms=30 + 5 * float(rng.random()),
            class_shares=tuple(shares.tolist()),
            driveable_share=float(shares[0]),
            confidence=0.8 + 0.1 * float(rng.random()),
            contact_ahead_m=5 + 20 * float(rng.random()),
            changed_share=0.1 * float(rng.random()),
            driveable_lost=0.02 * float(rng.random()),
        )


def page_costs(count: int) -> list[tuple[str, str]]:
    noise = np.random.default_rng(0).integers(0, 256, (45, 80, 3), np.uint8)
    jpeg = encode_jpeg(noise.repeat(8, axis=0).repeat(8, axis=1), 72)
    messages = bag_messages()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ResultBag(folder / "result") as bag:
            for position in shown_positions(count):
                stamp = position * SECOND // 10
                header = messages.header(stamp, "camera")
                bag.write(OVERLAY_TOPIC, stamp, messages.jpeg(header, jpeg))
        with (folder / FIGURES_NAME).open("w") as lines:
            lines.writelines(f"{frame.to_line()}\n" for frame in long_drive(count))
        labels = load_label_set("cityscapes")
        run = RunInfo("long", labels, "model", "engine", "device", count, count / 20)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        write_report(folder, run, open_drive("synthetic"))
        seconds = time.perf_counter() - start
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        size = (folder / "report.html").stat().st_size
    return [
        (f"report of {count} frames", f"{seconds:.1f} s"),
        ("the page", f"{size / 1e6:.1f} MB"),
        ("memory it took", f"{more / 1e3:.0f} MB"),
    ]


if __name__ == "__main__":
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 36_000
    print(markdown_table(("", ""), [*frame_costs(), *page_costs(frames)]))
