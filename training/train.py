"""Train the embedded default model on CamVid.

    python train.py --data CAMVID --out RUN [--start MODEL] [--resume] [--finish-by HH:MM]

The network is a SegFormer (Xie et al., NeurIPS 2021) whose decode head is trained folded: every
encoder stage is projected straight to the fused width at its own resolution, then upsampled and
summed. The fuse convolution of the Hugging Face layout stays the identity, so the saved folder
loads anywhere and computes the same logits.

Each sample is drawn from a random generator seeded with (seed, step, index in the batch), and a
checkpoint keeps the rest (weights, average, optimiser, torch's generator), so a resumed run
continues as if it had not stopped.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import signal
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy, interpolate
from transformers import SegformerConfig, SegformerForSemanticSegmentation

Config = dict[str, Any]
log = logging.getLogger("train")

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
STEP_HISTORY = 50
"""Steps whose median duration is shown as the pace."""


# ---------------------------------------------------------------------------------------------
# Data


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


# ---------------------------------------------------------------------------------------------
# Photometric augmentation: each takes and returns a (H, W, 3) float32 BGR image in 0..255


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


# ---------------------------------------------------------------------------------------------
# Drawing batches


class Sampler:
    """Draws augmented crops; the same (step, index, progress) always draws the same one."""

    def __init__(self, real: list[Sample], synthetic: list[Sample], config: Config) -> None:
        self._real = real
        self._synthetic = synthetic
        self._config = config
        counts = np.stack([np.bincount(s.mask.ravel(), minlength=256)[:11] for s in real])
        self.frequency = counts.sum(0) / counts.sum()
        # A frame is worth visiting for a class if it shows more than a speck of it.
        self._frames_with = {c: np.flatnonzero(counts[:, c] > 150) for c in RARE}

    def _crop(self, rng: np.random.Generator) -> Sample:
        """Draw a real crop, often one centred on a rare class."""
        if rng.random() >= self._config["geometry"]["rare_centre"]:
            return random_crop(self._real[rng.integers(len(self._real))], None, self._config, rng)
        wanted = RARE[rng.integers(len(RARE))]
        sample = self._real[rng.choice(self._frames_with[wanted])]
        pixel = int(rng.choice(np.flatnonzero(sample.mask == wanted)))
        y, x = divmod(pixel, sample.mask.shape[1])
        return random_crop(sample, (x, y), self._config, rng)

    def draw(self, step: int, index: int, progress: float) -> Sample:
        """Draw sample `index` of the batch of `step`, `progress` (0..1) through the schedule."""
        config = self._config
        rng = np.random.default_rng([config["seed"], step, index])
        share = config["synthetic"]["share"] if progress >= config["synthetic"]["from"] else 0.0
        if rng.random() < share:
            rendered = self._synthetic[rng.integers(len(self._synthetic))]
            crop = random_crop(rendered, None, config, rng)
        else:
            crop = self._crop(rng)
            if rng.random() < config["geometry"]["paste"]:
                donor = self._crop(rng)
                pasted = np.isin(donor.mask, THINGS)
                crop = Sample(
                    np.where(pasted[..., None], donor.image, crop.image),
                    np.where(pasted, donor.mask, crop.mask),
                )
        if rng.random() < config["pavement"]["p"]:
            crop = repaint_pavement(crop, config["pavement"], rng)
        return Sample(photometric(crop.image, config["photometry"], rng), crop.mask)

    def batch(self, step: int, progress: float) -> tuple[Tensor, Tensor]:
        """Draw a batch: images (N, H, W, 3) uint8 BGR, class masks (N, H, W) int64."""
        samples = [self.draw(step, i, progress) for i in range(self._config["batch"])]
        images = torch.from_numpy(np.stack([s.image for s in samples]))
        masks = torch.from_numpy(np.stack([s.mask for s in samples]).astype(np.int64))
        return images, masks


# ---------------------------------------------------------------------------------------------
# Network


class FoldedSegformer(nn.Module):
    """SegFormer with a folded decode head and its preprocessing, around the Hugging Face modules.

    `forward` takes images (N, H, W, 3) uint8 BGR and gives logits (N, 11, H/4, W/4) float32.
    """

    def __init__(self, model: SegformerForSemanticSegmentation) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        width = model.config.decoder_hidden_size
        identity = torch.eye(width).repeat(1, len(model.config.hidden_sizes))
        fuse = model.decode_head.linear_fuse.weight
        fuse.data.copy_(identity[..., None, None])
        fuse.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Compute the logits at a quarter of the image's resolution."""
        pixels = image.permute(0, 3, 1, 2).flip(1).float()
        pixels = (pixels - self.mean) / self.std
        stages = self.model.segformer(pixels, output_hidden_states=True).hidden_states
        head = self.model.decode_head
        fused = None
        for projection, stage in zip(head.linear_projections, stages, strict=True):
            linear = projection.proj
            projected = conv2d(stage, linear.weight[..., None, None], linear.bias)
            if fused is None:
                fused = projected
            else:
                fused = fused + interpolate(
                    projected, size=fused.shape[2:], mode="bilinear", align_corners=False
                )
        return head.classifier(head.dropout(torch.relu(head.batch_norm(fused))))


