"""What stands in the street, as meshes: cars, people, trees, posts, fences, houses, the bridge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from seg_ros.synthetic.basics import (
    BICYCLIST,
    BOARDS,
    BUILDING,
    CAR,
    FACADE,
    FENCE,
    GLASS,
    LAMP,
    LEAVES,
    MASONRY,
    PAINT,
    PEDESTRIAN,
    PLAIN,
    POLE,
    RAILING,
    ROOF,
    SIGN,
    SIGN_FACE,
    TREE,
    WALL,
    WHEEL,
    Floats,
    Triple,
    linear,
)
from seg_ros.synthetic.meshes import OWN_PAINT, Mesh, polygon

_OPAL = linear(222, 224, 224)


class _CarShape(NamedTuple):
    """A car [m]: (x, low, high, half width) per station along it, its cabin, and its wheels."""

    stations: tuple[tuple[float, float, float, float], ...]
    cabin: tuple[float, float, float, float]  # rear base, rear roof, front roof, front base
    roof: float
    axles: tuple[float, float]


CARS = (
    _CarShape(  # hatchback
        (
            (-1.95, 0.32, 0.84, 0.78),
            (-1.82, 0.175, 0.93, 0.85),
            (-1.0, 0.165, 0.94, 0.86),
            (0.85, 0.165, 0.92, 0.86),
            (1.70, 0.175, 0.76, 0.84),
            (1.98, 0.28, 0.64, 0.72),
        ),
        (-1.84, -1.50, 0.12, 0.95),
        1.46,
        (-1.22, 1.25),
    ),
    _CarShape(  # saloon
        (
            (-2.25, 0.32, 0.86, 0.78),
            (-2.10, 0.175, 0.95, 0.86),
            (-1.0, 0.165, 0.94, 0.88),
            (0.95, 0.165, 0.90, 0.88),
            (1.95, 0.175, 0.74, 0.86),
            (2.25, 0.28, 0.62, 0.74),
        ),
        (-1.62, -1.05, 0.19, 1.05),
        1.42,
        (-1.35, 1.40),
    ),
    _CarShape(  # off-roader
        (
            (-2.15, 0.42, 1.00, 0.82),
            (-2.02, 0.25, 1.06, 0.90),
            (-1.0, 0.24, 1.06, 0.91),
            (0.90, 0.24, 1.04, 0.91),
            (1.90, 0.28, 0.96, 0.89),
            (2.15, 0.36, 0.80, 0.80),
        ),
        (-2.02, -1.86, 0.25, 0.95),
        1.74,
        (-1.32, 1.35),
    ),
    _CarShape(  # van
        (
            (-2.45, 0.38, 1.06, 0.86),
            (-2.36, 0.21, 1.12, 0.92),
            (-1.0, 0.19, 1.12, 0.93),
            (1.30, 0.19, 1.10, 0.93),
            (2.15, 0.24, 0.98, 0.91),
            (2.42, 0.32, 0.78, 0.82),
        ),
        (-2.36, -2.28, 1.00, 1.75),
        1.98,
        (-1.55, 1.55),
    ),
)
CAR_PAINTS = (
    (178, 176, 172),
    (150, 146, 140),
    (44, 38, 36),
    (26, 25, 25),
    (36, 32, 122),
    (92, 50, 26),
    (212, 214, 214),
    (56, 70, 40),
    (126, 92, 54),
    (40, 36, 84),
)


def car_mesh(shape: _CarShape) -> Mesh:
    """Build a car that faces +x, in its thing's paint."""
    mesh = Mesh(CAR)
    _car_body(mesh, shape)
    _car_cabin(mesh, shape)
    for x in shape.axles:
        for side in (-1.0, 1.0):
            _car_wheel(mesh, x, side, max(s[3] for s in shape.stations))
    _car_ends(mesh, shape)
    mesh.stand_on_outline()
    return mesh


