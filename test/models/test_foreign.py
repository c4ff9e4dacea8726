import numpy as np
import pytest
from foreign_network import (
    FLOAT,
    HALF,
    MEAN,
    OPEN,
    SAID,
    SIZE,
    STD,
    UINT8,
    assert_standard,
    expected,
    normalised,
    run,
    small_network,
    wrapped,
)

from seg_ros.engines.openvino import OpenVinoEngine
from seg_ros.errors import SegRosError
from seg_ros.models.catalogue import Form, find_model
from seg_ros.models.network import Network

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from onnx import TensorProto, helper


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("said", "channels", "mean", "std"),
    [
        ("", [2, 1, 0], MEAN, STD),
        ("order: rgb", [2, 1, 0], MEAN, STD),
        ("order: bgr", [0, 1, 2], MEAN, STD),
        ("scale: 1", [2, 1, 0], [m / 255 for m in MEAN], [s / 255 for s in STD]),
    ],
)
def test_the_normalisation_goes_inside(tmp_path, image, said, channels, mean, std):
    beside = f"network: {{mean: {MEAN}, std: {STD}, {said}}}\nlabels: bdd100k_drivable\n"
    network, path = wrapped(tmp_path, beside)
    assert network.model.form is Form.ONNX
    assert network.input_size == SIZE
    assert_standard(path)
    pixels = ((image[..., channels] / 255 - mean) / std).transpose(2, 0, 1)[None]
    answer = run(path, image=image[None])
    assert np.abs(answer - expected(tmp_path, pixels)).max() < 1e-4 * np.abs(answer).max()


@pytest.mark.parametrize(
    ("shape", "asked", "said_size", "size"),
    [
        (("n", 3, "h", "w"), None, [32, 64], (32, 64)),
        ((1, 3, "h", "w"), (64, 32), [32, 64], (64, 32)),
        (("n", "h", "w", 3), (32, 96), None, (32, 96)),
        ((1, 3, 64, "w"), (64, 128), None, (64, 128)),
        ((1, 64, 96, 3), None, None, SIZE),
    ],
)
def test_open_axes_and_channels_last(tmp_path, shape, asked, said_size, size):
    said = SAID if said_size is None else SAID.replace("}", f", size: {said_size}}}")
    network, path = wrapped(tmp_path, said, asked, shape=shape, outputs=(OPEN,))
    assert network.input_size == size
    assert_standard(path, size)
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    answer = run(path, image=image[None])
    assert np.abs(answer - expected(tmp_path, normalised(image))).max() < 1e-3


def test_old_operators_are_converted(tmp_path, image):
    _, path = wrapped(tmp_path, opset=11)
    assert_standard(path)
    answer = run(path, image=image[None])
    assert np.abs(answer - expected(tmp_path, normalised(image))).max() < 1e-3


def test_half_precision_inside(tmp_path, image):
    _, path = wrapped(tmp_path, kind=HALF, outputs=(("scores", HALF, (1, 3, 16, 24)),))
    assert_standard(path)
    answer = run(path, image=image[None])
    assert np.abs(answer - expected(tmp_path, normalised(image))).max() < 0.1


def test_one_of_several_outputs(tmp_path, image):
    double = helper.make_node("Add", ["scores", "scores"], ["double"])
    outputs = (("scores", FLOAT, (1, 3, 16, 24)), ("double", FLOAT, (1, 3, 16, 24)))
    _, path = wrapped(
        tmp_path, SAID.replace("}", ", output: double}"), end=[double], outputs=outputs
    )
    answer = run(path, image=image[None])
    assert np.abs(answer - 2 * expected(tmp_path, normalised(image))).max() < 1e-3


