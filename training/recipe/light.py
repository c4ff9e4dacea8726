"""Light and camera: what is done to the pixels of a crop.

Each function takes and returns a (H, W, 3) float32 BGR image in 0..255.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from recipe.samples import Config, uniform


def shift_colour(image: np.ndarray, config: Config, rng: np.random.Generator) -> np.ndarray:
    """Change brightness, contrast, saturation, hue and white balance."""
    hsv = cv2.cvtColor(np.clip(image, 0, 255).astype(np.uint8), cv2.COLOR_BGR2HSV)
    hue = rng.integers(-config["hue"], config["hue"] + 1)
    hsv[..., 0] = (hsv[..., 0].astype(np.int16) + hue) % 180
    image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR).astype(np.float32)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
    image = grey + (image - grey) * (1 + rng.uniform(-1, 1) * config["saturation"])
    contrast = 1 + rng.uniform(-1, 1) * config["contrast"]
    brightness = 1 + rng.uniform(-1, 1) * config["brightness"]
    balance = 1 + rng.uniform(-1, 1, 3) * config["balance"]
    mean = float(grey.mean())
    return (((image - mean) * contrast + mean) * (brightness * balance)).astype(np.float32)


def apply_gamma(image: np.ndarray, gamma: float) -> np.ndarray:
    """Raise the image, as a share of full brightness, to the power `gamma`."""
    return 255 * np.power(np.clip(image, 0, 255) / 255, np.float32(gamma))


def cast_shadow(image: np.ndarray, config: Config, rng: np.random.Generator) -> np.ndarray:
    """Darken a random soft-edged polygon, as buildings, bridges and trees do."""
    height, width = image.shape[:2]
    corners = rng.uniform([-0.2, 0.1], [1.2, 1.2], (rng.integers(3, 6), 2)) * [width, height]
    shade = np.zeros((height, width), np.float32)
    cv2.fillPoly(shade, [cv2.convexHull(corners.astype(np.int32))], 1.0)
    shade = cv2.GaussianBlur(shade, (0, 0), uniform(rng, [0.8, 4.0]))
    return image * (1 - (1 - uniform(rng, config["range"])) * shade)[..., None]


def make_night(image: np.ndarray, config: Config, rng: np.random.Generator) -> np.ndarray:
    """Darken to a street at night: dim, tinted, lit by lamps and by our own headlights."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    tint = np.array([rng.uniform(0.6, 1.3), rng.uniform(0.8, 1.0), rng.uniform(0.7, 1.2)])
    light = np.full((height, width), uniform(rng, config["gain"]), np.float32)
    beam_x, beam_y = rng.uniform(0.3, 0.7) * width, rng.uniform(0.8, 1.1) * height
    beam = ((columns - beam_x) / (0.4 * width)) ** 2 + ((rows - beam_y) / (0.35 * height)) ** 2
    light += rng.uniform(0, 0.6) * np.exp(-beam)
    glow = np.zeros((height, width), np.float32)
    for _ in range(rng.integers(0, config["lights"] + 1)):
        x, y = rng.uniform(0, width), rng.uniform(0, 0.75 * height)
        radius = rng.uniform(2, 14)
        distance = ((columns - x) ** 2 + (rows - y) ** 2) / radius**2
        glow += rng.uniform(60, 255) * np.exp(-distance)
    warm = np.array([rng.uniform(0.4, 1.0), 0.85, 1.0])
    image = apply_gamma(image, uniform(rng, config["gamma"])) * light[..., None] * tint
    return (image + glow[..., None] * warm).astype(np.float32)


def make_dusk(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lower the sun: a warm bright sky above, a dim bluish ground below, little contrast."""
    height = image.shape[0]
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    sky = np.array([rng.uniform(0.5, 0.9), rng.uniform(0.7, 0.95), rng.uniform(0.95, 1.2)])
    ground = np.array([rng.uniform(0.4, 0.75), rng.uniform(0.35, 0.6), rng.uniform(0.3, 0.6)])
    veil = uniform(rng, [0.0, 25.0])
    return (image * (sky * (1 - ramp) + ground * ramp) + veil).astype(np.float32)


def blur(image: np.ndarray, config: Config, rng: np.random.Generator) -> np.ndarray:
    """Defocus, or smear along a line as a moving camera does."""
    if rng.random() < 0.6:
        return cv2.GaussianBlur(image, (0, 0), uniform(rng, config["sigma"]))
    length = int(rng.integers(3, config["motion"] + 1))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, math.pi)
    reach = (length - 1) / 2 * np.array([math.cos(angle), math.sin(angle)])
    start, end = (np.round((length - 1) / 2 + sign * reach).astype(int) for sign in (-1, 1))
    cv2.line(kernel, start.tolist(), end.tolist(), 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def compress(image: np.ndarray, config: Config, rng: np.random.Generator) -> np.ndarray:
    """Leave the marks of JPEG compression."""
    quality = int(uniform(rng, config["quality"]))
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR).astype(np.float32)


def photometric(image: np.ndarray, config: Config, rng: np.random.Generator) -> np.ndarray:
    """Change how the frame looks, not what it shows: light first, then the camera."""
    steps: tuple[tuple[str, Callable[[np.ndarray], np.ndarray]], ...] = (
        ("colour", lambda x: shift_colour(x, config["colour"], rng)),
        ("shadow", lambda x: cast_shadow(x, config["shadow"], rng)),
        ("gamma", lambda x: apply_gamma(x, uniform(rng, config["gamma"]["range"]))),
        ("night", lambda x: make_night(x, config["night"], rng)),
        ("dusk", lambda x: make_dusk(x, rng)),
        ("grey", lambda x: np.repeat(cv2.cvtColor(x, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)),
        ("blur", lambda x: blur(x, config["blur"], rng)),
        (
            "noise",
            lambda x: (
                x
                + rng.standard_normal(x.shape, np.float32)
                * np.float32(uniform(rng, config["noise"]["sigma"]))
            ),
        ),
        ("jpeg", lambda x: compress(x, config["jpeg"], rng)),
    )
    image = image.astype(np.float32)
    for name, step in steps:
        if rng.random() < config[name]["p"]:
            image = step(image)
    return np.clip(image, 0, 255).astype(np.uint8)
