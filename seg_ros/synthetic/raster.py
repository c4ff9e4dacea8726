"""Rasterisation: faces are projected, then drawn into a z-buffer; shadows onto the ground."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seg_ros.synthetic.basics import (
    BUILDING,
    FENCE,
    LEAVES,
    Bytes,
    Floats,
    Integers,
    Singles,
    compiled,
    kernel,
)
from seg_ros.synthetic.camera import VIEW_RANGE, View, clip_and_project, in_view, to_camera
from seg_ros.synthetic.light import Light, set_face_light
from seg_ros.synthetic.meshes import Geometry, Things

_MAX_CORNERS = 18
"""Most corners of a face once it is cut off at the near plane."""
_SHADOW_RANGE = 90.0
"""Distance [m] of the things whose shadows are drawn."""
_CONTACT_RINGS = 5
"""Steps in which the ground darkens towards what stands on it."""


class Faces(NamedTuple):
    """Faces that may show in a view, projected. `used[0]` rows are in use."""

    used: Integers  # (1,)
    corners: Integers  # (F,)
    x: Floats  # (F, _MAX_CORNERS) pixels
    y: Floats  # (F, _MAX_CORNERS)
    depth: Floats  # (F, 3): 1 / depth = [0] u + [1] v + [2]
    box: Integers  # (F, 4) first and last column, first and last row
    face: Integers  # (F,) index into the geometry
    # (F, 17): texture axes, u = t (ray . [0:3]) + [3] and v = t (ray . [4:7]) + [7]; reflectance
    # [8:11]; light [11:14]; normal in the world, towards the camera [14:17]
    look: Floats


def empty_faces(capacity: int) -> Faces:
    """Room for that many faces, to be filled."""
    return Faces(
        used=np.empty(1, dtype=np.int64),
        corners=np.empty(capacity, dtype=np.int64),
        x=np.empty((capacity, _MAX_CORNERS)),
        y=np.empty((capacity, _MAX_CORNERS)),
        depth=np.empty((capacity, 3)),
        box=np.empty((capacity, 4), dtype=np.int64),
        face=np.empty(capacity, dtype=np.int64),
        look=np.empty((capacity, 17)),
    )


@compiled
def row_span(xs: Floats, ys: Floats, count: int, row: float) -> tuple[float, float]:
    """Columns that a convex polygon covers on a row, as (first, last); first > last where none."""
    first, last = np.inf, -np.inf
    for k in range(count):
        n = k + 1 if k + 1 < count else 0
        ya, yb = ys[k], ys[n]
        if (ya <= row) == (yb <= row) and ya != row:
            continue
        if ya == yb:
            crossing = xs[k]
        elif ya < yb:
            crossing = xs[k] + (row - ya) * (xs[n] - xs[k]) / (yb - ya)
        else:
            crossing = xs[n] + (row - yb) * (xs[k] - xs[n]) / (ya - yb)
        first, last = min(first, crossing), max(last, crossing)
    return first, last


@compiled
def _put(view: View, x: float, y: float, z: float, points: Floats, k: int) -> None:
    """Store a world point in row k of `points`, in the optical frame."""
    points[k, 0], points[k, 1], points[k, 2] = to_camera(view, x, y, z)


@compiled
def _turned(x: float, y: float, c: float, sn: float) -> tuple[float, float]:
    """Turn a vector about z by the angle with cosine c and sine sn."""
    return c * x - sn * y, sn * x + c * y


@kernel
def project_things(
    view: View, light: Light, geometry: Geometry, things: Things, faces: Faces
) -> None:
    """Fill `faces` with the faces of all things that are turned to the camera and may be seen."""
    points = np.empty((_MAX_CORNERS, 3))
    vertices, normals = geometry.vertices, geometry.normal
    out = 0
    for thing in range(len(things.mesh)):
        mesh = things.mesh[thing]
        px, py, pz = things.pose[thing, 0], things.pose[thing, 1], things.pose[thing, 2]
        if not in_view(view, px, py, pz, geometry.radius[mesh], VIEW_RANGE):
            continue
        c, sn = math.cos(things.pose[thing, 3]), math.sin(things.pose[thing, 3])
        for face in range(geometry.face_start[mesh], geometry.face_start[mesh + 1]):
            start, stop = geometry.corner_start[face], geometry.corner_start[face + 1]
            nx, ny = _turned(normals[face, 0], normals[face, 1], c, sn)
            nz = normals[face, 2]
            wx, wy = _turned(vertices[start, 0], vertices[start, 1], c, sn)
            facing = (
                nx * (view.origin[0] - px - wx)
                + ny * (view.origin[1] - py - wy)
                + nz * (view.origin[2] - pz - vertices[start, 2])
            )
            if facing < 0.0 and geometry.two_sided[face]:
                nx, ny, nz, facing = -nx, -ny, -nz, -facing
            if facing <= 1e-9:
                continue
            for k in range(stop - start):
                wx, wy = _turned(vertices[start + k, 0], vertices[start + k, 1], c, sn)
                _put(view, px + wx, py + wy, pz + vertices[start + k, 2], points, k)
            count = clip_and_project(
                view, points, stop - start, faces.x[out], faces.y[out], faces.box[out]
            )
            if count == 0 or not _set_depth(view, points, stop - start, faces.depth[out]):
                continue
            faces.corners[out] = count
            faces.face[out] = face
            look = faces.look[out]
            look[14], look[15], look[16] = nx, ny, nz
            _set_texture(view, geometry.texture[face], px, py, pz, c, sn, look)
            leaves = geometry.material[face] == LEAVES
            set_face_light(light, leaves, things.sunlit[thing], things.open_sky[thing], look)
            for k in range(3):
                own = geometry.colour[face, k] < 0.0
                look[8 + k] = things.paint[thing, k] if own else geometry.colour[face, k]
            out += 1
    faces.used[0] = out


@compiled
def _set_depth(view: View, points: Floats, count: int, depth: Floats) -> bool:
    """Plane through camera-frame points -> 1 / depth over the image; False if seen edge-on."""
    nx, ny, nz = 0.0, 0.0, 0.0
    for k in range(count):
        n = k + 1 if k + 1 < count else 0
        nx += points[k, 1] * points[n, 2] - points[k, 2] * points[n, 1]
        ny += points[k, 2] * points[n, 0] - points[k, 0] * points[n, 2]
        nz += points[k, 0] * points[n, 1] - points[k, 1] * points[n, 0]
    offset = nx * points[0, 0] + ny * points[0, 1] + nz * points[0, 2]
    size = abs(nx) + abs(ny) + abs(nz)
    if abs(offset) < 1e-9 * size or size == 0.0:
        return False
    depth[0], depth[1] = nx / (offset * view.fx), ny / (offset * view.fy)
    depth[2] = nz / offset - depth[0] * view.cx - depth[1] * view.cy
    return True


@compiled
def _set_texture(
    view: View, local: Floats, px: float, py: float, pz: float, c: float, sn: float, out: Floats
) -> None:
    """Turn texture axes of the mesh's frame into axes for t * ray from the camera."""
    for k in (0, 4):
        ax, ay = _turned(local[k], local[k + 1], c, sn)
        az = local[k + 2]
        out[k], out[k + 1], out[k + 2] = ax, ay, az
        out[k + 3] = local[k + 3] + ax * (view.origin[0] - px) + ay * (view.origin[1] - py)
        out[k + 3] += az * (view.origin[2] - pz)


