"""Meshes of convex planar faces with a material, a class and texture axes, and things made of them.

A `Mesh` collects faces while it is built; `pack` turns many into the arrays compiled code reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from seg_ros.synthetic.basics import (
    PLAIN,
    UNDERSIDE,
    Bools,
    Bytes,
    Floats,
    Integers,
    Triple,
    linear,
)

OWN_PAINT = (-1.0, -1.0, -1.0)
"""Colour of faces that take the paint of their thing."""


class Geometry(NamedTuple):
    """All meshes, packed. Per-face arrays are indexed by face, per-mesh arrays by mesh."""

    vertices: Floats  # (V, 3) in the mesh's frame
    corner_start: Integers  # (F + 1,) rows of `vertices`
    normal: Floats  # (F, 3), unit, outward
    texture: Floats  # (F, 8): u = p . [0:3] + [3], v = p . [4:7] + [7], in metres
    material: Integers  # (F,)
    colour: Floats  # (F, 3) linear reflectance, BGR; negative: the object's own paint
    label: Bytes  # (F,)
    size: Floats  # (F, 2) extent of the face along u and v [m]
    style: Integers  # (F,) seed of what the material draws
    two_sided: Bools  # (F,)
    face_start: Integers  # (M + 1,) faces of each mesh
    radius: Floats  # (M,) about the mesh's origin
    footprint: Floats  # (Q, 2) counter-clockwise corners of what stands on the ground
    footprint_start: Integers  # (M + 1,) rows of `footprint`
    footprint_label: Bytes  # (M,)


class Things(NamedTuple):
    """The objects of one frame: which mesh stands where, and the light that reaches it."""

    mesh: Integers  # (N,)
    pose: Floats  # (N, 4) world x, y, z and heading of the mesh's frame
    paint: Floats  # (N, 3)
    sunlit: Floats  # (N,) 0..1, 1 until `light.set_sky_shares`
    open_sky: Floats  # (N,) 0..1, the same


class _FaceRow(NamedTuple):
    """What a face looks like; `normal` None: the one of its plane."""

    colour: Triple
    material: int
    style: int
    two_sided: bool
    normal: Floats | None
    upright: bool


class Mesh:
    """Collects the faces of one mesh.

    `footprint` is set once the mesh is complete: counter-clockwise corners (N, 2) of what stands on
    the ground, none for what hangs over it.
    """

    def __init__(self, label: int) -> None:
        self.label = label
        self.corners: list[Floats] = []
        self.rows: list[_FaceRow] = []
        self.footprint = np.zeros((0, 2))

    def face(
        self,
        corners: Sequence[Sequence[float] | Floats] | Floats,
        colour: Triple,
        material: int = PLAIN,
        style: int = 0,
        two_sided: bool = False,
        normal: Floats | None = None,
        upright: bool = False,
    ) -> None:
        """Add a convex planar face, corners counter-clockwise seen from outside.

        Texture coordinates start at 0 in the face's lower left: u runs along the first edge
        (horizontally if `upright`), v at right angles to it. `normal` overrides the one used for
        shading and culling.
        """
        self.corners.append(np.asarray(corners, dtype=np.float64))
        self.rows.append(_FaceRow(colour, material, style, two_sided, normal, upright))

    def prism(
        self,
        base: Floats,
        low: float,
        high: float,
        colour: Triple,
        materials: Sequence[int] = (PLAIN,),
        style: int = 0,
        top: Triple | None = None,
    ) -> None:
        """Add walls, and a top, over a counter-clockwise base (N, 2), cycling over `materials`."""
        count = len(base)
        for k in range(count):
            (ax, ay), (bx, by) = base[k], base[(k + 1) % count]
            quad = [(ax, ay, low), (bx, by, low), (bx, by, high), (ax, ay, high)]
            self.face(quad, colour, materials[k % len(materials)], style + k)
        if top is not None:
            self.face([(x, y, high) for x, y in base], top)

    def box(self, low: Sequence[float], high: Sequence[float], colour: Triple) -> None:
        """Add an axis-aligned box without its bottom."""
        base = np.array(
            [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
        )
        self.prism(base, low[2], high[2], colour, top=colour)

    def tube(
        self,
        start: Sequence[float] | Floats,
        end: Sequence[float] | Floats,
        radii: tuple[float, float],
        colour: Triple,
        sides: int = 6,
        flatten: float = 1.0,
    ) -> None:
        """Add a tapering tube with an end cap; `flatten` scales its section along one axis."""
        a, b = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
        axis = (b - a) / np.linalg.norm(b - a)
        helper = np.array([0.0, 1.0, 0.0]) if abs(axis[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
        across = np.cross(helper, axis)
        across /= np.linalg.norm(across)
        other = np.cross(axis, across)
        c, s = polygon(sides).T
        ring = np.outer(c * flatten, across) + np.outer(s, other)
        low, high = a + radii[0] * ring, b + radii[1] * ring
        for k in range(sides):
            n = (k + 1) % sides
            self.face([low[k], low[n], high[n], high[k]], colour)
        self.face(high, colour)

    def stand_on_outline(self) -> None:
        """Set the footprint to the convex outline of all faces seen from above.

        It becomes a face on the ground too, for things one can look under: the ground seen there
        belongs to what stands on it.
        """
        points = np.concatenate(self.corners)[:, :2].astype(np.float32)
        hull = cv2.convexHull(points)[:, 0].astype(np.float64)
        following = np.roll(hull, -1, axis=0)
        area = float(np.sum(hull[:, 0] * following[:, 1] - hull[:, 1] * following[:, 0]))
        # OpenCV rounds the outline to float32; a hair wider, it keeps every face inside.
        hull = hull * (1.0 + 1e-5)
        self.footprint = hull if area > 0 else hull[::-1]
        self.face([(x, y, 0.0) for x, y in self.footprint], linear(16, 15, 15), UNDERSIDE)


def polygon(sides: int) -> Floats:
    """Corners (sides, 2) of a regular polygon in the unit circle, counter-clockwise."""
    turn = (np.arange(sides) + 0.5) * 2.0 * np.pi / sides
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def pack(meshes: Sequence[Mesh]) -> Geometry:
    """Pack meshes into one geometry, in their order."""
    corners = [points for mesh in meshes for points in mesh.corners]
    rows = [row for mesh in meshes for row in mesh.rows]
    labels = [mesh.label for mesh in meshes for _ in mesh.rows]
    normal, texture, size = _face_axes(corners, rows)
    return Geometry(
        vertices=np.concatenate(corners),
        corner_start=_starts([len(points) for points in corners]),
        normal=normal,
        texture=texture,
        material=np.array([row.material for row in rows], dtype=np.int64),
        colour=np.array([row.colour for row in rows]),
        label=np.array(labels, dtype=np.uint8),
        size=size,
        style=np.array([row.style for row in rows], dtype=np.int64),
        two_sided=np.array([row.two_sided for row in rows], dtype=np.bool_),
        face_start=_starts([len(mesh.rows) for mesh in meshes]),
        radius=np.array(
            [np.linalg.norm(np.concatenate(mesh.corners), axis=1).max() for mesh in meshes]
        ),
        footprint=np.concatenate([mesh.footprint for mesh in meshes]),
        footprint_start=_starts([len(mesh.footprint) for mesh in meshes]),
        footprint_label=np.array([mesh.label for mesh in meshes], dtype=np.uint8),
    )


def _face_axes(
    corners: Sequence[Floats], rows: Sequence[_FaceRow]
) -> tuple[Floats, Floats, Floats]:
    """Return normals (F, 3), texture axes (F, 8) and sizes (F, 2) of faces."""
    normal, texture = np.empty((len(rows), 3)), np.empty((len(rows), 8))
    size = np.empty((len(rows), 2))
    counts = np.array([len(points) for points in corners])
    for count in np.unique(counts):
        chosen = [int(k) for k in np.flatnonzero(counts == count)]
        points = np.stack([corners[k] for k in chosen])
        n = np.cross(points, np.roll(points, -1, axis=1)).sum(axis=1)
        for place, k in enumerate(chosen):
            given = rows[k].normal
            if given is not None:
                n[place] = given
        n /= np.linalg.norm(n, axis=1, keepdims=True)
        upright = np.array([rows[k].upright for k in chosen])[:, None]
        level = np.stack([-n[:, 1], n[:, 0], np.zeros(len(n))], axis=1)
        u = np.where(upright, level, points[:, 1] - points[:, 0])
        u /= np.linalg.norm(u, axis=1, keepdims=True)
        normal[chosen] = n
        for column, axis in enumerate((u, np.cross(n, u))):
            along = np.einsum("fcx,fx->fc", points, axis)
            texture[chosen, 4 * column : 4 * column + 3] = axis
            texture[chosen, 4 * column + 3] = -along.min(axis=1)
            size[chosen, column] = np.ptp(along, axis=1)
    return normal, texture, size


def _starts(counts: Sequence[int]) -> Integers:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
