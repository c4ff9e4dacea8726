"""Exact full-resolution class decision from low-resolution logits.

A segmentation network answers at a fraction of the frame's size (SegFormer: a quarter). The class
mask at frame size is the argmax of the bilinearly upsampled logits. Upsampling every class at every
pixel is most of the cost and almost all of it is wasted: where the four logits around a pixel have
the same winner, so has every pixel between them, because a convex combination keeps the order. So
only the cells in which the corners disagree are interpolated, and there only the classes that can
win.

This is exact in floating point too. Rounding is monotone, so a class that is at least as large at
all corners is at least as large between them; but two classes that differ at the corners can round
to the same value, and argmax then takes the lower id. A cell therefore counts as decided only if
its winner beats every class of a lower id by more than the rounding can take away.

Interpolation follows ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)``:
half-pixel centres, float32 weights, edge values repeated. Ties go to the lowest class id.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from seg_ros.support.bands import run_in_bands

# Each of the three rounded sums of an interpolated value is off by at most 2**-24 of the largest
# logit, for either of the two values compared; this is over twice their total.
_ROUNDING = np.float32(2.0**-20)

# exp(-10) per left-out class: under half a count of 255 for any bundled label set.
_NEGLIGIBLE = np.float32(10.0)


class _Axis(NamedTuple):
    """How one axis is upsampled: per output index its two inputs and their weights."""

    low: NDArray[np.int32]
    high: NDArray[np.int32]
    weight_low: NDArray[np.float32]
    weight_high: NDArray[np.float32]
    runs: NDArray[np.int32]
    """Where each run of outputs between the same two inputs starts, and the end of the last."""


class Part(NamedTuple):
    """The part of the logits that a frame covers, in pixels of the logits, not necessarily whole.

    What lies beyond it is no part of the frame, but is interpolated with where it is next to it.
    """

    top: float
    left: float
    height: float
    width: float


@lru_cache(maxsize=32)
def _axis(inputs: int, outputs: int, start: float = 0.0, length: float = 0.0) -> _Axis:
    scale = np.float32(length or inputs) / np.float32(outputs)
    centre = (np.arange(outputs, dtype=np.float32) + np.float32(0.5)) * scale
    centre += np.float32(start - 0.5)
    centre = np.maximum(centre, np.float32(0.0))
    low = np.minimum(centre.astype(np.int32), inputs - 1)
    weight_high = np.clip(centre - low.astype(np.float32), 0, 1).astype(np.float32)
    starts = np.flatnonzero(np.diff(low, prepend=-1)).astype(np.int32)
    return _Axis(
        low,
        np.minimum(low + 1, inputs - 1).astype(np.int32),
        (np.float32(1.0) - weight_high).astype(np.float32),
        weight_high,
        np.append(starts, np.int32(outputs)).astype(np.int32),
    )


def argmax_upsampled(
    logits: NDArray[np.float32],
    size: tuple[int, int],
    out: NDArray[np.uint8] | None = None,
    part: Part | None = None,
) -> NDArray[np.uint8]:
    """Class of every pixel at ``size``: upsample the logits bilinearly, take the argmax, exactly.

    Args:
        logits: (C, h, w) float32, finite, 1 <= C <= 255.
        size: (H, W) of the class mask in pixels, any size.
        out: (H, W) uint8 to write into, C-contiguous; allocated when absent.
        part: of the logits that the mask is of; all of them by default.

    Returns:
        (H, W) uint8 class ids; ties go to the lowest id.

    Raises:
        ValueError: an argument has another shape or dtype.

    """
    mask = _check(logits, size, out)
    rows, cols = _axes(logits, size, part)
    winners, margin = _winners(logits)
    kernel = partial(_argmax_rows, logits, winners, margin, rows, cols, mask)
    run_in_bands(kernel, len(rows.runs) - 1)
    return mask


def confidence_upsampled(
    logits: NDArray[np.float32],
    size: tuple[int, int],
    out: NDArray[np.uint8] | None = None,
    part: Part | None = None,
) -> NDArray[np.uint8]:
    """Softmax probability of the winning class of every pixel at ``size``, times 255, rounded.

    The probability of the bilinearly upsampled logits, to within one count of 255. Arguments and
    errors as for :func:`argmax_upsampled`.
    """
    confidence = _check(logits, size, out)
    rows, cols = _axes(logits, size, part)
    winners, _ = _winners(logits)
    kernel = partial(_confidence_rows, logits, winners, rows, cols, confidence)
    run_in_bands(kernel, len(rows.runs) - 1)
    return confidence


def mean_confidence(logits: NDArray[np.float32], part: Part | None = None) -> float:
    """Mean over all pixels of the softmax probability of the winning class, 0 to 1.

    Of the logits as they are, (C, h, w) float32, those that a part touches; correct to 0.001.
    """
    if part is not None:
        rows = slice(int(part.top), math.ceil(part.top + part.height))
        columns = slice(int(part.left), math.ceil(part.left + part.width))
        logits = np.ascontiguousarray(logits[:, rows, columns])
    return float(_sum_confidence(logits) / (logits.shape[1] * logits.shape[2]))


def _axes(
    logits: NDArray[np.float32], size: tuple[int, int], part: Part | None
) -> tuple[_Axis, _Axis]:
    _, height, width = logits.shape
    if part is None:
        return _axis(height, size[0]), _axis(width, size[1])
    return (
        _axis(height, size[0], part.top, part.height),
        _axis(width, size[1], part.left, part.width),
    )


def _check(
    logits: NDArray[np.float32], size: tuple[int, int], out: NDArray[np.uint8] | None
) -> NDArray[np.uint8]:
    if logits.ndim != 3 or logits.dtype != np.float32 or 0 in logits.shape:
        raise ValueError(f"logits must be (C, h, w) float32, not {logits.shape} {logits.dtype}")
    if logits.shape[0] > 255:
        raise ValueError(f"{logits.shape[0]} classes do not fit a uint8 class mask (255 at most)")
    if min(size) < 1:
        raise ValueError(f"size {size} must be positive")
    if out is None:
        return np.empty(size, np.uint8)
    if out.shape != tuple(size) or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise ValueError(f"out must be contiguous {size} uint8, not {out.shape} {out.dtype}")
    return out


@njit(nogil=True, cache=True)
def _winners(logits):  # type: ignore[no-untyped-def]
    """Winner of each low-resolution pixel, or -1 - winner where rounding could undo the win."""
    classes, height, width = logits.shape
    largest = np.float32(0.0)
    for value in logits.flat:
        largest = max(largest, abs(value))
    margin = largest * _ROUNDING
    winners = np.empty((height, width), np.int32)
    for y in range(height):
        for x in range(width):
            winner = 0
            best = logits[0, y, x]
            below = np.float32(-np.inf)  # largest logit among the lower ids
            for k in range(1, classes):
                value = logits[k, y, x]
                if value > best:
                    below = best
                    best = value
                    winner = k
            winners[y, x] = winner if best - below > margin else -1 - winner
    return winners, margin


@njit(nogil=True, cache=True)
def _contenders(logits, winners, margin, y0, y1, x0, x1, found):  # type: ignore[no-untyped-def]
    """Write the classes that may win between four corners to ``found``, ascending; return how many.

    A class is out when a corner's winner beats it by more than ``margin`` at all four corners.
    """
    count = 0
    for k in range(logits.shape[0]):
        k00, k01 = logits[k, y0, x0], logits[k, y0, x1]
        k10, k11 = logits[k, y1, x0], logits[k, y1, x1]
        beaten = False
        for corner in range(4):
            y = y0 if corner < 2 else y1
            x = x0 if corner % 2 == 0 else x1
            w = winners[y, x]
            if w < 0:
                w = -1 - w
            if (
                logits[w, y0, x0] - k00 > margin
                and logits[w, y0, x1] - k01 > margin
                and logits[w, y1, x0] - k10 > margin
                and logits[w, y1, x1] - k11 > margin
            ):
                beaten = True
                break
        if not beaten:
            found[count] = k
            count += 1
    return count


@njit(nogil=True, cache=True)
def _blend_columns(logits, found, count, y, x0, x1, cols, first, last, blended):  # type: ignore[no-untyped-def]
    """Interpolate row ``y`` of the contenders along x for output columns first to last."""
    for i in range(count):
        left, right = logits[found[i], y, x0], logits[found[i], y, x1]
        for x in range(first, last):
            blended[i, x - first] = cols.weight_low[x] * left + cols.weight_high[x] * right


@njit(nogil=True, cache=True)
def _argmax_rows(logits, winners, margin, rows, cols, mask, first_run, last_run):  # type: ignore[no-untyped-def]
    found = np.empty(logits.shape[0], np.int32)
    top = np.empty((logits.shape[0], mask.shape[1]), np.float32)
    bottom = np.empty_like(top)
    for run in range(first_run, last_run):
        r0, r1 = rows.runs[run], rows.runs[run + 1]
        y0, y1 = rows.low[r0], rows.high[r0]
        for cell in range(len(cols.runs) - 1):
            c0, c1 = cols.runs[cell], cols.runs[cell + 1]
            x0, x1 = cols.low[c0], cols.high[c0]
            winner = winners[y0, x0]
            if (
                winner >= 0
                and winner == winners[y0, x1]
                and winner == winners[y1, x0]
                and winner == winners[y1, x1]
            ):
                for r in range(r0, r1):
                    mask[r, c0:c1] = winner
                continue
            count = _contenders(logits, winners, margin, y0, y1, x0, x1, found)
            _blend_columns(logits, found, count, y0, x0, x1, cols, c0, c1, top)
            _blend_columns(logits, found, count, y1, x0, x1, cols, c0, c1, bottom)
            for r in range(r0, r1):
                weight_top, weight_bottom = rows.weight_low[r], rows.weight_high[r]
                for c in range(c1 - c0):
                    best = weight_top * top[0, c] + weight_bottom * bottom[0, c]
                    choice = found[0]
                    for i in range(1, count):
                        value = weight_top * top[i, c] + weight_bottom * bottom[i, c]
                        if value > best:
                            best = value
                            choice = found[i]
                    mask[r, c0 + c] = choice


@njit(nogil=True, cache=True)
def _exp(value):  # type: ignore[no-untyped-def]
    """exp(v) of v <= 0 as (1 + v/1024)**1024, off by 3e-4 at most.

    It is a handful of multiplications that the compiler vectorises.
    """
    term = max(np.float32(1.0) + value / np.float32(1024.0), np.float32(0.0))
    for _ in range(10):
        term *= term
    return term


@njit(nogil=True, cache=True)
def _confidence_rows(logits, winners, rows, cols, confidence, first_run, last_run):  # type: ignore[no-untyped-def]
    found = np.empty(logits.shape[0], np.int32)
    top = np.empty((logits.shape[0], confidence.shape[1]), np.float32)
    bottom = np.empty_like(top)
    best = np.empty(confidence.shape[1], np.float32)
    total = np.empty_like(best)
    for run in range(first_run, last_run):
        r0, r1 = rows.runs[run], rows.runs[run + 1]
        y0, y1 = rows.low[r0], rows.high[r0]
        for cell in range(len(cols.runs) - 1):
            c0, c1 = cols.runs[cell], cols.runs[cell + 1]
            x0, x1 = cols.low[c0], cols.high[c0]
            count = _contenders(logits, winners, _NEGLIGIBLE, y0, y1, x0, x1, found)
            if count == 1:
                for r in range(r0, r1):
                    confidence[r, c0:c1] = 255
                continue
            _blend_columns(logits, found, count, y0, x0, x1, cols, c0, c1, top)
            _blend_columns(logits, found, count, y1, x0, x1, cols, c0, c1, bottom)
            for r in range(r0, r1):
                weight_top, weight_bottom = rows.weight_low[r], rows.weight_high[r]
                best[: c1 - c0] = -np.inf
                for i in range(count):
                    for c in range(c1 - c0):
                        value = weight_top * top[i, c] + weight_bottom * bottom[i, c]
                        best[c] = max(best[c], value)
                total[: c1 - c0] = 0.0
                for i in range(count):
                    for c in range(c1 - c0):
                        value = weight_top * top[i, c] + weight_bottom * bottom[i, c]
                        total[c] += _exp(value - best[c])
                for c in range(c1 - c0):
                    probability = np.float32(255.0) / total[c] + np.float32(0.5)
                    confidence[r, c0 + c] = np.uint8(probability)


@njit(nogil=True, cache=True)
def _sum_confidence(logits):  # type: ignore[no-untyped-def]
    """Sum of the winners' probabilities."""
    classes, height, width = logits.shape
    best = np.empty(width, np.float32)
    total = np.empty(width, np.float32)
    confidence = 0.0
    for y in range(height):
        best[:] = logits[0, y]
        for k in range(1, classes):
            for x in range(width):
                best[x] = max(best[x], logits[k, y, x])
        total[:] = 0.0
        for k in range(classes):
            for x in range(width):
                total[x] += _exp(logits[k, y, x] - best[x])
        for x in range(width):
            confidence += np.float32(1.0) / total[x]
    return confidence
