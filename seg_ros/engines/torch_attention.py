"""Attention out of a checkpoint, through torch, on the GPU where there is one."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seg_ros.models.folding import FoldedSegformer


class TorchAttention:
    """The attention of a checkpoint. Implements :class:`seg_ros.segment.attention.AttentionSource`.

    Only the block that is looked at computes its softmax as a tensor; the others go on with the
    fused kernels that never have one. Stages after it are not run.

    Args:
        network: the checkpoint; it is taken over.
        input_size: (height, width) in pixels at which it is run.

    """

    def __init__(self, network: FoldedSegformer, input_size: tuple[int, int]) -> None:
        self.input_size = input_size
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._network = network.to(self._device).eval()
        self._blocks: list[tuple[int, Any]] = []
        self.shapes: list[tuple[int, int, int]] = []
        for stage, module in enumerate(network.stages):
            height, width = (-(-side // (4 << stage)) for side in input_size)
            for block in module.blocks:
                attention = block.attention
                reduction = attention.sequence_reduction_ratio
                keys = (height // reduction) * (width // reduction)
                self._blocks.append((stage, attention))
                self.shapes.append((attention.num_attention_heads, height * width, keys))
        self._query: int | None = None
        self._answer: torch.Tensor | None = None
        self._stage = 0

    def choose(self, index: int) -> None:
        """Have one of the blocks keep its attention; once per object."""
        self._stage, attention = self._blocks[index]
        attention.config = copy.copy(attention.config)  # the other blocks share it
        attention.config._attn_implementation = "eager"
        attention.register_forward_hook(self._keep)

    def _keep(self, module: torch.nn.Module, arguments: Any, result: Any) -> None:
        weights = result[1][0]
        self._answer = weights.mean(dim=1) if self._query is None else weights[:, self._query]

    def infer(self, image: NDArray[np.uint8], query: int | None) -> NDArray[np.float32]:
        """Run the network; return the (heads, keys) attention of a query, or the mean of all."""
        self._query = query
        with torch.inference_mode():
            features = self._network.normalise(torch.tensor(image[None], device=self._device))
            for stage in self._network.stages[: self._stage + 1]:
                features = stage(features)
        assert self._answer is not None
        answer: NDArray[np.float32] = self._answer.float().cpu().numpy()
        self._answer = None
        return answer
