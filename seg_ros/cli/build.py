"""``seg_ros build``."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from seg_ros.cli.arguments import MODEL_HELP, add_engine, add_json, write_json
from seg_ros.support.choices import MAX_FALSE_FREE, MIN_AGREEMENT, SYNTHETIC

SUMMARY = "make a verified engine for this machine"
EXAMPLES = (
    "seg_ros build mine.onnx",
    "seg_ros build nvidia/segformer-b0-finetuned-cityscapes-512-1024 --size 512x1024",
)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Take a model, an engine and what it is verified on."""
    command.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    add_engine(command)
    command.add_argument(
        "--mask-size",
        default="",
        metavar="HxW",
        help="of the camera: a GPU engine then decides the classes itself (default: the input's)",
    )
    command.add_argument(
        "--frames",
        default=SYNTHETIC,
        metavar="DRIVE",
        help="what the engine is compared with the fp32 reference on (default synthetic)",
    )
    command.add_argument(
        "--min-agreement",
        type=float,
        default=MIN_AGREEMENT,
        metavar="SHARE",
        help=f"of pixels with the reference's class (default {MIN_AGREEMENT})",
    )
    command.add_argument(
        "--max-false-free",
        type=float,
        default=MAX_FALSE_FREE,
        metavar="SHARE",
        help=f"of what is not driveable turned driveable (default {MAX_FALSE_FREE})",
    )
    add_json(command, "manifest")


def run(options: argparse.Namespace) -> int:
    """Build, verify and store an engine."""
    from seg_ros.drive import open_drive
    from seg_ros.drive.samples import choose_frames
    from seg_ros.engines import available_runtimes
    from seg_ros.engines.build import Check, Wish, build, engine_rows
    from seg_ros.engines.verify import FRAMES, Limits
    from seg_ros.models.catalogue import find_model
    from seg_ros.models.network import Network
    from seg_ros.segment.segmenter import Segmenter
    from seg_ros.support.pixels import parse_size
    from seg_ros.support.progress import EngineProgress
    from seg_ros.support.tables import text_table

    model = find_model(options.model, options.labels)
    runtime = options.runtime if options.runtime != "auto" else available_runtimes()[0]
    wish = Wish(runtime, options.precision, parse_size(options.size), parse_size(options.mask_size))
    check = Check(
        options.frames,
        lambda: choose_frames(open_drive(options.frames), FRAMES),
        Segmenter.of,
        Limits(options.min_agreement, options.max_false_free),
    )
    with TemporaryDirectory(prefix="seg_ros-") as work, EngineProgress() as progress:
        network = Network(model, Path(work), wish.input_size)
        built = build(network, wish, check, report=progress)
    manifest = built.entry.manifest
    if options.json:
        write_json(options.json, dict(manifest))
    print(text_table(engine_rows(manifest)))
    print(f"stored in {built.entry.folder}")
    return 0
