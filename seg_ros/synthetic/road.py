"""What a road is like across: where it is paved, what is painted on it, what lies beside it."""

from __future__ import annotations

import math
from typing import NamedTuple

from seg_ros.synthetic.basics import Triple, compiled
from seg_ros.synthetic.street import (
    BLOCK,
    BRIDGE_END,
    BRIDGE_START,
    FACADE_OFFSET,
    KERB_HEIGHT,
    ROAD_HALF_WIDTH,
)

# What can lie beside an open road.
GRASS, DRY_GRASS, SAND, GRAVEL, EARTH, SNOW, CROP, PLOUGHED = range(8)

# Lines between the lanes.
DASHED, SOLID, DOUBLE, NO_LINE = range(4)

_TAPER, _RAMP_LANE = 60.0, 150.0
"""A ramp's lane widens over the first length [m] and leaves the road after the second."""
_RAMP_SLOPE = 0.4
"""Steepest direction of a ramp relative to the road."""
GORE = 2.5
"""Width [m] up to which the ground between road and ramp is paved."""


class Road(NamedTuple):
    """A road: the street of `street.py`, or an open road, whose ground is all at z = 0.

    Lengths are in metres, lateral positions left of the path.
    """

    open: bool
    half_width: float  # to the kerb face
    kerb: float  # height of the ground beyond
    facade: float  # distance of the houses that take light from the ground
    block: float  # the plan of the street repeats after so much
    roof_start: float  # a bridge or a tunnel, along a block
    roof_end: float
    roof_share: float  # of the sky's light that it takes

    # Open roads: where they are paved.
    left: float = 0.0
    right: float = 0.0
    ragged: float = 0.0  # how far their edges stray
    other_near: float = 0.0  # the other carriageway, if they differ
    other_far: float = 0.0
    ramp_start: float = math.inf  # s where a lane to the right begins that leaves the road
    ramp_width: float = 0.0
    ramp_bend: float = 200.0  # radius
    phase: float = 0.0  # what is different from road to road: edges, patches, fields

    # Their paint.
    line: float = 0.0  # the leftmost line
    lanes: int = 2
    lane_width: float = 3.5
    dash: float = 3.0
    period: float = 9.0
    centre: int = DASHED
    edges: bool = True  # edge lines
    yellow: bool = False  # leftmost and centre lines

    # Their look.
    surface: Triple = (0.106, 0.103, 0.100)
    worn: float = 0.5  # 0 freshly made .. 1 patched and cracked
    verge: int = GRASS  # kind of ground beside the road
    verge_width: float = 2.0
    beyond: int = GRASS  # behind the verge
    field_from: float = 30.0  # distance from the path
    field: int = CROP
    snow: float = 0.0  # 0 none .. 1 all of the road but the wheels' tracks
    wet: float = 0.0  # 0 dry .. 1 all of it mirrors


STREET = Road(
    open=False,
    half_width=ROAD_HALF_WIDTH,
    kerb=KERB_HEIGHT,
    facade=FACADE_OFFSET,
    block=BLOCK,
    roof_start=BRIDGE_START,
    roof_end=BRIDGE_END,
    roof_share=0.68,
)


@compiled
def ramp_at(road: Road, s: float) -> tuple[float, float]:
    """Width [m] of the ramp's lane at s, and how far it has left the road."""
    run = s - road.ramp_start
    if run <= 0.0:
        return 0.0, 0.0
    width = road.ramp_width * min(run / _TAPER, 1.0)
    run = max(run - _RAMP_LANE, 0.0)
    bent = min(run, _RAMP_SLOPE * road.ramp_bend)
    return width, bent * bent / (2.0 * road.ramp_bend) + _RAMP_SLOPE * (run - bent)


@compiled
def stray(road: Road, s: float, side: float) -> float:
    """How far [m] the road's edge strays outwards at s, for its left (1) or right (-1) side."""
    if road.roof_start < s and s < road.roof_end:
        return 0.5  # up to the tunnel's walls, and under them
    a = road.phase + side
    waves = math.sin(0.61 * s + a) + 0.6 * math.sin(2.3 * s + 3.0 * a)
    return road.ragged * (waves + 0.5 * math.sin(7.9 * s + 5.0 * a))


@compiled
def is_paved(road: Road, s: float, d: float) -> bool:
    """Whether the ground of an open road at path coordinates s, d is road, not terrain."""
    if d > 0.0 and road.other_near < d and d < road.other_far:
        return True
    if d > road.left + stray(road, s, 1.0):
        return False
    width, gap = ramp_at(road, s)
    if gap > 0.0 and d < road.right - 0.6:
        inner = road.right if gap < GORE else road.right - gap
        return bool(d > road.right - gap - width and d < inner)
    return bool(d > road.right - width - stray(road, s, -1.0))