def load_model(folder: Path, **options: Any) -> SegformerForSemanticSegmentation:
    """Load a folder in Hugging Face layout whose decode head was trained folded."""
    # Attention written out trains faster than the fused operator on a CPU of two cores.
    model = SegformerForSemanticSegmentation.from_pretrained(
        folder, attn_implementation="eager", **options
    )
    identity = torch.eye(model.config.decoder_hidden_size).repeat(1, len(model.config.depths))
    if not torch.equal(model.decode_head.linear_fuse.weight[..., 0, 0], identity):
        raise SystemExit(f"{folder} was not trained folded: its fuse convolution does work")
    return model


def save_folder(model: SegformerForSemanticSegmentation, folder: Path) -> None:
    """Save a model in Hugging Face layout: config, safetensors, preprocessing."""
    model.save_pretrained(folder)
    preprocessing = {
        "image_processor_type": "SegformerImageProcessor",
        "do_resize": True,
        "size": {"height": INPUT_SIZE[0], "width": INPUT_SIZE[1]},
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
    }
    text = json.dumps(preprocessing, indent=1) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")


def build_network(config: Config, start: Path | None) -> FoldedSegformer:
    """Make the network with random weights, or with those of the folder `start`."""
    network = config["network"]
    regularisation = {
        "drop_path_rate": network["drop_path"],
        "classifier_dropout_prob": network["dropout"],
    }
    if start is not None:
        return FoldedSegformer(load_model(start, **regularisation))
    return FoldedSegformer(
        SegformerForSemanticSegmentation(
            SegformerConfig(
                hidden_sizes=network["encoder"],
                depths=network["depths"],
                num_attention_heads=network["heads"],
                decoder_hidden_size=network["head_width"],
                id2label=dict(enumerate(CLASSES)),
                label2id={name: i for i, name in enumerate(CLASSES)},
                attn_implementation="eager",
                **regularisation,
            )
        )
    )


# ---------------------------------------------------------------------------------------------
# Loss


def class_weights(frequency: np.ndarray, config: Config) -> Tensor:
    """Weight rare classes more: (median frequency / frequency) ** power, clipped."""
    weights = (np.median(frequency) / frequency) ** config["weight_power"]
    return torch.tensor(np.clip(weights, *config["weight_clip"]), dtype=torch.float32)


def lovasz_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """Lovasz-Softmax loss (Berman et al., CVPR 2018) over logits (P, C) and labels (P,).

    The convex surrogate of one minus the IoU, averaged over the classes present.
    """
    probabilities = logits.softmax(1)
    losses = []
    for label in labels.unique():
        truth = (labels == label).float()
        errors, order = (truth - probabilities[:, label]).abs().sort(descending=True)
        truth = truth[order]
        intersection = truth.sum() - truth.cumsum(0)
        union = truth.sum() + (1 - truth).cumsum(0)
        jaccard = 1 - intersection / union
        gradient = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
        losses.append(torch.dot(errors, gradient))
    return torch.stack(losses).mean()


def loss_of(
    logits: Tensor, masks: Tensor, weights: Tensor, progress: float, config: Config
) -> Tensor:
    """Weighted cross entropy at label resolution and, later on, Lovasz on some of the pixels."""
    full = interpolate(logits, size=masks.shape[1:], mode="bilinear", align_corners=False)
    loss = cross_entropy(full, masks, weights, ignore_index=VOID)
    lovasz = config["lovasz"]
    if progress >= lovasz["from"]:
        labelled = (masks != VOID).flatten().nonzero().squeeze(1)
        picked = labelled[torch.randint(len(labelled), (lovasz["pixels"],))]
        image, pixel = picked // masks[0].numel(), picked % masks[0].numel()
        sampled = full.flatten(2)[image, :, pixel]
        loss = loss + lovasz["weight"] * lovasz_softmax(sampled, masks.flatten()[picked])
    return loss


# ---------------------------------------------------------------------------------------------
# Scores


