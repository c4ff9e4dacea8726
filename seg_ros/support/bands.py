"""Run a compiled kernel over bands of rows on all cores.

numba's own parallel threading layer aborts the process when two Python threads enter it at once
(its fallback layer is not thread-safe), so the kernels here are serial, release the GIL, and are
split over rows by this module.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

MAX_BANDS = 4
"""More threads than this do not make millisecond kernels faster."""


def core_count() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0))


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAX_BANDS - 1, thread_name_prefix="seg_ros_band")


def run_in_bands(kernel: Callable[[int, int], None], rows: int) -> None:
    """Call ``kernel(first, last)`` for bands that cover ``range(rows)`` once, on several threads.

    The calling thread works on the last band itself; an error in any band is raised here.
    """
    bands = max(1, min(core_count(), MAX_BANDS, rows))
    edges = [rows * i // bands for i in range(bands + 1)]
    others = [_pool().submit(kernel, first, last) for first, last in pairwise(edges[:-1])]
    kernel(edges[-2], edges[-1])
    for future in others:
        future.result()
