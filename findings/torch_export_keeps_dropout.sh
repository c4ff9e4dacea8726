#!/bin/bash
# torch 2.13.0: torch.onnx.export of a network that is in training mode writes it as it is trained.
#
# Nothing is said of it. Dropout becomes a node with training_mode true and Dropout2d a RandomUniformLike, so the file answers
# otherwise at each run. The older exporter (dynamo=False) exports the same network for inference. Call eval() first.
#
# Seen with onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0: train: Conv, ConstantOfShape, RandomUniformLike, Less, Cast, Div,
# Mul, Dropout, Conv, and two runs on the same input differ; eval, and train with dynamo=False: Conv, Conv, and two runs are equal.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout2d(0.5), nn.Dropout(0.5), nn.Conv2d(8, 3, 1))
image = np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)
found = {}
for mode in ("train", "eval", "train, dynamo=False"):
    network.train(mode.startswith("train"))
    dynamo = "dynamo" not in mode
    torch.onnx.export(network, (torch.zeros(1, 3, 16, 16),), "net.onnx", verbose=False, dynamo=dynamo)
    names = [node.op_type for node in onnx.load("net.onnx").graph.node]
    session = onnxruntime.InferenceSession("net.onnx")
    name = session.get_inputs()[0].name
    first, second = (session.run(None, {name: image})[0] for _ in range(2))
    found[mode] = (names, bool(np.array_equal(first, second)))
    print(mode, *found[mode])
names, same = found["train"]
raise SystemExit(
    not ("Dropout" in names and "RandomUniformLike" in names and not same)
    or found["eval"] != (["Conv", "Conv"], True)
    or found["train, dynamo=False"] != (["Conv", "Conv"], True)
)
PYTHON
