"""Where a command begins and ends: signals, exit codes, and one line for whatever went wrong."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from seg_ros.errors import SegRosError, as_line


def enter(
    name: str, work: Callable[[], int], verbose: bool = False, ends_process: bool = False
) -> int:
    """Run a command; return its exit code.

    Args:
        name: of the command, for its messages.
        work: what it does; returns the exit code.
        verbose: show where an error came from.
        ends_process: nothing is left to do afterwards: what is done by then has its exit code, and
            a signal while Python takes itself down changes nothing.

    Returns:
        The command's own code; 1 after an error, said in one line; 130 after Ctrl-C; 141 where
        who read the output has gone (as a shell calls a process that SIGPIPE ended).

    """
    # From here on Ctrl-C and termination unwind, so that nothing is left behind.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = work()
        sys.stdout.flush()
        if ends_process:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
    except KeyboardInterrupt:
        _say(name, "interrupted")
        return 130
    except BrokenPipeError:
        # What Python still has to flush at its end goes nowhere instead of into another error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except SegRosError as error:
        _trace(verbose)
        _say(name, str(error))
        return 1
    except OSError as error:
        _trace(verbose)
        where = f"{error.filename}: " if error.filename else ""
        _say(name, f"{where}{error.strerror or error}; free the disk, or see to its permissions")
        return 1
    except MemoryError:
        _trace(verbose)
        _say(name, "the memory of this machine is not enough for that")
        return 1
    except Exception as error:  # a bug, whatever the input was: every known error is caught below
        _trace(verbose)
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        more = "" if verbose else ", with what -v shows"
        report = f"a bug of seg_ros; please report it to its issue tracker{more}"
        _say(name, f"{report}: {said}")
        return 1
    return code


def _say(name: str, message: str) -> None:
    print(f"{name}: {as_line(message)}", file=sys.stderr, flush=True)


def _trace(verbose: bool) -> None:
    if verbose:
        import traceback

        traceback.print_exc()
