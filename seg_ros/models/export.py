"""A network becomes ONNX in the standard form."""

from __future__ import annotations

import logging
import warnings

import onnx
import torch
from torch import nn

OPSET = 18
"""At 17 LayerNormalization became one operator; written out, it overflows in float16."""


def export_onnx(network: nn.Module, size: tuple[int, int]) -> onnx.ModelProto:
    """Write a network as float32 ONNX for one input size.

    Args:
        network: takes (1, H, W, 3) uint8 BGR, gives logits (1, C, h, w); on the CPU, float32.
        size: (height, width) of the input in pixels.

    Returns:
        Input ``image``, 1 x H x W x 3 uint8 BGR; output ``logits``, 1 x C x h x w float32.

    """
    example = torch.zeros(1, *size, 3, dtype=torch.uint8)
    talkative = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in talkative]
    try:
        for logger in talkative:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch about torch
            program = torch.onnx.export(
                network.eval(),
                (example,),
                input_names=["image"],
                output_names=["logits"],
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    finally:
        for logger, level in zip(talkative, levels, strict=True):
            logger.setLevel(level)
    assert program is not None
    model = program.model_proto
    _forget_source(model)
    onnx.checker.check_model(model)
    return model


def _forget_source(model: onnx.ModelProto) -> None:
    """Drop what the exporter says about the source code, its paths included."""
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    del graph.metadata_props[:]
    del model.metadata_props[:]
    graph.doc_string = model.doc_string = ""
