"""How a frame looks under another light, in other weather, through another camera.

Each function takes and returns (H, W, 3) float32 BGR in about 0..255; `config` is the entry of the
recipe, `rng` decides. Labels never change here, except that none of it touches them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Config = Mapping[str, Any]


def uniform(rng: np.random.Generator, bounds: Sequence[float]) -> float:
    """Draw from between two bounds."""
    return float(rng.uniform(bounds[0], bounds[1]))


def _bytes(image: Floats) -> NDArray[np.uint8]:
    return np.clip(image, 0, 255).astype(np.uint8)


def colour(image: Floats, config: Config, rng: np.random.Generator) -> Floats:
    """Change brightness, contrast, saturation, hue and white balance."""
    hsv = cv2.cvtColor(_bytes(image), cv2.COLOR_BGR2HSV)
    hue = int(rng.integers(-config["hue"], config["hue"] + 1))
    hsv[..., 0] = (hsv[..., 0].astype(np.int16) + hue) % 180
    image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR).astype(np.float32)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
    image = grey + (image - grey) * np.float32(1 + rng.uniform(-1, 1) * config["saturation"])
    contrast = 1 + rng.uniform(-1, 1) * config["contrast"]
    gain = 1 + rng.uniform(-1, 1) * config["brightness"]
    balance = (gain * (1 + rng.uniform(-1, 1, 3) * config["balance"])).astype(np.float32)
    mean = np.float32(grey.mean())
    return ((image - mean) * np.float32(contrast) + mean) * balance


def gamma(image: Floats, config: Config, rng: np.random.Generator) -> Floats:
    """Raise the image, as a share of full brightness, to a power."""
    table = 255 * (np.arange(256) / 255) ** uniform(rng, config["range"])
    return cv2.LUT(_bytes(image), table.astype(np.float32))


def shadow(image: Floats, config: Config, rng: np.random.Generator) -> Floats:
    """Darken soft-edged polygons, as buildings, bridges and trees do; many small ones dapple."""
    height, width = image.shape[:2]
    shade = np.zeros((height, width), np.float32)
    dappled = rng.random() < config["dappled"]
    for _ in range(int(rng.integers(20, 60)) if dappled else 1):
        centre = rng.uniform([0, 0.35], [1, 1.05], 2) if dappled else np.array([0.5, 0.65])
        reach = rng.uniform(0.02, 0.09) if dappled else 0.7
        corners = centre + rng.uniform(-reach, reach, (int(rng.integers(3, 7)), 2))
        hull = cv2.convexHull((corners * [width, height]).astype(np.int32))
        cv2.fillPoly(shade, [hull], 1.0)
    shade = cv2.GaussianBlur(shade, (0, 0), uniform(rng, [0.8, 4.0]))
    return image * (1 - np.float32(1 - uniform(rng, config["range"])) * shade)[..., None]


def night(image: Floats, config: Config, rng: np.random.Generator) -> Floats:
    """Darken to a road at night: dim, tinted, lit by lamps and by our own headlights."""
    height, width = image.shape[:2]
    rows, columns = np.ogrid[0:height, 0:width]
    dim = gamma(image, {"range": config["gamma"]}, rng)
    light = np.full((height, width), uniform(rng, config["gain"]), np.float32)
    beam_x, beam_y = rng.uniform(0.3, 0.7) * width, rng.uniform(0.75, 1.1) * height
    beam = ((columns - beam_x) / (0.4 * width)) ** 2 + ((rows - beam_y) / (0.35 * height)) ** 2
    light += (rng.uniform(0, 0.8) * np.exp(-beam)).astype(np.float32)
    glow = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(0, config["lights"] + 1))):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, 0.75 * height), rng.uniform(1, 7)
        cv2.circle(glow, (int(x), int(y)), max(int(radius), 1), rng.uniform(80, 255), -1)
    glow = cv2.GaussianBlur(glow, (0, 0), 3.0) + 0.6 * glow
    tint = np.array([rng.uniform(0.6, 1.3), rng.uniform(0.8, 1.0), rng.uniform(0.7, 1.2)])
    warm = np.array([rng.uniform(0.4, 1.0), 0.85, 1.0], np.float32)
    return dim * light[..., None] * tint.astype(np.float32) + glow[..., None] * warm


def dusk(image: Floats, _config: Config, rng: np.random.Generator) -> Floats:
    """Lower the sun: a warm bright sky above, a dim bluish ground below, little contrast."""
    ramp = np.linspace(0, 1, len(image), dtype=np.float32)[:, None, None]
    sky = np.array([rng.uniform(0.5, 0.9), rng.uniform(0.7, 0.95), rng.uniform(0.95, 1.2)])
    ground = np.array([rng.uniform(0.4, 0.75), rng.uniform(0.35, 0.6), rng.uniform(0.3, 0.6)])
    veil = uniform(rng, [0.0, 25.0])
    return (image * (sky * (1 - ramp) + ground * ramp) + veil).astype(np.float32)


def glare(image: Floats, _config: Config, rng: np.random.Generator) -> Floats:
    """Put a low sun into view: a bright disc with a wide veil around it."""
    height, width = image.shape[:2]
    rows, columns = np.ogrid[0:height, 0:width]
    x, y = rng.uniform(0, width), rng.uniform(0, 0.5 * height)
    distance = np.sqrt((columns - x) ** 2 + (rows - y) ** 2) / width
    veil = rng.uniform(40, 160) * np.exp(-distance * rng.uniform(2.0, 6.0))
    veil += 255 * np.exp(-((distance / rng.uniform(0.01, 0.05)) ** 2))
    return image + veil.astype(np.float32)[..., None] * np.array([0.8, 0.95, 1.0], np.float32)


def wet(image: Floats, ground: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """Wet the ground (H, W): darker, what stands behind it mirrored in it; drops on the glass."""
    rows = np.flatnonzero(ground.sum(1) > 4)
    if not len(rows):
        return image
    horizon = int(rows[0])
    depth = len(image) - horizon
    mirrored = np.zeros_like(image)
    above = image[max(horizon - depth, 0) : horizon][::-1]
    if len(above):
        stretched = cv2.resize(above, (image.shape[1], depth), interpolation=cv2.INTER_LINEAR)
        mirrored[horizon:] = cv2.GaussianBlur(stretched, (0, 0), 2.0, sigmaY=uniform(rng, [4, 14]))
    patches = cv2.resize(
        rng.random((9, 7), np.float32), (image.shape[1], len(image)), interpolation=cv2.INTER_CUBIC
    )
    share = np.clip((patches - rng.uniform(0.0, 0.5)) * 3, 0, 1) * np.float32(
        rng.uniform(0.2, 0.65)
    )
    share = (share * ground)[..., None]
    image = image * (1 - np.float32(rng.uniform(0.15, 0.45)) * ground[..., None])
    image = image * (1 - share) + mirrored * share
    if rng.random() < 0.5:  # rain between, drops on the glass
        blurred = cv2.GaussianBlur(image, (0, 0), 4.0)
        drops = np.zeros(image.shape[:2], np.float32)
        for _ in range(int(rng.integers(5, 40))):
            centre = (int(rng.uniform(0, image.shape[1])), int(rng.uniform(0, len(image))))
            cv2.circle(drops, centre, int(rng.integers(2, 9)), 1.0, -1)
        drops = cv2.GaussianBlur(drops, (0, 0), 1.0)[..., None]
        image = image * (1 - drops) + blurred * drops * np.float32(1.1)
    return image


def snowfall(image: Floats, ground: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """Let it snow: a pale haze, flakes, and slush lying in streaks on the ground (H, W)."""
    height, width = image.shape[:2]
    haze = np.float32(rng.uniform(0.05, 0.35))
    streaks = rng.random((14, 40), np.float32)
    slush = cv2.resize(streaks, (width, height), interpolation=cv2.INTER_CUBIC)
    slush = np.clip((slush - rng.uniform(0.4, 0.8)) * 3, 0, 1) * np.float32(rng.uniform(0.1, 0.7))
    slush = (slush * ground)[..., None]
    image = image * (1 - slush) + 225 * slush
    image = image * (1 - haze) + 215 * haze
    flakes = (rng.random((height, width), np.float32) > 0.9985).astype(np.float32)
    flakes = cv2.GaussianBlur(flakes, (0, 0), uniform(rng, [0.6, 1.6])) * 8
    return image + 160 * np.minimum(flakes, 1)[..., None]


def blur(image: Floats, config: Config, rng: np.random.Generator) -> Floats:
    """Defocus, or smear along a line as a moving camera does."""
    if rng.random() < 0.6:
        return cv2.GaussianBlur(image, (0, 0), uniform(rng, config["sigma"]))
    length = int(rng.integers(3, config["motion"] + 1))
    kernel = np.zeros((length, length), np.float32)
    angle, middle = rng.uniform(0, math.pi), (length - 1) / 2
    reach = middle * np.array([math.cos(angle), math.sin(angle)])
    start, end = (np.round(middle + sign * reach).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def noise(image: Floats, config: Config, rng: np.random.Generator) -> Floats:
    """Add a sensor's noise."""
    sigma = np.float32(uniform(rng, config["sigma"]))
    return image + rng.standard_normal(image.shape, np.float32) * sigma


