"""Starts the node: told to stop while it still loads its libraries, it stops without a word."""

from __future__ import annotations

import os
import signal
import sys


def main() -> int:
    """Run the node until it is told to stop; return the exit code."""
    # Nothing is open yet, and an exception would have to find its way through others' imports.
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    from seg_ros.ros.process import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
