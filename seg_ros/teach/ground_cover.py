"""What borders a road: sand, gravel, grass, earth and snow laid over labelled ground.

CamVid knows grey pavements only, and IDD calls flush sand driveable. Here the ground beside the
road gets another surface whose label is exact, because we put it there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

COVERS: Mapping[str, tuple[Sequence[float], float]] = {
    "sand": ((118, 158, 186), 0.10),
    "pale sand": ((160, 190, 205), 0.08),
    "gravel": ((118, 124, 130), 0.22),
    "dry grass": ((86, 142, 168), 0.22),
    "green grass": ((48, 112, 88), 0.25),
    "dark grass": ((36, 72, 58), 0.25),
    "earth": ((62, 84, 112), 0.15),
    "snow": ((236, 230, 226), 0.06),
}
"""Mean colour (BGR) and contrast of each surface."""
_OCTAVES = ((6, 10), (18, 24), (60, 64), (200, 180))
"""Rows and columns of the noise that is stretched over the frame: coarse to fine."""


def cover_texture(
    shape: tuple[int, int], rng: np.random.Generator, cover: str | None = None
) -> Floats:
    """Paint a sheet of one surface, (H, W, 3) float32 BGR 0..255; a drawn one if none is named."""
    names = tuple(COVERS)
    colour, contrast = COVERS[cover or names[int(rng.integers(len(names)))]]
    height, width = shape
    tint = np.asarray(colour, np.float32) * rng.uniform(0.85, 1.15, 3) * rng.uniform(0.75, 1.2)
    relief = np.zeros(shape, np.float32)
    for rows, columns in _OCTAVES:
        noise = rng.standard_normal((min(rows, height), min(columns, width)), np.float32)
        relief += cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    relief *= np.float32(contrast * rng.uniform(0.5, 1.5) / 2)
    return np.asarray(tint, np.float32) * (1 + relief)[..., None]


def _light_of(image: Image, region: NDArray[np.bool_], share: float) -> Floats:
    """Brightness of what was there relative to its mean, softened: its shadows stay. (H, W, 1)."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (0, 0), 2.0)
    relative = grey.astype(np.float32) / max(float(grey[region].mean()), 8.0)
    return (1 - share + share * np.clip(relative, 0.3, 2.0))[..., None]


def repaint_verge(
    image: Image, label: Image, ground: Sequence[int], terrain: int, rng: np.random.Generator
) -> tuple[Image, Image]:
    """Turn the labelled ground beside the road (ids `ground`) into terrain."""
    region = np.isin(label, ground)
    if not region.any():
        return image, label
    painted = cover_texture(label.shape, rng) * _light_of(image, region, rng.uniform(0.2, 0.8))
    old = rng.uniform(0.0, 0.4)
    mixed = np.clip(old * image + (1 - old) * painted, 0, 255).astype(np.uint8)
    soft = cv2.GaussianBlur(region.astype(np.float32), (0, 0), rng.uniform(0.4, 1.5))[..., None]
    blended = (soft * mixed + (1 - soft) * image).astype(np.uint8)
    return blended, np.where(region, np.uint8(terrain), label)


def open_country(
    image: Image, label: Image, ids: Mapping[str, Any], rng: np.random.Generator
) -> tuple[Image, Image]:
    """Take the town away: what stands beside the road becomes open ground below, sky above.

    `ids` names the label ids: `road`, `terrain`, `sky`, and the lists `town` (what is taken away)
    and `green` (what may stay). Frames without a road to see the horizon by are left alone.
    """
    rows = np.flatnonzero((label == ids["road"]).sum(1) > 4)
    if not len(rows):
        return image, label
    horizon = int(rows[0]) - int(rng.integers(0, 8))
    taken = np.isin(label, ids["town"])
    if rng.random() < 0.5:
        taken |= np.isin(label, ids["green"])
    above = np.arange(len(label))[:, None] < horizon
    hill = horizon - 12 * rng.random() * (
        1 + np.sin(np.arange(label.shape[1]) / rng.uniform(20, 90))
    )
    low = taken & (np.arange(len(label))[:, None] >= hill)
    high = taken & above & ~low
    out, ids_out = image.copy(), label.copy()
    if low.any():
        texture = cover_texture(label.shape, rng) * _light_of(image, low, 0.2)
        out[low] = np.clip(texture[low], 0, 255).astype(np.uint8)
        ids_out[low] = ids["terrain"]
    if high.any():
        top = np.asarray([rng.uniform(150, 255), rng.uniform(140, 235), rng.uniform(110, 230)])
        bottom = np.minimum(top * rng.uniform(0.9, 1.4), 255)
        ramp = np.linspace(0, 1, max(horizon, 1))[:, None]
        sky = np.zeros((*label.shape, 3))
        sky[: max(horizon, 1)] = (top * (1 - ramp) + bottom * ramp)[: len(label), None]
        out[high] = sky[high].astype(np.uint8)
        ids_out[high] = ids["sky"]
    return cv2.GaussianBlur(out, (3, 3), 0.5).astype(np.uint8), ids_out


def paste_bonnet(
    image: Image, label: Image, ego: int, rng: np.random.Generator
) -> tuple[Image, Image]:
    """Put a bonnet or a dashboard at the foot of the frame, with the world mirrored in it."""
    height, width = label.shape
    rise = rng.uniform(0.04, 0.24) * height
    columns = (np.arange(width, dtype=np.float32) / width - rng.uniform(0.4, 0.6)) * 2
    bulge = rng.uniform(0.15, 1.2)
    top = height - rise * (1 - bulge * columns**2)
    if rng.random() < 0.3:  # a dashboard, or a bonnet with a rib
        top += rng.uniform(0, 0.04) * height * np.sign(np.sin(columns * rng.uniform(2, 9)))
    body = np.arange(height, dtype=np.float32)[:, None] >= top
    if not body.any():
        return image, label
    colour = rng.uniform(5, 235) * rng.uniform(0.75, 1.25, 3)
    shade = np.linspace(rng.uniform(0.6, 1.3), rng.uniform(0.4, 1.1), height)[:, None, None]
    mirrored = cv2.GaussianBlur(image[::-1], (0, 0), rng.uniform(1.0, 8.0)).astype(np.float32)
    gloss = rng.uniform(0.0, 0.6)
    painted = np.clip((1 - gloss) * colour * shade + gloss * mirrored, 0, 255).astype(np.uint8)
    out = np.where(body[..., None], painted, image)
    return out, np.where(body, np.uint8(ego), label)
