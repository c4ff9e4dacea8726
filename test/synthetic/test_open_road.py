"""Open roads: picture, mask and ground truth agree, and what a place says is there."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from seg_ros.ground.camera import CameraModel
from seg_ros.ground.mounting import Mounting
from seg_ros.synthetic import Place, SyntheticDrive, draw_camera, draw_place
from seg_ros.synthetic.ego import Bonnet
from seg_ros.synthetic.road import ramp_at

Floats = npt.NDArray[np.float64]
SKY, BUILDING, ROAD, FENCE, TERRAIN, EGO = 0, 1, 3, 7, 11, 12
CAMERA = CameraModel(
    384, 216, 260.0, 260.0, 191.5, 107.5, mounting=Mounting(x=0.3, z=1.4, pitch=0.03)
)


def place(seed: int = 0, **said: Any) -> Place:
    """Draw a place without banks and tall grass, which would hide ground."""
    said = {"tunnel": False, "ramp": False, "wet": False} | said
    drawn = draw_place(np.random.default_rng(seed), CAMERA, **said)
    return replace(drawn, banks=0.0, tufts=0.0)


def drive(road: Place, seed: int = 0, camera: CameraModel = CAMERA) -> SyntheticDrive:
    return SyntheticDrive(3, camera.width, camera.height, 0.5, seed, camera, place=road)


def on_ground(camera: CameraModel, u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Pixels -> base_link x, y where their rays meet z = 0, for a camera that is only pitched."""
    sideways, down = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    c, s = math.cos(camera.mounting.pitch), math.sin(camera.mounting.pitch)
    t = camera.mounting.z / (s + c * down)
    return camera.mounting.x + t * (c - s * down), camera.mounting.y - t * sideways


def test_street_is_what_it_was() -> None:
    """The classes of the street's pixels; how it looks is compared with itself elsewhere."""
    street = SyntheticDrive(width=320, height=180)
    masks = b"".join(street[index].class_mask.tobytes() for index in (0, 61, 127))
    assert hashlib.sha256(masks).hexdigest()[:16] == "cd8847c2ed793f3f"


@pytest.mark.parametrize("kind", ["highway", "country"])
@pytest.mark.parametrize("verge", ["grass", "sand", "gravel"])
def test_mask_is_the_truth_on_the_ground(kind: str, verge: str) -> None:
    world = drive(place(kind=kind, verge=verge, light="day", bonnet=False), seed=2)
    for index in range(3):
        mask = world[index].class_mask
        rows, columns = np.nonzero(np.isin(mask, (ROAD, TERRAIN)))
        assert np.all(rows > CAMERA.cy - CAMERA.fy * math.tan(CAMERA.mounting.pitch))
        x, y = on_ground(CAMERA, columns.astype(float), rows.astype(float))
        # Next to a mast or under a rail a ray may miss by less than rounding what stands there.
        assert np.mean(world.ground_class(index, x, y) != mask[rows, columns]) < 1e-3
        assert np.mean(world.ground_visible(index, x, y)) > 0.999
        assert np.all(world.ground_height(index, x, y) == 0.0)
        assert (mask == ROAD).mean() > 0.1
        assert (mask == TERRAIN).mean() > 0.03


def test_ground_is_road_between_its_edges_and_terrain_beyond() -> None:
    road = place(kind="country", light="day", bonnet=False)
    edges = road.road
    world = drive(replace(road, traffic=1e-3, offset=0.0), seed=1)
    x = np.full(40, 6.0)
    inside = np.linspace(edges.right + 0.4, edges.left - 0.4, 40)
    assert np.all(world.ground_class(0, x, inside) == ROAD)
    for edge, outwards in ((edges.left, 1.0), (edges.right, -1.0)):
        beside = edge + outwards * np.linspace(0.3, 1.5, 40)
        assert np.mean(world.ground_class(0, x, beside) == TERRAIN) > 0.9
    assert not np.any(world.ground_class(0, x, inside + 30.0) == ROAD)


def test_opposite_carriageway_is_road_and_the_median_is_not() -> None:
    said = {"kind": "highway", "barrier": "none", "light": "day", "bonnet": False}
    drawn = (place(seed, **said) for seed in range(20))
    road = next(road for road in drawn if road.road.other_near - road.road.left > 3.0)
    edges = road.road
    world = drive(replace(road, traffic=1e-3, offset=0.0))
    x = np.full(30, 4.0)
    median = np.linspace(edges.left + 0.5, edges.other_near - 0.5, 30)
    other = np.linspace(edges.other_near + 0.5, edges.other_far - 0.5, 30)
    assert np.mean(world.ground_class(0, x, median) == TERRAIN) > 0.9
    assert np.all(world.ground_class(0, x, other) == ROAD)


@pytest.mark.parametrize("light", ["low sun", "overcast", "mist", "dusk", "night"])
def test_light_changes_the_picture_and_not_the_mask(light: str) -> None:
    bright = place(3, kind="highway", verge="grass", light="day")
    other = replace(bright, weather=place(3, light=light).weather)
    a, b = drive(bright)[1], drive(other)[1]
    assert np.array_equal(a.class_mask, b.class_mask)
    assert not np.array_equal(a.image, b.image)
    if light == "night":
        road = a.class_mask == ROAD
        near, far = road.copy(), road.copy()
        near[:125], far[106:] = False, False
        sky = b.image[b.class_mask == SKY].mean()
        assert b.image.mean() < 0.5 * a.image.mean()
        assert b.image[near].mean() > 1.5 * sky
        assert b.image[near].mean() > b.image[far].mean()


