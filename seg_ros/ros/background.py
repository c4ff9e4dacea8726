"""Long work beside the executor, for callbacks that are coroutines."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from rclpy.task import Future

from seg_ros.ros.worker import Busy


@dataclass
class _Work:
    what: str
    patience: float
    sign_of_life: float = field(default_factory=time.monotonic)


class Background:
    """Threads for what takes long, such as loading a network.

    Args:
        node: whose callbacks wait; its executor goes on meanwhile.

    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._pool = concurrent.futures.ThreadPoolExecutor(2, "seg_ros_background")
        self._works: dict[int, _Work] = {}
        self._numbers = count()

    def run(self, what: str, work: Callable[[], Any], patience: float = 1.0) -> Future:
        """Call a function on another thread; await its result or error.

        Args:
            what: as it is called in messages.
            work: the function.
            patience: how many times ``stall_timeout`` it may take.

        """
        number = next(self._numbers)

        def watched() -> Any:
            self._works[number] = _Work(what, patience)
            try:
                return work()
            finally:
                del self._works[number]

        return self.until(self._pool.submit(watched))

    def alive(self, what: str) -> None:
        """Take a sign of life of work that takes long."""
        for work in list(self._works.values()):
            if work.what == what:
                work.sign_of_life = time.monotonic()

    @property
    def busy(self) -> Busy | None:
        """What has gone on longest, measured by how long it may, or None."""
        now = time.monotonic()
        works = [Busy(w.what, now - w.sign_of_life, w.patience) for w in list(self._works.values())]
        return max(works, key=lambda work: work.seconds / work.patience, default=None)

    def until(self, done: concurrent.futures.Future[Any]) -> Future:
        """Await what another thread gives."""
        waiting = Future(executor=self._node.executor)

        def finish(result: concurrent.futures.Future[Any]) -> None:
            error = result.exception()
            if error is None:
                waiting.set_result(result.result())
            else:
                waiting.set_exception(error)
            if self._node.executor is not None:  # it looks at what waits only when it wakes
                self._node.executor.wake()

        done.add_done_callback(finish)
        return waiting

    def close(self, timeout: float) -> bool:
        """Wait for what is being done, start nothing more; say whether all of it has ended.

        Args:
            timeout: seconds that work may give no sign of life, times its patience.

        """
        self._pool.shutdown(wait=False, cancel_futures=True)
        while (busy := self.busy) and busy.seconds < timeout * busy.patience:
            time.sleep(0.01)
        return busy is None
