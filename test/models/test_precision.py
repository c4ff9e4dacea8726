"""Precision written into the ONNX: what is half, what is not, and that it computes the same."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator, op_run
from tiny_network import SIZE, tiny_image, tiny_network

from seg_ros.errors import SegRosError
from seg_ros.models.catalogue import find_model
from seg_ros.models.precision import ISLANDS, write_mixed
from seg_ros.segment.upsample import argmax_upsampled

FLOAT, HALF, BF16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16
NORMALISATION = {"image.float", "planes", "floats", "centred", "normal"}
ENCODER = {
    "stage1", "deep", "columns", "tokens", "normed", "query", "key", "scores", "scaled",
    "attention", "mixed", "residual", "back", "stage2",
}  # fmt: skip
HEAD = {"projected1", "projected2", "upsampled", "fused", "rectified", "logits", "mask.logits"}


@pytest.fixture
def network(tmp_path):
    return tiny_network(tmp_path / "tiny.onnx")


def types_of(path):
    """Element type of every tensor, by strict inference."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    values = (*model.graph.value_info, *model.graph.input, *model.graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def run(path, image, outputs=None):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(outputs, {"image": image[None]})


def reference(path, image):
    """The outputs by name, in numpy, which really computes halves in half."""
    evaluator = ReferenceEvaluator(str(path))
    return dict(
        zip(evaluator.output_names, evaluator.run(None, {"image": image[None]}), strict=True)
    )


@pytest.mark.parametrize(("precision", "low"), [("fp32", FLOAT), ("fp16", HALF), ("bf16", BF16)])
def test_encoder_is_low_and_all_else_is_float(network, tmp_path, precision, low):
    write_mixed(network, tmp_path / "out.onnx", precision)
    types = types_of(tmp_path / "out.onnx")
    assert {types[name] for name in ENCODER} == {low}
    assert {types[name] for name in NORMALISATION | HEAD} == {FLOAT}
    assert (types["image"], types["mask"], types["magnitude"]) == (
        TensorProto.UINT8,
        TensorProto.UINT8,
        FLOAT,
    )


def test_only_the_borders_are_cast(network, tmp_path):
    write_mixed(network, tmp_path / "out.onnx", "fp16")
    casts = {
        node.name for node in onnx.load(tmp_path / "out.onnx").graph.node if node.op_type == "Cast"
    }
    assert casts == {
        "image.cast", "/floats", "normal.float16.cast", "stage1.float.cast", "stage2.float.cast",
        "mask.cast_float", "mask.cast_uint8",
    }  # fmt: skip


def test_weights_are_the_nearest_halves_and_of_the_head_untouched(network, tmp_path):
    write_mixed(network, tmp_path / "fp16.onnx", "fp16")
    write_mixed(network, tmp_path / "bf16.onnx", "bf16")
    source, half, brain = (
        {t.name: t for t in onnx.load(path).graph.initializer}
        for path in (network, tmp_path / "fp16.onnx", tmp_path / "bf16.onnx")
    )
    exact = numpy_helper.to_array(source["deep.weight"])
    np.testing.assert_array_equal(
        numpy_helper.to_array(half["deep.weight.float16"]), exact.astype(np.float16)
    )
    rounded = numpy_helper.to_array(brain["deep.weight.bfloat16"]).astype(np.float32)
    assert np.abs(rounded / exact - 1).max() <= 2.0**-8
    # Stored as half and cast by the file, it is a weight like any other, and exact again.
    np.testing.assert_array_equal(
        numpy_helper.to_array(half["patch.weight.float16"]),
        numpy_helper.to_array(source["patch.weight.half"]),
    )
    for name in ("project1.weight", "classify.weight", "classify.bias"):
        assert half[name].data_type == FLOAT
        np.testing.assert_array_equal(
            numpy_helper.to_array(half[name]), numpy_helper.to_array(source[name])
        )
    assert "deep.weight" not in half


