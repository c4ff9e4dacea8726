"""Reading overlaps with what is done with the frames."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from queue import Queue
from threading import Event, Thread
from typing import Any, TypeVar

_T = TypeVar("_T")


def read_ahead(items: Iterator[_T], depth: int) -> Generator[_T, None, None]:
    """Yield the items of an iterator that a thread runs up to ``depth`` items ahead.

    An error of the iterator is raised here, after all the items before it. Closing this generator
    stops the thread.
    """
    queue: Queue[tuple[bool, Any]] = Queue(depth)
    stop = Event()

    def run() -> None:
        try:
            for item in items:
                queue.put((True, item))
                if stop.is_set():
                    return
            queue.put((False, None))
        except BaseException as error:
            queue.put((False, error))

    thread = Thread(target=run, name="read_ahead", daemon=True)
    thread.start()
    try:
        while True:
            more, item = queue.get()
            if not more:
                if item is not None:
                    raise item
                return
            yield item
    finally:
        stop.set()
        while thread.is_alive():
            while not queue.empty():
                queue.get_nowait()
            thread.join(0.01)
