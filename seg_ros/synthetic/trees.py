"""Trees, as meshes."""

from __future__ import annotations

import numpy as np

from seg_ros.synthetic.basics import LEAVES, TREE, Floats, linear
from seg_ros.synthetic.meshes import Mesh, polygon


def tree_mesh(rng: np.random.Generator, height: float, spread: float, clumps: int) -> Mesh:
    """Build a trunk, boughs, and a crown of randomly turned leaf clumps with a ragged outline.

    With fewer clumps each is larger: for trees far away.
    """
    mesh = Mesh(TREE)
    bark = linear(44, 54, 60)
    fork = 0.36 * height
    trunk = 0.015 * height + 0.04
    mesh.tube((0.0, 0.0, 0.0), (0.0, 0.0, fork), (trunk, 0.75 * trunk), bark, sides=8)
    mesh.footprint = trunk * polygon(8)
    middle = np.array([0.0, 0.0, 0.66 * height])
    axes = np.array([spread, spread, 0.36 * height])
    for direction in _units(rng, 9):
        tip = middle + 0.8 * axes * direction
        mesh.tube((0.0, 0.0, fork - 0.1), tip, (0.55 * trunk, 0.015), bark, sides=4)
    leaf_clumps(mesh, rng, middle, axes, clumps, 5.6 * (spread / clumps) ** 0.5)
    return mesh


def leaf_clumps(
    mesh: Mesh, rng: np.random.Generator, middle: Floats, axes: Floats, count: int, size: float
) -> None:
    """Fill an ellipsoid about `middle` with irregular pentagons of leaves that face anywhere."""
    outward, facing, helper = _units(rng, count), _units(rng, count), _units(rng, count)
    across = np.cross(facing, helper)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    other = np.cross(facing, across)
    turn = np.sort(rng.uniform(0.0, 2.0 * np.pi, (count, 5, 1)), axis=1)
    turn += 0.2 * np.arange(5)[:, None]
    ring = np.cos(turn) * across[:, None] + 0.8 * np.sin(turn) * other[:, None]
    centre = middle + axes * outward * rng.uniform(0.4, 1.0, (count, 1))
    corners = centre[:, None] + size * rng.uniform(0.55, 1.3, (count, 1, 1)) * ring
    # Lit by where the clump sits in the crown, not by how its face happens to be turned.
    shade = rng.uniform(0.55, 1.25, count) * (0.72 + 0.38 * outward[:, 2])
    ripe = rng.uniform(0.85, 1.2, count)
    b, g, r = linear(46, 84, 78)
    for k in range(count):
        colour = (shade[k] * b, shade[k] * g, shade[k] * r * ripe[k])
        mesh.face(corners[k], colour, LEAVES, two_sided=True, normal=facing[k])


def _units(rng: np.random.Generator, count: int) -> Floats:
    """Random directions (count, 3)."""
    directions = rng.normal(size=(count, 3))
    return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))
