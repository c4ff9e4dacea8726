"""Scores of a network that is being trained, on the frames of a pack that are kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import interpolate

from seg_ros.teach.packed import Frame


@dataclass(frozen=True)
class ClassScores:
    """IoU by class name; only classes that occur in the labels."""

    iou: dict[str, float]

    @property
    def mean(self) -> float:
        """Mean over the classes that occur in the labels, 0 without any."""
        return float(np.mean(list(self.iou.values()))) if self.iou else 0.0


def resize_frame(image: NDArray[np.uint8], size: Sequence[int]) -> NDArray[np.uint8]:
    """Stretch a (H, W, 3) frame to (height, width), as the segmenter does."""
    height, width = size
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)


@torch.inference_mode()
def class_scores(
    network: nn.Module, frames: Sequence[Frame], classes: Sequence[str], size: Sequence[int]
) -> ClassScores:
    """Score a network on frames whose labels are single classes; all else in them is left out.

    As the segmenter does: the frame is stretched to `size` (height, width), the logits are
    upsampled bilinearly to the label's size, the largest wins. Every class can be predicted; one
    that the labels do not know is then simply wrong.
    """
    network.eval()
    device = next(network.parameters()).device
    count = len(classes)
    confusion = np.zeros((count, count), np.int64)
    for frame in frames:
        image = torch.from_numpy(resize_frame(frame.image, size))[None].to(device)
        logits = interpolate(
            network(image), size=frame.label.shape, mode="bilinear", align_corners=False
        )
        said = logits.argmax(1)[0].cpu().numpy()
        known = frame.label < count
        pairs = frame.label[known].astype(np.int64) * count + said[known]
        confusion += np.bincount(pairs, minlength=count**2).reshape(count, count)
    hit, truth = np.diag(confusion), confusion.sum(1)
    union = truth + confusion.sum(0) - hit
    return ClassScores(
        {name: float(hit[i] / union[i]) for i, name in enumerate(classes) if truth[i]}
    )