def compression(image: Floats, config: Config, rng: np.random.Generator) -> Floats:
    """Leave the marks of JPEG, or of video at few bits: coded small, blocky, then enlarged."""
    height, width = image.shape[:2]
    pixels = _bytes(image)
    if rng.random() < config["video"]:
        small = rng.uniform(0.45, 0.9)
        pixels = cv2.resize(pixels, None, fx=small, fy=small, interpolation=cv2.INTER_AREA)
    quality = int(uniform(rng, config["quality"]))
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return cv2.resize(decoded, (width, height)).astype(np.float32)


def grey(image: Floats, _config: Config, _rng: np.random.Generator) -> Floats:
    """Take the colour away, as monochrome cameras do."""
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)


STEPS = (
    ("colour", colour),
    ("shadow", shadow),
    ("gamma", gamma),
    ("night", night),
    ("dusk", dusk),
    ("glare", glare),
    ("grey", grey),
    ("blur", blur),
    ("noise", noise),
    ("compression", compression),
)
"""Light first, then the camera, in the order in which they are applied."""


def photometric(
    image: NDArray[np.uint8], config: Mapping[str, Config], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Apply each step with the probability `p` that the recipe gives it."""
    changed = image.astype(np.float32)
    for name, step in STEPS:
        if rng.random() < config[name]["p"]:
            changed = step(changed, config[name], rng)
    return _bytes(changed)
