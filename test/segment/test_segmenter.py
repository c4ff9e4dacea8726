import shutil
import subprocess
import sys

import numpy as np
import openvino as ov
import pytest

from seg_ros.engines import Inference
from seg_ros.engines.build import Wish, open_engine
from seg_ros.engines.openvino import OpenVinoEngine
from seg_ros.errors import SegRosError
from seg_ros.labels import load_label_set
from seg_ros.models import catalogue as catalogue_module
from seg_ros.models.catalogue import catalogue, find_model
from seg_ros.segment.segmenter import Segmenter
from seg_ros.segment.upsample import argmax_upsampled


class FixedEngine:
    """Answers every frame with the same logits; for what the Segmenter adds to an engine."""

    info = None
    class_count = 3
    input_size = (20, 30)

    def __init__(self, logits):
        self.logits = logits
        self.seen = None

    def infer(self, image):
        self.seen = image.copy()
        return Inference(lambda: self.logits, bool(np.isfinite(self.logits).all()))


def network(tmp_path, inputs=(1, 8, 8, 3), outputs=None, dtype=ov.Type.u8):
    """Save a tiny network in OpenVINO's format; read_model takes it like ONNX."""
    opset = ov.opset13
    source = opset.parameter(list(inputs), dtype)
    result = opset.convert(source, "f32")
    if outputs is not None:
        result = opset.transpose(result, opset.constant(list(outputs)))
    path = tmp_path / "net.xml"
    ov.save_model(ov.Model([result], [source]), path)
    return path


def test_the_default_model_is_whole_and_has_a_card():
    (entry,) = [e for e in catalogue() if e.is_default]
    model = find_model()
    assert model.path == entry.path
    assert len(model.labels) == 11
    assert (entry.path.parent / "CARD.md").read_text().startswith(f"# {entry.name}")


def test_a_damaged_catalogue_model_is_refused(tmp_path, monkeypatch):
    (entry,) = [e for e in catalogue() if e.is_default]
    copy = tmp_path / "model.onnx"
    data = bytearray(entry.path.read_bytes())
    data[len(data) // 2] ^= 1
    copy.write_bytes(data)
    damaged = catalogue_module.CatalogueEntry(
        entry.name, copy, entry.sha256, entry.labels, entry.summary, True
    )
    monkeypatch.setattr(catalogue_module, "catalogue", lambda: (damaged,))
    with pytest.raises(SegRosError, match=r"SHA-256 is .* the file is damaged"):
        find_model()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nonsense", "(default, camvid-b0, streets-compact) nor an .onnx file"),
        ("nonsense.onnx", "nonsense.onnx does not exist"),
    ],
)
def test_unknown_models(name, said):
    with pytest.raises(SegRosError) as error:
        find_model(name)
    assert said in str(error.value)


def test_an_onnx_file_needs_a_label_set(tmp_path):
    path = tmp_path / "mine.onnx"
    shutil.copy(find_model().path, path)
    with pytest.raises(SegRosError, match=r"what are its classes\?.*beside it as mine.yaml"):
        find_model(str(path))
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nclasses:\n  - {name: a, color: [1, 2, 3], kind: open}\n"
    )
    assert find_model(str(path)).labels.name == "mine"
    assert find_model(str(path), "camvid").labels.name == "camvid"


def test_a_label_set_of_another_model_is_refused():
    with pytest.raises(SegRosError, match="has 11 classes, label set cityscapes has 19"):
        Segmenter.load(labels="cityscapes")


def test_a_file_that_is_no_network(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(find_model().path.read_bytes()[:5000])
    with pytest.raises(SegRosError, match=r"broken.onnx: not a whole ONNX file") as error:
        Segmenter.load(str(path), "camvid")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"inputs": (1, 3, 8, 8)}, "input is"),
        ({"inputs": (2, 8, 8, 3)}, "input is"),
        ({"dtype": ov.Type.f32}, "input is"),
        ({"inputs": (1, -1, 8, 3)}, "has no fixed size"),
    ],
)
def test_a_network_of_another_form(tmp_path, arguments, said):
    path = network(tmp_path, **arguments)
    with pytest.raises(SegRosError) as error:
        OpenVinoEngine(path)
    assert said in str(error.value)
    assert "a model needs one input 1 x H x W x 3 uint8" in str(error.value)


