"""``seg_ros attention``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from seg_ros.cli.arguments import MODEL_HELP, add_out, add_size, add_topic, out_of
from seg_ros.support.choices import DEFAULT_MODEL

SUMMARY = "show what a SegFormer's heads look at"
EXAMPLES = (
    "seg_ros attention drive.mp4",
    "seg_ros attention street.png --stage 3 --query 640,400 -o out",
)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Take a source, a model and which of its heads."""
    command.add_argument(
        "drive", metavar="SOURCE", help="picture, folder of images, video, rosbag2 or 'synthetic'"
    )
    add_topic(command)
    add_out(command)
    command.add_argument("--model", default=DEFAULT_MODEL, help=MODEL_HELP)
    command.add_argument("--labels", default="", help="label set: bundled name or YAML file")
    add_size(command)
    command.add_argument("--stage", type=int, default=4, help="of the encoder, 1 to 4 (default 4)")
    command.add_argument("--block", type=int, help="of the stage, from 1 (default the last)")
    command.add_argument("--head", type=_head, help="from 1, or all (default all)")
    command.add_argument(
        "--query", metavar="X,Y", help="pixel of the frame (default: mean over all)"
    )


def _head(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'all'")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Draw the heads over every frame."""
    from tqdm import tqdm

    from seg_ros.drive import open_drive
    from seg_ros.models.catalogue import find_model
    from seg_ros.replay.attention import ATTENTION_NAMES, attention_of_drive
    from seg_ros.results.outputs import OutputFolder
    from seg_ros.segment.attention import AttentionNetwork
    from seg_ros.support.pixels import parse_pixel, parse_size
    from seg_ros.support.tables import text_table

    options.out = out_of(options.out, [options.drive])
    query = parse_pixel(options.query) if options.query else None
    drive = open_drive(options.drive, options.topic, options.fps)
    model = find_model(options.model, options.labels)
    network = AttentionNetwork.load(model, options.stage, options.block, parse_size(options.size))
    network.check_head(options.head)
    folder = OutputFolder(options.out, options.replace, ATTENTION_NAMES)
    with tqdm(total=drive.frame_count, unit="frame", desc="attention") as bar:
        figures = attention_of_drive(
            drive,
            network,
            folder,
            options.head,
            query,
            on_frame=bar.update,
            on_bad_frame=lambda message: bar.write(f"seg_ros attention: {message}", sys.stderr),
        )
    for note in drive.notes:
        print(f"seg_ros attention: {note}", file=sys.stderr)
    print(text_table([(k.replace("_", " "), str(v)) for k, v in asdict(figures).items()]))
    made = [name for name in ATTENTION_NAMES if (options.out / name).exists()]
    print(f"look at {' and '.join(str(options.out / name) for name in made)}")
    return 0
