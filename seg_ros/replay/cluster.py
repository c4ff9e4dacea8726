"""A Ray cluster as a pool of processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from seg_ros.errors import SegRosError

_CPU_RUNTIMES = ("openvino", "torch")
_RETRIES = 3
_MAX_THREADS = 8
"""CPUs of a worker where nobody says how many: a larger node runs several."""


class RayPool(AbstractContextManager["RayPool"]):
    """Workers of a Ray cluster, each with one engine.

    A worker that dies (its machine went away, or had no memory left) is replaced, and its piece run
    again; what it had written is kept.

    Args:
        address: of the cluster, as ``ray.init`` takes it; empty: the one this machine belongs to,
            or, where there is none, one of this machine alone that ends with the pool.
        threads: CPUs of each worker; 0: all of the smallest node, eight at most.
        runtime: of the engine; each worker has a GPU of its own where the cluster has any, unless
            the runtime is of the CPU.

    Raises:
        SegRosError: Ray is not installed, or there is no such cluster.

    """

    def __init__(self, address: str, threads: int, runtime: str) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # says nothing to anybody
        try:
            import ray
        except ImportError as error:
            raise SegRosError("Ray is not installed here; pip install 'seg_ros[ray]'") from error
        self._ray: Any = ray
        try:
            ray.init(
                address or None, include_dashboard=None if address else False, log_to_driver=False
            )
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            reason = " ".join(str(error).split())
            raise SegRosError(f"no Ray cluster at {address or 'this machine'}: {reason}") from error
        cpus = [int(node["Resources"].get("CPU", 0)) for node in self._ray.nodes() if node["Alive"]]
        smallest = min((count for count in cpus if count), default=1)
        self.threads = threads or min(smallest, _MAX_THREADS)
        has_gpu = self._ray.cluster_resources().get("GPU", 0) > 0 and runtime not in _CPU_RUNTIMES
        self._call = ray.remote(_call).options(
            num_cpus=self.threads,
            num_gpus=1 if has_gpu else 0,
            max_retries=_RETRIES,
            retry_exceptions=[OSError],
        )

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """See :class:`seg_ros.replay.spread.Pool`."""
        future: Future[Any] = self._call.remote(function, *arguments).future()
        return future

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the cluster; what still runs is ended."""
        self._ray.shutdown()


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)
