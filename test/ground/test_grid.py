"""The driveable grid against ray-cast truth, and rule by rule."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from statistics import median

import numpy as np
import pytest
from grid_scenes import GRIDS, ID, LABELS, SCENES, Scene, box, camera, car, pole
from naive_grid import naive_cells

from seg_ros.errors import SegRosError
from seg_ros.ground import pixel_table, rays
from seg_ros.ground.grid import DriveableGrid
from seg_ros.ground.grid_spec import (
    FREE,
    OCCUPIED,
    PROFILES,
    UNKNOWN,
    GridRules,
    GridSpec,
    occupancy_values,
    parse_polygon,
)
from seg_ros.ground.pixel_table import PixelTable
from seg_ros.ground.rays import lay_rays
from seg_ros.labels import load_label_set
from seg_ros.segment import grid_maker
from seg_ros.synthetic import SyntheticDrive

BARREL = ("plumb_bob", (-0.28, 0.07, 0.0002, 1.8e-5))
FISHEYE = ("equidistant", (0.02, -0.005, 0.001, -0.0002))
VARIANTS = [
    (width, roll, lens, grid)
    for width in (512, 256)
    for roll in (0.0, 5.0)
    for lens in (("plumb_bob", ()), BARREL)
    for grid in GRIDS
]


def scene(name: str) -> Scene:
    return next(s for s in SCENES if s.name == name)


@lru_cache(maxsize=1)
def measured():
    """Counts of our grid and of the naive one, {scene: [(variant, ours, naive)]}."""
    rules = GridRules()
    counts = {s.name: [] for s in SCENES}
    for variant in VARIANTS:
        width, roll, lens, spec = variant
        cam = camera(width, roll, lens)
        grid = DriveableGrid(spec, cam, LABELS, rules)
        for s in SCENES:
            mask, truth = s.mask(cam), s.truth(cam, spec)
            ours = truth.counts(grid.cells(mask), rules.max_row_span)
            naive = truth.counts(naive_cells(spec, cam, LABELS, mask), rules.max_row_span)
            counts[s.name].append((variant, ours, naive))
    return counts


@pytest.mark.parametrize("name", [s.name for s in SCENES])
def test_nothing_occupied_or_hidden_is_free(name):
    for variant, ours, _ in measured()[name]:
        assert (ours.occupied_free, ours.hidden_free) == (0, 0), variant


def test_the_grid_still_sees():
    """At least 85 % of the free cells in plain sight, in the median scene of every variant."""
    print()
    for k, variant in enumerate(VARIANTS):
        recalls = {n: runs[k][1].recall for n, runs in measured().items() if runs[k][1].wanted}
        print(variant[0], variant[1], variant[2][0], bool(variant[2][1]), variant[3].resolution)
        print("   ", ", ".join(f"{n} {r:.3f}" for n, r in recalls.items()))
        if variant[0] == 512:
            assert median(recalls.values()) >= 0.85
    for name, runs in measured().items():
        ours = [run[1] for run in runs]
        naive = [run[2] for run in runs]
        print(
            f"| {name} | {median(c.recall for c in ours):.3f} "
            f"| {sum(c.false_occupied for c in ours)} "
            f"| {sum(c.occupied_free for c in naive)} | {sum(c.hidden_free for c in naive)} "
            f"| {sum(c.false_occupied for c in naive)} |"
        )
    every = [
        median(c.recall for _, c, _ in runs) for runs in measured().values() if runs[0][1].wanted
    ]
    assert median(every) >= 0.85


def test_the_naive_projection_is_worse_where_it_matters():
    """The comparison is a fair one only while it finds what the truth says it must."""
    car_ahead = [naive for _, _, naive in measured()["car ahead"]]
    assert sum(c.occupied_free for c in car_ahead) > 100  # the road seen under the car
    ours = sum(c.false_occupied for runs in measured().values() for _, c, _ in runs)
    naive = sum(c.false_occupied for runs in measured().values() for _, _, c in runs)
    assert naive > 4 * ours


def test_nothing_occupied_or_hidden_is_free_on_the_synthetic_street():
    """The procedural drive is somebody else's truth: cars, people, trees, kerbs, a bridge."""
    street = SyntheticDrive(frames=120, width=640, height=360)
    cam = street.camera
    labels, spec = load_label_set("camvid"), GridSpec(0.2, 0.0, 20.0, -8.0, 8.0)
    grid = DriveableGrid(spec, cam, labels)
    rows, cols = spec.shape
    inside = np.linspace(1e-3, 1 - 1e-3, 3)
    x, y = np.meshgrid(
        ((np.arange(cols)[:, None] + inside) * 0.2).ravel(),
        ((np.arange(rows)[:, None] + inside) * 0.2 - 8.0).ravel(),
    )
    recalls = []
    for index in (3, 39, 75, 111):
        bad = street.ground_class(index, x, y) != 3
        bad |= ~street.ground_visible(index, x, y)
        bad = bad.reshape(rows, 3, cols, 3).any(axis=(1, 3))
        free = grid.cells(street[index].class_mask) == FREE
        assert not (free & bad).any()
        wanted = ~bad[:, :90]
        recalls.append((free[:, :90] & wanted).sum() / wanted.sum())
    print("synthetic street:", ", ".join(f"{recall:.3f}" for recall in recalls))
    assert median(recalls) > 0.65


