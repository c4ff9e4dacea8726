"""One thread that works on what is handed to it: the latest frame, or the last few packets."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from threading import Condition, Thread
from typing import Any, Generic, NamedTuple, TypeVar

from seg_ros.errors import SegRosError
from seg_ros.support.turn import Turn

_T = TypeVar("_T")


LOADING = 10.0
"""How many times as long as a frame a network may take to be loaded, without a sign of life."""


class Busy(NamedTuple):
    """What a thread is at."""

    what: str
    """As it is called in messages."""
    seconds: float
    """How long, or since when it last gave a sign of life."""
    patience: float = 1.0
    """How many times ``stall_timeout`` it may take."""


class LatestWorker(Generic[_T]):
    """Handles items on a thread of its own; an item that waits is replaced by a newer one.

    So there is at most one item in hand and one waiting, however slow the handling. Whatever goes
    wrong with one item is said of that item, and the next is handled.

    Args:
        handle: called with each item.
        dropped: called with each item that was replaced or left over.
        failed: called with each item that could not be handled and why.
        name: returns what an item is called in messages.
        keep: how many items may wait, where more than the latest matters; the oldest is replaced.
        turn: gives what is waited for before an item is taken, so that it is the latest by then.

    """

    def __init__(
        self,
        handle: Callable[[_T], None],
        dropped: Callable[[_T], None],
        failed: Callable[[_T, BaseException], None],
        name: Callable[[_T], str] = str,
        keep: int = 1,
        turn: Callable[[], Turn | None] = lambda: None,
    ) -> None:
        self._handle = handle
        self._turn = turn
        self._dropped = dropped
        self._failed = failed
        self._name = name
        # Replaced as a whole, so that who looks sees an item and its own time: monotonic seconds.
        self._in_hand: tuple[float, _T | None] | None = None
        self._job_in_hand: Future[Any] | None = None
        self._ended_by: BaseException | None = None
        self._changed = Condition()
        self._waiting: deque[_T] = deque()
        self._keep = keep
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._stopping = False
        self._thread = self._start()

    def _start(self) -> Thread:
        thread = Thread(target=self._run, name="seg_ros_worker", daemon=True)
        thread.start()
        return thread

    def revive(self) -> str:
        """Start the thread again where it ended by itself; return why it had, or nothing.

        The item that it had in hand has failed.
        """
        if self._thread.is_alive() or self._stopping:
            return ""
        error = self._ended_by or RuntimeError("its thread is gone")
        in_hand, self._in_hand = self._in_hand, None
        if in_hand is not None and in_hand[1] is not None:
            self._failed(in_hand[1], error)
        self._ended_by = None
        self._thread = self._start()
        return f"{type(error).__name__}: {error}"

    @property
    def busy(self) -> Busy | None:
        """What is in hand, or None."""
        in_hand = self._in_hand
        if in_hand is None:
            return None
        since, item = in_hand
        what = "work between two frames" if item is None else self._name(item)
        return Busy(what, time.monotonic() - since)

    def refuse_jobs(self, reason: str) -> None:
        """Tell who waits for a job between two items that it will not be done."""
        with self._changed:
            waiting = [result for _, result in self._jobs]
            self._jobs.clear()
        if (now := self._job_in_hand) is not None:
            waiting.append(now)
        for result in waiting:
            with suppress(InvalidStateError):
                result.set_exception(SegRosError(reason))

    def submit(self, item: _T) -> None:
        """Hand over an item; it replaces the oldest that waits where as many wait as may."""
        with self._changed:
            replaced = [self._waiting.popleft()] if len(self._waiting) == self._keep else []
            self._waiting.append(item)
            self._changed.notify()
        for old in replaced:
            self._dropped(old)

    def between(self, job: Callable[[], Any]) -> Future[Any]:
        """Call a function after the item in hand and before the next; return its result to be.

        It is called even when the worker is stopped meanwhile.
        """
        result: Future[Any] = Future()
        with self._changed:
            self._jobs.append((job, result))
            self._changed.notify()
        return result

    def stop(self, patience: float) -> bool:
        """Finish the item in hand, drop the one that waits, end the thread.

        Args:
            patience: seconds that the item in hand may take; then it is given up and has failed.

        Returns:
            Whether the thread has ended. Whoever was given up may come back at any time.

        """
        self.revive()  # or a job that waits would never be done
        with self._changed:
            left = list(self._waiting)
            self._waiting.clear()
            self._stopping = True
            self._changed.notify()
        for item in left:
            self._dropped(item)
        self._thread.join(patience)
        if not self._thread.is_alive():
            return True
        reason = f"given up, it had not come back after {patience:.2g} s more"
        in_hand = self._in_hand
        if in_hand is not None and in_hand[1] is not None:
            self._failed(in_hand[1], SegRosError(reason))
        self.refuse_jobs(reason)
        return False

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # whoever watches says it and starts anew
            self._ended_by = error

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._jobs or self._waiting)
                turn = None if self._jobs or self._stopping else self._turn()
            if turn is None:
                if not self._do_next():
                    return
                continue
            turn.take()
            try:
                if not self._do_next():
                    return
            finally:
                turn.give_back()

    def _do_next(self) -> bool:
        """Do a job or handle an item; return whether there may be more."""
        with self._changed:
            job = self._jobs.popleft() if self._jobs else None
            item = None
            if job is None:
                if self._stopping:
                    return False
                item = self._waiting.popleft()
        self._in_hand = (time.monotonic(), item)
        if job is not None:
            self._job_in_hand = job[1]
            _do(*job)
            self._job_in_hand = None
        elif item is not None:
            try:
                self._handle(item)
            except Exception as error:
                self._failed(item, error)
        self._in_hand = None
        return True


def _do(job: Callable[[], Any], result: Future[Any]) -> None:
    try:
        value = job()
    except Exception as error:  # whoever asked for it gets it
        with suppress(InvalidStateError):  # unless it has been told that it took too long
            result.set_exception(error)
    else:
        with suppress(InvalidStateError):
            result.set_result(value)
