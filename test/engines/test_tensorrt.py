"""The TensorRT engine against stand-ins for CUDA and for each version of TensorRT.

The stand-ins (fake_cuda.py, fake_tensorrt.py) hold real memory and run the network with OpenVINO,
so what comes out is right only if types, shapes, addresses, order and waiting are.
"""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from fake_cuda import FakeCuda, cudaError_t
from fake_tensorrt import MAGIC, VERSIONS, FakeTensorRt, recorded_api
from onnx import helper
from tiny_network import CLASSES, SIZE, tiny_image, tiny_network

from seg_ros.engines import cuda, tensorrt
from seg_ros.engines.openvino import OpenVinoEngine
from seg_ros.engines.tensorrt import TensorRtEngine, load_library, platform
from seg_ros.engines.tensorrt_build import build_plan
from seg_ros.errors import SegRosError
from seg_ros.models.catalogue import find_model
from seg_ros.models.precision import write_mixed
from seg_ros.segment.upsample import argmax_upsampled


def put_in_place(monkeypatch, version="10.3.0", *, recorded=False, **gpu):
    """Make the stand-ins what ``import`` finds; return them and the name of the runtime."""
    api = recorded_api(version)
    if recorded and api is None:
        pytest.skip(f"the recorded API of TensorRT {version} is not on this machine")
    fake_cuda = FakeCuda(**gpu)
    trt = FakeTensorRt(fake_cuda, version, api)
    bindings = ModuleType("cuda.bindings")
    bindings.runtime = fake_cuda
    monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
    runtime = "tensorrt_rtx" if trt.rtx else "tensorrt"
    monkeypatch.setitem(sys.modules, runtime, trt.module)
    return fake_cuda, trt, runtime


def quiet(_text, _share):
    pass


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return tiny_network(tmp_path_factory.mktemp("tiny") / "tiny.onnx")


@pytest.fixture(scope="module")
def mixed(network):
    """The tiny network ready for TensorRT, in fp32: its logits are the source's, bit for bit."""
    write_mixed(network, network.with_name("mixed.onnx"), "fp32")
    return network.with_name("mixed.onnx")


@pytest.fixture(scope="module")
def right(network):
    """What the source network answers to an image: logits and mask."""
    engine = OpenVinoEngine(network)

    def answer(image):
        logits = engine.infer(image).logits().copy()
        return logits, argmax_upsampled(logits, SIZE)

    return answer


def fake_plan(trt, path):
    return MAGIC + trt.version.encode() + b"\n" + path.read_bytes()


def assert_right(engine, right, frames=3):
    """Infer some frames; every answer must be the network's own."""
    for seed in range(frames):
        logits, mask = right(tiny_image(seed))
        inference = engine.infer(tiny_image(seed))
        assert inference.finite
        assert inference.mask.dtype == np.uint8
        np.testing.assert_array_equal(inference.mask, mask)
        np.testing.assert_array_equal(inference.logits(), logits)


@pytest.mark.parametrize("integrated", [False, True], ids=["own memory", "shared memory"])
@pytest.mark.parametrize("version", VERSIONS)
def test_builds_and_runs_on_every_version(monkeypatch, mixed, right, version, integrated, tmp_path):
    _, _, runtime = put_in_place(monkeypatch, version, recorded=True, integrated=integrated)
    plan = build_plan(mixed, runtime, quiet, tmp_path / "timings")
    engine = TensorRtEngine(plan, runtime, tmp_path / "kernels")
    assert (engine.input_size, engine.class_count) == (SIZE, CLASSES)
    assert engine.info.runtime == f"{runtime} {version.removeprefix('rtx-')}"
    assert (engine.info.device, engine.info.precision) == ("Fake GPU", "fp32")
    assert_right(engine, right)


