"""Pictures of what the network said: class colours, overlays, grids and contact sheets."""

from __future__ import annotations

from functools import lru_cache, partial

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from seg_ros.ground.grid_spec import FREE, OCCUPIED, UNKNOWN, GridSpec
from seg_ros.labels import UNLABELLED, ClassLabel, LabelSet
from seg_ros.support.bands import run_in_bands

_OUTSIDE_BGR = (40, 40, 40)
_VEHICLE = (-1.0, 3.6, 0.9)
"""Rear, front and half width in ``base_link`` of the car that is drawn: it is there for scale."""

_CELL_BGR = {FREE: (96, 160, 64), OCCUPIED: (48, 48, 200), UNKNOWN: (70, 70, 70)}
_RIGHT_BGR, _WRONG_BGR, _INK = (60, 130, 30), (40, 40, 220), (30, 30, 30)
FONT = 0.42
_LINE = 22
_SWATCH = 14


def colorize(
    class_mask: NDArray[np.uint8], labels: LabelSet, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Colour every pixel by its class.

    Args:
        class_mask: (H, W) uint8.
        labels: whose colours to take.
        out: (H, W, 3) uint8 to write into; allocated when absent.

    Returns:
        (H, W, 3) uint8 BGR.

    """
    result = np.empty((*class_mask.shape, 3), np.uint8) if out is None else out
    paint = partial(_paint_rows, class_mask, labels.palette_bgr, result)
    run_in_bands(paint, class_mask.shape[0])
    return result


def overlay(
    frame: NDArray[np.uint8],
    class_mask: NDArray[np.uint8],
    labels: LabelSet,
    opacity: float,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Blend the class colours over a frame; pixels without a class keep the frame's colour.

    Args:
        frame: (H, W, 3) uint8 BGR.
        class_mask: (H, W) uint8.
        labels: whose colours to take.
        opacity: of the colours, 0 to 1, kept to 1/256.
        out: (H, W, 3) uint8 to write into; allocated when absent.

    Returns:
        (H, W, 3) uint8 BGR, each value within one of the real-valued blend.

    """
    result = np.empty(frame.shape, np.uint8) if out is None else out
    height, width = class_mask.shape
    weight, tint = _tint(labels, round(opacity * 256), width)
    # Rows as bytes: colours then need no loop of their own and the blend is one the CPU vectorises.
    rows, out_rows = frame.reshape(height, -1), result.reshape(height, -1)
    run_in_bands(partial(_blend_rows, rows, class_mask, weight, tint, out_rows), height)
    return result


@lru_cache(maxsize=8)
def _tint(
    labels: LabelSet, opacity_256: int, width: int
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Per class id: weight of the frame (of 256), and a row of its colour times its own weight."""
    weight = np.full(256, 256, np.uint16)
    weight[: len(labels)] = 256 - opacity_256
    # + 128 rounds to the nearest in the blend's division by 256.
    tint = labels.palette_bgr.astype(np.uint16) * (256 - weight)[:, None] + np.uint16(128)
    return weight, np.tile(tint.astype(np.uint16), width)


@njit(nogil=True, cache=True)
def _blend_rows(frame, mask, weight, tint, out, first, last):  # type: ignore[no-untyped-def]
    """Blend row by row, a run of equal classes at a time."""
    width = mask.shape[1]
    for y in range(first, last):
        begin = 0
        while begin < width:
            k = mask[y, begin]
            end = begin + 1
            while end < width and mask[y, end] == k:
                end += 1
            w = weight[k]
            # Slices of their own: only then does the compiler vectorise the loop.
            source, color = frame[y, 3 * begin : 3 * end], tint[k, 3 * begin : 3 * end]
            target = out[y, 3 * begin : 3 * end]
            for i in range(len(target)):
                target[i] = np.uint8((np.uint16(source[i]) * w + color[i]) >> 8)
            begin = end


@njit(nogil=True, cache=True)
def _paint_rows(mask, palette, out, first, last):  # type: ignore[no-untyped-def]
    for y in range(first, last):
        for x in range(mask.shape[1]):
            for channel in range(3):
                out[y, x, channel] = palette[mask[y, x], channel]


def grid_picture(
    cells: NDArray[np.int8] | None, spec: GridSpec, height: int, note: str = ""
) -> NDArray[np.uint8]:
    """Draw a vehicle's grid from above, the vehicle looking up, with a ring every 10 m.

    Args:
        cells: (rows, columns) int8 states of :mod:`seg_ros.ground.grid_spec`; None without a grid.
        spec: where the cells are in ``base_link``.
        height: of the picture in pixels.
        note: a line to write at its foot.

    Returns:
        (height, W, 3) uint8 BGR with W by the grid's proportions and what the vehicle takes.

    """
    rear, front, half_width = _VEHICLE
    x_min = min(spec.x_min, rear - 0.5)
    scale = height / (max(spec.x_max, front) - x_min)
    width = max(1, round((spec.y_max - spec.y_min) * scale))
    picture = np.full((height, width, 3), _OUTSIDE_BGR, np.uint8)

    def at(x: float, y: float) -> tuple[int, int]:
        return round((spec.y_max - y) * scale), round(height - (x - x_min) * scale)

    (left, top), (right, bottom) = at(spec.x_max, spec.y_max), at(spec.x_min, spec.y_min)
    grid = picture[max(top, 0) : bottom, left:right]
    grid[:] = _CELL_BGR[UNKNOWN]
    if cells is not None:
        colors = np.array([_CELL_BGR[FREE], _CELL_BGR[OCCUPIED], _CELL_BGR[UNKNOWN]], np.uint8)
        # Up is forward (columns, last first), left is left (rows, last first).
        image = colors[cells].transpose(1, 0, 2)[::-1, ::-1]
        grid[:] = cv2.resize(image, grid.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    for metres in range(10, int(spec.x_max) + 1, 10):
        cv2.circle(picture, at(0, 0), round(metres * scale), (190, 190, 190), 1, cv2.LINE_AA)
        x, y = at(metres, 0)
        _write(picture, f"{metres} m", (x + 4, y + 14))
    nose = (front - 1.0, front)
    outline = [
        at(rear, half_width),
        at(nose[0], half_width),
        at(nose[1], 0.0),
        at(nose[0], -half_width),
        at(rear, -half_width),
    ]
    cv2.polylines(picture, [np.array(outline, np.int32)], True, (255, 255, 255), 1, cv2.LINE_AA)
    if note:
        _write(picture, note, (6, height - 8))
    return picture


def contact_sheet(
    rows: list[list[tuple[str, NDArray[np.uint8]]]], row_height: int = 240
) -> NDArray[np.uint8]:
    """Put captioned pictures side by side in rows of one height.

    Args:
        rows: per row its (caption, (H, W, 3) uint8 BGR picture) pairs, at least one in all.
        row_height: height of every picture in pixels.

    Returns:
        (H, W, 3) uint8 BGR.

    """
    strips = []
    for row in rows:
        tiles = []
        for caption, picture in row:
            width = max(1, round(picture.shape[1] * row_height / picture.shape[0]))
            tile = np.asarray(
                cv2.resize(picture, (width, row_height), interpolation=cv2.INTER_AREA), np.uint8
            )
            _write(tile, caption, (6, 16))
            tiles.append(cv2.copyMakeBorder(tile, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(24,) * 3))
        strips.append(np.hstack(tiles))
    widest = max(strip.shape[1] for strip in strips)
    return np.vstack(
        [
            cv2.copyMakeBorder(
                s, 0, 0, 0, widest - s.shape[1], cv2.BORDER_CONSTANT, value=(24,) * 3
            )
            for s in strips
        ]
    )


def difference(
    frame: NDArray[np.uint8], truth: NDArray[np.uint8], prediction: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Show where a prediction is wrong, red on a grey frame; what has no class is nearly black.

    Args:
        frame: (H', W', 3) uint8 BGR of any size; it is stretched to that of the masks.
        truth: (H, W) uint8, 255 = no class.
        prediction: (H, W) uint8.

    Returns:
        (H, W, 3) uint8 BGR.

    """
    height, width = truth.shape
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    picture = np.repeat(grey[:, :, None] // 2 + 40, 3, axis=2)
    picture[truth == UNLABELLED] //= 4
    picture[(truth != UNLABELLED) & (truth != prediction)] = _WRONG_BGR
    return np.asarray(picture, np.uint8)


def legend(labels: LabelSet, width: int) -> NDArray[np.uint8]:
    """Write the names of the classes beside their colours, in as many lines as they need.

    Returns:
        (H, width, 3) uint8 BGR.

    """
    step = _SWATCH + max(text_width(label.name) for label in labels.classes) + 24
    columns = max(1, (width - 8) // step)
    lines = -(-len(labels) // columns)
    picture = np.full((lines * _LINE + 8, width, 3), 24, np.uint8)
    for i, label in enumerate(labels.classes):
        x, y = 8 + i % columns * step, 4 + i // columns * _LINE
        _swatch(picture, (x, y + 3), label)
        _write(picture, label.name, (x + _SWATCH + 6, y + 15))
    return picture


def confusion_picture(
    confusion: NDArray[np.int64], labels: LabelSet, class_iou: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Draw a confusion matrix: per true class (row) how its pixels were classified (column).

    Cells say per cent of their row, green on the diagonal and red beside it, the stronger the
    more; what rounds to 0 is not written. Rows of classes without a pixel are grey. At the right
    stand the class's IoU and its share of all pixels.

    Args:
        confusion: (C, C) int64, rows the true class, columns the predicted one.
        labels: the C classes.
        class_iou: (C,) float64, NaN where there is none.

    Returns:
        (H, W, 3) uint8 BGR.

    """
    count = len(labels)
    cell = max(26, min(44, 2400 // count))
    names = _SWATCH + 24 + max(text_width(label.name) for label in labels.classes)
    left, top = names, names + 2 * _LINE
    size = (top + count * cell + 12, max(left + count * cell + 130, 560), 3)
    picture = np.full(size, 255, np.uint8)
    strip = np.full((count * cell, names, 3), 255, np.uint8)
    for i, label in enumerate(labels.classes):
        middle = i * cell + cell // 2
        _swatch(strip, (8, middle - _SWATCH // 2), label)
        draw_text(strip, label.name, (_SWATCH + 16, middle + 5), _INK)
    picture[top : top + count * cell, :left] = strip
    # Turned to the left, what was the top of the strip is the left, and its names start below.
    turned = np.rot90(strip)
    picture[top - names : top, left : left + count * cell] = turned
    draw_text(picture, "rows: true class   columns: predicted class", (8, 20), _INK)
    draw_text(picture, "% of the true class's pixels", (8, 20 + _LINE), _INK)
    right = left + count * cell + 14
    draw_text(picture, "IoU", (right, top - 10), _INK)
    draw_text(picture, "pixels", (right + 52, top - 10), _INK)
    totals = confusion.sum(axis=1)
    for row in range(count):
        share = confusion[row] / totals[row] if totals[row] else None
        for column in range(count):
            _confusion_cell(
                picture,
                (left + column * cell, top + row * cell, cell),
                None if share is None else float(share[column]),
                row == column,
            )
        y = top + row * cell + cell // 2 + 5
        iou = "-" if np.isnan(class_iou[row]) else f"{class_iou[row]:.3f}"
        draw_text(picture, iou, (right, y), _INK)
        draw_text(picture, f"{totals[row] / max(totals.sum(), 1):.1%}", (right + 52, y), _INK)
    return picture


def _confusion_cell(
    picture: NDArray[np.uint8], where: tuple[int, int, int], share: float | None, right: bool
) -> None:
    x, y, size = where
    inner = picture[y : y + size - 1, x : x + size - 1]
    if share is None:
        inner[:] = 228
        return
    # The root: confusions of a few per cent are what a reader looks for.
    strength = share**0.5
    full = np.array(_RIGHT_BGR if right else _WRONG_BGR)
    inner[:] = np.rint(245 + (full - 245) * strength)
    text = f"{share * 100:.0f}"
    if text != "0":
        ink = (255, 255, 255) if strength > 0.6 else _INK
        draw_text(picture, text, (x + (size - text_width(text)) // 2, y + size // 2 + 5), ink)


def _swatch(picture: NDArray[np.uint8], at: tuple[int, int], label: ClassLabel) -> None:
    x, y = at
    picture[y : y + _SWATCH, x : x + _SWATCH] = 128
    picture[y + 1 : y + _SWATCH - 1, x + 1 : x + _SWATCH - 1] = label.color[::-1]


def _write(picture: NDArray[np.uint8], text: str, at: tuple[int, int]) -> None:
    """Write white on a black shadow, to be read on anything."""
    x, y = at
    draw_text(picture, text, (x + 1, y + 1), (0, 0, 0))
    draw_text(picture, text, at, (255, 255, 255))


def draw_text(
    picture: NDArray[np.uint8],
    text: str,
    at: tuple[int, int],
    color: tuple[int, int, int],
    font: float = FONT,
) -> None:
    """Write white or coloured text whose first letter stands at (x, y), into the picture."""
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, font, color, 1, cv2.LINE_AA)


def text_width(text: str, font: float = FONT) -> int:
    """Pixels that text takes, from its left to its right."""
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, font, 1)
    return int(width)
