import numpy as np
import pytest
from foreign_network import (
    FLOAT,
    MEAN,
    SAID,
    SIZE,
    STD,
    UINT8,
    assert_standard,
    expected,
    normalised,
    run,
    wrapped,
)
from onnx import TensorProto, helper, numpy_helper

from seg_ros.engines.openvino import OpenVinoEngine
from seg_ros.errors import SegRosError
from seg_ros.segment.segmenter import Segmenter
from seg_ros.segment.upsample import argmax_upsampled


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


PERMS = [(0, 2, 3, 1), (0, 3, 1, 2)], [(0, 3, 2, 1), (0, 3, 2, 1)]


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize(("to_last", "back"), PERMS)
@pytest.mark.parametrize("after", ["", "Identity", "Cast"])
def test_a_softmax_is_left_out_wherever_it_stands(tmp_path, image, opset, to_last, back, after):
    end = [
        helper.make_node("Transpose", ["scores"], ["last"], perm=to_last),
        helper.make_node("Softmax", ["last"], ["soft"], axis=3),
        helper.make_node("Transpose", ["soft"], ["back" if after else "shares"], perm=back),
    ]
    if after:
        more = {"to": FLOAT} if after == "Cast" else {}
        end.append(helper.make_node(after, ["back"], ["shares"], **more))
    outputs = (("shares", FLOAT, (1, 3, 16, 24)),)
    _, path = wrapped(tmp_path, end=end, outputs=outputs, opset=opset)
    answer = run(path, image=image[None])
    assert np.abs(answer - expected(tmp_path, normalised(image))).max() < 1e-3


def test_a_softmax_over_another_axis_stays(tmp_path, image):
    end = [
        helper.make_node("Transpose", ["scores"], ["turned"], perm=[0, 2, 1, 3]),
        helper.make_node("Softmax", ["turned"], ["soft"], axis=3),  # over columns
        helper.make_node("Transpose", ["soft"], ["shares"], perm=[0, 2, 1, 3]),
    ]
    _, path = wrapped(tmp_path, end=end, outputs=(("shares", FLOAT, (1, 3, 16, 24)),))
    assert np.allclose(run(path, image=image[None]).sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["Softmax", "Sigmoid"])
def test_probabilities_that_are_enlarged_come_back_as_they_were(tmp_path, image, kind):
    def end(name):
        axis = {"axis": 1} if kind == "Softmax" else {}
        halve = {"kernel_shape": [2, 2], "strides": [2, 2]}
        return [
            helper.make_node(kind, [name], ["soft"], **axis),
            helper.make_node("AveragePool", ["soft"], ["shares"], **halve),
        ]

    _, path = wrapped(tmp_path, end=end("scores"), outputs=(("shares", FLOAT, (1, 3, 8, 12)),))
    logits = run(path, image=image[None])
    scores = expected(tmp_path, normalised(image))
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares = (
        shares / shares.sum(1, keepdims=True) if kind == "Softmax" else 1 / (1 + np.exp(-scores))
    )
    shares = shares.reshape(1, 3, 8, 2, 12, 2).mean((3, 5))
    again = np.exp(logits) if kind == "Softmax" else 1 / (1 + np.exp(-logits))
    assert np.abs(again - shares).max() < 1e-5


def test_a_uint8_network_that_gives_probabilities_is_wrapped_too(tmp_path, image):
    softmax = helper.make_node("Softmax", ["scores"], ["shares"], axis=1)
    form = {"kind": UINT8, "shape": (1, *SIZE, 3), "outputs": (("shares", FLOAT, (1, 3, 16, 24)),)}
    _, path = wrapped(tmp_path, "labels: bdd100k_drivable", end=[softmax], **form)
    assert path != tmp_path / "small.onnx"
    answer = run(path, image=image[None])
    assert np.abs(answer - expected(tmp_path, image.transpose(2, 0, 1)[None])).max() < 0.1


