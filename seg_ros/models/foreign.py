"""Any ONNX segmentation network becomes one in the standard form, by surgery on its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, checker, compose, helper, numpy_helper, shape_inference
from onnx import version_converter as converter
from onnx.external_data_helper import load_external_data_for_model, uses_external_data

from seg_ros.errors import SegRosError
from seg_ros.models.catalogue import Model
from seg_ros.models.ending import Ending, Graph, find_ending
from seg_ros.models.options import Normalisation, file_beside
from seg_ros.models.outputs import check_logits, choose_output, end_in_logits
from seg_ros.models.values import (
    PREFIX,
    Dims,
    describe,
    dims_of,
    kind_text,
    shape_text,
    with_shapes,
    without_shape,
)

OPSET = 17
"""The lowest that has LayerNormalization as one operator."""
LARGEST = 2**31 - 1
"""Bytes of a protobuf message; beyond, weights need files of their own."""


def is_standard(network: onnx.ModelProto) -> bool:
    """Tell whether a network is in the standard form already."""
    inputs, outputs = _inputs(network), network.graph.output
    if len(inputs) != 1 or len(outputs) != 1 or _opset(network) < OPSET:
        return False
    dims = dims_of(inputs[0])
    return (
        inputs[0].type.tensor_type.elem_type == TensorProto.UINT8
        and len(dims) == 4
        and (dims[0], dims[3]) == (1, 3)
        and None not in dims
        and outputs[0].type.tensor_type.elem_type == TensorProto.FLOAT
        and len(dims_of(outputs[0])) == 4
        and find_ending(Graph(with_shapes(network)), outputs[0].name) == Ending(outputs[0].name)
    )


def read_onnx(path: Path, weights: bool = True) -> onnx.ModelProto:
    """Read an ONNX file; without ``weights`` those in files of their own are left there.

    Raises:
        SegRosError: it is no ONNX, or a file with its weights is missing.

    """
    try:
        network = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise SegRosError(f"{path}: not a whole ONNX file ({_one_line(error)})") from error
    if not network.graph.node or not network.graph.output:
        raise SegRosError(f"{path}: not a whole ONNX file (its graph is empty)")
    outside = {
        entry.value
        for tensor in network.graph.initializer
        if uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    for name in sorted(outside):
        if Path(name).name != name or not (path.parent / name).is_file():
            raise SegRosError(f"{path}: its weights are in {name}, which must lie beside it")
    if weights and outside:
        try:
            load_external_data_for_model(network, str(path.parent))
        except Exception as error:  # a file too short, or refused by onnx' own checks
            raise SegRosError(f"{path}: its weights cannot be read ({_one_line(error)})") from error
    return network


def input_size(
    network: onnx.ModelProto, model: Model, asked: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Return the (height, width) a network is made for, or what is asked where it leaves it open.

    Raises:
        SegRosError: its input is no image, has another size, or leaves it open and nothing says it.

    """
    source = _image_input(network, model.path)
    _, height, width = _layout(dims_of(source), model.path)
    return _choose_size((height, width), model, asked)


def standard_form(
    model: Model, size: tuple[int, int] | None = None, *, probabilities: bool = False
) -> tuple[onnx.ModelProto, bool]:
    """Wrap a network so that it takes uint8 BGR images and gives float32 logits.

    What made probabilities or class ids of the logits is left out; see
    :func:`seg_ros.models.logits.append_logits`. Of class ids whose logits are not found come ones
    and zeros.

    Args:
        model: an ONNX file that takes one float image N x 3 x H x W (or N x H x W x 3), with
            options that say its normalisation, its output where it has several, and its size
            where it has none of its own. One that takes uint8 N x H x W x 3 has the normalisation
            inside.
        size: (height, width) of the input, where the network leaves it open.
        probabilities: whether its output was found to be some, by its values.

    Returns:
        The network, and whether its logits say how sure it is.

    Raises:
        SegRosError: the network has another form, or its options are incomplete.

    """
    path = model.path
    network = compose.add_prefix(_upgrade(read_onnx(path), path), PREFIX)
    source = _image_input(network, path)
    own_name = source.name.removeprefix(PREFIX)
    channels_first, height, width = _layout(dims_of(source), path)
    height, width = _choose_size((height, width), model, size)
    normalisation = model.options.normalisation
    kind = source.type.tensor_type.elem_type
    complete = kind == TensorProto.UINT8 and not channels_first
    if complete and normalisation:
        raise SegRosError(
            f"{path}: takes uint8 images, so its normalisation is inside; remove mean, std, scale "
            f"and order from {file_beside(path)}"
        )
    constants: list[onnx.TensorProto] = []
    if complete:
        nodes = [helper.make_node("Identity", ["image"], [source.name])]
    elif normalisation is None:
        raise SegRosError(
            f"{path}: takes {own_name!r}, {kind_text(source)}; say its normalisation in "
            f"{file_beside(path)}, as 'network: {{mean: [...], std: [...], order: rgb}}'"
        )
    else:
        nodes, constants = _preprocess(source.name, kind, normalisation, channels_first)
    output = choose_output(network, model)
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, height, width, 3])
    # What is left out are comments, and shapes that may be those of another size.
    wrapped = helper.make_model(
        helper.make_graph(
            [*nodes, *network.graph.node], "network", [image], [without_shape(output)],
            [*network.graph.initializer, *constants],
            sparse_initializer=network.graph.sparse_initializer,
        ),
        opset_imports=network.opset_import,
        functions=network.functions,
        ir_version=network.ir_version,
    )  # fmt: skip
    wrapped, confident = end_in_logits(wrapped, output, model, probabilities)
    return _checked(wrapped, model), confident


