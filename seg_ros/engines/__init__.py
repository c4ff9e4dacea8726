"""Engines: one runtime per file behind the small :class:`Engine` protocol."""

from __future__ import annotations

from seg_ros.engines.base import Engine, EngineInfo, Inference, SharedEngine
from seg_ros.errors import SegRosError
from seg_ros.models.catalogue import Model

RUNTIMES = ("auto", "openvino")
"""Values of the ``runtime`` parameter and of ``--runtime``."""

__all__ = ["RUNTIMES", "Engine", "EngineInfo", "Inference", "SharedEngine", "open_engine"]


def open_engine(model: Model, runtime: str = "auto", threads: int = 0) -> Engine:
    """Load ``model`` into a runtime, ready to infer.

    Args:
        model: what to load.
        runtime: one of :data:`RUNTIMES`; ``auto`` takes the fastest this machine has.
        threads: CPU threads the engine may use, 0 for all cores.

    Raises:
        SegRosError: unknown runtime, runtime not installed, or the model does not fit.

    """
    if runtime not in RUNTIMES:
        raise SegRosError(f"runtime {runtime!r} is unknown; use one of {', '.join(RUNTIMES)}")
    # Imported on use: a machine needs only the runtime it runs.
    from seg_ros.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(model.path, threads=threads)