def test_fp32_logits_are_those_of_the_source(network, tmp_path):
    write_mixed(network, tmp_path / "out.onnx", "fp32")
    (expected,) = run(network, tiny_image())
    got, magnitude = run(tmp_path / "out.onnx", tiny_image(), ["logits", "magnitude"])
    np.testing.assert_array_equal(got, expected)
    inner = reference_inner(network)
    sums = np.abs(expected).sum() + sum(np.abs(inner[name]).sum() for name in ("stage1", "stage2"))
    assert magnitude == pytest.approx(sums, rel=1e-4)


def reference_inner(network):
    model = onnx.load(network)
    for name in ("stage1", "stage2"):
        model.graph.output.append(helper.make_empty_tensor_value_info(name))
    evaluator = ReferenceEvaluator(model)
    values = evaluator.run(None, {"image": tiny_image()[None]})
    return dict(zip(evaluator.output_names, values, strict=True))


@pytest.mark.parametrize("size", [None, (33, 71), (90, 160)])
def test_mask_is_the_argmax_of_the_upsampled_logits(network, tmp_path, size):
    write_mixed(network, tmp_path / "out.onnx", "fp16", mask_size=size)
    mask, logits = run(tmp_path / "out.onnx", tiny_image(), ["mask", "logits"])
    assert mask.dtype == np.uint8
    expected = argmax_upsampled(logits[0], size or SIZE)
    # A runtime's resize rounds as it likes: ties of the last bit may fall the other way.
    assert (mask[0] != expected).mean() <= 1e-3
    assert len(np.unique(expected)) == 5


def test_fp16_computes_nearly_the_same(network, tmp_path):
    write_mixed(network, tmp_path / "out.onnx", "fp16")
    exact, half = reference(network, tiny_image()), reference(tmp_path / "out.onnx", tiny_image())
    difference = np.abs(half["logits"] - exact["logits"]).max()
    assert 0 < difference < 0.02
    assert half["logits"].dtype == np.float32


def test_embedded_model_in_fp16_agrees(tmp_path):
    source = find_model("default").path
    write_mixed(source, tmp_path / "out.onnx", "fp16")
    types = types_of(tmp_path / "out.onnx")
    model = onnx.load(tmp_path / "out.onnx")
    kinds = {"Conv": [], "MatMul": [], "LayerNormalization": [], "Softmax": []}
    for node in model.graph.node:
        if node.op_type in kinds:
            kinds[node.op_type].append(types[node.output[0]])
    assert kinds["Conv"].count(FLOAT) == 5  # four projections and the classifier
    assert kinds["Conv"].count(HALF) == 18
    assert set(kinds["MatMul"] + kinds["LayerNormalization"] + kinds["Softmax"]) == {HALF}
    coarse = np.random.default_rng(0).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    image = np.kron(coarse, np.ones((32, 32, 1), np.uint8))
    (expected,) = run(source, image)
    (got,) = run(tmp_path / "out.onnx", image, ["logits"])
    assert (got.argmax(1) == expected.argmax(1)).mean() > 0.99


def test_islands_stay_in_float(network, tmp_path):
    write_mixed(network, tmp_path / "out.onnx", "fp16", islands=ISLANDS)
    types = types_of(tmp_path / "out.onnx")
    assert types["normed"] == types["attention"] == FLOAT
    assert types["query"] == types["mixed"] == HALF


def test_weight_that_overflows_keeps_its_layer_in_float(tmp_path):
    weight = np.full((16, 16), 7e4, np.float32)
    network = tiny_network(tmp_path / "tiny.onnx", {"query.weight": weight})
    write_mixed(network, tmp_path / "fp16.onnx", "fp16")
    assert types_of(tmp_path / "fp16.onnx")["query"] == FLOAT
    assert types_of(tmp_path / "fp16.onnx")["scores"] == HALF
    write_mixed(network, tmp_path / "bf16.onnx", "bf16")
    assert types_of(tmp_path / "bf16.onnx")["query"] == BF16


def test_constant_that_vanishes_keeps_its_operator_in_float(tmp_path):
    network = tiny_network(tmp_path / "tiny.onnx", {"scale": np.array(1e-9, np.float32)})
    write_mixed(network, tmp_path / "out.onnx", "fp16")
    assert types_of(tmp_path / "out.onnx")["scaled"] == FLOAT


