"""The precision of a network, written into its ONNX: encoder in half, head and decision in float32.

TensorRT 11 and TensorRT-RTX know strongly typed networks only, where every layer computes in the
type the file gives it, and TensorRT 10 can be told to. So the file decides, and what it decides can
be read, checked and run by any other runtime.

Every network is cut in three by one rule that needs no names:

* the normalisation, which is what comes before the first layer: float32;
* the head, which is the last :data:`HEAD_LAYERS` layers on the way to the logits and all between
  and after them: float32. Of a folded SegFormer that is exactly its decode head;
* the encoder, everything else: float16 or bfloat16.

A layer is a convolution or matrix product with weights of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import (
    NodeProto,
    TensorProto,
    helper,
    inliner,
    numpy_helper,
    reference,
    shape_inference,
    version_converter,
)

from seg_ros.errors import SegRosError

PRECISIONS = ("fp32", "fp16", "bf16")
"""What an encoder can compute in."""
ISLANDS = ("LayerNormalization", "Softmax")
"""The operators that lose most in half precision: worth keeping in float32 where that matters."""
HEAD_LAYERS = 2
"""The last so many layers of a network are its head."""

_LOW_TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_TYPE_NAMES = {TensorProto.FLOAT16: "tensor(float16)", TensorProto.BFLOAT16: "tensor(bfloat16)"}
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# What exporters leave between stored weights and the layers that use them, and what they write
# where a network asks for a size that it could know.
_FOLDED = (
    "Add", "Cast", "Ceil", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Expand",
    "Floor", "Gather", "Identity", "Max", "Min", "Mod", "Mul", "Neg", "Range", "ReduceProd",
    "Reshape", "Shape", "Slice", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Where",
)  # fmt: skip
_BF16_OPSET = 22  # the first in which Conv takes bfloat16


def write_mixed(
    network: Path,
    out: Path,
    precision: str = "fp16",
    mask_size: tuple[int, int] | None = None,
    islands: Collection[str] = (),
) -> None:
    """Write a network the way TensorRT is to build it.

    Args:
        network: ONNX in standard form: ``image`` 1 x H x W x 3 uint8 in, ``logits`` 1 x C x h x w
            float32 out, normalisation inside.
        out: file to write; an older one is replaced only when the new one is whole.
        precision: one of :data:`PRECISIONS`.
        mask_size: (H, W) in pixels of the class mask the network decides; its input size by
            default.
        islands: operators of the encoder that stay in float32, such as :data:`ISLANDS`.

    The file has the same input and three outputs:

    * ``mask`` 1 x H x W uint8: argmax of the logits resized bilinearly to ``mask_size`` (half
      pixel centres, as torch does without ``align_corners``); ties go to the lowest class;
    * ``logits`` as before, float32;
    * ``magnitude`` float32 scalar: sum of the absolute values of the logits and of everything that
      enters the head. It is NaN or infinite as soon as one of them is, so a runtime need not fetch
      them to know. The logits alone would not do: a GPU's ReLU turns NaN into 0.

    A weight that the precision cannot hold (float16 ends at 65504, and a lone 1e-12 becomes 0)
    keeps its operator in float32.

    Raises:
        SegRosError: unknown precision, or the file is no network of standard form that can be
            written so.

    """
    if precision not in PRECISIONS:
        raise SegRosError(f"precision {precision!r} is unknown; use one of {', '.join(PRECISIONS)}")
    model = _load(network)
    low_type = _LOW_TYPES.get(precision)
    try:
        if low_type == TensorProto.BFLOAT16 and _opset(model) < _BF16_OPSET:
            model = version_converter.convert_version(model, _BF16_OPSET)
        _cast_image_first(model.graph)
        model = _fold_constants(model)
        graph = model.graph
        input_size = _check_form(graph, network)
        encoder, entering = _cut(graph)
        _add_outputs(graph, entering, mask_size or input_size)
        if low_type is not None:
            _refuse_control_flow(graph, network)
            _Lowering(model, low_type, islands).apply(encoder)
        del graph.value_info[:]  # of types that no longer hold
        onnx.checker.check_model(model, full_check=True)
    except (
        onnx.checker.ValidationError,
        shape_inference.InferenceError,
        version_converter.ConvertError,
    ) as error:
        reason = str(error).strip().splitlines()[-1]
        raise SegRosError(f"{network}: no {precision} network can be made of it: {reason}") from (
            error
        )
    temporary = out.with_name(f".{out.name}.part")
    try:
        onnx.save(model, temporary)
        temporary.replace(out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SegRosError(f"{out}: cannot be written: {error.strerror}") from error


def _load(network: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(network)
        onnx.checker.check_model(model)
    except OSError as error:
        raise SegRosError(f"{network}: cannot be read: {error.strerror}") from error
    except Exception as error:  # protobuf's own errors differ from version to version
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SegRosError(f"{network}: not a valid ONNX network: {reason}") from error
    return inliner.inline_local_functions(model)


def _opset(model: onnx.ModelProto) -> int:
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)


def _check_form(graph: onnx.GraphProto, network: Path) -> tuple[int, int]:
    """Return the input's (H, W) in pixels."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    want = "it must take `image` 1 x H x W x 3 uint8 and give `logits` 1 x C x h x w float32"
    if [v.name for v in inputs] != ["image"] or [v.name for v in graph.output] != ["logits"]:
        names = [[value.name for value in values] for values in (inputs, graph.output)]
        raise SegRosError(f"{network}: has inputs {names[0]} and outputs {names[1]}; {want}")
    image, logits = inputs[0].type.tensor_type, graph.output[0].type.tensor_type
    size, answer = ([d.dim_value for d in t.shape.dim] for t in (image, logits))
    if image.elem_type != TensorProto.UINT8 or len(size) != 4 or size[::3] != [1, 3] or 0 in size:
        raise SegRosError(f"{network}: input `image` has another type or shape, {size}; {want}")
    if logits.elem_type != TensorProto.FLOAT or len(answer) != 4 or answer[0] != 1 or 0 in answer:
        sizes = " x ".join(str(size or "?") for size in answer)
        raise SegRosError(f"{network}: output `logits` has another type or shape, {sizes}; {want}")
    if answer[1] > 255:
        raise SegRosError(f"{network}: {answer[1]} classes do not fit a uint8 class mask")
    return size[1], size[2]


