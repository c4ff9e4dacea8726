"""The ``seg_ros`` command: a file each, which imports what is heavy when it runs."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_BY_MODULE = ["-m", "seg_ros.cli"]


def _stop(*_: int | FrameType | None) -> None:
    """End at once: nothing is open yet, or nothing is any more."""
    os.write(2, b"seg_ros: interrupted\n")
    os._exit(130)


def _is_the_command() -> bool:
    """Whether this process is the command, not a program that imports it."""
    given = sys.orig_argv[1:3]
    return given == _BY_MODULE or os.path.basename("".join(given[:1])) == "seg_ros"  # noqa: PTH119


try:
    import signal

    # Here, since between this line and main() lies code that is not ours.
    if _is_the_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        import atexit

        signal.signal(signal.SIGINT, _stop)
        # Python gives up its handlers before it has ended: what is done by then has its exit code.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
except KeyboardInterrupt:
    _stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 after a one-line error, 130 after Ctrl-C."""
    from seg_ros.cli.parser import parse
    from seg_ros.support.entrance import enter

    options = parse(sys.argv[1:] if arguments is None else arguments)
    if options.quiet:
        os.environ["TQDM_DISABLE"] = "1"  # of this process and those it starts
    return enter(
        f"seg_ros {options.command}",
        lambda: options.run(options),
        options.verbose,
        ends_process=_is_the_command(),
    )
