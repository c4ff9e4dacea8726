"""Cars, as meshes."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from seg_ros.synthetic.basics import CAR, GLASS, LAMP, PAINT, PLAIN, WHEEL, Floats, Triple, linear
from seg_ros.synthetic.meshes import OWN_PAINT, Mesh

_OPAL = linear(222, 224, 224)


class CarShape(NamedTuple):
    """A car [m]: (x, low, high, half width) per station along it, its cabin, and its wheels."""

    stations: tuple[tuple[float, float, float, float], ...]
    cabin: tuple[float, float, float, float]  # rear base, rear roof, front roof, front base
    roof: float
    axles: tuple[float, float]


CARS = (
    CarShape(  # hatchback
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
    CarShape(  # saloon
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
    CarShape(  # off-roader
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
    CarShape(  # van
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


def car_mesh(shape: CarShape, front_lamp: int = GLASS) -> Mesh:
    """Build a car that faces +x, in its thing's paint; its front lamps are of that material."""
    mesh = Mesh(CAR)
    _car_body(mesh, shape)
    _car_cabin(mesh, shape)
    for x in shape.axles:
        for side in (-1.0, 1.0):
            _car_wheel(mesh, x, side, max(s[3] for s in shape.stations))
    _car_ends(mesh, shape, front_lamp)
    mesh.stand_on_outline()
    return mesh


def car_lamps(shape: CarShape) -> Floats:
    """Lamps (4, 4) of a car: x, y, z [m], and 1 for head, -1 for tail lamps."""
    rows = []
    for (x, low, high, half), way in ((shape.stations[-1], 1.0), (shape.stations[0], -1.0)):
        z = low + 0.73 * (high - low)
        rows += [(x + 0.02 * way, side * 0.74 * half, z, way) for side in (-1.0, 1.0)]
    return np.array(rows)


def _car_body(mesh: Mesh, shape: CarShape) -> None:
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


def _car_cabin(mesh: Mesh, shape: CarShape) -> None:
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


def _car_ends(mesh: Mesh, shape: CarShape, front_lamp: int) -> None:
    """Lamps, number plates, bumpers and grille on the flat rear and front."""
    for end, sign in ((shape.stations[0], -1.0), (shape.stations[-1], 1.0)):
        x, low, high, half = end
        x += sign * 0.008
        tall = high - low
        bumper = (-0.86 * half, 0.86 * half, low + 0.02, low + 0.26 * tall)
        _end_patch(mesh, x, sign, bumper, linear(40, 40, 40))
        lamp, material = (linear(34, 28, 138), LAMP) if sign < 0 else (_OPAL, front_lamp)
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
