"""What each frame of a drive comes to in numbers: shares, change, confidence, distance ahead.

One line of JSON per frame, so that a run can stop anywhere and go on: what was judged so far is a
file, and all a judge remembers is the last mask.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from seg_ros.errors import SegRosError
from seg_ros.ground.grid_spec import FirstContacts
from seg_ros.labels import LabelSet
from seg_ros.segment.output import Processed
from seg_ros.support.json_text import parse_json

STEP = 4
"""Shares and changes are counted on every 4th pixel of every 4th row: right to 0.002 or so."""

AHEAD = math.radians(3.0)
"""Half the angle that counts as ahead: the width of a car at 17 m."""


@dataclass(frozen=True)
class FrameFigures:
    """One frame in numbers. Shares are of the frame's pixels, 0 to 1."""

    index: int
    """Place in the drive, from 0; frames that could not be decoded have one too."""
    stamp_ns: int
    """Header stamp, nanoseconds."""
    latency_ms: float
    """From the start of its decoding to the last of its outputs, milliseconds."""
    engine_ms: float
    """The network's part of that."""
    class_shares: tuple[float, ...]
    """Per class of the label set; what is missing to 1 has no class."""
    driveable_share: float
    """Of all driveable classes together."""
    confidence: float | None
    """Mean probability of the winning class, 0 to 1; None where it was not asked for."""
    contact_ahead_m: float | None
    """To the nearest thing ahead, metres from ``base_link``; inf: free, None: not known."""
    changed_share: float | None
    """Of another class than in the frame before; None for the first, or after another size."""
    driveable_lost: float | None
    """Driveable in the frame before and not any more; None as above."""

    def to_line(self) -> str:
        """Return one line of JSON, without its end.

        JSON has no infinity: ``contact_ahead_m`` is a distance or null, and ``ahead_free`` says
        which null is meant: true for free as far as is seen, null for not known.
        """
        values = {field.name: _rounded(getattr(self, field.name)) for field in fields(self)}
        values["contact_ahead_m"] = finite(values["contact_ahead_m"])
        return json.dumps({**values, "ahead_free": self.ahead_free}, allow_nan=False)

    @property
    def ahead_free(self) -> bool | None:
        """Whether all ahead is free as far as is seen; None where that is not known."""
        return None if self.contact_ahead_m is None else math.isinf(self.contact_ahead_m)

    @classmethod
    def from_line(cls, line: str) -> FrameFigures:
        """Read what :meth:`to_line` wrote; shares and times come back to six decimals.

        Raises:
            SegRosError: it is not such a line.

        """
        try:
            values: dict[str, Any] = parse_json(line)
            shares = tuple(float(share) for share in values.pop("class_shares"))
            whole = {name: int(values.pop(name)) for name in ("index", "stamp_ns")}
            if values.pop("ahead_free"):
                values["contact_ahead_m"] = math.inf
            rest = {name: None if v is None else float(v) for name, v in values.items()}
            return cls(class_shares=shares, **whole, **rest)  # type: ignore[arg-type]
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise SegRosError(f"{line[:60]!r} is not the figures of a frame") from error


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_rounded(v) for v in value]
    if isinstance(value, float):
        return round(value, 6)
    return value


def finite(distance: float | None) -> float | None:
    """Return a distance that JSON can say: none where it is infinite or not known."""
    return None if distance is None or math.isinf(distance) else distance


def read_figures(path: Path) -> Iterator[FrameFigures]:
    """Yield the frames of a file of lines; a last line without an end was cut off and is left out.

    Raises:
        SegRosError: the file cannot be read or has a line that is no frame; the message names it.

    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith("\n"):
                    return
                try:
                    yield FrameFigures.from_line(line)
                except SegRosError as error:
                    raise SegRosError(f"{path}, line {number}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SegRosError(f"{path} cannot be read: {error}") from error


class FrameJudge:
    """Judges frames one after the other; each is compared with the one before.

    Args:
        labels: what the class ids mean.

    """

    def __init__(self, labels: LabelSet) -> None:
        self._class_count = len(labels)
        self._driveable = np.zeros(256, np.bool_)
        self._driveable[list(labels.driveable_ids)] = True
        self._before: NDArray[np.uint8] = np.empty((0, 0), np.uint8)

    def resume(self, class_mask: NDArray[np.uint8]) -> None:
        """Go on after a frame that was judged earlier, by its (H, W) uint8 mask."""
        self._before = _sample(class_mask)

    def judge(
        self, index: int, stamp_ns: int, done: Processed, latency_ms: float = 0.0
    ) -> FrameFigures:
        """Judge the next frame.

        Args:
            index: its place in the drive.
            stamp_ns: its stamp.
            done: what came of it, with its mask; figures whose output is missing are None.
            latency_ms: how long it took.

        Raises:
            ValueError: there is no mask.

        """
        if done.mask is None:
            raise ValueError("a frame is judged by its mask, and this one has none")
        mask = _sample(done.mask)
        comparable = mask.shape == self._before.shape
        before = self._before if comparable else mask
        counts, changed, lost = _count(mask.reshape(-1), before.reshape(-1), self._driveable)
        self._before = mask
        pixels = mask.size
        return FrameFigures(
            index=index,
            stamp_ns=stamp_ns,
            latency_ms=latency_ms,
            engine_ms=done.engine_ns / 1e6,
            class_shares=tuple((counts[: self._class_count] / pixels).tolist()),
            driveable_share=float(counts[self._driveable].sum() / pixels),
            confidence=done.mean_confidence,
            contact_ahead_m=None if done.contacts is None else contact_ahead(done.contacts),
            changed_share=changed / pixels if comparable else None,
            driveable_lost=lost / pixels if comparable else None,
        )


def _sample(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every 4th pixel of every 4th row, from the middle of the first four on."""
    top, left = (min(STEP // 2, side // 2) for side in mask.shape)
    return np.ascontiguousarray(mask[top::STEP, left::STEP])


@njit(nogil=True, cache=True)
def _count(mask, before, driveable):  # type: ignore[no-untyped-def]
    """Pixels per class id, pixels that changed, and driveable pixels that are no longer."""
    counts = np.zeros(256, np.int64)
    changed = lost = 0
    for i in range(len(mask)):
        counts[mask[i]] += 1
        if mask[i] != before[i]:
            changed += 1
            lost += driveable[before[i]] and not driveable[mask[i]]
    return counts, changed, lost


def contact_ahead(contacts: FirstContacts) -> float | None:
    """Distance to the nearest thing within :data:`AHEAD` of straight ahead.

    Returns:
        Metres from ``base_link``; inf where every direction ahead is free; None where nothing was
        met and a direction is not known, or none is seen.

    """
    azimuth = contacts.angle_min + contacts.angle_increment * np.arange(len(contacts.ranges))
    ranges = contacts.ranges[np.abs(azimuth) <= AHEAD]
    if len(ranges) == 0:
        return None
    nearest = float(np.nanmin(ranges, initial=np.inf))
    return None if math.isinf(nearest) and np.isnan(ranges).any() else nearest