TWO_CLASSES = """classes:
  - {name: other, color: [0, 0, 0], kind: obstacle}
  - {name: road, color: [128, 64, 128], kind: ground, driveable: true}
"""


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("kind", [FLOAT, UINT8])
def test_one_channel_is_a_threshold_between_two_classes(tmp_path, image, threshold, sigmoid, kind):
    first = numpy_helper.from_array(np.array([0]), "first")
    end = [
        helper.make_node("Constant", [], ["first"], value=first),
        helper.make_node("Gather", ["scores", "first"], ["raw"], axis=1),
        helper.make_node("Constant", [], ["much"], value_float=0.01 if kind == UINT8 else 1.0),
        helper.make_node("Mul", ["raw", "much"], ["one"]),
        *([helper.make_node("Sigmoid", ["one"], ["share"])] if sigmoid else []),
    ]
    outputs = (("share" if sigmoid else "one", FLOAT, (1, 1, 16, 24)),)
    if kind == UINT8:
        said = TWO_CLASSES + f"network: {{threshold: {threshold}}}"
        form = {"kind": UINT8, "shape": (1, *SIZE, 3)}
        pixels, much = image.transpose(2, 0, 1)[None], 0.01
    else:
        said = TWO_CLASSES + f"network: {{mean: {MEAN}, std: {STD}, threshold: {threshold}}}"
        form, pixels, much = {}, normalised(image), 1
    network, path = wrapped(tmp_path, said, end=end, outputs=outputs, **form)
    assert_standard(path, classes=2)
    assert network.class_count == 2
    logits = run(path, image=image[None])[0]
    share = 1 / (1 + np.exp(-much * expected(tmp_path, pixels)[0, 0].astype(np.float64)))
    sure = np.abs(share - threshold) > 1e-4
    assert np.array_equal(logits.argmax(0)[sure], (share > threshold)[sure])
    assert 0 < (share > threshold).mean() < 1
    if threshold == 0.5:
        assert np.allclose(1 / (1 + np.exp(logits[0] - logits[1])), share, atol=1e-4)


def test_a_threshold_is_for_one_channel(tmp_path):
    said = TWO_CLASSES + f"network: {{mean: {MEAN}, std: {STD}, threshold: 0.5}}"
    with pytest.raises(SegRosError, match="has 3 classes; a threshold is for one, remove it"):
        wrapped(tmp_path, said)


def closed(tmp_path, image, nodes, kind, shape, said=SAID, **form):
    """Wrap a network with an end; return (logits of the file, logits of the wrapped one)."""
    network, path = wrapped(tmp_path, said, end=nodes, outputs=(("ids", kind, shape),), **form)
    return network, run(path, image=image[None])


ENLARGE = helper.make_node(
    "Resize",
    ["scores", "", "four"],
    ["large"],
    mode="linear",
    coordinate_transformation_mode="half_pixel",
)
FOUR = helper.make_node("Constant", [], ["four"], value_floats=[1.0, 1.0, 4.0, 4.0])


@pytest.mark.parametrize("kind", [UINT8, TensorProto.INT64, FLOAT])
@pytest.mark.parametrize("enlarged", [False, True])
@pytest.mark.parametrize("softmax", [False, True])
def test_a_closing_arg_max_comes_off(tmp_path, image, kind, enlarged, softmax):
    """And an enlargement by a whole number before it, as Ultralytics exports semantic networks."""
    nodes, last = [], "scores"
    if enlarged:
        nodes, last = [FOUR, ENLARGE], "large"
    if softmax:
        nodes.append(helper.make_node("Softmax", [last], ["soft"], axis=1))
        last = "soft"
    nodes += [
        helper.make_node("ArgMax", [last], ["index"], axis=1, keepdims=0),
        helper.make_node("Cast", ["index"], ["ids"], to=kind),
    ]
    size = SIZE if enlarged else (16, 24)
    network, logits = closed(tmp_path, image, nodes, kind, (1, *size))
    assert network.confident
    assert_standard(network.onnx())  # the logits of before the enlargement
    assert np.abs(logits - expected(tmp_path, normalised(image))).max() < 1e-3
    pixels = normalised(image).astype(np.float32)
    ids = run(tmp_path / "small.onnx", pixels=pixels).reshape(size)
    mask = argmax_upsampled(np.ascontiguousarray(logits[0]), size)
    assert (mask == ids).mean() > 0.9999, "but for ties"


