"""A frame and what the attention heads of a network look at in it, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.segment.paint import FONT, draw_text, text_width

_MOSAIC_SIZE = (1080, 1920)
"""Largest height and width of a mosaic in pixels."""
_HEAT = cv2.COLORMAP_INFERNO


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
    font = min(height * 0.02, FONT * room / text_width(f"{text} 0 {value}"))
    base = round(height * 0.68)
    draw_text(bar, text, (8, base), (255, 255, 255), font)
    if scale:
        end = width - 16 - text_width(value, font)
        colors = cv2.applyColorMap(np.linspace(0, 255, scale).astype(np.uint8)[None], _HEAT)
        bar[height // 3 : height - height // 4, end - scale : end] = colors
        draw_text(bar, value, (end + 6, base), (255, 255, 255), font)
        zero = end - scale - 6 - text_width("0", font)
        draw_text(bar, "0", (zero, base), (255, 255, 255), font)
    return bar


def _ring(picture: NDArray[np.uint8], at: tuple[int, int]) -> None:
    """Mark a place, to be seen on anything."""
    radius = max(5, picture.shape[0] // 40)
    for color, thickness in (((0, 0, 0), 4), ((255, 255, 255), 2)):
        cv2.circle(picture, at, radius, color, thickness, cv2.LINE_AA)
