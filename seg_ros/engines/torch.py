"""The reference engine: PyTorch, on the CPU or an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from platform import machine

import numpy as np
import torch
from numpy.typing import NDArray

from seg_ros.engines.base import EngineInfo, Inference, Platform, check_image
from seg_ros.errors import SegRosError
from seg_ros.models.folding import FoldedSegformer

_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_WARM_UP = 3
"""Runs before a CUDA graph is captured: cuDNN chooses its kernels in them."""


class TorchEngine:
    """A network as a module. Implements :class:`seg_ros.engines.Engine`.

    On a GPU the class decision is made there, in fp32, at the network's input size, and the whole
    of it is one CUDA graph; the frame goes up and the mask comes down through pinned memory.

    Args:
        module: the network; it is the engine's from now on.
        input_size: (H, W) in pixels.
        precision: of the encoder; the folded head stays fp32.
        device: ``cuda``, ``cpu`` or empty for the GPU where there is one.
        threads: CPU threads, 0 to leave torch's choice.

    Raises:
        SegRosError: the precision is unknown, or the GPU cannot run the network.

    """

    def __init__(
        self,
        module: FoldedSegformer,
        input_size: tuple[int, int],
        precision: str = "fp32",
        device: str = "",
        threads: int = 0,
    ) -> None:
        if precision not in _TYPES:
            raise SegRosError(f"torch has no precision {precision!r}; use {', '.join(_TYPES)}")
        if threads:
            torch.set_num_threads(threads)
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._device = torch.device(chosen)
        self._module = module.to(self._device)
        module.stages.to(_TYPES[precision])
        # TF32 keeps ten bits of the mantissa; fp32 here means fp32.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        self.input_size = input_size
        try:
            self._image = torch.zeros((1, *input_size, 3), dtype=torch.uint8, device=self._device)
            if self._device.type == "cuda":
                self._run: Callable[[NDArray[np.uint8]], Inference] = _CudaGraph(
                    self._logits, self._image
                )
            else:
                self._run = self._run_on_cpu
            with torch.inference_mode():
                self.class_count = int(self._logits().shape[1])
        except RuntimeError as error:  # out of memory, no kernel for this GPU
            line = str(error).strip().splitlines()[0]
            raise SegRosError(
                f"torch cannot run the network in {precision} on {chosen}: {line}"
            ) from error
        self.info = EngineInfo(
            runtime=f"torch {torch.__version__}",
            device=platform().device if self._device.type == "cuda" else _cpu_name(),
            precision=precision,
        )

    def infer(self, image: NDArray[np.uint8]) -> Inference:
        """Run the network; see :meth:`seg_ros.engines.Engine.infer`.

        Raises:
            ValueError: the image has another shape or dtype.

        """
        check_image(image, self.input_size)
        with torch.inference_mode():
            return self._run(image)

    def _logits(self) -> torch.Tensor:
        """(1, C, h, w) float32 logits of the image in the engine's own buffer."""
        logits: torch.Tensor = self._module(self._image)
        return logits

    def _run_on_cpu(self, image: NDArray[np.uint8]) -> Inference:
        # A copy: torch takes only arrays that may be written, and not every frame is one.
        np.copyto(self._image.numpy()[0], image)
        logits = self._logits()
        return Inference(lambda: logits[0].numpy(), bool(torch.isfinite(logits).all()))


class _CudaGraph:
    """Upload, network, class decision and download of the mask as one CUDA graph."""

    def __init__(self, logits: Callable[[], torch.Tensor], image: torch.Tensor) -> None:
        self._image = image
        self._host_image = torch.empty_like(image, device="cpu").pin_memory()
        with torch.inference_mode():
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    outputs = self._decide(logits())
            stream.synchronize()
            self._host = tuple(torch.empty_like(o, device="cpu").pin_memory() for o in outputs)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                image.copy_(self._host_image, non_blocking=True)
                self._device_logits = logits()
                for there, here in zip(self._decide(self._device_logits), self._host, strict=True):
                    here.copy_(there, non_blocking=True)

    def _decide(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        size = self._image.shape[1:3]
        full = torch.nn.functional.interpolate(
            logits, size=size, mode="bilinear", align_corners=False
        )
        return full.argmax(1).to(torch.uint8), torch.isfinite(logits).all()

    def __call__(self, image: NDArray[np.uint8]) -> Inference:
        np.copyto(self._host_image.numpy()[0], image)
        self._graph.replay()
        torch.cuda.current_stream().synchronize()
        mask, finite = self._host
        return Inference(
            lambda: self._device_logits[0].cpu().numpy(), bool(finite), mask.numpy()[0]
        )


def platform() -> Platform:
    """Return what an engine of this runtime is built for here; on the CPU it is portable."""
    if not torch.cuda.is_available():
        return Platform("torch", torch.__version__, "", "")
    major, minor = torch.cuda.get_device_capability()
    name = torch.cuda.get_device_name()
    return Platform("torch", torch.__version__, name, f"{major}.{minor}")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else machine()