def test_an_enlargement_of_probabilities_stays(tmp_path, image):
    """What they decide between four of them is not what the logits do."""
    nodes = [
        helper.make_node("Softmax", ["scores"], ["soft"], axis=1),
        FOUR,
        helper.make_node(ENLARGE.op_type, ["soft", "", "four"], ["large"], mode="linear"),
        helper.make_node("ArgMax", ["large"], ["ids"], axis=1, keepdims=1),
    ]
    _, logits = closed(tmp_path, image, nodes, TensorProto.INT64, (1, 1, *SIZE))
    assert logits.shape == (1, 3, *SIZE)
    ids = run(tmp_path / "small.onnx", pixels=normalised(image).astype(np.float32))
    assert (logits.argmax(1) == ids[0]).mean() > 0.9999


@pytest.mark.parametrize(("mode", "factor"), [("nearest", 4.0), ("linear", 3.5)])
def test_other_enlargements_stay(tmp_path, image, mode, factor):
    nodes = [
        helper.make_node("Constant", [], ["much"], value_floats=[1.0, 1.0, factor, factor]),
        helper.make_node("Resize", ["scores", "", "much"], ["large"], mode=mode),
        helper.make_node("ArgMax", ["large"], ["ids"], axis=1, keepdims=0),
    ]
    size = (int(16 * factor), int(24 * factor))
    _, logits = closed(tmp_path, image, nodes, TensorProto.INT64, (1, *size))
    assert logits.shape == (1, 3, *size)
    ids = run(tmp_path / "small.onnx", pixels=normalised(image).astype(np.float32))
    assert (logits.argmax(1) == ids).mean() > 0.9999


def test_nan_is_seen_where_arg_max_would_have_hidden_it(tmp_path, image):
    nodes = [
        helper.make_node("Sqrt", ["scores"], ["root"]),  # of negative scores, too
        helper.make_node("ArgMax", ["root"], ["ids"], axis=1, keepdims=0),
    ]
    network, logits = closed(tmp_path, image, nodes, TensorProto.INT64, (1, 16, 24))
    assert np.isnan(logits).any()
    assert not OpenVinoEngine(network.onnx()).infer(image).finite


@pytest.mark.parametrize("shape", [(1, 16, 24), (1, 1, 16, 24)])
def test_class_ids_of_unknown_make_are_taken_as_they_are(tmp_path, image, shape):
    """Here of the largest of three products, which no ArgMax made."""
    sizes = numpy_helper.from_array(np.array(shape), "sizes")
    nodes = [
        helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        helper.make_node("Mul", ["best", "best"], ["square"]),
        helper.make_node("Constant", [], ["two"], value_ints=[2]),
        helper.make_node("Min", ["square", "two"], ["least"]),
        helper.make_node("Constant", [], ["sizes"], value=sizes),
        helper.make_node("Reshape", ["least", "sizes"], ["ids"]),
    ]
    network, logits = closed(tmp_path, image, nodes, TensorProto.INT64, shape)
    assert not network.confident
    ids = run(tmp_path / "small.onnx", pixels=normalised(image).astype(np.float32))
    assert np.array_equal(logits[0].argmax(0), ids.reshape(16, 24))
    assert set(np.unique(logits)) == {0.0, 1.0}


def test_a_class_id_beyond_the_label_set_is_no_class_at_all(tmp_path, image):
    nodes = [
        helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        helper.make_node("Add", ["best", "best"], ["ids"]),
    ]
    network, logits = closed(tmp_path, image, nodes, TensorProto.INT64, (1, 16, 24))
    ids = run(tmp_path / "small.onnx", pixels=normalised(image).astype(np.float32))[0]
    assert (ids > 2).any()
    assert np.array_equal(np.isnan(logits[0]).all(0), ids > 2)
    segmenter = Segmenter.of(OpenVinoEngine(network.onnx()), network)
    with pytest.raises(SegRosError, match="class ids beyond the 3 classes of label set bdd100k"):
        segmenter.segment(image)


