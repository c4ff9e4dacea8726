"""The procedural road scene as a drive."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import Drive, DriveFrame
from seg_ros.support.choices import SYNTHETIC


class SceneDrive(Drive):
    """The synthetic scene; its camera is known exactly."""

    def __init__(self) -> None:
        from seg_ros.synthetic import SyntheticDrive  # its renderer takes a while to load

        self.name = SYNTHETIC
        self._scene = SyntheticDrive()
        self.camera = self._scene.camera

    @property
    def frame_count(self) -> int:
        """See :class:`Drive`."""
        return len(self._scene)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[DriveFrame]:
        """See :class:`Drive`."""
        for index in range(len(self._scene))[start:stop]:
            frame = self._scene[index]
            yield DriveFrame(index, frame.stamp_ns, "camera", partial(_same, frame.image))


def _same(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image
