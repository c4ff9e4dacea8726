"""What an ONNX network says of its inputs, outputs and what lies between, in words."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper, shape_inference

PREFIX = "network/"
"""Before every name of a network that is wrapped; left out where it is named to a person."""

Dims = list[int | None]


def dims_of(value: onnx.ValueInfoProto) -> Dims:
    """Return the sizes of a value; None where one is open."""
    shape = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in shape]


def shape_text(dims: Dims) -> str:
    """Put sizes as ``1 x 3 x ?``."""
    return " x ".join("?" if d is None else str(d) for d in dims) or "without a shape"


def kind_text(value: onnx.ValueInfoProto) -> str:
    """Say type and sizes of a value."""
    kind = TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
    return f"{kind} {shape_text(dims_of(value))}"


def describe(values: Sequence[onnx.ValueInfoProto]) -> str:
    """Say names, types and sizes of values."""
    return "; ".join(f"{value.name.removeprefix(PREFIX)!r}, {kind_text(value)}" for value in values)


def with_shapes(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return a network with the shapes that can be found; what is wrong with it is said later."""
    try:
        return shape_inference.infer_shapes(network, data_prop=True)
    except Exception:  # too large, or damaged
        return network


def without_shape(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """Return a value without its sizes."""
    return helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, None)
