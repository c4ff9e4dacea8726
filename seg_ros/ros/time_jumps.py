"""Time that goes back: a bag that loops, a simulator that is reset, or a clock that is set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration

_LARGEST_DISORDER = 1.0
"""Seconds that frames may come out of order by; a larger step back is another run."""


class TimeJumps:
    """Says when time went back: by ``/clock`` with ``use_sim_time``, else by the frames' stamps.

    Args:
        clock: of the node.
        on_jump: called with what happened, on the executor's thread or on that of :meth:`frame`.

    """

    def __init__(self, clock: Any, on_jump: Callable[[str], None]) -> None:
        self._clock = clock
        self._on_jump = on_jump
        self._last_stamp: int | None = None
        threshold = JumpThreshold(
            min_forward=None, min_backward=Duration(seconds=-_LARGEST_DISORDER)
        )
        self._handle = clock.create_jump_callback(threshold, post_callback=self._on_clock)

    def frame(self, stamp_ns: int) -> None:
        """Take note of the stamp of a frame that is about to be handled."""
        last, self._last_stamp = self._last_stamp, stamp_ns
        if last is None or self._clock.ros_time_is_active:
            return
        seconds = (last - stamp_ns) / 1e9
        if seconds > _LARGEST_DISORDER:
            self._on_jump(f"the stamps of the images jumped back by {seconds:.3f} s")

    def close(self) -> None:
        """Stop listening to the clock."""
        self._handle.unregister()

    def _on_clock(self, jump: Any) -> None:
        self._on_jump(f"the clock jumped back by {-jump.delta.nanoseconds / 1e9:.3f} s")
