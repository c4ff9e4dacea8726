"""Threads that do not come back: said while it lasts, and when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seg_ros.ros.worker import Busy
from seg_ros.support.statistics import FrameStatistics


class Stalls:
    """Remembers which threads have not come back for longer than they may take.

    A thread cannot be ended from outside, so nothing is done about it but to say so; the others go
    on.

    Args:
        statistics: where each is counted once as ``threads_stalled``.
        logger: of the node.

    """

    def __init__(self, statistics: FrameStatistics, logger: Any) -> None:
        self._statistics = statistics
        self._logger = logger
        self._lasting: dict[str, Busy] = {}

    def look(self, threads: Mapping[str, Busy | None], timeout: float) -> tuple[str, str]:
        """Return who does not come back now, and who has since the last look; or nothing.

        Args:
            threads: by name what each is at.
            timeout: seconds that a thread may take.

        """
        ended = []
        for name, before in list(self._lasting.items()):
            now = threads.get(name)
            if now is None or now.what != before.what or now.seconds < before.seconds:
                del self._lasting[name]
                ended.append(f"the {name} thread came back from {before.what} after "
                             f"{before.seconds:.0f} s")  # fmt: skip
                self._logger.warning(ended[-1])
        lasting = []
        for name, now in threads.items():
            if now is None or now.seconds < timeout * now.patience:
                continue
            line = f"the {name} thread has been at {now.what} for {now.seconds:.0f} s"
            if name not in self._lasting:
                self._statistics.error("threads_stalled", line)
                self._logger.error(f"{line}; stall_timeout is {timeout:g} s")
            self._lasting[name] = now
            lasting.append(line)
        return "; ".join(lasting), "; ".join(ended)
