"""What every engine offers: a network with a fixed input size, loaded and ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class EngineInfo:
    """Where the network runs, for people and diagnostics."""

    runtime: str
    """Runtime and version, such as ``openvino 2026.4.1``."""
    device: str
    """Full name of the processor, such as ``AMD EPYC``."""
    precision: str
    """Arithmetic of the network, such as ``fp32``."""


@dataclass(frozen=True)
class Platform:
    """What an engine is built for; it runs nowhere else."""

    runtime: str
    """One of :data:`seg_ros.support.choices.RUNTIMES`, not ``auto``."""
    version: str
    """Of the runtime."""
    device: str
    """Name of the GPU or CPU; empty where the engine is portable."""
    compute_capability: str
    """Of an NVIDIA GPU, such as ``8.7``; empty otherwise."""


@dataclass(frozen=True)
class Inference:
    """What a network answered. All of it lies in the engine's memory until the next call."""

    logits: Callable[[], NDArray[np.float32]]
    """Gives the (C, h, w) float32 logits. On a GPU they are fetched only when this is called."""
    finite: bool
    """Whether no logit is NaN or infinite."""
    mask: NDArray[np.uint8] | None = None
    """(H, W) uint8 class ids, where the engine decides them itself; their size is its own."""


class Engine(Protocol):
    """A loaded network. Not thread-safe: one caller at a time."""

    @property
    def info(self) -> EngineInfo:
        """Runtime, device and precision."""

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the image that :meth:`infer` takes."""

    @property
    def class_count(self) -> int:
        """Number of classes, the first axis of the logits."""

    def infer(self, image: NDArray[np.uint8]) -> Inference:
        """Run the network.

        Args:
            image: (H, W, 3) uint8 BGR, C-contiguous, of :attr:`input_size`; the network normalises.

        """


@runtime_checkable
class SharedEngine(Protocol):
    """An engine whose network can run for several callers at a time."""

    def share(self, callers: int) -> list[Engine]:
        """Return engines for ``callers`` callers on one network in memory, for throughput.

        Each answers with the same logits as this engine, which need not be used any more.
        """


def check_image(image: NDArray[np.uint8], size: tuple[int, int]) -> None:
    """See that an image is what :meth:`Engine.infer` takes.

    Raises:
        ValueError: it has another shape or dtype.

    """
    if image.shape != (*size, 3) or image.dtype != np.uint8:
        raise ValueError(f"image must be {(*size, 3)} uint8, not {image.shape} {image.dtype}")
