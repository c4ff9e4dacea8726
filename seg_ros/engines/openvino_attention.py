"""Attention out of an ONNX network on the CPU, through OpenVINO."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

from seg_ros.engines.openvino import compile_network, read_network


class OpenVinoAttention:
    """The softmaxes of a network. Implements :class:`seg_ros.segment.attention.AttentionSource`.

    The mean over the queries, or the choice of one, is made inside the graph, and only what leads
    to the chosen softmax is compiled: neither later stages nor the decode head are run.

    Args:
        path: the ONNX file.
        threads: CPU threads, 0 for all cores.

    Raises:
        SegRosError: the file is no segmentation network.

    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        self._path, self._threads = path, threads
        self._network = read_network(path)
        _, height, width, _ = self._network.input().shape
        self.input_size = (int(height), int(width))
        self._weights = [
            node.output(0) for node in self._network.get_ordered_ops() if _is_attention(node)
        ]
        self.shapes = [
            (int(heads), int(queries), int(keys))
            for *_, heads, queries, keys in (weights.shape for weights in self._weights)
        ]

    def choose(self, index: int) -> None:
        """Compile the network up to one of the softmaxes."""
        weights = self._weights[index]
        query = ops.parameter([], np.int32, name="query")
        axis = len(weights.shape) - 2
        answers = [
            ops.reduce_mean(weights, np.array([axis])),
            ops.gather(weights, query, np.int64(axis)),
        ]
        part = ov.Model(answers, [*self._network.get_parameters(), query], "attention")
        self._request = compile_network(part, str(self._path), self._threads).create_infer_request()
        self._answer_shape = (self.shapes[index][0], self.shapes[index][2])

    def infer(self, image: NDArray[np.uint8], query: int | None) -> NDArray[np.float32]:
        """Run the network; return the (heads, keys) attention of a query, or the mean of all."""
        self._request.infer([image[None], np.array(query or 0, np.int32)])
        answer = self._request.get_output_tensor(0 if query is None else 1).data
        return np.array(answer, np.float32).reshape(self._answer_shape)


def _is_attention(node: ov.Node) -> bool:
    """Whether this may be a softmax over keys, of one frame: (1, heads, queries, keys)."""
    if node.get_type_name() != "Softmax":
        return False
    shape = node.output(0).partial_shape
    if shape.is_dynamic or len(shape) < 3:
        return False
    over_last = node.get_attributes()["axis"] in (-1, len(shape) - 1)
    return over_last and prod(shape.to_shape()[:-3]) == 1
