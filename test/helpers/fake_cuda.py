# ruff: noqa: N801, N802, N815, N818  (CUDA's own names)
"""A stand-in for ``cuda.bindings.runtime`` that keeps what CUDA keeps and forgets what it forgets.

Host and GPU have memory of their own under addresses of their own, and all memory starts as
rubbish. What is put on a stream happens only when the stream is waited for, in order. What would
fault on a GPU (another side's address, more bytes than there are) fails there too, later, and for
good. Work can be recorded and launched as a graph. Every function returns (error, results...).
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

RUBBISH = 0xA5


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorIllegalAddress = 700
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorStreamCaptureInvalidated = 901


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToHost = 0
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaDeviceAttr(enum.IntEnum):
    cudaDevAttrIntegrated = 18
    cudaDevAttrCanMapHostMemory = 19
    cudaDevAttrComputeCapabilityMajor = 75
    cudaDevAttrComputeCapabilityMinor = 76


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeGlobal = 0
    cudaStreamCaptureModeThreadLocal = 1


class Fault(Exception):
    """What happens on the GPU went wrong there."""


OK = cudaError_t.cudaSuccess


class FakeStream:
    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.pending: list[Callable[[], None]] = []
        self.recording: list[Callable[[], None]] | None = None
        self.spoilt = False

    def __int__(self) -> int:
        return self.handle

    def put(self, work: Callable[[], None]) -> None:
        (self.pending if self.recording is None else self.recording).append(work)


class FakeCuda:
    """The module. One GPU, or none.

    Args:
        integrated: a GPU that works in the computer's memory, as a Jetson's.
        compute_capability: of the GPU.
        present: 0 for a machine without one.

    """

    cudaError_t, cudaMemcpyKind, cudaDeviceAttr, cudaStreamCaptureMode = (
        cudaError_t,
        cudaMemcpyKind,
        cudaDeviceAttr,
        cudaStreamCaptureMode,
    )
    cudaHostAllocDefault, cudaHostAllocMapped, cudaStreamNonBlocking = 0, 2, 1

    def __init__(
        self,
        *,
        integrated: bool = False,
        compute_capability: tuple[int, int] = (8, 6),
        present: bool = True,
    ) -> None:
        self.integrated = integrated
        self.compute_capability = compute_capability
        self.present = present
        self.device: dict[int, np.ndarray] = {}  # by address on the GPU
        self.host: dict[int, np.ndarray] = {}  # pinned, by address on the host
        self.streams: dict[int, FakeStream] = {}
        self.calls: list[str] = []  # in order
        self.events: list[str] = []  # what was given back, in order
        self.fail: dict[str, cudaError_t] = {}  # functions that are to fail
        self.broken: cudaError_t | None = None  # after a fault nothing works any more
        self._addresses = itertools.count(0x7_0000_0000, 0x1000_0000)

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if not name.startswith("cuda") or not callable(value) or isinstance(value, type):
            return value
        if name == "cudaGetErrorString":
            return value

        def checked(*args: Any) -> Any:
            self.calls.append(name)
            if name in self.fail:
                return (self.fail[name], None)
            if self.broken is not None and name != "cudaGetLastError":
                return (self.broken, None)
            return value(*args)

        return checked

    def cudaGetErrorString(self, error: cudaError_t) -> tuple[Any, ...]:
        return OK, error.name.encode()

    def cudaGetLastError(self) -> tuple[Any, ...]:
        return (OK,)

    def cudaGetDeviceCount(self) -> tuple[Any, ...]:
        if not self.present:
            return cudaError_t.cudaErrorInsufficientDriver, None
        return OK, 1

    def cudaDeviceGetAttribute(self, attribute: int, _device: int) -> tuple[Any, ...]:
        values = {18: self.integrated, 19: True}
        values |= {75: self.compute_capability[0], 76: self.compute_capability[1]}
        return OK, int(values[attribute])

    def cudaGetDeviceProperties(self, _device: int) -> tuple[Any, ...]:
        return OK, SimpleNamespace(name=b"Fake GPU")

    # Memory

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        if self._spoil():
            return cudaError_t.cudaErrorStreamCaptureUnsupported, None
        address = next(self._addresses)
        self.device[address] = np.full(size, RUBBISH, np.uint8)
        return OK, address

    def cudaFree(self, address: int) -> tuple[Any, ...]:
        del self.device[address]
        self.events.append("free")
        return (OK,)

    def cudaHostAlloc(self, size: int, _flags: int) -> tuple[Any, ...]:
        memory = np.full(size, RUBBISH, np.uint8)
        self.host[memory.ctypes.data] = memory
        return OK, memory.ctypes.data

    def cudaFreeHost(self, address: int) -> tuple[Any, ...]:
        # The memory is let go of by whoever ran the test, not here: a view left would crash it.
        self._graveyard = [*getattr(self, "_graveyard", []), self.host.pop(address)]
        self._graveyard[-1][:] = RUBBISH
        for mapped in [key for key, m in self.device.items() if m is self._graveyard[-1]]:
            del self.device[mapped]
        return (OK,)

    def cudaHostGetDevicePointer(self, address: int, _flags: int) -> tuple[Any, ...]:
        mapped = next(self._addresses)
        self.device[mapped] = self.host[address]
        return OK, mapped

    def on_gpu(self, address: int, size: int) -> np.ndarray:
        """Bytes of GPU memory, as work on the GPU sees them."""
        return self._within(self.device, address, size)

    def _within(self, memory: dict[int, np.ndarray], address: int, size: int) -> np.ndarray:
        if address not in memory or size > len(memory[address]):
            raise Fault(f"{size} bytes at {address:#x}")
        return memory[address][:size]

    def cudaMemcpyAsync(
        self, to: int, source: int, size: int, kind: int, stream: FakeStream
    ) -> tuple[Any, ...]:
        up = kind == cudaMemcpyKind.cudaMemcpyHostToDevice
        sides = (self.device, self.host) if up else (self.host, self.device)

        def copy() -> None:
            self._within(sides[0], to, size)[:] = self._within(sides[1], source, size)

        stream.put(copy)
        return (OK,)

    # Streams and graphs

    def cudaStreamCreateWithFlags(self, _flags: int) -> tuple[Any, ...]:
        stream = FakeStream(next(self._addresses))
        self.streams[int(stream)] = stream
        return OK, stream

    def cudaStreamSynchronize(self, stream: FakeStream) -> tuple[Any, ...]:
        if self._spoil():
            return (cudaError_t.cudaErrorStreamCaptureUnsupported,)
        work, stream.pending = stream.pending, []
        try:
            for step in work:
                step()
        except Fault:
            self.broken = cudaError_t.cudaErrorIllegalAddress
            return (self.broken,)
        return (OK,)

    def cudaStreamDestroy(self, stream: FakeStream) -> tuple[Any, ...]:
        del self.streams[int(stream)]
        self.events.append("stream")
        return (OK,)

    def cudaStreamBeginCapture(self, stream: FakeStream, _mode: int) -> tuple[Any, ...]:
        stream.recording = []
        return (OK,)

    def cudaStreamEndCapture(self, stream: FakeStream) -> tuple[Any, ...]:
        recorded, stream.recording = stream.recording, None
        if stream.spoilt:
            stream.spoilt = False
            return cudaError_t.cudaErrorStreamCaptureInvalidated, None
        return OK, recorded

    def _spoil(self) -> bool:
        """While a stream records, what waits or allocates is refused and spoils the recording."""
        recording = [s for s in self.streams.values() if s.recording is not None]
        for stream in recording:
            stream.spoilt = True
        return bool(recording)

    def cudaGraphInstantiate(self, recorded: list[Any], _flags: int) -> tuple[Any, ...]:
        return OK, list(recorded)

    def cudaGraphLaunch(self, graph: list[Any], stream: FakeStream) -> tuple[Any, ...]:
        for step in graph:
            stream.put(step)
        return (OK,)

    def cudaGraphDestroy(self, _recorded: list[Any]) -> tuple[Any, ...]:
        return (OK,)

    def cudaGraphExecDestroy(self, _graph: list[Any]) -> tuple[Any, ...]:
        self.events.append("graph")
        return (OK,)