def test_magnitude_tells_of_overflow_that_the_relu_hides(tmp_path):
    """NaN enters the head; a runtime whose ReLU turns it into 0 gives logits that look right."""
    weight = np.full((16, 8, 3, 3), 3e4, np.float32)
    network = tiny_network(tmp_path / "tiny.onnx", {"deep.weight": weight})
    write_mixed(network, tmp_path / "out.onnx", "fp16")
    evaluator = ReferenceEvaluator(str(tmp_path / "out.onnx"), new_ops=[Relu])
    with np.errstate(all="ignore"):
        _, logits, magnitude = evaluator.run(None, {"image": tiny_image()[None]})
    assert np.isfinite(logits).all()
    assert not np.isfinite(magnitude)
    with np.errstate(all="ignore"):
        assert np.isfinite(reference(network, tiny_image())["logits"]).all()


class Relu(op_run.OpRun):
    """As a GPU does it: the larger of x and 0 is 0 where x is NaN."""

    def _run(self, x):
        return (np.fmax(x, 0).astype(x.dtype),)


def test_bf16_raises_the_opset_to_one_that_has_it(network, tmp_path):
    write_mixed(network, tmp_path / "out.onnx", "bf16")
    assert onnx.load(tmp_path / "out.onnx").opset_import[0].version == 22
    write_mixed(network, tmp_path / "out.onnx", "fp16")
    assert onnx.load(tmp_path / "out.onnx").opset_import[0].version == 18


def edited(network, change):
    model = onnx.load(network)
    change(model.graph)
    onnx.save(model, network)
    return network


def rename_output(graph):
    graph.output[0].name = graph.node[-1].output[0] = "classes"


def float_input(graph):
    graph.input[0].type.tensor_type.elem_type = FLOAT


def branch(graph):
    value = helper.make_tensor_value_info("branch.out", FLOAT, None)
    inner = helper.make_graph(
        [helper.make_node("Identity", ["stage2"], ["branch.out"])], "inner", [], [value]
    )
    graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    place = next(i for i, node in enumerate(graph.node) if node.output[0] == "projected2")
    graph.node[place].input[0] = "chosen"
    graph.node.insert(
        place,
        helper.make_node(
            "If", ["yes"], ["chosen"], "/choice", then_branch=inner, else_branch=inner
        ),
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename_output, r"tiny.onnx: has inputs \['image'\] and outputs \['classes'\]; it must"),
        (float_input, "tiny.onnx: input `image` has another type"),
        (branch, "tiny.onnx: node /choice branches or loops .If.; such .* in fp32 only"),
    ],
)
def test_network_of_another_form_is_refused(network, tmp_path, change, said):
    with pytest.raises(SegRosError, match=said) as raised:
        write_mixed(edited(network, change), tmp_path / "out.onnx", "fp16")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out.onnx").exists()


def test_bad_files_and_names_are_one_line(network, tmp_path):
    (tmp_path / "text.onnx").write_text("no network")
    for source, precision, said in [
        (tmp_path / "text.onnx", "fp16", "text.onnx: not a valid ONNX network"),
        (tmp_path / "none.onnx", "fp16", "none.onnx: cannot be read: No such file"),
        (network, "int8", "precision 'int8' is unknown; use one of fp32, fp16, bf16"),
    ]:
        with pytest.raises(SegRosError, match=said) as raised:
            write_mixed(source, tmp_path / "out.onnx", precision)
        assert "\n" not in str(raised.value)
    with pytest.raises(SegRosError, match="cannot be written"):
        write_mixed(network, tmp_path / "none" / "out.onnx", "fp16")


def test_an_older_file_survives_what_goes_wrong(network, tmp_path, monkeypatch):
    out = tmp_path / "out.onnx"
    out.write_bytes(b"older")

    def full(_model, path):
        path.write_bytes(b"half a netw")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx, "save", full)
    with pytest.raises(SegRosError, match="No space left"):
        write_mixed(network, out, "fp16")
    assert out.read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.onnx", "tiny.onnx"]
