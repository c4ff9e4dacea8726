"""How a camera moved between two of its frames: direction of travel and rotation.

Corners (Shi and Tomasi, "Good features to track", CVPR 1994) are followed there and back by
pyramidal Lucas-Kanade (Bouguet, 2000); a first essential matrix is found by MAGSAC++ (Barath et
al., CVPR 2020), as OpenCV has them. Rotation and direction are then refined together on the Sampson
distance under Geman and McClure's weights (Zhang, "Parameter estimation techniques", 1997), with
the direction in the frame half way between the two, so that an even turn does not bend it.

All is in the camera's optical frame: x right, y down, z forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.ground.camera import CameraModel

Floats = NDArray[np.float64]

_LEAST_TRACKS = 40
"""Tracks below which a pair says nothing."""
_BACK = 0.3
"""Pixels by which a corner may miss itself once it was followed there and back."""
_SCALE = 0.3
"""Pixels of Sampson distance at which a track counts for a quarter."""
_STILL = 0.3
"""Pixels of median flow below which nothing moves."""
_PARALLAX = 0.8
"""Pixels of median flow, without that of the rotation, below which there is no travel to see."""
_ITERATIONS = 10
_WORST = np.radians(2.0)
"""Standard error of the direction beyond which a pair has none."""


class Verdict(Enum):
    """What a pair of frames says."""

    MOVED = "moved"
    """The camera travelled: there is a direction."""
    STOOD = "stood"
    """Nothing moves in the picture."""
    TURNED = "turned"
    """It turned on the spot, or travelled too little to see where to."""
    BLIND = "blind"
    """There is too little to follow: night, fog, a wall."""
    LOST = "lost"
    """Corners were there and could not be followed, or do not agree: a cut, or chaos."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """Corners of one frame found in another; N of them."""

    first: Floats
    """(N, 2) pixels."""
    second: Floats
    """(N, 2) pixels."""
    corners: int
    """How many were looked for."""

    @property
    def flow(self) -> float:
        """Median length in pixels; 0 where there are none."""
        if not len(self.first):
            return 0.0
        return float(np.median(np.linalg.norm(self.second - self.first, axis=1)))


@dataclass(frozen=True, eq=False)
class PairMotion:
    """How a camera moved from one frame to another."""

    verdict: Verdict
    tracks: int = 0
    flow: float = 0.0
    """Median, pixels."""
    parallax: float = 0.0
    """Median of the flow without that of the rotation, pixels."""
    rotation: Floats | None = None
    """(3,) rotation vector in radians; takes a direction of the first frame to the second."""
    direction: Floats | None = None
    """(3,) unit vector: where the camera went, in the frame half way between the two."""
    error: float = 0.0
    """Standard error of the direction across it, radians, of noise alone."""


def follow(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    allowed: NDArray[np.uint8] | None = None,
    most: int = 1500,
) -> Tracks:
    """Follow corners from one frame to another and back.

    Args:
        first: (H, W) uint8 grey.
        second: the same.
        allowed: (H, W) uint8, not 0 where there may be corners in the first; None: all over.
        most: corners.

    """
    found = cv2.goodFeaturesToTrack(first, most, 0.002, 7, mask=allowed, blockSize=5)
    if found is None or len(found) < _LEAST_TRACKS:
        return Tracks(np.empty((0, 2)), np.empty((0, 2)), 0 if found is None else len(found))
    there, seen = _flow(first, second, found)
    back, again = _flow(second, first, there)
    kept = (seen & again).ravel().astype(bool)
    kept &= np.linalg.norm(back - found, axis=2).ravel() < _BACK
    height, width = second.shape
    inside = there.reshape(-1, 2)
    kept &= ((inside >= 0) & (inside <= (width - 1, height - 1))).all(axis=1)
    return Tracks(found[kept, 0].astype(np.float64), there[kept, 0].astype(np.float64), len(found))


def _flow(
    first: NDArray[np.uint8], second: NDArray[np.uint8], points: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where points (N, 1, 2) of one frame are in another, and whether they were found, (N, 1)."""
    there, seen, _ = cv2.calcOpticalFlowPyrLK(
        first,
        second,
        points,
        None,  # type: ignore[call-overload]
        winSize=(15, 15),
        maxLevel=4,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.003),
    )
    return there, seen