@kernel
def draw_faces(view: View, faces: Faces, ids: npt.NDArray[np.int32], depth: Singles) -> None:
    """Z-buffer at pixel centres: `ids` gets the row in `faces` (-1: none), `depth` 1 / depth."""
    ids[:] = -1
    depth[:] = 0.0
    planes, boxes = faces.depth, faces.box
    for k in range(faces.used[0]):
        per_column, per_row, constant = planes[k, 0], planes[k, 1], planes[k, 2]
        xs, ys, corners = faces.x[k], faces.y[k], faces.corners[k]
        for row in range(boxes[k, 2], boxes[k, 3] + 1):
            first, last = row_span(xs, ys, corners, float(row))
            if first > last:
                continue
            start = math.ceil(max(first, 0.0))
            stop = math.floor(min(last, view.width - 1.0)) + 1
            base = per_row * row + constant
            for column in range(start, stop):
                inverse = np.float32(per_column * column + base)
                if inverse > depth[row, column]:
                    depth[row, column] = inverse
                    ids[row, column] = k


@compiled
def _fill(
    view: View,
    points: Floats,
    count: int,
    scratch: Floats,
    box: Integers,
    value: int,
    image: Bytes,
) -> None:
    """Raise `image` to `value` inside a convex polygon of camera-frame points."""
    xs, ys = scratch[0], scratch[1]
    corners = clip_and_project(view, points, count, xs, ys, box)
    if corners == 0:
        return
    for row in range(box[2], box[3] + 1):
        first, last = row_span(xs, ys, corners, float(row))
        if first > last:
            continue
        for column in range(
            math.ceil(max(first, 0.0)), math.floor(min(last, view.width - 1.0)) + 1
        ):
            image[row, column] = max(image[row, column], value)


