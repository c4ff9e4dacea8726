"""How far the error of a mounting moves what a camera sees over the ground.

A cell is free only if it is free for every pitch, roll and height within two standard errors. Rays
are not walked again for each of those. A ground point at range r and azimuth a is seen under the
believed mounting at the depression atan(h / r); under another it is the pixel of a direction that
differs by a small rotation, and by the height. So each cell asks for the samples in all directions
in which it could lie:

* Height: the depression is that of (1 - s) h to (1 + s) h over the cell's ranges, which is exact;
  the azimuth stays.
* Pitch p about the axis level and square to the camera's heading, roll q about the camera's axis,
  which is b below the horizon: at the azimuth a from the heading and the depression d the
  depression moves by at most p |cos a| + q |sin a| and the azimuth by at most
  tan d (p |sin a| + q |cos a|) + q |sin b|: the derivatives of a direction that is turned. What
  they leave out is of second order: less than (p + q)^2 (1 + tan d) / 2 and
  (p + q)^2 (1 + tan^2 d), which is added.

An obstacle hides what is behind it on its ray, and it is the ray of the other mounting that counts.
The two cross at the cell and are furthest apart at the nearest depression seen, so the azimuth is
widened by what it moves there. All this is conservative, and takes no time but in the look-ups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from seg_ros.ground.mounting import Mounting

_ERRORS = 2.0
"""Standard errors within which a mounting is believed."""

_LOWEST = 0.1
"""Of its height, to which a camera is believed to come down at most."""

_TILT = 0.07
"""Sine of how far the axes may be turned by the vehicle while the look-ups stay."""


@dataclass(frozen=True)
class Doubt:
    """By how much a mounting may be wrong, and what is needed to say what that does."""

    pitch: float
    """Radians, half of the range that is believed."""
    roll: float
    height: float
    """Share of the height."""
    dip: float
    """Sine of the camera's pitch: how far roll turns the azimuth."""
    yaw: float
    """Of the camera in ``base_link``, radians."""

    @classmethod
    def of(cls, mounting: Mounting) -> Doubt:
        """Return the doubt that a mounting's standard errors leave."""
        errors = mounting.errors
        return cls(
            _ERRORS * errors.pitch,
            _ERRORS * errors.roll,
            min(_ERRORS * errors.z / mounting.z, 1.0 - _LOWEST),
            abs(math.sin(mounting.pitch)),
            mounting.yaw,
        )

    @property
    def any(self) -> bool:
        """Whether there is any."""
        return bool(self.pitch or self.roll or self.height)

    def values(self, heading: float) -> tuple[float, float, float, float, float]:
        """Return what :func:`shifts` takes: azimuths count from ``heading``."""
        return (self.pitch, self.roll, self.height, self.dip, self.yaw - heading)

    def deepest(self, depression: float) -> float:
        """Return the most that depressions up to one move, wherever they are, radians."""
        total = self.pitch + self.roll
        return total + total**2 * (1 + math.tan(depression)) / 2

    def near_edges(
        self,
        height: float,
        depressions: NDArray[np.float64],
        undersides: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Ranges at which things seen at depressions begin, so that none begins nearer.

        A thing whose lower edge is at u, seen at the depression d, is at h (1 - u / h) / tan d.
        Where the depression is wrong, that moves by up to 1 / (1 - u / h) times as much as the
        ground seen there, which is all that the cells are widened by.

        Args:
            height: h of the camera in metres.
            depressions: (N,) radians, falling.
            undersides: (M,) u / h.

        Returns:
            (M, N) ranges in metres.

        """
        share = 1 - undersides[:, None]
        ranges = height / np.tan(depressions) * share
        move = self.deepest(float(depressions.max()))
        if not move:
            return np.asarray(ranges)
        seen = np.arctan(np.tan(np.minimum(depressions + move, 1.5)) / share) - move
        return np.asarray(np.minimum(ranges, height / np.tan(seen)))

    def distances(
        self, height: float, ranges: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where things straight ahead may be that are seen at ranges.

        Args:
            height: of the camera in metres.
            ranges: (N,) metres, as the believed mounting has them.

        Returns:
            The nearest and the farthest they may be, (N,) metres; inf: they may be on the horizon.

        """
        depression = np.arctan2(height, ranges)
        nearest = height * (1 - self.height) / np.tan(np.minimum(depression + self.pitch, 1.57))
        lowest = np.maximum(depression - self.pitch, 1e-9)
        farthest = height * (1 + self.height) / np.tan(lowest)
        return np.asarray(nearest), np.where(depression > self.pitch, farthest, np.inf)

    def lowest(self, mounting: Mounting) -> list[Mounting]:
        """Return the mountings at the corners of pitch and roll, as low as is believed."""
        z = mounting.z * (1 - self.height)
        pitches = {mounting.pitch - self.pitch, mounting.pitch + self.pitch}
        rolls = {mounting.roll - self.roll, mounting.roll + self.roll}
        return [replace(mounting, z=z, pitch=p, roll=r) for p in pitches for r in rolls]


def useful_range(mounting: Mounting, share: float = 0.1) -> float:
    """Range up to which a thing straight ahead is where it seems, but for a share of its distance.

    Args:
        mounting: with its standard errors.
        share: of the distance, on either side.

    Returns:
        Metres; inf without errors, 0 where the height alone is not so well known.

    """
    doubt = Doubt.of(mounting)
    ranges = np.arange(1.0, 200.1, 0.1)
    nearest, farthest = doubt.distances(mounting.z, ranges)
    wrong = np.maximum(ranges - nearest, farthest - ranges) > share * ranges
    if not wrong.any():
        return math.inf
    return float(ranges[wrong.argmax()]) if not wrong[0] else 0.0


@njit(nogil=True, cache=True)
def shifts(doubt, middle, half, depression, steepest):  # type: ignore[no-untyped-def]
    """How far a piece of ground may be from where it is believed to be.

    Args:
        doubt: of :meth:`Doubt.values`.
        middle: azimuth of its middle, radians.
        half: half of its width in azimuth.
        depression: the steepest of its depressions.
        steepest: the steepest depression that is seen.

    Returns:
        Radians in depression and in azimuth.

    """
    pitch, roll, _, dip, yaw = doubt
    total = pitch + roll
    slack = half + _TILT
    ahead = min(abs(math.cos(middle - yaw)) + slack, 1.0)
    aside = min(abs(math.sin(middle - yaw)) + slack, 1.0)
    slope = math.tan(min(depression, steepest))
    down = pitch * ahead + roll * aside + total * total * (1.0 + slope) / 2.0
    slope = math.tan(steepest)
    turn = slope * (pitch * aside + roll * ahead) + (dip + _TILT) * total
    return down, turn + total * total * (1.0 + slope * slope)
