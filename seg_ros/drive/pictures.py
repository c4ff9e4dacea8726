"""A folder of PNG and JPEG images as a drive, and how a picture file is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import CLOCKLESS_START, Drive, DriveFrame
from seg_ros.drive.images import decode_compressed
from seg_ros.drive.messages import NANOSECONDS
from seg_ros.errors import SegRosError

PICTURES = {".png", ".jpg", ".jpeg"}
"""Suffixes of picture files, in lower case."""

FOLDER_RATE = 10
"""Frames per second of a folder of images."""


class FolderDrive(Drive):
    """The images of a folder, in the order of the numbers in their names, ten a second."""

    camera_problem = "a folder of images has no CameraInfo; --camera names a camera YAML"

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._files = sorted(
            (f for f in path.iterdir() if f.suffix.lower() in PICTURES), key=by_number
        )
        if not self._files:
            raise SegRosError(
                f"{path} has neither a bag (metadata.yaml, .mcap or .db3) nor PNG or JPEG images"
            )

    @property
    def frame_count(self) -> int:
        """See :class:`Drive`."""
        return len(self._files)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[DriveFrame]:
        """See :class:`Drive`."""
        for index in range(len(self._files))[start:stop]:
            stamp = CLOCKLESS_START + index * NANOSECONDS // FOLDER_RATE
            yield DriveFrame(index, stamp, "camera", partial(read_picture, self._files[index]))


@dataclass
class _Picture:
    """A picture file in the form of a CompressedImage."""

    format: str
    data: bytes


def read_picture(file: Path) -> NDArray[np.uint8]:
    """Read a PNG or JPEG file as (H, W, 3) uint8 BGR.

    Raises:
        SegRosError: it cannot be read, or is damaged; the message names the file.

    """
    try:
        return decode_compressed(_Picture(file.suffix, file.read_bytes()))
    except OSError as error:
        raise SegRosError(f"{file}: {error.strerror or error}") from error
    except SegRosError as error:
        raise SegRosError(f"{file}: {error}") from error


def by_number(file: Path) -> list[tuple[int, str]]:
    """Sort key by which frame_2 comes before frame_10."""
    parts = re.findall(r"\d+|\D+", file.name)
    return [(int(p), "") if p.isdigit() else (-1, p) for p in parts]
