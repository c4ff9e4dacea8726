"""A ROS domain that no other process of tests on this machine has."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO

LAST = 101
"""The ports of higher domains are those that Linux gives to anybody."""


def own_domain() -> tuple[int, IO[bytes]]:
    """Return the domain, 1 to 101, and the open file whose lock holds it while it stays open.

    Where every domain is taken, or files of another user are in the way, it is one by chance.
    """
    first = os.getpid()
    for step in range(LAST):
        domain = 1 + (first + step) % LAST
        try:
            lock = (Path(tempfile.gettempdir()) / f"seg_ros_test_domain_{domain}").open("ab")
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return domain, lock
    return 1 + first % LAST, Path(os.devnull).open("rb")
