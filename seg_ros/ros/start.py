"""Starts the node: told to stop while it still loads its libraries, it stops without a word."""

from __future__ import annotations


def main() -> int:
    """Run the node until it is told to stop; return the exit code."""
    try:
        from seg_ros.ros.node import main as run
    except KeyboardInterrupt:
        return 0
    return run()
