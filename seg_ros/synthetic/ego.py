"""What the camera sees of its own vehicle, as a mesh in base_link: a bonnet, a dashboard."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from seg_ros.ground.camera import CameraModel
from seg_ros.synthetic.basics import EGO, PAINT, Floats, Triple, linear
from seg_ros.synthetic.meshes import Mesh

EGO_PAINTS = (
    (178, 176, 172),
    (36, 34, 33),
    (22, 21, 21),
    (214, 216, 216),
    (40, 34, 120),
    (98, 54, 28),
    (120, 118, 112),
    (60, 74, 44),
)


class Bonnet(NamedTuple):
    """A bonnet [m, base_link]: from the windscreen at `rear` to its front edge."""

    rear: float
    front: float
    height: float  # of the front edge's middle
    rise: float  # from there to the windscreen
    half_width: float
    crown: float  # how much lower its sides are than its middle
    bulge: float  # height of two ridges along it
    paint: Triple
    gloss: bool
    dashboard: bool  # the top of a dashboard shows behind it


def ego_mesh(bonnet: Bonnet) -> Mesh:
    """Build the bonnet, and the dashboard if there is one."""
    mesh = Mesh(EGO)
    rows, columns = 14, 22
    part = np.linspace(0.0, 1.0, rows)
    across = np.linspace(-1.0, 1.0, columns)
    points = np.empty((rows, columns, 3))
    for k, p in enumerate(part):
        # The front is rounded seen from above, and rolls over at its edge.
        half = bonnet.half_width * (1.0 - 0.10 * p**3)
        reach = bonnet.front - (bonnet.front - bonnet.rear) * 0.16 * across**4 * p
        points[k, :, 0] = bonnet.rear + (reach - bonnet.rear) * p
        points[k, :, 1] = half * across
        ridge = bonnet.bulge * np.exp(-(((np.abs(across) - 0.55) / 0.13) ** 2))
        points[k, :, 2] = bonnet.height + bonnet.rise * (1.0 - p**1.6) + ridge * (1.0 - p**4)
        points[k, :, 2] -= bonnet.crown * across**2 + 0.10 * max(p - 0.85, 0.0) ** 2 / 0.0225
    material = PAINT if bonnet.gloss else 0
    for k in range(rows - 1):
        for n in range(columns - 1):
            a, b = points[k, n], points[k + 1, n]
            c, d = points[k + 1, n + 1], points[k, n + 1]
            mesh.face([a, b, c], bonnet.paint, material)
            mesh.face([a, c, d], bonnet.paint, material)
    edge = points[-1]
    skirt = edge.copy()
    skirt[:, 2] = 0.25
    for n in range(columns - 1):
        quad = [edge[n], skirt[n], skirt[n + 1], edge[n + 1]]
        mesh.face(quad, bonnet.paint, 0, two_sided=True)
    for side in (0, -1):
        rim = points[:, side]
        for a, b in pairwise(rim):
            quad = [a, (a[0], a[1], 0.3), (b[0], b[1], 0.3), b]
            mesh.face(quad, bonnet.paint, 0, two_sided=True)
    # The cowl below the windscreen, up to the bonnet's rear edge.
    dark, rear = linear(24, 24, 24), points[0]
    wide = 1.6 * bonnet.half_width
    rear = np.array([(*rear[0, :1], -wide, rear[0, 2]), *rear, (*rear[-1, :1], wide, rear[-1, 2])])
    for a, b in pairwise(rear):
        low = min(a[2], b[2]) - 0.06
        near = bonnet.rear - 0.4
        quad = [(near, a[1], low), (a[0], a[1], low), (b[0], b[1], low), (near, b[1], low)]
        mesh.face(quad[::-1], dark, two_sided=True)
        mesh.face([a, (a[0], a[1], low), (b[0], b[1], low), b], dark, two_sided=True)
    if bonnet.dashboard:
        _dashboard(mesh, bonnet.rear - 0.42, bonnet.height + bonnet.rise)
    mesh.footprint = _outline(bonnet)
    return mesh


def _dashboard(mesh: Mesh, x: float, z: float) -> None:
    """Add the dashboard's top, up to x, which rises over the instruments."""
    y = np.linspace(-0.85, 0.85, 25)
    top = z - 0.01 + 0.05 * np.exp(-(((y - 0.38) / 0.22) ** 2)) + 0.02 * np.cos(2.2 * y)
    for k in range(len(y) - 1):
        rear, front = x - 0.3, x + 0.04
        quad = [(rear, y[k + 1], top[k + 1] + 0.02), (rear, y[k], top[k] + 0.02)]
        quad += [(front, y[k], top[k]), (front, y[k + 1], top[k + 1])]
        tone = linear(34, 34, 35)
        mesh.face(quad[:3], tone, two_sided=True)
        mesh.face([quad[0], quad[2], quad[3]], tone, two_sided=True)


def _outline(bonnet: Bonnet) -> Floats:
    half = 0.9 * bonnet.half_width
    rear, front = bonnet.rear - 0.35, bonnet.front - 0.1
    return np.array([(rear, -half), (front, -half), (front, half), (rear, half)])


def fit_bonnet(rng: np.random.Generator, camera: CameraModel, below: float) -> Bonnet | None:
    """Draw a bonnet whose edge shows `below` pixels under the camera's axis; None if none fits."""
    mounting = camera.mounting
    x, z = mounting.x, mounting.z
    down = mounting.pitch + math.atan(below / camera.fy)
    lowest = mounting.pitch + math.atan((camera.height - camera.cy) / camera.fy)
    # Mostly the bonnet fills the picture's lowest rows, not the cowl behind it.
    rear = x + (rng.uniform(0.3, 0.45) if rng.random() < 0.75 else rng.uniform(0.45, 0.75))
    front = rear + rng.uniform(0.9, 1.3)
    height = z - (front - x) * math.tan(down)
    if rng.random() < 0.75:
        rear = min(rear, x + max(0.8 * (z - height - 0.12) / math.tan(lowest), 0.15))
    rise = rng.uniform(0.06, 0.2)
    if not 0.5 < height < z - rise - 0.12:
        return None
    return Bonnet(
        rear=rear,
        front=front,
        height=height,
        rise=rise,
        half_width=rng.uniform(0.74, 0.95),
        crown=rng.uniform(0.02, 0.12),
        bulge=rng.uniform(0.0, 0.035),
        paint=linear(*EGO_PAINTS[int(rng.integers(len(EGO_PAINTS)))]),
        gloss=bool(rng.random() < 0.8),
        dashboard=bool(rng.random() < 0.35),
    )