@pytest.mark.parametrize(("axis", "left_out"), [(1, True), (-3, True), (3, False)])
def test_a_softmax_over_the_classes_is_left_out(tmp_path, image, axis, left_out):
    softmax = helper.make_node("Softmax", ["scores"], ["shares"], axis=axis)
    outputs = (("shares", FLOAT, (1, 3, 16, 24)),)
    _, path = wrapped(tmp_path, end=[softmax], outputs=outputs)
    answer = run(path, image=image[None])
    same = np.abs(answer - expected(tmp_path, normalised(image))).max() < 1e-3
    assert same == left_out


def test_weights_in_a_file_of_their_own(tmp_path, image):
    network, path = wrapped(tmp_path, external="small.weights")
    answer = run(path, image=image[None])
    assert np.abs(answer - expected(tmp_path, normalised(image))).max() < 1e-3
    data = bytearray((tmp_path / "small.weights").read_bytes())
    data[7] ^= 1
    (tmp_path / "small.weights").write_bytes(data)
    assert Network(network.model, tmp_path).sha256 != network.sha256


def test_a_uint8_image_needs_nothing_said(tmp_path, image):
    said = "labels: bdd100k_drivable"
    form = {"kind": UINT8, "shape": (1, *SIZE, 3)}
    network, path = wrapped(tmp_path, said, **form)
    assert network.model.form is Form.STANDARD
    assert path == tmp_path / "small.onnx"  # as it is
    open_size = {"kind": UINT8, "shape": (1, "h", "w", 3), "outputs": (OPEN,)}
    _, path = wrapped(tmp_path, said, SIZE, **open_size)
    assert_standard(path)
    pixels = image.transpose(2, 0, 1)[None]
    assert np.abs(run(path, image=image[None]) - expected(tmp_path, pixels)).max() < 0.1


def test_the_engine_takes_what_comes_out(tmp_path, image):
    _, path = wrapped(tmp_path, shape=("n", 3, "h", "w"), size=SIZE)
    logits = OpenVinoEngine(path).infer(image).logits()
    assert np.abs(logits - expected(tmp_path, normalised(image))[0]).max() < 1e-3


FEW = [helper.make_node("Shape", ["scores"], ["four"]), helper.make_node("Neg", ["four"], ["few"])]
FLAT = [helper.make_node("ReduceMax", ["scores"], ["flat"], axes=[1], keepdims=0)]
ONE = [helper.make_node("ReduceMax", ["scores"], ["one"], axes=[1], keepdims=1)]
TWO = (("scores", FLOAT, (1, 3, 16, 24)), ("more", FLOAT, (1, 3, 16, 24)))


@pytest.mark.parametrize(
    ("said", "form", "message"),
    [
        ("labels: bdd100k_drivable", {}, "takes 'pixels', float 1 x 3 x 64 x 96; say its normalis"),
        (
            SAID,
            {"end": FEW, "outputs": (("few", TensorProto.INT64, None),)},
            "gives 'few', int64 without a shape; class ids of the form N x h x w, or logits",
        ),
        (
            SAID,
            {"end": [helper.make_node("Neg", ["scores"], ["more"])], "outputs": TWO},
            "has 2 outputs ('scores', float 1 x 3 x 16 x 24; 'more', float 1 x 3 x 16 x 24); say",
        ),
        (SAID.replace("}", ", output: logit}"), {}, "has no output 'logit', but 'scores', float"),
        (SAID, {"end": FLAT, "outputs": (("flat", FLOAT, None),)}, "its output is 1 x 16 x 24; "),
        (SAID, {"end": ONE, "outputs": (("one", FLOAT, None),)}, "x 16 x 24, is one channel."),
        (SAID.replace("bdd100k_drivable", "camvid"), {}, "has 3 classes; label set camvid has 11"),
        (SAID, {"shape": (1, 3, "h", "w"), "outputs": (OPEN,)}, "leaves its input size open"),
        (SAID.replace("}", ", size: [32, 32]}"), {}, "is made for 64 x 96 images, not 32 x 32"),
        (SAID, {"kind": UINT8, "shape": (1, 64, 96, 3)}, "so its normalisation is inside; remove"),
        (SAID, {"kind": TensorProto.DOUBLE}, "takes 'pixels', double 1 x 3 x 64 x 96; float or"),
    ],
)  # fmt: skip
def test_networks_that_do_not_fit(tmp_path, said, form, message):
    with pytest.raises(SegRosError) as error:
        wrapped(tmp_path, said, **form)
    assert message in str(error.value)
    assert "small.onnx" in str(error.value)
    assert "\n" not in str(error.value)


