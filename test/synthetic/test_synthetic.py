"""The procedural scene against an independent camera model, and against itself."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from seg_ros.ground.camera import CameraModel
from seg_ros.ground.mounting import Mounting
from seg_ros.synthetic import (
    EGO_OFFSET,
    EGO_SPEED,
    KERB_HEIGHT,
    ROAD_HALF_WIDTH,
    SyntheticDrive,
)

Floats = npt.NDArray[np.float64]
SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
GROUND = (ROAD, PAVEMENT)
FRAMES = (0, 33, 61, 88, 127, 149)


@pytest.fixture(scope="module")
def drive() -> SyntheticDrive:
    return SyntheticDrive(width=640, height=360)


@pytest.fixture(scope="module")
def tilted() -> SyntheticDrive:
    """A camera with every angle and offset at work, and an optical axis off the image's middle."""
    camera = CameraModel(
        width=480,
        height=320,
        fx=420.0,
        fy=410.0,
        cx=250.3,
        cy=140.8,
        mounting=Mounting(x=1.2, y=-0.3, z=1.9, roll=0.07, pitch=0.11, yaw=-0.15),
    )
    return SyntheticDrive(width=480, height=320, seed=4, camera=camera)


def body_axes(camera: CameraModel) -> tuple[Floats, Floats, Floats]:
    """Forward, left and up of the camera body in base_link, written out from roll, pitch, yaw."""
    cr, sr = math.cos(camera.mounting.roll), math.sin(camera.mounting.roll)
    cp, sp = math.cos(camera.mounting.pitch), math.sin(camera.mounting.pitch)
    cy, sy = math.cos(camera.mounting.yaw), math.sin(camera.mounting.yaw)
    forward = np.array([cy * cp, sy * cp, -sp])
    left = np.array([cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, cp * sr])
    up = np.array([cy * sp * cr + sy * sr, sy * sp * cr - cy * sr, cp * cr])
    return forward, left, up


def unproject(camera: CameraModel, u: Floats, v: Floats, height: Floats) -> tuple[Floats, Floats]:
    """Pixels -> base_link x, y where their rays meet the plane z = height."""
    forward, left, up = body_axes(camera)
    ray = (
        forward[:, None]
        - left[:, None] * ((u - camera.cx) / camera.fx)
        - up[:, None] * ((v - camera.cy) / camera.fy)
    )
    t = (height - camera.mounting.z) / ray[2]
    return camera.mounting.x + t * ray[0], camera.mounting.y + t * ray[1]


def project(camera: CameraModel, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats]:
    """Points of base_link in front of the camera -> pixels."""
    forward, left, up = body_axes(camera)
    offset = np.stack([x - camera.mounting.x, y - camera.mounting.y, z - camera.mounting.z])
    depth = forward @ offset
    u = camera.cx - camera.fx * (left @ offset) / depth
    v = camera.cy - camera.fy * (up @ offset) / depth
    return u, v


