"""Scenes of boxes and cylinders on flat ground, ray-cast, with the truth known by construction.

Nothing here comes from the package but the camera model: pixels are cast along its rays, and a
ground point is hidden if a solid cuts the straight line from it to the camera.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from seg_ros.ground.camera import CameraModel
from seg_ros.ground.grid_spec import FREE, OCCUPIED, GridSpec
from seg_ros.ground.mounting import Mounting
from seg_ros.labels import load_label_set

LABELS = load_label_set("cityscapes")
ID = {label.name: index for index, label in enumerate(LABELS.classes)}
POINTS = 3
"""Points along each side of a cell at which the truth is asked, the outermost on its rim."""


def _road(x: NDArray, y: NDArray) -> NDArray:
    return np.full(np.broadcast(x, y).shape, ID["road"])


@lru_cache(maxsize=64)
def _pixel_rays(camera: CameraModel) -> NDArray[np.float64]:
    """Direction of every pixel centre, (H * W, 3); NaN where there is none."""
    v, u = np.mgrid[: camera.height, : camera.width]
    return camera.unproject(np.stack([u.ravel(), v.ravel()], 1).astype(float))


@dataclass(frozen=True)
class Solid:
    """A box or an upright cylinder between two heights.

    A box has half sizes and a yaw; a cylinder has half_x as its radius and half_y = 0.
    """

    label: str
    x: float
    y: float
    half_x: float
    half_y: float
    low: float
    high: float
    yaw: float = 0.0

    @property
    def row(self) -> tuple[float, ...]:
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return (self.x, self.y, self.half_x, self.half_y, self.low, self.high, c, s)


@dataclass(frozen=True, eq=False)
class Scene:
    name: str
    solids: list[Solid] = field(default_factory=list)
    ground: Callable[[NDArray, NDArray], NDArray] = _road
    """Class ids of the ground plane at x, y."""
    all_sky: bool = False

    def mask(self, camera: CameraModel) -> NDArray[np.uint8]:
        """Class of every pixel centre, (H, W) uint8; what is no ray is sky."""
        size = (camera.height, camera.width)
        if self.all_sky:
            return np.full(size, ID["sky"], np.uint8)
        rays = np.nan_to_num(_pixel_rays(camera), nan=0.6)  # what is no ray looks up
        which = np.empty(len(rays), np.int64)
        distance = np.empty(len(rays))
        _cast(camera.mounting.position, rays, self._rows(), which, distance)
        hit = camera.mounting.position + rays * distance[:, None]
        labels = np.array([ID[s.label] for s in self.solids] + [0, ID["sky"]])
        mask = labels[which]
        on_ground = which == len(self.solids)
        mask[on_ground] = self.ground(hit[on_ground, 0], hit[on_ground, 1])
        return mask.reshape(size).astype(np.uint8)

    def truth(self, camera: CameraModel, spec: GridSpec) -> Truth:
        hidden, occupied = _on_the_ground(self, camera.mounting, spec)
        in_view, row_span = _in_the_image(camera, spec)
        return Truth(occupied, _any(hidden | ~in_view | self.all_sky, spec), row_span)

    def _rows(self) -> NDArray[np.float64]:
        return np.array([s.row for s in self.solids]).reshape(-1, 8)


@dataclass(frozen=True)
class Truth:
    """Per cell, (rows, columns): whether any of it is occupied, or not in plain sight."""

    occupied: NDArray[np.bool_]
    unseen: NDArray[np.bool_]
    row_span: NDArray[np.float64]
    """Metres of ground under one mask row at the cell."""

    def counts(self, cells: NDArray[np.int8], max_row_span: float) -> Counts:
        free = ~self.occupied & ~self.unseen
        wanted = free & (self.row_span <= max_row_span)
        found = cells == FREE
        return Counts(
            occupied_free=int((found & self.occupied).sum()),
            hidden_free=int((found & self.unseen & ~self.occupied).sum()),
            false_occupied=int(((cells == OCCUPIED) & ~self.occupied).sum()),
            wanted=int(wanted.sum()),
            recall=float((found & wanted).sum() / wanted.sum()) if wanted.any() else math.nan,
        )


@dataclass(frozen=True)
class Counts:
    occupied_free: int
    hidden_free: int
    false_occupied: int
    wanted: int
    recall: float


def _points(spec: GridSpec) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y of the points of all cells."""
    rows, cols = spec.shape
    inside = np.linspace(1e-6, 1 - 1e-6, POINTS)
    x = (spec.x_min + (np.arange(cols)[:, None] + inside) * spec.resolution).ravel()
    y = (spec.y_min + (np.arange(rows)[:, None] + inside) * spec.resolution).ravel()
    gx, gy = np.meshgrid(x, y)
    return gx.ravel(), gy.ravel()