def motion(tracks: Tracks, camera: CameraModel) -> PairMotion:
    """Find rotation and direction from tracks.

    Args:
        tracks: in pixels of the camera's image.
        camera: intrinsics and distortion; its mounting is not looked at.

    """
    rays = [camera.undistort(points) for points in (tracks.first, tracks.second)]
    usable = np.isfinite(rays[0]).all(axis=1) & np.isfinite(rays[1]).all(axis=1)
    one, two = (flat[usable] for flat in rays)
    count, flow = len(one), tracks.flow
    if tracks.corners < _LEAST_TRACKS:
        return PairMotion(Verdict.BLIND, count)
    if count < max(_LEAST_TRACKS, 0.1 * tracks.corners):
        return PairMotion(Verdict.LOST, count, flow)
    if flow < _STILL:
        return PairMotion(Verdict.STOOD, count, flow)
    focal = camera.fx
    started = _start(one * focal, two * focal, focal)
    if started is None:
        return PairMotion(Verdict.LOST, count, flow)
    one, two = (np.concatenate([flat, np.ones((count, 1))], axis=1) for flat in (one, two))
    rotation, direction = started
    rotation, direction, weights, covariance = refine(one, two, rotation, direction, focal)
    turned = one @ _matrix(rotation).T
    rest = np.linalg.norm(two[:, :2] - turned[:, :2] / turned[:, 2:], axis=1) * focal
    good = weights > 0.25
    parallax = float(np.median(rest[good])) if good.any() else 0.0
    if good.mean() < 0.3:
        return PairMotion(Verdict.LOST, count, flow, parallax, rotation)
    error = float(np.sqrt(max(np.linalg.eigvalsh(covariance[3:, 3:]).max(), 0.0)))
    if parallax < _PARALLAX or not error < _WORST:
        return PairMotion(Verdict.TURNED, count, flow, parallax, rotation)
    if direction[2] < 0:  # in reverse gear; the camera is taken to look ahead
        direction = -direction
    return PairMotion(Verdict.MOVED, count, flow, parallax, rotation, direction, error)


def _start(one: Floats, two: Floats, focal: float) -> tuple[Floats, Floats] | None:
    """Rotation vector and direction of the best essential matrix; points are at depth ``focal``."""
    matrix = np.diag([focal, focal, 1.0])
    essential, mask = cv2.findEssentialMat(one, two, matrix, cv2.USAC_MAGSAC, 0.9999, 0.5)
    if essential is None or essential.shape != (3, 3):
        return None
    _, rotation, translation, _ = cv2.recoverPose(essential, one, two, matrix, mask=mask)
    vector = np.asarray(cv2.Rodrigues(rotation)[0], np.float64).ravel()
    return vector, -(_matrix(vector / 2).T @ translation).ravel()


def _matrix(vector: Floats) -> Floats:
    return np.asarray(cv2.Rodrigues(vector)[0])


def sampson(one: Floats, two: Floats, rotation: Floats, direction: Floats) -> Floats:
    """Distance of each track from the motion, (N,), in units of depth 1; with sign.

    Args:
        one: (N, 3) rays of the first frame, z = 1.
        two: (N, 3) of the second.
        rotation: (3,) rotation vector from the first to the second.
        direction: (3,) unit vector in the frame half way.

    """
    half = _matrix(rotation / 2)
    first, second = one @ half.T, two @ half
    across, other = np.cross(direction, first), np.cross(second, direction)
    slope = (across[:, :2] ** 2).sum(axis=1) + (other[:, :2] ** 2).sum(axis=1)
    distance: Floats = (second * across).sum(axis=1) / np.sqrt(slope + 1e-18)
    return distance


def refine(
    one: Floats, two: Floats, rotation: Floats, direction: Floats, focal: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Refine a motion by Gauss-Newton steps; arguments as of :func:`sampson`.

    Returns:
        Rotation, direction, the tracks' weights (N,) and the covariance (5, 5) of rotation and the
        two angles across the direction, rad^2.

    """
    step, count = 1e-6, 5
    hessian, errors, weights = np.eye(count), np.zeros(len(one)), np.ones(len(one))
    for _ in range(_ITERATIONS):
        aside = np.cross(direction, [0.0, 1.0, 0.0])
        aside /= np.linalg.norm(aside)
        tangents = (aside, np.cross(direction, aside))
        errors = sampson(one, two, rotation, direction)
        slopes = np.empty((len(one), count))
        for k in range(3):
            moved = rotation + step * np.eye(3)[k]
            slopes[:, k] = (sampson(one, two, moved, direction) - errors) / step
        for k, tangent in enumerate(tangents, 3):
            moved = direction + step * tangent
            moved /= np.linalg.norm(moved)
            slopes[:, k] = (sampson(one, two, rotation, moved) - errors) / step
        weights = 1.0 / (1.0 + (errors * focal / _SCALE) ** 2) ** 2
        hessian = (slopes * weights[:, None]).T @ slopes
        change = -np.linalg.lstsq(hessian, slopes.T @ (weights * errors), rcond=1e-12)[0]
        rotation = rotation + change[:3]
        direction = direction + change[3] * tangents[0] + change[4] * tangents[1]
        direction = direction / np.linalg.norm(direction)
        if np.abs(change).max() < 1e-7:
            break
    spread = (weights * errors**2).sum() / max(weights.sum() - count, 1.0)
    return rotation, direction, weights, np.linalg.pinv(hessian) * spread
