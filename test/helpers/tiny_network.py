"""A segmentation network of standard form, small enough to run hundreds of times in a test.

Image 32 x 48, five classes, logits at 8 x 12: normalisation, an encoder of two convolutions and an
attention-like product with LayerNormalization and Softmax, and a head of two levels that are
projected, upsampled, added, rectified and classified, as a folded SegFormer's are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from onnx import TensorProto, helper, numpy_helper

SIZE = (32, 48)
CLASSES = 5
LOGITS = (CLASSES, 8, 12)


class Builder:
    """Collects nodes and weights."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(10)

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(
            helper.make_node(operator, inputs, [output], name=f"/{output}", **attributes)
        )
        return output

    def weight(self, name: str, values: Any) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def random(self, name: str, *shape: int) -> str:
        scale = 1.5 / np.sqrt(np.prod(shape[1:]))
        return self.weight(name, self._rng.normal(0, scale, shape).astype(np.float32))


def tiny_network(path: Path, weights: dict[str, np.ndarray] | None = None, opset: int = 18) -> Path:
    """Write it; ``weights`` replaces some by name."""
    b = Builder()
    f32 = np.float32
    b.node("Transpose", ["image"], "planes", perm=[0, 3, 1, 2])
    b.node("Cast", ["planes"], "floats", to=TensorProto.FLOAT)
    b.weight("mean", np.array([104, 117, 124], f32).reshape(3, 1, 1))
    b.weight("std", np.array([57, 57, 58], f32).reshape(3, 1, 1))
    b.node("Sub", ["floats", "mean"], "centred")
    b.node("Div", ["centred", "std"], "normal")
    # A weight stored as half, as the embedded model has them.
    half = np.random.default_rng(1).normal(0, 0.1, (8, 3, 7, 7)).astype(np.float16)
    b.weight("patch.weight.half", half)
    b.node("Cast", ["patch.weight.half"], "patch.weight", to=TensorProto.FLOAT)
    b.weight("patch.bias", np.linspace(-1, 1, 8, dtype=f32))
    b.node(
        "Conv", ["normal", "patch.weight", "patch.bias"], "stage1",
        kernel_shape=[7, 7], strides=[4, 4], pads=[3, 3, 3, 3],
    )  # fmt: skip
    b.random("deep.weight", 16, 8, 3, 3)
    b.node(
        "Conv", ["stage1", "deep.weight"], "deep",
        kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
    )  # fmt: skip
    b.weight("tokens.shape", np.array([1, 16, 24], np.int64))
    b.node("Reshape", ["deep", "tokens.shape"], "columns")
    b.node("Transpose", ["columns"], "tokens", perm=[0, 2, 1])
    b.weight("norm.weight", np.full(16, 1.1, f32))
    b.weight("norm.bias", np.full(16, 0.1, f32))
    b.node("LayerNormalization", ["tokens", "norm.weight", "norm.bias"], "normed", epsilon=1e-6)
    b.random("query.weight", 16, 16)
    b.node("MatMul", ["normed", "query.weight"], "query")
    b.node("Transpose", ["normed"], "key", perm=[0, 2, 1])
    b.node("MatMul", ["query", "key"], "scores")
    b.weight("scale", np.array(0.25, f32))
    b.node("Mul", ["scores", "scale"], "scaled")
    b.node("Softmax", ["scaled"], "attention", axis=-1)
    b.node("MatMul", ["attention", "normed"], "mixed")
    b.node("Add", ["mixed", "tokens"], "residual")
    b.node("Transpose", ["residual"], "back", perm=[0, 2, 1])
    b.weight("map.shape", np.array([1, 16, 4, 6], np.int64))
    b.node("Reshape", ["back", "map.shape"], "stage2")
    b.random("project1.weight", 12, 8, 1, 1)
    b.random("project2.weight", 12, 16, 1, 1)
    b.node("Conv", ["stage1", "project1.weight"], "projected1")
    b.node("Conv", ["stage2", "project2.weight"], "projected2")
    b.weight("upsample.scales", np.array([1, 1, 2, 2], f32))
    b.node(
        "Resize", ["projected2", "", "upsample.scales"], "upsampled",
        mode="linear", coordinate_transformation_mode="half_pixel",
    )  # fmt: skip
    b.node("Add", ["projected1", "upsampled"], "fused")
    b.node("Relu", ["fused"], "rectified")
    b.random("classify.weight", CLASSES, 12, 1, 1)
    b.weight("classify.bias", np.linspace(-0.2, 0.2, CLASSES, dtype=f32))
    b.node("Conv", ["rectified", "classify.weight", "classify.bias"], "logits")
    given = weights or {}
    kept = [w if w.name not in given else _named(given[w.name], w.name) for w in b.weights]
    graph = helper.make_graph(
        b.nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, *SIZE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, *LOGITS])],
        kept,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def _named(values: np.ndarray, name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(values, name)


def tiny_image(seed: int = 0) -> np.ndarray:
    """Blobs of colour, (32, 48, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return np.ascontiguousarray(np.kron(coarse, np.ones((8, 8, 1), np.uint8)))
