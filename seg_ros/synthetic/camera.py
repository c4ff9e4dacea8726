"""The camera in the world, with a projection of its own."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from seg_ros.ground.camera import CameraModel
from seg_ros.ground.mounting import Mounting
from seg_ros.synthetic.basics import Floats, Integers, Triple, compiled
from seg_ros.synthetic.street import KERB_HEIGHT

NEAR = 0.05
"""Depth [m] at which faces are cut off."""
VIEW_RANGE = 230.0
"""Distance [m] from which on nothing but ground and sky is drawn."""


def check_camera(camera: CameraModel) -> None:
    """See that the scene can be rendered for a camera: it is above the kerb.

    Raises:
        ValueError: it is too low.

    """
    if camera.mounting.z <= KERB_HEIGHT:
        raise ValueError(
            f"camera z must be above the kerb, greater than {KERB_HEIGHT} m, got "
            f"{camera.mounting.z!r}"
        )


def optical_rotation(mounting: Mounting) -> Floats:
    """Rotation (3, 3) that takes optical-frame vectors to base_link, R = Rz Ry Rx (REP 103).

    Written out here and not asked of the mounting: the scene is the truth that tests that one.
    """
    body = rotation_z(mounting.yaw) @ _rotation_y(mounting.pitch) @ _rotation_x(mounting.roll)
    optical = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    return np.asarray(body @ optical)


def _rotation_x(angle: float) -> Floats:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _rotation_y(angle: float) -> Floats:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def rotation_z(angle: float) -> Floats:
    """Rotation (3, 3) about z by an angle [rad]."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


class View(NamedTuple):
    """A camera in the world. Tuples rather than arrays: compiled code passes them for free."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    origin: Triple
    rotation: tuple[Triple, Triple, Triple]  # rows; optical frame to world
    first: int  # the path segment to look from


@compiled
def to_camera(view: View, x: float, y: float, z: float) -> Triple:
    """World point -> optical frame."""
    (a, b, c), (d, e, f), (g, h, i) = view.rotation
    x, y, z = x - view.origin[0], y - view.origin[1], z - view.origin[2]
    return a * x + d * y + g * z, b * x + e * y + h * z, c * x + f * y + i * z


@compiled
def in_view(view: View, x: float, y: float, z: float, radius: float, farthest: float) -> bool:
    """Whether a ball may show in the image, nearer than `farthest` [m]."""
    cx, cy, cz = to_camera(view, x, y, z)
    if cz < -radius or cx * cx + cy * cy + cz * cz > (farthest + radius) ** 2:
        return False
    # Distance from the planes through the image's sides, by their unscaled normals.
    left, right = -0.5 - view.cx, view.width - 0.5 - view.cx
    upper, lower = -0.5 - view.cy, view.height - 0.5 - view.cy
    return (
        view.fx * cx - left * cz >= -radius * math.hypot(view.fx, left)
        and right * cz - view.fx * cx >= -radius * math.hypot(view.fx, right)
        and view.fy * cy - upper * cz >= -radius * math.hypot(view.fy, upper)
        and lower * cz - view.fy * cy >= -radius * math.hypot(view.fy, lower)
    )


@compiled
def clip_and_project(
    view: View, points: Floats, count: int, xs: Floats, ys: Floats, box: Integers
) -> int:
    """Project a convex polygon of camera-frame points (count, 3), cut off at the near plane.

    Fills xs, ys [pixels] and `box` (first and last column, first and last row within the image).
    Returns the number of corners, 0 if nothing can show.
    """
    out = 0
    for k in range(count):
        n = k + 1 if k + 1 < count else 0
        za, zb = points[k, 2], points[n, 2]
        if za >= NEAR:
            xs[out] = view.fx * points[k, 0] / za + view.cx
            ys[out] = view.fy * points[k, 1] / za + view.cy
            out += 1
        if (za >= NEAR) != (zb >= NEAR):
            part = (NEAR - za) / (zb - za)
            xs[out] = view.fx * (points[k, 0] + part * (points[n, 0] - points[k, 0])) / NEAR
            ys[out] = view.fy * (points[k, 1] + part * (points[n, 1] - points[k, 1])) / NEAR
            xs[out] += view.cx
            ys[out] += view.cy
            out += 1
    if out < 3:
        return 0
    low_x, high_x, low_y, high_y = xs[0], xs[0], ys[0], ys[0]
    for k in range(1, out):
        low_x, high_x = min(low_x, xs[k]), max(high_x, xs[k])
        low_y, high_y = min(low_y, ys[k]), max(high_y, ys[k])
    box[0] = math.ceil(max(low_x, 0.0))
    box[1] = math.floor(min(high_x, view.width - 1.0))
    box[2] = math.ceil(max(low_y, 0.0))
    box[3] = math.floor(min(high_y, view.height - 1.0))
    # A sliver may hold no pixel centre and still hide a point between them: keep it.
    inside = high_x >= -0.5 and low_x <= view.width - 0.5
    return out if inside and high_y >= -0.5 and low_y <= view.height - 0.5 else 0
