"""Textures: tileable brightness patterns with their mip levels, 128 is neutral."""

from __future__ import annotations

import math

import cv2
import numpy as np

from seg_ros.synthetic.basics import Bytes, Floats, compiled
from seg_ros.synthetic.street import BLOCK, LANE_WIDTH

_TILE = 512
_TILE_LEVELS = 9
ASPHALT, SLABS, BRICK, PLASTER, FOLIAGE, WOOD, CLOUDS, SLATES = range(8)
_TILE_SIZE = (2.6, 4.8, 2.4, 3.0, 1.6, 2.0, 1.0, 2.4)
"""Side [m] that a tile covers."""
_TILE_TEXELS = sum((_TILE >> level) ** 2 for level in range(_TILE_LEVELS))
_DECAL_LONG, _DECAL_WIDE, _DECAL_LEVELS = 4096, 256, 7
_DECAL_WIDTH = 12.8
"""Width [m] of the map of road patches and cracks, which is one block long."""


def make_textures(rng: np.random.Generator) -> Bytes:
    """All tiles with their mip levels, one after the other, then the map of road decals."""
    draw = (_asphalt, _slabs, _bricks, _plaster, _foliage, _wood, _cloud, _slates)
    packed = [_with_mips(tile(rng), _TILE_LEVELS) for tile in draw]
    return np.concatenate([*packed, _with_mips(_road_decals(rng), _DECAL_LEVELS)])


def _with_mips(image: Floats, levels: int) -> Bytes:
    """Brightness factors (1 is neutral) -> all mip levels, one after the other, as bytes."""
    parts = []
    for _ in range(levels):
        parts.append(np.clip(np.rint(image * 128.0), 0, 255).astype(np.uint8).ravel())
        image = (image[0::2, 0::2] + image[1::2, 0::2] + image[0::2, 1::2] + image[1::2, 1::2]) / 4
    return np.concatenate(parts)


def _noise(rng: np.random.Generator, slope: float, low_cut: float = 1.0) -> Floats:
    """Tileable noise (_TILE, _TILE) of unit variance; amplitude falls as frequency ** slope."""
    spectrum = np.fft.rfft2(rng.normal(size=(_TILE, _TILE)))
    fy = np.fft.fftfreq(_TILE, 1.0 / _TILE)[:, None]
    fx = np.fft.rfftfreq(_TILE, 1.0 / _TILE)[None, :]
    frequency = np.hypot(fx, fy)
    shaped = np.where(frequency >= low_cut, np.maximum(frequency, 1.0) ** -slope, 0.0)
    image = np.fft.irfft2(spectrum * shaped, s=(_TILE, _TILE))
    return np.asarray(image / image.std())


def _asphalt(rng: np.random.Generator) -> Floats:
    stones = np.clip(_noise(rng, 0.0) - 2.0, 0.0, None)
    return np.asarray(1.0 + 0.13 * _noise(rng, 0.3) + 0.05 * _noise(rng, 1.2, 2.0) + 0.30 * stones)