def _car_body(mesh: Mesh, shape: _CarShape) -> None:
    """Loft the lower body over its stations; a dark box hangs under it."""
    sections = []
    for x, low, high, half in shape.stations:
        waist = low + 0.55 * (high - low)
        ring = [(0.95 * half, low), (half, waist), (0.92 * half, high)]
        sections.append([(x, y, z) for y, z in ring] + [(x, -y, z) for y, z in reversed(ring)])
    for rear, front in pairwise(sections):
        for k in range(5):
            quad = np.array([rear[k], rear[k + 1], front[k + 1], front[k]])
            normal = np.cross(quad[2] - quad[0], quad[3] - quad[1])
            # Neighbouring stations differ in width: the quad is bent, two triangles are not.
            mesh.face(quad[[0, 1, 2]], OWN_PAINT, PAINT, normal=normal)
            mesh.face(quad[[0, 2, 3]], OWN_PAINT, PAINT, normal=normal)
    mesh.face(sections[0][::-1], OWN_PAINT, PAINT, upright=True)
    mesh.face(sections[-1], OWN_PAINT, PAINT, upright=True)
    low = shape.stations[2][1]
    length = shape.stations[-1][0] - 0.22
    mesh.box((-length, -0.78, low - 0.08), (length, 0.78, low + 0.1), linear(20, 20, 20))


def _car_cabin(mesh: Mesh, shape: _CarShape) -> None:
    rear, roof_rear, roof_front, front = shape.cabin
    # The beltline follows the body's shoulder, the cabin starts just inside the body.
    base, base_half = shape.stations[2][2] - 0.03, 0.90 * shape.stations[2][3]
    top, top_half = shape.roof, 0.74 * shape.stations[2][3]

    def corner(end: float, roof_end: float, y: float, part: float) -> Triple:
        half = base_half + part * (top_half - base_half)
        return (end + part * (roof_end - end), y * half, base + part * (top - base))

    rb, fb = (rear, roof_rear), (front, roof_front)
    walls = (
        ((*rb, 1.0), (*rb, -1.0)),
        ((*rb, -1.0), (*fb, -1.0)),
        ((*fb, -1.0), (*fb, 1.0)),
        ((*fb, 1.0), (*rb, 1.0)),
    )
    for k, (a, b) in enumerate(walls):
        quad = np.array([corner(*a, 0.0), corner(*b, 0.0), corner(*b, 1.0), corner(*a, 1.0)])
        mesh.face(quad, OWN_PAINT, PAINT)
        spans = ((0.07, 0.93),) if k % 2 == 0 else ((0.05, 0.34), (0.37, 0.67), (0.70, 0.95))
        for span in spans:
            mesh.face(_inset(quad, span, (0.14, 0.90)), linear(40, 38, 36), GLASS)
    mesh.face(
        [
            corner(*rb, 1.0, 1.0),
            corner(*rb, -1.0, 1.0),
            corner(*fb, -1.0, 1.0),
            corner(*fb, 1.0, 1.0),
        ],
        OWN_PAINT,
        PAINT,
    )


def _inset(quad: Floats, across: tuple[float, float], up: tuple[float, float]) -> Floats:
    """Part of a quad (bottom edge first), lifted a little off it along its normal."""
    normal = np.cross(quad[1] - quad[0], quad[3] - quad[0])
    lift = 0.008 * normal / np.linalg.norm(normal)

    def at(a: float, b: float) -> Floats:
        bottom = quad[0] + a * (quad[1] - quad[0])
        ceiling = quad[3] + a * (quad[2] - quad[3])
        return np.asarray(bottom + b * (ceiling - bottom) + lift)

    (a0, a1), (b0, b1) = across, up
    return np.array([at(a0, b0), at(a1, b0), at(a1, b1), at(a0, b1)])


def _car_wheel(mesh: Mesh, x: float, side: float, half: float) -> None:
    radius, sides = 0.31, 12
    turn = np.arange(sides) * 2.0 * np.pi / sides
    y, inner = side * (half + 0.012), side * (half - 0.2)
    ring = np.stack([x + radius * np.cos(turn), radius - radius * np.sin(turn)], axis=1)
    if side < 0:
        ring = ring[::-1]
    disc = [(px, y, pz) for px, pz in ring]
    mesh.face(disc, linear(34, 34, 34), WHEEL, normal=np.array([0.0, side, 0.0]))
    for k in range(sides):
        (ax, az), (bx, bz) = ring[k], ring[(k + 1) % sides]
        mesh.face([(bx, y, bz), (ax, y, az), (ax, inner, az), (bx, inner, bz)], linear(24, 24, 24))
    arch = np.linspace(-0.12, np.pi + 0.12, 9)
    rim = [(x + 0.37 * np.cos(a), side * (half + 0.006), radius + 0.37 * np.sin(a)) for a in arch]
    mesh.face(rim[::-1] if side > 0 else rim, linear(16, 16, 16))


