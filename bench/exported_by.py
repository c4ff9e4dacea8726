# ruff: noqa: E501
"""Networks as the exporters of the field write them, read.

``python bench/exported_by.py [NAME ...]``

Each exporter is installed in its own temporary environment, in the version named here, beside the packages of this one (torch,
onnx), and writes a small network with random weights by the line that docs/models.md gives. What is read of it is compared
with the exporter's own file in ONNX Runtime on one image, or with its own answer. Needs the package registry.
"""

from __future__ import annotations

import datetime
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime

from seg_ros.engines.onnxruntime import OnnxRuntimeEngine
from seg_ros.models.catalogue import find_model
from seg_ros.models.network import Network
from seg_ros.segment.segmenter import Segmenter

SIZE = (128, 192)
LABELS = """labels: bdd100k_drivable
network: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], fit: stretch}
"""
# torchvision's compiled part may be of another torch than the one that is here; nothing of it is used.
STAND_IN = """
import sys, types
try:
    import torchvision
except Exception:
    import importlib.util, pathlib, re, torch
    root = pathlib.Path(importlib.util.find_spec("torchvision").origin).parent
    text = (root / "_meta_registrations.py").read_text()
    for name in set(re.findall(r'register_meta\\("(\\w+)"\\)|torchvision::(\\w+)', text)):
        torch.library.define(f"torchvision::{name[0] or name[1]}", "(Tensor a) -> Tensor")
"""


@dataclass(frozen=True)
class Exporter:
    """Somebody else's way to write a network."""

    pins: str
    """What is installed, with versions."""
    script: str
    """Writes ``file``, from ``import torch`` on."""
    file: str
    said: str = LABELS
    """The YAML beside it; empty where it needs none."""


SPREAD = """
def spread(network, last):
    # Random weights answer with one class: normalise each layer and each class on one image.
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d): torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.BatchNorm2d): module.momentum = 1.0
    x = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        network.train(); network(x); network.eval(); y = network(x)
        y = y[0] if isinstance(y, (tuple, list)) else y
        mean, std = y.mean((0, 2, 3)), y.std((0, 2, 3))
        last.weight /= std[:, None, None, None]; last.bias.sub_(mean).div_(std)
"""

EXPORTERS = {
    "Ultralytics": Exporter(
        "ultralytics==8.4.190 ultralytics-thop==2.2.3 torchvision==0.28.0 polars==2.1.0 polars-runtime-32==2.1.0 psutil==7.2.2 "
        "requests==2.34.2 matplotlib==3.11.2 pillow==13.0.0 python-dateutil==2.9.0 six==1.17.0 pyparsing==3.3.3 cycler==0.12.1 "
        "kiwisolver==1.5.1 contourpy==1.3.3 fonttools==4.68.0",
        SPREAD
        + """
from ultralytics import YOLO
yolo = YOLO("yolo26n-sem.yaml")
yolo.model.names = {0: "road", 1: "sidewalk", 2: "building", **{i: f"thing {i}" for i in range(3, 19)}}
spread(yolo.model, yolo.model.model[-1].classifier[-1])
yolo.export(format="onnx", imgsz=128)
""",
        "yolo26n-sem.onnx",
        "",
    ),
    "torch": Exporter(
        "",
        """
class Small(torch.nn.Sequential):
    pass
network = Small(torch.nn.Conv2d(3, 16, 3, 2, 1), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Conv2d(16, 3, 3, 2, 1))
network.eval()
torch.onnx.export(network, (torch.zeros(1, 3, 128, 192),), "small.onnx", dynamo=True)
import pathlib; assert pathlib.Path("small.onnx.data").is_file()
""",
        "small.onnx",
    ),
    "segmentation-models-pytorch": Exporter(
        "segmentation-models-pytorch==0.6.0 timm==1.0.31 torchvision==0.28.0 pillow==13.0.0",
        STAND_IN
        + """
import segmentation_models_pytorch as smp
network = smp.Segformer("mit_b0", encoder_weights=None, classes=3).eval()
torch.save(network.state_dict(), "smp.pth")
torch.onnx.export(network, (torch.zeros(1, 3, 128, 192),), "smp.onnx", dynamo=True)
""",
        "smp.onnx",
    ),
    "optimum-onnx": Exporter(
        "optimum-onnx==0.1.0 optimum==2.1.0 transformers==4.57.6 pillow==13.0.0 huggingface-hub==0.36.2 tokenizers==0.22.2",
        """
import subprocess, sys, transformers
shape = dict(depths=[1] * 4, hidden_sizes=[8, 16, 24, 32], decoder_hidden_size=32, num_attention_heads=[1, 2, 3, 4], num_labels=3)
transformers.SegformerForSemanticSegmentation(transformers.SegformerConfig(**shape)).save_pretrained("model")
transformers.SegformerImageProcessor(size={"height": 128, "width": 192}).save_pretrained("model")
task = ["--task", "semantic-segmentation", "--height", "128", "--width", "192"]
command = "from optimum.commands.optimum_cli import main; main()"
subprocess.run([sys.executable, "-c", command, "export", "onnx", "--model", "model", *task, "out"], check=True)
""",
        "out/model.onnx",
        LABELS.replace("fit: stretch", "size: [128, 192], fit: stretch"),
    ),
}


