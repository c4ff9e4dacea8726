"""What is minimised, and how a network is scored on a split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

from recipe.network import FoldedSegformer
from recipe.samples import CLASSES, INPUT_SIZE, VOID, Config, Sample


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
