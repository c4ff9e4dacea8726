"""What the attention heads of a SegFormer look at.

In every block of a SegFormer (Xie et al., 2021, https://arxiv.org/abs/2105.15203) each token of its
stage, the query, spreads its attention over the tokens of a coarser grid, the keys:
``softmax(Q K^T / sqrt(d))`` in every head. Hugging Face calls these tensors ``attentions``. They
are read from the network itself, as the mean over the queries or that of one of them: of 64 MB per
head in the first stage at 512x1024 a map of 2 kB comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.errors import SegRosError
from seg_ros.models.catalogue import Form, Model
from seg_ros.models.network import Network
from seg_ros.segment.mosaic import attention_mosaic

_STRIDES = (4, 8, 16, 32)
"""Pixels per token in the four stages."""
_REDUCTIONS = (1, 2, 4, 8, 16, 32)
"""Tokens per key along a side that are recognised; the published networks have 8, 4, 2 and 1."""


@dataclass(frozen=True)
class AttentionBlock:
    """A transformer block and its heads."""

    stage: int
    """From 1."""
    block: int
    """Within the stage, from 1."""
    heads: int
    queries: tuple[int, int]
    """Rows and columns of the stage's tokens."""
    keys: tuple[int, int]
    """Rows and columns of the tokens attended to."""
    stride: int
    """Pixels of the network's input per query, along a side."""
    reduction: int
    """Queries per key, along a side."""


@dataclass(frozen=True)
class AttentionMaps:
    """What the heads of a block attend to in one frame."""

    block: AttentionBlock
    shares: NDArray[np.float32]
    """(heads, rows, columns) of the keys: the part of a head's attention each gets; sums to one."""
    extent: tuple[float, float]
    """Rows and columns of keys that would cover the frame exactly."""
    query: tuple[int, int] | None
    """(x, y) pixel of the frame whose attention this is; None for the mean over all queries."""


