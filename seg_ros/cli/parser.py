"""Reads the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from seg_ros import __version__
from seg_ros.cli import attention, build, calibrate, compare, demo, evaluate, models, play, replay

COMMANDS = {
    "replay": replay,
    "play": play,
    "demo": demo,
    "calibrate": calibrate,
    "evaluate": evaluate,
    "compare": compare,
    "attention": attention,
    "build": build,
    "models": models,
}
"""The file of each command: its ``SUMMARY``, its arguments and what runs it."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line; ``run`` takes them.

    Raises:
        SystemExit: the command line is wrong (2), or help or the version was asked for (0).

    """
    options = make_parser().parse_args(arguments)
    options.arguments = list(arguments)
    return options


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of every command."""
    parser = argparse.ArgumentParser("seg_ros", description="Driveable area and segmentation.")
    parser.add_argument("--version", action="version", version=f"seg_ros {__version__}")
    _add_verbose(parser, False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.SUMMARY)
        command.add_arguments(one)
        _add_verbose(one, argparse.SUPPRESS)  # else it would undo one before the command
        one.set_defaults(run=command.run)
    return parser


def _add_verbose(parser: argparse.ArgumentParser, default: bool | str) -> None:
    parser.add_argument(
        "-v", "--verbose", action="store_true", default=default, help="show tracebacks of errors"
    )