def test_all_sky_is_unknown():
    cells = DriveableGrid(GRIDS[0], camera(), LABELS).cells(scene("all sky").mask(camera()))
    assert (cells == UNKNOWN).all()


@pytest.mark.parametrize("lens", [BARREL, FISHEYE])
def test_truth_holds_for_a_mounting_off_centre(lens):
    """Beside the centre, turned, and a fisheye that sees a good deal more."""
    focal = 400.0 if lens is BARREL else 230.0
    cam = camera(lens=lens, focal=focal, x=1.4, y=0.4, yaw=0.25, pitch=0.2, roll=-3)
    for name in ("street", "cars", "kerb"):
        cells = DriveableGrid(GRIDS[0], cam, LABELS).cells(scene(name).mask(cam))
        counts = scene(name).truth(cam, GRIDS[0]).counts(cells, 0.5)
        assert (counts.occupied_free, counts.hidden_free) == (0, 0)
        assert counts.recall > 0.6


def test_every_cell_behind_a_wall_is_unknown():
    cam = camera()
    wall = Scene("wall", [box("wall", 8.25, 0, 0.5, 30, 3)])
    cells = DriveableGrid(GRIDS[0], cam, LABELS).cells(wall.mask(cam))
    assert (cells[95:105, 80:84] == OCCUPIED).all()
    assert (cells[:, 90:] == UNKNOWN).all()
    assert (cells[95:105, 60:77] == FREE).all()


def test_a_cone_at_ten_metres_is_marked():
    cam = camera()
    cone = Scene("cone", [pole(10.0, 0.0, 0.3, 0.5, "traffic sign")])
    cells = DriveableGrid(GRIDS[0], cam, LABELS).cells(cone.mask(cam))
    rows, cols = np.nonzero(cells == OCCUPIED)
    assert len(rows) >= 1
    x, y = (cols + 0.5) * 0.1, -10 + (rows + 0.5) * 0.1
    assert np.hypot(x - 10.0, y).min() < 0.2
    assert np.hypot(x - 10.0, y).max() < 1.0


def test_a_mirrored_mask_makes_a_mirrored_grid():
    cam = camera()
    grid = DriveableGrid(GRIDS[0], cam, LABELS)
    mask = scene("street").mask(cam)
    cells = grid.cells(mask)
    assert (cells == FREE).any()
    assert (cells == OCCUPIED).any()
    np.testing.assert_array_equal(grid.cells(mask[:, ::-1]), cells[::-1])


