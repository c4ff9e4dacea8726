"""A small ONNX network as other people's exporters write it, what it says itself, and wrapped."""

import numpy as np
import pytest

from seg_ros.models.catalogue import find_model
from seg_ros.models.network import Network

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from onnx import TensorProto, helper, numpy_helper

FLOAT, HALF, UINT8 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8
SIZE = (64, 96)
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
OPEN = ("scores", FLOAT, ("n", 3, "h", "w"))
SAID = f"network: {{mean: {MEAN}, std: {STD}}}\nlabels: bdd100k_drivable\n"


def small_network(
    path,
    *,
    shape=(1, 3, *SIZE),
    kind=FLOAT,
    opset=17,
    end=(),
    outputs=(("scores", FLOAT, (1, 3, 16, 24)),),
    external="",
):
    """Write a network with one strided convolution to `scores`, and what `end` appends."""
    weights = np.random.default_rng(0).normal(size=(3, 3, 4, 4)).astype(np.float32)
    half = np.float16 if kind == HALF else np.float32
    weight = numpy_helper.from_array(weights.astype(half), "weight")
    before = []
    source = "pixels"
    if shape[-1] == 3:
        before = [helper.make_node("Transpose", [source], ["planes"], perm=[0, 3, 1, 2])]
        source = "planes"
    if kind == UINT8:
        before.append(helper.make_node("Cast", [source], ["float"], to=FLOAT))
        source = "float"
    conv = helper.make_node("Conv", [source, "weight"], ["scores"], strides=[4, 4])
    graph = helper.make_graph(
        [*before, conv, *end],
        "small",
        [helper.make_tensor_value_info("pixels", kind, shape)],
        [helper.make_tensor_value_info(*output) for output in outputs],
        [weight],
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = {"save_as_external_data": True, "location": external, "size_threshold": 0}
    onnx.save(model, path, **(options if external else {}))
    return path


def wrapped(tmp_path, said=SAID, size=None, **form):
    path = small_network(tmp_path / "small.onnx", **form)
    path.with_suffix(".yaml").write_text(said)
    network = Network(find_model(str(path)), tmp_path, size)
    return network, network.onnx()


def run(path, **inputs):
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return runtime.InferenceSession(path, options).run(None, inputs)[0]


def expected(tmp_path, pixels):
    """What the network itself says of float pixels, 1 x 3 x H x W."""
    plain = small_network(tmp_path / "plain.onnx", shape=pixels.shape, outputs=(OPEN,))
    return run(plain, pixels=pixels.astype(np.float32))


def assert_standard(path, size=SIZE, classes=3):
    graph = onnx.load(path).graph
    (source,), (result,) = graph.input, graph.output
    assert (source.name, result.name) == ("image", "logits")
    dims = [d.dim_value for d in source.type.tensor_type.shape.dim]
    assert (source.type.tensor_type.elem_type, dims) == (UINT8, [1, *size, 3])
    dims = [d.dim_value for d in result.type.tensor_type.shape.dim]
    assert (result.type.tensor_type.elem_type, dims) == (
        FLOAT,
        [1, classes, size[0] // 4, size[1] // 4],
    )
    assert onnx.load(path).opset_import[0].version >= 17


def normalised(image):
    return ((image[..., ::-1] / 255 - MEAN) / STD).transpose(2, 0, 1)[None]
