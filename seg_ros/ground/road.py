"""The road's plane in a camera's frame, from how the road ahead changes between two frames.

Points on the road are few and flat to look at, so no corners are followed here: the road itself,
some thousand pixels of it, is laid from one frame onto the other through the homography that the
plane induces, H = R (I - c g^T) with the camera's rotation R and way c (a unit vector; Hartley and
Zisserman, "Multiple View Geometry", 13.1), and g, the plane's normal times way by height, is moved
until they agree (Baker and Matthews, "Lucas-Kanade 20 years on", IJCV 2004).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.ground.camera import CameraModel
from seg_ros.ground.mounting import mounting_of_aim
from seg_ros.ground.travel import PairMotion

Floats = NDArray[np.float64]

_NEAR, _FAR, _ASIDE = 2.5, 12.0, 3.0
"""Of the camera's height: where the road is looked at."""
_MOST = 12_000
"""Pixels that are compared."""
_LEAST = 1_500
"""Pixels of road below which a pair says nothing of it."""
_SCALES = ((4.0, 4), (2.0, 12), (1.0, 20))
"""Blur in pixels of a picture of 1000 across, and steps."""
_STEPS = np.geomspace(0.08, 4.0, 40)
"""Ways by height that are tried first."""
_AGREE = 0.5
"""Correlation of the two below which they are not the same road."""
LEAST_PLANES = 8
"""Pairs below which they tell nothing of the road."""
_ENOUGH = 4
"""Pairs from which on the next one starts with their normal."""
_WIDEST = math.radians(2.0)
"""Standard error of the roll beyond which the pairs do not agree on a road."""
_DRAWS = 100
_BLOCK_NS = 3_000_000_000
_ROLL_FLOOR, _HEIGHT_FLOOR = math.radians(0.1), 0.007
"""What no number of pairs averages away: radians, and part of the height."""


@dataclass(frozen=True, eq=False)
class RoadPlane:
    """What a pair of frames says of the road."""

    g: Floats
    """(3,) the road's normal, downwards, in the first frame, times way by height."""
    information: Floats
    """(3, 3) inverse of its covariance, up to a factor that is the same for all pairs."""
    agreement: float
    """Correlation of the two, 1 at most."""


