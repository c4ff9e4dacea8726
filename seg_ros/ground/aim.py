"""Where a camera looks, against the direction the vehicle travels in: from many pairs of frames.

Each pair gives a direction (:mod:`seg_ros.ground.travel`); it scatters with what is seen and with
the springs of the vehicle, and neighbours in time scatter together. So the estimate is a median
weighted by what each pair knows, and its standard error is that of medians over blocks of time
drawn anew (moving blocks bootstrap; Künsch, "The jackknife and the bootstrap for general stationary
observations", Annals of Statistics 1989).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_ros.errors import SegRosError
from seg_ros.ground.travel import PairMotion, Verdict

Floats = NDArray[np.float64]

LEAST_PAIRS = 12
"""Pairs with a direction below which there is none of the drive."""
LEAST_CHANGE = math.radians(0.5)
"""A smaller change of direction is never a moved camera."""
SIGNIFICANT = 3.0
"""Standard errors that a change has at least."""

_BLOCK_NS = 3_000_000_000
"""Within such a time the scatter of pairs is taken to be one."""
_DRAWS = 200
_FLOOR = math.radians(0.04)
"""What no number of pairs averages away: the corners' own bias."""
_STRAIGHT = math.radians(3.0)
"""Turning a second up to which a pair is straight: in a bend the camera's place in the vehicle
turns its direction."""
_WIDEST = math.radians(0.6)
"""Standard error beyond which the directions are no estimate."""

_FILM = "film a minute of driving straight on at 20 km/h or more, by day, from one fixed camera"


@dataclass(frozen=True, eq=False)
class Pair:
    """Two frames of a drive, and how the camera moved between them."""

    index: int
    """Of the first frame."""
    start_ns: int
    stop_ns: int
    """Stamps of the two."""
    motion: PairMotion

    @property
    def stamp_ns(self) -> int:
        """Half way."""
        return (self.start_ns + self.stop_ns) // 2


@dataclass(frozen=True)
class Aim:
    """Direction of travel in the optical frame, as the camera's angles; radians."""

    pitch: float
    """Positive looks down (REP 103), for a camera that does not roll."""
    yaw: float
    """Positive looks left."""
    pitch_error: float
    """Standard errors."""
    yaw_error: float
    pairs: int

    @property
    def direction(self) -> Floats:
        """Unit vector (3,) of the direction of travel in the optical frame."""
        cos = math.cos(self.pitch)
        return np.array([math.sin(self.yaw) * cos, -math.sin(self.pitch), math.cos(self.yaw) * cos])

    def differs(self, other: Aim) -> bool:
        """Whether the other is of a camera that was moved, and not of this one's scatter."""
        pitch, yaw = abs(self.pitch - other.pitch), abs(self.yaw - other.yaw)
        return pitch > _least(self.pitch_error, other.pitch_error) or yaw > _least(
            self.yaw_error, other.yaw_error
        )

    def __str__(self) -> str:
        return (
            f"pitch {math.degrees(self.pitch):.2f} ± {math.degrees(self.pitch_error):.2f}, "
            f"yaw {math.degrees(self.yaw):.2f} ± {math.degrees(self.yaw_error):.2f} degrees"
        )


def _least(a: float, b: float) -> float:
    return max(LEAST_CHANGE, SIGNIFICANT * math.hypot(a, b))


def angles(direction: Floats) -> tuple[float, float]:
    """Pitch and yaw, radians, of a camera that sees the direction of travel there, (3,)."""
    x, y, z = direction.tolist()
    return math.atan2(-y, math.hypot(x, z)), math.atan2(x, z)


