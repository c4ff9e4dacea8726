import numpy as np
import pytest
from foreign_network import (
    FLOAT,
    MEAN,
    SIZE,
    STD,
    UINT8,
    assert_standard,
    expected,
    normalised,
    run,
    wrapped,
)
from onnx import helper, numpy_helper

from seg_ros.errors import SegRosError


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
    with pytest.raises(SegRosError, match="so it has 3 classes; a threshold is for one, remove it"):
        wrapped(tmp_path, said)
