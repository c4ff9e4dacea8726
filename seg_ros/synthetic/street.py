"""The street: its dimensions, the path it follows, and the surface of its ground.

A path is an array with a row per segment: x, y, cosine and sine of the heading, curvature, length,
and s at the start. Path coordinates are s along it and d to its left [m]. The road is the plane
z = 0, the pavement the plane z = `KERB_HEIGHT`, with a vertical kerb face between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from seg_ros.synthetic.basics import Floats, Triple, compiled, inlined

LANE_WIDTH = 3.5
ROAD_HALF_WIDTH = 5.8
"""Distance [m] from the centre line to the kerb face: a lane and a parking bay."""
KERB_HEIGHT = 0.12
"""Height [m] of the pavement above the road."""
FACADE_OFFSET = 9.2
"""Distance [m] from the centre line to the fronts of the buildings."""
EGO_SPEED = 10.0
"""Speed [m/s] of the ego vehicle along the path."""
EGO_OFFSET = -LANE_WIDTH / 2
"""Lateral position [m] of the ego vehicle, left positive: traffic keeps to the right."""

BLOCK = 160.0
"""Length [m] of the street's plan: straight, curve, straight; curves alternate in direction."""
_CURVE_START, _CURVE_RADIUS, _CURVE_ANGLE = 45.0, 60.0, math.radians(50.0)
# Places along a block [m].
BRIDGE_START, BRIDGE_END = 122.0, 132.0
ZEBRA_START = 24.0
# Distance [m] of the edge lines from the centre line, width [m] of the kerb stones.
EDGE_LINE = LANE_WIDTH + 0.1
KERB_WIDTH = 0.15

# Surfaces a ray can hit.
NO_GROUND, ON_ROAD, ON_KERB_FACE, ON_PAVEMENT = 0, 1, 2, 3


def make_path(blocks: int) -> Floats:
    """Segments of `blocks` blocks of the street, (N, 7)."""
    arc = _CURVE_RADIUS * _CURVE_ANGLE
    signs = (1.0 if block % 2 == 0 else -1.0 for block in range(blocks))
    return join_path(
        (_CURVE_START, sign / _CURVE_RADIUS, arc, BLOCK - _CURVE_START - arc) for sign in signs
    )


def join_path(blocks: Iterable[tuple[float, float, float, float]]) -> Floats:
    """Segments (N, 7) of blocks: lengths of a straight, of an arc after its curvature, a straight.

    The last straight runs on without end.
    """
    rows: list[tuple[float, ...]] = []
    x = y = heading = s = 0.0
    for before, curvature, arc, after in blocks:
        for kappa, length in ((0.0, before), (curvature, arc), (0.0, after)):
            rows.append((x, y, math.cos(heading), math.sin(heading), kappa, length, s))
            x, y, heading = _advance(x, y, heading, kappa, length)
            s += length
    rows[-1] = (*rows[-1][:5], math.inf, rows[-1][6])
    return np.array(rows)


def _advance(x: float, y: float, heading: float, kappa: float, run: float) -> Triple:
    """Pose at the end of a straight or an arc of curvature `kappa`, `run` metres long."""
    chord = run if kappa == 0.0 else 2.0 * math.sin(kappa * run / 2) / kappa
    middle = heading + kappa * run / 2
    return x + chord * math.cos(middle), y + chord * math.sin(middle), heading + kappa * run


@compiled
def _segment_coordinates(
    along: float, left: float, kappa: float, length: float
) -> tuple[bool, float, float, float, float]:
    """Turn a point relative to a segment's start into (not past its end, s, d, heading)."""
    if kappa == 0.0:
        return along <= length, along, left, 1.0, 0.0
    side = 1.0 if kappa > 0.0 else -1.0
    radius = side / kappa
    to_centre = radius - side * left
    angle = math.atan2(along, to_centre)
    r = math.sqrt(along * along + to_centre * to_centre)
    return (
        angle * radius <= length,
        angle * radius,
        side * (radius - r),
        to_centre / r,
        side * along / r,
    )