def _car_ends(mesh: Mesh, shape: _CarShape) -> None:
    """Lamps, number plates, bumpers and grille on the flat rear and front."""
    for end, sign in ((shape.stations[0], -1.0), (shape.stations[-1], 1.0)):
        x, low, high, half = end
        x += sign * 0.008
        tall = high - low
        bumper = (-0.86 * half, 0.86 * half, low + 0.02, low + 0.26 * tall)
        _end_patch(mesh, x, sign, bumper, linear(40, 40, 40))
        lamp, material = (linear(34, 28, 138), LAMP) if sign < 0 else (_OPAL, GLASS)
        for side in (-1.0, 1.0):
            y0, y1 = sorted((side * 0.60 * half, side * 0.88 * half))
            place = (y0, y1, low + 0.56 * tall, low + 0.90 * tall)
            _end_patch(mesh, x, sign, place, lamp, material)
        plate = (-0.26, 0.26, low + 0.30 * tall, low + 0.30 * tall + 0.12)
        _end_patch(mesh, x, sign, plate, linear(70, 160, 176) if sign < 0 else _OPAL)
        if sign > 0:
            grille = (-0.42, 0.42, low + 0.64 * tall, low + 0.90 * tall)
            _end_patch(mesh, x, sign, grille, linear(26, 26, 26))


def _end_patch(
    mesh: Mesh,
    x: float,
    sign: float,
    place: tuple[float, float, float, float],
    colour: Triple,
    material: int = PLAIN,
) -> None:
    """Add a rectangle (y0, y1, z0, z1) across the car at `x`, facing forward for sign > 0."""
    y0, y1, z0, z1 = place
    quad = [(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)]
    mesh.face(quad if sign > 0 else quad[::-1], colour, material)


_SKIN = linear(120, 145, 190)
CLOTHES = (
    (linear(40, 36, 34), linear(60, 44, 34)),
    (linear(52, 44, 110), linear(40, 38, 38)),
    (linear(120, 86, 52), linear(52, 50, 56)),
    (linear(72, 84, 76), linear(96, 92, 88)),
    (linear(150, 150, 150), linear(56, 40, 30)),
)
PHASES = 4
"""Meshes per walking or cycling figure, one per quarter of the step."""


def pedestrian_mesh(who: int, phase: int) -> Mesh:
    """Build a person walking towards +x, one of `PHASES` phases into the step."""
    mesh = Mesh(PEDESTRIAN)
    coat, trousers = CLOTHES[who % len(CLOTHES)]
    tall = (1.0, 0.94, 1.04, 0.97, 0.90)[who % 5]
    swing = 0.26 * math.sin(2.0 * math.pi * phase / PHASES + 0.6)
    for side in (-1.0, 1.0):
        y, foot = 0.1 * side, side * swing
        mesh.tube((foot, y, 0.06), (0.45 * foot, y, 0.46 * tall), (0.055, 0.075), trousers)
        mesh.tube((0.45 * foot, y, 0.46 * tall), (0.0, 0.8 * y, 0.9 * tall), (0.075, 0.1), trousers)
        mesh.box((foot - 0.08, y - 0.045, 0.0), (foot + 0.17, y + 0.045, 0.08), linear(24, 24, 26))
        elbow = (-0.3 * foot, 0.27 * side, 1.12 * tall)
        mesh.tube((0.0, 0.23 * side, 1.42 * tall), elbow, (0.06, 0.05), coat)
        hand = (-0.7 * foot + 0.08, 0.26 * side, 0.86 * tall)
        mesh.tube(elbow, hand, (0.05, 0.04), coat)
    _torso(mesh, (0.0, 0.0, 0.84 * tall), (0.0, 0.0, 1.46 * tall), coat)
    _head(mesh, (0.0, 0.0, 1.48 * tall))
    mesh.stand_on_outline()
    return mesh


