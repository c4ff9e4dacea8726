"""Frames that stand for a drive are spread over it."""

import numpy as np
import pytest

from seg_ros.drive.samples import choose_frames
from seg_ros.errors import SegRosError


class Recorded:
    """A drive of numbered frames, some of them damaged."""

    name = "recorded"

    def __init__(self, count, damaged=()):
        self.frame_count, self.damaged = count, damaged

    def frames(self):
        for index in range(self.frame_count):
            yield Numbered(index, index in self.damaged)


class Numbered:
    def __init__(self, index, damaged):
        self.index, self.damaged = index, damaged

    def decode(self):
        if self.damaged:
            raise SegRosError("damaged")
        return np.full((2, 2, 3), self.index, np.uint8)


def test_frames_are_taken_from_all_over_the_drive():
    chosen = choose_frames(Recorded(100, damaged=(24,)), 8)
    assert [int(f[0, 0, 0]) for f in chosen] == [0, 12, 36, 48, 60, 72, 84, 96]
    assert [int(f[0, 0, 0]) for f in choose_frames(Recorded(3), 8)] == [0, 1, 2]
    with pytest.raises(SegRosError, match="drive recorded has no frame that can be decoded"):
        choose_frames(Recorded(2, damaged=(0, 1)), 8)
