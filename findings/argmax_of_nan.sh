#!/bin/bash
# What ArgMax says of NaN depends on who runs the network.
#
# numpy 2.4.6 and torch 2.13.0 answer with the place of the (first) NaN. onnxruntime 1.32.0 and openvino 2026.4.1
# run the same ONNX ArgMax and step over it, unless it is the first value; where all are NaN they answer 0. So a network
# whose logits have become NaN gives class ids that look like any others, and other ones in each runtime: check
# the logits, and do not let ArgMax be part of the exported file. (The ONNX specification says nothing of NaN.)
#
# Seen, axis of three classes:             numpy  torch  onnxruntime  openvino
#   1, NaN, 3                                1      1         2           2
#   3, NaN, 1                                1      1         0           0
#   NaN, NaN, NaN                            0      0         0           0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 torch==2.13.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import openvino
import torch
from onnx import TensorProto, helper

nan = float("nan")
values = np.array([[1, nan, 3], [3, nan, 1], [nan, nan, nan]], np.float32)
graph = helper.make_graph(
    [helper.make_node("ArgMax", ["x"], ["y"], axis=1, keepdims=0)],
    "argmax",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 3])],
    [helper.make_tensor_value_info("y", TensorProto.INT64, [3])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
data = model.SerializeToString()
session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
onnx.save(model, "argmax.onnx")
compiled = openvino.Core().compile_model("argmax.onnx", "CPU")
found = {
    "numpy": values.argmax(1).tolist(),
    "torch": torch.from_numpy(values).argmax(1).tolist(),
    "onnxruntime": session.run(None, {"x": values})[0].tolist(),
    "openvino": np.asarray(next(iter(compiled(values).values()))).tolist(),
}
print(found)
expected = {
    "numpy": [1, 1, 0],
    "torch": [1, 1, 0],
    "onnxruntime": [2, 0, 0],
    "openvino": [2, 0, 0],
}
raise SystemExit(found != expected)
PYTHON