def _fold_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """Compute what does not depend on the image; return the model with all types and shapes.

    Otherwise a weight stored as float16 and cast to float32 would not be seen as a weight, and a
    network that works out its own sizes would have none.
    """
    while True:
        model = shape_inference.infer_shapes(
            model, check_type=True, strict_mode=True, data_prop=True
        )
        if not _fold_once(model):
            return model


def _fold_once(model: onnx.ModelProto) -> bool:
    """Fold what can be folded by what is known; return whether there was anything."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    known_shapes: dict[str, list[int]] = {}
    for value in (*graph.value_info, *graph.input):
        sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.HasField("shape") and all(size > 0 for size in sizes):
            known_shapes[value.name] = sizes
    kept = []
    for node in graph.node:
        folded = None
        if node.op_type == "Shape" and not node.attribute and node.input[0] in known_shapes:
            folded = np.array(known_shapes[node.input[0]], np.int64)
        elif node.op_type in _FOLDED and all(name in constants for name in node.input if name):
            folded = _evaluate(node, constants, model)
        if folded is None:
            kept.append(node)
        else:
            constants[node.output[0]] = numpy_helper.from_array(folded, node.output[0])
    if len(kept) == len(graph.node):
        return False
    used = {name for node in kept for name in node.input} | {v.name for v in graph.output}
    _replace(graph, kept, [t for name, t in constants.items() if name in used])
    return True


def _evaluate(
    node: NodeProto, constants: dict[str, TensorProto], model: onnx.ModelProto
) -> NDArray[Any]:
    given = {name: numpy_helper.to_array(constants[name]) for name in node.input if name}
    graph = helper.make_graph(
        [node],
        "constant",
        [_like(constants[name]) for name in given],
        [helper.make_empty_tensor_value_info(node.output[0])],
    )
    single = helper.make_model(graph, opset_imports=model.opset_import)
    (folded,) = reference.ReferenceEvaluator(single).run(None, given)
    return np.asarray(folded)


def _like(tensor: TensorProto) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))


def _replace(
    graph: onnx.GraphProto, nodes: list[NodeProto], initializers: list[TensorProto]
) -> None:
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(initializers)


def _cast_image_first(graph: onnx.GraphProto) -> None:
    """Make the cast to float32 the first thing that happens to the image.

    TensorRT takes uint8 at the network's ends only: nothing but a cast may touch it.
    """
    readers = [node for node in graph.node if "image" in node.input]
    if all(_casts_to_float(node) for node in readers):
        return
    for node in readers:
        node.input[:] = ["image.float" if name == "image" else name for name in node.input]
    del graph.value_info[:]
    graph.node.insert(
        0,
        helper.make_node(
            "Cast", ["image"], ["image.float"], name="image.cast", to=TensorProto.FLOAT
        ),
    )


def _casts_to_float(node: NodeProto) -> bool:
    return node.op_type == "Cast" and helper.get_node_attr_value(node, "to") == TensorProto.FLOAT


def _cut(graph: onnx.GraphProto) -> tuple[set[str], list[str]]:
    """Names of what the encoder's nodes give, and of the float32 tensors that enter the head."""
    weights = {tensor.name: tensor for tensor in graph.initializer}

    def is_layer(node: NodeProto) -> bool:
        return node.op_type in _LAYERS and any(
            name in weights and len(weights[name].dims) >= 2 for name in node.input
        )

    after_layer: set[str] = set()
    normalised = []
    for node in graph.node:
        seen = is_layer(node) or any(name in after_layer for name in node.input)
        normalised.append(seen)
        if seen and node.op_type not in ("Shape", "Size"):  # half cannot count beyond 2048
            after_layer.update(node.output)

    # Most layers between a tensor and the logits, on whichever way has most.
    ahead = {"logits": 0}
    encoder: set[str] = set()
    head_inputs: dict[str, None] = {}
    made_by_head: set[str] = set()
    for node, seen in zip(reversed(graph.node), reversed(normalised), strict=True):
        reached = [ahead[name] for name in node.output if name in ahead]
        if not reached:
            continue
        layers = max(reached) + is_layer(node)
        for name in node.input:
            ahead[name] = max(layers, ahead.get(name, 0))
        if layers < HEAD_LAYERS or (layers == HEAD_LAYERS and is_layer(node)):
            made_by_head.update(node.output)
            head_inputs.update(dict.fromkeys(name for name in node.input if name))
        elif seen:
            encoder.update(node.output)
    floats = {
        value.name
        for value in graph.value_info
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    entering = [
        name for name in head_inputs if name in floats and name not in made_by_head | set(weights)
    ]
    return encoder, entering


def _refuse_control_flow(graph: onnx.GraphProto, network: Path) -> None:
    for node in graph.node:
        if any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute):
            raise SegRosError(
                f"{network}: node {node.name or node.op_type} branches or loops ({node.op_type}); "
                "such a network can be built in fp32 only"
            )