@pytest.mark.parametrize("wrong", [-1.0, 1.0])
def test_a_wrong_pitch_shifts_a_contact_as_the_formula_says(wrong):
    """A foot at r lies at depression atan(h / r); believed pitch + e, it seems at r' = h / tan."""
    cam = camera(width=2560, focal=400.0, pitch=0.05)
    wall = Scene("wall", [box("wall", 21.0, 0, 2.0, 30, 3)])
    believed = replace(
        cam, mounting=replace(cam.mounting, pitch=cam.mounting.pitch + math.radians(wrong))
    )
    spec = GridSpec(0.3, 0.0, 33.0, -2.0, 2.0)
    grid = DriveableGrid(spec, believed, LABELS, GridRules(max_row_span=2.0))
    cells = grid.cells(wall.mask(cam))
    expected = 1.5 / math.tan(math.atan2(1.5, 20.0) + math.radians(wrong))
    first = np.flatnonzero((cells == OCCUPIED).any(axis=0))[0]
    assert abs((first + 0.5) * 0.3 - expected) <= 0.3
    ranges = grid.first_contacts().ranges
    ahead = ranges[len(ranges) // 2]
    assert abs(ahead - expected) <= 0.3


def test_pitch_and_roll_at_the_stamp_move_the_rays():
    """The grid of a tilted camera, told the tilt, is the truth's; the look-ups stay the same."""
    level = camera()
    grid = DriveableGrid(GRIDS[0], level, LABELS)
    blocks = grid._blocks
    tilted = level.mounting.tilted(math.radians(2.0), math.radians(1.5))
    there = replace(level, mounting=tilted)
    assert grid.serves(there)
    s = scene("street")
    mask, truth = s.mask(there), s.truth(there, GRIDS[0])
    told = truth.counts(grid.cells(mask, mounting=tilted), 0.5)
    untold = truth.counts(grid.cells(mask), 0.5)
    assert (told.occupied_free, told.hidden_free) == (0, 0)
    assert told.recall > 0.75
    assert untold.occupied_free > 0
    assert grid._blocks is blocks


def test_a_grid_serves_its_camera_moved_a_little_only():
    cam = camera()
    grid = DriveableGrid(GRIDS[0], cam, LABELS)
    for change, serves in (({"pitch": 0.13}, True), ({"pitch": 0.3}, False), ({"z": 1.9}, False)):
        assert grid.serves(replace(cam, mounting=replace(cam.mounting, **change))) is serves
    assert not grid.serves(replace(cam, fx=401.0))


@pytest.mark.parametrize("lens", [("plumb_bob", ()), BARREL, FISHEYE])
def test_samples_are_where_the_camera_model_says(lens):
    """The nearest pixel, to the tables' error: half a pixel and a twentieth."""
    cam = camera(lens=lens, roll=4.0, focal=400.0 if lens != FISHEYE else 200.0)
    rays = lay_rays(cam, 30.0, 0.5, 0.3)
    table = PixelTable(cam, rays)
    moved = cam.mounting.tilted(0.03, -0.02)
    table.aim(moved)
    angle = rays.heading + rays.azimuths
    ranges = 1 / rays.inverse_ranges
    points = np.stack(
        [
            np.outer(np.cos(angle), ranges) + rays.foot[0],
            np.outer(np.sin(angle), ranges) + rays.foot[1],
            np.zeros((len(angle), len(ranges))),
        ],
        axis=-1,
    ).reshape(-1, 3)
    exact = replace(cam, mounting=moved).project(points)
    pixels = table.pixels.reshape(-1)
    seen = pixels >= 0
    at = np.stack([pixels % cam.width, pixels // cam.width], 1)
    assert np.abs(at - exact)[seen].max() < 0.55
    with np.errstate(invalid="ignore"):
        well_inside = (exact > 0).all(1) & (exact < [cam.width - 1, cam.height - 1]).all(1)
    assert seen[well_inside].mean() > 0.99
    # Neighbouring samples are neighbouring pixels: nothing lies between them unseen.
    steps = [np.abs(np.diff(exact.reshape(*table.pixels.shape, 2), axis=k)) for k in (0, 1)]
    inside = well_inside.reshape(table.pixels.shape)
    assert steps[0][inside[1:] & inside[:-1]].max() <= 1.01
    assert steps[1][inside[:, 1:] & inside[:, :-1]].max() <= 1.01


def masked(cam, rows, columns, name):
    """Road below the horizon with a rectangle of a class, or of none."""
    mask = Scene("road").mask(cam)
    mask[rows, columns] = 255 if name is None else ID[name]
    return mask


def at(cells, x, y, spec=GRIDS[0]):
    return cells[int((y - spec.y_min) / spec.resolution), int((x - spec.x_min) / spec.resolution)]


@pytest.mark.parametrize(
    ("name", "here", "behind"),
    [
        ("sidewalk", OCCUPIED, FREE),
        ("terrain", OCCUPIED, FREE),
        ("sky", UNKNOWN, FREE),
        (None, UNKNOWN, FREE),
        ("wall", OCCUPIED, UNKNOWN),
    ],
)
def test_what_a_class_does_to_its_cells_and_those_behind(name, here, behind):
    cam = camera()
    patch = cam.project(np.array([[8.0, 0.5, 0.0], [7.0, -0.5, 0.0]])).round().astype(int)
    (left, top), (right, bottom) = patch
    cells = DriveableGrid(GRIDS[0], cam, LABELS).cells(
        masked(cam, slice(top, bottom), slice(left, right), name)
    )
    assert at(cells, 7.25, 0.05) == here
    assert at(cells, 11.0, 0.05) == behind
    assert at(cells, 6.0, 0.05) == FREE
    assert at(cells, 9.0, 3.0) == FREE


def test_a_single_sample_is_no_contact_but_its_cell_is_not_free():
    cam = camera()
    u, v = cam.project(np.array([[8.0, 0.05, 0.0]]))[0].round().astype(int)
    cells = DriveableGrid(GRIDS[0], cam, LABELS).cells(masked(cam, v, u, "wall"))
    assert at(cells, 8.0, 0.05) == UNKNOWN
    assert at(cells, 11.0, 0.05) == FREE


def test_uncertain_pixels_are_not_free():
    cam = camera()
    grid = DriveableGrid(GRIDS[0], cam, LABELS, GridRules(min_confidence=0.5))
    mask = Scene("road").mask(cam)
    confidence = np.full(mask.shape, 255, np.uint8)
    confidence[:, 256:] = 127
    cells = grid.cells(mask, confidence)
    assert at(cells, 8.0, 2.0) == FREE
    assert at(cells, 8.0, -2.0) == UNKNOWN
    with pytest.raises(ValueError, match="confidence"):
        grid.cells(mask)


def test_the_own_bonnet_is_unknown_and_hides_nothing():
    """A bonnet of the class car, without and with the polygon round it."""
    cam = camera()
    mask = masked(cam, slice(240, 288), slice(0, 512), "car")
    blocked = DriveableGrid(GRIDS[0], cam, LABELS).cells(mask)
    assert not (blocked == FREE).any()
    rules = GridRules(ignored=parse_polygon("0 0.8, 1 0.8, 1 1, 0 1"))
    cells = DriveableGrid(GRIDS[0], cam, LABELS, rules).cells(mask)
    assert at(cells, 8.0, 0.05) == FREE
    assert not (cells == OCCUPIED).any()
    bonnet = int(1.5 / math.tan(0.1 + math.atan2(240 - 143.5, 400)) / 0.1)
    assert (cells[:, : bonnet - 1] == UNKNOWN).all()


def test_a_bumper_is_nearer_than_the_road_seen_under_it():
    """Lower edge at u: seen against the road at r, it is at r (1 - u / h)."""
    cam = camera()
    spec = GRIDS[0]
    body = Scene("car", car(12.2, 0.0, clearance=0.3))
    cells = DriveableGrid(spec, cam, LABELS).cells(body.mask(cam))
    first = np.flatnonzero((cells[98:102] == OCCUPIED).any(axis=0))[0] * spec.resolution
    assert 9.5 <= first <= 10.05
    higher = replace(LABELS, classes=tuple(replace(c, underside=0.0) for c in LABELS.classes))
    cells = DriveableGrid(spec, cam, higher).cells(body.mask(cam))
    assert at(cells, 10.2, 0.3) == FREE  # the truth of why the correction is needed


def test_what_hangs_over_the_end_of_the_grid_is_found():
    """The car's bumper at the limit is seen against road beyond it."""
    cam = camera(width=256)
    spec = GridSpec(0.1, 0.0, 11.9, -2.0, 2.0)
    body = Scene("car", car(13.6, 0.0, clearance=0.3))
    counts = body.truth(cam, spec).counts(
        DriveableGrid(spec, cam, LABELS).cells(body.mask(cam)), 0.5
    )
    assert (counts.occupied_free, counts.hidden_free) == (0, 0)


def test_beyond_the_row_span_everything_is_unknown():
    cam = camera()
    for span in (0.2, 0.5):
        cells = DriveableGrid(GRIDS[1], cam, LABELS, GridRules(max_row_span=span)).cells(
            Scene("road").mask(cam)
        )
        reach = math.sqrt(span * 1.5 * 400)  # r^2 / (h f) metres a row
        x = (np.flatnonzero((cells == FREE).any(axis=0)).max() + 1) * 0.2
        assert reach - 1.0 < x <= reach + 0.2


def test_first_contacts_are_the_distances():
    cam = camera(x=1.0)
    wall = Scene("wall", [box("wall", 10.5, 0, 1.0, 4.0, 3)])
    grid = DriveableGrid(GRIDS[0], cam, LABELS)
    grid.cells(wall.mask(cam))
    contacts = grid.first_contacts()
    angle = contacts.angle_min + np.arange(len(contacts.ranges)) * contacts.angle_increment
    on_wall = np.abs(np.tan(angle) * 10.0) < 1.7
    assert np.nanmax(np.abs(contacts.ranges * np.cos(angle) - 10.0)[on_wall]) < 0.25
    beside = (np.abs(np.tan(angle) * 10.0) > 2.4) & (np.abs(angle) < 0.4)
    assert np.isinf(contacts.ranges[beside]).any()
    assert not np.isfinite(contacts.ranges[beside]).any()
    # Sky instead of ground: nothing is known, which is not the same as nothing there.
    grid.cells(scene("all sky").mask(cam))
    assert np.isnan(grid.first_contacts().ranges).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: GridRules(contact_depth=0.0), "contact depth"),
        (lambda: GridRules(min_confidence=1.5), "confidence"),
        (lambda: GridRules(ignored=((0.0, 0.0), (1.0, 1.0))), "three corners"),
        (lambda: parse_polygon("0 0, 1"), "polygon"),
        (lambda: parse_polygon("a b"), "polygon"),
        (lambda: DriveableGrid(GRIDS[0], camera(pitch=-1.0), LABELS), "sees no ground"),
        (
            lambda: DriveableGrid(GridSpec(x_max=2, y_min=-1, y_max=1), camera(pitch=0.0), LABELS),
            "ends",
        ),
        (lambda: occupancy_values(np.zeros((1, 1), np.int8), "nav3"), "nav3"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong, message):
    with pytest.raises(SegRosError, match=message):
        wrong()


def test_profiles_are_values_a_message_can_carry():
    cells = np.array([[FREE, OCCUPIED, UNKNOWN]], np.int8)
    assert occupancy_values(cells, "nav2").tolist() == [[0, 100, -1]]
    assert occupancy_values(cells, "autoware").tolist() == [[1, 99, 50]]
    assert set(PROFILES) == {"nav2", "autoware"}


def test_look_ups_have_a_size(monkeypatch):
    cam = camera()
    laid = lay_rays(cam, 45.0, 0.5, 0.4)
    for name, value in (
        ("MOST_SAMPLES", laid.count * laid.bins),
        ("MOST_RAYS", laid.count),
        ("MOST_BINS", laid.bins),
    ):
        with monkeypatch.context() as limit:
            limit.setattr(rays, name, value)
            assert lay_rays(cam, 45.0, 0.5, 0.4) == laid
            limit.setattr(rays, name, value - 1)
            with pytest.raises(SegRosError, match=f"{laid.count} x {laid.bins} samples, for 512x"):
                lay_rays(cam, 45.0, 0.5, 0.4)


def test_look_ups_have_a_time_and_are_filled_in_blocks_alike(monkeypatch):
    cam = camera(roll=5.0)
    laid = lay_rays(cam, 45.0, 0.5, 0.4)
    whole = PixelTable(cam, laid).pixels
    monkeypatch.setattr(pixel_table, "_BLOCK", laid.bins * 7)
    monkeypatch.setattr(pixel_table, "LONGEST", 1e9)
    np.testing.assert_array_equal(PixelTable(cam, laid).pixels, whole)
    monkeypatch.setattr(pixel_table, "LONGEST", -1.0)
    with pytest.raises(SegRosError, match=f"{laid.count} x {laid.bins} samples, takes longer than"):
        PixelTable(cam, laid)


def test_look_ups_that_were_refused_are_not_tried_again_for_the_same_camera(monkeypatch):
    tried = []

    def refuse(*arguments):
        tried.append(arguments[1])
        raise SegRosError("too large")

    monkeypatch.setattr(grid_maker, "DriveableGrid", refuse)
    maker = grid_maker.GridMaker(LABELS)
    cam = camera()
    mask = np.zeros((cam.height, cam.width), np.uint8)
    for one in (cam, cam, camera(roll=1.0), cam):
        assert maker.make(mask, None, one).problem == "too large"
    assert tried == [cam, camera(roll=1.0), cam]
