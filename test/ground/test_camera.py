"""The camera model: every distortion there and back, its valid radius, scaling, TF and YAML."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose

from seg_ros.drive.messages import bag_messages
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.camera_file import load_camera, save_camera
from seg_ros.ground.mounting import ASSUMED_MOUNTING, Mounting, rotation_of_quaternion

MOUNTED = Mounting(1.2, -0.3, 1.5, 0.04, 0.1, -0.2)
BARREL = (-0.32, 0.12, 0.001, -0.0008, -0.02)
RATIONAL = (0.4, 0.1, 0.0005, -0.0003, 0.01, 0.75, 0.25, 0.03)
FISHEYE = (0.02, -0.005, 0.001, -0.0002)
LENSES = {
    "none": ("plumb_bob", (), 400.0),
    "plumb_bob 4": ("plumb_bob", BARREL[:4], 400.0),
    "plumb_bob 5": ("plumb_bob", BARREL, 400.0),
    "rational 8": ("rational_polynomial", RATIONAL, 400.0),
    "rational 12": ("rational_polynomial", (*RATIONAL, 1e-3, 0.0, 1e-3, 0.0), 400.0),
    "rational 14": ("rational_polynomial", (*RATIONAL, *[0.0] * 4, 0.01, 0.02), 400.0),
    "equidistant": ("equidistant", FISHEYE, 240.0),
}


def camera(lens: str = "none", **changes) -> CameraModel:
    model, coefficients, focal = LENSES[lens]
    made = CameraModel(
        512, 288, focal, focal * 1.01, 250.0, 140.0, model, coefficients, mounting=MOUNTED
    )
    return replace(made, **changes)


def camera_info(cam, roi=(0, 0, 0, 0), binning=(0, 0)):
    info = bag_messages().camera_info(bag_messages().header(0, "c"), cam)
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = roi
    info.binning_x, info.binning_y = binning
    return info


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("binning", [(0, 0), (1, 1), (2, 2), (4, 2)])
def test_region_of_interest_and_binning_are_part_of_the_camera(lens, binning):
    """A point of the sensor and the same point in the image it comes in look the same way."""
    full = camera(lens, mounting=ASSUMED_MOUNTING)
    left, top, width, height = roi = (64, 32, 320, 160)
    seen = CameraModel.from_camera_info(camera_info(full, roi, binning))
    bx, by = max(binning[0], 1), max(binning[1], 1)
    assert (seen.width, seen.height) == (width // bx, height // by)
    sensor = np.array([[64.0, 32.0], [200.0, 100.0], [383.0, 191.0]])
    # The corner of the first pixel is at -0.5 in either.
    image = (sensor + 0.5 - [left, top]) / [bx, by] - 0.5
    assert_allclose(seen.unproject(image), full.unproject(sensor), atol=1e-6)


def test_no_region_and_no_binning_is_the_whole_sensor():
    cam = camera("plumb_bob 5", mounting=ASSUMED_MOUNTING)
    for roi in ((0, 0, 0, 0), (0, 0, 512, 288)):
        assert CameraModel.from_camera_info(camera_info(cam, roi)) == cam


@pytest.mark.parametrize("roi", [(500, 0, 20, 20), (0, 280, 20, 20), (10, 10, 0, 5)])
def test_a_region_outside_the_sensor_is_an_error(roi):
    with pytest.raises(SegRosError, match=r"region of interest .* is not within the 512x288"):
        CameraModel.from_camera_info(camera_info(camera(), roi))


def pixels_of(size: tuple[int, int]) -> np.ndarray:
    u, v = np.meshgrid(np.linspace(-0.5, size[0] - 0.5, 41), np.linspace(-0.5, size[1] - 0.5, 31))
    return np.stack([u.ravel(), v.ravel()], 1)


@pytest.mark.parametrize("lens", LENSES)
def test_every_pixel_comes_back(lens):
    cam = camera(lens)
    pixels = pixels_of((512, 288))
    rays = cam.unproject(pixels)
    assert_allclose(np.linalg.norm(rays, axis=1), 1.0)
    assert np.abs(cam.project(cam.mounting.position + 7.0 * rays) - pixels).max() < 0.01


@pytest.mark.parametrize("lens", [name for name in LENSES if name != "equidistant"])
def test_project_is_opencv_with_rotation_and_translation(lens):
    cam = camera(lens, mounting=Mounting(0.5, 0.2, 1.4, 0.1, 0.2, 0.3))
    points = np.array([[5.0, 1.0, 0.0], [8.0, -2.0, 0.5], [12.0, 3.0, 2.0]])
    rotation = cam.mounting.base_from_optical.T
    expected, _ = cv2.projectPoints(
        points,
        cv2.Rodrigues(rotation)[0],
        -rotation @ cam.mounting.position,
        cam.k,
        np.array(cam.distortion),
    )
    assert_allclose(cam.project(points), expected[:, 0], atol=1e-6)


def test_equidistant_is_its_formula():
    """Pixel distance from the centre is f (theta + k1 theta^3 + ...), as REP 104 and OpenCV say."""
    cam = camera("equidistant", fx=200.0, fy=200.0, mounting=Mounting(pitch=0.0))
    theta = 1.1
    point = cam.mounting.position + np.array([math.cos(theta), 0, -math.sin(theta)])
    distorted = theta * (1 + sum(k * theta ** (2 * i + 2) for i, k in enumerate(FISHEYE)))
    assert_allclose(cam.project(point[None])[0], [250.0, 140.0 + 200.0 * distorted], atol=1e-9)


def test_a_positive_pitch_looks_down_and_y_is_left():
    cam = CameraModel(101, 101, 50, 50, 50, 50, mounting=Mounting(z=2.0, pitch=math.pi / 4))
    assert_allclose(cam.project(np.array([[2.0, 0.0, 0.0]])), [[50, 50]], atol=1e-9)
    assert cam.project(np.array([[2.0, 0.1, 0.0]]))[0, 0] < 50


def test_beyond_the_valid_radius_a_point_is_no_pixel():
    """With k1 = -0.3, r (1 + k1 r^2) turns back at r^2 = 1 / 0.9, and never gets beyond 0.703."""
    cam = CameraModel(
        600, 600, 400, 400, 300, 300, "plumb_bob", (-0.3, 0, 0, 0), Mounting(pitch=0.0)
    )
    turn = math.sqrt(1 / 0.9)
    assert cam.valid_radius == pytest.approx(turn)
    near, far = (cam.mounting.position + np.array([1.0, -turn * k, 0.0]) for k in (0.99, 1.01))
    assert np.isfinite(cam.project(near[None])).all()
    assert np.isnan(cam.project(far[None])).all()
    # OpenCV alone would put the far point into the image.
    folded, _ = cv2.projectPoints(
        np.array([[turn * 1.3, 0.0, 1.0]]),
        np.zeros(3),
        np.zeros(3),
        cam.k,
        np.array([-0.3, 0, 0, 0]),
    )
    assert 300 < folded[0, 0, 0] < 600
    edge = 300 + 400 * turn * (1 - 0.3 * turn**2)
    rays = cam.unproject(np.array([[edge - 0.5, 300.0], [edge + 0.5, 300.0]]))
    assert np.isfinite(rays[0]).all()
    assert np.isnan(rays[1]).all()


def test_valid_radius_of_a_rational_lens_ends_before_its_pole():
    """r / (1 - 0.5 r^2) rises to infinity at r^2 = 2; r (1 - r^2) / (1 + r^2) turns at 0.486."""
    model = ("rational_polynomial", (0, 0, 0, 0, 0, -0.5, 0, 0))
    assert camera(distortion_model=model[0], distortion=model[1]).valid_radius == pytest.approx(
        math.sqrt(2)
    )
    folding = camera(distortion_model=model[0], distortion=(-1.0, 0, 0, 0, 0, 1.0, 0, 0))
    assert folding.valid_radius == pytest.approx(math.sqrt(math.sqrt(5) - 2))


def test_valid_radius_of_a_fisheye():
    turning = camera("equidistant", distortion=(-0.25, 0.0, 0.0, 0.0))
    assert turning.valid_radius == pytest.approx(math.tan(math.sqrt(1 / 0.75)))
    behind = turning.mounting.position - [1.0, 0.0, 0.0]
    assert np.isnan(turning.project(behind[None])).all()


def test_scaling_keeps_every_ray():
    """The image's corners, at -0.5 and size - 0.5, are the same directions at every size."""
    whole = camera("plumb_bob 5")
    half = whole.scaled(256, 144)
    corner = np.array([[-0.5, -0.5]])
    assert_allclose(half.unproject(corner), whole.unproject(corner), atol=1e-9)
    end = whole.unproject(np.array([[511.5, 287.5]]))
    assert_allclose(half.unproject(np.array([[255.5, 143.5]])), end, atol=1e-9)
    assert half.cx == pytest.approx((250.0 + 0.5) / 2 - 0.5)


