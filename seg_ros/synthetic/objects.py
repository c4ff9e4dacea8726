"""What is built along a street, as meshes: posts, signs, fences, houses, the bridge."""

from __future__ import annotations

import numpy as np

from seg_ros.synthetic.basics import (
    BOARDS,
    BUILDING,
    FACADE,
    FENCE,
    MASONRY,
    POLE,
    RAILING,
    ROOF,
    SIGN,
    SIGN_FACE,
    WALL,
    Floats,
    linear,
)
from seg_ros.synthetic.meshes import Mesh, polygon

_OPAL = linear(222, 224, 224)


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
