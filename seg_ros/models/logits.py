"""The logits behind a network's output: what turned them into something else comes off.

What cannot come off is undone, as far as it can be.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from seg_ros.models.ending import CLASS_AXIS, Ending, Softening

_SMALLEST = 1e-7
"""A probability below is taken for this: its logarithm must be finite, in float16 too."""
_TO_CLASSES_FIRST = [0, 3, 1, 2]


class Tail:
    """Nodes and constants that are appended to a network; each name is made once."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def then(self, operator: str, output: str, *inputs: str, **attributes: Any) -> str:
        """Append a node; return the name of what it makes."""
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        """Append a constant; return its name."""
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name


def append_logits(
    ending: Ending, threshold: float | None, *, probabilities: bool = False
) -> tuple[str, Tail]:
    """Take off what made probabilities or class ids of logits, and bring those into their form.

    A Softmax over the classes or a Sigmoid comes off where nothing but moves of values stands after
    it (exporters of opset 11 write Transpose, Softmax, Transpose); the nodes after it take its
    input, in place. Where an enlargement or the like stands after it, the probabilities' logarithm
    (or log odds) follows: softmax gives them back as they were.

    Args:
        ending: of a network of opset 13 or later, whose nodes are changed.
        threshold: makes two classes of one channel: the second where its probability is above.
        probabilities: whether the values are some, although nothing in the network says so.

    Returns:
        The name of the N x C x h x w float32 logits, and what to append.

    """
    tail = Tail()
    then, constant = tail.then, tail.constant
    softening, name = ending.softening, ending.source
    mixed = False
    if softening is not None:
        mixed = softening.mixed
        if not mixed and softening.consumer is None:
            name = softening.node.input[0]
        elif not mixed and softening.consumer is not None:
            softening.consumer.input[0] = softening.node.input[0]
    name = then("Cast", "ending_float", name, to=TensorProto.FLOAT)
    if ending.class_axis != CLASS_AXIS:
        name = then("Transpose", "ending_classes_first", name, perm=_TO_CLASSES_FIRST)
    if mixed or probabilities:
        odds = _is_sigmoid(softening) if mixed else threshold is not None
        name = _undo(tail, name, odds)
    if threshold is not None:
        limit = constant("ending_threshold", math.log(threshold / (1 - threshold)))
        above = then("Sub", "ending_above", name, limit)
        # Not a constant: it takes the shape, and stays NaN where the network answers with NaN.
        level = then("Mul", "ending_background", name, constant("ending_zero", 0.0))
        name = then("Concat", "ending_both", level, above, axis=CLASS_AXIS)
    return name, tail


def append_one_hot(name: str, classes: int) -> tuple[str, Tail]:
    """Make 1 for its class and 0 for the others of each class id.

    Args:
        name: of N x h x w, N x 1 x h x w or h x w whole numbers.
        classes: how many there are. An id beyond gives NaN, so that it is noticed.

    Returns:
        The name of N x C x h x w float32, and what to append.

    """
    tail = Tail()
    then, constant = tail.then, tail.constant
    ids = then("Cast", "ending_ids", name, to=TensorProto.FLOAT)
    each = constant("ending_classes", np.arange(classes).reshape(1, classes, 1, 1))
    same = then("Equal", "ending_same", ids, each)
    share = then("Cast", "ending_share", same, to=TensorProto.FLOAT)
    axes = constant("ending_axis", [CLASS_AXIS], np.int64)
    count = then("ReduceSum", "ending_count", share, axes, keepdims=1)
    return then("Div", "ending_one_hot", share, count), tail


def _is_sigmoid(softening: Softening | None) -> bool:
    return softening is not None and softening.node.op_type == "Sigmoid"


def _undo(tail: Tail, name: str, odds: bool) -> str:
    """Append the logarithm of probabilities, or of their odds."""
    then, constant = tail.then, tail.constant
    low, high = constant("ending_low", _SMALLEST), constant("ending_high", 1 - _SMALLEST)
    share = then("Clip", "ending_share", name, low, high)
    name = then("Log", "ending_log", share)
    if odds:
        rest = then("Sub", "ending_rest", constant("ending_one", 1.0), share)
        name = then("Sub", "ending_odds", name, then("Log", "ending_log_rest", rest))
    return name