def test_fitted_refuses_other_proportions():
    assert camera().fitted(1024, 576).fx == 800
    with pytest.raises(SegRosError, match=r"512x288.*640x480"):
        camera().fitted(640, 480)


def test_mounting_from_a_transform():
    """The optical frame of a level camera that looks ahead: REP 103's quaternion."""
    level = Mounting.from_optical([1.0, 0.5, 1.6], [-0.5, 0.5, -0.5, 0.5])
    assert_allclose(
        [level.x, level.y, level.z, level.roll, level.pitch, level.yaw],
        [1.0, 0.5, 1.6, 0, 0, 0],
        atol=1e-9,
    )


def test_mounting_through_rotation_and_back():
    again = Mounting.from_rotation(MOUNTED.position.tolist(), MOUNTED.base_from_body)
    assert_allclose(again.base_from_optical, MOUNTED.base_from_optical, atol=1e-12)
    assert again.pitch == pytest.approx(MOUNTED.pitch)


def test_a_nose_down_vehicle_looks_down_from_lower():
    tilted = Mounting(x=2.0, z=1.5, pitch=0.1).tilted(roll=0.0, pitch=0.02)
    assert tilted.pitch == pytest.approx(0.12)
    assert tilted.z == pytest.approx(1.5 * math.cos(0.02) - 2.0 * math.sin(0.02))