def uniform_around(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Pixels whose eight neighbours have their class; False on the border."""
    inner = mask[1:-1, 1:-1]
    same = np.ones(inner.shape, dtype=bool)
    height, width = mask.shape
    for dv in range(3):
        for du in range(3):
            same &= mask[dv : height - 2 + dv, du : width - 2 + du] == inner
    out = np.zeros(mask.shape, dtype=bool)
    out[1:-1, 1:-1] = same
    return out


def ground_points(seed: int, count: int) -> tuple[Floats, Floats]:
    """Random points ahead, as dense close by as far away."""
    rng = np.random.default_rng(seed)
    distance = np.exp(rng.uniform(math.log(3.0), math.log(70.0), count))
    return distance, rng.uniform(-0.7, 0.7, count) * distance


def test_frames_do_not_depend_on_order_or_instance(drive: SyntheticDrive) -> None:
    wanted = {index: drive[index] for index in (5, 70)}
    other = SyntheticDrive(width=640, height=360)
    for index in (70, 69, 5):
        frame = other[index]
        if index in wanted:
            assert frame.image.tobytes() == wanted[index].image.tobytes()
            assert frame.class_mask.tobytes() == wanted[index].class_mask.tobytes()
    assert not np.array_equal(wanted[5].image, wanted[70].image)


def test_drive_is_a_sequence_with_stamps() -> None:
    drive = SyntheticDrive(frames=3, width=64, height=36, rate=8.0, start_ns=1000)
    frames = list(drive)
    assert len(drive) == len(frames) == 3
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [frame.stamp_ns for frame in frames] == [1000, 125_001_000, 250_001_000]
    assert frames[0].image.shape == (36, 64, 3)
    assert frames[0].image.dtype == np.uint8
    assert frames[0].class_mask.shape == (36, 64)
    assert frames[0].class_mask.dtype == np.uint8
    assert np.array_equal(drive[-1].image, frames[2].image)
    for index in (3, -4):
        with pytest.raises(IndexError, match="3 frames"):
            drive[index]


def test_shorter_drive_begins_with_the_same_frames(drive: SyntheticDrive) -> None:
    for frames in (20, 110):
        short = SyntheticDrive(frames=frames, width=640, height=360)
        assert np.array_equal(short[-1].image, drive[frames - 1].image)


def test_seed_changes_the_street_but_not_the_road() -> None:
    a, b = (SyntheticDrive(frames=10, width=160, height=90, seed=seed) for seed in (0, 1))
    assert np.mean(a[0].class_mask != b[0].class_mask) > 0.05
    x, y = np.full(50, 1.0), np.linspace(-3.0, 6.0, 50)
    assert np.array_equal(a.ground_height(0, x, y), b.ground_height(0, x, y))


def test_default_camera() -> None:
    camera = SyntheticDrive(frames=1).camera
    assert (camera.width, camera.height) == (1280, 720)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (1000.0, 1000.0, 639.5, 359.5)
    assert (camera.mounting.x, camera.mounting.y, camera.mounting.z) == (0.0, 0.0, 1.5)
    assert (camera.mounting.roll, camera.mounting.pitch, camera.mounting.yaw) == (0.0, 0.04, 0.0)
    assert SyntheticDrive(frames=1, width=320, height=200).camera.fx == 250.0


@pytest.mark.parametrize("index", FRAMES)
@pytest.mark.parametrize("name", ["drive", "tilted"])
def test_ground_pixels_unproject_to_their_class(
    name: str, index: int, request: pytest.FixtureRequest
) -> None:
    drive: SyntheticDrive = request.getfixturevalue(name)
    mask = drive[index].class_mask
    rows, columns = np.nonzero(uniform_around(mask) & np.isin(mask, GROUND))
    chosen = np.random.default_rng(index).choice(len(rows), min(4000, len(rows)), replace=False)
    rows, columns = rows[chosen], columns[chosen]
    seen = mask[rows, columns]
    u, v = columns.astype(float), rows.astype(float)
    height = np.where(seen == ROAD, 0.0, KERB_HEIGHT)
    x, y = unproject(drive.camera, u, v, height)
    # A pavement pixel may be the kerb's face, which the plane of the pavement does not meet there.
    kerb = (seen == PAVEMENT) & (drive.ground_height(index, x, y) == 0.0)
    assert kerb.mean() < 0.1
    foot_x, foot_y = unproject(drive.camera, u[kerb], v[kerb], np.zeros(kerb.sum()))
    assert np.all(drive.ground_height(index, foot_x, foot_y) == KERB_HEIGHT)
    assert np.array_equal(drive.ground_class(index, x, y)[~kerb], seen[~kerb])
    assert np.all(drive.ground_visible(index, x, y)[~kerb])


@pytest.mark.parametrize("index", FRAMES)
@pytest.mark.parametrize("name", ["drive", "tilted"])
def test_visible_ground_points_project_onto_their_class(
    name: str, index: int, request: pytest.FixtureRequest
) -> None:
    drive: SyntheticDrive = request.getfixturevalue(name)
    camera, mask = drive.camera, drive[index].class_mask
    x, y = ground_points(index, 20000)
    u, v = project(camera, x, y, drive.ground_height(index, x, y))
    inside = (u >= 0) & (u <= camera.width - 1) & (v >= 0) & (v <= camera.height - 1)
    visible = drive.ground_visible(index, x, y)
    outside = (u < -0.5) | (u > camera.width - 0.5) | (v < -0.5) | (v > camera.height - 0.5)
    assert not np.any(visible & outside)
    clear = uniform_around(mask)
    column = np.clip(np.rint(u), 0, camera.width - 1).astype(int)
    row = np.clip(np.rint(v), 0, camera.height - 1).astype(int)
    away = inside & clear[row, column]
    wanted = drive.ground_class(index, x, y)
    assert np.count_nonzero(away & visible) > 1000
    # Away from edges there are still gaps narrower than a pixel, under a far car for one.
    differs = mask[row, column][away & visible] != wanted[away & visible]
    assert np.mean(differs) < 2e-3
    # The other way round: where a pixel shows ground, points of it that are there are visible.
    shows_road = away & (mask[row, column] == ROAD)
    assert np.mean(visible[shows_road] != (wanted[shows_road] == ROAD)) < 2e-3


def test_gaps_narrower_than_a_pixel_show_in_a_telephoto(tilted: SyntheticDrive) -> None:
    """Where a visible point and the pixel around it differ, a camera 40 times as long agrees."""
    index, camera = 88, tilted.camera
    mask = tilted[index].class_mask
    x, y = ground_points(index, 20000)
    u, v = project(camera, x, y, tilted.ground_height(index, x, y))
    wanted = tilted.ground_class(index, x, y)
    inside = (u >= 0) & (u <= camera.width - 1) & (v >= 0) & (v <= camera.height - 1)
    points = np.nonzero(tilted.ground_visible(index, x, y) & inside)[0]
    column, row = np.rint(u[points]).astype(int), np.rint(v[points]).astype(int)
    gaps = points[(mask[row, column] != wanted[points]) & uniform_around(mask)[row, column]]
    assert len(gaps) > 0
    for point in gaps[:2]:
        longer = replace(
            camera,
            width=17,
            height=17,
            fx=40 * camera.fx,
            fy=40 * camera.fy,
            cx=40 * (camera.cx - u[point]) + 8,
            cy=40 * (camera.cy - v[point]) + 8,
        )
        drive = SyntheticDrive(width=17, height=17, seed=4, camera=longer)
        assert drive[index].class_mask[8, 8] == wanted[point]


def test_nothing_behind_a_car_is_visible(drive: SyntheticDrive) -> None:
    index = 0
    x = np.arange(4.0, 40.0, 0.02)
    ahead = drive.ground_class(index, x, np.zeros_like(x)) == CAR
    near = x[np.argmax(ahead)]
    far = near + 0.02 * np.argmin(ahead[np.argmax(ahead) :])
    assert 3.5 < far - near < 5.5
    before = np.arange(5.0, near - 0.2, 0.1)
    behind = np.arange(far + 0.1, far + 6.0, 0.1)
    assert np.all(drive.ground_class(index, before, 0.0 * before) == ROAD)
    assert np.all(drive.ground_class(index, behind, 0.0 * behind) == ROAD)
    assert np.all(drive.ground_visible(index, before, 0.0 * before))
    assert not np.any(drive.ground_visible(index, behind, 0.0 * behind))


def test_nothing_behind_the_camera_is_visible(drive: SyntheticDrive) -> None:
    x, y = ground_points(1, 500)
    assert not np.any(drive.ground_visible(10, -x, y))


@pytest.mark.parametrize("index", [0, 20, 100])
def test_car_ahead_meets_the_ground_at_its_footprint(drive: SyntheticDrive, index: int) -> None:
    camera, mask = drive.camera, drive[index].class_mask
    x = np.arange(4.0, 40.0, 0.01)
    near = x[np.argmax(drive.ground_class(index, x, 0.0 * x) == CAR)]
    column = round(camera.cx)
    bottom = int(np.nonzero(mask[:, column] == CAR)[0].max())
    assert mask[bottom + 1, column] == ROAD
    rows = np.array([bottom, bottom + 1], dtype=float)
    seen, _ = unproject(camera, np.full(2, float(column)), rows, np.zeros(2))
    # Ground seen under the car counts as car, so its lowest pixel is within one pixel's length of
    # the footprint and not a ground clearance behind it.
    assert seen[1] <= near + 0.05
    assert seen[0] >= near - 0.05
    assert seen[0] - seen[1] < 0.7


@pytest.mark.parametrize("index", [2, 75, 140])
def test_no_ground_above_the_horizon(drive: SyntheticDrive, index: int) -> None:
    camera, mask = drive.camera, drive[index].class_mask
    horizon = camera.cy - camera.fy * math.tan(camera.mounting.pitch)
    rows = np.nonzero(np.isin(mask, GROUND).any(axis=1))[0]
    assert rows.min() > horizon
    assert rows.min() < horizon + 12
    assert not np.any(mask[math.ceil(horizon) :] == SKY)


def test_all_classes_appear(drive: SyntheticDrive) -> None:
    share = np.zeros(256)
    for index in range(0, 150, 15):
        share += np.bincount(drive[index].class_mask.ravel(), minlength=256)
    share /= share.sum()
    assert share[ROAD] > 0.2
    assert share[BUILDING] > 0.15
    assert all(share[label] > 0.02 for label in (SKY, CAR, TREE))
    assert all(share[label] > 0.0005 for label in (POLE, PAVEMENT, SIGN, PEDESTRIAN, BICYCLIST))
    assert share[FENCE] > 0.0001
    assert share[11:].sum() == 0.0


def road_middle(drive: SyntheticDrive, index: int, x: float) -> float:
    """Lateral position of the road's middle at x, from where the ground rises at its kerbs."""
    y = np.arange(-40.0, 40.0, 0.01)
    low = y[drive.ground_height(index, np.full_like(y, x), y) == 0.0]
    return float(low.min() + low.max()) / 2


def test_road_is_straight_then_curved_then_straight(drive: SyntheticDrive) -> None:
    middle = {index: road_middle(drive, index, 20.0) for index in (5, 60, 75, 120)}
    assert middle[5] == pytest.approx(-EGO_OFFSET, abs=0.02)
    assert middle[120] == pytest.approx(-EGO_OFFSET, abs=0.02)
    # In a curve of radius 60 m to the left, the vehicle 61.75 m from its centre.
    at = 60.0 - EGO_OFFSET
    outer, inner = 60.0 + ROAD_HALF_WIDTH, 60.0 - ROAD_HALF_WIDTH
    edges = [at - math.sqrt(radius**2 - 20.0**2) for radius in (outer, inner)]
    assert middle[60] == pytest.approx(sum(edges) / 2, abs=0.02)
    assert middle[75] == pytest.approx(sum(edges) / 2, abs=0.02)


def test_second_curve_turns_the_other_way() -> None:
    drive = SyntheticDrive(frames=230, width=64, height=36)
    assert road_middle(drive, 220, 20.0) < -EGO_OFFSET - 2.0


def test_scene_moves_at_the_speed_of_the_drive() -> None:
    """A parked car comes nearer by speed / rate from frame to frame."""
    drive = SyntheticDrive(frames=12, width=64, height=36, rate=20.0)
    x = np.arange(-20.0, 40.0, 0.01)
    y = np.full_like(x, -(ROAD_HALF_WIDTH + EGO_OFFSET) + 1.08)
    first, last = (drive.ground_class(index, x, y) == CAR for index in (0, 11))
    shift = round(11 * EGO_SPEED / 20.0 / 0.01)
    assert first.any()
    assert not first.all()
    assert np.mean(first[shift:] != last[:-shift]) < 0.002


def test_light_changes(drive: SyntheticDrive) -> None:
    def road_level(index: int) -> float:
        frame = drive[index]
        return float(frame.image[frame.class_mask == ROAD].mean())

    sun, dusk, shade, out = (road_level(index) for index in (10, 105, 127, 139))
    assert dusk < 0.85 * sun
    assert out > 1.3 * shade
    assert out > 1.1 * sun


def test_ground_queries_keep_shapes(drive: SyntheticDrive) -> None:
    x, y = np.linspace(5.0, 30.0, 6)[:, None], np.linspace(-2.0, 2.0, 4)[None, :]
    classes, visible = drive.ground_class(3, x, y), drive.ground_visible(3, x, y)
    assert classes.shape == visible.shape == (6, 4)
    assert classes.dtype == np.uint8
    assert visible.dtype == np.bool_
    one = drive.ground_class(3, x[2, 0], y[0, 1])
    assert one.shape == ()
    assert one == classes[2, 1]
    assert drive.ground_class(3, [], []).shape == (0,)


def test_ground_height_steps_at_the_kerb(drive: SyntheticDrive) -> None:
    left, right = ROAD_HALF_WIDTH - EGO_OFFSET, -ROAD_HALF_WIDTH - EGO_OFFSET
    y = np.array([right - 0.01, right + 0.01, 0.0, left - 0.01, left + 0.01])
    height = drive.ground_height(0, 10.0, y)
    assert height.tolist() == [KERB_HEIGHT, 0.0, 0.0, 0.0, KERB_HEIGHT]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames must be an integer of at least 1, got 0"),
        ({"frames": 2.5}, "frames must be an integer of at least 1, got 2.5"),
        ({"width": 8}, "width must be an integer of at least 16, got 8"),
        ({"height": True}, "height must be an integer of at least 16, got True"),
        ({"rate": 0.0}, "rate must be finite and greater than 0, got 0.0"),
        ({"rate": math.nan}, "rate must be finite and greater than 0, got nan"),
        ({"rate": "10"}, "rate must be a number of frames per second, got '10'"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
        ({"start_ns": -5}, "start_ns must be an integer of at least 0, got -5"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        SyntheticDrive(**arguments)


def test_camera_of_another_size() -> None:
    camera = SyntheticDrive(frames=1, width=320, height=240).camera
    with pytest.raises(ValueError, match="camera is 320x240, but width x height is 1280x720"):
        SyntheticDrive(camera=camera)


def test_wrong_camera() -> None:
    camera = SyntheticDrive(frames=1, width=320, height=240).camera
    low = replace(camera, mounting=Mounting(z=0.1))
    with pytest.raises(ValueError, match=r"above the kerb, greater than 0\.12 m, got 0\.1"):
        SyntheticDrive(width=320, height=240, camera=low)
    blind = replace(camera, distortion=(-2.0, 0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="sees nothing"):
        SyntheticDrive(width=320, height=240, camera=blind)


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [("plumb_bob", (-0.3, 0.08, 0.001, -0.001)), ("equidistant", (0.02, 0.0, 0.0, 0.0))],
)
def test_a_lens_that_bends_sees_the_ground_where_its_camera_says(
    model: str, coefficients: tuple[float, ...]
) -> None:
    straight = SyntheticDrive(frames=1, width=320, height=240).camera
    camera = replace(straight, distortion_model=model, distortion=coefficients)
    bent = SyntheticDrive(frames=1, width=320, height=240, camera=camera)
    mask = bent[0].class_mask
    assert mask.shape == (240, 320) and bent[0].image.shape == (240, 320, 3)
    x, y = np.meshgrid(np.arange(4.0, 30.0, 0.5), np.arange(-6.0, 6.0, 0.5))
    points = np.stack([x, y, bent.ground_height(0, x, y)], axis=-1).reshape(-1, 3)
    seen = bent.ground_visible(0, x, y).ravel()
    pixels = np.rint(camera.project(points[seen])).astype(int)
    assert seen.sum() > 300
    assert (pixels >= 0).all() and (pixels < (320, 240)).all()
    truth = bent.ground_class(0, x, y).ravel()[seen]
    assert (mask[pixels[:, 1], pixels[:, 0]] == truth).mean() > 0.95


def test_points_that_are_not_finite(drive: SyntheticDrive) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        drive.ground_class(0, [1.0, math.nan], 0.0)