def _torso(
    mesh: Mesh,
    hips: Sequence[float],
    neck: Sequence[float],
    colour: Triple,
) -> None:
    low, high = np.asarray(hips), np.asarray(neck)
    chest = low + 0.75 * (high - low)
    mesh.tube(low, chest, (0.17, 0.22), colour, sides=8, flatten=0.65)
    mesh.tube(chest, high, (0.22, 0.09), colour, sides=8, flatten=0.65)


def _head(mesh: Mesh, neck: Sequence[float]) -> None:
    x, y, z = neck
    mesh.tube((x, y, z - 0.04), (x, y, z + 0.05), (0.055, 0.075), _SKIN)
    mesh.tube((x, y, z + 0.05), (x, y, z + 0.14), (0.085, 0.105), _SKIN, sides=8)
    mesh.tube((x, y, z + 0.14), (x, y, z + 0.24), (0.11, 0.06), linear(30, 36, 48), sides=8)


def cyclist_mesh(who: int, phase: int) -> Mesh:
    """Build a cyclist riding towards +x, one of `PHASES` phases into the turn of the pedals."""
    mesh = Mesh(BICYCLIST)
    coat, trousers = CLOTHES[(who + 1) % len(CLOTHES)]
    metal, rubber = linear(60, 60, 64), linear(26, 26, 26)
    for x in (-0.52, 0.52):
        _bicycle_wheel(mesh, x, rubber)
    crank, saddle, steering = (0.0, 0.0, 0.3), (-0.2, 0.0, 0.92), (0.4, 0.0, 0.95)
    for a, b in (
        ((-0.52, 0.0, 0.34), crank),
        (crank, saddle),
        (crank, steering),
        ((-0.2, 0.0, 0.85), steering),
        ((0.52, 0.0, 0.34), (0.38, 0.0, 1.05)),
    ):
        mesh.tube(a, b, (0.022, 0.022), metal, sides=4)
    mesh.tube((0.36, -0.28, 1.05), (0.36, 0.28, 1.05), (0.018, 0.018), metal, sides=4)
    for side in (-1.0, 1.0):
        angle = 2.0 * math.pi * phase / PHASES + (0.0 if side > 0 else math.pi)
        foot = (0.17 * math.cos(angle), 0.1 * side, 0.32 + 0.17 * math.sin(angle))
        knee = (0.22, 0.12 * side, 0.66 + 0.10 * math.sin(angle))
        mesh.tube(foot, knee, (0.05, 0.07), trousers)
        mesh.tube(knee, (-0.18, 0.09 * side, 0.95), (0.075, 0.11), trousers)
        mesh.tube((0.08, 0.22 * side, 1.42), (0.34, 0.24 * side, 1.08), (0.055, 0.045), coat)
    _torso(mesh, (-0.2, 0.0, 0.92), (0.12, 0.0, 1.5), coat)
    _head(mesh, (0.16, 0.0, 1.52))
    mesh.stand_on_outline()
    return mesh


def _bicycle_wheel(mesh: Mesh, x: float, colour: Triple) -> None:
    turn = np.arange(13) * 2.0 * np.pi / 12
    rim = np.stack([x + 0.325 * np.cos(turn), 0.0 * turn, 0.345 + 0.325 * np.sin(turn)], axis=1)
    for a, b in pairwise(rim):
        mesh.tube(a, b, (0.02, 0.02), colour, sides=4)


