"""A folder of pictures as a drive, and how a picture file is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import CLOCKLESS_START, Drive, DriveFrame
from seg_ros.drive.image_size import JPEG, PNG, check_size, image_size
from seg_ros.drive.images import decode_compressed
from seg_ros.drive.messages import NANOSECONDS
from seg_ros.drive.orientation import orientation, turn_upright, without_orientation
from seg_ros.errors import SegRosError

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
"""Suffixes of picture files, in lower case."""

FOLDER_RATE = 10
"""Frames per second of a folder of pictures, where nobody says."""


class FolderDrive(Drive):
    """The pictures of a folder, in the order of the numbers in their names, or a single one.

    Args:
        path: the folder or the picture.
        fps: pictures a second, 0 for :data:`FOLDER_RATE`.

    """

    camera_problem = "a folder of images has no CameraInfo; --camera names a camera YAML"

    def __init__(self, path: Path, fps: float = 0.0) -> None:
        self.name = str(path)
        self.rate: Fraction = Fraction(fps or FOLDER_RATE).limit_denominator(100_000)
        there = path.iterdir() if path.is_dir() else [path]
        self._files = sorted(
            (f for f in there if f.suffix.lower() in PICTURES and not is_hidden(f)),
            key=by_number,
        )
        if not fps and len(self._files) > 1:
            self.notes = (
                f"pictures have no times: {FOLDER_RATE} a second are assumed, --fps says otherwise",
            )

    @property
    def frame_count(self) -> int:
        """See :class:`Drive`."""
        return len(self._files)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[DriveFrame]:
        """See :class:`Drive`."""
        for index in range(len(self._files))[start:stop]:
            stamp = CLOCKLESS_START + int(index * NANOSECONDS / self.rate)
            decode = partial(read_picture, self._files[index], upright=True)
            yield DriveFrame(index, stamp, "camera", decode)


@dataclass
class _Picture:
    """A picture file in the form of a CompressedImage."""

    format: str
    data: bytes


def read_picture(file: Path, upright: bool = False) -> NDArray[np.uint8]:
    """Read a picture file as (H, W, 3) uint8 BGR; of a TIFF file the first picture.

    Args:
        file: PNG, JPEG, BMP, TIFF or WebP, told by its bytes.
        upright: turned as its Exif data say, as whoever looks at it sees it. Label images beside it
            are of the pixels as they are stored.

    Raises:
        SegRosError: it cannot be read, or is damaged; the message names the file.

    """
    try:
        data = file.read_bytes()
        image = _decode(file, data)
        return turn_upright(image, orientation(data)) if upright else image
    except OSError as error:
        raise SegRosError(f"{file}: {error.strerror or error}") from error
    except SegRosError as error:
        raise SegRosError(f"{file}: {error}") from error


def _decode(file: Path, data: bytes) -> NDArray[np.uint8]:
    size = None if data.startswith((JPEG, PNG)) else image_size(data)
    if size is None:
        return decode_compressed(_Picture(file.suffix, data))
    check_size(*size)
    # Turned by turn_upright alone: which formats OpenCV turns depends on its version.
    array = np.frombuffer(without_orientation(data), np.uint8)
    try:
        if data.startswith((b"II", b"MM")):
            depth = getattr(cv2.imdecode(array, cv2.IMREAD_UNCHANGED), "dtype", np.dtype(np.uint8))
            if depth not in (np.uint8, np.uint16):
                raise SegRosError(f"TIFF picture of {depth} values; only 8 and 16 bits are read")
        image = cv2.imdecode(array, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise SegRosError(f"cannot be decoded: {' '.join(str(error).split())}") from error
    if image is None:
        raise SegRosError(f"picture of {len(data)} bytes is damaged, cut off or of an unusual kind")
    return np.asarray(image, np.uint8)


def is_hidden(file: Path) -> bool:
    """Whether a file is one that systems and editors leave behind: ``._frame.png``, ``.thumb``."""
    return file.name.startswith(".")


def by_number(file: Path) -> list[tuple[int, str]]:
    """Sort key by which frame_2 comes before frame_10."""
    parts = re.findall(r"\d+|\D+", file.name)
    return [(int(p), "") if p.isdigit() else (-1, p) for p in parts]