class AttentionSource(Protocol):
    """A network whose attention can be read."""

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the image that :meth:`infer` takes."""

    @property
    def shapes(self) -> Sequence[tuple[int, int, int]]:
        """(heads, queries, keys) of everything in the network that may be attention, in order."""

    def choose(self, index: int) -> None:
        """Say which of :attr:`shapes` is wanted from now on."""

    def infer(self, image: NDArray[np.uint8], query: int | None) -> NDArray[np.float32]:
        """Run the network on one frame.

        Args:
            image: (H, W, 3) uint8 BGR of :attr:`input_size`.
            query: which query's attention is wanted; None for the mean over all.

        Returns:
            (heads, keys) float32.

        """


def open_attention(
    model: Model, size: tuple[int, int] | None = None, threads: int = 0
) -> AttentionSource:
    """Open the network of a model to read its attention.

    A checkpoint is run by torch, on the GPU where there is one; an ONNX network by OpenVINO.

    Args:
        model: a SegFormer.
        size: (height, width) of the network's input in pixels; None for the model's own.
        threads: CPU threads for OpenVINO, 0 for all cores.

    Raises:
        SegRosError: the model cannot be read, or what it takes is not installed.

    """
    with TemporaryDirectory(prefix="seg_ros-") as work:
        network = Network(model, Path(work), size)
        if model.form is Form.CHECKPOINT:
            module = network.torch()
            from seg_ros.engines.torch_attention import TorchAttention

            return TorchAttention(module, network.input_size)
        # A vehicle may lack what others are prepared with.
        as_it_is = model.shipped and size is None
        path = model.path if as_it_is else network.onnx()
        try:
            from seg_ros.engines.openvino_attention import OpenVinoAttention
        except ImportError as error:
            raise SegRosError(
                "reading attention from an ONNX network needs OpenVINO: pip install openvino"
            ) from error
        return OpenVinoAttention(path, threads)


class AttentionNetwork:
    """A block of a SegFormer, and what its heads look at in frames. One caller at a time.

    Args:
        source: the network.
        name: of the model, for messages.
        stage: which stage, from 1.
        block: which of its blocks, from 1; None for the last.

    Raises:
        SegRosError: the network is no SegFormer, or has no such stage or block.

    """

    def __init__(
        self, source: AttentionSource, name: str, stage: int = 4, block: int | None = None
    ) -> None:
        found = _attention_blocks(source)
        self.blocks = tuple(found)
        """Every block of the model, in its order."""
        self.block = _choose(self.blocks, name, stage, block)
        """The block whose attention is read."""
        self.model_name = name
        self._source = source
        source.choose(found[self.block])

    @classmethod
    def load(
        cls,
        model: Model,
        stage: int = 4,
        block: int | None = None,
        size: tuple[int, int] | None = None,
        threads: int = 0,
    ) -> AttentionNetwork:
        """Open a model; arguments and errors as for this class and :func:`open_attention`."""
        if model.fit == "letterbox":
            raise SegRosError(
                f"model {model.name} takes frames in a letterbox; attention is drawn of networks "
                "that take the frame stretched"
            )
        return cls(open_attention(model, size, threads), model.name, stage, block)

    def maps(self, frame: NDArray[np.uint8], query: tuple[int, int] | None = None) -> AttentionMaps:
        """Run the network on one frame.

        Args:
            frame: (H, W, 3) uint8 BGR of any size; it is stretched to the network's input size.
            query: (x, y) pixel of the frame whose attention is wanted; None for the mean over all.

        Raises:
            SegRosError: the pixel lies outside the frame, or the answer has NaN or infinity in it.

        """
        block, size = self.block, self._source.input_size
        token = None if query is None else _token(block, size, frame.shape[:2], query)
        image = np.ascontiguousarray(frame)
        if frame.shape[:2] != size:
            image = np.asarray(cv2.resize(image, size[::-1]), np.uint8)  # as the segmenter does
        shares = self._source.infer(image, token).reshape(block.heads, *block.keys)
        if not np.isfinite(shares).all():
            raise SegRosError(f"model {self.model_name} answered with NaN or infinity")
        key = block.stride * block.reduction
        return AttentionMaps(block, shares, (size[0] / key, size[1] / key), query)

    def check_head(self, head: int | None) -> None:
        """Raise SegRosError when the block has no such head."""
        if head is not None and not 1 <= head <= self.block.heads:
            raise SegRosError(
                f"there is no head {head}: stage {self.block.stage} of {self.model_name} has heads "
                f"1 to {self.block.heads}"
            )


def attention_picture(
    frame: NDArray[np.uint8], maps: AttentionMaps, head: int | None = None, moment: str = ""
) -> NDArray[np.uint8]:
    """Draw a frame and its attention; see :func:`seg_ros.segment.mosaic.attention_mosaic`.

    Args:
        frame: (H, W, 3) uint8 BGR.
        maps: its attention.
        head: the one head to show, from 1; None for all.
        moment: when it was, for people.

    """
    block = maps.block
    heads = range(1, block.heads + 1) if head is None else (head,)
    whose = (
        f"mean of {prod(block.queries)} queries"
        if maps.query is None
        else f"query at {maps.query[0]},{maps.query[1]}"
    )
    return attention_mosaic(
        frame,
        maps.shares[[h - 1 for h in heads]],
        maps.extent,
        [f"head {h}" for h in heads],
        ", ".join(filter(None, [f"stage {block.stage}", f"block {block.block}", whose, moment])),
        maps.query,
    )


def _attention_blocks(source: AttentionSource) -> dict[AttentionBlock, int]:
    """Find every block and which of the source's shapes is its attention, in order."""
    found: dict[AttentionBlock, int] = {}
    for index, shape in enumerate(source.shapes):
        for stage, stride in enumerate(_STRIDES, 1):
            # Every halving rounds up: the patches overlap and the edges are padded.
            grid = (-(-source.input_size[0] // stride), -(-source.input_size[1] // stride))
            reduction = _reduction(grid, shape[2])
            if prod(grid) == shape[1] and reduction:
                number = 1 + sum(b.stage == stage for b in found)
                # The reduction has no padding: what is left over at the end belongs to no key.
                keys = (grid[0] // reduction, grid[1] // reduction)
                block = AttentionBlock(stage, number, shape[0], grid, keys, stride, reduction)
                found[block] = index
                break
    return found


def _reduction(grid: tuple[int, int], keys: int) -> int:
    """Return how many queries a key has along a side; 0 if no coarser grid has so many keys."""
    fitting = (r for r in _REDUCTIONS if (grid[0] // r) * (grid[1] // r) == keys)
    return next(fitting, 0)


def _choose(
    blocks: tuple[AttentionBlock, ...], name: str, stage: int, block: int | None
) -> AttentionBlock:
    """Return the block asked for, or say which there are."""
    if not blocks:
        raise SegRosError(
            f"model {name} has no attention to show: its network has no softmax over the tokens of "
            "a SegFormer"
        )
    of_stage = [b for b in blocks if b.stage == stage]
    if not of_stage:
        stages = sorted({b.stage for b in blocks})
        raise SegRosError(
            f"there is no stage {stage}: model {name} has stages {stages[0]} to {stages[-1]}"
        )
    if block is not None and not 1 <= block <= len(of_stage):
        raise SegRosError(
            f"there is no block {block}: stage {stage} of {name} has blocks 1 to {len(of_stage)}"
        )
    return of_stage[-1 if block is None else block - 1]


def _token(
    block: AttentionBlock,
    size: tuple[int, int],
    frame: tuple[int, ...],
    query: tuple[int, int],
) -> int:
    """Index of the query whose square of the network's input holds a pixel of the frame."""
    x, y = query
    height, width = frame[:2]
    if not (0 <= x < width and 0 <= y < height):
        raise SegRosError(
            f"query {x},{y} is outside the frame: x is 0 to {width - 1}, y is 0 to {height - 1}"
        )
    row = int((y + 0.5) * size[0] / height) // block.stride
    column = int((x + 0.5) * size[1] / width) // block.stride
    return row * block.queries[1] + column