def _checked(network: onnx.ModelProto, model: Model) -> onnx.ModelProto:
    """Find the shapes of a wrapped network and check its logits."""
    path = model.path
    if network.ByteSize() > LARGEST:
        raise SegRosError(f"{path}: larger than 2 GB, the most an ONNX file can hold")
    try:
        network = shape_inference.infer_shapes(network, strict_mode=True, data_prop=True)
        answer = network.graph.output[0]
        if not answer.type.tensor_type.HasField("shape"):
            # Operators that onnx knows nothing of: the engine finds the size, and is checked then.
            shape: list[int | str | None] = [1, len(model.labels), "h", "w"]
            answer.CopyFrom(helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape))
        checker.check_model(network)
    except (checker.ValidationError, shape_inference.InferenceError) as error:
        raise SegRosError(f"{path}: not a valid ONNX network ({_one_line(error)})") from error
    check_logits(network.graph.output[0], model, wrapped=True)
    return network


def _inputs(network: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs; old files list their weights among them."""
    return [value for value in network.graph.input if not _is_weight(value, network)]


def _is_weight(value: onnx.ValueInfoProto, network: onnx.ModelProto) -> bool:
    return any(value.name == tensor.name for tensor in network.graph.initializer)


def _image_input(network: onnx.ModelProto, path: Path) -> onnx.ValueInfoProto:
    inputs = _inputs(network)
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8)
    if len(inputs) != 1:
        raise SegRosError(
            f"{path}: takes {len(inputs)} inputs ({describe(inputs)}); a network "
            "that takes one image is needed"
        )
    if inputs[0].type.tensor_type.elem_type not in kinds:
        raise SegRosError(f"{path}: takes {describe(inputs)}; float or uint8 is needed")
    return inputs[0]


def _layout(dims: Dims, path: Path) -> tuple[bool, int | None, int | None]:
    """Return whether channels come first, and height and width where they are fixed."""
    if len(dims) == 4 and dims[0] in (1, None):
        if dims[1] == 3 or (dims[1] is None and dims[3] != 3):
            return True, dims[2], dims[3]
        if dims[3] == 3:
            return False, dims[1], dims[2]
    raise SegRosError(
        f"{path}: its input is {shape_text(dims)}; one image, 1 x 3 x H x W or 1 x H x W x 3, "
        "is needed"
    )


def _choose_size(
    own: tuple[int | None, int | None], model: Model, asked: tuple[int, int] | None = None
) -> tuple[int, int]:
    wanted = asked or model.options.size
    sides = []
    for index, side in enumerate(own):
        if side is None and wanted is None:
            raise SegRosError(
                f"{model.path}: leaves its input size open; choose one with --size HxW or in "
                f"{file_beside(model.path)}, as 'network: {{size: [512, 1024]}}'"
            )
        if side is not None and wanted is not None and side != wanted[index]:
            fixed = " x ".join("any" if s is None else str(s) for s in own)
            raise SegRosError(
                f"{model.path}: is made for {fixed} images, not {wanted[0]} x {wanted[1]}"
            )
        sides.append(side if side is not None else wanted[index] if wanted else 0)
    return sides[0], sides[1]


def _preprocess(
    name: str, dtype: int, normalisation: Normalisation, channels_first: bool
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Make the nodes from ``image`` to what the network takes under ``name``."""
    shape = (1, 3, 1, 1) if channels_first else (1, 1, 1, 3)
    # (pixel / scale - mean) / std, in numbers of 0 to 255.
    mean, std = (
        (normalisation.scale * np.array(v)).astype(np.float32).reshape(shape)
        for v in (normalisation.mean, normalisation.std)
    )
    constants = {"image_mean": mean, "image_std": std}
    nodes = []
    last = "image"

    def then(operator: str, output: str, *others: str, **attributes: Any) -> None:
        nonlocal last
        nodes.append(helper.make_node(operator, [last, *others], [output], **attributes))
        last = output

    if normalisation.order == "rgb":
        constants["image_order"] = np.array([2, 1, 0])
        then("Gather", "image_rgb", "image_order", axis=3)
    if channels_first:
        then("Transpose", "image_planes", perm=[0, 3, 1, 2])
    then("Cast", "image_float", to=TensorProto.FLOAT)
    then("Sub", "image_centred", "image_mean")
    then("Div", "image_normalised", "image_std")
    then("Cast", name, to=dtype)
    return nodes, [numpy_helper.from_array(value, key) for key, value in constants.items()]


def _upgrade(network: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Bring the operators to a version that TensorRT and float16 can do with."""
    version = _opset(network)
    if version >= OPSET:
        return network
    try:
        return converter.convert_version(network, OPSET)
    except Exception as error:  # the converter is C++ and says what it dislikes in many ways
        raise SegRosError(
            f"{path}: is of opset {version}, and onnx cannot convert it to {OPSET} "
            f"({_one_line(error)}); export it again with opset_version={OPSET}"
        ) from error


def _opset(network: onnx.ModelProto) -> int:
    return next((o.version for o in network.opset_import if o.domain in ("", "ai.onnx")), 0)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
