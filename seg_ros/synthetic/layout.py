"""The plan of the street: where houses, furniture, trees, traffic and people are, from a seed."""

from __future__ import annotations

import math

import numpy as np

from seg_ros.synthetic.cars import CAR_PAINTS, CARS, car_mesh
from seg_ros.synthetic.objects import (
    building_mesh,
    fence_mesh,
    lamp_post_mesh,
    sign_face_mesh,
    sign_post_mesh,
    slab_mesh,
)
from seg_ros.synthetic.people import CLOTHES, PHASES, cyclist_mesh, pedestrian_mesh
from seg_ros.synthetic.plan import Placement, Plan
from seg_ros.synthetic.street import (
    BLOCK,
    BRIDGE_END,
    BRIDGE_START,
    EGO_OFFSET,
    EGO_SPEED,
    FACADE_OFFSET,
    KERB_HEIGHT,
    ROAD_HALF_WIDTH,
    ZEBRA_START,
    make_path,
    path_pose,
)
from seg_ros.synthetic.trees import tree_mesh

_BEHIND = 60.0
"""Street [m] laid out behind the first frame."""
_HOUSE_BACK = FACADE_OFFSET + 9.0
"""Distance [m] from the centre line to the backs of the buildings."""


class Layout(Plan):
    """Builds meshes and placements for the street from -_BEHIND to `end` [m]."""

    def __init__(self, seed: int, end: float, duration: float) -> None:
        super().__init__(seed, end, duration, make_path(math.ceil(end / BLOCK) + 1))
        self._trees = self._add_trees()
        self.cars = [self.add(car_mesh(shape)) for shape in CARS]
        self._figures = [
            tuple(self.add(pedestrian_mesh(who, phase)) for phase in range(PHASES))
            for who in range(len(CLOTHES))
        ]
        for side in (-1.0, 1.0):
            self._houses(side)
            self._furniture(side)
            self._parked_cars(side)
            self._people(side)
        self._bridges()
        self._traffic()

    def _add_trees(self) -> list[tuple[int, int]]:
        """Trees as pairs of meshes: one to see from near, one from far."""
        rng = self.rng(0)
        trees = []
        for _ in range(4):
            height, spread = rng.uniform(6.5, 9.0), rng.uniform(1.8, 2.6)
            near, far = (tree_mesh(rng, height, spread, clumps) for clumps in (480, 90))
            trees.append((self.add(near), self.add(far)))
        return trees

    def _houses(self, side: float) -> None:
        rng = self.rng(1, int(side > 0))
        s = -_BEHIND
        while s < self.end:
            if _near_bridge(s, s + 3.0):
                s = math.floor(s / BLOCK) * BLOCK + BRIDGE_END + 1.0
            wide = rng.uniform(7.0, 13.5)
            gap = rng.random() < 0.20
            style, high = int(rng.integers(1 << 16)), rng.uniform(6.4, 11.5)
            rise = rng.uniform(2.0, 3.4) if rng.random() < 0.75 else 0.0
            stop = s + wide
            if _near_bridge(s, stop):
                stop = math.floor(stop / BLOCK) * BLOCK + BRIDGE_START - 1.0
            if gap:
                self._garden(side, s, stop, style)
            else:
                base = self.base(side, s, stop, FACADE_OFFSET, _HOUSE_BACK)
                self.stand(building_mesh(base, high, rise, style))
                self.blocks.append(base)
                self.block_heights.append((0.0, high + 0.5 * rise))
            s = stop

    def _garden(self, side: float, s0: float, s1: float, style: int) -> None:
        """Fill a gap between houses: a fence along the pavement, trees, and a house at the back."""
        rng = self.rng(2, int(side > 0), style)
        ends = [path_pose(self.path, s, side * (FACADE_OFFSET + 0.2))[:2] for s in (s0, s1)]
        high = rng.uniform(1.1, 1.7)
        self.stand(fence_mesh(np.array(ends[0]), np.array(ends[1]), high, style))
        for s in np.arange(s0 + 1.8, s1 - 1.0, 2.8):
            d = side * (FACADE_OFFSET + rng.uniform(2.6, 4.2))
            self._plant(rng, float(s), d)
        base = self.base(side, s0 - 2.0, s1 + 2.0, FACADE_OFFSET + 11.0, FACADE_OFFSET + 19.0)
        self.stand(building_mesh(base, rng.uniform(8.0, 11.0), 2.5, style + 1))

    def _plant(self, rng: np.random.Generator, s: float, d: float) -> None:
        near, far = self._trees[int(rng.integers(len(self._trees)))]
        turn = rng.uniform(0.0, 2.0 * math.pi)
        self.placements.append(Placement((near,), s, d, KERB_HEIGHT, turn=turn, far_mesh=far))

    def _furniture(self, side: float) -> None:
        """Lamp posts, signs and street trees along the kerb."""
        rng = self.rng(3, int(side > 0))
        lamp, post = self.add(lamp_post_mesh()), self.add(sign_post_mesh())
        faces = [self.add(sign_face_mesh(style)) for style in range(4)]
        d = side * (ROAD_HALF_WIDTH + 0.55)
        s = -_BEHIND + (14.0 if side > 0 else 0.0)
        while s < self.end:
            spot = s + rng.uniform(-1.0, 1.0)
            turn = 0.0 if side < 0 else math.pi
            self.placements.append(Placement((lamp,), spot, d, KERB_HEIGHT, turn=turn))
            spot = s + rng.uniform(6.0, 9.0)
            face = faces[int(rng.integers(len(faces)))]
            self.placements.append(Placement((post,), spot, d, KERB_HEIGHT, turn=turn))
            self.placements.append(Placement((face,), spot, d, KERB_HEIGHT, turn=turn))
            spot = s + rng.uniform(15.0, 22.0)
            if rng.random() < 0.7 and not _near_bridge(spot - 3.0, spot + 3.0):
                self._plant(rng, spot, side * (ROAD_HALF_WIDTH + 0.75))
            s += 28.0

    def _parked_cars(self, side: float) -> None:
        rng = self.rng(4, int(side > 0))
        s = -_BEHIND
        while s < self.end:
            s += rng.uniform(5.6, 6.6) if rng.random() < 0.5 else rng.uniform(12.0, 34.0)
            car, paint = int(rng.integers(len(CARS))), int(rng.integers(len(CAR_PAINTS)))
            d = side * (ROAD_HALF_WIDTH - 1.08 + rng.uniform(-0.06, 0.06))
            turn = (0.0 if side < 0 else math.pi) + rng.uniform(-0.02, 0.02)
            if ZEBRA_START - 5.0 < s % BLOCK < ZEBRA_START + 8.0:
                continue
            self.car(car, paint, Placement((), s, d, turn=turn))

    def _people(self, side: float) -> None:
        rng = self.rng(5, int(side > 0))
        s = -_BEHIND
        while s < self.end + 1.5 * self.duration:
            s += rng.uniform(4.0, 17.0)
            way = float(rng.choice([-1.0, 1.0]))
            d = side * rng.uniform(ROAD_HALF_WIDTH + 1.6, FACADE_OFFSET - 0.7)
            speed = way * rng.uniform(1.1, 1.5)
            turn = 0.0 if way > 0 else math.pi
            figure = self._figures[int(rng.integers(len(self._figures)))]
            self.placements.append(Placement(figure, s, d, KERB_HEIGHT, speed, turn, pace=6.0))

    def _bridges(self) -> None:
        for block in range(math.ceil(self.end / BLOCK)):
            s0, s1 = block * BLOCK + BRIDGE_START, block * BLOCK + BRIDGE_END
            left = self.base(1.0, s0, s1, FACADE_OFFSET, _HOUSE_BACK)
            right = self.base(-1.0, s0, s1, FACADE_OFFSET, _HOUSE_BACK)
            deck = self.base(1.0, s0, s1, -_HOUSE_BACK, _HOUSE_BACK)
            self.stand(slab_mesh(left, 0.0, 5.3, standing=True))
            self.stand(slab_mesh(right, 0.0, 5.3, standing=True))
            self.stand(slab_mesh(deck, 5.3, 7.2, standing=False))
            self.blocks += [left, right, deck]
            self.block_heights += [(0.0, 5.3), (0.0, 5.3), (5.3, 7.2)]

    def _traffic(self) -> None:
        """Add cars ahead in the ego lane, oncoming cars, and cyclists at the lanes' edges."""
        self.car(0, 4, Placement((), 17.0, EGO_OFFSET, speed=EGO_SPEED, sway=4.0))
        self.car(1, 0, Placement((), 62.0, EGO_OFFSET, speed=EGO_SPEED, sway=5.0))
        rng = self.rng(6)
        s = 8.0
        while s < self.end + EGO_SPEED * self.duration:
            s += rng.uniform(22.0, 60.0)
            car, paint = int(rng.integers(len(CARS))), int(rng.integers(len(CAR_PAINTS)))
            place = Placement((), s, -EGO_OFFSET, speed=-EGO_SPEED, turn=math.pi)
            self.car(car, paint, place)
        riders = [
            tuple(self.add(cyclist_mesh(who, phase)) for phase in range(PHASES)) for who in range(3)
        ]
        for k in range(math.ceil((self.end + 4.5 * self.duration) / 80.0)):
            with_us = Placement(riders[k % 3], 40.0 + 80.0 * k, -3.25, speed=4.5, pace=5.0)
            against = with_us._replace(
                meshes=riders[(k + 1) % 3], s=75.0 + 95.0 * k, d=3.25, speed=-4.5, turn=math.pi
            )
            self.placements += [with_us, against]


def _near_bridge(s0: float, s1: float) -> bool:
    """Whether the stretch s0..s1 touches the bridge or a metre beside it."""
    offset = math.floor(s0 / BLOCK) * BLOCK
    return s0 - offset < BRIDGE_END + 1.0 and s1 - offset > BRIDGE_START - 1.0