def _slabs(rng: np.random.Generator) -> Floats:
    """Paving stones of 0.6 m in staggered rows."""
    cells, texels = 8, _TILE // 8
    y, x = np.mgrid[0:_TILE, 0:_TILE]
    row = y // texels
    shifted = (x + (row % 2) * texels // 2) % _TILE
    tone = rng.normal(1.0, 0.045, size=(cells, cells))[row, shifted // texels]
    joint = np.minimum(np.minimum(y % texels, shifted % texels), 3) / 3.0
    return np.asarray(tone * (0.72 + 0.28 * joint) + 0.04 * _noise(rng, 0.5))


def _bricks(rng: np.random.Generator) -> Floats:
    """Bricks of 0.24 x 0.08 m in running bond."""
    y, x = np.mgrid[0:_TILE, 0:_TILE] / _TILE
    row = np.floor(y * 30).astype(int)
    along = (x * 10 + 0.5 * (row % 2)) % 10
    tone = rng.normal(1.0, 0.13, size=(30, 10))[row, np.floor(along).astype(int)]
    mortar = ((y * 30) % 1.0 < 0.17) | (along % 1.0 < 0.06)
    return np.asarray(np.where(mortar, 1.18, tone) + 0.05 * _noise(rng, 0.5))


def _plaster(rng: np.random.Generator) -> Floats:
    return np.asarray(1.0 + 0.035 * _noise(rng, 1.2) + 0.02 * _noise(rng, 0.2))


def _foliage(rng: np.random.Generator) -> Floats:
    return np.asarray(np.clip(1.0 + 0.42 * _noise(rng, 0.9, 6.0), 0.15, 1.9))


def _wood(rng: np.random.Generator) -> Floats:
    """Upright boards of 0.125 m."""
    x = np.arange(_TILE) / _TILE * 16
    tone = rng.normal(1.0, 0.12, size=16)[np.floor(x).astype(int)]
    gap = np.where((x % 1.0) < 0.09, 0.35, 1.0)
    grain = cv2.blur(_noise(rng, 0.3), (1, 31), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray((tone * gap)[None, :] + 0.3 * grain)


def _cloud(rng: np.random.Generator) -> Floats:
    return np.asarray(np.clip(1.0 + 0.33 * _noise(rng, 1.75), 0.0, 1.99))


def _slates(rng: np.random.Generator) -> Floats:
    y, x = np.mgrid[0:_TILE, 0:_TILE] / _TILE
    row = np.floor(y * 12).astype(int)
    along = (x * 8 + 0.5 * (row % 2)) % 8
    tone = rng.normal(1.0, 0.10, size=(12, 8))[row, np.floor(along).astype(int)]
    edge = ((y * 12) % 1.0 < 0.14) | (along % 1.0 < 0.05)
    return np.asarray(np.where(edge, 0.72, tone) + 0.05 * _noise(rng, 0.8))


def _road_decals(rng: np.random.Generator) -> Floats:
    """Patches, cracks, manholes and stains along one block of road; rows run across, columns along.

    Drawn away from the ends, so that it tiles along the road.
    """
    canvas = np.full((_DECAL_WIDE, _DECAL_LONG), 1.0, dtype=np.float32)
    per_x, per_y = _DECAL_LONG / BLOCK, _DECAL_WIDE / _DECAL_WIDTH
    for lane in (-LANE_WIDTH / 2, LANE_WIDTH / 2):
        for offset, tone in ((0.0, -0.07), (-0.8, 0.045), (0.8, 0.045)):
            row = (lane + offset + _DECAL_WIDTH / 2) * per_y
            rows = np.arange(_DECAL_WIDE)[:, None]
            canvas += np.float32(tone) * np.exp(-(((rows - row) / 8.0) ** 2)).astype(np.float32)
    for _ in range(26):
        x, y = rng.uniform(2.0, BLOCK - 14.0), rng.uniform(-5.6, 4.0)
        size = (rng.uniform(1.0, 11.0), rng.uniform(0.5, 2.2))
        a = (round(x * per_x), round((y + _DECAL_WIDTH / 2) * per_y))
        b = (round((x + size[0]) * per_x), round((y + size[1] + _DECAL_WIDTH / 2) * per_y))
        cv2.rectangle(canvas, a, b, float(rng.uniform(0.78, 1.12)), -1, cv2.LINE_AA)
        cv2.rectangle(canvas, a, b, 0.66, 1, cv2.LINE_AA)
    for _ in range(45):
        steps = rng.normal(0.0, 1.0, size=(14, 2)) * [9.0, 3.0] + [rng.choice([-6.0, 6.0]), 0.0]
        start = rng.uniform([400, 20], [_DECAL_LONG - 400, _DECAL_WIDE - 20])
        line = np.rint(start + np.cumsum(steps, axis=0)).astype(np.int32)
        cv2.polylines(canvas, [line[:, None]], False, float(rng.uniform(0.5, 0.75)), 1, cv2.LINE_AA)
    for _ in range(9):
        centre = (int(rng.integers(60, _DECAL_LONG - 60)), int(rng.integers(40, _DECAL_WIDE - 40)))
        axes = (round(0.34 * per_x), round(0.34 * per_y))
        cv2.ellipse(canvas, centre, axes, 0, 0, 360, 0.55, -1, cv2.LINE_AA)
        cv2.ellipse(canvas, centre, axes, 0, 0, 360, 0.95, 1, cv2.LINE_AA)
    return canvas.astype(np.float64)


@compiled
def _sample(
    texels: Bytes,
    start: int,
    wide: int,
    high: int,
    levels: int,
    u: float,
    v: float,
    footprint: float,
) -> float:
    """Bilinear look-up in the repeating texture at `start`.

    u, v and footprint in texels of level 0; the level is the one whose texels are as large as the
    footprint.
    """
    level = 0
    while footprint > 1.5 and level < levels - 1:
        start += wide * high
        wide, high, level = wide >> 1, high >> 1, level + 1
        footprint, u, v = 0.5 * footprint, 0.5 * u - 0.25, 0.5 * v - 0.25
    fu, fv = math.floor(u), math.floor(v)
    du, dv = u - fu, v - fv
    column, row = int(fu) & (wide - 1), int(fv) & (high - 1)
    upper = start + row * wide
    lower = start + ((row + 1) & (high - 1)) * wide
    following = (column + 1) & (wide - 1)
    a = texels[upper + column] * (1.0 - du) + texels[upper + following] * du
    b = texels[lower + column] * (1.0 - du) + texels[lower + following] * du
    return float(a + dv * (b - a)) * 0.0078125


@compiled
def tile_brightness(texels: Bytes, tile: int, u: float, v: float, footprint: float) -> float:
    """Brightness of a tile at u, v [m], averaged over about `footprint` [m]."""
    scale = _TILE / _TILE_SIZE[tile]
    return _sample(
        texels,
        tile * _TILE_TEXELS,
        _TILE,
        _TILE,
        _TILE_LEVELS,
        u * scale,
        v * scale,
        footprint * scale,
    )


@compiled
def decal_brightness(texels: Bytes, s: float, d: float, footprint: float) -> float:
    """Brightness of the map of road decals at path coordinates s, d."""
    return _sample(
        texels,
        len(_TILE_SIZE) * _TILE_TEXELS,
        _DECAL_LONG,
        _DECAL_WIDE,
        _DECAL_LEVELS,
        s * (_DECAL_LONG / BLOCK),
        (d + 0.5 * _DECAL_WIDTH) * (_DECAL_WIDE / _DECAL_WIDTH),
        footprint * (_DECAL_LONG / BLOCK),
    )
