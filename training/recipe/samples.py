"""Frames and labels of the data set, and the geometry of a training crop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Config = dict[str, Any]

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign symbol",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
VOID = 255
"""Label value left out of the loss and of every score."""
FILE_VOID = 11
"""How the label files of the data set write it."""
RARE = (2, 4, 6, 7, 8, 9, 10)
"""Classes that crops are centred on: few pixels, or the border that matters (pavement)."""
THINGS = (2, 6, 8, 9, 10)
"""Classes that are objects of their own and survive being pasted into another frame."""
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
INPUT_SIZE = (288, 512)
"""Height and width every frame is resized to before the network sees it."""
PAVEMENT = CLASSES.index("pavement")


@dataclass(frozen=True)
class Sample:
    """A frame, (H, W, 3) uint8 BGR, and its class mask, (H, W) uint8 with VOID."""

    image: np.ndarray
    mask: np.ndarray


def load_split(folder: Path, split: str) -> list[Sample]:
    """Read `split` and its annotation folder whole; it is small enough to stay in memory."""
    samples = []
    for path in sorted((folder / split).glob("*.png")):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        mask = cv2.imread(str(folder / f"{split}annot" / path.name), cv2.IMREAD_GRAYSCALE)
        if image is None or mask is None:
            raise SystemExit(f"{path}: the frame or its annotation cannot be read")
        samples.append(Sample(image, np.where(mask == FILE_VOID, VOID, mask).astype(np.uint8)))
    if not samples:
        raise SystemExit(f"{folder / split} holds no PNG frames; is --data the CamVid folder?")
    return samples


def synthetic_pool(config: Config, seed: int) -> list[Sample]:
    """Render the frames of the synthetic drives that are mixed into the training set."""
    from seg_ros.synthetic import SyntheticDrive

    height, width = config["size"]
    pool = []
    for drive_number in range(config["drives"]):
        drive = SyntheticDrive(
            frames=config["frames"],
            width=width,
            height=height,
            rate=config["rate"],
            seed=seed + drive_number,
        )
        for index in range(config["frames"]):
            frame = drive[index]
            pool.append(Sample(frame.image, frame.class_mask))
    return pool


def uniform(rng: np.random.Generator, bounds: list[float]) -> float:
    """Draw from between two bounds."""
    return float(rng.uniform(bounds[0], bounds[1]))


def log_uniform(rng: np.random.Generator, bounds: list[float]) -> float:
    """Draw from between two positive bounds, uniform in the logarithm."""
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))


def random_crop(
    sample: Sample, centre: tuple[float, float] | None, config: Config, rng: np.random.Generator
) -> Sample:
    """Cut a crop out of the frame stretched to the network's input, scaled, turned and flipped.

    One affine warp does it all. `centre` is the (x, y) in the frame that the crop shall hold
    near its middle; without one it lies anywhere. What the crop shows beyond the frame is VOID.
    """
    geometry = config["geometry"]
    height, width = sample.mask.shape
    input_height, input_width = INPUT_SIZE
    crop_height, crop_width = config["crop"]
    scale = log_uniform(rng, geometry["scale"])
    aspect = math.sqrt(log_uniform(rng, geometry["aspect"]))
    scale_x = scale * aspect * input_width / width
    scale_y = scale / aspect * input_height / height
    if rng.random() < geometry["flip"]:
        scale_x = -scale_x
    angle = math.radians(rng.uniform(-1, 1) * geometry["rotate"])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = turn @ np.diag([scale_x, scale_y])

    middle = np.array([width / 2, height / 2])
    # How far the crop's middle may move from the frame's before it leaves the frame.
    size = np.array([abs(scale_x) * width, abs(scale_y) * height])
    slack = np.maximum(size - [crop_width, crop_height], 0) / 2
    if centre is None:
        shift = rng.uniform(-slack, slack)
    else:
        jitter = rng.uniform(-0.3, 0.3, 2) * [crop_width, crop_height]
        shift = np.clip(linear @ (np.array(centre) - middle) + jitter, -slack, slack)
    offset = np.array([crop_width / 2, crop_height / 2]) - shift - linear @ middle
    matrix = np.column_stack([linear, offset])

    image = sample.image
    if min(abs(scale_x), abs(scale_y)) < 0.6:  # keep what is made much smaller from aliasing
        image = cv2.blur(image, (2, 2))
    image = cv2.warpAffine(
        image,
        matrix,
        (crop_width, crop_height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(104, 116, 124),
    )
    mask = cv2.warpAffine(
        sample.mask,
        matrix,
        (crop_width, crop_height),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=VOID,
    )
    return Sample(image, mask)


def repaint_pavement(sample: Sample, config: Config, rng: np.random.Generator) -> Sample:
    """Give the ground beside the road another colour: sand, grass, brick, dark or bright slabs.

    CamVid knows grey pavements only; what borders a road elsewhere has any colour.
    """
    gain = uniform(rng, config["gain"]) * rng.uniform(1 - config["tint"], 1 + config["tint"], 3)
    painted = np.clip(sample.image * gain, 0, 255).astype(np.uint8)
    pavement = sample.mask == PAVEMENT
    return Sample(np.where(pavement[..., None], painted, sample.image), sample.mask)
