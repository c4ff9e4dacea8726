"""The NVIDIA engine: TensorRT 10.3 to 11 and TensorRT-RTX by one code path.

The versions differ in names, in which of them exist and in the numbers behind them. So a name that
not all of them have is asked for first, and no number is written down. What the versions agree on
is used: named tensors and ``execute_async_v3``.

One frame is: copy the image to the GPU, run, copy the class mask and the check for NaN back, wait.
Logits stay on the GPU until somebody asks for them. All of it but the waiting is recorded as a
CUDA graph once and launched as one. TensorRT-RTX compiles kernels while it runs and cannot be
recorded from outside before that is done; it is told to record itself instead.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import re
import weakref
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seg_ros.engines.base import EngineInfo, Inference, Platform, check_image
from seg_ros.engines.cuda import Buffer, Graph, Stream, find_gpu
from seg_ros.errors import SegRosError

if TYPE_CHECKING:
    import tensorrt

log = logging.getLogger(__name__)

RUNTIMES = ("tensorrt", "tensorrt_rtx")
"""Python packages, which are the names of the runtimes too."""

_OLDEST = {"tensorrt": (10, 3), "tensorrt_rtx": (1, 0)}
_WORKING = "TensorRT 10.3 or later (JetPack 6.1 or later) or TensorRT-RTX 1.0 or later"
_INSTALL = {
    "tensorrt": "on a Jetson it comes with JetPack (make the environment with "
    "--system-site-packages), elsewhere: pip install 'seg_ros[tensorrt]'",
    "tensorrt_rtx": "pip install 'seg_ros[tensorrt-rtx]'",
}
_REBUILD = "build it again on this machine: seg_ros build"
_LAYOUT = {
    "image": ("UINT8", 4),
    "mask": ("UINT8", 3),
    "logits": ("FLOAT", 4),
    "magnitude": ("FLOAT", 0),
}
"""Tensors of an engine: type and number of axes; see :func:`seg_ros.models.precision.write_mixed`.
"""


def load_library(runtime: str) -> ModuleType:
    """Import TensorRT or TensorRT-RTX.

    Raises:
        SegRosError: it is not installed, or a version that this code cannot use.

    """
    try:
        trt = importlib.import_module(runtime)
    except (ImportError, OSError) as error:
        raise SegRosError(
            f"runtime {runtime} is not usable here ({error}); {_INSTALL[runtime]}"
        ) from error
    version = str(trt.__version__)
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < _OLDEST[runtime]:
        raise SegRosError(f"{runtime} {version} is too old; use {_WORKING}, or --runtime openvino")
    return trt


def platform(runtime: str) -> Platform:
    """Say what an engine built now would be built for.

    Without a GPU device and compute capability are empty for TensorRT-RTX, which builds all the
    same.

    Raises:
        SegRosError: the runtime is not usable here.

    """
    trt = load_library(runtime)
    gpu = find_gpu()
    if gpu is not None:
        return Platform(runtime, str(trt.__version__), gpu.name, gpu.compute_capability)
    if runtime == "tensorrt":
        raise SegRosError("no NVIDIA GPU is visible, and TensorRT needs one; use another runtime")
    return Platform(runtime, str(trt.__version__), "", "")


@lru_cache
def logger(trt: ModuleType) -> tensorrt.ILogger:
    """Make the one logger a library gets; TensorRT holds on to it as long as the process lives.

    Warnings go to :mod:`logging` as such. An error is kept for the :class:`SegRosError` that is
    raised for it, see :func:`take_error`, so that people are told once; in the log it is detail.
    """

    class Logger(trt.ILogger):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.error = ""

        def log(self, severity: Any, message: str) -> None:
            text = " ".join(message.split())
            if severity == trt.ILogger.WARNING:
                log.warning("%s", text)
            elif severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.error = self.error or text  # what comes after follows from it
                log.info("%s", text)
            else:
                log.debug("%s", text)

    return Logger()


def take_error(trt: ModuleType) -> str:
    """Give, in one line, what TensorRT first complained about since this was last called."""
    own: Any = logger(trt)
    text, own.error = own.error, ""
    return text or "it does not say why"


class TensorRtEngine:
    """A network on an NVIDIA GPU. Implements :class:`seg_ros.engines.Engine`.

    Args:
        plan: the engine as :func:`seg_ros.engines.tensorrt_build.build_plan` made it. TensorRT
            runs what is in it: give it only what you have built and checked.
        runtime: the one of :data:`RUNTIMES` that made it.
        cache: file in which TensorRT-RTX keeps the kernels it compiles for this GPU when the
            engine is first opened, so that opening it again is fast. Damage is noticed and the
            kernels are compiled again. Not used by TensorRT, whose plans hold them.

    Raises:
        SegRosError: the runtime is not usable here, the plan is of another version, GPU or
            network, or the GPU's memory is full.

    """

    def __init__(self, plan: bytes, runtime: str, cache: Path | None = None) -> None:
        trt = load_library(runtime)
        gpu = find_gpu()
        if gpu is None:
            raise SegRosError(f"no NVIDIA GPU is visible, and {runtime} needs one to run")
        self._frame = 0
        self._resources = resources = _Resources()
        # Also at the interpreter's end, while the libraries are still there.
        self._finalizer = weakref.finalize(self, resources.release)
        try:
            _open(trt, plan, resources, gpu.shares_memory, cache)
            self.info = EngineInfo(
                runtime=f"{runtime} {trt.__version__}",
                device=gpu.name,
                precision=str(resources.engine.name),
            )
            self.input_size: tuple[int, int] = resources.buffers["image"].host.shape[1:3]
            self.class_count: int = resources.buffers["logits"].host.shape[1]
            self._warm_up(own_graph=hasattr(trt, "CudaGraphStrategy"))
            if cache is not None:
                _keep_kernels(trt, resources, cache)
        except BaseException:
            self.close()
            raise

    def infer(self, image: NDArray[np.uint8]) -> Inference:
        """Run the network; see :meth:`seg_ros.engines.Engine.infer`.

        Raises:
            SegRosError: the GPU failed.
            ValueError: the image has another shape or dtype.

        """
        check_image(image, self.input_size)
        resources = self._resources
        np.copyto(resources.buffers["image"].host[0], image)
        self._frame += 1
        if resources.graph is not None:
            resources.graph.launch()
        else:
            self._enqueue()
        resources.stream.synchronize()
        frame, fetched = self._frame, False

        def logits() -> NDArray[np.float32]:
            nonlocal fetched
            if self._frame != frame:
                raise RuntimeError("these logits are gone: the next frame has been inferred")
            buffer = resources.buffers["logits"]
            if not fetched:
                buffer.download(resources.stream)
                resources.stream.synchronize()
                fetched = True
            answer: NDArray[np.float32] = buffer.host[0]
            return answer

        return Inference(
            logits,
            finite=bool(np.isfinite(resources.buffers["magnitude"].host)),
            mask=resources.buffers["mask"].host[0],
        )

    def close(self) -> None:
        """Give everything back; the engine cannot be used any more. Masks given out stay valid."""
        self._finalizer()

    def _enqueue(self) -> None:
        """Put one frame on the stream."""
        resources = self._resources
        context: tensorrt.IExecutionContext = resources.context
        resources.buffers["image"].upload(resources.stream)
        if not context.execute_async_v3(resources.stream.handle):
            raise SegRosError(
                f"{self.info.runtime} cannot run the network: {take_error(resources.library)}"
            )
        resources.buffers["mask"].download(resources.stream)
        resources.buffers["magnitude"].download(resources.stream)

    def _warm_up(self, own_graph: bool) -> None:
        """Run once, then record the frame as a CUDA graph.

        TensorRT sets itself up in its first run, which therefore cannot be recorded; what it
        records afterwards is valid as long as shapes and addresses stay, which they do here.
        """
        resources = self._resources
        resources.buffers["image"].host[...] = 0
        self._enqueue()
        resources.stream.synchronize()
        if own_graph:
            return
        try:
            resources.graph = resources.stream.capture(self._enqueue)
        except SegRosError as error:
            log.warning("%s; running without a CUDA graph, which is slower", error)


class _Resources:
    """What an engine holds, in an order in which it can be given back."""

    library: ModuleType

    def __init__(self) -> None:
        self.runtime: tensorrt.Runtime = None
        self.engine: tensorrt.ICudaEngine = None
        self.cache: tensorrt.IRuntimeCache = None
        self.context: tensorrt.IExecutionContext = None
        self.buffers: dict[str, Buffer] = {}
        self.stream: Stream
        self.graph: Graph | None = None

    def release(self) -> None:
        """Give back what uses the others first. After a failure of the GPU, as much as can be."""
        stream = self.__dict__.pop("stream", None)
        if stream is not None:
            _quietly(stream.synchronize)
        if self.graph is not None:
            _quietly(self.graph.close)
        self.graph = None
        self.context = None
        self.cache = None
        self.engine = None
        self.runtime = None
        for buffer in self.buffers.values():
            _quietly(buffer.close)
        self.buffers = {}
        if stream is not None:
            _quietly(stream.close)


def _quietly(give_back: Any) -> None:
    try:
        give_back()
    except SegRosError as error:
        log.debug("%s", error)


def _open(
    trt: ModuleType, plan: bytes, resources: _Resources, shares_memory: bool, cache: Path | None
) -> None:
    """Load a plan and bind a buffer to each of its tensors."""
    resources.library = trt
    take_error(trt)
    runtime: tensorrt.Runtime = trt.Runtime(logger(trt))
    resources.runtime = runtime
    _check_validity(trt, runtime, plan)
    engine: tensorrt.ICudaEngine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise SegRosError(f"the engine cannot be loaded: {take_error(trt)}; {_REBUILD}")
    resources.engine = engine
    resources.context = _create_context(trt, engine, resources, cache)
    if resources.context is None:
        raise SegRosError(
            f"the engine cannot be made ready: {take_error(trt)}; end other programs that "
            "use the GPU's memory, or take a smaller model or input size"
        )
    context: tensorrt.IExecutionContext = resources.context
    resources.stream = Stream()
    for name, (shape, dtype) in _read_layout(trt, engine).items():
        buffer = Buffer(shape, dtype, mapped=shares_memory)
        resources.buffers[name] = buffer
        if not context.set_tensor_address(name, buffer.device):
            raise SegRosError(f"tensor {name} cannot be bound: {take_error(trt)}; {_REBUILD}")


def _check_validity(trt: ModuleType, runtime: tensorrt.Runtime, plan: bytes) -> None:
    """Ask TensorRT-RTX whether a plan runs here before it is loaded."""
    if hasattr(trt, "EngineValidity"):
        validity, reasons = runtime.get_engine_validity(plan)
        if validity == trt.EngineValidity.VALID:
            return
        found = [
            name.lower().replace("_", " ")
            for name, reason in trt.EngineInvalidityDiagnostics.__members__.items()
            if int(reasons) & int(reason)
        ]
        why = ", ".join(found) or take_error(trt)
        if validity == trt.EngineValidity.SUBOPTIMAL:
            log.warning("the engine runs here, but not at its best (%s); %s", why, _REBUILD)
            return
        raise SegRosError(f"the engine does not run here ({why}); {_REBUILD}")


def _create_context(
    trt: ModuleType, engine: tensorrt.ICudaEngine, resources: _Resources, cache: Path | None
) -> tensorrt.IExecutionContext:
    if hasattr(trt, "CudaGraphStrategy"):
        config: tensorrt.IRuntimeConfig = engine.create_runtime_config()
        config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        kernels: tensorrt.IRuntimeCache = config.create_runtime_cache()
        resources.cache = kernels
        if cache is not None:
            blob = _read_cache(cache)
            if blob and not kernels.deserialize(blob):
                log.info("%s is of another driver, GPU or version: compiling again", cache)
        config.set_runtime_cache(kernels)
        return engine.create_execution_context(config)
    return engine.create_execution_context()


def _keep_kernels(trt: ModuleType, resources: _Resources, path: Path) -> None:
    """Write what TensorRT-RTX has compiled to a file."""
    if hasattr(trt, "IRuntimeCache"):
        kernels: tensorrt.IRuntimeCache = resources.cache
        _write_cache(path, bytes(kernels.serialize()))


def _read_layout(
    trt: ModuleType, engine: tensorrt.ICudaEngine
) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and dtype of each tensor as the engine has them, all checked.

    A buffer of another type than the engine's is the classic silent corruption: the half floats of
    one read as the floats of the other.
    """
    dtypes: dict[Any, np.dtype[Any]] = {
        trt.DataType.UINT8: np.dtype(np.uint8),
        trt.DataType.FLOAT: np.dtype(np.float32),
    }
    layout: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    for index in range(engine.num_io_tensors):
        name = str(engine.get_tensor_name(index))
        dtype: tensorrt.DataType = engine.get_tensor_dtype(name)
        shape = tuple(int(size) for size in engine.get_tensor_shape(name))
        linear = engine.get_tensor_format(name) == trt.TensorFormat.LINEAR
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        wanted, axes = _LAYOUT.get(name, ("", -1))
        if (
            dtype not in dtypes
            or dtype.name != wanted
            or len(shape) != axes
            or min(shape, default=1) < 1
            or is_input != (name == "image")
            or not linear
        ):
            raise SegRosError(
                f"the engine's tensor {name} is {dtype.name} {list(shape)}, not as this version "
                f"of seg_ros makes it; {_REBUILD}"
            )
        layout[name] = shape, dtypes[dtype]
    missing = [name for name in _LAYOUT if name not in layout]
    if missing:
        raise SegRosError(f"the engine has no tensor {', '.join(missing)}; {_REBUILD}")
    image, mask, logits = (layout[name][0] for name in ("image", "mask", "logits"))
    if image[0] != 1 or image[3] != 3 or mask[0] != 1 or logits[0] != 1:
        raise SegRosError(f"the engine takes image {list(image)}, not 1 x H x W x 3; {_REBUILD}")
    return layout


def _read_cache(path: Path) -> bytes:
    """Read what :func:`_write_cache` wrote; nothing when it is absent or damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return b""
    digest, blob = data[:32], data[32:]
    if hashlib.sha256(blob).digest() != digest:
        log.warning("%s is damaged: compiling again", path)
        return b""
    return blob


def _write_cache(path: Path, blob: bytes) -> None:
    data = hashlib.sha256(blob).digest() + blob
    temporary = path.with_name(f".{path.name}.part")
    try:
        if path.is_file() and path.read_bytes() == data:
            return
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        log.warning("%s cannot be written (%s): the engine opens slowly again", path, error)
