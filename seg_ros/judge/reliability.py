"""How far a network's confidence can be believed: whether what it is 90 % sure of is right in 90 %.

The expected calibration error of Guo et al., "On Calibration of Modern Neural Networks", ICML 2017:
pixels are sorted into bins by their confidence, and the distance between mean confidence and share
of right pixels is averaged over the bins, each weighted by its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.labels import UNLABELLED
from seg_ros.segment.paint import draw_text

BINS = 15
"""As in the paper."""
_LEVELS = 256
_SIDE, _MARGIN = 480, 64
_GAP, _BAR, _INK, _GREY = (120, 120, 240), (200, 150, 70), (40, 40, 40), (190, 190, 190)


def _zeros() -> NDArray[np.int64]:
    return np.zeros(_LEVELS, np.int64)


@dataclass(frozen=True)
class Reliability:
    """Labelled pixels, and those that are right, by confidence 0 to 255: (256,) int64 each."""

    pixels: NDArray[np.int64] = field(default_factory=_zeros)
    right: NDArray[np.int64] = field(default_factory=_zeros)

    def add(
        self,
        truth: NDArray[np.uint8],
        prediction: NDArray[np.uint8],
        confidence: NDArray[np.uint8],
    ) -> None:
        """Count an image: three (H, W) uint8; pixels whose truth is 255 are left out."""
        known = truth != UNLABELLED
        levels = confidence[known]
        self.pixels[:] += np.bincount(levels, minlength=_LEVELS)
        good = truth[known] == prediction[known]
        self.right[:] += np.bincount(levels[good], minlength=_LEVELS)

    def bins(self) -> NDArray[np.float64]:
        """Return (BINS, 3): share of all pixels, mean confidence, share of right; NaN: none."""
        level = np.arange(_LEVELS)
        place = np.minimum(level * BINS // (_LEVELS - 1), BINS - 1)
        pixels, right = (np.bincount(place, c, BINS) for c in (self.pixels, self.right))
        sure = np.bincount(place, self.pixels * level / (_LEVELS - 1), BINS)
        with np.errstate(invalid="ignore"):
            return np.stack([pixels / max(self.pixels.sum(), 1), sure / pixels, right / pixels], 1)

    @property
    def expected_error(self) -> float:
        """Expected calibration error, 0 to 1; NaN without a pixel."""
        if not self.pixels.sum():
            return float("nan")
        share, sure, right = self.bins().T
        return float(np.nansum(share * np.abs(sure - right)))

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON has them: null where a bin is empty."""
        names = ("share", "confidence", "accuracy")
        rows = [
            {n: None if np.isnan(v) else float(v) for n, v in zip(names, row, strict=True)}
            for row in self.bins()
        ]
        error = self.expected_error
        return {"expected_calibration_error": None if np.isnan(error) else error, "bins": rows}


def reliability_picture(found: Reliability) -> NDArray[np.uint8]:
    """Draw the reliability diagram: share of right pixels over confidence, (H, W, 3) uint8 BGR.

    Bars are blue, what they miss to the diagonal red; the grey bars below are shares of the pixels.
    """
    side, margin = _SIDE, _MARGIN
    below = 90
    picture = np.full((side + 2 * margin + below, side + 2 * margin, 3), 255, np.uint8)
    foot = margin + side

    def at(x: float, y: float) -> tuple[int, int]:
        return margin + round(x * side), foot - round(y * side)

    for number, (share, sure, right) in enumerate(found.bins()):
        left, end = number / BINS, (number + 1) / BINS
        if np.isnan(right):
            continue
        low, high = sorted((sure, right))
        cv2.rectangle(picture, at(left, 0), at(end, right), _BAR, -1)
        cv2.rectangle(picture, at(left, low), at(end, high), _GAP, -1)
        cv2.rectangle(picture, at(left, 0), at(end, max(sure, right)), (255, 255, 255), 1)
        height = round(share * (below - 20))
        corner = (at(left, 0)[0] + 1, picture.shape[0] - 12 - height)
        cv2.rectangle(picture, corner, (at(end, 0)[0] - 1, picture.shape[0] - 12), _GREY, -1)
    cv2.line(picture, at(0, 0), at(1, 1), _INK, 1, cv2.LINE_AA)
    cv2.rectangle(picture, at(0, 0), at(1, 1), _INK, 1)
    for tick in (0.0, 0.5, 1.0):
        draw_text(picture, f"{tick:.0%}", (margin - 56, at(0, tick)[1] + 5), _INK)
        draw_text(picture, f"{tick:.0%}", (at(tick, 0)[0] - 16, foot + 20), _INK)
    error = found.expected_error
    draw_text(picture, f"right, by confidence; calibration error {error:.3f}", (margin, 30), _INK)
    draw_text(picture, "share of the pixels", (margin, foot + 44), _INK)
    return picture