@inlined
def path_coordinates(
    path: Floats, first: int, x: float, y: float
) -> tuple[float, float, float, float]:
    """World point -> (s along the path, d left of it, cosine and sine of the path's heading there).

    Exact for straights and arcs. A point belongs to the first segment, counted from `first`, whose
    end it has not passed; `first` is a straight, which therefore extends backwards without end.
    """
    k, inside = first - 1, False
    s, d, c, sn, turn_c, turn_s = 0.0, 0.0, 1.0, 0.0, 1.0, 0.0
    while not inside:
        k += 1
        c, sn = path[k, 2], path[k, 3]
        px, py = x - path[k, 0], y - path[k, 1]
        inside, s, d, turn_c, turn_s = _segment_coordinates(
            c * px + sn * py, c * py - sn * px, path[k, 4], path[k, 5]
        )
    return path[k, 6] + s, d, c * turn_c - sn * turn_s, sn * turn_c + c * turn_s


def path_pose(path: Floats, s: float, d: float) -> Triple:
    """Path coordinates -> world (x, y, heading)."""
    k = max(int(np.searchsorted(path[:, 6], s, side="right")) - 1, 0)
    x, y, c, sn, kappa, _, start = (float(value) for value in path[k])
    x, y, heading = _advance(x, y, math.atan2(sn, c), kappa, s - start)
    return x - d * math.sin(heading), y + d * math.cos(heading), heading


@inlined
def ground_hit(
    path: Floats,
    first: int,
    half_width: float,
    kerb: float,
    origin: Triple,
    dx: float,
    dy: float,
    dz: float,
) -> tuple[int, float, float, float, float, float]:
    """First ground surface along origin + t * direction, for a road with kerbs at +-half_width.

    Returns (surface, t, s, d, cosine and sine of the path's heading at the hit).
    """
    ox, oy, oz = origin
    surface, t, s, d, c, sn = NO_GROUND, 0.0, 0.0, 0.0, 1.0, 0.0
    # From under the ground, where mirrored views are, no ground is seen.
    if dz < -1e-9 and oz > kerb:
        t_top, t_road = (kerb - oz) / dz, -oz / dz
        surface, t = ON_ROAD, t_road
        s, d, c, sn = path_coordinates(path, first, ox + t_road * dx, oy + t_road * dy)
        # |d| changes by at most one metre per metre: away from the kerb one look-up decides.
        reach = (t_road - t_top) * math.sqrt(dx * dx + dy * dy)
        if abs(d) + reach >= half_width:
            s_top, d_top, c_top, sn_top = path_coordinates(
                path, first, ox + t_top * dx, oy + t_top * dy
            )
            if abs(d_top) >= half_width:
                surface, t, s, d, c, sn = ON_PAVEMENT, t_top, s_top, d_top, c_top, sn_top
            elif abs(d) >= half_width:
                part = (half_width - abs(d_top)) / (abs(d) - abs(d_top))
                surface, t = ON_KERB_FACE, t_top + part * (t_road - t_top)
            else:
                t_mid = 0.5 * (t_top + t_road)
                _, d_mid, _, _ = path_coordinates(path, first, ox + t_mid * dx, oy + t_mid * dy)
                if _peak(abs(d_top), abs(d_mid), abs(d)) >= half_width:
                    surface, t = ON_KERB_FACE, t_mid
    return surface, t, s, d, c, sn


@compiled
def _peak(a: float, middle: float, b: float) -> float:
    """Highest value of a parabola through three evenly spaced samples, within them.

    |d| along a ray is such a parabola up to third order: over the road at both ends, a ray may
    graze the kerb on the inside of a curve in between.
    """
    bend = a - 2.0 * middle + b
    if bend < 0.0 and abs(a - b) < -2.0 * bend:
        return middle - (a - b) * (a - b) / (8.0 * bend)
    return max(a, b)
