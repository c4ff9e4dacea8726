"""Taking turns, in the order of coming."""

from __future__ import annotations

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