class _Lowering:
    """Gives nodes another float type and casts at the borders."""

    def __init__(
        self, model: onnx.ModelProto, low: TensorProto.DataType, islands: Collection[str]
    ) -> None:
        self._graph = model.graph
        self._opset = _opset(model)
        self._low = low
        self._islands = frozenset(islands)
        self._weights = {tensor.name: tensor for tensor in self._graph.initializer}
        values = (*self._graph.value_info, *self._graph.input, *self._graph.output)
        self._types = {value.name: value.type.tensor_type.elem_type for value in values}
        self._types.update({name: tensor.data_type for name, tensor in self._weights.items()})
        self._lowered: set[str] = set()  # tensors whose maker gives them in the low type
        self._converted: dict[tuple[str, bool], str] = {}
        self._nodes: list[NodeProto] = []

    def apply(self, encoder: set[str]) -> None:
        """Lower the nodes that give the tensors named."""
        for node in list(self._graph.node):
            lowered = self._inputs_to_lower(node) if encoder.intersection(node.output) else None
            for index, name in enumerate(node.input):
                if self._types.get(name) == TensorProto.FLOAT:
                    wanted = lowered is not None and index in lowered
                    node.input[index] = self._in_type(name, wanted)
            if lowered is not None:
                floats = [n for n in node.output if self._types.get(n) == TensorProto.FLOAT]
                self._lowered.update(floats)
                if node.op_type == "Cast":
                    del node.attribute[:]  # the others are of eight-bit types
                    node.attribute.append(helper.make_attribute("to", self._low))
            self._nodes.append(node)
        used = {name for node in self._nodes for name in node.input}
        _replace(self._graph, self._nodes, [t for n, t in self._weights.items() if n in used])

    def _inputs_to_lower(self, node: NodeProto) -> set[int] | None:
        """Which inputs of a node take the low type; None for a node that stays as it is."""
        if node.domain not in ("", "ai.onnx") or node.op_type in self._islands:
            return None
        schema = onnx.defs.get_schema(node.op_type, self._opset)
        allowed = {
            constraint.type_param_str: _TYPE_NAMES[self._low] in constraint.allowed_type_strs
            for constraint in schema.type_constraints
        }
        inputs: dict[int, str] = {}
        for index, name in enumerate(node.input):
            if self._types.get(name) == TensorProto.FLOAT:
                kind = schema.inputs[min(index, len(schema.inputs) - 1)].type_str
                if allowed.get(kind, False):
                    inputs[index] = kind
        outputs = {
            schema.outputs[min(index, len(schema.outputs) - 1)].type_str
            for index, name in enumerate(node.output)
            if self._types.get(name) == TensorProto.FLOAT
        }
        if not outputs or not all(allowed.get(kind, False) for kind in outputs):
            return None
        if node.op_type != "Cast" and not outputs <= set(inputs.values()):
            return None
        if not all(self._holds(node.input[index]) for index in inputs):
            return None
        return set(inputs)

    def _holds(self, name: str) -> bool:
        """Whether the low type holds a weight: nothing overflows, and not all of it vanishes."""
        if name not in self._weights:
            return True
        values: NDArray[np.float32] = numpy_helper.to_array(self._weights[name])
        low = _to_float32(_round(values, self._low), self._low)
        vanished = bool(values.any()) and not low.any()
        return not vanished and bool((np.isfinite(low) == np.isfinite(values)).all())

    def _in_type(self, name: str, low: bool) -> str:
        """Name of a tensor in the wanted type; converted or cast where it has the other one."""
        if low == (name in self._lowered):
            return name
        key = (name, low)
        if key not in self._converted:
            kind = self._low if low else TensorProto.FLOAT
            suffix = TensorProto.DataType.Name(kind).lower()
            converted = self._converted[key] = f"{name}.{suffix}"
            if name in self._weights:
                tensor = self._weights[name]
                rounded = _round(numpy_helper.to_array(tensor), kind)
                self._weights[converted] = TensorProto(
                    name=converted, data_type=kind, dims=tensor.dims, raw_data=rounded.tobytes()
                )
            else:
                self._nodes.append(
                    helper.make_node("Cast", [name], [converted], name=f"{converted}.cast", to=kind)
                )
        return self._converted[key]


