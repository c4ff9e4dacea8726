"""Engines: one runtime per file behind the small :class:`Engine` protocol."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

from seg_ros.engines.base import Engine, EngineInfo, Inference, Platform, SharedEngine
from seg_ros.errors import SegRosError
from seg_ros.support.choices import RUNTIMES

_ON_GPU = ("tensorrt", "tensorrt_rtx")

__all__ = [
    "Engine",
    "EngineInfo",
    "Inference",
    "Platform",
    "SharedEngine",
    "available_runtimes",
    "platform",
    "precisions",
]

# Runtimes are imported on use: a machine needs only the one it runs.


@lru_cache(maxsize=1)
def available_runtimes() -> tuple[str, ...]:
    """Return the runtimes that are installed and have their hardware, the fastest first."""
    return tuple(
        name
        for name in RUNTIMES[1:]
        if find_spec(name) is not None and (name not in _ON_GPU or _has_gpu())
    )


def _has_gpu() -> bool:
    if find_spec("cuda") is None:
        return False
    from seg_ros.engines.cuda import find_gpu

    return find_gpu() is not None


def platform(runtime: str) -> Platform:
    """Return what an engine of a runtime is built for on this machine.

    Raises:
        SegRosError: unknown runtime, or it is not installed, too old, or has no GPU.

    """
    if runtime not in RUNTIMES[1:]:
        raise SegRosError(f"runtime {runtime!r} is unknown; use one of {', '.join(RUNTIMES)}")
    if find_spec(runtime) is None:
        extra = {"openvino": "cpu", "torch": "export"}.get(runtime, runtime.replace("_", "-"))
        raise SegRosError(
            f"runtime {runtime} is not installed here; pip install 'seg_ros[{extra}]', or use one "
            f"of {', '.join(available_runtimes()) or 'none'}"
        )
    if runtime == "openvino":
        from seg_ros.engines import openvino

        return openvino.platform()
    if runtime == "torch":
        from seg_ros.engines import torch

        return torch.platform()
    from seg_ros.engines import tensorrt

    return tensorrt.platform(runtime)


def precisions(machine: Platform) -> tuple[str, ...]:
    """Return the precisions that pay on a machine, the fastest first and fp32 last."""
    if not machine.compute_capability:
        return ("fp32",)
    ampere = float(machine.compute_capability) >= 8.0  # the first with bfloat16
    return ("fp16", "bf16", "fp32") if ampere else ("fp16", "fp32")
