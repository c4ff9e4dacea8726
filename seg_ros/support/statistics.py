"""Counting frames and timing them, from several threads."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np


def percentile(values: Sequence[float], percent: float) -> float:
    """Percentile of a sequence by linear interpolation; NaN when it is empty."""
    return float(np.percentile(values, percent)) if len(values) else float("nan")


@dataclass(frozen=True)
class Snapshot:
    """The state of a :class:`FrameStatistics` at one moment."""

    counts: dict[str, int]
    latency_ms: tuple[float, ...]
    engine_ms: tuple[float, ...]
    last_stamp_ns: int | None
    last_error: str

    @property
    def in_hand(self) -> int:
        """Frames that were received and have no outcome yet: at most one in work, one waiting."""
        outcomes = sum(self.counts[name] for name in FrameStatistics.OUTCOMES)
        return self.counts["received"] - outcomes

    @property
    def overhead_ms(self) -> list[float]:
        """Latency without the engine's part, per frame."""
        pairs = zip(self.latency_ms, self.engine_ms, strict=True)
        return [latency - engine for latency, engine in pairs]


class FrameStatistics:
    """What became of the frames. Thread-safe.

    Every frame that arrives is counted as ``received`` and then as exactly one of the other
    outcomes: ``published``, ``dropped`` (a newer frame overtook it), ``rejected`` (it could not be
    decoded), ``failed`` (the engine or an output could not handle it) or ``unwanted`` (nobody
    listened). ``lost`` counts frames the publisher sent and the middleware did not deliver,
    ``camera_info_rejected`` calibrations that were no use, ``motion_rejected`` messages of
    odometry and IMU that were not used, ``messages_failed`` messages and timers whose callback
    raised what nobody expected, ``threads_restarted`` threads that ended by
    themselves, ``threads_stalled`` threads that did not come back in time,
    ``time_jumps`` steps back in time.
    What was not dropped goes on to the attention mosaic while someone looks, and is counted there
    as ``attention_published``, ``attention_dropped`` or ``attention_failed``.

    Args:
        window: how many of the latest frames the latencies are kept of.

    """

    OUTCOMES = ("published", "dropped", "rejected", "failed", "unwanted")
    OTHERS = (
        "camera_info_rejected",
        "motion_rejected",
        "messages_failed",
        "threads_restarted",
        "threads_stalled",
        "time_jumps",
        "attention_published",
        "attention_dropped",
        "attention_failed",
    )

    def __init__(self, window: int = 1000) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._latency_ms: deque[float] = deque(maxlen=window)
        self._engine_ms: deque[float] = deque(maxlen=window)
        self._last_stamp_ns: int | None = None
        self._last_error = ""

    def count(self, what: str, number: int = 1) -> None:
        """Add to a count, one of those named above."""
        with self._lock:
            self._counts[what] += number

    def error(self, outcome: str, message: str) -> None:
        """Count a frame that came to nothing and remember why."""
        with self._lock:
            self._counts[outcome] += 1
            self._last_error = message

    def published(self, stamp_ns: int, latency_ns: int, engine_ns: int) -> None:
        """Count a published frame, with the time from its receipt to its last output."""
        with self._lock:
            self._counts["published"] += 1
            self._latency_ms.append(latency_ns / 1e6)
            self._engine_ms.append(engine_ns / 1e6)
            self._last_stamp_ns = stamp_ns

    def time_jumped(self) -> None:
        """Count a step back in time; no frame is the last any more."""
        with self._lock:
            self._counts["time_jumps"] += 1
            self._last_stamp_ns = None

    def engine_changed(self) -> None:
        """Forget how long frames took; another network has other times."""
        with self._lock:
            self._latency_ms.clear()
            self._engine_ms.clear()

    def snapshot(self) -> Snapshot:
        """Return everything at one moment."""
        with self._lock:
            names = ("received", "lost", *self.OUTCOMES, *self.OTHERS)
            counts = {name: self._counts[name] for name in names}
            return Snapshot(
                counts,
                tuple(self._latency_ms),
                tuple(self._engine_ms),
                self._last_stamp_ns,
                self._last_error,
            )
