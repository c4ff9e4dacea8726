"""``seg_ros compare``."""

from __future__ import annotations

import argparse
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path

from seg_ros.cli.arguments import (
    add_drive,
    add_json,
    add_out,
    check_json,
    open_segmenter,
    out_of,
    write_json,
)
from seg_ros.support.choices import SYNTHETIC

SUMMARY = "put two models or engines side by side"
EXAMPLES = (
    "seg_ros compare default mine.onnx drive.mp4",
    "seg_ros compare mine.onnx@openvino:fp32 mine@torch drive.mp4 -o out",
)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Take two contenders and a drive."""
    for name in "AB":
        command.add_argument(name.lower(), metavar=name, help="MODEL[@RUNTIME[:PRECISION]]")
    add_drive(command)
    add_out(command)
    for name in "ab":
        text = f"label set of {name.upper()}: bundled name or YAML file"
        command.add_argument(f"--labels-{name}", default="", help=text)
    add_json(command)


def run(options: argparse.Namespace) -> int:
    """Compare them on every frame."""
    from tqdm import tqdm

    from seg_ros.drive import open_drive
    from seg_ros.judge.compare import COMPARE_NAMES, Comparison, Contender, comparison_table
    from seg_ros.models.catalogue import find_model
    from seg_ros.results.outputs import OutputFolder
    from seg_ros.support.provenance import checksums

    check_json(options.json)
    options.out = out_of(options.out, [options.drive])
    drive = open_drive(options.drive, options.topic, options.fps)
    for note in drive.notes:
        print(f"seg_ros compare: {note}", file=sys.stderr)
    contenders = Contender.parse(options.a), Contender.parse(options.b)
    folder = OutputFolder(options.out, options.replace, COMPARE_NAMES)
    inputs = checksums(Path(options.drive)) if options.drive != SYNTHETIC else {}
    segmenters = []
    for contender, labels, letter in zip(
        contenders, (options.labels_a, options.labels_b), "AB", strict=True
    ):
        segmenters.append(
            open_segmenter(contender.model, labels, contender.runtime, contender.precision)
        )
        file = find_model(contender.model, labels).path
        inputs |= {f"{letter}: {name}": digest for name, digest in checksums(file).items()}
    about = {
        "command": shlex.join(["seg_ros", *options.arguments]),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "inputs": inputs,
    }
    with tqdm(total=drive.frame_count, unit="frame", desc="compare") as bar:
        comparison = Comparison(
            (contenders[0].name, contenders[1].name),
            (segmenters[0], segmenters[1]),
            drive,
            on_frame=bar.update,
            on_bad_frame=lambda message: bar.write(f"seg_ros compare: {message}", sys.stderr),
        )
        values = comparison.run(folder, about)
    if options.json:
        write_json(options.json, values)
    print(comparison_table(values))
    print(f"look at {options.out}/compare.html; the video alone is compare.mp4")
    return 0