class Road:
    """Compares the road in pairs of frames of one camera.

    Args:
        camera: of the frames; its mounting is not looked at.

    """

    def __init__(self, camera: CameraModel) -> None:
        self.pinhole = replace(camera, distortion=())
        self._maps: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        flat = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy], axis=-1)
        self._rays = np.concatenate([flat, np.ones((*flat.shape[:2], 1))], axis=-1)
        if camera.distortion:
            pixels = camera.pixels(self._rays.reshape(-1, 3))
            pixels = np.where(np.isfinite(pixels), pixels, -1e4).astype(np.float32)
            maps = pixels.reshape(camera.height, camera.width, 2)
            self._maps = maps[..., 0].copy(), maps[..., 1].copy()

    def straight(self, image: NDArray[np.uint8], mask: bool = False) -> NDArray[np.uint8]:
        """Return an image as a pinhole would see it; of a mask pixels are not blended."""
        if self._maps is None:
            return image
        how = cv2.INTER_NEAREST if mask else cv2.INTER_LINEAR
        return np.asarray(cv2.remap(image, *self._maps, how), np.uint8)

    def plane(
        self,
        first: NDArray[np.uint8],
        second: NDArray[np.uint8],
        road: NDArray[np.uint8],
        motion: PairMotion,
        down: Floats,
        expected: tuple[float, float] = (0.1, 4.0),
    ) -> RoadPlane | None:
        """Find the road's plane from a pair, None where that does not show.

        Args:
            first: (H, W) uint8 grey, as the camera sees it.
            second: the same.
            road: (H, W) uint8, not 0 where the first shows the road.
            motion: with direction and rotation.
            down: (3,) the road's normal about, towards the road, in the first frame.
            expected: least and largest way by height.

        """
        if motion.direction is None or motion.rotation is None:
            return None
        rotation = np.asarray(cv2.Rodrigues(motion.rotation)[0], np.float64)
        half = np.asarray(cv2.Rodrigues(motion.rotation / 2)[0], np.float64)
        way = rotation @ half.T @ motion.direction
        rays = self._chosen(self.straight(road, mask=True), down)
        if rays is None:
            return None
        one, two = self.straight(first), self.straight(second)
        problem = _Alignment(self.pinhole, rays, rotation, way)
        g = down.copy()
        unit = self.pinhole.width / 1000
        found: tuple[Floats, float] | None = None
        for stage, (blur, steps) in enumerate(_SCALES):
            problem.show(_normal(one, blur * unit), _normal(two, blur * unit))
            if stage == 0:
                tried = [k for k in _STEPS if expected[0] <= k <= expected[1]]
                scores = [problem.agreement(down * k) for k in tried]
                if not scores:
                    return None
                g = down * tried[int(np.argmax(scores))]
            found = problem.refine(g, steps, only_length=stage == 0)
            g = found[0]
        if problem.agreement(g) < _AGREE:
            return None
        return RoadPlane(g, problem.information, problem.agreement(g))

    def _chosen(self, road: NDArray[np.uint8], down: Floats) -> Floats | None:
        """Rays (N, 3) of road pixels that are near enough to see how far they are."""
        depth = self._rays @ down  # height by distance
        there = (depth > 1 / _FAR) & (depth < 1 / _NEAR) & (road > 0)
        there &= np.abs(self._rays[..., 0]) < _ASIDE * np.maximum(depth, 0)
        rays = self._rays[there]
        if len(rays) < _LEAST * (self.pinhole.width / 1000) ** 2:
            return None
        return np.asarray(rays[:: max(1, len(rays) // _MOST)])


def _normal(image: NDArray[np.uint8], blur: float) -> NDArray[np.float32]:
    """Brightness without that of its surroundings, in units of their contrast."""
    grey = cv2.GaussianBlur(image.astype(np.float32), (0, 0), max(blur, 0.6))
    wide = 8 * max(blur, 2.0)
    mean = cv2.blur(grey, (int(2 * wide) + 1,) * 2)
    square = cv2.blur(grey * grey, (int(2 * wide) + 1,) * 2)
    spread = np.sqrt(np.maximum(square - mean * mean, 0)) + 3.0
    return np.asarray((grey - mean) / spread, np.float32)


class _Alignment:
    """One pair: residuals of the road's brightness, and steps that lessen them."""

    def __init__(self, camera: CameraModel, rays: Floats, rotation: Floats, way: Floats) -> None:
        self._camera, self._rays, self._way = camera, rays, way
        self._turned = rays @ rotation.T
        pixels = camera.pixels(rays).astype(np.float32)
        self._at = pixels[:, None, 0].copy(), pixels[:, None, 1].copy()
        self.information = np.zeros((3, 3))

    def show(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> None:
        """Take the pictures that are compared from now on."""
        self._value = _sample(first, *self._at)
        self._second = second
        self._slopes = (
            cv2.Scharr(second, cv2.CV_32F, 1, 0) / 32,
            cv2.Scharr(second, cv2.CV_32F, 0, 1) / 32,
        )

    def _moved(self, g: Floats) -> tuple[Floats, NDArray[np.float32], NDArray[np.float32]]:
        points = self._turned - np.outer(self._rays @ g, self._way)
        depth = np.maximum(points[:, 2], 1e-3)
        c = self._camera
        x = (c.fx * points[:, 0] / depth + c.cx).astype(np.float32)[:, None]
        y = (c.fy * points[:, 1] / depth + c.cy).astype(np.float32)[:, None]
        return points, x, y

    def _inside(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.bool_]:
        c = self._camera
        inside = (x >= 1) & (x <= c.width - 2) & (y >= 1) & (y <= c.height - 2)
        return np.asarray(inside[:, 0])

    def agreement(self, g: Floats) -> float:
        """Correlation of the two pictures of the road."""
        _, x, y = self._moved(g)
        inside = self._inside(x, y)
        if inside.sum() < len(inside) / 4:
            return -1.0
        there = _sample(self._second, x, y)[inside]
        return float(np.corrcoef(self._value[inside], there)[0, 1])

    def refine(self, g: Floats, steps: int, only_length: bool) -> tuple[Floats, float]:
        """Take Gauss-Newton steps; return g and the last step's length."""
        last = math.inf
        for _ in range(steps):
            points, x, y = self._moved(g)
            inside = self._inside(x, y)
            if inside.sum() < 100:
                break
            error = (_sample(self._second, x, y) - self._value)[inside]
            c, depth = self._camera, np.maximum(points[inside, 2], 1e-3)
            flat = points[inside, :2] / depth[:, None]
            across = _sample(self._slopes[0], x, y)[inside] * c.fx
            down = _sample(self._slopes[1], x, y)[inside] * c.fy
            slope = across * (self._way[0] - flat[:, 0] * self._way[2])
            slope += down * (self._way[1] - flat[:, 1] * self._way[2])
            jacobian = (-slope / depth)[:, None] * self._rays[inside]
            scale = 1.4826 * float(np.median(np.abs(error))) + 1e-6
            weight = 1 / (1 + (error / (2 * scale)) ** 2) ** 2
            if only_length:
                jacobian = (jacobian @ g)[:, None]
            weighted = jacobian * weight[:, None]
            matrix = weighted.T @ jacobian
            ridge = 1e-9 * np.trace(matrix) * np.eye(len(matrix))
            change = -np.linalg.solve(matrix + ridge, weighted.T @ error)
            step = g * change[0] if only_length else change
            length = float(np.linalg.norm(step) / np.linalg.norm(g))
            if length > 0.2:  # further than a linear step is good for
                step *= 0.2 / length
            g, last = g + step, length
            if not only_length:
                self.information = matrix / scale**2
            if length < 1e-4:
                break
        return g, last


@dataclass(frozen=True)
class RoadFound:
    """The road's plane over a drive."""

    down: Floats
    """(3,) unit normal, towards the road, in the optical frame."""
    height: float
    """Metres of the camera above it; 0 where no pair says how far it went."""
    roll_error: float
    """Standard error of the camera's roll, radians."""
    height_error: float
    """Standard error of the height, metres."""
    pairs: int


def normal_so_far(planes: Sequence[RoadPlane], otherwise: Floats) -> Floats:
    """Where the road's normal (3,) is looked for next: where the last pairs had it."""
    if len(planes) < _ENOUGH:
        return otherwise
    last = planes[-20:]
    m = _joint(np.stack([p.g for p in last]), np.stack([p.information for p in last]), None)
    return np.asarray(m / np.linalg.norm(m))


def find_road(
    planes: Sequence[RoadPlane], metres: Sequence[float], stamps: Sequence[int], direction: Floats
) -> RoadFound | None:
    """Find one plane that all pairs agree on, None where there are too few.

    Args:
        planes: of the pairs.
        metres: how far the camera went in each; NaN where it is not known.
        stamps: of each, nanoseconds.
        direction: (3,) of travel, in the optical frame; the roll is about it.

    """
    known = np.isfinite(metres)
    with_scale = int(known.sum()) >= LEAST_PLANES
    chosen = np.flatnonzero(known).tolist() if with_scale else list(range(len(planes)))
    if len(chosen) < LEAST_PLANES:
        return None
    g = np.stack([planes[k].g for k in chosen])
    information = np.stack([planes[k].information for k in chosen])
    ways = np.asarray(metres, np.float64)[chosen] if with_scale else None
    blocks = (np.asarray(stamps, np.int64)[chosen] - min(stamps)) // _BLOCK_NS
    members = [np.flatnonzero(blocks == b) for b in np.unique(blocks)]
    if len(members) < 4:
        members = [np.array([k]) for k in range(len(chosen))]
    m = _joint(g, information, ways)
    rng, drawn = np.random.default_rng(0), []
    for _ in range(_DRAWS):
        picked = [members[k] for k in rng.integers(len(members), size=len(members))]
        at = np.concatenate(picked)
        other = _joint(g[at], information[at], None if ways is None else ways[at])
        drawn.append((_roll(other, direction), 1 / np.linalg.norm(other)))
    rolls, heights = np.array(drawn).T
    if not float(rolls.std()) < _WIDEST:
        return None
    length = float(np.linalg.norm(m))
    height = 1 / length if with_scale else 0.0
    return RoadFound(
        m / length,
        height,
        math.hypot(float(rolls.std()), _ROLL_FLOOR),
        math.hypot(float(heights.std()), _HEIGHT_FLOOR * height) if with_scale else 0.0,
        len(chosen),
    )


def _joint(g: Floats, information: Floats, ways: Floats | None) -> Floats:
    """Return normal by height (3,) of N pairs; of unknown height where their ways are not known."""
    weights = np.ones(len(g))
    m = np.median(g / (np.linalg.norm(g, axis=1)[:, None] if ways is None else ways[:, None]), 0)
    for _ in range(10):
        if ways is None:
            m = m / np.linalg.norm(m)
            along = np.einsum("nij,j->ni", information, m)
            lengths = (along * g).sum(axis=1) / (along @ m)
        else:
            lengths = ways
        matrix = np.einsum("n,nij->ij", weights * lengths**2, information)
        target = np.einsum("n,nij,nj->i", weights * lengths, information, g)
        m = np.linalg.solve(matrix, target)
        off = g - lengths[:, None] * m
        square = np.einsum("ni,nij,nj->n", off, information, off)
        weights = 1 / (1 + square / (4 * np.median(square) + 1e-12)) ** 2
    return np.asarray(m)


def _roll(normal: Floats, direction: Floats) -> float:
    """Roll of a camera that sees a normal (3,) of the road, downwards, and the direction."""
    up = -normal / np.linalg.norm(normal)
    return mounting_of_aim(direction, up).roll


def _sample(image: NDArray[Any], x: NDArray[np.float32], y: NDArray[np.float32]) -> Floats:
    """Values of an image at (N, 1) pixels, (N,)."""
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR)[:, 0], np.float64)
