"""comma2k19: the arrays beside a segment's ``video.hevc``.

Schafer et al., "A Commute in Data: The comma2k19 Dataset", arXiv:1812.05752; its layout is in the
README of commaai/comma2k19. NumPy files without a suffix: ``global_pose/frame_times`` (F,) when
each frame was taken, ``processed_log/CAN/speed/t`` (N,) and ``value`` (N, 1), all times in seconds
since the phone started, speeds in m/s. Where the car's bus was not read, the length of
``global_pose/frame_velocities`` (F, 3), m/s in ECEF.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import Drive
from seg_ros.drive.speed.track import SpeedTrack, checked_size, on_drive_clock, speed_track
from seg_ros.errors import SegRosError

_TIMES, _VELOCITIES = "global_pose/frame_times", "global_pose/frame_velocities"
_BUS = "processed_log/CAN/speed"


def find(drive: Drive) -> Path | None:
    """Return the segment's folder that a video lies in."""
    video = Path(drive.name).expanduser()
    folder = video.absolute().parent
    return folder if video.is_file() and (folder / _TIMES).is_file() else None


def read(path: Path, drive: Drive) -> SpeedTrack:
    """Read the speed of a segment.

    Raises:
        SegRosError: an array is none, or of another shape.
        OSError: one that is needed cannot be read.

    """
    frames = _array(path / _TIMES).ravel()
    if len(frames) < 2 or not (np.diff(frames) > 0).all():
        raise SegRosError(f"{path / _TIMES} has not the rising times of two frames or more")
    if (path / _BUS / "t").is_file():
        times, speed = _array(path / _BUS / "t").ravel(), _array(path / _BUS / "value").ravel()
        source = f"comma2k19's {_BUS}"
    else:
        times, velocities = frames, _array(path / _VELOCITIES)
        if velocities.shape != (len(frames), 3):
            raise SegRosError(f"{path / _VELOCITIES} is {velocities.shape}, not a row a frame")
        speed, source = np.linalg.norm(velocities, axis=1), f"comma2k19's {_VELOCITIES}"
    if len(times) != len(speed):
        raise SegRosError(f"{path / _BUS} has {len(times)} times for {len(speed)} values")
    return speed_track(source, on_drive_clock(drive, frames, times), speed)


def _array(path: Path) -> NDArray[np.float64]:
    try:
        return np.asarray(np.load(checked_size(path), allow_pickle=False), np.float64)
    except (ValueError, EOFError) as error:
        raise SegRosError(f"{path} is no array of numbers ({error})") from error