def tree_mesh(rng: np.random.Generator, height: float, spread: float, clumps: int) -> Mesh:
    """Build a trunk, boughs, and a crown of randomly turned leaf clumps with a ragged outline.

    With fewer clumps each is larger: for trees far away.
    """
    mesh = Mesh(TREE)
    bark = linear(44, 54, 60)
    fork = 0.36 * height
    trunk = 0.015 * height + 0.04
    mesh.tube((0.0, 0.0, 0.0), (0.0, 0.0, fork), (trunk, 0.75 * trunk), bark, sides=8)
    mesh.footprint = trunk * polygon(8)
    middle = np.array([0.0, 0.0, 0.66 * height])
    axes = np.array([spread, spread, 0.36 * height])
    for direction in _units(rng, 9):
        tip = middle + 0.8 * axes * direction
        mesh.tube((0.0, 0.0, fork - 0.1), tip, (0.55 * trunk, 0.015), bark, sides=4)
    _leaf_clumps(mesh, rng, middle, axes, clumps, 5.6 * (spread / clumps) ** 0.5)
    return mesh


def _leaf_clumps(
    mesh: Mesh, rng: np.random.Generator, middle: Floats, axes: Floats, count: int, size: float
) -> None:
    """Fill an ellipsoid about `middle` with irregular pentagons of leaves that face anywhere."""
    outward, facing, helper = _units(rng, count), _units(rng, count), _units(rng, count)
    across = np.cross(facing, helper)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    other = np.cross(facing, across)
    turn = np.sort(rng.uniform(0.0, 2.0 * np.pi, (count, 5, 1)), axis=1)
    turn += 0.2 * np.arange(5)[:, None]
    ring = np.cos(turn) * across[:, None] + 0.8 * np.sin(turn) * other[:, None]
    centre = middle + axes * outward * rng.uniform(0.4, 1.0, (count, 1))
    corners = centre[:, None] + size * rng.uniform(0.55, 1.3, (count, 1, 1)) * ring
    # Lit by where the clump sits in the crown, not by how its face happens to be turned.
    shade = rng.uniform(0.55, 1.25, count) * (0.72 + 0.38 * outward[:, 2])
    ripe = rng.uniform(0.85, 1.2, count)
    b, g, r = linear(46, 84, 78)
    for k in range(count):
        colour = (shade[k] * b, shade[k] * g, shade[k] * r * ripe[k])
        mesh.face(corners[k], colour, LEAVES, two_sided=True, normal=facing[k])


def _units(rng: np.random.Generator, count: int) -> Floats:
    """Random directions (count, 3)."""
    directions = rng.normal(size=(count, 3))
    return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))


def lamp_post_mesh() -> Mesh:
    """Build a lamp post whose arm reaches to its left (+y)."""
    mesh = Mesh(POLE)
    grey = linear(112, 110, 104)
    mesh.tube((0.0, 0.0, 0.0), (0.0, 0.0, 1.2), (0.11, 0.10), grey, sides=8)
    mesh.tube((0.0, 0.0, 1.2), (0.0, 0.0, 7.6), (0.075, 0.05), grey, sides=8)
    mesh.tube((0.0, 0.0, 7.5), (0.0, 1.5, 7.95), (0.04, 0.03), grey, sides=6)
    mesh.box((-0.12, 1.3, 7.88), (0.12, 2.0, 8.02), linear(150, 150, 146))
    mesh.footprint = 0.11 * polygon(8)
    return mesh


def sign_post_mesh() -> Mesh:
    """Build the post that a sign face hangs on."""
    mesh = Mesh(POLE)
    grey = linear(120, 120, 116)
    mesh.tube((0.0, 0.0, 0.0), (0.0, 0.0, 2.7), (0.045, 0.045), grey, sides=6)
    mesh.footprint = 0.045 * polygon(6)
    return mesh


def sign_face_mesh(style: int) -> Mesh:
    """Build a round sign or a board, facing -x, to hang on a post; it stands on nothing."""
    mesh = Mesh(SIGN)
    if style % 2 == 0:
        turn = np.arange(16) * np.pi / 8
        y, z = 0.38 * np.cos(turn), 2.35 + 0.38 * np.sin(turn)
    else:
        y, z = np.array([0.42, -0.42, -0.42, 0.42]), np.array([1.9, 1.9, 2.7, 2.7])
        z = z if style % 4 == 1 else z - 0.1
    x = np.full(len(y), -0.06)
    front = np.stack([x, y, z], axis=1)
    normal = np.array([-1.0, 0.0, 0.0])
    mesh.face(front, _OPAL, SIGN_FACE, style, normal=normal, upright=True)
    back = front[::-1] + np.array([0.02, 0.0, 0.0])
    mesh.face(back, linear(110, 110, 108), normal=-normal)
    return mesh