def test_fp16_plan_says_so_and_is_nearly_right(monkeypatch, network, right, tmp_path):
    _, _, runtime = put_in_place(monkeypatch)
    for precision in ("fp16", "bf16"):
        write_mixed(network, tmp_path / "mixed.onnx", precision, mask_size=(20, 30))
        engine = TensorRtEngine(build_plan(tmp_path / "mixed.onnx", runtime, quiet), runtime)
        assert engine.info.precision == precision
        inference = engine.infer(tiny_image())
        logits = inference.logits()
        assert logits.dtype == np.float32
        assert 0 < np.abs(logits - right(tiny_image())[0]).max() < 0.2
        np.testing.assert_array_equal(inference.mask, argmax_upsampled(logits, (20, 30)))


def test_embedded_model_is_right(monkeypatch, tmp_path):
    _, trt, runtime = put_in_place(monkeypatch)
    source = find_model("default").path
    write_mixed(source, tmp_path / "mixed.onnx", "fp32")
    engine = TensorRtEngine(fake_plan(trt, tmp_path / "mixed.onnx"), runtime)
    reference = OpenVinoEngine(source)
    coarse = np.random.default_rng(0).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    image = np.kron(coarse, np.ones((32, 32, 1), np.uint8))
    expected = reference.infer(image).logits()
    inference = engine.infer(image)
    np.testing.assert_array_equal(inference.logits(), expected)
    mask = argmax_upsampled(expected, engine.input_size)
    # OpenVINO's resize rounds otherwise in the last bit: a near-tie may fall the other way.
    assert (inference.mask != mask).mean() <= 1e-4


# What a frame costs


def calls_of(fake_cuda, work):
    before = len(fake_cuda.calls)
    work()
    return fake_cuda.calls[before:]


def test_a_frame_is_one_launch_and_logits_are_fetched_once_when_asked_for(monkeypatch, mixed):
    fake_cuda, trt, runtime = put_in_place(monkeypatch)
    engine = TensorRtEngine(fake_plan(trt, mixed), runtime)
    answers = []
    frame = calls_of(fake_cuda, lambda: answers.append(engine.infer(tiny_image())))
    assert frame == ["cudaGraphLaunch", "cudaStreamSynchronize"]
    fetch = ["cudaMemcpyAsync", "cudaStreamSynchronize"]
    assert calls_of(fake_cuda, answers[0].logits) == fetch
    assert calls_of(fake_cuda, answers[0].logits) == []


def test_shared_memory_is_not_copied(monkeypatch, mixed):
    fake_cuda, trt, runtime = put_in_place(monkeypatch, integrated=True)
    engine = TensorRtEngine(fake_plan(trt, mixed), runtime)
    engine.infer(tiny_image()).logits()
    assert "cudaMemcpyAsync" not in fake_cuda.calls
    assert "cudaMalloc" not in fake_cuda.calls


def test_what_cannot_be_recorded_runs_without_a_graph(monkeypatch, mixed, right, caplog):
    fake_cuda, trt, runtime = put_in_place(monkeypatch)
    trt.uncapturable = True
    engine = TensorRtEngine(fake_plan(trt, mixed), runtime)
    assert "running without a CUDA graph" in caplog.text
    assert_right(engine, right)
    assert "cudaGraphLaunch" not in fake_cuda.calls


def test_rtx_records_itself_and_keeps_its_kernels(monkeypatch, mixed, right, tmp_path, caplog):
    kernels = tmp_path / "kernels"
    fake_cuda, trt, runtime = put_in_place(monkeypatch, "rtx-1.7.1")
    engine = TensorRtEngine(fake_plan(trt, mixed), runtime, kernels)
    assert trt.graph_strategy.name == "WHOLE_GRAPH_CAPTURE"
    assert "cudaStreamBeginCapture" not in fake_cuda.calls
    assert trt.kernels is None  # there were none yet
    assert_right(engine, right)
    TensorRtEngine(fake_plan(trt, mixed), runtime, kernels)
    assert trt.kernels == b"kernels"
    written = kernels.read_bytes()
    for damaged in (written[:-1], b"", b"\0" * 40):
        trt.kernels = None
        kernels.write_bytes(damaged)
        TensorRtEngine(fake_plan(trt, mixed), runtime, kernels)
        assert trt.kernels is None
        assert kernels.read_bytes() == written
    assert "kernels is damaged: compiling again" in caplog.text


