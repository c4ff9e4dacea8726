"""Work on several things at a time, answers in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_order(
    work: Callable[[_T], _R], items: Iterator[_T], workers: int, ahead: int
) -> Generator[_R, None, None]:
    """Yield ``work(item)`` of every item, in the items' order; threads do the work.

    An error of the work or of the iterator is raised in its place, after the answers before it.
    Closing the generator waits for what is being worked on and leaves out the rest.

    Args:
        work: called from several threads at a time.
        items: taken from the calling thread.
        workers: how many threads.
        ahead: how many items are taken before the first answer is.

    """
    with ThreadPoolExecutor(workers, thread_name_prefix="seg_ros_worker") as pool:
        pending: deque[Future[_R]] = deque()
        failed: BaseException | None = None
        try:
            while True:
                try:
                    item = next(items)
                except StopIteration:
                    break
                except Exception as error:
                    failed = error
                    break
                pending.append(pool.submit(work, item))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
            if failed:
                raise failed
        finally:
            for future in pending:
                future.cancel()
