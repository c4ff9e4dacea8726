"""Images through shared memory in one piece.

Fast DDS' default shared-memory segment (512 KiB) is smaller than a camera frame. Frames then go as
UDP fragments, of which a best effort subscriber loses some, and with them all of the frame.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from seg_ros.support.share import share_file

_SETTINGS = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
"""The name from Fast DDS 3 (Kilted) on, and the one before."""

_SHARED_MEMORY = Path("/dev/shm")
_NEEDED = 256 * 2**20


def use_shared_memory() -> None:
    """Have this process, and those it starts, take ``config/fastdds.xml``.

    To be called before rclpy.init. Leaves everything as it is where somebody has chosen a profile,
    or where there is no room in shared memory (containers often have 64 MiB).
    """
    if any(name in os.environ for name in _SETTINGS):
        return
    if _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).free >= _NEEDED:
        for name in _SETTINGS:
            os.environ[name] = str(share_file("config/fastdds.xml"))
