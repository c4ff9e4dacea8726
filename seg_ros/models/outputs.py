"""What a network answers becomes logits of a label set, or is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from seg_ros.errors import SegRosError
from seg_ros.models.catalogue import Model
from seg_ros.models.ending import FLOATS, WHOLES, Graph, attribute, find_ending
from seg_ros.models.logits import append_logits, append_one_hot
from seg_ros.models.options import file_beside
from seg_ros.models.values import PREFIX, describe, dims_of, shape_text, with_shapes

_RANDOM = ("RandomUniform", "RandomUniformLike", "RandomNormal", "RandomNormalLike", "Bernoulli")


def choose_output(network: onnx.ModelProto, model: Model) -> onnx.ValueInfoProto:
    """Return the output that is wanted.

    Raises:
        SegRosError: it is not there, or nothing says which of several it is.

    """
    outputs = list(network.graph.output)
    listed = describe(outputs)
    name = model.options.output
    if not name and len(outputs) > 1:
        raise SegRosError(
            f"{model.path}: has {len(outputs)} outputs ({listed}); say which are the logits in "
            f"{file_beside(model.path)}, as 'network: {{output: NAME}}'"
        )
    chosen = [o for o in outputs if not name or o.name == PREFIX + name]
    if not chosen:
        raise SegRosError(f"{model.path}: has no output {name!r}, but {listed}")
    result: onnx.ValueInfoProto = chosen[0]
    return result


def end_in_logits(
    wrapped: onnx.ModelProto, output: onnx.ValueInfoProto, model: Model, probabilities: bool
) -> tuple[onnx.ModelProto, bool]:
    """Make logits the only output of a network.

    Args:
        wrapped: takes ``image`` and gives ``output``.
        output: the one that is wanted, with its sizes as the file says them.
        model: whose classes it is to have.
        probabilities: whether the output was found to be some.

    Returns:
        The network, and whether its logits say how sure it is.

    Raises:
        SegRosError: it has other classes, or gives something else.

    """
    wrapped = with_shapes(wrapped)
    known = Graph(wrapped)
    ending = find_ending(known, output.name)
    threshold = model.options.threshold or ending.threshold
    kind = output.type.tensor_type.elem_type
    confident = True
    if ending.decision is not None:
        shape = known.shape(ending.source) or ()
        classes = shape[ending.class_axis] if len(shape) == 4 else None
        check_classes(classes, model, threshold, "what it decides by")
        result, tail = append_logits(ending, threshold, probabilities=probabilities)
    elif kind in WHOLES:
        _check_ids(known.shape(output.name) or tuple(dims_of(output)), output, model)
        result, tail = append_one_hot(output.name, len(model.labels))
        confident = False
    elif kind in FLOATS:
        check_logits(output, model)
        result, tail = append_logits(ending, threshold, probabilities=probabilities)
    else:
        raise SegRosError(
            f"{model.path}: gives {describe([output])}; logits or class ids are needed"
        )
    graph = wrapped.graph
    del graph.value_info[:]  # those of nodes that have another input now
    graph.node.extend([*tail.nodes, helper.make_node("Identity", [result], ["logits"])])
    graph.initializer.extend(tail.constants)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, None))
    return wrapped, confident


def _check_ids(shape: Sequence[int | None], output: onnx.ValueInfoProto, model: Model) -> None:
    """Refuse whole numbers that are no class ids of one image."""
    form = len(shape) in (2, 3, 4) and all(side in (1, None) for side in shape[:-2])
    if not form:
        raise SegRosError(
            f"{model.path}: gives {describe([output])}; class ids of the form N x h x w, or "
            "logits N x C x h x w, are needed"
        )
    if model.options.threshold is not None:
        raise SegRosError(
            f"{model.path}: gives class ids, {describe([output])}, not a score; remove the "
            f"threshold from {file_beside(model.path)}"
        )


def check_logits(answer: onnx.ValueInfoProto, model: Model, wrapped: bool = False) -> None:
    """Refuse an output that cannot be logits of the label set, as far as its shape is said.

    Args:
        answer: the output of a network.
        model: its label set and options.
        wrapped: whether one channel has been made two classes already.

    Raises:
        SegRosError: the output has another number of dimensions or classes.

    """
    path = model.path
    threshold = model.options.threshold
    if not answer.type.tensor_type.HasField("shape"):
        return
    dims = dims_of(answer)
    said = f"output {model.options.output!r}" if model.options.output else "its output"
    if len(dims) != 4:
        raise SegRosError(
            f"{path}: {said} is {shape_text(dims)}; logits of the form N x C x h x w are needed, "
            "so export it without its last Reshape"
        )
    check_classes(dims[1], model, None if wrapped else threshold, f"{said}, {shape_text(dims)},")


def check_classes(count: int | None, model: Model, threshold: float | None, said: str) -> None:
    """Refuse another number of channels than there are classes, as far as it is known.

    Args:
        count: of the channels; None where it is not known.
        model: its label set.
        threshold: where it makes two classes of one channel.
        said: what has so many.

    Raises:
        SegRosError: they do not go together.

    """
    path = model.path
    classes = len(model.labels)
    if threshold is not None:
        if count not in (None, 1):
            raise SegRosError(
                f"{path}: {said} has {count} classes; a threshold is for one, remove it from "
                f"{file_beside(path)}"
            )
        if classes != 2:
            raise SegRosError(
                f"{path}: {said} is one channel, two classes; label set {model.labels.name} has "
                f"{classes}, name the low score's class first"
            )
        return
    if count == 1:
        raise SegRosError(
            f"{path}: {said} is one channel. If it is the score of one class, "
            f"name two classes in {file_beside(path)}, first what it is where the score is low, "
            "and say 'network: {threshold: 0.5}'"
        )
    if count is not None and count != classes:
        raise SegRosError(
            f"{path}: {said} has {count} classes; label set {model.labels.name} has {classes}"
        )


def refuse_training_mode(network: onnx.ModelProto, path: Path) -> None:
    """Refuse a network that was exported as it is while it is trained: it answers at random.

    Raises:
        SegRosError: a node drops values, or normalises by the batch.

    """
    known = Graph(network)
    for node in (*network.graph.node, *(n for f in network.functions for n in f.node)):
        by_batch = node.op_type == "BatchNormalization" and attribute(node, "training_mode", 0)
        drops = node.op_type == "Dropout" and len(node.input) > 2 and known.number(node.input[2])
        if by_batch or drops or node.op_type in _RANDOM:
            raise SegRosError(
                f"{path}: was exported in training mode: its {node.op_type} "
                f"{node.name or node.output[0]!r} "
                + ("normalises by the batch" if by_batch else "draws at random")
                + ", so it answers otherwise each time; call model.eval() before torch.onnx.export"
            )
