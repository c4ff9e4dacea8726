"""What an open road's picture has on top: a wet road that mirrors, lamps and light that glow."""

from __future__ import annotations

import math

import cv2
import numpy as np

from seg_ros.synthetic.basics import ROAD, Bytes, Floats, Singles, kernel
from seg_ros.synthetic.camera import View
from seg_ros.synthetic.road import Road
from seg_ros.synthetic.street import path_coordinates
from seg_ros.synthetic.textures import CLOUDS, tile_brightness

_WHITE, _RED = (0.86, 0.95, 1.0), (0.05, 0.07, 0.55)


def mirrored(view: View) -> View:
    """Return the view from under the ground that sees at each pixel what the ground mirrors."""
    x, y, z = view.origin
    along, across, (a, b, c) = view.rotation
    return view._replace(origin=(x, y, -z), rotation=(along, across, (-a, -b, -c)))


def wet(
    view: View, road: Road, path: Floats, texels: Bytes, mirror: Bytes, image: Bytes, mask: Bytes
) -> None:
    """Blend what a wet road mirrors, from a picture (H, W, 3) of `mirrored`, into the picture."""
    size = view.height
    sharp = np.asarray(cv2.GaussianBlur(mirror, (0, 0), 0.6, sigmaY=1.0 + size / 240), np.uint8)
    rough = np.asarray(cv2.GaussianBlur(mirror, (0, 0), 1.2, sigmaY=1.0 + size / 36), np.uint8)
    _blend_mirror(view, road, path, texels, sharp, rough, image, mask)


@kernel
def _blend_mirror(
    view: View,
    road: Road,
    path: Floats,
    texels: Bytes,
    sharp: Bytes,
    rough: Bytes,
    image: Bytes,
    mask: Bytes,
) -> None:
    """Blend both mirror pictures into the road's pixels: `sharp` in puddles, `rough` elsewhere."""
    (r00, r01, r02), (r10, r11, r12), (r20, r21, r22) = view.rotation
    ox, oy, oz = view.origin
    for row in range(view.height):
        ry = (row - view.cy) / view.fy
        for column in range(view.width):
            if mask[row, column] != ROAD:
                continue
            rx = (column - view.cx) / view.fx
            dx, dy = r00 * rx + r01 * ry + r02, r10 * rx + r11 * ry + r12
            dz = r20 * rx + r21 * ry + r22
            if dz >= -1e-6:
                continue
            t = -oz / dz
            s, d, _, _ = path_coordinates(path, view.first, ox + t * dx, oy + t * dy)
            pool = tile_brightness(texels, CLOUDS, 0.02 * s, 0.16 * d, 0.05 * t / view.fx)
            # Water stands in the wheels' tracks.
            lane = (road.line - d) / road.lane_width
            pool += 0.12 * math.cos(4.0 * math.pi * lane)
            puddle = min(max(2.5 * (pool - 1.45 + 0.6 * road.wet), 0.0), 1.0)
            steep = -dz / math.sqrt(dx * dx + dy * dy + dz * dz)
            share = 0.03 + 0.97 * (1.0 - steep) ** 5
            share *= 0.35 * road.wet + (0.9 - 0.35 * road.wet) * puddle
            for k in range(3):
                seen = puddle * sharp[row, column, k] + (1.0 - puddle) * rough[row, column, k]
                image[row, column, k] = int(
                    image[row, column, k] + share * (seen - image[row, column, k])
                )


def glow(view: View, lamps: Floats, depth: Singles, glare: float, image: Bytes) -> None:
    """Draw lamps, and the light they and the brightest pixels scatter in lens and air.

    `lamps` (N, 6) are world x, y, z, the direction they shine, 1 for head and 0 for tail lamps.
    """
    layer = np.zeros(image.shape, dtype=np.float32)
    rotation = np.array(view.rotation)
    offset = lamps[:, :3] - np.array(view.origin)
    for (cx, cy, cz), away, lamp in zip(offset @ rotation, offset, lamps, strict=True):
        facing = -(away[0] * lamp[3] + away[1] * lamp[4]) / (np.hypot(away[0], away[1]) + 1e-9)
        if cz < 2.0 or facing < 0.1:
            continue
        column, row = round(view.fx * cx / cz + view.cx), round(view.fy * cy / cz + view.cy)
        if not (0 <= column < view.width and 0 <= row < view.height):
            continue
        if depth[row, column] * cz > 1.05:
            continue
        radius = 0.06 * view.fx / cz
        energy = 330.0 * facing * (math.pi * radius * radius + 1.2)
        layer[row, column] += energy * np.array(_WHITE if lamp[5] > 0.5 else _RED)
    bright = np.maximum(image.astype(np.float32) - 225.0, 0.0)
    unit = view.height / 288.0
    total = cv2.GaussianBlur(layer, (0, 0), 0.8 * unit)
    for sigma, weight in ((4.0, 2.0), (18.0, 5.0)):
        total += glare * weight * cv2.GaussianBlur(layer + 0.6 * bright, (0, 0), sigma * unit)
    image[:] = np.clip(image + total, 0.0, 255.0).astype(np.uint8)
