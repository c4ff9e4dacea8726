"""People on foot and on bicycles, as meshes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from seg_ros.synthetic.basics import BICYCLIST, PEDESTRIAN, Triple, linear
from seg_ros.synthetic.meshes import Mesh

_SKIN = linear(120, 145, 190)
CLOTHES = (
    (linear(40, 36, 34), linear(60, 44, 34)),
    (linear(52, 44, 110), linear(40, 38, 38)),
    (linear(120, 86, 52), linear(52, 50, 56)),
    (linear(72, 84, 76), linear(96, 92, 88)),
    (linear(150, 150, 150), linear(56, 40, 30)),
)
PHASES = 4
"""Meshes per walking or cycling figure, one per quarter of the step."""


def pedestrian_mesh(who: int, phase: int) -> Mesh:
    """Build a person walking towards +x, one of `PHASES` phases into the step."""
    mesh = Mesh(PEDESTRIAN)
    coat, trousers = CLOTHES[who % len(CLOTHES)]
    tall = (1.0, 0.94, 1.04, 0.97, 0.90)[who % 5]
    swing = 0.26 * math.sin(2.0 * math.pi * phase / PHASES + 0.6)
    for side in (-1.0, 1.0):
        y, foot = 0.1 * side, side * swing
        mesh.tube((foot, y, 0.06), (0.45 * foot, y, 0.46 * tall), (0.055, 0.075), trousers)
        mesh.tube((0.45 * foot, y, 0.46 * tall), (0.0, 0.8 * y, 0.9 * tall), (0.075, 0.1), trousers)
        mesh.box((foot - 0.08, y - 0.045, 0.0), (foot + 0.17, y + 0.045, 0.08), linear(24, 24, 26))
        elbow = (-0.3 * foot, 0.27 * side, 1.12 * tall)
        mesh.tube((0.0, 0.23 * side, 1.42 * tall), elbow, (0.06, 0.05), coat)
        hand = (-0.7 * foot + 0.08, 0.26 * side, 0.86 * tall)
        mesh.tube(elbow, hand, (0.05, 0.04), coat)
    _torso(mesh, (0.0, 0.0, 0.84 * tall), (0.0, 0.0, 1.46 * tall), coat)
    _head(mesh, (0.0, 0.0, 1.48 * tall))
    mesh.stand_on_outline()
    return mesh


def _torso(
    mesh: Mesh,
    hips: Sequence[float],
    neck: Sequence[float],
    colour: Triple,
) -> None:
    low, high = np.asarray(hips), np.asarray(neck)
    chest = low + 0.75 * (high - low)
    mesh.tube(low, chest, (0.17, 0.22), colour, sides=8, flatten=0.65)
    mesh.tube(chest, high, (0.22, 0.09), colour, sides=8, flatten=0.65)


def _head(mesh: Mesh, neck: Sequence[float]) -> None:
    x, y, z = neck
    mesh.tube((x, y, z - 0.04), (x, y, z + 0.05), (0.055, 0.075), _SKIN)
    mesh.tube((x, y, z + 0.05), (x, y, z + 0.14), (0.085, 0.105), _SKIN, sides=8)
    mesh.tube((x, y, z + 0.14), (x, y, z + 0.24), (0.11, 0.06), linear(30, 36, 48), sides=8)


def cyclist_mesh(who: int, phase: int) -> Mesh:
    """Build a cyclist riding towards +x, one of `PHASES` phases into the turn of the pedals."""
    mesh = Mesh(BICYCLIST)
    coat, trousers = CLOTHES[(who + 1) % len(CLOTHES)]
    metal, rubber = linear(60, 60, 64), linear(26, 26, 26)
    for x in (-0.52, 0.52):
        _bicycle_wheel(mesh, x, rubber)
    crank, saddle, steering = (0.0, 0.0, 0.3), (-0.2, 0.0, 0.92), (0.4, 0.0, 0.95)
    for a, b in (
        ((-0.52, 0.0, 0.34), crank),
        (crank, saddle),
        (crank, steering),
        ((-0.2, 0.0, 0.85), steering),
        ((0.52, 0.0, 0.34), (0.38, 0.0, 1.05)),
    ):
        mesh.tube(a, b, (0.022, 0.022), metal, sides=4)
    mesh.tube((0.36, -0.28, 1.05), (0.36, 0.28, 1.05), (0.018, 0.018), metal, sides=4)
    for side in (-1.0, 1.0):
        angle = 2.0 * math.pi * phase / PHASES + (0.0 if side > 0 else math.pi)
        foot = (0.17 * math.cos(angle), 0.1 * side, 0.32 + 0.17 * math.sin(angle))
        knee = (0.22, 0.12 * side, 0.66 + 0.10 * math.sin(angle))
        mesh.tube(foot, knee, (0.05, 0.07), trousers)
        mesh.tube(knee, (-0.18, 0.09 * side, 0.95), (0.075, 0.11), trousers)
        mesh.tube((0.08, 0.22 * side, 1.42), (0.34, 0.24 * side, 1.08), (0.055, 0.045), coat)
    _torso(mesh, (-0.2, 0.0, 0.92), (0.12, 0.0, 1.5), coat)
    _head(mesh, (0.16, 0.0, 1.52))
    mesh.stand_on_outline()
    return mesh


def _bicycle_wheel(mesh: Mesh, x: float, colour: Triple) -> None:
    turn = np.arange(13) * 2.0 * np.pi / 12
    rim = np.stack([x + 0.325 * np.cos(turn), 0.0 * turn, 0.345 + 0.325 * np.sin(turn)], axis=1)
    for a, b in pairwise(rim):
        mesh.tube(a, b, (0.02, 0.02), colour, sides=4)