def write(exporter: Exporter, work: Path) -> Path:
    """Let an exporter write its file; return where that is."""
    environment = work / "environment"
    venv.create(environment, with_pip=True, symlinks=True)
    python = environment / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = environment / "lib" / version / "site-packages"
    (packages / "zz_beside.pth").write_text(sysconfig.get_paths()["purelib"])
    if exporter.pins:
        install = [python, "-m", "pip", "install", "--quiet", "--no-deps", *exporter.pins.split()]
        subprocess.run(install, check=True)
    (work / "script.py").write_text("import torch\n" + exporter.script)
    subprocess.run(
        [python, "-W", "ignore", "script.py"], cwd=work, check=True, capture_output=True, text=True
    )
    return work / exporter.file


def compare(path: Path, work: Path) -> str:
    """Read a network; say how its masks compare with those of its own file."""
    model = find_model(str(path))
    network = Network(model, work)
    segmenter = Segmenter.of(OnnxRuntimeEngine(network.onnx()), network)
    image = np.random.default_rng(0).integers(0, 256, (*network.input_size, 3), dtype=np.uint8)
    mask = segmenter.segment(image).class_mask()
    own = onnxruntime.InferenceSession(str(path))
    norm = model.options.normalisation
    assert norm is not None
    pixels = ((image[..., ::-1] / norm.scale - norm.mean) / norm.std).transpose(2, 0, 1)[None]
    answer = own.run(None, {own.get_inputs()[0].name: pixels.astype(np.float32)})[0]
    if answer.ndim == 4:
        answer = answer.argmax(1)
        mask = segmenter.segment(image, answer.shape[1:]).class_mask()
    different = int((mask != answer[0]).sum())
    return (
        f"{different} of {mask.size} pixels differ, {len(np.unique(mask))} classes seen, "
        f"fit {model.fit}, confidence {'yes' if segmenter.confident else 'no'}"
    )


def main() -> None:
    """Try the exporters named, or all."""
    print(datetime.datetime.now(datetime.timezone.utc).date())
    for name in sys.argv[1:] or EXPORTERS:
        exporter = EXPORTERS[name]
        with TemporaryDirectory(prefix="exported-") as folder:
            work = Path(folder)
            try:
                path = write(exporter, work)
                if exporter.said:
                    path.with_suffix(".yaml").write_text(exporter.said)
                said = compare(path, work)
            except subprocess.CalledProcessError as error:
                said = f"cannot be tried: {(error.stderr or str(error)).strip().splitlines()[-1]}"
            print(
                f"{name} ({exporter.pins.split(' ')[0] or 'the torch that is here'}): {said}",
                flush=True,
            )


if __name__ == "__main__":
    main()
