"""What all parts of the renderer share: array types, class and material ids, and compilation."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Triple = tuple[float, float, float]

# Classes: ids of the `camvid` label set.
SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE = 0, 1, 2, 3, 4, 5
SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = 6, 7, 8, 9, 10
# Two more of the `streets` label set, which begins like `camvid`.
TERRAIN, EGO = 11, 12

# Materials of faces.
PLAIN, FACADE, WALL, ROOF, LEAVES, GLASS, BOARDS, RAILING = range(8)
WHEEL, SIGN_FACE, PAINT, UNDERSIDE, LAMP, MASONRY = range(8, 14)
HEADLAMP, TUBE, REFLECTOR, TURF, SOIL, METAL, BOARD = range(14, 21)

_F = TypeVar("_F", bound=Callable[..., Any])


def _checksum() -> str:
    """Checksum of this package's source files."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return f"{zlib.crc32(b''.join(file.read_bytes() for file in files)):08x}"


_CHECKSUM = _checksum()


def kernel(function: _F) -> _F:
    """Compile a function that Python calls, and keep it for the next run.

    Like all compiled code here it keeps to IEEE arithmetic (no fastmath): frames do not depend on
    how loops are vectorised.
    """
    # numba keeps a function under its name and compiles it anew when its file changes, but not when
    # the file of a function it calls does: a name that changes with any file here takes care of it.
    function.__qualname__ += f"_{_CHECKSUM}"
    return cast(_F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def compiled(function: _F) -> _F:
    """Compile a function that only compiled code calls: it is kept as part of its callers."""
    return cast(_F, numba.njit(error_model="numpy")(function))


def inlined(function: _F) -> _F:
    """Like compiled, but copied into its callers: calls with arrays count references."""
    return cast(_F, numba.njit(inline="always", error_model="numpy")(function))


def check_integer(name: str, value: Any, lowest: int) -> None:
    """Raise ValueError unless `value` is an integer of at least `lowest`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < lowest:
        raise ValueError(f"{name} must be an integer of at least {lowest}, got {value!r}")


def linear(*bgr: float) -> Triple:
    """8-bit display values -> linear reflectance."""
    b, g, r = ((value / 255.0) ** 2.2 for value in bgr)
    return b, g, r


def triple(values: Sequence[float] | Floats) -> Triple:
    """Three values as plain floats."""
    a, b, c = (float(value) for value in values)
    return a, b, c


@compiled
def wrap(value: float, period: float) -> float:
    """Return value modulo period, several times faster than %."""
    return value - period * math.floor(value / period)


@compiled
def hashed(a: int, b: int, c: int) -> float:
    """Three integers -> a repeatable number in [0, 1)."""
    h = (a * 73856093) ^ (b * 19349663) ^ (c * 83492791)
    h = ((h ^ (h >> 13)) * 1274126177) & 0x7FFFFFFF
    h = ((h ^ (h >> 15)) * 668265263) & 0x7FFFFFFF
    return (h ^ (h >> 16)) / 2147483648.0
