"""What a plan of a road is made of: meshes, and where each of them is."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from seg_ros.synthetic.basics import Floats, Triple, linear
from seg_ros.synthetic.cars import CAR_PAINTS
from seg_ros.synthetic.meshes import Mesh
from seg_ros.synthetic.street import path_pose


class Placement(NamedTuple):
    """Something in the street: its mesh (or meshes, one per phase of its gait) and where it is.

    It stands at path coordinates (s, d) at time 0 and moves with `speed` [m/s] along s; `turn` is
    its heading relative to the path. `fixed`, if set, is its world pose (x, y, heading) instead.
    """

    meshes: tuple[int, ...]
    s: float = 0.0
    d: float = 0.0
    base: float = 0.0
    speed: float = 0.0
    turn: float = 0.0
    paint: Triple = (0.0, 0.0, 0.0)
    pace: float = 0.0  # steps per second
    sway: float = 0.0  # amplitude [m] of a slow change of s
    fixed: Triple | None = None
    roofed: bool = False  # stands in a tunnel, of which it may be a part
    far_mesh: int | None = None  # seen from far away; has the same footprint

    def pose(self, path: Floats, time: float) -> tuple[float, float, float, float]:
        """World x, y, z and heading at a time [s]."""
        if self.fixed is not None:
            x, y, heading = self.fixed
            return x, y, self.base, heading
        s = self.s + self.speed * time + self.sway * math.sin(0.55 * time)
        x, y, heading = path_pose(path, s, self.d)
        return x, y, self.base, heading + self.turn


class Plan:
    """Collects meshes and placements along a path, up to `end` [m] and for `duration` [s].

    `blocks` are the bases (4, 2) of what is large enough to keep the sun off other things, with
    their lower and upper ends [m] in `block_heights`; `cars` are numbers of meshes, `lamps` those
    of a mesh: rows of x, y, z [m] and 1 for head, -1 for tail lamps.
    """

    def __init__(self, seed: int, end: float, duration: float, path: Floats) -> None:
        self.seed, self.end, self.duration, self.path = seed, end, duration, path
        self.meshes: list[Mesh] = []
        self.placements: list[Placement] = []
        self.blocks: list[Floats] = []
        self.block_heights: list[tuple[float, float]] = []
        self.cars: list[int] = []
        self.lamps: dict[int, Floats] = {}

    def rng(self, *key: int) -> np.random.Generator:
        """Return a stream of random numbers for a purpose."""
        # A stream per purpose, read in order of s: a longer drive starts with the same street.
        return np.random.default_rng([self.seed, *key])

    def add(self, mesh: Mesh) -> int:
        """Keep a mesh and return its number."""
        self.meshes.append(mesh)
        return len(self.meshes) - 1

    def base(self, side: float, s0: float, s1: float, near: float, far: float) -> Floats:
        """Corners (4, 2) in the world, counter-clockwise, the edge towards the street first."""
        front = [path_pose(self.path, s, side * near)[:2] for s in (s0, s1)]
        back = [path_pose(self.path, s, side * far)[:2] for s in (s1, s0)]
        base = np.array(front + back)
        return base if side > 0 else base[[1, 0, 3, 2]]

    def stand(self, mesh: Mesh, roofed: bool = False) -> None:
        """Place a mesh built in world coordinates, moving its frame to its middle."""
        middle = np.mean(np.concatenate(mesh.corners)[:, :2], axis=0)
        shift = np.append(middle, 0.0)
        mesh.corners = [points - shift for points in mesh.corners]
        mesh.footprint = mesh.footprint - middle
        fixed = (float(middle[0]), float(middle[1]), 0.0)
        self.placements.append(Placement((self.add(mesh),), fixed=fixed, roofed=roofed))

    def car(self, car: int, paint: int, place: Placement) -> None:
        """Place one of `cars` in one of the paints."""
        colour = linear(*CAR_PAINTS[paint])
        self.placements.append(place._replace(meshes=(self.cars[car],), paint=colour))