def test_bonnet_hides_what_is_behind_it_and_nothing_else() -> None:
    bonnet = Bonnet(0.7, 1.9, 0.85, 0.12, 0.85, 0.05, 0.02, (0.2, 0.2, 0.3), True, False)
    road = replace(place(light="day"), bonnet=bonnet)
    seen = drive(road)
    without = drive(replace(road, bonnet=None))
    own = [seen[index].class_mask == EGO for index in range(3)]
    assert 0.02 < own[0].mean() < 0.35
    assert own[0][-1].mean() > 0.5
    for index in range(3):
        # The vehicle is rigid: its outline stays, up to rounding of its pose.
        assert np.mean(own[index] != own[0]) < 1e-3
        other = without[index].class_mask
        assert not np.any(other == EGO)
        assert np.array_equal(seen[index].class_mask[~own[index]], other[~own[index]])
    assert seen.ground_class(0, 1.2, bonnet.half_width * 0.2) == EGO


@pytest.mark.parametrize("barrier", ["rail", "concrete"])
def test_barrier_stands_beside_the_road(barrier: str) -> None:
    road = place(kind="highway", verge="grass", barrier=barrier, light="day", bonnet=False)
    road = replace(road, traffic=1e-3)
    seen = drive(road)[0].class_mask
    bare = drive(replace(road, rails=("none", "none")))[0].class_mask
    fence = (seen == FENCE) & (bare != FENCE)
    assert fence.mean() > 0.005
    # It never covers the own lane right ahead.
    assert not fence[140:, 170:215].any()
    assert np.array_equal(seen[seen != FENCE], bare[seen != FENCE])


def test_draws_repeat_and_differ() -> None:
    def frame(seed: int) -> SyntheticDrive:
        rng = np.random.default_rng([1, seed])
        camera = draw_camera(rng, 160, 90)
        return SyntheticDrive(2, 160, 90, 0.5, 1, camera, place=draw_place(rng, camera))

    a, b, c = frame(0), frame(0), frame(1)
    assert a[1].image.tobytes() == b[1].image.tobytes()
    assert a.camera == b.camera != c.camera
    assert not np.array_equal(a[1].class_mask, c[1].class_mask)
    assert 1.1 <= c.camera.mounting.z <= 2.2
    width = 2 * math.degrees(math.atan(0.5 * c.camera.width / c.camera.fx))
    assert 45.0 <= width <= 100.0


def test_wet_road_mirrors_and_keeps_the_mask() -> None:
    dry = place(5, kind="country", verge="grass", light="overcast", bonnet=False, wet=False)
    soaked = replace(dry, road=dry.road._replace(wet=1.0))
    a, b = drive(dry)[1], drive(soaked)[1]
    assert np.array_equal(a.class_mask, b.class_mask)
    changed = np.any(a.image != b.image, axis=2)
    # Only the road mirrors; the lens spreads that by a pixel.
    away = cv2.dilate((a.class_mask == ROAD).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
    assert not changed[away].any()
    assert changed[a.class_mask == ROAD].mean() > 0.9
    # It shows the bright sky, the more the flatter it is looked at.
    gain = b.image.mean(axis=2) - a.image.mean(axis=2)
    far = (a.class_mask == ROAD) & (np.arange(216)[:, None] < 112)
    near = (a.class_mask == ROAD) & (np.arange(216)[:, None] > 190)
    assert gain[far].mean() > gain[near].mean() + 5 > 0


def test_tunnel_closes_around_the_road() -> None:
    said = {"kind": "country", "verge": "grass", "light": "day", "bonnet": False}
    road = place(1, **said, tunnel=True)
    inside = replace(road, tunnel=(-40.0, 400.0), traffic=1e-3)
    inside = replace(inside, road=inside.road._replace(roof_start=-40.0, roof_end=400.0))
    mask = drive(inside)[1].class_mask
    assert not np.any(mask == SKY)
    assert not np.any(mask == TERRAIN)
    assert np.mean(np.isin(mask, (BUILDING, ROAD))) > 0.99
    x = np.full(30, 6.0)
    across = np.linspace(road.road.right + 0.3, road.road.left - 0.3, 30) - inside.offset
    world = drive(inside)
    assert np.all(world.ground_class(1, x, across) == ROAD)
    walls = np.array([road.road.right - 0.2, road.road.left + 0.2]) - inside.offset
    assert np.all(world.ground_class(1, x[:2], walls) == BUILDING)


def test_ramp_leaves_the_road_with_terrain_between() -> None:
    road = place(2, kind="highway", verge="grass", light="day", barrier="none", bonnet=False)
    edges = road.road._replace(ramp_start=-180.0, ramp_width=4.0, ramp_bend=200.0)
    road = replace(road, road=edges, traffic=1e-3, bends=(1e6, 1e6 + 1.0), bridge=False)
    world = drive(road)
    for x in (20.0, 60.0, 90.0):
        width, gap = ramp_at(edges, x)
        lane = edges.right - gap - np.linspace(0.3, width - 0.3, 20) - road.offset
        assert np.all(world.ground_class(0, np.full(20, x), lane) == ROAD)
        beyond = edges.right - gap - width - np.linspace(0.3, 1.0, 20) - road.offset
        assert not np.any(world.ground_class(0, np.full(20, x), beyond) == ROAD)
        if gap > 4.0:
            between = edges.right - np.linspace(1.0, gap - 0.3, 20) - road.offset
            assert np.mean(world.ground_class(0, np.full(20, x), between) == TERRAIN) > 0.9
    assert gap > 4.0
