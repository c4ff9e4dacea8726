#!/bin/bash
# Ultralytics 8.4.190: the ONNX of a semantic network (yolo26n-sem) gives class ids, and knows no logits.
#
# `yolo export format=onnx` bakes in Resize (bilinear, eightfold), ArgMax and a Cast to uint8, and there is no option to leave them
# out; so the file has no confidence, and NaN cannot be seen. The input is float32 RGB / 255. The file is a square even
# where `predict` on the .pt takes a rectangle: LetterBox fills the rest with grey (114). The metadata say all that is needed: author,
# task, imgsz, names. With one class the end is Resize, Squeeze, Greater than 0, Cast.
#
# Seen with torch 2.13.0, onnx 1.23.2: ends Resize ArgMax Cast, output uint8 (1, 128, 128) for imgsz=128;
# LetterBox((128, 128)) of a 64 x 128 frame: rows 0..31 and 96..127 are 114.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet ultralytics==8.4.190 torch==2.13.0 onnx==1.23.2 onnxslim==0.1.93 opencv-python-headless==5.0.0.93
export YOLO_CONFIG_DIR="$work" YOLO_OFFLINE=true
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
from ultralytics import YOLO
from ultralytics.data.augment import LetterBox

path = YOLO("yolo26n-sem.yaml").export(format="onnx", imgsz=128)
network = onnx.load(path)
metadata = {entry.key: entry.value for entry in network.metadata_props}
kinds = [node.op_type for node in network.graph.node if node.op_type != "Constant"][-3:]
output = network.graph.output[0].type.tensor_type
shape = [dim.dim_value for dim in output.shape.dim]
boxed = LetterBox((128, 128))(image=np.zeros((64, 128, 3), np.uint8))
grey = np.flatnonzero((boxed == 114).all((1, 2))).tolist()
print(kinds, output.elem_type, shape, metadata["author"], metadata["task"], metadata["imgsz"], grey[0], grey[-1])
same = (
    kinds == ["Resize", "ArgMax", "Cast"]
    and output.elem_type == onnx.TensorProto.UINT8
    and shape == [1, 128, 128]
    and (metadata["author"], metadata["task"]) == ("Ultralytics", "semantic")
    and grey == [*range(32), *range(96, 128)]
)
raise SystemExit(not same)
PYTHON
