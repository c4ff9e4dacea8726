"""The land around an open road: its course, woods, banks, grass and houses, from a seed."""

from __future__ import annotations

import math

import numpy as np

from seg_ros.synthetic.basics import Floats, linear
from seg_ros.synthetic.objects import building_mesh
from seg_ros.synthetic.place import Place
from seg_ros.synthetic.plan import Placement, Plan
from seg_ros.synthetic.road import DRY_GRASS, EARTH, GRASS, GRAVEL, PLOUGHED, SAND, SNOW, ramp_at
from seg_ros.synthetic.roadside import bank_mesh, conifer_mesh, hills_mesh, thicket_mesh, tuft_mesh
from seg_ros.synthetic.street import join_path, path_pose
from seg_ros.synthetic.trees import tree_mesh

BEHIND = 60.0
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


class Landscape(Plan):
    """Builds the land around an open road from -BEHIND to `end` [m]."""

    def __init__(self, place: Place, seed: int, end: float, duration: float) -> None:
        super().__init__(seed, end, duration, np.zeros((0, 7)))
        self.place, self.road = place, place.road
        self.path = self._course()
        self._plants()
        for side in (-1.0, 1.0):
            self._woods(side)
            self._banks(side)
            self._tufts(side)
        self._houses()
        if place.hills > 0.0:
            hills = hills_mesh(self.rng(20), 700.0, place.hills)
            x, y, _ = path_pose(self.path, 0.5 * end, 0.0)
            self.placements.append(Placement((self.add(hills),), fixed=(x, y, 0.0)))

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

    def covered(self, s: float, margin: float = 8.0) -> bool:
        """Whether the road is in the tunnel at s, or `margin` metres before or behind it."""
        tunnel = self.place.tunnel
        return tunnel is not None and tunnel[0] - margin < s < tunnel[1] + margin

    def put(self, mesh: int, s: float, d: float, turn: float = 0.0, far: int | None = None) -> None:
        """Place a mesh at s, d, unless that is in the tunnel."""
        if not self.covered(s):
            self.placements.append(Placement((mesh,), s, d, turn=turn, far_mesh=far))

    def _grow(
        self, mesh: int, s: float, d: float, turn: float = 0.0, far: int | None = None
    ) -> None:
        """Place a tree or a thicket, unless it would grow on the road or on a ramp."""
        if abs(d) > self.edge(s, math.copysign(1.0, d)) + 1.5:
            ahead = (self.edge(s + reach, -1.0) for reach in (-7.0, 7.0))
            if d > 0.0 or -d > max(ahead) + 3.0 or self.road.ramp_width == 0.0:
                self.put(mesh, s, d, turn, far)

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

    def _woods(self, side: float) -> None:
        """Stretches of wood, hedges, rows of trees, single trees or nothing."""
        rng = self.rng(14, int(side > 0))
        s = -BEHIND
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
                    self._grow(thicket, float(spot), side * (first + 3.0))
            else:
                for _ in range(int(stretch / 22.0)):
                    spot, d = rng.uniform(s, stop), side * (first + rng.gamma(1.3, 25.0))
                    if rng.random() < 0.5:
                        self._tree(rng, spot, d)
                    else:
                        self._grow(self._bush, spot, d, rng.uniform(0.0, 6.3))
                far = side * rng.uniform(110.0, 220.0)
                if rng.random() < 0.6:
                    for spot in np.arange(s, stop, 9.0):
                        self._grow(self._thickets[int(rng.integers(4))], float(spot), far)
            s += stretch

    def _wood(
        self, rng: np.random.Generator, side: float, s: float, stop: float, first: float
    ) -> None:
        for spot in np.arange(s, stop, 7.0):
            thicket = self._thickets[int(rng.integers(4))]
            self._grow(thicket, float(spot), side * (first + rng.uniform(5.0, 9.0)))
        for row in range(3):
            for spot in np.arange(s, stop, 5.5 + 2.0 * row):
                d = first + 5.0 * row + rng.uniform(0.0, 4.0)
                self._tree(rng, float(spot + rng.uniform(-2.0, 2.0)), side * d)

    def _tree(self, rng: np.random.Generator, s: float, d: float) -> None:
        near, far = self._trees[int(rng.integers(len(self._trees)))]
        self._grow(near, s, d, rng.uniform(0.0, 6.28), far)

    def _banks(self, side: float) -> None:
        """Cuttings, and walls of snow that the plough has left."""
        rng = self.rng(15, int(side > 0))
        snow = self.road.verge == SNOW and rng.random() < 0.6
        if snow:
            self._bank(rng, side, -BEHIND, self.end, 0.35, rng.uniform(0.25, 0.9), 1.4)
        s = -BEHIND + rng.uniform(0.0, 60.0)
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
            roofed = any(self.covered(s, 4.0) for s in places[part])
            if len(edge) > 1 and not roofed:
                self.stand(bank_mesh(rng, edge, crest, tops[part], colour, turf))

    def _tufts(self, side: float) -> None:
        """Tall grass along the edge, where the ground bears it."""
        rng = self.rng(21, int(side > 0))
        if self.road.verge in (SNOW, GRAVEL) or self.place.tufts == 0.0:
            return
        green = self.road.verge == GRASS
        pair = ((40, 92, 72), (64, 130, 124)) if green else ((84, 136, 152), (120, 172, 190))
        tufts = [self.add(tuft_mesh(rng, (linear(*pair[0]), linear(*pair[1])))) for _ in range(3)]
        beside = rng.uniform(0.15, 0.8)
        for s in np.arange(-10.0, self.end - 200.0, 2.6):
            if rng.random() < self.place.tufts:
                d = side * (self.edge(s, side) + beside + rng.gamma(1.0, 0.5))
                self.put(tufts[int(rng.integers(3))], float(s), d)

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
            if not self.covered(s, 30.0):
                self.stand(house)
            s += wide + rng.uniform(20.0, 260.0)
