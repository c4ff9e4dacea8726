"""How a network ends: what turns its logits into probabilities comes off, or is undone.

Confidence is the softmax of the logits; of probabilities it would come out far too low.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASS_AXIS = 1
"""Of N x C x h x w."""
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
_MOVES = ("Identity", "Dropout", "Cast", "Transpose")
"""What may stand after a softmax: it moves values and changes none."""
_MIXES = ("Resize", "Upsample", "AveragePool", "Slice", "Clip")
"""What leaves probabilities probabilities, but does not commute with a softmax."""
_SMALLEST = 1e-7
"""A probability below is taken for this: its logarithm must be finite, in float16 too."""


def is_normalised(network: onnx.ModelProto) -> bool:
    """Tell whether a network's output is probabilities."""
    return _find(network, network.graph.output[0].name)[0] is not None


def logits_of(
    network: onnx.ModelProto, name: str, threshold: float | None
) -> tuple[str, list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Find the logits behind the output ``name`` of a network.

    A Softmax over the classes or a Sigmoid comes off where nothing but moves of values stands after
    it (exporters of opset 11 write Transpose, Softmax, Transpose); the nodes after it take its
    input, in place. Where an enlargement or the like stands after it, the probabilities' logarithm
    (or log odds) follows: softmax gives them back as they were.

    Args:
        network: of opset 13 or later; changed.
        name: of an N x C x h x w output.
        threshold: makes two classes of one channel: the second where its probability is above.

    Returns:
        The name of the float32 logits, and nodes and constants to append.

    """
    end, consumer, mixed = _find(network, name)
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    if end is not None and not mixed:
        if consumer is None:
            name = end.input[0]
        else:
            consumer.input[0] = end.input[0]

    def then(operator: str, output: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def constant(key: str, value: float) -> str:
        constants.append(numpy_helper.from_array(np.array(value, np.float32), key))
        return key

    name = then("Cast", "ending_float", name, to=TensorProto.FLOAT)
    if end is not None and mixed:
        low, high = constant("ending_low", _SMALLEST), constant("ending_high", 1 - _SMALLEST)
        name = then("Clip", "ending_share", name, low, high)
        share = name
        name = then("Log", "ending_log", share)
        if end.op_type == "Sigmoid":
            rest = then("Sub", "ending_rest", constant("ending_one", 1.0), share)
            name = then("Sub", "ending_odds", name, then("Log", "ending_log_rest", rest))
    if threshold is not None:
        odds = constant("ending_threshold", math.log(threshold / (1 - threshold)))
        above = then("Sub", "ending_above", name, odds)
        # Not a constant: it takes the shape, and stays NaN where the network answers with NaN.
        level = then("Mul", "ending_background", name, constant("ending_zero", 0.0))
        name = then("Concat", "ending_both", level, above, axis=CLASS_AXIS)
    return name, nodes, constants


def _find(
    network: onnx.ModelProto, name: str
) -> tuple[onnx.NodeProto | None, onnx.NodeProto | None, bool]:
    """Walk back from an output to the node that normalises it.

    Returns:
        That node or None, the node after it (None at the very end), and whether values are mixed
        in between.

    """
    makers = {output: node for node in network.graph.node for output in node.output}
    axis, mixed = CLASS_AXIS, False
    consumer: onnx.NodeProto | None = None
    while (node := makers.get(name)) is not None:
        if node.op_type == "Sigmoid":
            return node, consumer, mixed
        if node.op_type == "Softmax":
            over = _attribute(node, "axis", -1)
            return (node, consumer, mixed) if over in (axis, axis - 4) else (None, None, False)
        if node.op_type not in (*_MOVES, *_MIXES):
            break
        if node.op_type == "Cast" and _attribute(node, "to", 0) not in _FLOATS:
            break
        if node.op_type == "Transpose":
            order = next((list(a.ints) for a in node.attribute if a.name == "perm"), [3, 2, 1, 0])
            if len(order) != 4:
                break
            axis = order[axis]
        mixed |= node.op_type in _MIXES
        name, consumer = node.input[0], node
    return None, None, False


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), default)