@pytest.mark.parametrize("sigmoid", [False, True])
def test_a_closing_comparison_of_one_channel_is_a_threshold(tmp_path, image, sigmoid):
    """As Ultralytics exports a network of one class: ``score > 0``, then Cast."""
    first = numpy_helper.from_array(np.array([0]), "first")
    nodes = [
        helper.make_node("Constant", [], ["first"], value=first),
        helper.make_node("Gather", ["scores", "first"], ["one"], axis=1),
        helper.make_node("Constant", [], ["axes"], value_ints=[1]),
        helper.make_node("Constant", [], ["limit"], value_float=0.4 if sigmoid else 0.0),
        *([helper.make_node("Sigmoid", ["one"], ["share"])] if sigmoid else []),
        helper.make_node("Squeeze", ["share" if sigmoid else "one", "axes"], ["flat"]),
        helper.make_node("Greater", ["flat", "limit"], ["is"]),
        helper.make_node("Cast", ["is"], ["ids"], to=UINT8),
    ]
    said = TWO_CLASSES + f"network: {{mean: {MEAN}, std: {STD}}}"
    network, logits = closed(tmp_path, image, nodes, UINT8, (1, 16, 24), said)
    ids = run(tmp_path / "small.onnx", pixels=normalised(image).astype(np.float32))
    assert network.confident
    assert (logits.argmax(1) == ids).mean() > 0.9999
    assert 0 < ids.mean() < 1


@pytest.mark.parametrize("reshape", ["Reshape", "Squeeze"])
def test_a_softmax_before_a_reshape_comes_off(tmp_path, image, reshape):
    """Pixels in a row, as some exporters leave them."""
    flat = numpy_helper.from_array(np.array([1, 3, 16 * 24]), "flat")
    back = numpy_helper.from_array(np.array([1, 3, 16, 24]), "back")
    if reshape == "Reshape":
        nodes = [
            helper.make_node("Constant", [], ["flat"], value=flat),
            helper.make_node("Reshape", ["scores", "flat"], ["row"]),
            helper.make_node("Softmax", ["row"], ["soft"], axis=1),
            helper.make_node("Constant", [], ["back"], value=back),
            helper.make_node("Reshape", ["soft", "back"], ["ids"]),
        ]
    else:
        nodes = [
            helper.make_node("Constant", [], ["axes"], value_ints=[0]),
            helper.make_node("Softmax", ["scores"], ["soft"], axis=1),
            helper.make_node("Squeeze", ["soft", "axes"], ["three"]),
            helper.make_node("Unsqueeze", ["three", "axes"], ["ids"]),
        ]
    _, logits = closed(tmp_path, image, nodes, FLOAT, (1, 3, 16, 24))
    assert np.abs(logits - expected(tmp_path, normalised(image))).max() < 1e-3


TRAINING = {
    "Dropout": [
        helper.make_node("Constant", [], ["p"], value_float=0.1),
        helper.make_node("Constant", [], ["on"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node("Dropout", ["scores", "p", "on"], ["ids"]),
    ],
    "RandomUniformLike": [
        helper.make_node("RandomUniformLike", ["scores"], ["noise"]),
        helper.make_node("Mul", ["scores", "noise"], ["ids"]),
    ],
}


@pytest.mark.parametrize("what", TRAINING)
def test_a_network_exported_in_training_mode_is_called_that(tmp_path, image, what):
    with pytest.raises(SegRosError) as error:
        closed(tmp_path, image, TRAINING[what], FLOAT, (1, 3, 16, 24))
    assert f"was exported in training mode: its {what} 'ids'" in str(error.value) or (
        f"was exported in training mode: its {what} 'noise'" in str(error.value)
    )
    assert "call model.eval() before torch.onnx.export" in str(error.value)


def test_dropout_that_is_off_is_nothing(tmp_path, image):
    nodes = [helper.make_node("Dropout", ["scores"], ["ids"])]
    _, logits = closed(tmp_path, image, nodes, FLOAT, (1, 3, 16, 24))
    assert np.abs(logits - expected(tmp_path, normalised(image))).max() < 1e-3
