"""A recorded drive as frames: a bag, a video, a folder of clips or images, the synthetic scene.

Frames come in order, each once. A frame's pixels are decoded when asked for, so a damaged frame is
an error of that frame alone and the drive goes on. ``bag.py`` reads a recording's messages,
``bag_drive.py`` makes frames of one camera's, the ``*_file.py`` know the file formats.
"""

from __future__ import annotations

from pathlib import Path

from seg_ros.drive.bag import is_bag
from seg_ros.drive.bag_drive import BagDrive
from seg_ros.drive.base import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    COMPRESSED_VIDEO,
    IMAGE,
    Drive,
    DriveFrame,
    RawMessage,
    RecordedTopic,
    refuse_rate,
)
from seg_ros.drive.folders import open_folder
from seg_ros.drive.pictures import PICTURES, FolderDrive, by_number, read_picture
from seg_ros.drive.read_ahead import read_ahead
from seg_ros.drive.scene import SceneDrive
from seg_ros.drive.video import VideoDrive
from seg_ros.errors import SegRosError
from seg_ros.support.choices import SYNTHETIC

__all__ = [
    "CAMERA_INFO",
    "COMPRESSED_IMAGE",
    "COMPRESSED_VIDEO",
    "IMAGE",
    "PICTURES",
    "Drive",
    "DriveFrame",
    "RawMessage",
    "RecordedTopic",
    "by_number",
    "open_drive",
    "read_ahead",
    "read_picture",
]


def open_drive(source: str, topic: str = "", fps: float = 0.0, calibrated: bool = False) -> Drive:
    """Open a drive.

    Args:
        source: ``synthetic``; a rosbag2 folder, or a single ``.mcap``, ``.db3`` or ROS 1 ``.bag``
            file; a video file, or a folder of clips; a folder of pictures, or a single one.
        topic: camera topic of a bag, or the part of the clips' names that tells their camera; may
            be empty when there is just one.
        fps: frames a second of what has no clock: pictures, raw H.264 and H.265; 0 for what the
            stream says.
        calibrated: whether a camera is given: pixels that are not square are then as it has them.

    Raises:
        SegRosError: nothing there, not a drive, several camera topics and none chosen, or a rate
            for what has a clock.

    """
    if source == SYNTHETIC:
        refuse_rate(source, fps)
        return SceneDrive()
    path = Path(source).expanduser()
    try:
        if not path.exists():
            raise SegRosError(
                f"drive {source} does not exist; give a bag, a video, a folder of clips or of "
                f"images, or '{SYNTHETIC}'"
            )
        if path.is_dir():
            return open_folder(path, topic, fps, calibrated)
        if is_bag(path):
            refuse_rate(source, fps)
            return BagDrive(path, topic)
        if topic:
            raise SegRosError(f"drive {source} is not a bag, so it has no topic {topic!r}")
        if path.suffix.lower() in PICTURES:
            return FolderDrive(path, fps)
        return VideoDrive(path, fps, calibrated)
    except OSError as error:
        raise SegRosError(f"cannot read {source}: {error.strerror or error}") from error
