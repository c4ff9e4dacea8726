"""Ways to damage a file, from what storage does to it to what somebody means to do."""

from __future__ import annotations

import random
from collections.abc import Callable

EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
         0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # fmt: skip
"""Numbers at which lengths, counts and offsets go wrong."""


def _place(data: bytes, dice: random.Random) -> int:
    """Choose a place: the head, where the format speaks, as often as all the rest."""
    return dice.randrange(min(len(data), 256) if dice.random() < 0.5 else len(data))


def cut(data: bytes, dice: random.Random) -> bytes:
    return data[: _place(data, dice)]


def flip(data: bytes, dice: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(dice.choice((1, 1, 4, 64))):
        damaged[_place(data, dice)] ^= 1 << dice.randrange(8)
    return bytes(damaged)


def hole(data: bytes, dice: random.Random) -> bytes:
    """Zeros where a block was never written."""
    at, size = _place(data, dice), dice.choice((16, 512, 4096))
    return data[:at] + bytes(min(size, len(data) - at)) + data[at + size :]


def number(data: bytes, dice: random.Random) -> bytes:
    """Another number where the format has one, perhaps."""
    size = dice.choice((1, 2, 4, 8))
    at = min(_place(data, dice), max(len(data) - size, 0))
    value = (dice.choice(EDGES) % 2 ** (8 * size)).to_bytes(size, dice.choice(("little", "big")))
    return data[:at] + value + data[at + size :]


def twice(data: bytes, dice: random.Random) -> bytes:
    """Put a part of it there twice, or in another's place."""
    start, at = sorted((_place(data, dice), _place(data, dice)))
    part = data[start : start + dice.choice((8, 64, 4096))]
    return data[:at] + part + data[at + dice.choice((0, len(part))) :]


def gone(data: bytes, dice: random.Random) -> bytes:
    """Leave a part of it out and move up what follows."""
    at = _place(data, dice)
    return data[:at] + data[at + dice.choice((1, 4, 512, 4096)) :]


def noise(data: bytes, dice: random.Random) -> bytes:
    at = _place(data, dice)
    return data[:at] + dice.randbytes(dice.choice((4, 64, 1024)))


WAYS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    cut, flip, flip, hole, number, number, number, twice, gone, noise,
)  # fmt: skip


def damaged(data: bytes, dice: random.Random, once: bool = False) -> bytes:
    """Return the content damaged in one way, at times in two unless it is to be once."""
    for _ in range(1 if once else dice.choice((1, 1, 2))):
        data = dice.choice(WAYS)(data or b"\0", dice)
    return data
