"""Taking turns, in the order of coming."""

from __future__ import annotations

import time
from collections import deque
from threading import Condition, get_ident


class Turn:
    """A lock that whoever has waited longest gets next.

    Its owner may enter it again; it is free when it is first left, or given back.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._waiting: deque[int] = deque()
        self._owner: int | None = None
        self._since = 0.0

    @property
    def held_s(self) -> float:
        """Seconds that somebody has had it for, 0 while it is free."""
        with self._changed:
            return 0.0 if self._owner is None else time.monotonic() - self._since

    def take(self) -> None:
        """Wait for the turn, unless this thread has it."""
        me = get_ident()
        with self._changed:
            if self._owner == me:
                return
            self._waiting.append(me)
            self._changed.wait_for(lambda: self._owner is None and self._waiting[0] == me)
            self._waiting.popleft()
            self._owner = me
            self._since = time.monotonic()

    def give_back(self) -> None:
        """Let the next one have it, if this thread has it."""
        with self._changed:
            if self._owner == get_ident():
                self._owner = None
                self._changed.notify_all()

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *_: object) -> None:
        self.give_back()
