"""Reads the command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from seg_ros import __version__
from seg_ros.cli import (
    attention,
    build,
    calibrate,
    compare,
    demo,
    evaluate,
    info,
    models,
    play,
    replay,
)
from seg_ros.support.choices import did_you_mean

COMMANDS = {
    "replay": replay,
    "play": play,
    "info": info,
    "demo": demo,
    "calibrate": calibrate,
    "evaluate": evaluate,
    "compare": compare,
    "attention": attention,
    "build": build,
    "models": models,
}
"""The file of each command: its ``SUMMARY``, ``EXAMPLES``, its arguments and what runs it."""

SHELLS = ("bash", "zsh")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line; ``run`` takes them.

    Raises:
        SystemExit: the command line is wrong (2), or help or the version was asked for (0).

    """
    options = make_parser().parse_args(arguments)
    options.arguments = list(arguments)
    return options


class _Parser(argparse.ArgumentParser):
    """Says what was probably meant where a word is none of those there are."""

    def parse_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """Parse; an option that the command does not have is an error of the command."""
        options, extra = self.parse_known_args(args, namespace)
        if extra:
            commands = next(a for a in self._actions if isinstance(a, argparse._SubParsersAction))
            command = commands.choices[options.command]
            command.error(f"unrecognized arguments: {' '.join(extra)}")
        return options

    def error(self, message: str) -> NoReturn:
        """End with the message, and with the nearest word there is."""
        wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if wrong:
            message += did_you_mean(wrong[1], [c.strip("' ") for c in wrong[2].split(",")])
        wrong = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        if wrong:
            message += did_you_mean(wrong[1], list(self._option_string_actions))
        super().error(message)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of every command."""
    parser = _Parser("seg_ros", description="Driveable area and segmentation.")
    parser.add_argument("--version", action="version", version=f"seg_ros {__version__}")
    parser.add_argument(
        "--print-completion",
        choices=SHELLS,
        metavar="SHELL",
        action=_PrintCompletion,
        help=f"print what completes the command line in a shell: {', '.join(SHELLS)}",
    )
    _add_verbose(parser, False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        one = commands.add_parser(
            name,
            help=command.SUMMARY,
            description=f"{command.SUMMARY[0].upper()}{command.SUMMARY[1:]}.",
            epilog="examples:\n" + "\n".join(f"  {line}" for line in command.EXAMPLES),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(one)
        _add_verbose(one, argparse.SUPPRESS)  # else it would undo one before the command
        one.set_defaults(run=command.run)
    return parser


def _add_verbose(parser: argparse.ArgumentParser, default: bool | str) -> None:
    parser.add_argument(
        "-v", "--verbose", action="store_true", default=default, help="show tracebacks of errors"
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", default=default, help="show no progress bars"
    )


class _PrintCompletion(argparse.Action):
    """Prints a shell's completion and ends."""

    def __call__(  # type: ignore[no-untyped-def]
        self, parser, namespace, values, option_string=None
    ) -> None:
        """Print it."""
        import shtab  # only here: it costs time that every command would pay

        print(shtab.complete(parser, shell=values))
        parser.exit()
