"""Arguments that several commands take, and what becomes of them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg_ros.errors import SegRosError
from seg_ros.support.choices import PRECISIONS, RUNTIMES

if TYPE_CHECKING:
    from seg_ros.segment.segmenter import Segmenter

MODEL_HELP = "catalogue name, ONNX file, checkpoint file or folder, or hub name"
DRIVE_HELP = "bag, video file, folder of clips or images, or 'synthetic'"


def add_drive(command: argparse.ArgumentParser) -> None:
    """Take a drive, and what :func:`add_topic` takes."""
    command.add_argument("drive", metavar="DRIVE", help=DRIVE_HELP)
    add_topic(command)


def add_topic(command: argparse.ArgumentParser) -> None:
    """Take which of several cameras, and the rate of what has no clock."""
    command.add_argument(
        "--topic",
        default="",
        help="camera topic of a bag, or camera of a folder of clips",
    )
    command.add_argument(
        "--fps",
        type=frame_rate,
        default=0.0,
        help="frames a second of pictures and raw H.264 or H.265, which have no times",
    )


def add_camera(command: argparse.ArgumentParser) -> None:
    """Take a camera file."""
    command.add_argument("--camera", type=Path, help="camera YAML, instead of the drive's camera")


def add_out(command: argparse.ArgumentParser) -> None:
    """Take the folder for the outputs, and whether what is there may be replaced."""
    command.add_argument(
        "-o", "--out", type=Path, help="folder for the outputs (default: DRIVE_seg, here)"
    )
    command.add_argument("--replace", action="store_true", help="replace outputs already there")


def out_of(out: Path | None, drives: Sequence[str]) -> Path:
    """Return the folder for the outputs: the one that was named, or that of a single drive's name.

    Raises:
        SegRosError: none was named for several drives.

    """
    if out is not None:
        return out
    if len(drives) > 1:
        raise SegRosError("several drives need a folder for their outputs: name it with -o")
    path = Path(drives[0]).expanduser()
    return Path(f"{path.resolve().name if path.is_dir() else path.stem}_seg")


def add_json(command: argparse.ArgumentParser, what: str = "figures") -> None:
    """Take a file for the figures."""
    command.add_argument("--json", type=Path, help=f"write the {what} to this file")


def add_engine(command: argparse.ArgumentParser) -> None:
    """Take what :func:`load` opens, the model aside."""
    command.add_argument("--labels", default="", help="label set: bundled name or YAML file")
    command.add_argument("--runtime", default="auto", choices=RUNTIMES)
    command.add_argument(
        "--precision",
        default="auto",
        choices=PRECISIONS,
        help="auto: the fastest that passes verification",
    )
    add_size(command)


def add_size(command: argparse.ArgumentParser) -> None:
    """Take the size of the network's input."""
    command.add_argument(
        "--size", default="", metavar="HxW", help="of the network's input (default: the model's)"
    )


def frame_rate(text: str) -> float:
    """Parse frames a second.

    Raises:
        ValueError: they are none a camera has.

    """
    value = float(text)
    if not 0.001 <= value <= 1000:
        raise ValueError
    return value


def positive(text: str) -> int:
    """Parse a number from 1 on.

    Raises:
        ValueError: it is none.

    """
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def load(options: argparse.Namespace) -> Segmenter:
    """Open the engine that the options of :func:`add_engine` and the model ask for.

    Raises:
        SegRosError: as of :meth:`seg_ros.segment.segmenter.Segmenter.load`.

    """
    from seg_ros.support.pixels import parse_size

    return open_segmenter(
        options.model,
        options.labels,
        options.runtime,
        options.precision,
        parse_size(options.size),
    )


def open_segmenter(
    model: str,
    labels: str,
    runtime: str,
    precision: str,
    input_size: tuple[int, int] | None = None,
) -> Segmenter:
    """Open an engine, and show how far it is where it is built.

    Raises:
        SegRosError: as of :meth:`seg_ros.segment.segmenter.Segmenter.load`.

    """
    from seg_ros.segment.segmenter import Segmenter
    from seg_ros.support.progress import EngineProgress

    with EngineProgress() as progress:
        return Segmenter.load(
            model, labels, runtime, precision=precision, input_size=input_size, report=progress
        )


def check_json(path: Path | None) -> None:
    """See that a file can be written before the work is done, not after.

    Raises:
        SegRosError: it cannot.

    """
    if path is None:
        return
    try:
        existed = path.exists()
        path.open("a").close()
        if not existed:
            path.unlink()
    except OSError as error:
        raise SegRosError(f"cannot write {path}: {error.strerror or error}") from error


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write figures.

    Raises:
        SegRosError: the file cannot be written.

    """
    try:
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise SegRosError(f"cannot write {path}: {error.strerror or error}") from error
