"""How fast is a replay with every output on, beside the engine alone, and is its memory flat.

Replays a drive and runs the bare engine over as many frames, in turns, in one process; says how
much of the engine's frame rate is left and what each step takes of the CPU. With --memory: replays
drives of these lengths, each in a process of its own, and says how much memory it held.

    python bench/replay.py [DRIVE] [--frames 200] [--rounds 3]
    python bench/replay.py --memory 200 2000
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import zstandard

from seg_ros.drive import Drive, open_drive
from seg_ros.drive.images import encode_jpeg, encode_png
from seg_ros.drive.messages import bag_messages, typestore
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.grid import DriveableGrid
from seg_ros.ground.grid_spec import GridSpec
from seg_ros.replay.job import EngineOptions, ReplayJob, finish, load_engine
from seg_ros.replay.replay import Replay, ReplayOptions, make_pipelines
from seg_ros.results.bag_topics import result_topic
from seg_ros.results.outputs import ReplayFolder
from seg_ros.results.result_bag import ResultBag
from seg_ros.results.topics import CAMERA_INFO, IMAGE_COMPRESSED
from seg_ros.results.video import H264Stream
from seg_ros.segment.paint import overlay
from seg_ros.segment.segmenter import Segmenter
from seg_ros.support.bands import core_count
from seg_ros.support.choices import MASK_FORMATS
from seg_ros.support.tables import text_table
from seg_ros.synthetic import SyntheticDrive


class Repeated(Drive):
    """A drive's first frames over and over, with stamps that go on."""

    def __init__(self, drive, count):
        self.name, self.topics, self.camera = drive.name, drive.topics, drive.camera
        self._frames = list(drive.frames(0, min(count, 100)))
        self._count = count

    @property
    def frame_count(self):
        """See Drive."""
        return self._count

    def frames(self, start=0, stop=None):
        """See Drive."""
        for index in range(start, self._count if stop is None else min(stop, self._count)):
            frame = self._frames[index % len(self._frames)]
            yield replace(frame, index=index, stamp_ns=(index + 1) * 100_000_000)


def synthetic_bag(folder: Path) -> str:
    """Write 1280x720 JPEG frames of the synthetic street as a bag."""
    scene = SyntheticDrive()
    messages, store = bag_messages(), typestore()
    info = open_drive("synthetic").camera
    with ResultBag(
        folder / "drive", [result_topic(IMAGE_COMPRESSED), result_topic(CAMERA_INFO)]
    ) as bag:
        for index in range(0, len(scene), 3):
            stamp = (index + 1) * 100_000_000
            header = messages.header(stamp, "camera")
            jpeg = messages.jpeg(header, encode_jpeg(scene[index].image, 90))
            data = store.serialize_cdr(jpeg, IMAGE_COMPRESSED.message_type)
            bag.write("/image/compressed", stamp, data)
            data = store.serialize_cdr(messages.camera_info(header, info), CAMERA_INFO.message_type)
            bag.write("/camera_info", stamp, data)
    return str(folder / "drive")


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(work, frames: int) -> tuple[float, float]:
    """Return (milliseconds, CPU milliseconds) per frame."""
    start, start_cpu = time.perf_counter(), cpu()
    work()
    return (time.perf_counter() - start) / frames * 1e3, (cpu() - start_cpu) / frames * 1e3


def speed(source: str, count: int, rounds: int, options: ReplayOptions) -> None:
    drive = Repeated(open_drive(source), count)
    segmenter = Segmenter.load()
    pipelines = make_pipelines(segmenter)
    images = [np.ascontiguousarray(segmenter._fit(f.decode())) for f in drive.frames(0, 20)]

    def engine() -> None:
        for index in range(count):
            segmenter._engine.infer(images[index % len(images)])

    def everything() -> None:
        with tempfile.TemporaryDirectory() as out, ReplayFolder(Path(out), {}) as folder:
            Replay(drive, pipelines, None, options).run(folder.work)

    everything()
    rows = []
    for _ in range(rounds):
        rows.append((*timed(engine, count), *timed(everything, count)))
    alone, alone_cpu, whole, whole_cpu = np.median(rows, axis=0)
    picture = next(drive.frames()).decode()
    print(f"{source}: {count} frames {picture.shape[1]}x{picture.shape[0]}, {core_count()} cores")
    rows = [
        ("engine alone, all cores on one frame", alone, alone_cpu),
        ("replay, every output", whole, whole_cpu),
    ]
    print(text_table([
        (f"median of {rounds} rounds", "frames/s", "ms", "CPU ms"),
        *((name, f"{1e3 / ms:.1f}", f"{ms:.1f}", f"{used:.1f}") for name, ms, used in rows),
        ("share of the engine's frame rate", f"{alone / whole:.0%}", "", ""),
    ]))  # fmt: skip
    steps(source, pipelines)


