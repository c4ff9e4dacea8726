"""What every engine offers: a network with a fixed input size, loaded and ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

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

    def infer(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network.

        Args:
            image: (H, W, 3) uint8 BGR, C-contiguous, of :attr:`input_size`; the network normalises.

        Returns:
            (C, h, w) float32 logits. They lie in the engine's own memory and are overwritten by
            the next call.

        """
