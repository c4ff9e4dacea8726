"""CUDA by way of cuda-python: memory, streams and graphs, every return code looked at.

``cuda.bindings`` imports without a driver or a GPU, so nothing here needs one until it is called.
Everything happens on the first GPU; ``CUDA_VISIBLE_DEVICES`` chooses which one that is.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from seg_ros.errors import SegRosError

_DEVICE = 0
_ADVICE = {
    "cudaErrorMemoryAllocation": "the GPU's memory is full: end other programs that use it, or "
    "take a smaller model or input size",
    "cudaErrorInsufficientDriver": "the NVIDIA driver is missing or older than this CUDA: install "
    "a newer driver, or use --runtime openvino",
    "cudaErrorNoDevice": "no NVIDIA GPU is visible: see nvidia-smi and CUDA_VISIBLE_DEVICES, or "
    "use --runtime openvino",
    "cudaErrorNoKernelImageForDevice": "the engine was built for another GPU: build it again here",
}
_RESTART = "the GPU is in an undefined state: restart the program"


def _runtime() -> Any:
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise SegRosError(
            f"cuda-python is missing ({error}); install it: pip install 'cuda-python>=12.9'"
        ) from error
    return runtime


def call(name: str, *args: Any) -> Any:
    """Call a function of the CUDA runtime; return what it gives, a tuple where it gives several.

    Raises:
        SegRosError: the call failed, or an earlier asynchronous one did.

    """
    return _check(name, getattr(_runtime(), name)(*args))


def _check(name: str, result: tuple[Any, ...]) -> Any:
    runtime = _runtime()
    error, *values = result
    if error != runtime.cudaError_t.cudaSuccess:
        _, text = runtime.cudaGetErrorString(error)
        advice = _ADVICE.get(error.name, _RESTART)
        raise SegRosError(f"CUDA: {name} failed with {error.name} ({text.decode()}); {advice}")
    return values[0] if len(values) == 1 else tuple(values)


@dataclass(frozen=True)
class Gpu:
    """The GPU everything runs on."""

    name: str
    """Such as ``NVIDIA RTX A2000`` or ``Orin``."""
    compute_capability: str
    """Such as ``8.7``."""
    shares_memory: bool
    """Whether it works in the computer's own memory, as on a Jetson."""


def find_gpu() -> Gpu | None:
    """Describe the GPU; None where there is no driver or no GPU.

    Raises:
        SegRosError: cuda-python is missing, or the driver does not answer.

    """
    runtime = _runtime()
    errors = runtime.cudaError_t
    result = runtime.cudaGetDeviceCount()
    # Without a driver CUDA says that the driver is too old.
    if result[0] in (errors.cudaErrorInsufficientDriver, errors.cudaErrorNoDevice):
        return None
    if _check("cudaGetDeviceCount", result) == 0:
        return None
    attributes = runtime.cudaDeviceAttr
    major, minor, integrated, maps = (
        call("cudaDeviceGetAttribute", attribute, _DEVICE)
        for attribute in (
            attributes.cudaDevAttrComputeCapabilityMajor,
            attributes.cudaDevAttrComputeCapabilityMinor,
            attributes.cudaDevAttrIntegrated,
            attributes.cudaDevAttrCanMapHostMemory,
        )
    )
    name = call("cudaGetDeviceProperties", _DEVICE).name.decode().rstrip("\0")
    return Gpu(name, f"{major}.{minor}", bool(integrated and maps))


class Stream:
    """A CUDA stream of its own: what is put on it happens in order, and later."""

    def __init__(self) -> None:
        self.stream = call("cudaStreamCreateWithFlags", _runtime().cudaStreamNonBlocking)

    @property
    def handle(self) -> int:
        """The stream's address, for libraries that take one."""
        return int(self.stream)

    def synchronize(self) -> None:
        """Wait until all that was put on the stream has happened."""
        call("cudaStreamSynchronize", self.stream)

    def capture(self, enqueue: Callable[[], None]) -> Graph:
        """Record what ``enqueue`` puts on the stream, so that one launch repeats it.

        Raises:
            SegRosError: something in it cannot be recorded. The stream is usable all the same.

        """
        runtime = _runtime()
        # Thread-local: other threads of the process may go on calling CUDA meanwhile.
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        call("cudaStreamBeginCapture", self.stream, mode)
        try:
            enqueue()
        finally:
            ended = runtime.cudaStreamEndCapture(self.stream)
            runtime.cudaGetLastError()  # a failed recording must not surface in a later call
        recorded = _check("cudaStreamEndCapture", ended)
        try:
            return Graph(call("cudaGraphInstantiate", recorded, 0), self)
        finally:
            call("cudaGraphDestroy", recorded)

    def close(self) -> None:
        """Give the stream back."""
        call("cudaStreamDestroy", self.stream)


class Graph:
    """Work recorded by :meth:`Stream.capture`."""

    def __init__(self, graph: Any, stream: Stream) -> None:
        self._graph = graph
        self._stream = stream

    def launch(self) -> None:
        """Put all of it on the stream."""
        call("cudaGraphLaunch", self._graph, self._stream.stream)

    def close(self) -> None:
        """Give it back."""
        call("cudaGraphExecDestroy", self._graph)


class Buffer:
    """One array that lives in pinned host memory and, under another address, on the GPU.

    Where the GPU works in the computer's own memory both are the same bytes, and copying does
    nothing.

    Args:
        shape: of the array.
        dtype: of the array.
        mapped: whether host and GPU share the memory; see :attr:`Gpu.shares_memory`.

    """

    host: NDArray[Any]
    """The array on the host. Its memory stays valid as long as it, or any view of it, exists."""
    device: int
    """The array's address on the GPU."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, *, mapped: bool) -> None:
        runtime = _runtime()
        self._mapped = mapped
        self._bytes = math.prod(shape) * np.dtype(dtype).itemsize
        flags = runtime.cudaHostAllocMapped if mapped else runtime.cudaHostAllocDefault
        address = call("cudaHostAlloc", self._bytes, flags)
        memory = (ctypes.c_uint8 * self._bytes).from_address(int(address))
        # Freed with the last view rather than with the engine: a mask may outlive its engine.
        weakref.finalize(memory, runtime.cudaFreeHost, address).atexit = False
        self.host = np.ctypeslib.as_array(memory).view(dtype).reshape(shape)
        self._address = address
        if mapped:
            self.device = int(call("cudaHostGetDevicePointer", address, 0))
        else:
            self.device = int(call("cudaMalloc", self._bytes))

    def upload(self, stream: Stream) -> None:
        """Put a copy from host to GPU on the stream."""
        if not self._mapped:
            kind = _runtime().cudaMemcpyKind.cudaMemcpyHostToDevice
            call("cudaMemcpyAsync", self.device, self._address, self._bytes, kind, stream.stream)

    def download(self, stream: Stream) -> None:
        """Put a copy from GPU to host on the stream."""
        if not self._mapped:
            kind = _runtime().cudaMemcpyKind.cudaMemcpyDeviceToHost
            call("cudaMemcpyAsync", self._address, self.device, self._bytes, kind, stream.stream)

    def close(self) -> None:
        """Give the GPU's memory back. The host's follows with the last view of it."""
        if not self._mapped:
            call("cudaFree", self.device)