def steps(source: str, pipelines) -> None:
    """Time what a frame goes through beside the engine, alone."""
    frames = list(open_drive(source).frames(0, 20))
    pipeline, labels = pipelines[0], pipelines[0].segmenter.labels
    images = [f.decode() for f in frames]
    shared = [pipeline.segmenter.segment(image).class_mask() for image in images]
    painted = [overlay(i, m, labels, 0.5) for i, m in zip(images, shared, strict=True)]
    camera = CameraModel(
        *images[0].shape[1::-1], 1000, 1000, *(s / 2 for s in images[0].shape[1::-1])
    )
    grid = DriveableGrid(GridSpec(), camera, labels)
    segmentation = pipeline.segmenter.segment(images[0])
    packer = zstandard.ZstdCompressor(level=1)

    fit = pipeline.segmenter._fit
    paint = partial(overlay, labels=labels, opacity=0.5)

    def to_grid(mask):
        return grid.cells(mask), grid.first_contacts()

    def pack(mask):
        return packer.compress(mask.tobytes())

    def h264() -> None:
        with tempfile.TemporaryDirectory() as out, H264Stream(Path(out) / "v.h264") as stream:
            for picture in painted:
                stream.add(picture)

    rows = [
        ("decode the frame", timed(lambda: [f.decode() for f in frames], 20)),
        ("resize to the network's input", timed(lambda: list(map(fit, images)), 20)),
        ("class decision", timed(lambda: [segmentation.class_mask() for _ in images], 20)),
        ("mean confidence", timed(lambda: [segmentation.mean_confidence() for _ in images], 20)),
        ("overlay", timed(lambda: list(map(paint, images, shared)), 20)),
        ("grid and first contacts", timed(lambda: list(map(to_grid, shared)), 20)),
        ("overlay as JPEG", timed(lambda: [encode_jpeg(p, 80) for p in painted], 20)),
        ("overlay as H.264", timed(h264, 20)),
        ("mask: zstd of the chunk", timed(lambda: list(map(pack, shared)), 20)),
        ("mask: PNG instead", timed(lambda: [encode_png(m) for m in shared], 20)),
    ]  # fmt: skip
    print(
        text_table([("each step alone", "CPU ms"), *((n, f"{used:.2f}") for n, (_, used) in rows)])
    )
    raw = np.mean([len(packer.compress(m.tobytes())) for m in shared]) / 1e3
    png = np.mean([len(encode_png(m)) for m in shared]) / 1e3
    print(f"a mask takes {raw:.1f} kB raw in its chunk, {png:.1f} kB as PNG")


def memory(lengths: list[int], source: str) -> None:
    """Replay drives of growing length in processes of their own; print what they held at most."""
    rows = [("frames", "largest memory, MB")]
    for length in lengths:
        command = [sys.executable, __file__, source, "--frames", str(length), "--hold"]
        held = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        rows.append((str(length), held))
    print(text_table(rows))


def hold(source: str, count: int) -> None:
    """Replay once, all of it; print the largest resident memory in MB."""
    drive = Repeated(open_drive(source), count)
    job = ReplayJob(source, Path(), EngineOptions("default"))
    engine, pipelines = load_engine(job.engine)
    with tempfile.TemporaryDirectory() as out, ReplayFolder(Path(out), {}) as folder:
        Replay(drive, pipelines).run(folder.work)
        run = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        finish(job, drive, drive.camera, engine, folder, None)
        print(f"{run} running, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} in all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drive", nargs="?", default="")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mask", default="raw", choices=MASK_FORMATS)
    parser.add_argument("--memory", type=int, nargs="+", metavar="FRAMES")
    parser.add_argument("--hold", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = options.drive or synthetic_bag(Path(folder))
        if options.hold:
            hold(source, options.frames)
        elif options.memory:
            memory(options.memory, source)
        else:
            speed(source, options.frames, options.rounds, ReplayOptions(options.mask))


if __name__ == "__main__":
    main()
