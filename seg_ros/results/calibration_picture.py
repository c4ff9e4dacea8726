"""``calibration.png``: what a person checks a found mounting by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.ground.aim import Aim
from seg_ros.ground.camera import CameraModel
from seg_ros.segment.paint import contact_sheet

Image = NDArray[np.uint8]

_HORIZON, _TRAVEL = (0, 255, 255), (255, 64, 255)
_PITCH, _YAW, _INK, _PAPER = (60, 120, 230), (200, 120, 40), (40, 40, 40), (255, 255, 255)
_WIDTH, _HEIGHT = 640, 300
_LEFT, _BOTTOM, _TOP = 56, 34, 34


@dataclass(frozen=True)
class Shown:
    """What the picture is made of."""

    frames: tuple[tuple[int, Image], ...]
    """Index and (H, W, 3) uint8 BGR of some frames of the drive."""
    camera: CameraModel
    """With the mounting found; of any size of the same shape."""
    aim: Aim
    over_time: list[tuple[float, float, float]]
    """Seconds since the first pair, pitch and yaw in radians of each pair that counted."""


def calibration_picture(shown: Shown) -> Image:
    """Draw horizon and direction of travel into frames, and the estimates below them.

    Returns:
        (H, W, 3) uint8 BGR.

    """
    frames = [(f"frame {index}", _marked(image, shown.camera)) for index, image in shown.frames]
    rows = np.array(shown.over_time, np.float64).reshape(-1, 3)
    seconds, angles = rows[:, 0], np.degrees(rows[:, 1:])
    aim = shown.aim
    charts = []
    for name, column, value, error, color in (
        ("pitch", 0, aim.pitch, aim.pitch_error, _PITCH),
        ("yaw", 1, aim.yaw, aim.yaw_error, _YAW),
    ):
        middle, spread = math.degrees(value), math.degrees(error)
        title = f"{name} {middle:.2f} +- {spread:.2f} degrees, {aim.pairs} pairs"
        values = angles[:, column]
        reach = max(3 * float(np.percentile(np.abs(values - middle), 75)), 4 * spread, 0.1)
        limits = (middle - reach, middle + reach)
        charts += [
            ("", _over_time(seconds, values, limits, middle, spread, color, title)),
            ("", _distribution(values, limits, middle, spread, color, title)),
        ]
    return contact_sheet([frames, charts], row_height=_HEIGHT)


def _marked(image: Image, camera: CameraModel) -> Image:
    """Draw the horizon yellow and the direction of travel as a cross of magenta."""
    picture = np.ascontiguousarray(image.copy())
    height, width = picture.shape[:2]
    camera = camera.scaled(width, height)
    thick = max(1, round(width / 500))
    azimuth = np.radians(np.linspace(-85, 85, 341))
    level = np.stack([np.cos(azimuth), np.sin(azimuth), np.zeros_like(azimuth)], axis=1)
    rotation = camera.mounting.base_from_optical
    line = camera.pixels(level @ rotation)
    seen = line[np.isfinite(line).all(axis=1)]
    points = np.round(seen).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(picture, [points], False, _HORIZON, thick, cv2.LINE_AA)
    ahead = camera.pixels(rotation[:1])[0]
    if np.isfinite(ahead).all():
        at = (round(float(ahead[0])), round(float(ahead[1])))
        cv2.drawMarker(picture, at, _TRAVEL, cv2.MARKER_CROSS, width // 25, thick)
    return picture


def _axes(title: str) -> Image:
    chart = np.full((_HEIGHT, _WIDTH, 3), _PAPER, np.uint8)
    _text(chart, title, (_LEFT, 20), 0.5)
    cv2.rectangle(
        chart, (_LEFT, _TOP), (_WIDTH - 12, _HEIGHT - _BOTTOM), (190, 190, 190), 1, cv2.LINE_AA
    )
    return chart


def _text(chart: Image, text: str, at: tuple[int, int], scale: float = 0.4) -> None:
    cv2.putText(chart, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)


def _scaled(values: NDArray[np.float64], low: float, high: float, a: int, b: int) -> list[int]:
    """Pixels from a to b of values from low to high."""
    part = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    return [round(a + (b - a) * float(p)) for p in part]


def _over_time(
    seconds: NDArray[np.float64],
    values: NDArray[np.float64],
    limits: tuple[float, float],
    middle: float,
    error: float,
    color: Sequence[int],
    title: str,
) -> Image:
    chart = _axes(title)
    last = max(float(seconds.max(initial=1.0)), 1e-3)
    x = _scaled(seconds, 0.0, last, _LEFT + 4, _WIDTH - 16)
    bottom = _HEIGHT - _BOTTOM
    band = _scaled(np.array([middle + 2 * error, middle - 2 * error]), *limits, bottom, _TOP)
    chart[band[0] : band[1] + 1, _LEFT + 1 : _WIDTH - 12] = (225, 240, 225)
    for at in zip(x, _scaled(values, *limits, bottom, _TOP), strict=True):
        cv2.circle(chart, at, 2, tuple(color), -1, cv2.LINE_AA)
    (y,) = _scaled(np.array([middle]), *limits, bottom, _TOP)
    cv2.line(chart, (_LEFT, y), (_WIDTH - 12, y), (0, 130, 0), 1, cv2.LINE_AA)
    for value, at_y in zip((*limits, middle), (bottom, _TOP + 8, y + 4), strict=True):
        _text(chart, f"{value:.2f}", (6, at_y))
    _text(chart, "0 s", (_LEFT, _HEIGHT - 14))
    _text(chart, f"{last:.0f} s", (_WIDTH - 60, _HEIGHT - 14))
    return chart


def _distribution(
    values: NDArray[np.float64],
    limits: tuple[float, float],
    middle: float,
    error: float,
    color: Sequence[int],
    title: str,
) -> Image:
    chart = _axes(title)
    counts, edges = np.histogram(values, bins=30, range=limits)
    bottom = _HEIGHT - _BOTTOM
    x = _scaled(edges, *limits, _LEFT + 4, _WIDTH - 16)
    top = _scaled(counts.astype(np.float64), 0.0, float(max(counts.max(), 1)), bottom, _TOP + 6)
    for k, y in enumerate(top):
        cv2.rectangle(chart, (x[k], y), (x[k + 1] - 1, bottom), tuple(color), -1)
    marks = np.array([middle, middle - 2 * error, middle + 2 * error])
    for k, at in enumerate(_scaled(marks, *limits, _LEFT + 4, _WIDTH - 16)):
        shade = (0, 130, 0) if k == 0 else (120, 190, 120)
        cv2.line(chart, (at, _TOP), (at, bottom), shade, 2 if k == 0 else 1)
    for value, at in zip(limits, (_LEFT, _WIDTH - 60), strict=True):
        _text(chart, f"{value:.2f}", (at, _HEIGHT - 14))
    return chart
