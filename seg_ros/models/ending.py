"""How a network ends: in logits, in probabilities of them, or in a decision made of either.

Confidence is the softmax of the logits; of probabilities it would come out far too low, and of
class ids there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, numpy_helper

CLASS_AXIS = 1
"""Of N x C x h x w."""
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
WHOLES = (
    TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16, TensorProto.UINT32,
    TensorProto.INT32, TensorProto.UINT64, TensorProto.INT64, TensorProto.BOOL,
)  # fmt: skip
_RESHAPES = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")
"""What gives another shape to values that stay in their order."""
_MOVES = ("Identity", "Dropout", "Cast", "Transpose", *_RESHAPES)
"""What may stand after a softmax: it moves values and changes none."""
_MIXES = ("Resize", "Upsample", "AveragePool", "Slice", "Clip")
"""What leaves probabilities probabilities, but does not commute with a softmax."""
_COMPARISONS = ("Greater", "GreaterOrEqual")


@dataclass(frozen=True)
class Softening:
    """A Softmax over the classes or a Sigmoid, which made probabilities of logits."""

    node: NodeProto
    consumer: NodeProto | None
    """The node after it; None at the very end."""
    mixed: bool
    """Whether values are mixed between it and the end."""


@dataclass(frozen=True)
class Ending:
    """What an output was made of."""

    source: str
    """The tensor before the decision; the output itself where nothing is decided."""
    softening: Softening | None = None
    """What made probabilities of logits, before :attr:`source`."""
    decision: NodeProto | None = None
    """The ArgMax, or the comparison of one channel, that made class ids."""
    threshold: float | None = None
    """Of that comparison: the probability above which it is the second class."""
    class_axis: int = CLASS_AXIS
    """Of :attr:`source`, which has four axes."""


class Graph:
    """The nodes of a network by what they make, with the shapes and constants that are known.

    Args:
        network: best with its shapes inferred.

    """

    def __init__(self, network: onnx.ModelProto) -> None:
        graph = network.graph
        self.makers = {output: node for node in graph.node for output in node.output}
        self._values = {v.name: v for v in (*graph.value_info, *graph.input, *graph.output)}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return a tensor's shape where all of it is known."""
        if name in self._constants:
            return tuple(self._constants[name].dims)
        value = self._values.get(name)
        if value is None or not value.type.tensor_type.HasField("shape"):
            return None
        sizes = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        return None if 0 in sizes else sizes

    def number(self, name: str) -> float | None:
        """Return the value of a constant of one element."""
        tensor = self._constants.get(name)
        node = self.makers.get(name)
        if tensor is None and node is not None and node.op_type == "Constant":
            found = {a.name: a for a in node.attribute}
            if "value_float" in found:
                return float(found["value_float"].f)
            tensor = found["value"].t if "value" in found else None
        if node is not None and node.op_type in ("Cast", "Identity"):
            return self.number(node.input[0])
        if tensor is None or tensor.external_data or math.prod(tensor.dims) != 1:
            return None
        return float(np.asarray(numpy_helper.to_array(tensor)).reshape(-1)[0])


def find_ending(graph: Graph, name: str) -> Ending:
    """Walk back from the output ``name`` to what it was made of."""
    decision = _decision(graph, name)
    if decision is not None:
        if decision.op_type == "ArgMax":
            ending = _of_arg_max(graph, decision)
        else:
            ending = _of_comparison(graph, decision)
        if ending is not None:
            return ending
    return Ending(name, _softening(graph, name))


def _decision(graph: Graph, name: str) -> NodeProto | None:
    """Find what decided the ids of an output, past what only moves them."""
    node = graph.makers.get(name)
    while node is not None and node.op_type in ("Identity", "Cast", *_RESHAPES):
        node = graph.makers.get(node.input[0])
    decides = node is not None and node.op_type in ("ArgMax", *_COMPARISONS)
    return node if decides else None


def _of_arg_max(graph: Graph, decision: NodeProto) -> Ending | None:
    source = decision.input[0]
    shape = graph.shape(source)
    if shape is None or len(shape) != 4 or shape[0] != 1:
        return None
    axis = attribute(decision, "axis", 0) % 4
    if axis not in (1, 3):
        return None
    return _before(graph, source, decision, axis)


