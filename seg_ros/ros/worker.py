"""One thread that always works on the latest frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


class LatestWorker(Generic[_T]):
    """Handles items on a thread of its own; an item that waits is replaced by a newer one.

    So there is at most one item in hand and one waiting, however slow the handling.

    Args:
        handle: called with each item; must not raise.
        dropped: called with each item that was replaced or left over.

    """

    def __init__(self, handle: Callable[[_T], None], dropped: Callable[[_T], None]) -> None:
        self._handle = handle
        self._dropped = dropped
        self._changed = Condition()
        self._waiting: _T | None = None
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._stopping = False
        self._thread = Thread(target=self._run, name="seg_ros_worker", daemon=True)
        self._thread.start()

    def submit(self, item: _T) -> None:
        """Hand over an item; it replaces the one that waits, if any."""
        with self._changed:
            replaced, self._waiting = self._waiting, item
            self._changed.notify()
        if replaced is not None:
            self._dropped(replaced)

    def between(self, job: Callable[[], Any]) -> Future[Any]:
        """Call a function after the item in hand and before the next; return its result to be.

        It is called even when the worker is stopped meanwhile.
        """
        result: Future[Any] = Future()
        with self._changed:
            self._jobs.append((job, result))
            self._changed.notify()
        return result

    def stop(self) -> None:
        """Finish the item in hand, drop the one that waits, end the thread."""
        with self._changed:
            left, self._waiting = self._waiting, None
            self._stopping = True
            self._changed.notify()
        if left is not None:
            self._dropped(left)
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopping or self._jobs or self._waiting is not None
                )
                job = self._jobs.popleft() if self._jobs else None
                item = None
                if job is None:
                    if self._stopping:
                        return
                    item, self._waiting = self._waiting, None
            if job is not None:
                _do(*job)
            elif item is not None:
                self._handle(item)


def _do(job: Callable[[], Any], result: Future[Any]) -> None:
    try:
        result.set_result(job())
    except Exception as error:  # whoever asked for it gets it
        result.set_exception(error)
