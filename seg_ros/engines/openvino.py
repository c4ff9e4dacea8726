"""The CPU engine: OpenVINO."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from seg_ros.engines.base import Engine, EngineInfo, Inference, Platform, check_image
from seg_ros.errors import SegRosError


class OpenVinoEngine:
    """An ONNX segmentation network on the CPU. Implements :class:`seg_ros.engines.Engine`.

    The network takes one ``1 x H x W x 3`` uint8 BGR image and answers with one float32
    ``1 x C x h x w`` tensor of logits; its normalisation is part of the graph.

    Args:
        source: the ONNX file, or its content.
        threads: CPU threads, 0 for all cores.

    Raises:
        SegRosError: as of :func:`read_network` and :func:`compile_network`.

    """

    def __init__(self, source: Path | bytes, threads: int = 0) -> None:
        self._source, self._threads = source, threads
        network = read_network(source)
        self.input_size = _input_size(network)
        self.class_count = int(network.output().shape[1])
        compiled = compile_network(network, _name(source), threads)
        self._request = compiled.create_infer_request()
        self.info = EngineInfo(
            runtime=f"openvino {platform().version}",
            device=str(ov.Core().get_property("CPU", "FULL_DEVICE_NAME")).strip(),
            precision="fp32",
        )

    def infer(self, image: NDArray[np.uint8]) -> Inference:
        """Run the network; see :meth:`seg_ros.engines.Engine.infer`.

        Raises:
            ValueError: the image has another shape or dtype, or is not contiguous.

        """
        check_image(image, self.input_size)
        if not image.flags.c_contiguous:
            raise ValueError("image must be C-contiguous")
        if not image.flags.writeable:  # OpenVINO wraps writeable memory only
            image = image.copy()
        self._request.set_input_tensor(ov.Tensor(image[None], shared_memory=True))
        self._request.infer()
        logits: NDArray[np.float32] = self._request.get_output_tensor().data[0]
        return Inference(lambda: logits, bool(np.isfinite(logits).all()))

    def share(self, callers: int) -> list[Engine]:
        """Return engines for several callers at a time; see :class:`seg_ros.engines.SharedEngine`.

        Each runs on its part of the threads. On 2 cores that takes a seventh less of their time
        than all threads on one frame (bench/replay.py).
        """
        network = read_network(self._source)
        compiled = compile_network(network, _name(self._source), self._threads, callers)
        engines: list[Engine] = []
        for _ in range(callers):
            engine = copy.copy(self)
            engine._request = compiled.create_infer_request()
            engines.append(engine)
        return engines


def platform() -> Platform:
    """Return what an engine of this runtime is built for; it is portable."""
    return Platform("openvino", ov.get_version().split("-")[0], "", "")


def read_network(source: Path | bytes) -> ov.Model:
    """Read an ONNX network and see that it has the form of a segmentation network.

    Args:
        source: the ONNX file, or its content.

    Raises:
        SegRosError: it cannot be read, is not ONNX or has other inputs or outputs.

    """
    if isinstance(source, Path) and not source.is_file():
        raise SegRosError(f"model file {source} does not exist")
    try:
        network = ov.Core().read_model(source)
    except (RuntimeError, UnicodeError) as error:  # its own reason may quote the damage
        raise SegRosError(
            f"{_name(source)}: OpenVINO cannot read this as an ONNX network ({_last_line(error)}); "
            "the file is damaged or has another format"
        ) from error
    _check_network(network, _name(source))
    return network


def compile_network(
    network: ov.Model, name: str, threads: int = 0, frames: int = 1
) -> ov.CompiledModel:
    """Compile a network for the CPU, in fp32.

    Args:
        network: what to compile.
        name: of where it came from, for messages.
        threads: CPU threads, 0 for all cores.
        frames: at a time, each with its part of the threads.

    Raises:
        SegRosError: OpenVINO cannot.

    """
    options: dict[str, object] = {
        # The default on some CPUs is bfloat16; the engine is the fp32 reference here.
        ov.properties.hint.inference_precision(): ov.Type.f32,
    }
    if frames > 1:
        options[ov.properties.num_streams()] = frames
    else:
        latency = ov.properties.hint.PerformanceMode.LATENCY
        options[ov.properties.hint.performance_mode()] = latency
    if threads:
        options[ov.properties.inference_num_threads()] = threads
    try:
        return ov.Core().compile_model(network, "CPU", options)
    except RuntimeError as error:
        raise SegRosError(f"{name}: OpenVINO cannot compile it ({_last_line(error)})") from error


def _input_size(network: ov.Model) -> tuple[int, int]:
    """(H, W) of a network whose form has been checked."""
    _, height, width, _ = network.input().shape
    return int(height), int(width)


def _check_network(network: ov.Model, name: str) -> None:
    """Say what is wrong with a network of another form."""
    want = (
        "a model needs one input 1 x H x W x 3 uint8 and one output 1 x C x h x w float32; "
        "another network is wrapped where the YAML beside it says how it takes images "
        "(docs/models.md)"
    )
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise SegRosError(
            f"{name}: {len(network.inputs)} inputs and {len(network.outputs)} outputs; {want}"
        )
    source, result = network.input(), network.output()
    shape, answer = source.partial_shape, result.partial_shape
    if shape.is_dynamic or answer.is_dynamic:
        raise SegRosError(f"{name}: input {shape} or output {answer} has no fixed size; {want}")
    size, logits = list(shape.to_shape()), list(answer.to_shape())
    if len(size) != 4 or size[0] != 1 or size[3] != 3 or source.element_type != ov.Type.u8:
        raise SegRosError(f"{name}: input is {source.element_type} {size}; {want}")
    if len(logits) != 4 or logits[0] != 1 or result.element_type != ov.Type.f32:
        raise SegRosError(f"{name}: output is {result.element_type} {logits}; {want}")


def _name(source: Path | bytes) -> str:
    return str(source) if isinstance(source, Path) else "stored network"


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
