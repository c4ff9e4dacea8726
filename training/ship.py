"""A trained network becomes the ONNX file that ships."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from seg_ros.errors import SegRosError
from seg_ros.models.export import export_onnx

SMALL = 1024
"""Weights with fewer elements than this stay float32: they are no gain to halve."""


def load_weights(network: nn.Module, run: Path) -> None:
    """Load the weights of a finished run, or of one under way the best so far.

    Raises SegRosError if the run has neither, or they are of another network.
    """
    found = [run / name for name in ("last.pt", "best.pt") if (run / name).is_file()]
    if not found:
        raise SegRosError(f"{run} holds neither last.pt nor best.pt; train it first")
    try:
        network.load_state_dict(torch.load(found[0], weights_only=True, map_location="cpu"))
    except RuntimeError as error:
        raise SegRosError(f"{found[0]}: {str(error).splitlines()[0]}") from error


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Return a copy in which every batch norm is part of the convolution before it."""
    folded = copy.deepcopy(network).eval()
    for module in list(folded.modules()):
        if isinstance(module, nn.Sequential):
            for number in range(len(module) - 1):
                convolution, norm = module[number], module[number + 1]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[number] = fuse_conv_bn_eval(convolution, norm)
                    module[number + 1] = nn.Identity()
    return folded


def shipped(network: nn.Module, size: Sequence[int]) -> onnx.ModelProto:
    """Fold a network, round its large weights to float16 and write it for (height, width)."""
    folded = fold_batch_norms(network).float()
    with torch.no_grad():
        for parameter in folded.parameters():
            if parameter.numel() >= SMALL:
                parameter.copy_(parameter.half().float())
    return store_as_float16(export_onnx(folded, (size[0], size[1])))


def store_as_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Halve the file: keep large weights as float16, cast to float32 where they are used.

    Only weights that float16 holds exactly are stored so, and runtimes cast constants once, when
    they load the file: the network computes what it did.
    """
    model = copy.deepcopy(model)
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALL:
            continue
        name, rounded = tensor.name, values.astype(np.float16)
        if not np.array_equal(rounded.astype(np.float32), values):
            continue
        half = numpy_helper.from_array(rounded, f"{name}.half")
        tensor.CopyFrom(half)
        casts.append(helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model
