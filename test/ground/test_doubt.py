"""What an error of the mounting makes doubtful is unknown: against mountings by brute force."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from grid_scenes import GRIDS, LABELS, SCENES, Scene, box, camera

from seg_ros.errors import SegRosError
from seg_ros.ground.doubt import Doubt, shifts, useful_range
from seg_ros.ground.grid import DriveableGrid
from seg_ros.ground.grid_spec import FREE, OCCUPIED, UNKNOWN, GridSpec
from seg_ros.ground.mounting import Mounting, MountingErrors

BARREL = ("plumb_bob", (-0.28, 0.07, 0.0002, 1.8e-5))
FISHEYE = ("equidistant", (0.02, -0.005, 0.001, -0.0002))
SPEC = GridSpec(0.2, 0.0, 20.0, -10.0, 10.0)
CASES = {
    "pitch": (MountingErrors(pitch=math.radians(0.15)), {}),
    "roll": (MountingErrors(roll=math.radians(0.5)), {}),
    "height": (MountingErrors(z=0.06), {}),
    "all": (MountingErrors(z=0.04, roll=math.radians(0.3), pitch=math.radians(0.1)), {}),
    "large": (MountingErrors(z=0.1, roll=math.radians(1.0), pitch=math.radians(0.5)), {}),
    "barrel, turned": (
        MountingErrors(z=0.03, roll=math.radians(0.4), pitch=math.radians(0.2)),
        {"lens": BARREL, "roll": 5.0, "yaw": 0.3, "x": 1.4, "y": 0.4},
    ),
    "fisheye, steep": (
        MountingErrors(z=0.03, roll=math.radians(0.4), pitch=math.radians(0.2)),
        {"lens": FISHEYE, "focal": 230.0, "pitch": 0.35},
    ),
}


def within(mounting, count=12):
    """Mountings within two standard errors: the corners of the box, and some inside it."""
    random = np.random.default_rng(7)
    signs = [(a, b, c) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]
    e = mounting.errors
    for a, b, c in [(0, 0, 0), *signs, *random.uniform(-1, 1, (count, 3))]:
        yield replace(
            mounting,
            pitch=mounting.pitch + 2 * a * e.pitch,
            roll=mounting.roll + 2 * b * e.roll,
            z=mounting.z + 2 * c * e.z,
            errors=MountingErrors(),
        )


@pytest.mark.parametrize("case", CASES)
def test_what_is_free_is_free_for_every_mounting_within_two_errors(case):
    errors, how = CASES[case]
    cam = camera(256, **how)
    unsure = replace(cam, mounting=replace(cam.mounting, errors=errors))
    scenes = [s for s in SCENES if not s.all_sky]
    masks = [s.mask(cam) for s in scenes]
    ours = DriveableGrid(SPEC, unsure, LABELS)
    free = [ours.cells(mask) == FREE for mask in masks]
    every = [np.ones(SPEC.shape, bool) for _ in scenes]
    for mounting in within(cam.mounting):
        grid = DriveableGrid(SPEC, replace(cam, mounting=mounting), LABELS)
        for mask, cells in zip(masks, every, strict=True):
            cells &= grid.cells(mask) == FREE
    print()
    for scene, mine, all_of_them in zip(scenes, free, every, strict=True):
        wrong = int((mine & ~all_of_them).sum())
        share = mine.sum() / max(all_of_them.sum(), 1)
        print(f"{case}: {scene.name}: {mine.sum()} free, {share:.2f} of those always free")
        assert wrong == 0, scene.name
    assert sum(m.sum() for m in free) > {"large": 0.45}.get(case, 0.77) * sum(
        m.sum() for m in every
    )


def test_the_table_of_what_errors_cost():
    """Recall and what is unsafe, of a believed mounting that is right; docs/grid.md has them."""
    cam = camera()
    scenes = [s for s in SCENES if not s.all_sky]
    masks = [s.mask(cam) for s in scenes]
    truths = [s.truth(cam, GRIDS[0]) for s in scenes]
    medians = []
    print()
    for pitch, roll, z in (
        (0, 0, 0), (0.05, 0.1, 0.02), (0.1, 0.3, 0.05), (0.3, 0.5, 0.08), (0.5, 1.0, 0.1),
    ):  # fmt: skip
        errors = MountingErrors(z=z, roll=math.radians(roll), pitch=math.radians(pitch))
        unsure = replace(cam, mounting=replace(cam.mounting, errors=errors))
        grid = DriveableGrid(GRIDS[0], unsure, LABELS)
        counts = [t.counts(grid.cells(m), 0.5) for t, m in zip(truths, masks, strict=True)]
        unsafe = sum(c.occupied_free + c.hidden_free for c in counts)
        recalls = [c.recall for c in counts]
        medians.append(np.median(recalls))
        print(
            f"| {pitch} | {roll} | {z} | {min(recalls):.2f} / {medians[-1]:.2f} / "
            f"{max(recalls):.2f} | {unsafe} |"
        )
        assert unsafe == 0
    assert medians[0] > 0.85
    assert sorted(medians, reverse=True) == medians
    assert medians[1] > 0.8


def test_without_errors_nothing_changes_and_with_them_what_is_lost_is_unknown():
    cam = camera()
    street = next(s for s in SCENES if s.name == "street")
    mask = street.mask(cam)
    sure = DriveableGrid(GRIDS[0], cam, LABELS).cells(mask)
    assert not Doubt.of(cam.mounting).any
    errors = MountingErrors(pitch=math.radians(0.2))
    unsure = replace(cam, mounting=replace(cam.mounting, errors=errors))
    cells = DriveableGrid(GRIDS[0], unsure, LABELS).cells(mask)
    lost = (sure == FREE) & (cells != FREE)
    assert lost.any()
    assert (cells[lost] == UNKNOWN).mean() > 0.95  # the rest: a contact that begins nearer
    assert not ((sure != FREE) & (cells == FREE)).any()
    assert (cells[sure == OCCUPIED] != FREE).all()


def test_a_larger_error_ends_the_free_road_sooner_and_too_large_a_one_is_said():
    cam = camera(1024)
    wall = Scene("wall", [box("wall", 19.0, 0, 2.0, 30, 3)])
    mask = wall.mask(cam)
    ends = []
    for degrees in (0.0, 0.1, 0.3, 1.0):
        errors = MountingErrors(pitch=math.radians(degrees))
        unsure = replace(cam, mounting=replace(cam.mounting, errors=errors))
        cells = DriveableGrid(SPEC, unsure, LABELS).cells(mask)
        ends.append((int(np.flatnonzero((cells[45:55] == FREE).any(axis=0)).max()) + 1) * 0.2)
    # Two errors steeper, and the pixel round each cell.
    wanted = [1.5 / math.tan(math.atan2(1.5, 18.0) + math.radians(2 * d)) for d in (0, 0.1, 0.3, 1)]
    assert ends[0] > ends[1] > ends[2] > ends[3]
    assert np.abs(np.array(ends) - wanted).max() < 0.8, (ends, wanted)
    hopeless = replace(cam.mounting, errors=MountingErrors(z=5.0, pitch=1.0))
    with pytest.raises(SegRosError, match="with its standard errors"):
        DriveableGrid(SPEC, replace(cam, mounting=hopeless), LABELS)


def test_look_ups_serve_one_error_only():
    cam = camera()
    grid = DriveableGrid(SPEC, cam, LABELS)
    errors = MountingErrors(pitch=0.001)
    assert not grid.serves(replace(cam, mounting=replace(cam.mounting, errors=errors)))


def directions(azimuth, depression):
    return np.stack(
        [
            np.cos(depression) * np.cos(azimuth),
            np.cos(depression) * np.sin(azimuth),
            -np.sin(depression),
        ]
    )


@pytest.mark.parametrize(("pitch", "roll"), [(0.5, 0.0), (0.0, 0.5), (0.7, 1.0), (2.0, 2.0)])
def test_directions_move_by_no_more_than_is_said(pitch, roll):
    """Rotations as they are, over the whole view, against the bounds of first and second order."""
    believed = Mounting(pitch=0.2, roll=0.06, yaw=0.3)
    errors = MountingErrors(pitch=math.radians(pitch) / 2, roll=math.radians(roll) / 2)
    doubt = Doubt.of(replace(believed, errors=errors))
    heading = believed.yaw
    azimuth, depression = np.meshgrid(np.linspace(-1.3, 1.3, 27), np.linspace(0.02, 1.2, 25))
    seen = directions(azimuth.ravel() + heading, depression.ravel())
    for true in within(replace(believed, errors=errors), 30):
        moved = believed.base_from_body @ true.base_from_body.T @ seen
        down = np.abs(-np.arcsin(moved[2]) - depression.ravel())
        turn = np.arctan2(moved[1], moved[0]) - heading - azimuth.ravel()
        turn = np.abs((turn + np.pi) % (2 * np.pi) - np.pi)
        for k in range(0, len(down), 3):
            a, d = azimuth.ravel()[k], depression.ravel()[k]
            most = shifts(doubt.values(heading), a, 0.0, d, d)
            assert down[k] <= most[0]
            assert turn[k] <= most[1]


def test_how_wrong_a_distance_may_be():
    """By the formula of one degree at 20 m and 1.5 m: +6.2 m or -3.8 m; and 2 % of the height."""
    level = Mounting(z=1.5, pitch=0.1, errors=MountingErrors(pitch=math.radians(0.5)))
    nearest, farthest = Doubt.of(level).distances(1.5, np.array([20.0, 120.0]))
    assert (nearest[0], farthest[0]) == pytest.approx((16.2, 26.1), abs=0.05)
    assert farthest[1] == math.inf  # 0.7 degrees below the horizon, which may be one lower
    # A tenth too far: tan d / tan(d - 1 degree) = 1.1, near r = h / tan(11 degrees).
    assert useful_range(level) == pytest.approx(1.5 / math.tan(math.radians(11.4)), abs=0.6)
    tall = Mounting(z=1.5, errors=MountingErrors(z=0.015))
    nearest, farthest = Doubt.of(tall).distances(1.5, np.array([20.0]))
    assert (nearest[0], farthest[0]) == pytest.approx((19.6, 20.4))
    assert useful_range(tall) == math.inf
    assert useful_range(Mounting(z=1.5, errors=MountingErrors(z=0.1))) == 0.0
    assert useful_range(Mounting()) == math.inf
