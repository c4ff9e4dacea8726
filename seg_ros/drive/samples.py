"""A few frames that stand for a drive."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import Drive, DriveFrame
from seg_ros.errors import SegRosError
from seg_ros.support.choices import SYNTHETIC


def choose_frames(drive: Drive, count: int) -> list[NDArray[np.uint8]]:
    """Take frames spread evenly over a drive; those that cannot be decoded are passed over.

    Returns:
        At most ``count`` frames, (H, W, 3) uint8 BGR each.

    Raises:
        SegRosError: no frame can be decoded.

    """
    step = max(1, (drive.frame_count or 0) // count)
    frames = []
    for frame in _every(drive, step):
        try:
            frames.append(frame.decode())
        except SegRosError:
            continue
        if len(frames) == count:
            break
    if not frames:
        raise SegRosError(f"drive {drive.name} has no frame that can be decoded")
    return frames


def _every(drive: Drive, step: int) -> Iterator[DriveFrame]:
    if drive.name != SYNTHETIC:
        yield from (frame for frame in drive.frames() if frame.index % step == 0)
        return
    for index in range(0, drive.frame_count or 0, step):  # those between are not even rendered
        yield from drive.frames(index, index + 1)
