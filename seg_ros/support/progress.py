"""Progress of an engine's build, on a terminal, in a log file or in a node's log."""

from __future__ import annotations

import math
import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TextIO


class BuildLog:
    """Words the progress, and says when it is worth a line: minutes of silence look hung.

    Args:
        every: seconds between lines about the same work.

    """

    def __init__(self, every: float = 10.0) -> None:
        self._every = every
        self._start = time.monotonic()
        self._last = (-math.inf, "")

    def line(self, what: str, share: float) -> str:
        """Return what is being done, for how long, and how much of it is done (NaN: not known)."""
        percent = "" if math.isnan(share) else f" {100 * share:.0f} %"
        return f"[{time.monotonic() - self._start:.0f} s] {what}{percent}"

    def due(self, what: str) -> bool:
        """Whether the work changed, or went on for long, since this was last true."""
        now = time.monotonic()
        if what == self._last[1] and now - self._last[0] < self._every:
            return False
        self._last = (now, what)
        return True


class EngineProgress(AbstractContextManager["EngineProgress"]):
    """Shows a build on a stream; call it with what is being done and the share that is done.

    On a terminal one line is rewritten; elsewhere lines are added, paced by :class:`BuildLog`.

    Args:
        stream: where to; standard error by default.

    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._log = BuildLog()
        self._width = 0

    def __call__(self, what: str, share: float) -> None:
        """Show it; ``share`` is 0 to 1, or NaN where it is not known."""
        line = self._log.line(what, share)
        if self._stream.isatty():
            self._stream.write(f"\r{line.ljust(self._width)}")
            self._width = len(line)
        elif self._log.due(what):
            self._stream.write(line + "\n")
        self._stream.flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Clear the line that was rewritten."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
