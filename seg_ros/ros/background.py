"""Long work beside the executor, for callbacks that are coroutines."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any, TypeVar

from rclpy.task import Future

_T = TypeVar("_T")


class Background:
    """Threads for what takes long, such as loading a network.

    Args:
        node: whose callbacks wait; its executor goes on meanwhile.

    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._pool = concurrent.futures.ThreadPoolExecutor(2, "seg_ros_background")

    def run(self, work: Callable[[], Any]) -> Future:
        """Call a function on another thread; await its result or error."""
        return self.until(self._pool.submit(work))

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

    def close(self) -> None:
        """Wait for what is being done; start nothing more."""
        self._pool.shutdown(cancel_futures=True)
