"""What was tried and what failed, and the inputs that did it."""

from __future__ import annotations

import hashlib
import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path


class Tally:
    """Counts per kind, and keeps what failed in a folder outside the tree.

    Args:
        seed: of everything that is drawn.
        most: how often each kind is tried at most, 0 for as often as there is time.
        keep: where the inputs that failed go; made when there is one.
        steady: leave out what depends on the moment at which it happens.

    """

    def __init__(self, seed: int, most: int, keep: Path, steady: bool = False) -> None:
        self.seed = seed
        self.steady = steady
        self.most = most
        self.tried: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.notes: list[str] = []
        self._keep = keep

    def random(self, kind: str) -> random.Random:
        """Return the dice of a kind: what it draws does not depend on what else is tried."""
        return random.Random(f"{self.seed} {kind}")

    def open(self, kind: str) -> bool:
        """Say whether the kind may be tried once more."""
        return not self.most or self.tried[kind] < self.most

    def add(self, kind: str, problem: str = "", what: bytes | Path = b"") -> None:
        """Count one that was tried; with a problem it failed, and what did it is kept."""
        self.tried[kind] += 1
        if not problem:
            return
        self.failed[kind] += 1
        number = self.failed[kind]
        print(f"FAILED {kind}: {_line(problem)}", file=sys.stderr, flush=True)
        there = what if isinstance(what, bytes) else what.exists()
        if not there or number > 20:  # of one fault a few are enough
            return
        name = "".join(c if c.isalnum() else "_" for c in kind)
        digest = hashlib.sha256(f"{self.seed} {number} {problem}".encode()).hexdigest()[:6]
        target = self._keep / f"{name}-{number}-{digest}"
        self._keep.mkdir(parents=True, exist_ok=True)
        if isinstance(what, bytes):
            target.write_bytes(what)
        elif what.is_dir():
            shutil.copytree(what, target, symlinks=True)
        else:
            target.mkdir()
            shutil.copy2(what, target / what.name)
        print(f"       kept in {target}", file=sys.stderr, flush=True)

    def note(self, line: str) -> None:
        """Remember a figure for the end."""
        self.notes.append(line)

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the table of all kinds."""
        rows = [("kind", "tried", "failed")]
        rows += [(k, str(n), str(self.failed[k])) for k, n in sorted(self.tried.items())]
        return [*rows, ("all", str(self.tried.total()), str(self.failed.total()))]


class Clock:
    """How much of the time is left for a part.

    Args:
        seconds: of the part.

    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return seconds, none when it is over."""
        return max(self._end - time.monotonic(), 0.0)


def _line(text: str, most: int = 300) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[:most] + "..."