@kernel
def draw_shadows(
    view: View, light: Light, geometry: Geometry, things: Things, shadow: Bytes, contact: Bytes
) -> None:
    """Mark where the ground is cut off from the sun (`shadow`) and from the sky (`contact`).

    A shadow is the union of the faces turned to the sun, each slid along the sun's rays to the
    ground. Only the look depends on it.
    """
    shadow[:] = 0
    contact[:] = 0
    points, scratch = np.empty((_MAX_CORNERS, 3)), np.empty((2, _MAX_CORNERS))
    box = np.empty(4, dtype=np.int64)
    sun, vertices = light.to_sun, geometry.vertices
    for thing in range(len(things.mesh)):
        mesh = things.mesh[thing]
        px, py, pz = things.pose[thing, 0], things.pose[thing, 1], things.pose[thing, 2]
        if not in_view(view, px, py, pz, light.reach * geometry.radius[mesh], _SHADOW_RANGE):
            continue
        c, sn = math.cos(things.pose[thing, 3]), math.sin(things.pose[thing, 3])
        for face in range(geometry.face_start[mesh], geometry.face_start[mesh + 1]):
            nx, ny = _turned(geometry.normal[face, 0], geometry.normal[face, 1], c, sn)
            toward = nx * sun[0] + ny * sun[1] + geometry.normal[face, 2] * sun[2]
            if toward <= 0.0 and not geometry.two_sided[face]:
                continue
            start, stop = geometry.corner_start[face], geometry.corner_start[face + 1]
            for k in range(stop - start):
                wx, wy = _turned(vertices[start + k, 0], vertices[start + k, 1], c, sn)
                slide = vertices[start + k, 2] / sun[2]
                _put(view, px + wx - slide * sun[0], py + wy - slide * sun[1], pz, points, k)
            _fill(view, points, stop - start, scratch, box, 255, shadow)
        if geometry.footprint_label[mesh] == BUILDING or geometry.footprint_label[mesh] == FENCE:
            continue
        start, stop = geometry.footprint_start[mesh], geometry.footprint_start[mesh + 1]
        for ring in range(_CONTACT_RINGS):
            for k in range(stop - start):
                vx, vy = geometry.footprint[start + k, 0], geometry.footprint[start + k, 1]
                grow = 1.0 + 0.12 * (_CONTACT_RINGS - 1 - ring) / math.hypot(vx, vy)
                wx, wy = _turned(grow * vx, grow * vy, c, sn)
                _put(view, px + wx, py + wy, pz, points, k)
            value = 255 * (ring + 1) // _CONTACT_RINGS
            _fill(view, points, stop - start, scratch, box, value, contact)