def test_unknown_runtime():
    with pytest.raises(SegRosError, match="runtime 'tpu' is unknown; use one of auto, tensorrt"):
        open_engine(find_model(), Wish("tpu"))


def test_the_mask_is_the_argmax_of_the_engines_own_logits(segmenter, scene):
    frame = scene[0].image
    segmentation = segmenter.segment(frame)
    assert segmentation.size == (360, 640)
    assert segmentation.inference.logits().shape == (11, 72, 128)
    assert segmentation.engine_ns > 0
    mask = segmentation.class_mask()
    assert np.array_equal(mask, argmax_upsampled(segmentation.inference.logits(), (360, 640)))
    assert segmentation.confidence().shape == (360, 640)


def test_it_sees_the_synthetic_road(segmenter, scene):
    """The whole path with nothing replaced: renderer, network, class decision."""
    scores = []
    for index in range(0, len(scene), 15):
        frame = scene[index]
        mask = segmenter.segment(frame.image).class_mask()
        said, true = mask == 3, frame.class_mask == 3
        scores.append(np.count_nonzero(said & true) / np.count_nonzero(said | true))
    assert np.median(scores) > 0.85
    assert min(scores) > 0.7


@pytest.mark.parametrize("size", [(2, 2), (37, 101), (288, 512), (720, 1280)])
def test_any_frame_size(segmenter, size):
    frame = np.full((*size, 3), 90, np.uint8)
    segmentation = segmenter.segment(frame)
    assert segmentation.class_mask().shape == size
    assert segmentation.confidence().shape == size


def test_a_frame_of_the_networks_own_size_is_not_touched():
    engine = FixedEngine(np.zeros((3, 5, 5), np.float32))
    small = Segmenter(engine, load_label_set("bdd100k_drivable"), "fixed")
    frame = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    frame.flags.writeable = False
    small.segment(frame)
    assert np.array_equal(engine.seen, frame)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_engine_that_overflows_is_not_believed(value):
    logits = np.zeros((3, 5, 5), np.float32)
    logits[1, 2, 3] = value
    info = type("Info", (), {"runtime": "fixed 1"})()
    engine = FixedEngine(logits)
    engine.info = info
    broken = Segmenter(engine, load_label_set("bdd100k_drivable"), "fixed")
    with pytest.raises(SegRosError, match="answered with NaN or infinity"):
        broken.segment(np.zeros((20, 30, 3), np.uint8))


def test_wrong_frames(segmenter):
    for frame in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(ValueError, match="frame must be"):
            segmenter.segment(frame)


def test_the_core_imports_without_ros_torch_or_a_gpu():
    """In a process of its own: import every room but the ROS ones with those modules missing.

    What turns a checkpoint or an ONNX into an engine needs torch or onnx, and teaching needs torch:
    imported where used.
    """
    code = """
import importlib, pkgutil, sys
models = ("checkpoint", "layouts", "folding", "export", "precision", "foreign", "ending", "logits")
builders = {f"seg_ros.models.{room}" for room in (*models, "outputs", "values")}
builders |= {f"seg_ros.engines.{room}" for room in ("torch", "torch_attention", "onnxruntime")}
absent = ("rclpy", "torch", "tensorrt", "cuda", "launch", "cv_bridge", "transformers", "onnx")
for name in (*absent, "onnxruntime"):
    sys.modules[name] = None
import seg_ros
for module in pkgutil.walk_packages(seg_ros.__path__, "seg_ros."):
    apart = module.name.startswith(("seg_ros.ros.", "seg_ros.teach."))
    if not apart and module.name not in builders:
        importlib.import_module(module.name)
import seg_ros.results.parameters, seg_ros.results.topics, seg_ros.ros.reference
from seg_ros.models.network import Network
from seg_ros.models.catalogue import find_model
assert len(Network(find_model(), None).sha256) == 64
print("fine")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "fine", done.stderr


def test_an_empty_name_is_no_folder():
    with pytest.raises(SegRosError, match="the name of the model is empty"):
        find_model("")