class Directions:
    """The directions of those pairs that have one, in the order of time; N of them."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        moved = [p for p in pairs if p.motion.verdict is Verdict.MOVED]
        straight = [p for p in moved if _turning(p) < _STRAIGHT]
        if len(straight) >= LEAST_PAIRS:
            moved = straight
        self.pairs = moved
        self.stamps = np.array([p.stamp_ns for p in moved], np.int64)
        found = [angles(p.motion.direction) for p in moved if p.motion.direction is not None]
        self.angles = np.array(found, np.float64).reshape(-1, 2)
        """(N, 2) pitch and yaw in radians."""
        errors = np.array([p.motion.error for p in moved], np.float64)
        self.weights = 1.0 / (errors**2 + math.radians(0.1) ** 2)

    def __len__(self) -> int:
        return len(self.pairs)

    def aim(self, first: int = 0, last: int | None = None) -> Aim:
        """Return the estimate of some of them, at least one."""
        part = slice(first, last)
        values, weights = self.angles[part], self.weights[part]
        middle = _medians(values, weights)
        errors = _errors(values, weights, self.stamps[part])
        (pitch, yaw), (pitch_error, yaw_error) = middle.tolist(), errors.tolist()
        return Aim(pitch, yaw, pitch_error, yaw_error, len(values))

    def moved_at(self) -> tuple[int, Aim, Aim] | None:
        """Find where the camera was moved: the first pair after it, the aims before and after."""
        count = len(self)
        best, place = 0.0, 0
        for k in range(LEAST_PAIRS, count - LEAST_PAIRS + 1):
            step = np.median(self.angles[k:], axis=0) - np.median(self.angles[:k], axis=0)
            # A change that splits evenly is the surest.
            score = float(np.abs(step).max()) * math.sqrt(k * (count - k)) / count
            if score > best:
                best, place = score, k
        if not place:
            return None
        before, after = self.aim(0, place), self.aim(place)
        return (place, before, after) if before.differs(after) else None


def _turning(pair: Pair) -> float:
    """Radians a second."""
    rotation = pair.motion.rotation
    seconds = max((pair.stop_ns - pair.start_ns) / 1e9, 1e-3)
    return 0.0 if rotation is None else float(np.linalg.norm(rotation)) / seconds


def _medians(values: Floats, weights: Floats) -> Floats:
    """Weighted medians of the columns of (N, 2)."""
    order = np.argsort(values, axis=0)
    total = np.cumsum(weights[order], axis=0)
    place = (total < total[-1] / 2).sum(axis=0)
    chosen = np.take_along_axis(order, place[None], 0)
    return np.asarray(np.take_along_axis(values, chosen, 0)[0])


def _errors(values: Floats, weights: Floats, stamps: NDArray[np.int64]) -> Floats:
    """Return the standard errors of :func:`_medians`, (2,)."""
    blocks = (stamps - stamps[0]) // _BLOCK_NS
    starts = np.flatnonzero(np.diff(blocks, prepend=-1))
    members = np.split(np.arange(len(values)), starts[1:])
    if len(members) < 4:  # too short for blocks: each pair for itself, generously
        spread = np.abs(values - np.median(values, axis=0))
        scatter = 1.4826 * np.median(spread, axis=0)
        return np.asarray(np.hypot(1.2533 * scatter * 2.0 / math.sqrt(len(values)), _FLOOR))
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(_DRAWS):
        chosen = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        drawn.append(_medians(values[chosen], weights[chosen]))
    return np.asarray(np.hypot(np.std(drawn, axis=0), _FLOOR))


def find_aim(pieces: Sequence[Sequence[Pair]]) -> tuple[Aim, list[Directions]]:
    """Find where the camera looks from the pieces of a drive between its cuts.

    Returns:
        The estimate, and the directions of the pieces that have enough of them.

    Raises:
        SegRosError: the drive does not tell, or the camera was moved; with the reason and, where
            that helps, what to film instead.

    """
    directions = [d for d in map(Directions, pieces) if len(d) >= LEAST_PAIRS]
    every = [pair for piece in pieces for pair in piece]
    if not directions:
        raise SegRosError(_why_not(every))
    start = every[0].start_ns
    for piece in directions:
        moved = piece.moved_at()
        if moved:
            place, before, after = moved
            raise SegRosError(
                f"the camera was moved {_clock(piece.stamps[place] - start)} into the drive: "
                f"{before} before, {after} after; give the parts as drives of their own"
            )
    aims = [piece.aim() for piece in directions]
    for aim, piece in zip(aims[1:], directions[1:], strict=True):
        if aims[0].differs(aim):
            raise SegRosError(
                f"the camera sits differently after the cut {_clock(piece.stamps[0] - start)} into "
                f"the drive: {aims[0]} before, {aim} after; give the parts as drives of their own"
            )
    together = Directions([pair for piece in directions for pair in piece.pairs])
    aim = together.aim()
    if max(aim.pitch_error, aim.yaw_error) > _WIDEST:
        raise SegRosError(
            f"the directions of {aim.pairs} pairs of frames scatter too widely ({aim}); {_FILM}"
        )
    return aim, directions


def _why_not(pairs: Sequence[Pair]) -> str:
    """Say why there is no direction, and what to film instead."""
    count = Counter(pair.motion.verdict for pair in pairs)
    moved, total = count[Verdict.MOVED], len(pairs)
    if total < LEAST_PAIRS:
        return f"{total} pairs of frames are too few, {LEAST_PAIRS} are needed; {_FILM}"
    del count[Verdict.MOVED]
    reasons = {
        Verdict.STOOD: "the camera stood still",
        Verdict.TURNED: "the camera turned on the spot or hardly travelled",
        Verdict.BLIND: "there is too little to follow in the picture, as at night or in fog",
        Verdict.LOST: "the frames do not hang together, as in a video with cuts or with long gaps",
    }
    verdict, most = count.most_common(1)[0]
    return f"{reasons[verdict]} in {most} of {total} pairs of frames, {moved} show travel; {_FILM}"


def _clock(nanoseconds: int) -> str:
    """Say a time as minutes and seconds."""
    seconds = round(int(nanoseconds) / 1e9)
    return f"{seconds // 60}:{seconds % 60:02d}"
