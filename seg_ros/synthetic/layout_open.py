"""The plan of an open road: its land, and rails, signs, bridges and traffic, from a seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from seg_ros.synthetic.basics import GLASS, HEADLAMP, linear
from seg_ros.synthetic.cars import CAR_PAINTS, CARS, car_lamps, car_mesh
from seg_ros.synthetic.ego import ego_mesh
from seg_ros.synthetic.landscape import BEHIND, Landscape
from seg_ros.synthetic.objects import sign_face_mesh, sign_post_mesh, slab_mesh
from seg_ros.synthetic.place import Place
from seg_ros.synthetic.plan import Placement
from seg_ros.synthetic.road import ramp_at
from seg_ros.synthetic.roadside import (
    BARRIER_LENGTH,
    RAIL_LENGTH,
    barrier_mesh,
    board_mesh,
    gantry_mesh,
    gantry_post_mesh,
    marker_mesh,
    mast_mesh,
    rail_mesh,
    truck_mesh,
    tunnel_mesh,
)


class OpenLayout(Landscape):
    """Builds meshes and placements for an open road from -BEHIND to `end` [m]."""

    def __init__(self, place: Place, seed: int, end: float, duration: float) -> None:
        super().__init__(place, seed, end, duration)
        lit = place.weather.dusk > 0.0
        for shape in CARS:
            self.cars.append(self.add(car_mesh(shape, HEADLAMP if lit else GLASS)))
            self.lamps[self.cars[-1]] = car_lamps(shape)
        for side in (-1.0, 1.0):
            self._rails(side)
            self._roadside(side)
        self._signs()
        self._traffic()
        if place.bridge:
            self._bridge()
        if place.tunnel is not None:
            self._tunnel(*place.tunnel)
        if place.bonnet is not None:
            ego = (self.add(ego_mesh(place.bonnet)),)
            self.placements.append(Placement(ego, d=place.offset, speed=place.speed))

    def _rails(self, side: float) -> None:
        """Rails or barriers along an edge, and along the median."""
        kind = self.place.rails[int(side < 0)]
        median = self.road.other_near - self.road.left
        rng = self.rng(12, int(side > 0))
        offset = rng.uniform(0.5, 1.1)
        if side > 0 and median > 0.0:
            grey = linear(*(rng.uniform(140, 190) * np.array([1.0, 1.01, 1.02])))
            if median < 3.0:
                middle = self.road.left + median / 2
                self._run(self.add(barrier_mesh(grey)), BARRIER_LENGTH, lambda _: middle)
            elif kind != "none":
                left, right = self.add(rail_mesh(-1.0)), self.add(rail_mesh(1.0))
                near, far = self.road.left + 0.7, self.road.other_near - 0.7
                self._run(left, RAIL_LENGTH, lambda _: near)
                self._run(right, RAIL_LENGTH, lambda _: far)
            return
        if kind == "none":
            return
        if kind == "rail":
            mesh, long = self.add(rail_mesh(-side)), RAIL_LENGTH
        else:
            mesh, long = self.add(barrier_mesh(linear(164, 168, 170))), BARRIER_LENGTH
        gaps = self.place.bends[0] < 400.0

        def beside(s: float) -> float | None:
            if gaps and math.sin(s / 47.0 + offset * 9.0) < -0.2:
                return None
            if side < 0 and ramp_at(self.road, s)[1] > 0.0:
                return None
            return side * (self.edge(s, side) + offset)

        self._run(mesh, long, beside)

    def _run(self, mesh: int, long: float, beside: Callable[[float], float | None]) -> None:
        for k in range(int(-BEHIND / long), int(self.end / long)):
            s = (k + 0.5) * long
            d = beside(s)
            if d is not None:
                self.put(mesh, s, d)

    def _roadside(self, side: float) -> None:
        """Delineators, lamp masts or telegraph poles."""
        rng = self.rng(13, int(side > 0))
        country = self.place.bends[0] < 400.0
        if rng.random() < 0.6:
            marker = self.add(marker_mesh())
            beside = rng.uniform(0.4, 1.4)
            for s in np.arange(-BEHIND, self.end, 50.0 if not country else 33.0):
                turn = 0.0 if side < 0 else math.pi
                self.put(marker, float(s), side * (self.edge(s, side) + beside), turn)
        if rng.random() < 0.35:
            wood = linear(58, 70, 84) if country else linear(140, 140, 136)
            mast = self.add(mast_mesh(rng.uniform(7.0, 11.0), wood, 1.0 if country else 1.6))
            beside, start = rng.uniform(2.0, 8.0), rng.uniform(-BEHIND, 0.0)
            for s in np.arange(start, self.end, 45.0):
                self.put(mast, float(s), side * (self.edge(s, side) + beside))

    def _signs(self) -> None:
        """Signs to the right, and boards over a highway."""
        rng = self.rng(16)
        post = self.add(sign_post_mesh())
        faces = [self.add(sign_face_mesh(style)) for style in range(4)]
        blue, green = linear(120, 62, 16), linear(60, 92, 16)
        colour = blue if rng.random() < 0.5 else green
        s = rng.uniform(-20.0, 30.0)
        while s < self.end:
            d = -(self.edge(s, -1.0) + rng.uniform(1.2, 3.0))
            if rng.random() < 0.75:
                self.put(post, s, d)
                self.put(faces[int(rng.integers(4))], s, d)
            else:
                wide, high = rng.uniform(2.0, 4.0), rng.uniform(1.4, 2.6)
                self.put(self.add(board_mesh(wide, high, 1.6, colour)), s, d - wide / 2)
                for y in (-0.35, 0.35):
                    self.put(post, s, d - wide / 2 + y * wide)
            s += rng.uniform(35.0, 140.0)
        if self.place.bends[0] > 400.0 and rng.random() < 0.6:
            left, column = self.road.left + 0.4, self.add(gantry_post_mesh())
            s = rng.uniform(40.0, 160.0)
            while s < self.end:
                right = -self.edge(s, -1.0) - 0.7
                self.put(self.add(gantry_mesh(left, right)), s, 0.0)
                for d in (left, right):
                    self.put(column, s, d)
                for y in np.arange(right + 2.5, left - 1.5, 4.6):
                    if rng.random() < 0.75:
                        board = board_mesh(rng.uniform(3.0, 4.2), 2.4, 5.4, colour)
                        self.put(self.add(board), s, float(y))
                s += rng.uniform(150.0, 300.0)

    def _bridge(self) -> None:
        """Add a road that crosses over this one."""
        rng = self.rng(18)
        s0 = rng.uniform(50.0, 180.0)
        s1 = s0 + rng.uniform(8.0, 14.0)
        for side in (-1.0, 1.0):
            near = max(self.edge(s0, side), self.edge(s1, side)) + rng.uniform(1.5, 5.0)
            self.stand(slab_mesh(self.base(side, s0, s1, near, near + 10.0), 0.0, 5.6, True))
        wide = max(self.edge(s0, -1.0), self.edge(s0, 1.0)) + 14.0
        self.stand(slab_mesh(self.base(1.0, s0, s1, -wide, wide), 5.6, 7.4, standing=False))

    def _tunnel(self, start: float, stop: float) -> None:
        """Add walls, a roof with lamps, and portals over both carriageways."""
        rng = self.rng(22)
        colour = linear(*(rng.uniform(95.0, 200.0) * rng.uniform(0.93, 1.07, 3)))
        left, right = self.road.left - 0.15, -self.road.right - 0.15
        walls = [(-1.0, right, right + 0.6), (1.0, left, left + 0.5)]
        outer = left + 0.5
        if self.road.other_far > 0.0:
            near, outer = self.road.other_near + 0.15, self.road.other_far + 0.4
            walls[1] = (1.0, left, near)
            walls.append((1.0, self.road.other_far - 0.15, outer))
        count = math.ceil((stop - start) / 8.0)
        ends = np.linspace(start, stop, count + 1)
        for s0, s1 in pairwise(ends):
            for side, near, far in walls:
                self.stand(tunnel_mesh(self.base(side, s0, s1, near, far), 0.0, 5.0, colour), True)
            roof = self.base(1.0, s0, s1, -right - 0.6, outer)
            self.stand(tunnel_mesh(roof, 5.0, 7.0, colour), True)
            self.blocks.append(roof)
            self.block_heights.append((5.0, 7.0))
            for d in (0.5 * self.road.right, 0.5 * self.road.left):
                lamp = self.base(1.0, s0 + 3.0, s0 + 4.6, d - 0.15, d + 0.15)
                self.stand(tunnel_mesh(lamp, 4.86, 4.99, colour, lamp=True), True)
        for s0, s1 in ((start - 1.0, start), (stop, stop + 1.0)):
            for side, near in ((-1.0, right + 0.1), (1.0, outer - 0.1)):
                wing = self.base(side, s0, s1, near, near + 16.0)
                self.stand(tunnel_mesh(wing, 0.0, 8.0, colour))
            head = self.base(1.0, s0, s1, -right - 0.1, outer - 0.1)
            self.stand(tunnel_mesh(head, 5.0, 8.0, colour))

    def _traffic(self) -> None:
        """Cars and lorries in all lanes; those of the own lane keep the own speed."""
        rng = self.rng(19)
        lane, line = self.road.lane_width, self.road.line
        cabs = ((6, 9.0), (4, 13.5))
        lorries = [self.add(truck_mesh(long, linear(*CAR_PAINTS[k]))) for k, long in cabs]
        for lorry, (_, long) in zip(lorries, cabs, strict=True):
            ends = ((long / 2 + 0.02, 1.0, 0.85), (-long / 2 - 0.02, -1.0, 0.91))
            self.lamps[lorry] = np.array([(x, y, z, to) for x, to, z in ends for y in (-1.0, 1.0)])
        both = self.road.other_near == 0.0 and self.road.lanes == 2
        speed, span = self.place.speed, self.place.speed * self.duration
        for number in range(self.road.lanes):
            d = line - lane * (number + 0.5)
            against = both and number == 0
            own = abs(d - self.place.offset) < 0.6 * lane
            pace = speed * (1.0 if own else rng.uniform(0.85, 1.15))
            if against:
                self._lane(rng, lorries, d, -speed, 0.0, self.end + span)
            else:
                self._lane(rng, lorries, d, pace, 12.0 if own else -BEHIND, self.end)
        if self.road.other_near > 0.0:
            first = self.road.other_near + (self.road.left - self.road.line)
            for number in range(self.road.lanes):
                d = first + lane * (number + 0.5)
                self._lane(rng, lorries, d, -speed, -BEHIND, self.end + span)

    def _lane(
        self,
        rng: np.random.Generator,
        lorries: list[int],
        d: float,
        speed: float,
        start: float,
        stop: float,
    ) -> None:
        s, turn = start, 0.0 if speed > 0 else math.pi
        while s < stop:
            s += rng.exponential(60.0 / self.place.traffic) + 12.0
            beside = d + rng.normal(0.0, 0.15)
            paint = int(rng.integers(len(CAR_PAINTS)))
            spot = Placement((), s, beside, speed=speed, turn=turn + rng.normal(0.0, 0.01))
            if rng.random() < 0.2:
                colour = linear(*(rng.uniform(90.0, 225.0, 3)))
                lorry = lorries[int(rng.integers(2))]
                self.placements.append(spot._replace(meshes=(lorry,), paint=colour))
                s += 14.0
            else:
                self.car(int(rng.integers(len(CARS))), paint, spot)
