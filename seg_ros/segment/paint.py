"""Pictures of what the network said: class colours, overlays, grids and contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from math import ceil, sqrt
from typing import Any

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
_MOSAIC_SIZE = (1080, 1920)
"""Largest height and width of a mosaic in pixels."""
_HEAT = cv2.COLORMAP_INFERNO
_FONT = 0.42
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


def attention_mosaic(
    frame: NDArray[np.uint8],
    shares: NDArray[np.float32],
    extent: tuple[float, float],
    names: Sequence[str],
    title: str,
    query: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """Show a frame among attention heads, each as a heat map over the grey frame.

    Every head has a scale of its own, from nothing to its strongest key; the scale stands over its
    picture. Eight heads surround the frame; with other numbers the frame comes first, and a place
    that is left over shows the mean of the heads. A single head fills the mosaic. Where there is no
    key the frame is merely dim.

    Args:
        frame: (H, W, 3) uint8 BGR.
        shares: (heads, h, w) float32, the part of a head's attention that each key gets.
        extent: rows and columns of keys that would cover the frame exactly.
        names: of the heads.
        title: what is shown.
        query: (x, y) pixel of the frame to mark, where the attention is that of one query.

    Returns:
        (H', W', 3) uint8 BGR within 1920x1080, both even.

    """
    rows, columns, frame_at = _mosaic_layout(len(shares))
    bar = min(36, _MOSAIC_SIZE[0] // (12 * rows)) // 2 * 2
    height, width = frame.shape[:2]
    scale = min((_MOSAIC_SIZE[0] / rows - bar) / height, _MOSAIC_SIZE[1] / columns / width)
    size = (max(2, int(width * scale) // 2 * 2), max(2, int(height * scale) // 2 * 2))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    shown = np.asarray(cv2.resize(frame, size, interpolation=method), np.uint8)
    grey = cv2.convertScaleAbs(cv2.cvtColor(shown, cv2.COLOR_BGR2GRAY), alpha=0.65)
    dim = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)

    named = list(zip(names, shares, strict=True))
    if rows * columns > len(named) + 1:
        named.append(("mean of the heads", shares.mean(axis=0)))
    tiles = []
    for name, share in named:
        strongest = float(share.max())
        picture = _heat(dim, share / max(strongest, 1e-12), extent)
        caption = name if len(shares) > 1 else f"{title}, {name}"
        tiles.append((picture, _mosaic_caption(caption, (bar, size[0]), strongest)))
    if len(shares) > 1:
        tiles.insert(frame_at, (shown, _mosaic_caption(title, (bar, size[0]))))
    mosaic = np.full((rows * (bar + size[1]), columns * size[0], 3), 24, np.uint8)
    for index, (picture, caption_bar) in enumerate(tiles):
        if query is not None:
            x, y = ((q + 0.5) * scale for q in query)
            _ring(picture, (int(x), int(y)))
        row, column = divmod(index, columns)
        top, left = row * (bar + size[1]), column * size[0]
        mosaic[top : top + bar, left : left + size[0]] = caption_bar
        # Two columns stay dark, between it and its neighbour.
        mosaic[top + bar : top + bar + size[1], left : left + size[0] - 2] = picture[:, :-2]
    return mosaic


def _mosaic_layout(heads: int) -> tuple[int, int, int]:
    """Rows, columns, and the place of the frame: in the middle if all around it is full."""
    if heads == 1:
        return 1, 1, 0
    columns = ceil(sqrt(heads + 1))
    rows = ceil((heads + 1) / columns)
    surrounded = rows * columns == heads + 1 and rows % 2 == columns % 2 == 1
    return rows, columns, (heads + 1) // 2 if surrounded else 0


def _heat(
    dim: NDArray[Any], strength: NDArray[np.float32], extent: tuple[float, float]
) -> NDArray[np.uint8]:
    """Paint a (h, w) map of 0 to 1 over a dim frame, the stronger the less the frame shows."""
    height, width = dim.shape[:2]
    rows, columns = strength.shape
    # Places of the pixels among the keys, whose centres are at whole numbers.
    y = (np.arange(height, dtype=np.float32) + 0.5) * (extent[0] / height) - 0.5
    x = (np.arange(width, dtype=np.float32) + 0.5) * (extent[1] / width) - 0.5
    at = (np.tile(x, (height, 1)), np.tile(y[:, None], (1, width)))
    heat = cv2.remap(strength, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    heat[y > rows - 0.5] = 0
    heat[:, x > columns - 0.5] = 0
    level = np.rint(heat * 255).astype(np.uint8)
    rest = cv2.multiply(dim, cv2.cvtColor(~level, cv2.COLOR_GRAY2BGR), scale=1 / 255)
    # Inferno begins with black, so it can be added.
    return np.asarray(cv2.add(rest, cv2.applyColorMap(level, _HEAT)), np.uint8)


def _mosaic_caption(
    text: str, size: tuple[int, int], strongest: float | None = None
) -> NDArray[np.uint8]:
    """Write a (height, width) bar: what is below it, and the scale up to its strongest value."""
    height, width = size
    bar = np.full((height, width, 3), 24, np.uint8)
    value = "" if strongest is None else f"{strongest:.1%}"
    scale = 0 if strongest is None else width // 6
    room = width - 40 - scale
    font = min(height * 0.02, _FONT * room / _text_width(f"{text} 0 {value}"))
    base = round(height * 0.68)
    _text(bar, text, (8, base), (255, 255, 255), font)
    if scale:
        end = width - 16 - _text_width(value, font)
        colors = cv2.applyColorMap(np.linspace(0, 255, scale).astype(np.uint8)[None], _HEAT)
        bar[height // 3 : height - height // 4, end - scale : end] = colors
        _text(bar, value, (end + 6, base), (255, 255, 255), font)
        zero = end - scale - 6 - _text_width("0", font)
        _text(bar, "0", (zero, base), (255, 255, 255), font)
    return bar


def _ring(picture: NDArray[np.uint8], at: tuple[int, int]) -> None:
    """Mark a place, to be seen on anything."""
    radius = max(5, picture.shape[0] // 40)
    for color, thickness in (((0, 0, 0), 4), ((255, 255, 255), 2)):
        cv2.circle(picture, at, radius, color, thickness, cv2.LINE_AA)


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
    step = _SWATCH + max(_text_width(label.name) for label in labels.classes) + 24
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
    names = _SWATCH + 24 + max(_text_width(label.name) for label in labels.classes)
    left, top = names, names + 2 * _LINE
    size = (top + count * cell + 12, max(left + count * cell + 130, 560), 3)
    picture = np.full(size, 255, np.uint8)
    strip = np.full((count * cell, names, 3), 255, np.uint8)
    for i, label in enumerate(labels.classes):
        middle = i * cell + cell // 2
        _swatch(strip, (8, middle - _SWATCH // 2), label)
        _text(strip, label.name, (_SWATCH + 16, middle + 5), _INK)
    picture[top : top + count * cell, :left] = strip
    # Turned to the left, what was the top of the strip is the left, and its names start below.
    turned = np.rot90(strip)
    picture[top - names : top, left : left + count * cell] = turned
    _text(picture, "rows: true class   columns: predicted class", (8, 20), _INK)
    _text(picture, "% of the true class's pixels", (8, 20 + _LINE), _INK)
    right = left + count * cell + 14
    _text(picture, "IoU", (right, top - 10), _INK)
    _text(picture, "pixels", (right + 52, top - 10), _INK)
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
        _text(picture, iou, (right, y), _INK)
        _text(picture, f"{totals[row] / max(totals.sum(), 1):.1%}", (right + 52, y), _INK)
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
        _text(picture, text, (x + (size - _text_width(text)) // 2, y + size // 2 + 5), ink)


def _swatch(picture: NDArray[np.uint8], at: tuple[int, int], label: ClassLabel) -> None:
    x, y = at
    picture[y : y + _SWATCH, x : x + _SWATCH] = 128
    picture[y + 1 : y + _SWATCH - 1, x + 1 : x + _SWATCH - 1] = label.color[::-1]


def _write(picture: NDArray[np.uint8], text: str, at: tuple[int, int]) -> None:
    """Write white on a black shadow, to be read on anything."""
    x, y = at
    _text(picture, text, (x + 1, y + 1), (0, 0, 0))
    _text(picture, text, at, (255, 255, 255))


def _text(
    picture: NDArray[np.uint8],
    text: str,
    at: tuple[int, int],
    color: tuple[int, int, int],
    font: float = _FONT,
) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, font, color, 1, cv2.LINE_AA)


def _text_width(text: str, font: float = _FONT) -> int:
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, font, 1)
    return int(width)
