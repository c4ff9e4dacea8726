"""Networks whose files say themselves what they are, as Ultralytics' do."""

import numpy as np
import pytest
from foreign_network import FLOAT, SIZE, UINT8, expected, run, small_network

from seg_ros.engines.openvino import OpenVinoEngine
from seg_ros.errors import SegRosError
from seg_ros.labels import Kind
from seg_ros.models.catalogue import find_model
from seg_ros.models.network import Network
from seg_ros.models.onnx_metadata import class_names, read_metadata
from seg_ros.models.options import Normalisation
from seg_ros.segment.segmenter import Segmenter

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from onnx import helper, numpy_helper

METADATA = {
    "description": "Ultralytics YOLO26n-sem model",
    "author": "Ultralytics",
    "version": "8.4.190",
    "task": "semantic",
    "imgsz": f"[{SIZE[0]}, {SIZE[1]}]",
    "names": "{0: 'road', 1: 'bar stool', 2: 'sky'}",
}
ARCHITECTURE = """nc: 19
scales:
  n: [0.50, 0.25, 1024]
backbone:
  - [-1, 1, Conv, [64, 3, 2]]
head:
  - [[16, 13], 1, SemanticSegment, [nc]]
"""


def ultralytics(path, metadata=METADATA, classes=3, shape=(1, 3, *SIZE)):
    """Write a network with the end and the metadata of their exporter."""
    scales = numpy_helper.from_array(np.array([1, 1, 4, 4], np.float32))
    resize = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    node = helper.make_node
    end = [
        node("Constant", [], ["scales"], value=scales),
        node("Resize", ["scores", "", "scales"], ["large"], nearest_mode="floor", **resize),
        node("ArgMax", ["large"], ["index"], axis=1, keepdims=0, select_last_index=0),
        node("Cast", ["index"], ["output0"], to=UINT8),
    ]
    if classes == 1:
        first = numpy_helper.from_array(np.array([0]))
        end = [
            node("Constant", [], ["first"], value=first),
            node("Gather", ["scores", "first"], ["one"], axis=1),
            node("Constant", [], ["scales"], value=scales),
            node("Resize", ["one", "", "scales"], ["large"], nearest_mode="floor", **resize),
            node("Constant", [], ["axes"], value_ints=[1]),
            node("Squeeze", ["large", "axes"], ["flat"]),
            node("Constant", [], ["zero"], value_float=0.0),
            node("Greater", ["flat", "zero"], ["above"]),
            node("Cast", ["above"], ["output0"], to=UINT8),
        ]
    outputs = (("output0", UINT8, (1, "H", "W")),)
    small_network(path, end=end, outputs=outputs, opset=18, shape=shape)
    network = onnx.load(path)
    for key, value in metadata.items():
        network.metadata_props.add(key=key, value=value)
    onnx.save(network, path)
    return path


def test_metadata_is_read_past_the_weights(tmp_path):
    path = ultralytics(tmp_path / "net.onnx")
    assert read_metadata(path) == METADATA
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert read_metadata(path) == {}
    path.write_bytes(b"\xff" * 100)
    assert read_metadata(path) == {}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{0: 'road', 1: 'sky'}", ["road", "sky"]),
        ("['road', 'sky']", ["road", "sky"]),
        ("{0: '0', 1: '1'}", None),  # not trained, so not named
        ("{1: 'road', 2: 'sky'}", None),
        ("{0: 1}", None),
        ("__import__('os')", None),
        ("{", None),
        ("", None),
    ],
)
def test_names(text, names):
    assert class_names({"names": text}) == names


def test_a_file_of_ultralytics_needs_nothing_beside_it(tmp_path):
    path = ultralytics(tmp_path / "yolo26n-sem.onnx")
    (tmp_path / "yolo26n-sem.yaml").write_text(ARCHITECTURE)
    model = find_model(str(path))
    assert [c.name for c in model.labels.classes] == ["road", "bar stool", "sky"]
    assert [c.kind for c in model.labels.classes] == [Kind.GROUND, Kind.OBSTACLE, Kind.OPEN]
    assert model.labels.driveable_ids == (0,)
    assert model.options.normalisation == Normalisation((0, 0, 0), (1, 1, 1), 255, "rgb")
    assert model.fit == "letterbox"
    network = Network(model, tmp_path)
    image = np.random.default_rng(1).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    pixels = image[..., ::-1].transpose(2, 0, 1)[None] / 255
    logits = run(network.onnx(), image=image[None])
    assert np.abs(logits - expected(tmp_path, pixels)).max() < 1e-4
    segmenter = Segmenter.of(OpenVinoEngine(network.onnx()), network)
    mask = segmenter.segment(image).class_mask()
    ids = run(path, pixels=pixels.astype(np.float32))[0]
    assert (mask != ids).mean() < 1e-4, "but for ties"


def test_what_the_user_says_counts_more(tmp_path):
    path = ultralytics(tmp_path / "mine.onnx")
    said = "labels: bdd100k_drivable\nnetwork: {fit: stretch, mean: [1, 1, 1], std: [2, 2, 2]}"
    path.with_suffix(".yaml").write_text(said)
    model = find_model(str(path))
    assert (model.labels.name, model.fit) == ("bdd100k_drivable", "stretch")
    assert model.options.normalisation.mean == (1, 1, 1)
    assert find_model(str(path), "camvid").labels.name == "camvid"


def test_open_axes_are_those_of_the_export(tmp_path):
    path = ultralytics(tmp_path / "open.onnx", shape=("n", 3, "h", "w"))
    assert Network(find_model(str(path)), tmp_path).input_size == SIZE
    assert Network(find_model(str(path)), tmp_path, (128, 64)).input_size == (128, 64)


def test_a_network_of_one_class_is_a_threshold(tmp_path):
    path = ultralytics(tmp_path / "one.onnx", {**METADATA, "names": "{0: 'road'}"}, classes=1)
    model = find_model(str(path))
    assert [c.name for c in model.labels.classes] == ["background", "road"]
    network = Network(model, tmp_path)
    image = np.random.default_rng(1).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    mask = Segmenter.of(OpenVinoEngine(network.onnx()), network).segment(image).class_mask()
    pixels = (image[..., ::-1].transpose(2, 0, 1)[None] / 255).astype(np.float32)
    ids = run(path, pixels=pixels)[0]
    assert 0 < ids.mean() < 1
    assert (mask != ids).mean() < 1e-3


def test_a_network_of_theirs_for_something_else_is_called_that(tmp_path):
    path = ultralytics(tmp_path / "boxes.onnx", {**METADATA, "task": "detect"})
    with pytest.raises(SegRosError, match="a network of Ultralytics for detect; one for semantic"):
        find_model(str(path))


def test_names_of_another_exporter_are_taken_and_nothing_else(tmp_path):
    path = small_network(tmp_path / "other.onnx")
    network = onnx.load(path)
    network.metadata_props.add(key="names", value="{0: 'road', 1: 'car', 2: 'sky'}")
    onnx.save(network, path)
    model = find_model(str(path))
    assert model.labels.driveable_ids == (0,)
    assert (model.fit, model.options.normalisation) == ("", None)
    assert onnx.load(path).graph.input[0].type.tensor_type.elem_type == FLOAT
