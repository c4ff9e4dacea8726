"""TensorRT-RTX's own parser and builder, which need no GPU, on the embedded model."""

from __future__ import annotations

import struct
from collections import Counter

import numpy as np
import pytest

trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from onnx import helper

from seg_ros.engines import tensorrt_build
from seg_ros.engines.cuda import find_gpu
from seg_ros.engines.tensorrt import TensorRtEngine, load_library, logger, platform
from seg_ros.errors import SegRosError
from seg_ros.models.catalogue import find_model
from seg_ros.models.precision import ISLANDS, write_mixed

RUNTIME = "tensorrt_rtx"

INPUT = ("image", "UINT8", (1, 288, 512, 3))
OUTPUTS = [
    ("mask", "UINT8", (1, 360, 640)),
    ("logits", "FLOAT", (1, 11, 72, 128)),
    ("magnitude", "FLOAT", ()),
]


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """Write the embedded model in a precision; each once."""
    folder = tmp_path_factory.mktemp("networks")

    def write(precision, islands=()):
        path = folder / f"{precision}{len(islands)}.onnx"
        if not path.is_file():
            write_mixed(find_model("default").path, path, precision, (360, 640), islands)
        return path

    return write


def parse(path):
    """Parse as the build does; return the network and what keeps it alive."""
    builder = trt.Builder(logger(trt))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    tensorrt_build._parse(trt, path, network)
    return network, builder


def described(tensor):
    return tensor.name, tensor.dtype.name, tuple(tensor.shape)


@pytest.mark.parametrize(
    ("precision", "low"), [("fp32", "FLOAT"), ("fp16", "HALF"), ("bf16", "BF16")]
)
def test_parsed_network_has_the_types_that_were_written(write, precision, low):
    network, _builder = parse(write(precision))
    assert [described(network.get_input(i)) for i in range(network.num_inputs)] == [INPUT]
    assert [described(network.get_output(i)) for i in range(network.num_outputs)] == OUTPUTS
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    found: dict[str, Counter[str]] = {}
    for layer in layers:
        counts = found.setdefault(layer.type.name, Counter())
        counts[layer.get_output(0).dtype.name] += 1
    head = {"FLOAT": 5}  # four projections and the classifier
    encoder = {low: 18 + head.get(low, 0)}
    assert found["CONVOLUTION"] == head | encoder
    assert found["MATRIX_MULTIPLY"] == {low: 64}
    assert found["NORMALIZATION"] == {low: 30}
    assert found["SOFTMAX"] == {low: 8}
    assert found["RESIZE"] == {"FLOAT": 4}
    assert found["TOPK"] == {"FLOAT": 1}
    resize = next(layer for layer in layers if layer.name == "mask.resize")
    assert tuple(resize.get_output(0).shape) == (1, 11, 360, 640)
    assert tensorrt_build._encoder_precision(trt, network) == precision


def test_islands_parse_in_float(write):
    network, _builder = parse(write("fp16", ISLANDS))
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    kinds = {
        (layer.type.name, layer.get_output(0).dtype.name)
        for layer in layers
        if layer.type.name in ("NORMALIZATION", "SOFTMAX", "MATRIX_MULTIPLY")
    }
    assert kinds == {
        ("NORMALIZATION", "FLOAT"), ("SOFTMAX", "FLOAT"), ("MATRIX_MULTIPLY", "HALF"),
    }  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_plan_is_whole_and_of_this_version(write, precision):
    told: list[tuple[str, float]] = []
    plan = tensorrt_build.build_plan(
        write(precision), RUNTIME, lambda text, share: told.append((text, share))
    )
    magic, length = plan[:4], struct.unpack_from("<Q", plan, 16)[0]
    assert (magic, length) == (b"vtrt", len(plan))
    version = tuple(int(part) for part in trt.__version__.split("."))
    assert tuple(plan[24:28]) == version
    weights = onnx.load(write(precision)).graph.initializer
    stored = sum(np.prod(t.dims) * (4 if t.data_type == 1 else 2) for t in weights)
    assert len(plan) > stored
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert len({text for text, _ in told}) > 5
    assert len(told) > 100


def test_interrupt_stops_the_build(write):
    def interrupted(_text, share):
        if share > 0.1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tensorrt_build.build_plan(write("fp16"), RUNTIME, interrupted)


def test_operator_it_does_not_know_is_named_in_one_line(write, tmp_path):
    model = onnx.load(write("fp32"))
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.CopyFrom(
                helper.make_node("Fancy", node.input, node.output, "/head/fancy", domain="own")
            )
    model.opset_import.append(helper.make_opsetid("own", 1))
    onnx.save(model, tmp_path / "fancy.onnx")
    with pytest.raises(SegRosError) as raised:
        tensorrt_build.build_plan(tmp_path / "fancy.onnx", RUNTIME, lambda *_: None)
    said = str(raised.value)
    assert said.startswith(f"{tmp_path / 'fancy.onnx'}: TensorRT does not take this network: node")
    assert "/head/fancy, Fancy: " in said
    assert "\n" not in said


def test_file_that_is_no_network_is_one_line(tmp_path):
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(SegRosError, match=r"text\.onnx: TensorRT does not take this") as raised:
        tensorrt_build.build_plan(tmp_path / "text.onnx", RUNTIME, lambda *_: None)
    assert "\n" not in str(raised.value)


def test_without_a_gpu_it_is_known_but_does_not_run():
    assert load_library(RUNTIME) is trt
    if find_gpu() is not None:
        pytest.skip("there is a GPU")
    assert platform(RUNTIME).version == trt.__version__
    assert (platform(RUNTIME).device, platform(RUNTIME).compute_capability) == ("", "")
    with pytest.raises(SegRosError, match="no NVIDIA GPU is visible, and tensorrt_rtx needs one"):
        TensorRtEngine(b"", RUNTIME)
