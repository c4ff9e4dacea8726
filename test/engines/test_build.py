"""A model becomes an engine that is verified, stored, found again, or refused."""

import json
import math
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from seg_ros import engines
from seg_ros.cli import main
from seg_ros.drive import open_drive
from seg_ros.drive.samples import choose_frames
from seg_ros.engines import Inference, Platform
from seg_ros.engines import build as build_module
from seg_ros.engines.build import Check, Wish, build, open_engine
from seg_ros.engines.openvino import OpenVinoEngine
from seg_ros.engines.store import EngineStore
from seg_ros.engines.verify import FRAMES, Limits
from seg_ros.errors import SegRosError
from seg_ros.models.catalogue import find_model
from seg_ros.models.network import Network
from seg_ros.segment.segmenter import Segmenter

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

SIZE = (96, 160)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A small SegFormer with random weights that tells several classes apart."""
    torch.manual_seed(5)
    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 24, 32],
        decoder_hidden_size=32,
        num_attention_heads=[1, 2, 3, 4],
        id2label={0: "current lane", 1: "alternative lane", 2: "background"},
        label2id={"current lane": 0, "alternative lane": 1, "background": 2},
    )
    model = transformers.SegformerForSemanticSegmentation(config).eval()
    with torch.no_grad():
        model.decode_head.classifier.weight.mul_(20)
    path = tmp_path_factory.mktemp("models") / "small"
    model.save_pretrained(path)
    return path


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEG_ROS_ENGINES", str(tmp_path / "engines"))
    return EngineStore(tmp_path / "engines")


@pytest.fixture(scope="session")
def frames(tmp_path_factory, scene):
    """A folder of three frames, so that no test renders its own."""
    folder = tmp_path_factory.mktemp("frames")
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), scene[index * 40].image)
    return str(folder)


@pytest.fixture(scope="session")
def net(checkpoint, tmp_path_factory):
    """The checkpoint as a network; written as ONNX once for all tests."""
    model = find_model(str(checkpoint), "bdd100k_drivable")
    return Network(model, tmp_path_factory.mktemp("onnx"), SIZE)


def check_on(frames, *limits):
    return Check(frames, lambda: choose_frames(open_drive(frames), FRAMES), Segmenter.of, *limits)


class Wrong:
    """An engine that is fast and wrong: some logits of its network are changed."""

    def __init__(self, engine, change):
        self.engine, self.change = engine, change

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def infer(self, image):
        logits = self.engine.infer(image).logits().copy()
        self.change(logits)
        return Inference(lambda: logits, bool(np.isfinite(logits).all()))


def test_a_checkpoint_becomes_a_verified_engine(net, store, frames):
    built = build(net, Wish("openvino"), check_on(frames))
    manifest = built.entry.manifest
    verdict = manifest["verification"]
    assert verdict["passed"] is True
    assert verdict["reference"].startswith("torch")
    assert verdict["frames"] == 3
    assert verdict["pixels"] == 3 * 360 * 640
    assert verdict["agreement"] >= 0.9999
    assert verdict["logit_difference"] < 1e-3
    assert sum(iou is not None for iou in verdict["iou"].values()) >= 2
    assert manifest["flops"]["folded"] < manifest["flops"]["unfolded"]
    assert manifest["key"]["input_size"] == [96, 160]
    # The node finds it without building.
    opened = open_engine(net.model, Wish("openvino", input_size=SIZE), store=store)
    assert opened.verification == verdict["summary"]
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    stored = opened.engine.infer(image).logits()
    assert np.array_equal(stored, built.engine.infer(image).logits())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda logits: logits.fill(math.nan), "answered with NaN or infinity"),
        (lambda logits: logits.__setitem__(2, -1e3), "of what is not driveable became driveable"),
        (lambda logits: logits.__setitem__(0, 1e3), "of the pixels agree with torch"),
    ],
)
def test_an_engine_that_is_wrong_is_refused(net, store, frames, monkeypatch, change, reason):
    real = build_module._start
    monkeypatch.setattr(build_module, "_start", lambda *a: Wrong(real(*a), change))
    with pytest.raises(SegRosError) as caught:
        build(net, Wish("openvino"), check_on(frames))
    assert reason in str(caught.value)
    assert "Nothing was stored" in str(caught.value)
    assert store.manifests() == []


def test_auto_takes_the_next_safer_precision(net, store, frames, monkeypatch):
    """fp16 overflows here, bf16 is too coarse, fp32 is right."""
    real = build_module._start
    changes = {
        "fp16": lambda logits: logits.fill(math.inf),
        "bf16": lambda logits: logits.__setitem__(2, logits[2] - 3),
    }

    def start(plan, key, *rest):
        engine = real(plan, key, *rest)
        change = changes.get(key.precision)
        return Wrong(engine, change) if change else engine

    monkeypatch.setattr(build_module, "_start", start)
    monkeypatch.setattr(build_module, "precisions", lambda _: ("fp16", "bf16", "fp32"))
    said = []
    built = build(net, Wish("openvino"), check_on(frames), report=lambda what, _: said.append(what))
    assert built.entry.manifest["key"]["precision"] == "fp32"
    refused = built.entry.manifest["refused"]
    assert list(refused) == ["fp16", "bf16"]
    assert "NaN or infinity" in refused["fp16"]
    assert "limit" in refused["bf16"]
    assert any(what.startswith("fp16 is refused") for what in said)
    assert len(store.manifests()) == 1
    # Opening skips the precisions that are not there.
    opened = open_engine(net.model, Wish("openvino", input_size=SIZE), store=store)
    assert opened.verification == built.entry.summary


def test_a_limit_of_ones_own(net, frames, monkeypatch):
    real = build_module._start

    def nudge(logits):
        logits[2] -= 0.01

    monkeypatch.setattr(build_module, "_start", lambda *a: Wrong(real(*a), nudge))
    with pytest.raises(SegRosError, match=r"limit 100\.000 %"):
        build(net, Wish("openvino"), check_on(frames, Limits(1.0, 1.0)))
    built = build(net, Wish("openvino"), check_on(frames, Limits(0.5, 1.0)))
    assert 0.5 <= built.entry.manifest["verification"]["agreement"] < 1.0


def test_a_damaged_engine_is_built_again_or_refused(net, store, frames):
    entry = build(net, Wish("openvino"), check_on(frames)).entry
    plan = entry.folder / "engine.plan"
    plan.write_bytes(plan.read_bytes()[:-1])
    wish = Wish("openvino", input_size=SIZE)
    with pytest.raises(SegRosError, match=r"it was cut off; run 'seg_ros build .*small"):
        open_engine(net.model, wish, store=store)
    said = []
    monkey = lambda what, _: said.append(what)  # noqa: E731
    opened = open_engine(net.model, wish, check_on(frames), store, monkey)
    assert "it was cut off" in said[0]
    assert opened.engine.input_size == SIZE
    assert store.load(build_module._key(net, wish, "fp32", engines.platform("openvino")))


def test_an_engine_is_not_built_where_that_is_not_allowed(net, store):
    with pytest.raises(SegRosError, match=r"no fp32 engine for openvino .* run 'seg_ros build"):
        open_engine(net.model, Wish("openvino"), store=store)
    assert not store.folder.exists()


def test_the_torch_engine_is_the_reference(net, frames):
    """Its plan is the checkpoint; its logits are those of the module."""
    built = build(net, Wish("torch"), check_on(frames))
    assert built.entry.plan == b""
    assert built.entry.manifest["verification"]["agreement"] == 1.0
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    image.flags.writeable = False
    answer = built.engine.infer(image)
    with torch.inference_mode():
        wanted = net.torch()(torch.from_numpy(image.copy())[None])[0].numpy()
    assert np.array_equal(answer.logits(), wanted)
    assert answer.finite
    assert built.engine.info.precision == "fp32"
    with pytest.raises(ValueError, match="must be"):
        built.engine.infer(image[:-1])


def test_torch_in_bfloat16_differs_and_says_so(net, frames):
    built = build(net, Wish("torch", "bf16"), check_on(frames, Limits(0.5, 1.0)))
    verdict = built.entry.manifest["verification"]
    assert verdict["logit_difference"] > 1e-4
    assert 0.5 < verdict["agreement"] < 1.0
    assert built.engine.info.precision == "bf16"


def test_the_default_model_runs_as_it_is_on_openvino(store):
    opened = open_engine(find_model(), Wish("openvino"), store=store)
    assert isinstance(opened.engine, OpenVinoEngine)
    assert opened.verification == ""
    assert not store.folder.exists()


def test_a_uint8_file_of_ones_own_is_compared_as_every_network_is(tmp_path, store, frames):
    path = tmp_path / "mine.onnx"
    shutil.copy(find_model().path, path)
    model = find_model(str(path), "camvid")
    with pytest.raises(SegRosError, match="no fp32 engine for openvino"):
        open_engine(model, Wish("openvino"), store=store)
    opened = open_engine(model, Wish("openvino"), check_on(frames), store)
    assert "of pixels as onnxruntime" in opened.verification
    one = tmp_path / "one_class"
    one.mkdir()
    cv2.imwrite(str(one / "0.png"), np.full((64, 64, 3), 255, np.uint8))
    (store_folder,) = [f for f in store.folder.iterdir() if not f.name.startswith(".")]
    shutil.rmtree(store_folder)
    with pytest.raises(SegRosError, match="sees one class only in all frames"):
        open_engine(model, Wish("openvino"), check_on(str(one)), store)


def test_a_network_is_compared_with_another_runtime_never_with_itself(tmp_path, frames):
    """OpenVINO on the default model: there is no checkpoint, so ONNX Runtime judges."""
    net = Network(find_model(), tmp_path)
    verdict = build(net, Wish("openvino"), check_on(frames)).entry.manifest["verification"]
    assert verdict["reference"].startswith("onnxruntime")
    assert verdict["agreement"] > 0.999


def test_wishes_that_cannot_be(checkpoint, store, monkeypatch):
    model = find_model(str(checkpoint), "bdd100k_drivable")
    for wish, message in (
        (Wish("tpu"), "runtime 'tpu' is unknown; use one of auto, tensorrt"),
        (Wish("openvino", "int8"), "precision 'int8' is unknown; use one of auto, fp16"),
        (Wish("openvino", "fp16"), "openvino runs networks in fp32 here, not in fp16"),
        (Wish("tensorrt"), "runtime tensorrt is not installed here"),
    ):
        with pytest.raises(SegRosError) as caught:
            open_engine(model, wish, store=store)
        assert message in str(caught.value), wish
    monkeypatch.setattr(build_module, "available_runtimes", lambda: ("openvino", "torch"))
    with pytest.raises(SegRosError) as caught:
        open_engine(find_model(), Wish(input_size=(64, 64)), store=store)
    assert "torch" not in str(caught.value)
    with pytest.raises(SegRosError, match="torch cannot run an ONNX network"):
        open_engine(find_model(), Wish("torch"), store=store)


def test_a_broken_checkpoint_is_one_line_before_any_frame_is_read(checkpoint, tmp_path, store):
    broken = tmp_path / "broken"
    shutil.copytree(checkpoint, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    said = []
    with pytest.raises(SegRosError) as caught:
        open_engine(
            find_model(str(broken), "bdd100k_drivable"),
            check=Check("no drive", list, Segmenter.of),
            store=store,
            report=lambda what, _: said.append(what),
        )
    assert str(caught.value).count("not a whole safetensors file") == 1
    assert not any("frames" in what for what in said)


@pytest.mark.parametrize(
    ("capability", "wanted"),
    [("", ("fp32",)), ("7.5", ("fp16", "fp32")), ("8.7", ("fp16", "bf16", "fp32"))],
)
def test_precisions_follow_the_gpu(capability, wanted):
    machine = Platform("tensorrt", "10.3.0", "GPU" if capability else "", capability)
    assert engines.precisions(machine) == wanted


def test_build_from_the_command_line(checkpoint, tmp_path, frames, capsys):
    arguments = ["build", str(checkpoint), "--labels", "bdd100k_drivable", "--size", "96x160"]
    figures = tmp_path / "figures.json"
    code = main([*arguments, "--runtime", "openvino", "--frames", frames, "--json", str(figures)])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "verifying on" in err
    assert "before folding" in out
    values = json.loads(figures.read_text())
    assert f"{100 * values['verification']['agreement']:.4f} %" in out
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    assert "camvid-b0 (default)" in listed
    assert "small-openvino-fp32-96x160-" in listed
    # Segmenter.load takes it from there.
    segmenter = Segmenter.load(
        str(checkpoint), "bdd100k_drivable", "openvino", input_size=SIZE, build_if_missing=False
    )
    assert segmenter.verification == values["verification"]["summary"]


def test_a_build_that_cannot_be_is_one_line(checkpoint, tmp_path, capsys):
    assert main(["build", str(checkpoint), "--size", "wide"]) == 1
    assert capsys.readouterr().err == (
        "seg_ros build: size 'wide' is not HxW in pixels, such as 512x1024\n"
    )
    assert main(["build", str(checkpoint), "--frames", str(tmp_path / "gone")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("seg_ros build: ")
    assert "gone" in error


def test_neither_torch_nor_onnx_is_needed_to_run_what_ships():
    """A vehicle has the runtime it runs, not the tools that build."""
    code = (
        "import sys; from seg_ros.segment.segmenter import Segmenter; Segmenter.load();"
        "print([m for m in ('torch', 'onnx', 'transformers', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_probabilities_are_known_by_their_values_where_nothing_says_so(tmp_path, store, frames):
    """Softmax by hand: Exp, ReduceSum, Div."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from foreign_network import SAID, small_network

    node = onnx.helper.make_node
    end = [
        node("Constant", [], ["axis"], value_ints=[1]),
        node("Constant", [], ["less"], value_float=0.1),
        node("Mul", ["scores", "less"], ["small"]),
        node("Exp", ["small"], ["exp"]),
        node("ReduceSum", ["exp", "axis"], ["sum"], keepdims=1),
        node("Div", ["exp", "sum"], ["share"]),
    ]
    outputs = (("share", onnx.TensorProto.FLOAT, (1, 3, 16, 24)),)
    path = small_network(tmp_path / "small.onnx", end=end, outputs=outputs, opset=18)
    path.with_suffix(".yaml").write_text(SAID)
    model = find_model(str(path))
    said = []
    opened = open_engine(
        model, Wish("openvino"), check_on(frames), store, lambda what, _: said.append(what)
    )
    assert any("is probabilities, as its values show" in what for what in said)
    segmenter = Segmenter(opened.engine, model.labels, "small")
    image = cv2.resize(cv2.imread(f"{frames}/0.png"), (96, 64))
    found = segmenter.segment(image).mean_confidence()
    import onnxruntime

    pixels = ((image[..., ::-1] / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.25, 0.3]).transpose(2, 0, 1)
    (share,) = onnxruntime.InferenceSession(path).run(
        None, {"pixels": pixels[None].astype(np.float32)}
    )
    assert found == pytest.approx(share[0].max(0).mean(), abs=1e-3)


def test_a_network_that_gives_class_ids_has_no_confidence(tmp_path, store, frames):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from foreign_network import SAID, small_network

    node = onnx.helper.make_node
    end = [
        node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        node("Constant", [], ["two"], value_ints=[2]),
        node("Sub", ["two", "best"], ["ids"]),
    ]
    outputs = (("ids", onnx.TensorProto.INT64, (1, 16, 24)),)
    path = small_network(tmp_path / "small.onnx", end=end, outputs=outputs)
    path.with_suffix(".yaml").write_text(SAID)
    built = open_engine(find_model(str(path)), Wish("openvino"), check_on(frames), store)
    again = open_engine(find_model(str(path)), Wish("openvino"), None, store)
    assert (built.confident, again.confident) == (False, False)
