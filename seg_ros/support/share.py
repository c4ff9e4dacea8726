"""Where the package's shared files are: a source checkout, or an installation."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from seg_ros.errors import SegRosError


def share_file(name: str) -> Path:
    """Find a file of the package's share folder, such as ``config/fastdds.xml``.

    Raises:
        SegRosError: it is not there.

    """
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    folders = [Path(__file__).resolve().parents[2]]
    folders += [Path(prefix) / "share" / "seg_ros" for prefix in prefixes if prefix]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise SegRosError(f"{name} is in none of {', '.join(map(str, folders))}; install seg_ros again")
