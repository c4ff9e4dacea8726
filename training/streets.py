"""Train the street networks: one packed file, then one command that can be stopped and resumed.

    python training/streets.py pack  --shared SHARED --out PACK
    python training/streets.py train --pack PACK --out RUN [--minutes N [--finish]]
    python training/streets.py export --run RUN --out ONNX
    python training/streets.py table --shared SHARED [--model ONNX ...] [--json FILE]

SHARED holds `data/camvid`, `data/idd_lite`, `drives/dry_grass_highway.mp4` and `models/teachers`.
`train` goes on from RUN's checkpoint where there is one; --finish lets the learning rate fall to
zero over the given minutes and ends the run.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from seg_ros.errors import SegRosError
from seg_ros.teach import sources
from seg_ros.teach.packed import Frame, write_pack
from seg_ros.teach.partial import PartialLabels
from seg_ros.teach.teachers import load_teachers

log = logging.getLogger("streets")
RECIPE = Path(__file__).with_name("streets.yaml")


def synthetic(config: dict[str, Any], size: Sequence[int], seed: int) -> Iterator[Frame]:
    """Render the synthetic world's frames: of the street, and of open roads that all differ."""
    from seg_ros.synthetic import SyntheticDrive, draw_camera, draw_place

    street = config["street"]
    for number in range(street["drives"]):
        drive = SyntheticDrive(
            frames=street["frames"],
            width=size[1],
            height=size[0],
            rate=street["rate"],
            seed=seed + number,
        )
        for frame in drive:
            source = f"synthetic/street/{seed + number}/{frame.index}"
            yield Frame(frame.image, frame.class_mask, source, "synthetic")
    for number in range(config["open"]["drives"]):
        rng = np.random.default_rng([seed, number])
        camera = draw_camera(rng, size[1], size[0])
        drive = SyntheticDrive(
            frames=config["open"]["frames"],
            width=size[1],
            height=size[0],
            rate=config["open"]["rate"],
            seed=number,
            camera=camera,
            place=draw_place(rng, camera),
        )
        for frame in drive:
            source = f"synthetic/open/{number}/{frame.index}"
            yield Frame(frame.image, frame.class_mask, source, "synthetic")


def pack(args: argparse.Namespace) -> None:
    """Run the `pack` command."""
    recipe = yaml.safe_load(args.recipe.read_text(encoding="utf-8"))
    said, size = recipe["pack"], recipe["input"]
    labels = PartialLabels.from_dict(said["labels"])
    cache = args.out.with_name(args.out.name + ".opinions")
    opinions = sources.CachedOpinions(
        cache, lambda: [teacher.road for teacher in load_teachers(args.shared)]
    )
    labeller = sources.Labeller(labels, sources.Certainty(**said["certainty"]), opinions)
    data = args.shared / "data"

    def frames() -> Iterator[Frame]:
        yield from synthetic(said["synthetic"], size, recipe["seed"])
        for split in ("train", "val"):
            yield from sources.camvid(data / "camvid", split, said["camvid"], labeller)
        video = args.shared / "drives" / "dry_grass_highway.mp4"
        yield from sources.footage(video, said["footage"]["every"], size, labeller)
        yield from sources.idd_lite(data / "idd_lite", said["idd_lite"], labeller)

    written = write_pack(args.out, labels, frames(), said, said["quality"])
    log.info("%s: %.1f MB", args.out, written / 1e6)


def train(args: argparse.Namespace) -> None:
    """Run the `train` command."""
    import torch

    from seg_ros.teach.compact import CompactNetwork
    from seg_ros.teach.loop import Trainer
    from seg_ros.teach.packed import read_pack

    recipe = yaml.safe_load(args.recipe.read_text(encoding="utf-8"))
    torch.set_num_threads(args.threads)
    torch.manual_seed(recipe["seed"])
    packed = read_pack(args.pack)
    network = CompactNetwork(len(packed.labels.classes), **recipe["network"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = Trainer(network, packed, recipe, args.out, device)
    log.info("%d frames, on %s", len(packed.frames), device)

    def ask_to_stop(_signal: int, _frame: object) -> None:
        trainer.stop = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    trainer.run(args.minutes, args.finish)


def export(args: argparse.Namespace) -> None:
    """Run the `export` command."""
    import onnx
    import ship

    from seg_ros.teach.compact import CompactNetwork

    recipe = yaml.safe_load(args.recipe.read_text(encoding="utf-8"))
    labels = PartialLabels.from_dict(recipe["pack"]["labels"])
    network = CompactNetwork(len(labels.classes), **recipe["network"])
    ship.load_weights(network, args.run)
    model = ship.shipped(network, recipe["input"])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, args.out)
    log.info("%s: %.2f MB", args.out, args.out.stat().st_size / 1e6)


def table(args: argparse.Namespace) -> None:
    """Run the `table` command."""
    import table

    recipe = yaml.safe_load(args.recipe.read_text(encoding="utf-8"))
    models = [("camvid-b0", ""), *((str(path), "streets") for path in args.model)]
    rows = table.judge(models, args.shared, recipe)
    print(table.laid_out(rows))
    if args.json:
        values = {row.name: row.figures for row in rows}
        args.json.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("pack", help="write the one file that training reads")
    command.add_argument("--shared", type=Path, required=True, help="folder of data and teachers")
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(run_command=pack)
    command = commands.add_parser("train", help="train, or go on training, on a packed file")
    command.add_argument("--pack", type=Path, required=True)
    command.add_argument("--out", type=Path, required=True, help="folder of the run")
    command.add_argument("--minutes", type=float, help="end well after so many")
    command.add_argument("--finish", action="store_true", help="these minutes are the last ones")
    command.add_argument("--threads", type=int, default=2, help="of torch on a CPU")
    command.set_defaults(run_command=train)
    command = commands.add_parser("export", help="write the ONNX file that ships")
    command.add_argument("--run", type=Path, required=True, help="folder of the run")
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(run_command=export)
    command = commands.add_parser("table", help="score networks on streets not trained on")
    command.add_argument("--shared", type=Path, required=True, help="folder of data and teachers")
    command.add_argument("--model", type=Path, action="append", default=[], metavar="ONNX")
    command.add_argument("--json", type=Path)
    command.set_defaults(run_command=table)
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    cv2.setNumThreads(1)
    try:
        args.run_command(args)
    except SegRosError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
