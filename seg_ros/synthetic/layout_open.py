"""The plan of an open road: rails, banks, signs, woods, houses and traffic, from a seed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from seg_ros.synthetic.basics import GLASS, HEADLAMP, Floats, linear
from seg_ros.synthetic.cars import CAR_PAINTS, CARS, car_mesh
from seg_ros.synthetic.ego import ego_mesh
from seg_ros.synthetic.objects import building_mesh, sign_face_mesh, sign_post_mesh, slab_mesh
from seg_ros.synthetic.place import Place
from seg_ros.synthetic.plan import Placement, Plan
from seg_ros.synthetic.road import DRY_GRASS, EARTH, GRASS, GRAVEL, PLOUGHED, SAND, SNOW, ramp_at
from seg_ros.synthetic.roadside import (
    BARRIER_LENGTH,
    RAIL_LENGTH,
    bank_mesh,
    barrier_mesh,
    board_mesh,
    conifer_mesh,
    gantry_mesh,
    hills_mesh,
    marker_mesh,
    mast_mesh,
    rail_mesh,
    thicket_mesh,
    truck_mesh,
)
from seg_ros.synthetic.street import join_path, path_pose
from seg_ros.synthetic.trees import tree_mesh

_BEHIND = 60.0
"""Road [m] laid out behind the first frame."""
_BANK_COLOURS = {
    GRASS: (50, 104, 90),
    DRY_GRASS: (98, 150, 170),
    SAND: (138, 168, 188),
    GRAVEL: (128, 136, 140),
    EARTH: (60, 88, 114),
    PLOUGHED: (60, 88, 114),
    SNOW: (232, 230, 226),
}


class OpenLayout(Plan):
    """Builds meshes and placements for an open road from -_BEHIND to `end` [m]."""

    def __init__(self, place: Place, seed: int, end: float, duration: float) -> None:
        super().__init__(seed, end, duration, np.zeros((0, 7)))
        self.place, self.road = place, place.road
        self.path = self._course()
        lit = place.weather.dusk > 0.0
        self.cars = [self.add(car_mesh(shape, HEADLAMP if lit else GLASS)) for shape in CARS]
        self._plants()
        for side in (-1.0, 1.0):
            self._rails(side)
            self._roadside(side)
            self._woods(side)
            self._banks(side)
        self._signs()
        self._houses()
        self._traffic()
        if place.bridge:
            self._bridge()
        if place.hills > 0.0:
            hills = hills_mesh(self.rng(20), 700.0, place.hills)
            x, y, _ = path_pose(self.path, 0.5 * end, 0.0)
            self.placements.append(Placement((self.add(hills),), fixed=(x, y, 0.0)))
        if place.bonnet is not None:
            ego = (self.add(ego_mesh(place.bonnet)),)
            self.placements.append(Placement(ego, d=place.offset, speed=place.speed))

    def _course(self) -> Floats:
        rng = self.rng(10)
        low, high = self.place.bends
        blocks, s = [], 0.0
        sign = float(rng.choice([-1.0, 1.0]))
        while s < self.end + 200.0:
            radius = math.exp(rng.uniform(math.log(low), math.log(high)))
            arc = radius * math.radians(rng.uniform(8.0, 40.0 if low < 400.0 else 20.0))
            before, after = rng.uniform(0.0, 0.2 * low + 20.0), rng.uniform(5.0, 80.0)
            blocks.append((before, sign / radius, arc, after))
            s += before + arc + after
            sign = -sign if rng.random() < 0.7 else sign
        return join_path(blocks)

    def edge(self, s: float, side: float) -> float:
        """Distance [m] from the path to the outermost paved edge on a side (1 left)."""
        if side > 0:
            return max(self.road.left, self.road.other_far)
        width, gap = ramp_at(self.road, s)
        return -self.road.right + width + gap

    def _put(
        self, mesh: int, s: float, d: float, turn: float = 0.0, far: int | None = None
    ) -> None:
        self.placements.append(Placement((mesh,), s, d, turn=turn, far_mesh=far))

    def _plants(self) -> None:
        rng = self.rng(11)
        self._trees, self._thickets = [], []
        spruces = rng.random() < 0.4
        for _ in range(4):
            if spruces:
                near = self.add(conifer_mesh(rng, rng.uniform(7.0, 16.0)))
                self._trees.append((near, near))
            else:
                high, spread = rng.uniform(5.0, 12.0), rng.uniform(1.6, 3.4)
                near, far = (self.add(tree_mesh(rng, high, spread, n)) for n in (260, 60))
                self._trees.append((near, far))
            size = rng.uniform(8.0, 14.0), rng.uniform(4.0, 8.0), rng.uniform(3.0, 9.0)
            self._thickets.append(self.add(thicket_mesh(rng, *size)))
        self._bush = self.add(thicket_mesh(rng, 2.4, 2.0, 1.6))

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
        for k in range(int(-_BEHIND / long), int(self.end / long)):
            s = (k + 0.5) * long
            d = beside(s)
            if d is not None:
                self._put(mesh, s, d)

    def _roadside(self, side: float) -> None:
        """Delineators, lamp masts or telegraph poles."""
        rng = self.rng(13, int(side > 0))
        country = self.place.bends[0] < 400.0
        if rng.random() < 0.6:
            marker = self.add(marker_mesh())
            beside = rng.uniform(0.4, 1.4)
            for s in np.arange(-_BEHIND, self.end, 50.0 if not country else 33.0):
                turn = 0.0 if side < 0 else math.pi
                self._put(marker, float(s), side * (self.edge(s, side) + beside), turn)
        if rng.random() < 0.35:
            wood = linear(58, 70, 84) if country else linear(140, 140, 136)
            mast = self.add(mast_mesh(rng.uniform(7.0, 11.0), wood, 1.0 if country else 1.6))
            beside, start = rng.uniform(2.0, 8.0), rng.uniform(-_BEHIND, 0.0)
            for s in np.arange(start, self.end, 45.0):
                self._put(mast, float(s), side * (self.edge(s, side) + beside))

    def _woods(self, side: float) -> None:
        """Stretches of wood, hedges, rows of trees, single trees or nothing."""
        rng = self.rng(14, int(side > 0))
        s = -_BEHIND
        while s < self.end:
            stretch = rng.uniform(40.0, 140.0)
            what = rng.random()
            first = self.edge(s, side) + rng.uniform(4.0, 25.0)
            if rng.random() > self.place.woods:
                what = 1.0
            stop = min(s + stretch, self.end)
            if what < 0.4:
                self._wood(rng, side, s, stop, first)
            elif what < 0.55:
                for spot in np.arange(s, stop, rng.uniform(7.0, 14.0)):
                    self._tree(rng, float(spot), side * (self.edge(spot, side) + 0.3 * first))
            elif what < 0.7:
                thicket = self._thickets[int(rng.integers(4))]
                for spot in np.arange(s, stop, 7.5):
                    self._put(thicket, float(spot), side * (first + 3.0))
            else:
                for _ in range(int(stretch / 22.0)):
                    spot, d = rng.uniform(s, stop), side * (first + rng.gamma(1.3, 25.0))
                    if rng.random() < 0.5:
                        self._tree(rng, spot, d)
                    else:
                        self._put(self._bush, spot, d, rng.uniform(0.0, 6.3))
                far = side * rng.uniform(110.0, 220.0)
                if rng.random() < 0.6:
                    for spot in np.arange(s, stop, 9.0):
                        self._put(self._thickets[int(rng.integers(4))], float(spot), far)
            s += stretch

    def _wood(
        self, rng: np.random.Generator, side: float, s: float, stop: float, first: float
    ) -> None:
        for spot in np.arange(s, stop, 7.0):
            thicket = self._thickets[int(rng.integers(4))]
            self._put(thicket, float(spot), side * (first + rng.uniform(5.0, 9.0)))
        for row in range(3):
            for spot in np.arange(s, stop, 5.5 + 2.0 * row):
                d = first + 5.0 * row + rng.uniform(0.0, 4.0)
                self._tree(rng, float(spot + rng.uniform(-2.0, 2.0)), side * d)

    def _tree(self, rng: np.random.Generator, s: float, d: float) -> None:
        near, far = self._trees[int(rng.integers(len(self._trees)))]
        self._put(near, s, d, rng.uniform(0.0, 6.28), far)

    def _banks(self, side: float) -> None:
        """Cuttings, and walls of snow that the plough has left."""
        rng = self.rng(15, int(side > 0))
        snow = self.road.verge == SNOW and rng.random() < 0.6
        if snow:
            self._bank(rng, side, -_BEHIND, self.end, 0.35, rng.uniform(0.25, 0.9), 1.4)
        s = -_BEHIND + rng.uniform(0.0, 60.0)
        while s < self.end:
            stretch = rng.uniform(60.0, 160.0)
            if rng.random() < self.place.banks:
                away = 3.5 if snow else rng.uniform(1.8, 6.0)
                self._bank(rng, side, s, s + stretch, away, rng.uniform(1.0, 6.0), 2.2)
            s += stretch

    def _bank(
        self,
        rng: np.random.Generator,
        side: float,
        start: float,
        stop: float,
        away: float,
        high: float,
        slope: float,
    ) -> None:
        """Add a bank in pieces, `away` metres from the paved edge, rising 1 in `slope`."""
        step = 3.0 if high < 1.0 else 6.0
        places = np.arange(start, stop + step, step)
        ends = np.minimum(np.minimum(places - start, stop - places) / 12.0 + 0.02, 1.0)
        tops = high * np.clip(ends, 0.02, 1.0) * rng.uniform(0.7, 1.3, len(places))
        foot = np.array([self.edge(s, side) + away for s in places])
        foot += rng.uniform(0.0, 0.25, len(places))
        ground = self.road.beyond if away > self.road.verge_width else self.road.verge
        if ground not in _BANK_COLOURS:
            ground = GRASS
        colour = linear(*_BANK_COLOURS[ground])
        turf = ground in (GRASS, DRY_GRASS)
        pairs = zip(places, foot, tops, strict=True)
        lower, upper = [], []
        for s, d, top in pairs:
            lower.append(path_pose(self.path, s, side * d)[:2])
            upper.append(path_pose(self.path, s, side * (d + slope * top))[:2])
        piece = 5
        for k in range(0, len(places) - 1, piece):
            part = slice(k, k + piece + 1)
            edge, crest = np.array(lower[part]), np.array(upper[part])
            if len(edge) > 1:
                self.stand(bank_mesh(rng, edge, crest, tops[part], colour, turf))

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
                self._put(post, s, d)
                self._put(faces[int(rng.integers(4))], s, d)
            else:
                wide, high = rng.uniform(2.0, 4.0), rng.uniform(1.4, 2.6)
                self._put(self.add(board_mesh(wide, high, 1.6, colour)), s, d - wide / 2)
                for y in (-0.35, 0.35):
                    self._put(post, s, d - wide / 2 + y * wide)
            s += rng.uniform(35.0, 140.0)
        if self.place.bends[0] > 400.0 and rng.random() < 0.6:
            left, right = self.road.left + 0.4, self.road.right - 0.6
            gantry = self.add(gantry_mesh(left, right))
            s = rng.uniform(40.0, 160.0)
            while s < self.end:
                self._put(gantry, s, 0.0)
                for y in np.arange(right + 2.5, left - 1.5, 4.6):
                    if rng.random() < 0.75:
                        board = board_mesh(rng.uniform(3.0, 4.2), 2.4, 5.4, colour)
                        self._put(self.add(board), s, float(y))
                s += rng.uniform(150.0, 300.0)

    def _houses(self) -> None:
        rng = self.rng(17)
        s = rng.uniform(0.0, 120.0)
        while s < self.end:
            side = float(rng.choice([-1.0, 1.0]))
            near = self.edge(s, side) + rng.uniform(12.0, 90.0)
            wide, deep = rng.uniform(8.0, 22.0), rng.uniform(7.0, 12.0)
            base = self.base(side, s, s + wide, near, near + deep)
            rise = rng.uniform(2.0, 4.0)
            house = building_mesh(base, rng.uniform(3.2, 7.5), rise, int(rng.integers(1 << 16)))
            self.stand(house)
            s += wide + rng.uniform(20.0, 260.0)

    def _bridge(self) -> None:
        """Add a road that crosses over this one."""
        rng = self.rng(18)
        s0 = rng.uniform(50.0, 180.0)
        s1 = s0 + rng.uniform(8.0, 14.0)
        for side in (-1.0, 1.0):
            near = self.edge(s0, side) + rng.uniform(1.5, 5.0)
            self.stand(slab_mesh(self.base(side, s0, s1, near, near + 10.0), 0.0, 5.6, True))
        wide = max(self.edge(s0, -1.0), self.edge(s0, 1.0)) + 14.0
        self.stand(slab_mesh(self.base(1.0, s0, s1, -wide, wide), 5.6, 7.4, standing=False))

    def _traffic(self) -> None:
        """Cars and lorries in all lanes; those of the own lane keep the own speed."""
        rng = self.rng(19)
        lane, line = self.road.lane_width, self.road.line
        cabs = ((6, 9.0), (4, 13.5))
        lorries = [self.add(truck_mesh(long, linear(*CAR_PAINTS[k]))) for k, long in cabs]
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
                self._lane(rng, lorries, d, pace, 12.0 if own else -_BEHIND, self.end)
        if self.road.other_near > 0.0:
            first = self.road.other_near + (self.road.left - self.road.line)
            for number in range(self.road.lanes):
                d = first + lane * (number + 0.5)
                self._lane(rng, lorries, d, -speed, -_BEHIND, self.end + span)

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