def _any(values: NDArray[np.bool_], spec: GridSpec) -> NDArray[np.bool_]:
    """Whether it holds anywhere in each cell."""
    rows, cols = spec.shape
    return values.reshape(rows, POINTS, cols, POINTS).any(axis=(1, 3))


@lru_cache(maxsize=64)
def _on_the_ground(
    scene: Scene, mounting: Mounting, spec: GridSpec
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which points are hidden from the camera, and which cells are not all driveable."""
    x, y = _points(spec)
    hidden, stands = np.empty(len(x), np.bool_), np.empty(len(x), np.bool_)
    _judge(mounting.position, x, y, scene._rows(), hidden, stands)
    driveable = np.isin(scene.ground(x, y), LABELS.driveable_ids)
    return hidden, _any(stands | ~driveable, spec)


@lru_cache(maxsize=64)
def _in_the_image(
    camera: CameraModel, spec: GridSpec
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which points project into the image, and the ground under one mask row at each cell."""
    x, y = _points(spec)
    u, v = camera.project(np.stack([x, y, 0 * x], 1)).T
    with np.errstate(invalid="ignore"):
        in_view = (u >= -0.5) & (u <= camera.width - 0.5)
        in_view &= (v >= -0.5) & (v <= camera.height - 0.5)
    rows, cols = spec.shape
    foot = camera.mounting.position * [1, 1, 0]
    x, y = np.meshgrid(
        spec.x_min + (np.arange(cols) + 0.5) * spec.resolution - foot[0],
        spec.y_min + (np.arange(rows) + 0.5) * spec.resolution - foot[1],
    )
    out = 1.0 + 0.005 / np.maximum(np.hypot(x, y), 0.1)
    near, far = (
        camera.project(np.stack([x * k, y * k, 0 * x], -1).reshape(-1, 3) + foot)[:, 1]
        for k in (np.ones_like(out), out)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        span = np.nan_to_num(0.005 / np.abs(near - far), nan=np.inf)
    return in_view, span.reshape(rows, cols)


@njit(cache=True)
def _span(origin, direction, solid):
    """Where a line is inside a solid: (enters, leaves) as multiples of direction."""
    dx, dy = origin[0] - solid[0], origin[1] - solid[1]
    ox, oy = solid[6] * dx + solid[7] * dy, solid[6] * dy - solid[7] * dx
    rx = solid[6] * direction[0] + solid[7] * direction[1]
    ry = solid[6] * direction[1] - solid[7] * direction[0]
    enters, leaves = -np.inf, np.inf
    if solid[3] == 0.0:
        a, b = rx * rx + ry * ry, ox * rx + oy * ry
        root = b * b - a * (ox * ox + oy * oy - solid[2] * solid[2])
        if root < 0 or a == 0:
            return np.inf, -np.inf
        enters, leaves = (-b - math.sqrt(root)) / a, (-b + math.sqrt(root)) / a
    else:
        for o, r, half in ((ox, rx, solid[2]), (oy, ry, solid[3])):
            if abs(r) < 1e-12:
                if abs(o) > half:
                    return np.inf, -np.inf
                continue
            t0, t1 = (-half - o) / r, (half - o) / r
            enters, leaves = max(enters, min(t0, t1)), min(leaves, max(t0, t1))
    if abs(direction[2]) < 1e-12:
        if not solid[4] <= origin[2] <= solid[5]:
            return np.inf, -np.inf
    else:
        t0 = (solid[4] - origin[2]) / direction[2]
        t1 = (solid[5] - origin[2]) / direction[2]
        enters, leaves = max(enters, min(t0, t1)), min(leaves, max(t0, t1))
    return enters, leaves


@njit(cache=True)
def _cast(origin, rays, solids, which, distance):
    """First solid along each ray; len(solids) is the ground, len(solids) + 1 the sky."""
    for k in range(len(rays)):
        best, index = np.inf, len(solids) + 1
        if rays[k, 2] < -1e-9:
            best, index = -origin[2] / rays[k, 2], len(solids)
        for s in range(len(solids)):
            enters, leaves = _span(origin, rays[k], solids[s])
            if enters < leaves and 0 < enters < best:
                best, index = enters, s
        which[k] = index
        distance[k] = best if best < np.inf else 0.0


@njit(cache=True)
def _judge(origin, x, y, solids, hidden, stands):
    """Whether solids hide each ground point from the camera, and whether one is above it.

    What is higher than a vehicle does not count as above.
    """
    direction = np.empty(3)
    for k in range(len(x)):
        hidden[k] = stands[k] = False
        direction[0], direction[1], direction[2] = x[k] - origin[0], y[k] - origin[1], -origin[2]
        for s in range(len(solids)):
            enters, leaves = _span(origin, direction, solids[s])
            if enters < leaves and enters < 1 - 1e-9 and leaves > 0:
                hidden[k] = True
            dx, dy = x[k] - solids[s, 0], y[k] - solids[s, 1]
            bx = solids[s, 6] * dx + solids[s, 7] * dy
            by = solids[s, 6] * dy - solids[s, 7] * dx
            if solids[s, 3] == 0.0:
                over = bx * bx + by * by <= solids[s, 2] * solids[s, 2]
            else:
                over = abs(bx) <= solids[s, 2] and abs(by) <= solids[s, 3]
            if over and solids[s, 4] < 2.0:
                stands[k] = True


def box(label: str, x: float, y: float, length: float, width: float, high: float, yaw=0.0, low=0.0):
    return Solid(label, x, y, length / 2, width / 2, low, high, yaw)


def pole(x: float, y: float, diameter: float, high: float = 4.0, label: str = "pole"):
    return Solid(label, x, y, diameter / 2, 0.0, 0.0, high)


def car(x: float, y: float, yaw: float = 0.0, clearance: float = 0.28) -> list[Solid]:
    """A car body over the ground on four wheels; x, y is its middle."""
    c, s = math.cos(yaw), math.sin(yaw)
    body = box("car", x, y, 4.4, 1.8, 0.85, yaw, clearance)
    cabin = box("car", x, y, 2.4, 1.6, 1.45, yaw, 0.85)
    wheels = [
        box("car", x + c * a - s * b, y + s * a + c * b, 0.62, 0.2, 0.62, yaw)
        for a in (-1.35, 1.35)
        for b in (-0.78, 0.78)
    ]
    return [body, cabin, *wheels]


def _curve(x: NDArray, y: NDArray) -> NDArray:
    """A road of 7 m that turns left with a radius of 25 m, terrain beside it."""
    off = np.hypot(x, y - 25.0) - 25.0
    return np.where(np.abs(off - 0.5) < 3.5, ID["road"], ID["terrain"])


SCENES = [
    Scene("empty road"),
    Scene(
        "boxes",
        [
            box("building", 14, 6, 4, 4, 5),
            box("wall", 9, -4, 1, 1, 0.8, 0.4),
            box("fence", 7, 2.5, 0.6, 0.6, 0.35, 0.8),
        ],
    ),
    Scene(
        "poles",
        [pole(5, 1, 0.08), pole(8, -2, 0.1), pole(11, 2, 0.12), pole(16, -1, 0.15)],
    ),
    Scene("car ahead", car(11.0, 0.3)),
    Scene(
        "cars",
        [*car(9.0, 3.2), *car(16.0, 3.1), *car(12.0, -3.0, 0.5), *car(19.0, 0.0, 1.2)],
    ),
    Scene(
        "kerb",
        [
            box("sidewalk", 30, -6.0, 60, 5.0, 0.12),
            box("sidewalk", 14, 5.0, 8, 3.0, 0.12, 0.2),
            pole(10, -4.2, 0.12),
            box("building", 30, -10, 60, 3, 8),
        ],
    ),
    Scene("curve", [pole(12, 8, 0.2), box("building", 22, -4, 4, 4, 6)], _curve),
    Scene(
        "street",
        [
            *car(13.0, 2.8),
            box("sidewalk", 30, -6.5, 60, 4.0, 0.12),
            pole(7.0, -2.5, 0.5, 1.8, "person"),
            pole(9.5, -1.0, 0.4, 1.75, "person"),
            pole(10.0, 1.0, 0.3, 0.5, "traffic sign"),
            box("traffic sign", 15, 0, 0.1, 4, 3.2, low=2.4),
        ],
    ),
    Scene("all sky", all_sky=True),
]


GRIDS = (GridSpec(0.1, 0.0, 20.0, -10.0, 10.0), GridSpec(0.2, 0.0, 60.0, -20.0, 20.0))


def camera(width=512, roll=0.0, lens=("plumb_bob", ()), focal=400.0, **mounting) -> CameraModel:
    height, focal = width * 9 // 16, focal * width / 512
    mounted = Mounting(**{"z": 1.5, "pitch": 0.1, "roll": math.radians(roll), **mounting})
    return CameraModel(
        width, height, focal, focal, (width - 1) / 2, (height - 1) / 2, *lens, mounted
    )
