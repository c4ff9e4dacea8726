"""When a frame is shown: at the pace of the stamps, but for steps that are no driving.

Two trips in one bag, a clock that was set on the way or a recorder that paused make steps of hours
or years. They are shown as cuts: what follows comes as soon as a frame usually does.
"""

from __future__ import annotations

from collections.abc import Iterable

_NS = 1_000_000_000

LONGEST_STEP_NS = 60 * _NS
"""A longer step between two frames is a cut."""

LONGEST_STEP_BACK_NS = _NS
"""A longer step back is a cut; a shorter one is that of frames which overtook each other."""

FIRST_STEP_NS = _NS // 10
"""How long a frame lasts where none before it says so."""


class Pace:
    """Turns stamps, given in order, into the times at which they are shown."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._usual = FIRST_STEP_NS
        self._origin = 0
        self.cut_ns: int | None = None
        """The step before the last stamp, nanoseconds, where it is a cut."""

    def shown_ns(self, stamp_ns: int) -> int:
        """Return the time of the next stamp, nanoseconds since the first.

        It is below that of the stamp before where two frames overtook each other.
        """
        self.cut_ns = None
        if self._last is None:
            self._origin = stamp_ns
        else:
            step = stamp_ns - self._last
            if not -LONGEST_STEP_BACK_NS <= step <= LONGEST_STEP_NS:
                self.cut_ns = step
                self._origin += step - self._usual
            elif step > 0:
                self._usual = step
        self._last = stamp_ns
        return stamp_ns - self._origin


def shown_times_ns(stamps_ns: Iterable[int]) -> list[int]:
    """Return when each stamp is shown, nanoseconds since the first."""
    pace = Pace()
    return [pace.shown_ns(stamp) for stamp in stamps_ns]


def cuts(stamps_ns: Iterable[int]) -> dict[int, int]:
    """Return the cuts: place of the stamp after it -> the step in nanoseconds."""
    pace, found = Pace(), {}
    for place, stamp in enumerate(stamps_ns):
        pace.shown_ns(stamp)
        if pace.cut_ns is not None:
            found[place] = pace.cut_ns
    return found


def say_step(step_ns: int) -> str:
    """Say how long a step is, and where it goes: ``1.5 hours``, ``3 days back``."""
    seconds = abs(step_ns) / _NS
    sizes = (("year", 31_557_600), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
    name, size = next((s for s in sizes if seconds >= s[1]), sizes[-1])
    text = f"{seconds / size:.1f}".removesuffix(".0")
    return f"{text} {name}{'' if text == '1' else 's'}{' back' if step_ns < 0 else ''}"


def cut_notes(index: Iterable[int], stamps_ns: Iterable[int]) -> list[str]:
    """Say what cuts there are, in at most a line for each of the first three.

    Args:
        index: of the frames, in the drive.
        stamps_ns: theirs.

    """
    places, stamps = list(index), list(stamps_ns)
    found = cuts(stamps)
    notes = [
        f"stamps step by {say_step(step)} before frame {places[at]}: shown as a cut"
        for at, step in list(found.items())[:3]
    ]
    if len(found) > len(notes):
        notes[-1] += f", as are {len(found) - len(notes)} more such steps"
    return notes
