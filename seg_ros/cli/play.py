"""``seg_ros play``."""

from __future__ import annotations

import argparse

from seg_ros.cli.arguments import add_camera, add_drive

SUMMARY = "publish a recorded drive as camera topics"
EXAMPLES = ("seg_ros play drive_bag --rate 2 --loop",)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Take a drive and how it is played."""
    add_drive(command)
    command.add_argument("--rate", type=float, default=1.0, help="times real time (default 1)")
    command.add_argument("--loop", action="store_true", help="start again at the end")
    add_camera(command)
    command.add_argument(
        "--wait", action="store_true", help="wait for a subscriber before the first frame"
    )
    command.add_argument(
        "--preload", action="store_true", help="read every frame into memory before the first"
    )
    command.add_argument("--namespace", default="", help="of the topics, such as /front")


def run(options: argparse.Namespace) -> int:
    """Publish it."""
    from seg_ros.drive import open_drive
    from seg_ros.ground.camera_file import load_camera
    from seg_ros.ros.play import play

    camera = load_camera(options.camera) if options.camera else None
    drive = open_drive(options.drive, options.topic, options.fps, camera is not None)
    play(
        drive,
        camera,
        options.rate,
        options.loop,
        options.wait,
        options.preload,
        options.namespace,
    )
    return 0