def _round(values: NDArray[np.float32], kind: int) -> NDArray[np.uint16]:
    """Bits of the nearest values of a 16-bit type, ties to even."""
    if kind == TensorProto.FLOAT16:
        with np.errstate(over="ignore"):
            return values.astype("<f2").view(np.uint16)
    bits = np.ascontiguousarray(values, np.dtype("<f4")).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _to_float32(bits: NDArray[np.uint16], kind: int) -> NDArray[np.float32]:
    if kind == TensorProto.FLOAT16:
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _add_outputs(graph: onnx.GraphProto, entering: list[str], size: tuple[int, int]) -> None:
    """Append the class decision and the check for NaN and infinity."""
    classes = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    graph.initializer.append(
        numpy_helper.from_array(np.array([1, classes, *size], np.int64), "mask.size")
    )
    graph.node.extend([
        helper.make_node(
            "Resize", ["logits", "", "", "mask.size"], ["mask.logits"], name="mask.resize",
            mode="linear", coordinate_transformation_mode="half_pixel",
        ),
        helper.make_node(
            "ArgMax", ["mask.logits"], ["mask.index"], name="mask.argmax", axis=1, keepdims=0
        ),
        # By way of float32: TensorRT 10.3 has no cast from an index to uint8.
        helper.make_node(
            "Cast", ["mask.index"], ["mask.float"], name="mask.cast_float", to=TensorProto.FLOAT
        ),
        helper.make_node(
            "Cast", ["mask.float"], ["mask"], name="mask.cast_uint8", to=TensorProto.UINT8
        ),
    ])  # fmt: skip
    sums = []
    for index, name in enumerate(["logits", *entering]):
        sums.append(f"magnitude.{index}")
        graph.node.append(
            helper.make_node("ReduceL1", [name], [sums[-1]], name=sums[-1], keepdims=0)
        )
    graph.node.append(helper.make_node("Sum", sums, ["magnitude"], name="magnitude"))
    graph.output.insert(
        0, helper.make_tensor_value_info("mask", TensorProto.UINT8, [1, size[0], size[1]])
    )
    graph.output.append(helper.make_tensor_value_info("magnitude", TensorProto.FLOAT, []))
