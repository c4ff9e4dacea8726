"""KITTI raw: the OXTS files beside the pictures.

Geiger et al., "Vision meets Robotics: The KITTI Dataset", IJRR 2013, and ``dataformat.txt`` in its
folders. ``DRIVE/image_02/data/*.png`` has ``DRIVE/oxts/data/*.txt``, a file a packet of 30 numbers,
of which the 6th is the heading in rad (0 = east, positive to the left), the 9th the speed forward
in m/s and the 23rd the turning about the upward axis in rad/s. ``timestamps.txt`` beside either
``data`` has a line of local time for each file, to the nanosecond.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import Drive
from seg_ros.drive.pictures import FolderDrive, by_number
from seg_ros.drive.speed.track import SpeedTrack, checked_size, on_drive_clock, speed_track
from seg_ros.errors import SegRosError

_PACKETS = 200_000
_PACKET_BYTES = 4096
_YAW, _FORWARD, _UPWARD_RATE, _VALUES = 5, 8, 22, 25


def find(drive: Drive) -> Path | None:
    """Return the folder ``oxts`` of the drive that a folder of pictures is of."""
    if not isinstance(drive, FolderDrive):
        return None
    folder = Path(drive.name).expanduser().absolute()
    oxts = folder.parent.parent / "oxts"
    return oxts if folder.is_dir() and (oxts / "data").is_dir() else None


def read(path: Path, drive: Drive) -> SpeedTrack:
    """Read the speed of a folder of pictures.

    Raises:
        SegRosError: a packet or a time is none, or there is no time for each.
        OSError: it cannot be read.

    """
    files = sorted(path.joinpath("data").glob("*.txt"), key=by_number)
    if len(files) > _PACKETS:
        raise SegRosError(f"{path} has {len(files)} packets; at most {_PACKETS} are read")
    try:
        rows = [
            [float(v) for v in checked_size(file, _PACKET_BYTES).read_text("ascii").split()]
            for file in files
        ]
        packets = np.array([row[:_VALUES] for row in rows], np.float64).reshape(-1, _VALUES)
    except ValueError as error:
        raise SegRosError(f"{path}: a packet has not {_VALUES} numbers ({error})") from error
    pictures = Path(drive.name).expanduser().absolute()
    times = _times(path / "timestamps.txt", path / "data", ".txt")
    frames = _times(pictures.parent / "timestamps.txt", pictures, ".png")
    # Relative to the first picture: float64 does not hold nanoseconds since 1970.
    first = frames[0]
    stamps = on_drive_clock(drive, (frames - first) / 1e9, (times - first) / 1e9)
    columns = packets.T
    return speed_track(
        f"KITTI's OXTS, {len(files)} packets in {path}",
        stamps,
        columns[_FORWARD],
        yaw_rate=columns[_UPWARD_RATE],
        heading=columns[_YAW],
    )


def _times(path: Path, folder: Path, suffix: str) -> NDArray[np.int64]:
    """Nanoseconds of each file of a folder, whose names say which of the lines is theirs."""
    try:
        lines = checked_size(path).read_text(encoding="ascii").splitlines()
        times = [np.datetime64(line.strip().replace(" ", "T"), "ns") for line in lines]
        numbers = [int(f.stem) for f in sorted(folder.glob(f"*{suffix}"), key=by_number)]
        return np.array([times[number] for number in numbers], "datetime64[ns]").astype(np.int64)
    except (ValueError, IndexError) as error:
        raise SegRosError(f"{path} has no time for each file of {folder} ({error})") from error