def fence_mesh(a: Floats, b: Floats, high: float, style: int) -> Mesh:
    """Build a fence from `a` to `b` (world x, y): boards, or a railing in front of a hedge."""
    mesh = Mesh(FENCE)
    along = (b - a) / np.linalg.norm(b - a)
    across = 0.06 * np.array([-along[1], along[0]])
    base = np.array([a - across, b - across, b + across, a + across])
    colour = (linear(52, 70, 88), linear(54, 58, 58), linear(70, 86, 98))[style % 3]
    material = RAILING if style % 3 == 1 else BOARDS
    mesh.prism(base, 0.0, high, colour, (material,), style, top=colour)
    mesh.footprint = base
    return mesh


WALLS = (
    linear(74, 92, 128),  # red brick
    linear(124, 162, 178),  # yellow brick
    linear(196, 204, 206),  # white render
    linear(142, 146, 146),  # concrete
    linear(84, 98, 112),  # weathered brick
    linear(164, 184, 192),  # cream render
)
BRICK_WALLS = (0, 1, 4)
"""Which of `WALLS` are brickwork."""


def building_mesh(base: Floats, high: float, rise: float, style: int) -> Mesh:
    """Build a house on a counter-clockwise base (4, 2) in the world, street front first.

    `rise` is the height of the gable roof's ridge over the eaves; 0 gives a flat roof.
    """
    mesh = Mesh(BUILDING)
    colour = WALLS[style % len(WALLS)]
    mesh.prism(base, 0.0, high, colour, (FACADE, WALL, WALL, WALL), 8 * style)
    slate = (linear(62, 60, 62), linear(52, 60, 84), linear(74, 70, 68))[style % 3]
    eaves = np.column_stack([base, np.full(4, high)])
    if rise == 0.0:
        mesh.face(eaves, slate, ROOF)
    else:
        ridge_b = np.append((base[1] + base[2]) / 2, high + rise)
        ridge_a = np.append((base[3] + base[0]) / 2, high + rise)
        # Where the street begins to curve the slopes are bent a little: triangles are not.
        for triangle in (
            [eaves[0], eaves[1], ridge_b],
            [eaves[0], ridge_b, ridge_a],
            [eaves[2], eaves[3], ridge_a],
            [eaves[2], ridge_a, ridge_b],
        ):
            mesh.face(triangle, slate, ROOF, upright=True)
        mesh.face([eaves[1], eaves[2], ridge_b], colour, WALL, 8 * style + 5, upright=True)
        mesh.face([eaves[3], eaves[0], ridge_a], colour, WALL, 8 * style + 6, upright=True)
        _chimney(mesh, ridge_a, ridge_b, 0.12 + 0.1 * (style % 5))
    mesh.footprint = base
    return mesh


def _chimney(mesh: Mesh, ridge_a: Floats, ridge_b: Floats, part: float) -> None:
    along = (ridge_b - ridge_a)[:2] / np.linalg.norm(ridge_b - ridge_a)
    across = np.array([-along[1], along[0]])
    centre = (ridge_a + part * (ridge_b - ridge_a))[:2]
    corners = ((-0.5, -0.35), (0.5, -0.35), (0.5, 0.35), (-0.5, 0.35))
    base = np.array([centre + a * along + b * across for a, b in corners])
    top = float(ridge_a[2])
    mesh.prism(base, top - 0.6, top + 1.1, WALLS[0], (MASONRY,), top=linear(70, 70, 74))


def slab_mesh(base: Floats, low: float, high: float, standing: bool) -> Mesh:
    """Build a part of the bridge: its abutments stand on the ground, its deck does not."""
    mesh = Mesh(BUILDING)
    colour = WALLS[0] if standing else linear(120, 130, 136)
    mesh.prism(base, low, high, colour, (MASONRY,), top=colour)
    if standing:
        mesh.footprint = base
    else:
        mesh.face([(x, y, low) for x, y in base[::-1]], linear(96, 98, 98))
    return mesh