def test_quaternions():
    turn = rotation_of_quaternion([0, 0, math.sin(0.15), math.cos(0.15)])
    assert_allclose(turn @ [1, 0, 0], [math.cos(0.3), math.sin(0.3), 0])
    with pytest.raises(SegRosError, match="no rotation"):
        rotation_of_quaternion([0, 0, 0, 0])


@pytest.mark.parametrize("name", ["x", "y", "z"])
def test_a_mounting_is_near_its_vehicle(name):
    value = 1000.0
    assert getattr(Mounting(**{name: value}), name) == value
    for far in (1000.1, 1e300, math.nan, math.inf):
        with pytest.raises(SegRosError, match=r"camera (height|position|mounting)"):
            Mounting(**{name: far})
    low = {"x": -1000.0, "y": -1000.0, "z": 0.01}[name]
    assert getattr(Mounting(**{name: low}), name) == low
    with pytest.raises(SegRosError, match=r"camera (height|position)"):
        Mounting(**{name: low - 0.005})


def test_yaml_there_and_back(tmp_path):
    cam = camera("rational 8")
    save_camera(cam, tmp_path / "camera.yaml")
    assert load_camera(tmp_path / "camera.yaml") == cam


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_width: 2", "image_height"),
        ("- 1", "not a camera YAML"),
        ("a: [", "not valid YAML"),
        (
            "{image_width: 9, image_height: 9, camera_matrix: {data: [1,0,4,0,1,4,0,0,1]},"
            " mounting: {hight: 2}}",
            "hight",
        ),
        (
            "{image_width: 9, image_height: 9, camera_matrix: {data: [1,0,4,0,1,4,0,0,1]},"
            " mounting: {z: -2}}",
            "above the ground",
        ),
    ],
)
def test_a_bad_yaml_is_one_clear_line(tmp_path, text, message):
    file = tmp_path / "camera.yaml"
    file.write_text(text)
    with pytest.raises(SegRosError, match=message) as error:
        load_camera(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["", "none", "None", "NONE", "pinhole", "rectified", "plumb bob"])
@pytest.mark.parametrize("coefficients", [(), (0.0,), (0.0,) * 5])
def test_a_lens_without_distortion_has_many_names(name, coefficients):
    k = [500.0, 0, 320, 0, 500, 180, 0, 0, 1]
    plain = CameraModel.from_intrinsics(640, 360, k)
    assert CameraModel.from_intrinsics(640, 360, k, name, coefficients) == plain


def test_coefficients_of_no_distortion_are_refused():
    k = [500.0, 0, 320, 0, 500, 180, 0, 0, 1]
    with pytest.raises(SegRosError, match="'none' says there is none, but there are coefficients"):
        CameraModel.from_intrinsics(640, 360, k, "none", (0.1, 0, 0, 0))
    with pytest.raises(SegRosError, match="'inverse_brown_conrady' is unknown"):
        CameraModel.from_intrinsics(640, 360, k, "inverse_brown_conrady", (0.1, 0, 0, 0, 0))
    fisheye = CameraModel.from_intrinsics(640, 360, k, "equidistant", (0.0,) * 4)
    assert fisheye.distortion_model == "equidistant"  # not a pinhole, whatever its coefficients