def test_batches_and_gray_images_do_not_fit(tmp_path):
    for shape, words in (((2, 3, 64, 96), "2 x 3 x 64 x 96"), ((1, 1, 64, 96), "1 x 1 x 64 x 96")):
        with pytest.raises(SegRosError, match=f"its input is {words}; one image, 1 x 3 x H x W"):
            wrapped(tmp_path, shape=shape, outputs=(OPEN,))


def test_files_that_are_not_whole(tmp_path):
    path = small_network(tmp_path / "small.onnx", external="small.weights")
    path.with_suffix(".yaml").write_text(SAID)
    weights = tmp_path / "small.weights"
    weights.write_bytes(weights.read_bytes()[:10])
    with pytest.raises(SegRosError, match="its weights cannot be read"):
        Network(find_model(str(path)), tmp_path).onnx()
    weights.unlink()
    with pytest.raises(SegRosError, match=r"its weights are in small\.weights, which must lie"):
        Network(find_model(str(path)), tmp_path).onnx()
    for content in (b"", b"no protobuf at all", path.read_bytes()[:40]):
        path.write_bytes(content)
        with pytest.raises(SegRosError, match="not a whole ONNX file"):
            Network(find_model(str(path)), tmp_path).onnx()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("network: 3", "network must be a mapping"),
        ("network: {means: [1, 2, 3]}", "unknown keys ['means']; known are fit, mean, order"),
        ("netwrok: {}", "unknown keys ['netwrok']"),
        ("network: {mean: [0, 0, 0]}", "needs both 'mean' and 'std'"),
        ("network: {mean: [0, 0], std: [1, 1, 1]}", "'mean' must be three numbers"),
        ("network: {mean: [0, 0, 0], std: [1, 0, 1]}", "'std' must be above 0"),
        ("network: {mean: [0, 0, 0], std: [1, 1, 1], order: gbr}", "'order' must be rgb or bgr"),
        (
            "network: {mean: [0, 0, 0], std: [1, 1, 1], scale: 0}",
            "'scale' must be a number above 0",
        ),
        ("network: {mean: [123.7, 116.3, 103.5], std: [58.4, 57.1, 57.4]}", "say 'scale: 1'"),
        ("network: {size: 512}", "'size' must be [height, width]"),
        ("network: {output: 1}", "'output' must be the name"),
        ("network: {threshold: 1}", "'threshold' must be a share between 0 and 1"),
        ("network: {threshold: 50.0}", "'threshold' must be a share between 0 and 1"),
        ("network: {threshold: 0.5}", "a threshold makes two classes of an ONNX network's one ch"),
        ("labels: 3", "'labels' must be the name of a label set"),
        ("labels: moon", "label set 'moon' is neither a file nor one of the bundled"),
        ("labels: camvid\nclasses: []", "has both 'classes' and 'labels'"),
        ("[", "not valid YAML"),
        ("just text", "needs 'classes' or 'labels'"),
    ],
)
def test_a_wrong_yaml_says_where_and_what(tmp_path, text, said):
    path = small_network(tmp_path / "small.onnx")
    path.with_suffix(".yaml").write_text(text)
    with pytest.raises(SegRosError) as error:
        find_model(str(path), "bdd100k_drivable")
    assert said in str(error.value)
    if "moon" not in said:
        assert str(path.with_suffix(".yaml")) in str(error.value)
    assert "\n" not in str(error.value)