def _of_comparison(graph: Graph, decision: NodeProto) -> Ending | None:
    """``score > constant``, of one channel."""
    limit = graph.number(decision.input[1])
    source = decision.input[0]
    shape = graph.shape(source)
    while shape is None or len(shape) != 4:
        node = graph.makers.get(source)
        if node is None or node.op_type not in ("Identity", "Cast", *_RESHAPES):
            return None
        source = node.input[0]
        shape = graph.shape(source)
    if limit is None or shape[:2] != (1, 1):
        return None
    ending = _before(graph, source, decision, CLASS_AXIS)
    if ending.softening is None:
        threshold = 1 / (1 + math.exp(-min(max(limit, -80.0), 80.0)))
    else:
        threshold = limit
    if not 0 < threshold < 1:
        return None
    return Ending(ending.source, ending.softening, decision, threshold)


def _before(graph: Graph, source: str, decision: NodeProto, axis: int) -> Ending:
    """Look at what was decided of; an enlargement by a whole number of logits is left out."""
    softening = _softening(graph, source, axis)
    if softening is None or (not softening.mixed and softening.consumer is None):
        start = source if softening is None else softening.node.input[0]
        smaller = _before_enlargement(graph, start)
        if smaller != start and _softening(graph, smaller, axis) is None:
            return Ending(smaller, None, decision, class_axis=axis)
    return Ending(source, softening, decision, class_axis=axis)


def _before_enlargement(graph: Graph, name: str) -> str:
    """Return what a bilinear enlargement by whole numbers made ``name`` of, or ``name``.

    It is the same interpolation that the class decision does at the frame's size.
    """
    start = name
    node = graph.makers.get(name)
    while node is not None and node.op_type in ("Identity", "Cast"):
        name = node.input[0]
        node = graph.makers.get(name)
    if node is None or node.op_type != "Resize":
        return start
    words = {a.name: a.s.decode() for a in node.attribute if a.type == onnx.AttributeProto.STRING}
    if words.get("mode") != "linear":
        return start
    pixels = words.get("coordinate_transformation_mode", "half_pixel")
    if pixels not in ("half_pixel", "pytorch_half_pixel"):
        return start
    if attribute(node, "antialias", 0) or attribute(node, "exclude_outside", 0):
        return start
    small, large = graph.shape(node.input[0]), graph.shape(name)
    if small is None or large is None or len(small) != 4 or len(large) != 4:
        return start
    whole = all(b % a == 0 for a, b in zip(small, large, strict=True))
    return node.input[0] if whole and small != large else start


def _softening(graph: Graph, name: str, axis: int = CLASS_AXIS) -> Softening | None:
    """Walk back from a tensor to the node that normalised it over its axis ``axis``."""
    mixed = False
    consumer: NodeProto | None = None
    while (node := graph.makers.get(name)) is not None:
        if node.op_type == "Sigmoid":
            return Softening(node, consumer, mixed)
        if node.op_type == "Softmax":
            shape = graph.shape(name)
            rank = 4 if shape is None else len(shape)
            over = attribute(node, "axis", -1) % rank
            return Softening(node, consumer, mixed) if over == axis else None
        if node.op_type not in (*_MOVES, *_MIXES):
            return None
        if node.op_type == "Cast" and attribute(node, "to", 0) not in FLOATS:
            return None
        if node.op_type == "Transpose":
            order = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
            if order is None:
                shape = graph.shape(name)
                order = list(range(4 if shape is None else len(shape)))[::-1]
            axis = order[axis]
        if node.op_type in _RESHAPES:
            before = _axis_before(graph, node, axis)
            if before is None:
                return None
            axis = before
        mixed |= node.op_type in _MIXES
        name, consumer = node.input[0], node
    return None


def _axis_before(graph: Graph, node: NodeProto, axis: int) -> int | None:
    """Return which axis of its input is ``axis`` of the output of a node that reshapes.

    Values stay in their order, so it is the one as long, with as many values behind each step.
    """
    old, new = graph.shape(node.input[0]), graph.shape(node.output[0])
    if old is None or new is None or axis >= len(new):
        return None
    length, step = new[axis], math.prod(new[axis + 1 :])
    fits = (a for a, n in enumerate(old) if n == length and math.prod(old[a + 1 :]) == step)
    return next(fits, None)


def attribute(node: NodeProto, name: str, default: int) -> int:
    """Return a whole number that a node says, or what it means where it does not."""
    return next((int(a.i) for a in node.attribute if a.name == name), default)