@dataclass(frozen=True)
class Scores:
    """IoU per class over a whole split, as shares of one."""

    iou: np.ndarray

    @property
    def mean(self) -> float:
        """The mean over the classes."""
        return float(np.nanmean(self.iou))

    def as_dict(self) -> dict[str, float]:
        """Name the scores, rounded for a log."""
        named = {name: round(float(v), 4) for name, v in zip(CLASSES, self.iou, strict=True)}
        return {"mIoU": round(self.mean, 4)} | named


def resize_frame(frame: np.ndarray) -> np.ndarray:
    """Stretch a frame to the network's input, as the segmenter does."""
    height, width = INPUT_SIZE
    shrinks = frame.shape[0] >= height and frame.shape[1] >= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(frame, (width, height), interpolation=method)


def evaluate(predict: Callable[[np.ndarray], Tensor], split: list[Sample]) -> Scores:
    """Score `predict`, which maps one resized frame (1, H, W, 3) to logits, on a split.

    As the segmenter does: the frame is resized to the input, the logits are upsampled
    bilinearly to the frame's size, and the class is the largest. Void is left out.
    """
    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for sample in split:
        image = resize_frame(sample.image)[None]
        logits = interpolate(
            predict(image), size=sample.mask.shape, mode="bilinear", align_corners=False
        )
        predicted = logits.argmax(1)[0].numpy()
        known = sample.mask != VOID
        pairs = sample.mask[known].astype(np.int64) * len(CLASSES) + predicted[known]
        confusion += np.bincount(pairs, minlength=confusion.size).reshape(confusion.shape)
    hit = np.diag(confusion)
    with np.errstate(invalid="ignore"):
        return Scores(hit / (confusion.sum(0) + confusion.sum(1) - hit))


def torch_predictor(network: FoldedSegformer) -> Callable[[np.ndarray], Tensor]:
    """Predict with the network in evaluation mode."""
    network.eval()

    @torch.inference_mode()
    def predict(image: np.ndarray) -> Tensor:
        return network(torch.from_numpy(image))

    return predict


