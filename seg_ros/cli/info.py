"""``seg_ros info``."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg_ros.cli.arguments import add_drive, add_json, check_json, write_json
from seg_ros.support.choices import SYNTHETIC

if TYPE_CHECKING:
    from seg_ros.drive.summary import DriveSummary

SUMMARY = "say what a drive holds, and what is wrong with it"
EXAMPLES = ("seg_ros info drive_bag", "seg_ros info clips/ --topic front --check")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Take a drive."""
    add_drive(command)
    command.add_argument("--check", action="store_true", help="decode every frame, not the first")
    add_json(command)


def run(options: argparse.Namespace) -> int:
    """Read the drive once and print what was found; 1 where it is damaged."""
    from tqdm import tqdm

    from seg_ros.drive import open_drive
    from seg_ros.drive.bag import Bag, is_bag
    from seg_ros.drive.bag_drive import camera_topics
    from seg_ros.drive.summary import summarise
    from seg_ros.support.tables import text_table

    check_json(options.json)
    path = Path(options.drive).expanduser()
    bag = Bag(path) if options.drive != SYNTHETIC and path.exists() and is_bag(path) else None
    names = [options.topic]
    if bag and not options.topic:
        names = [t.name for t in camera_topics(bag) if t.count != 0]
    found: list[DriveSummary] = []
    for topic in names or [""]:
        drive = open_drive(options.drive, topic, options.fps)
        with tqdm(total=drive.frame_count, unit="frame", desc=topic or "info", leave=False) as bar:
            found.append(summarise(drive, topic or options.drive, options.check, bar.update))
    values: dict[str, Any] = {"drive": options.drive, "cameras": [s.as_dict() for s in found]}
    if bag:
        topics = [(t.name, t.message_type, str(t.count)) for t in bag.topics]
        values["topics"] = [dict(zip(("name", "type", "messages"), t, strict=True)) for t in topics]
        print(text_table([("topic", "type", "messages"), *topics]), end="\n\n")
    print("\n\n".join(text_table(_rows(one)) for one in found))
    if options.json:
        write_json(options.json, values)
    return int(any(one.damage or one.undecodable for one in found))


def _rows(found: DriveSummary) -> list[tuple[str, str]]:
    sizes = ", ".join(f"{s} ({n})" if len(found.sizes) > 1 else s for s, n in found.sizes.items())
    begin = "-"
    if found.begin_ns is not None:
        begin = datetime.fromtimestamp(found.begin_ns / 1e9, timezone.utc).isoformat(" ", "seconds")
    gaps = f"{found.gaps}, the longest {found.longest_gap_s:.2f} s" if found.gaps else "none"
    rows = [
        ("camera", found.name),
        ("kind", found.kind),
        ("frames", str(found.frames)),
        ("begins", begin),
        ("lasts", f"{found.duration_s:.2f} s"),
        ("rate", f"{found.rate_hz:.2f} frames a second" if found.rate_hz else "-"),
        ("gaps", gaps),
        ("size", sizes or "-"),
        ("calibration", found.camera),
    ]
    if found.steps_back:
        rows.append(("stamps", f"{found.steps_back} not after the frame before"))
    if found.undecodable:
        rows.append(("cannot be decoded", str(found.undecodable)))
    rows.extend(("note", note) for note in found.notes)
    rows.append(("damage", found.damage or "none found"))
    return rows