def test_logits_of_the_frame_before_are_refused(monkeypatch, mixed):
    _, trt, runtime = put_in_place(monkeypatch)
    engine = TensorRtEngine(fake_plan(trt, mixed), runtime)
    first = engine.infer(tiny_image(0))
    engine.infer(tiny_image(1))
    with pytest.raises(RuntimeError, match="the next frame has been inferred"):
        first.logits()


def test_image_of_another_shape_or_type_is_refused(monkeypatch, mixed, right):
    _, trt, runtime = put_in_place(monkeypatch)
    engine = TensorRtEngine(fake_plan(trt, mixed), runtime)
    for image in (np.zeros((48, 32, 3), np.uint8), np.zeros((*SIZE, 3), np.float32)):
        with pytest.raises(ValueError, match="image must be"):
            engine.infer(image)
    wide = np.zeros((SIZE[0], 2 * SIZE[1], 3), np.uint8)
    wide[:, ::2] = tiny_image()
    np.testing.assert_array_equal(engine.infer(wide[:, ::2]).mask, right(tiny_image())[1])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_noticed(monkeypatch, tmp_path, bad):
    weights = {"classify.bias": np.array([0, 0, bad, 0, 0], np.float32)}
    source = tiny_network(tmp_path / "tiny.onnx", weights)
    write_mixed(source, tmp_path / "mixed.onnx", "fp32")
    _, trt, runtime = put_in_place(monkeypatch)
    engine = TensorRtEngine(fake_plan(trt, tmp_path / "mixed.onnx"), runtime)
    assert not engine.infer(tiny_image()).finite


# Mistakes the stand-ins must not forgive: each is made on purpose and must be seen.


def never(*_):
    pass


def downloads_first(engine):
    resources = engine._resources
    resources.buffers["mask"].download(resources.stream)
    resources.buffers["magnitude"].download(resources.stream)
    resources.buffers["image"].upload(resources.stream)
    resources.context.execute_async_v3(resources.stream.handle)


def uploads_last(engine):
    resources = engine._resources
    resources.context.execute_async_v3(resources.stream.handle)
    resources.buffers["image"].upload(resources.stream)
    resources.buffers["mask"].download(resources.stream)
    resources.buffers["magnitude"].download(resources.stream)


class ShortBuffer(cuda.Buffer):
    def __init__(self, shape, dtype, *, mapped):
        super().__init__(
            (*shape[:-1], max(shape[-1] - 1, 1)) if shape else (), dtype, mapped=mapped
        )


class WrongAddress(cuda.Buffer):
    def __init__(self, shape, dtype, *, mapped):
        super().__init__(shape, dtype, mapped=mapped)
        self.device = self.host.ctypes.data


