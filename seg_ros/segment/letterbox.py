"""A frame in a network's input with its proportions kept, grey bars beside it.

As Ultralytics' ``LetterBox`` does: the frame is scaled to fit, its sides rounded to whole pixels,
and centred; of an odd number of pixels left the larger half is below and to the right. The bars are
of the grey 114.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.segment.upsample import Part

GREY = 114


class Box(NamedTuple):
    """Where a frame lies in an input, pixels."""

    top: int
    left: int
    height: int
    width: int

    def part_of(self, logits: tuple[int, int], size: tuple[int, int]) -> Part:
        """Return which part of (h, w) logits it covers, of an input of (H, W) ``size``."""
        down, across = logits[0] / size[0], logits[1] / size[1]
        return Part(self.top * down, self.left * across, self.height * down, self.width * across)


def box_of(frame: tuple[int, int], size: tuple[int, int]) -> Box:
    """Return where an (H, W) ``frame`` lies in an input of (H, W) ``size``."""
    scale = min(size[0] / frame[0], size[1] / frame[1])
    height, width = (max(round(side * scale), 1) for side in frame)
    over = ((size[0] - height) / 2, (size[1] - width) / 2)
    return Box(round(over[0] - 0.1), round(over[1] - 0.1), height, width)


def put_into(frame: NDArray[np.uint8], image: NDArray[np.uint8], box: Box) -> None:
    """Write a frame into its box of a network's input; the bars are left as they are.

    Args:
        frame: (H, W, 3) uint8 BGR.
        image: (H, W, 3) uint8 BGR of the network's input size; written into.
        box: of the frame.

    """
    inside = image[box.top : box.top + box.height, box.left : box.left + box.width]
    if frame.shape[:2] == inside.shape[:2]:
        np.copyto(inside, frame)
    else:
        cv2.resize(frame, (box.width, box.height), dst=inside, interpolation=cv2.INTER_LINEAR)