# ---------------------------------------------------------------------------------------------
# Training


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Write next to `path` and rename, so that a reader never sees half a file."""
    partial = path.with_name(path.name + ".partial")
    write(partial)
    partial.replace(path)


class Trainer:
    """The state of a run: network, moving average, optimiser, and where in the schedule it is."""

    def __init__(self, args: argparse.Namespace, config: Config) -> None:
        torch.manual_seed(config["seed"])
        self.config = config
        self.out: Path = args.out
        self.finish_by: float | None = args.finish_by
        self.step = 0
        self.progress = 0.0
        self.best = 0.0
        self.stop = False
        self.seconds: deque[float] = deque(maxlen=STEP_HISTORY)
        train = load_split(args.data, "train")
        self.val = load_split(args.data, "val")
        mix = config["synthetic"]
        synthetic = synthetic_pool(mix, config["seed"]) if mix["share"] > 0 else []
        self.sampler = Sampler(train, synthetic, config)
        self.weights = class_weights(self.sampler.frequency, config["loss"])
        self.network = build_network(config, args.start)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        matrices, rest = [], []
        for parameter in self.network.parameters():
            if parameter.requires_grad:
                # Norms and biases are not decayed, as is usual for transformers.
                (matrices if parameter.ndim > 1 else rest).append(parameter)
        schedule = config["schedule"]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": schedule["weight_decay"]},
                {"params": rest, "weight_decay": 0.0},
            ],
            lr=schedule["learning_rate"],
            fused=True,
        )
        log.info("%d training and %d synthetic frames", len(train), len(synthetic))
        log.info("class weights %s", [round(w, 2) for w in self.weights.tolist()])

    @property
    def checkpoint(self) -> Path:
        """Where the run is kept for --resume."""
        return self.out / "checkpoint.pt"

    def save(self) -> None:
        """Write all that --resume needs."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "step": self.step,
            "progress": self.progress,
            "best": self.best,
        }
        write_atomically(self.checkpoint, lambda path: torch.save(state, path))

    def restore(self) -> None:
        """Continue where the checkpoint was written."""
        state = torch.load(self.checkpoint, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["torch_rng"])
        self.step, self.progress, self.best = state["step"], state["progress"], state["best"]
        log.info("resumed at step %d, %.1f %% of the schedule", self.step, 100 * self.progress)

    def learning_rate(self) -> float:
        """Linear warm-up, then polynomial decay to zero."""
        schedule = self.config["schedule"]
        warm = min(1.0, (self.progress + 1e-3) / schedule["warmup"])
        return schedule["learning_rate"] * warm * (1 - self.progress) ** schedule["power"]

    def advance(self, seconds: float) -> None:
        """Move on in the schedule after a step that took `seconds`, by count or by the clock."""
        self.step += 1
        self.seconds.append(seconds)
        if self.finish_by is None:
            self.progress = self.step / self.config["schedule"]["steps"]
        else:
            left = max(self.finish_by - time.time(), 0.0)
            self.progress += (1 - self.progress) * seconds / (seconds + left)

    def minutes_left(self) -> float:
        """Until the schedule ends, at the pace of the last steps."""
        if self.finish_by is not None:
            return (self.finish_by - time.time()) / 60
        steps = self.config["schedule"]["steps"] - self.step
        return steps * statistics.median(self.seconds) / 60

    def train_step(self, images: Tensor, masks: Tensor) -> float:
        """One step of the optimiser and of the moving average; returns the loss."""
        schedule = self.config["schedule"]
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.network.train()
        loss = loss_of(
            self.network(images), masks, self.weights, self.progress, self.config["loss"]
        )
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), schedule["clip_norm"])
        self.optimiser.step()
        # A young average follows quickly, an old one slowly.
        decay = min(schedule["ema"], (self.step + 1) / (self.step + 10))
        for averaged, current in zip(
            self.average.parameters(), self.network.parameters(), strict=True
        ):
            averaged.lerp_(current.detach(), 1 - decay)
        for averaged, current in zip(self.average.buffers(), self.network.buffers(), strict=True):
            averaged.copy_(current)
        return loss.item()

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches from the current step on, the next one drawn while this one is used."""
        with ThreadPoolExecutor(1) as pool:
            drawn = pool.submit(self.sampler.batch, self.step, self.progress)
            while True:
                batch = drawn.result()
                drawn = pool.submit(self.sampler.batch, self.step + 1, self.progress)
                yield batch

    def finish_epoch(self, losses: list[float]) -> None:
        """Score the average on the validation split, log it, keep it if best, checkpoint."""
        scores = evaluate(torch_predictor(self.average), self.val)
        record = {
            "step": self.step,
            "progress": round(self.progress, 4),
            "time": datetime.now().isoformat(timespec="seconds"),
            "loss": round(statistics.fmean(losses), 4),
            "val": scores.as_dict(),
        }
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        log.info("%s", json.dumps(record))
        if scores.mean > self.best:
            self.best = scores.mean
            save_folder(self.average.model, self.out / "best")
        self.save()

    def run(self) -> None:
        """Train to the end of the schedule, or until asked to stop."""
        epoch_steps = self.config["schedule"]["epoch_steps"]
        losses: list[float] = []
        batches = self.batches()
        finished = time.time()
        while not self.stop and self.progress < 1:
            losses.append(self.train_step(*next(batches)))
            started, finished = finished, time.time()
            self.advance(finished - started)
            if self.step % 20 == 0:
                log.info(
                    "step %d  %5.1f %%  loss %.3f  lr %.2e  %.2f s/step  %d min left",
                    self.step,
                    100 * self.progress,
                    statistics.fmean(losses[-20:]),
                    self.learning_rate(),
                    statistics.median(self.seconds),
                    self.minutes_left(),
                )
            if self.step % epoch_steps == 0:
                self.finish_epoch(losses)
                losses = []
        if self.stop:
            self.save()
            log.info("stopped at step %d; --resume continues", self.step)
            return
        if losses:
            self.finish_epoch(losses)
        save_folder(self.average.model, self.out / "last")


# ---------------------------------------------------------------------------------------------
# Command line


def parse_time(text: str) -> float:
    """Turn HH:MM into the next such moment, in seconds since the epoch."""
    now = datetime.now()
    moment = datetime.strptime(text, "%H:%M").replace(now.year, now.month, now.day)
    return (moment if moment > now else moment + timedelta(days=1)).timestamp()


def train(args: argparse.Namespace) -> None:
    """Train as the command line asks."""
    config = yaml.safe_load(args.config.read_text(encoding="utf-8"))
    args.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(args, config)
    if args.resume and trainer.checkpoint.exists():
        trainer.restore()

    def ask_to_stop(_signal: int, _frame: object) -> None:
        trainer.stop = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    trainer.run()


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("camvid.yaml"))
    parser.add_argument("--start", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--finish-by", type=parse_time, help="HH:MM")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    cv2.setNumThreads(1)
    torch.set_num_threads(args.threads)
    train(args)


if __name__ == "__main__":
    main()
