"""The truth in the ground plane: class and height of points, and whether the camera sees them."""

from __future__ import annotations

import math

import numpy as np

from seg_ros.synthetic.basics import (
    PAVEMENT,
    ROAD,
    TERRAIN,
    Bools,
    Bytes,
    Floats,
    Integers,
    compiled,
    kernel,
)
from seg_ros.synthetic.camera import NEAR, View, to_camera
from seg_ros.synthetic.meshes import Geometry, Things
from seg_ros.synthetic.raster import Faces, row_span
from seg_ros.synthetic.road import Road, is_paved
from seg_ros.synthetic.street import ground_hit, path_coordinates


@kernel
def classify_ground(
    view: View,
    road: Road,
    path: Floats,
    geometry: Geometry,
    things: Things,
    x: Floats,
    y: Floats,
    out: Bytes,
) -> None:
    """Class (N,) of what stands on, or is, the ground at world points."""
    for k in range(len(x)):
        s, d, _, _ = path_coordinates(path, view.first, x[k], y[k])
        out[k] = ROAD if abs(d) < road.half_width else PAVEMENT
        if road.open:
            out[k] = ROAD if is_paved(road, s, d) else TERRAIN
        for thing in range(len(things.mesh)):
            mesh = things.mesh[thing]
            dx, dy = x[k] - things.pose[thing, 0], y[k] - things.pose[thing, 1]
            radius = geometry.radius[mesh]
            if dx * dx + dy * dy > radius * radius:
                continue
            c, sn = math.cos(things.pose[thing, 3]), math.sin(things.pose[thing, 3])
            if _stands_on(geometry, mesh, c * dx + sn * dy, c * dy - sn * dx):
                out[k] = geometry.footprint_label[mesh]
                break


@compiled
def _stands_on(geometry: Geometry, mesh: int, x: float, y: float) -> bool:
    """Whether a point of the mesh's frame lies in its footprint."""
    start, stop = geometry.footprint_start[mesh], geometry.footprint_start[mesh + 1]
    for k in range(start, stop):
        n = k + 1 if k + 1 < stop else start
        ax, ay = geometry.footprint[k, 0], geometry.footprint[k, 1]
        ex, ey = geometry.footprint[n, 0] - ax, geometry.footprint[n, 1] - ay
        if ex * (y - ay) - ey * (x - ax) < 0.0:
            return False
    return bool(stop > start)


@kernel
def measure_ground(view: View, road: Road, path: Floats, x: Floats, y: Floats, out: Floats) -> None:
    """Height (N,) [m] of the ground at world points."""
    for k in range(len(x)):
        _, d, _, _ = path_coordinates(path, view.first, x[k], y[k])
        out[k] = 0.0 if abs(d) < road.half_width else road.kerb


@kernel
def project_ground(
    view: View,
    road: Road,
    path: Floats,
    x: Floats,
    y: Floats,
    height: Floats,
    pixels: Floats,
    out: Bools,
) -> None:
    """Image column, row and depth (N, 3) of ground points, and whether the ground shows there.

    That is, whether they lie in the image and are not behind the kerb.
    """
    ox, oy, oz = view.origin
    for k in range(len(x)):
        cx, cy, cz = to_camera(view, x[k], y[k], height[k])
        out[k] = False
        pixels[k, 0], pixels[k, 1], pixels[k, 2] = 0.0, -np.inf, cz
        if cz >= NEAR:
            u, v = view.fx * cx / cz + view.cx, view.fy * cy / cz + view.cy
            if -0.5 <= u <= view.width - 0.5 and -0.5 <= v <= view.height - 0.5:
                pixels[k, 0], pixels[k, 1] = u, v
                _, t, _, _, _, _ = ground_hit(
                    path,
                    view.first,
                    road.half_width,
                    road.kerb,
                    view.origin,
                    x[k] - ox,
                    y[k] - oy,
                    height[k] - oz,
                )
                out[k] = t > 1.0 - 1e-6


@kernel
def hide(faces: Faces, order: Integers, rows: Floats, pixels: Floats, out: Bools) -> None:
    """Set `out` to False for points with a face in front of them.

    `order` sorts `pixels` by image row into `rows`.
    """
    xs, ys = faces.x, faces.y
    for k in range(faces.used[0]):
        box, a, b, c = faces.box[k], faces.depth[k, 0], faces.depth[k, 1], faces.depth[k, 2]
        # The box counts pixel centres; a point between them is up to one pixel outside it.
        start = np.searchsorted(rows, box[2] - 1.0)
        stop = np.searchsorted(rows, box[3] + 1.0, side="right")
        for place in range(start, stop):
            point = order[place]
            u, v, depth = pixels[point, 0], pixels[point, 1], pixels[point, 2]
            in_front = depth * (a * u + b * v + c) > 1.0 + 1e-4
            if out[point] and in_front and box[0] - 1 <= u <= box[1] + 1:
                first, last = row_span(xs[k], ys[k], faces.corners[k], v)
                out[point] = not first <= u <= last