MISTAKES = {
    "does not wait": (cuda.Stream, "synchronize", never),
    "does not send the image": (cuda.Buffer, "upload", never),
    "does not fetch": (cuda.Buffer, "download", never),
    "fetches before it runs": (TensorRtEngine, "_enqueue", downloads_first),
    "sends after it runs": (TensorRtEngine, "_enqueue", uploads_last),
    "too small a buffer": (tensorrt, "Buffer", ShortBuffer),
    "host address given to the GPU": (tensorrt, "Buffer", WrongAddress),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_seen(monkeypatch, mixed, right, mistake):
    _, trt, runtime = put_in_place(monkeypatch)
    monkeypatch.setattr(*MISTAKES[mistake])
    with pytest.raises((AssertionError, SegRosError)):
        assert_right(TensorRtEngine(fake_plan(trt, mixed), runtime), right)


@pytest.mark.parametrize(
    ("engine_has", "runner_takes"), [("HALF", np.float32), ("FLOAT", np.float16)]
)
def test_buffer_of_another_float_type_is_seen(monkeypatch, mixed, right, engine_has, runner_takes):
    """The classic: an engine's halves read as floats, or floats as halves."""
    _, trt, runtime = put_in_place(monkeypatch)
    trt.dtypes = {"logits": engine_has}
    layout = {
        "image": ((1, *SIZE, 3), np.dtype(np.uint8)),
        "mask": ((1, *SIZE), np.dtype(np.uint8)),
        "logits": ((1, CLASSES, 8, 12), np.dtype(runner_takes)),
        "magnitude": ((), np.dtype(np.float32)),
    }
    monkeypatch.setattr(tensorrt, "_read_layout", lambda *_: layout)
    with pytest.raises((AssertionError, SegRosError)):
        assert_right(TensorRtEngine(fake_plan(trt, mixed), runtime), right)


def test_swapped_tensors_are_seen(monkeypatch, mixed, right):
    _, trt, runtime = put_in_place(monkeypatch)
    real = tensorrt._read_layout

    def swapped(*args):
        layout = real(*args)
        layout["mask"], layout["magnitude"] = layout["magnitude"], layout["mask"]
        return layout

    monkeypatch.setattr(tensorrt, "_read_layout", swapped)
    with pytest.raises((AssertionError, SegRosError)):
        assert_right(TensorRtEngine(fake_plan(trt, mixed), runtime), right)


# What goes wrong outside


def test_engine_with_half_logits_is_refused(monkeypatch, mixed):
    _, trt, runtime = put_in_place(monkeypatch)
    trt.dtypes = {"logits": "HALF"}
    with pytest.raises(SegRosError, match=r"tensor logits is HALF \[1, 5, 8, 12\], not as this"):
        TensorRtEngine(fake_plan(trt, mixed), runtime)


def test_engine_of_another_network_is_refused(monkeypatch, network):
    _, trt, runtime = put_in_place(monkeypatch)
    with pytest.raises(SegRosError, match="the engine has no tensor mask, magnitude; build it"):
        TensorRtEngine(fake_plan(trt, network), runtime)


def test_plan_that_does_not_load_says_the_first_reason(monkeypatch, mixed):
    fake_cuda, trt, runtime = put_in_place(monkeypatch)
    plan = fake_plan(trt, mixed).replace(b"10.3.0", b"10.9.0")
    with pytest.raises(SegRosError) as raised:
        TensorRtEngine(plan, runtime)
    assert str(raised.value) == (
        "the engine cannot be loaded: another version; build it again on this machine: "
        "seg_ros build"
    )
    assert (fake_cuda.streams, fake_cuda.device) == ({}, {})


def test_rtx_says_why_a_plan_is_not_valid_here(monkeypatch, mixed, right, caplog):
    _, trt, runtime = put_in_place(monkeypatch, "rtx-1.7.1")
    validity = trt.enums["EngineValidity"]
    trt.validity = (validity.INVALID, 3)
    with pytest.raises(SegRosError, match=r"version mismatch, unsupported cc\); build it again"):
        TensorRtEngine(fake_plan(trt, mixed), runtime)
    trt.validity = (validity.SUBOPTIMAL, 0)
    assert_right(TensorRtEngine(fake_plan(trt, mixed), runtime), right)
    assert "not at its best" in caplog.text


@pytest.mark.parametrize(
    "name", ["cudaMalloc", "cudaHostAlloc", "cudaStreamCreateWithFlags", "cudaStreamSynchronize"]
)
def test_failure_while_opening_leaves_nothing_behind(monkeypatch, mixed, name):
    fake_cuda, trt, runtime = put_in_place(monkeypatch)
    fake_cuda.fail[name] = cudaError_t.cudaErrorMemoryAllocation
    with pytest.raises(SegRosError, match=f"{name} failed with cudaErrorMemory.*memory is full"):
        TensorRtEngine(fake_plan(trt, mixed), runtime)
    gc.collect()
    assert (fake_cuda.streams, fake_cuda.device, fake_cuda.host) == ({}, {}, {})
    assert fake_cuda.events.count("engine") == fake_cuda.events.count("runtime") == 1


def test_failure_while_running_is_told(monkeypatch, mixed):
    fake_cuda, trt, runtime = put_in_place(monkeypatch)
    engine = TensorRtEngine(fake_plan(trt, mixed), runtime)
    fake_cuda.broken = cudaError_t.cudaErrorIllegalAddress
    with pytest.raises(SegRosError, match="undefined state: restart the program"):
        engine.infer(tiny_image())
    engine.close()


@pytest.mark.parametrize("version", ["10.3.0", "rtx-1.7.1"])
def test_everything_is_given_back_in_order(monkeypatch, mixed, version):
    fake_cuda, trt, runtime = put_in_place(monkeypatch, version)
    engine = TensorRtEngine(fake_plan(trt, mixed), runtime)
    mask = engine.infer(tiny_image()).mask
    kept = mask.copy()
    engine.close()
    first = ["context", "cache"] if trt.rtx else ["graph", "context"]
    assert fake_cuda.events == [*first, "engine", "runtime", *["free"] * 4, "stream"]
    engine.close()  # again does nothing
    del engine
    np.testing.assert_array_equal(mask, kept)  # a mask outlives its engine
    assert len(fake_cuda.host) == 1
    del mask
    gc.collect()
    assert fake_cuda.host == {}


def test_an_engine_let_go_of_is_given_back(monkeypatch, mixed):
    fake_cuda, trt, runtime = put_in_place(monkeypatch)
    TensorRtEngine(fake_plan(trt, mixed), runtime)
    gc.collect()
    assert fake_cuda.events[-1] == "stream"
    assert fake_cuda.host == {}


def test_interpreter_ends_quietly_with_an_engine_open(mixed):
    program = f"""
import atexit, sys
atexit.register(lambda: print(*fake.events))  # registered first, it runs last
sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
import pytest, test_tensorrt as t
from pathlib import Path
fake, trt, runtime = t.put_in_place(pytest.MonkeyPatch())
engine = t.TensorRtEngine(t.fake_plan(trt, Path({str(mixed)!r})), runtime)
mask = engine.infer(t.tiny_image()).mask
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [
        "graph", "context", "engine", "runtime", "free", "free", "free", "free", "stream",
    ]  # fmt: skip


# Machines


def test_platform(monkeypatch):
    put_in_place(monkeypatch, "10.3.0", compute_capability=(8, 7))
    assert platform("tensorrt") == tensorrt.Platform("tensorrt", "10.3.0", "Fake GPU", "8.7")
    put_in_place(monkeypatch, "10.3.0", present=False)
    with pytest.raises(SegRosError, match="no NVIDIA GPU is visible"):
        platform("tensorrt")
    put_in_place(monkeypatch, "rtx-1.7.1", present=False)
    assert platform("tensorrt_rtx") == tensorrt.Platform("tensorrt_rtx", "1.7.1", "", "")


def test_without_a_gpu_an_engine_is_refused(monkeypatch, mixed):
    _, trt, runtime = put_in_place(monkeypatch, "rtx-1.7.1", present=False)
    with pytest.raises(SegRosError, match="no NVIDIA GPU is visible, and tensorrt_rtx needs one"):
        TensorRtEngine(fake_plan(trt, mixed), runtime)
    put_in_place(monkeypatch, present=False)
    with pytest.raises(SegRosError, match="no NVIDIA GPU is visible, and TensorRT builds on"):
        build_plan(mixed, "tensorrt", quiet)


@pytest.mark.parametrize("version", ["8.6.1", "9.3.0.post12.dev1", "10.0.1", "10.2.0.post1"])
def test_old_version_is_refused(monkeypatch, version):
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__=version))
    with pytest.raises(SegRosError) as raised:
        load_library("tensorrt")
    assert str(raised.value) == (
        f"tensorrt {version} is too old; use TensorRT 10.3 or later (JetPack 6.1 or later) or "
        "TensorRT-RTX 1.0 or later, or --runtime openvino"
    )


def test_missing_library_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(SegRosError, match=r"not usable here .*; on a Jetson it comes with JetPack"):
        load_library("tensorrt")
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(SegRosError, match="cuda-python is missing"):
        cuda.find_gpu()


# Building


@pytest.mark.parametrize(("capability", "known"), [((8, 6), True), ((12, 0), True), ((8, 7), False),
                                                   ((9, 0), False), ((11, 0), False)])  # fmt: skip
def test_rtx_builds_for_this_gpu_or_says_that_it_cannot(monkeypatch, mixed, capability, known):
    _, trt, runtime = put_in_place(monkeypatch, "rtx-1.7.1", compute_capability=capability)
    if known:
        build_plan(mixed, runtime, quiet)
        assert [t.name for t in trt.targets] == [f"SM{capability[0]}{capability[1]}"]
        return
    with pytest.raises(SegRosError) as raised:
        build_plan(mixed, runtime, lambda *_: pytest.fail("the build was started"))
    name = f"{capability[0]}.{capability[1]}"
    assert f"does not build for Fake GPU (compute capability {name}), only for" in str(raised.value)
    assert "8.6" in str(raised.value)
    assert str(raised.value).endswith("use --runtime tensorrt")


def test_build_tells_how_far_it_is(monkeypatch, mixed):
    _, _, runtime = put_in_place(monkeypatch)
    told = []
    build_plan(mixed, runtime, lambda text, share: told.append((text, share)))
    assert told[:4] == [("Building", 0), ("Timing", 0), ("Timing", 0.125), ("Timing", 0.25)]
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_interrupt_stops_the_build(monkeypatch, mixed):
    _, _, runtime = put_in_place(monkeypatch)
    steps = []

    def interrupted(_text, share):
        steps.append(share)
        if share > 0.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_plan(mixed, runtime, interrupted)
    assert steps[-1] == 0.25


def test_network_that_does_not_parse_is_one_line(monkeypatch, mixed, tmp_path):
    _, _, runtime = put_in_place(monkeypatch)
    model = onnx.load(mixed)
    model.graph.node.append(helper.make_node("Fancy", ["logits"], ["x"], "/fancy", domain="own"))
    onnx.save(model, tmp_path / "fancy.onnx")
    with pytest.raises(SegRosError) as raised:
        build_plan(tmp_path / "fancy.onnx", runtime, quiet)
    assert str(raised.value) == (
        f"{tmp_path / 'fancy.onnx'}: TensorRT does not take this network: node /fancy, Fancy: "
        "no importer for it"
    )
    with pytest.raises(SegRosError, match=r"none\.onnx does not exist"):
        build_plan(tmp_path / "none.onnx", runtime, quiet)


def test_timings_are_kept_for_the_next_build(monkeypatch, mixed, tmp_path, caplog):
    _, _, runtime = put_in_place(monkeypatch)
    caplog.set_level(logging.INFO)
    build_plan(mixed, runtime, quiet, tmp_path / "timings")
    assert (tmp_path / "timings").read_bytes() == b"timings"
    (tmp_path / "timings").write_bytes(b"another GPU's")
    build_plan(mixed, runtime, quiet, tmp_path / "timings")
    assert "timings is of another GPU or version" in caplog.text
    assert (tmp_path / "timings").read_bytes() == b"timings"


def test_tf32_is_off(monkeypatch, mixed):
    """TensorRT turns it on by default, and float32 then keeps ten bits."""
    _, trt, runtime = put_in_place(monkeypatch)
    cleared = []
    monkeypatch.setattr(
        "fake_tensorrt._Config.clear_flag", lambda _, flag: cleared.append(flag.name)
    )
    build_plan(mixed, runtime, quiet)
    assert cleared == ["TF32"]
    assert trt.enums["BuilderFlag"].TF32.name == "TF32"


def test_warnings_reach_the_log_and_errors_are_told_once(monkeypatch, caplog):
    _, trt, _ = put_in_place(monkeypatch)
    caplog.set_level(logging.INFO)
    logger = tensorrt.logger(trt.module)
    assert tensorrt.logger(trt.module) is logger
    logger.log(2, "a\n warning")
    logger.log(1, "the\n error")
    logger.log(0, "its consequence")
    logger.log(3, "chatter")
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("WARNING", "a warning"),
        ("INFO", "the error"),
        ("INFO", "its consequence"),
    ]
    assert tensorrt.take_error(trt.module) == "the error"
    assert tensorrt.take_error(trt.module) == "it does not say why"
