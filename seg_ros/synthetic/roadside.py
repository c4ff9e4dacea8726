"""What stands along and beside open roads, as meshes: rails, barriers, banks, signs, woods."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from seg_ros.synthetic.basics import (
    BOARD,
    BUILDING,
    CAR,
    FENCE,
    LAMP,
    LEAVES,
    METAL,
    PAINT,
    POLE,
    REFLECTOR,
    SIGN,
    SOIL,
    TERRAIN,
    TREE,
    TUBE,
    TURF,
    Floats,
    Triple,
    linear,
)
from seg_ros.synthetic.meshes import OWN_PAINT, Mesh
from seg_ros.synthetic.trees import leaf_clumps

RAIL_LENGTH, BARRIER_LENGTH = 4.0, 6.0
"""Length [m] of a piece of guard rail, of concrete barrier; centred on x = 0."""
_STEEL = linear(150, 148, 144)


def rail_mesh(side: float) -> Mesh:
    """Build a piece of guard rail: a beam with two ridges that bulge to `side` (1 left), a post."""
    mesh = Mesh(FENCE)
    profile = [(0.0, 0.44), (0.07, 0.50), (0.07, 0.54), (0.0, 0.60), (0.07, 0.66), (0.07, 0.70)]
    profile.append((0.0, 0.76))
    # A little longer than its piece: in a curve no gap opens.
    long = RAIL_LENGTH / 2 + 0.01
    for (ya, za), (yb, zb) in pairwise(profile):
        quad = [(-long, side * ya, za), (long, side * ya, za)]
        quad += [(long, side * yb, zb), (-long, side * yb, zb)]
        mesh.face(quad, _STEEL, METAL, two_sided=True)
    y0, y1 = sorted((-0.02 * side, -0.10 * side))
    mesh.box((-0.04, y0, 0.0), (0.04, y1, 0.74), linear(118, 116, 112))
    mesh.footprint = np.array([(-0.04, y0), (0.04, y0), (0.04, y1), (-0.04, y1)])
    return mesh


def barrier_mesh(colour: Triple) -> Mesh:
    """Build a piece of concrete barrier, its foot wider than its top."""
    mesh = Mesh(FENCE)
    long = BARRIER_LENGTH / 2 - 0.01
    profile = [(0.30, 0.0), (0.30, 0.08), (0.14, 0.33), (0.09, 0.82)]
    outline = [*profile, *[(-y, z) for y, z in reversed(profile)]]
    for (ya, za), (yb, zb) in pairwise(outline):
        quad = [(long, ya, za), (-long, ya, za), (-long, yb, zb), (long, yb, zb)]
        mesh.face(quad, colour, SOIL)
    for x, sign in ((-long, -1), (long, 1)):
        mesh.face([(x, y, z) for y, z in outline[::sign]], colour, SOIL)
    mesh.footprint = np.array([(-long, -0.3), (long, -0.3), (long, 0.3), (-long, 0.3)])
    return mesh


def marker_mesh() -> Mesh:
    """Build a delineator: a white post with a black band and a reflector."""
    mesh = Mesh(POLE)
    white, black = linear(214, 214, 212), linear(30, 30, 30)
    for low, high, colour in ((0.0, 0.72, white), (0.72, 0.95, black), (0.95, 1.05, white)):
        mesh.box((-0.03, -0.06, low), (0.03, 0.06, high), colour)
    x = -0.032
    lens = [(x, 0.03, 0.76), (x, -0.03, 0.76), (x, -0.03, 0.92), (x, 0.03, 0.92)]
    mesh.face(lens, linear(120, 170, 190), REFLECTOR)
    mesh.footprint = np.array([(-0.03, -0.06), (0.03, -0.06), (0.03, 0.06), (-0.03, 0.06)])
    return mesh


def mast_mesh(high: float, colour: Triple, arm: float) -> Mesh:
    """Build a lamp mast or a telegraph pole; its arm reaches `arm` metres to both sides."""
    mesh = Mesh(POLE)
    mesh.tube((0.0, 0.0, 0.0), (0.0, 0.0, high), (0.13, 0.08), colour, sides=8)
    mesh.tube((0.0, -arm, high - 0.2), (0.0, arm, high - 0.2), (0.05, 0.05), colour, sides=4)
    mesh.footprint = np.array([(-0.1, -0.1), (0.1, -0.1), (0.1, 0.1), (-0.1, 0.1)])
    return mesh


def board_mesh(wide: float, high: float, low: float, colour: Triple) -> Mesh:
    """Build a direction sign that faces -x; it stands on nothing."""
    mesh = Mesh(SIGN)
    half = wide / 2
    front = [(-0.12, half, low), (-0.12, -half, low), (-0.12, -half, low + high)]
    front.append((-0.12, half, low + high))
    mesh.face(front, colour, BOARD, upright=True)
    back = [(x + 0.03, y, z) for x, y, z in front[::-1]]
    mesh.face(back, linear(120, 120, 118))
    return mesh


def gantry_post_mesh() -> Mesh:
    """Build one of the two posts of a gantry."""
    mesh = Mesh(POLE)
    mesh.box((-0.03, -0.18, 0.0), (0.33, 0.18, 7.2), linear(132, 130, 126))
    mesh.footprint = np.array([(-0.03, -0.18), (0.33, -0.18), (0.33, 0.18), (-0.03, 0.18)])
    return mesh


def gantry_mesh(left: float, right: float) -> Mesh:
    """Build a frame across a road, between its posts at `left` and `right`; boards hang on it."""
    mesh = Mesh(POLE)
    grey = linear(132, 130, 126)
    for z in (6.0, 7.1):
        mesh.tube((0.15, right, z), (0.15, left, z), (0.12, 0.12), grey, sides=4)
    for y in np.arange(right, left, 1.6):
        mesh.tube((0.15, y, 6.0), (0.15, y + 0.8, 7.1), (0.05, 0.05), grey, sides=4)
    return mesh


def bank_mesh(
    rng: np.random.Generator, edge: Floats, top: Floats, high: Floats, colour: Triple, turf: bool
) -> Mesh:
    """Build a bank of earth or snow from its foot `edge` (N, 2) up to `top` (N, 2), world x, y.

    `high` (N,) [m] is its height at `top`; the foot is at z = 0.
    """
    mesh = Mesh(TERRAIN)
    middle = 0.5 * (edge + top)
    waist = 0.62 * high * rng.uniform(0.75, 1.2, len(high))
    rows = [np.column_stack([edge, 0.0 * high]), np.column_stack([middle, waist])]
    rows.append(np.column_stack([top, high]))
    material = TURF if turf else SOIL
    for low, up in pairwise(rows):
        for k in range(len(edge) - 1):
            for corners in ((low[k], low[k + 1], up[k + 1]), (low[k], up[k + 1], up[k])):
                mesh.face(corners, colour, material, two_sided=True)
    return mesh


def thicket_mesh(rng: np.random.Generator, long: float, deep: float, high: float) -> Mesh:
    """Build the edge of a wood, or a hedge: clumps of leaves about a dark middle."""
    mesh = Mesh(TREE)
    core = linear(34, 62, 54)
    a, b = 0.36 * long, 0.22 * deep
    base = np.array([(-a, -b), (a, -b), (a, b), (-a, b)])
    mesh.prism(base, 0.0, 0.5 * high, core, (LEAVES,), top=core)
    axes = np.array([0.5 * long, 0.5 * deep, 0.46 * high])
    count = int(30 + 5.0 * long)
    size = 1.5 * float(np.sqrt(long * high / count))
    leaf_clumps(mesh, rng, np.array([0.0, 0.0, 0.5 * high]), axes, count, size)
    mesh.footprint = base
    return mesh


def conifer_mesh(rng: np.random.Generator, high: float) -> Mesh:
    """Build a spruce: tiers of drooping branches about a trunk."""
    mesh = Mesh(TREE)
    mesh.tube((0.0, 0.0, 0.0), (0.0, 0.0, 0.5 * high), (0.16, 0.1), linear(40, 52, 64))
    wide = 0.2 * high
    for tier in range(7):
        low = (0.10 + 0.125 * tier) * high
        out = wide * (1.0 - 0.135 * tier) * rng.uniform(0.85, 1.15)
        tone = rng.uniform(0.75, 1.2)
        b, g, r = linear(44, 66, 52)
        colour = (tone * b, tone * g, tone * r)
        turn = np.sort(rng.uniform(0.0, 2.0 * np.pi, 11))
        ring = np.stack([np.cos(turn), np.sin(turn)], axis=1) * out
        ring *= rng.uniform(0.75, 1.1, (11, 1))
        top = (0.0, 0.0, min(low + 0.34 * high, high))
        for k in range(11):
            a, c = ring[k], ring[(k + 1) % 11]
            droop = low - 0.05 * high * rng.uniform(0.5, 1.5)
            mesh.face([(*a, droop), (*c, droop), top], colour, LEAVES, two_sided=True)
    mesh.footprint = np.array([(-0.12, -0.12), (0.12, -0.12), (0.12, 0.12), (-0.12, 0.12)])
    return mesh


def tuft_mesh(rng: np.random.Generator, colours: tuple[Triple, Triple]) -> Mesh:
    """Build three metres of tall grass, 0.8 m deep: single blades and bunches."""
    mesh = Mesh(TERRAIN)
    for _ in range(60):
        x, y = rng.uniform(-1.5, 1.5), rng.normal(0.0, 0.25)
        high, wide = rng.uniform(0.06, 0.28), rng.uniform(0.01, 0.045)
        turn = rng.uniform(0.0, np.pi)
        dx, dy = wide * np.cos(turn), wide * np.sin(turn)
        lean = rng.normal(0.0, 0.3 * high, 2)
        part, tone = rng.random(), rng.uniform(0.7, 1.15)
        colour = [tone * (a + part * (b - a)) for a, b in zip(*colours, strict=True)]
        corners = [(x - dx, y - dy, 0.0), (x + dx, y + dy, 0.0), (x + lean[0], y + lean[1], high)]
        mesh.face(corners, (colour[0], colour[1], colour[2]), TURF, two_sided=True)
    return mesh


def hills_mesh(rng: np.random.Generator, distance: float, high: float) -> Mesh:
    """Build wooded hills all around, `distance` metres away."""
    mesh = Mesh(TREE)
    count = 90
    turn = np.linspace(0.0, 2.0 * np.pi, count + 1)
    waves = sum(
        rng.uniform(0.4, 1.0) / k * np.sin(k * turn + rng.uniform(0.0, 6.3)) for k in range(2, 14)
    )
    tops = high * (0.45 + 0.3 * np.asarray(waves)) + rng.uniform(0.0, 0.06 * high, count + 1)
    tops = np.maximum(tops, 3.0)
    tops[-1] = tops[0]
    x, y = distance * np.cos(turn), distance * np.sin(turn)
    for k in range(count):
        tone = rng.uniform(0.85, 1.15)
        b, g, r = linear(70, 88, 66)
        colour = (tone * b, tone * g, tone * r)
        near, far = (x[k], y[k]), (x[k + 1], y[k + 1])
        corners = [(*far, 0.0), (*near, 0.0), (*near, tops[k]), (*far, tops[k + 1])]
        mesh.face(corners, colour, LEAVES, two_sided=True)
    return mesh


def truck_mesh(long: float, cab: Triple) -> Mesh:
    """Build a lorry that faces +x: a cab, and a box in its thing's paint."""
    mesh = Mesh(CAR)
    half, dark = 1.24, linear(26, 26, 26)
    rear, front = -long / 2, long / 2
    box_front = front - 2.5
    mesh.box((rear + 0.1, -half + 0.25, 0.55), (front - 0.2, half - 0.25, 1.1), dark)
    walls = np.array([(rear, -half), (box_front, -half), (box_front, half), (rear, half)])
    mesh.prism(walls, 1.05, 3.9, OWN_PAINT, (PAINT,), top=OWN_PAINT)
    mesh.face([(x, y, 1.05) for x, y in walls[::-1]], dark)
    mesh.box((front - 2.1, -half, 0.55), (front, half, 3.1), cab)
    x = front + 0.01
    screen = [(x, -half + 0.1, 1.75), (x, half - 0.1, 1.75), (x, half - 0.1, 2.75)]
    mesh.face([*screen, (x, -half + 0.1, 2.75)], linear(30, 28, 26), PAINT)
    x = rear - 0.01
    frame = linear(60, 60, 62)
    for y in (-half, -0.03, half - 0.06):
        mesh.face([(x, y + 0.06, 1.1), (x, y, 1.1), (x, y, 3.85), (x, y + 0.06, 3.85)], frame)
    bar = [(x, half, 0.5), (x, -half, 0.5), (x, -half, 0.72), (x, half, 0.72)]
    mesh.face(bar, linear(60, 70, 150))
    for side in (-1.0, 1.0):
        y0, y1 = sorted((side * 0.78, side * 1.14))
        lamp = [(x, y1, 0.82), (x, y0, 0.82), (x, y0, 1.0), (x, y1, 1.0)]
        mesh.face(lamp, linear(34, 28, 138), LAMP)
    for wheel in (rear + 1.2, rear + 2.5, front - 1.3):
        for side in (-1.0, 1.0):
            inner, outer = side * (half - 0.35), side * (half - 0.02)
            mesh.tube((wheel, inner, 0.5), (wheel, outer, 0.5), (0.5, 0.5), dark, sides=10)
    mesh.stand_on_outline()
    return mesh


def tunnel_mesh(base: Floats, low: float, high: float, colour: Triple, lamp: bool = False) -> Mesh:
    """Build a wall or the roof of a tunnel on a base (4, 2), or with `lamp` one of its lamps."""
    mesh = Mesh(BUILDING)
    mesh.prism(base, low, high, colour, (TUBE if lamp else SOIL,), top=colour)
    if low > 0.0:
        under = [(x, y, low) for x, y in base[::-1]]
        mesh.face(under, colour, TUBE if lamp else SOIL)
    else:
        mesh.footprint = base
    return mesh
