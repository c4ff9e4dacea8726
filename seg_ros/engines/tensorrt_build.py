"""An ONNX network becomes a TensorRT or TensorRT-RTX engine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from seg_ros.engines.cuda import Gpu, find_gpu
from seg_ros.engines.tensorrt import load_library, logger, take_error
from seg_ros.errors import SegRosError

if TYPE_CHECKING:
    import tensorrt

log = logging.getLogger(__name__)


def build_plan(
    onnx: Path,
    runtime: str,
    report: Callable[[str, float], None],
    timing_cache: Path | None = None,
) -> bytes:
    """Build an engine for the GPU of this machine.

    Takes seconds with TensorRT-RTX and minutes with TensorRT, which times every kernel it might
    use. TensorRT-RTX builds without a GPU too, then for every one it supports from Ampere on.

    Args:
        onnx: the network as :func:`seg_ros.models.precision.write_mixed` writes it. Its types are
            what the engine computes in; float32 is float32, not TF32.
        runtime: ``tensorrt`` or ``tensorrt_rtx``.
        report: is told what the builder is doing and how far it is, 0 to 1, from any thread. What
            it raises stops the build and is raised again.
        timing_cache: file in which TensorRT keeps kernel timings for the next build on this
            machine. TensorRT-RTX times nothing while it builds.

    Returns:
        The plan, for :class:`seg_ros.engines.tensorrt.TensorRtEngine`.

    Raises:
        SegRosError: the runtime is not usable here, cannot build for this GPU, or does not take
            the network.

    """
    trt = load_library(runtime)
    gpu = find_gpu()
    if gpu is None and runtime == "tensorrt":
        raise SegRosError("no NVIDIA GPU is visible, and TensorRT builds on the GPU it builds for")
    take_error(trt)
    # TensorRT wants it to outlive all that follows.
    monitor = _monitor(trt, report)
    builder: tensorrt.Builder = trt.Builder(logger(trt))
    config: tensorrt.IBuilderConfig = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.progress_monitor = monitor
    if gpu is not None:
        _set_target(trt, config, gpu)
    network: tensorrt.INetworkDefinition = builder.create_network(
        1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    )
    parser = _parse(trt, onnx, network)
    network.name = _encoder_precision(trt, network)
    timings: tensorrt.ITimingCache = None
    if timing_cache is not None and runtime == "tensorrt":
        timings = config.create_timing_cache(_read(timing_cache))
        if not config.set_timing_cache(timings, False):
            log.info("%s is of another GPU or version: timing again", timing_cache)
    plan = builder.build_serialized_network(network, config)
    del parser
    if monitor.failure is not None:
        raise monitor.failure
    if plan is None:
        raise SegRosError(f"{onnx}: {runtime} cannot build it: {take_error(trt)}")
    report("Building engine", 1.0)
    if timing_cache is not None and timings is not None:
        _write(timing_cache, bytes(timings.serialize()))
    return bytes(plan)


def _set_target(trt: ModuleType, config: tensorrt.IBuilderConfig, gpu: Gpu) -> None:
    """Make TensorRT-RTX build for one GPU, or say before a long build that it cannot."""
    if hasattr(trt, "ComputeCapability"):
        targets = trt.ComputeCapability.__members__
        target = targets.get("SM" + gpu.compute_capability.replace(".", ""))
        if target is None:
            numbers = sorted(int(name[2:]) for name in targets if name.startswith("SM"))
            known = ", ".join(f"{number // 10}.{number % 10}" for number in numbers)
            raise SegRosError(
                f"TensorRT-RTX {trt.__version__} does not build for {gpu.name} (compute capability "
                f"{gpu.compute_capability}), only for {known}; use --runtime tensorrt"
            )
        config.num_compute_capabilities = 1
        config.set_compute_capability(target, 0)


def _parse(
    trt: ModuleType, onnx: Path, network: tensorrt.INetworkDefinition
) -> tensorrt.OnnxParser:
    """Fill the network. The parser owns its weights: it has to live until the engine is built."""
    if not onnx.is_file():
        raise SegRosError(f"{onnx} does not exist")
    parser: tensorrt.OnnxParser = trt.OnnxParser(network, logger(trt))
    if parser.parse_from_file(str(onnx)):
        return parser
    reasons = []
    for index in range(parser.num_errors):
        error: tensorrt.ParserError = parser.get_error(index)
        text: str = error.desc()
        place = f"node {error.node_name() or '(no name)'}, {error.node_operator() or 'operator ?'}"
        reasons.append(f"{place}: {' '.join(text.split())}")
    reason = "; ".join(reasons[:3]) or take_error(trt)
    raise SegRosError(f"{onnx}: TensorRT does not take this network: {reason}")


def _encoder_precision(trt: ModuleType, network: tensorrt.INetworkDefinition) -> str:
    """Tell the lowest precision a network computes in; the engine carries it as its name."""
    found = set()
    for index in range(network.num_layers):
        layer: tensorrt.ILayer = network.get_layer(index)
        output: tensorrt.ITensor = layer.get_output(0)
        found.add(output.dtype)
    if trt.DataType.HALF in found:
        return "fp16"
    if trt.DataType.BF16 in found:
        return "bf16"
    return "fp32"


def _monitor(trt: ModuleType, report: Callable[[str, float], None]) -> Any:
    """Make what TensorRT tells its progress. Nothing may be raised through TensorRT."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.failure: BaseException | None = None
            self._lock = threading.Lock()
            # Per phase: the phase it is a part of, its number of steps, and those done.
            self._phases: dict[str, tuple[str | None, int, int]] = {}
            self._reached = 0.0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self._lock:
                self._phases[phase_name] = (parent_phase, max(num_steps, 1), 0)
            self._tell(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with self._lock:
                if phase_name in self._phases:
                    parent, steps, _ = self._phases[phase_name]
                    self._phases[phase_name] = (parent, steps, step + 1)
            self._tell(phase_name)
            return self.failure is None

        def phase_finish(self, phase_name: str) -> None:
            with self._lock:
                self._phases.pop(phase_name, None)

        def _tell(self, phase_name: str) -> None:
            try:
                with self._lock:
                    share, phase = 0.0, phase_name
                    seen = set()
                    while phase in self._phases and phase not in seen:
                        seen.add(phase)
                        parent, steps, done = self._phases[phase]
                        share, phase = min((done + share) / steps, 1.0), parent or ""
                    # Phases come and go; what is reported never runs backwards.
                    self._reached = max(self._reached, share)
                    reached = self._reached
                if self.failure is None:
                    report(phase_name, reached)
            except BaseException as error:  # a keyboard interrupt among them
                self.failure = error

    return Monitor()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        log.warning("%s cannot be written (%s): the next build times again", path, error)
