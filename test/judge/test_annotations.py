"""Labels as labelme and Label Studio keep them, in files of the structure that those write."""

import base64
import json

import cv2
import numpy as np
import pytest

from seg_ros.drive.pictures import read_picture
from seg_ros.errors import SegRosError
from seg_ros.judge.datasets import open_dataset
from seg_ros.judge.label_images import read_truth
from seg_ros.labels import load_label_set

CAMVID = load_label_set("camvid")
NAMES = [label.name for label in CAMVID.classes]
ROAD, CAR, SKY = (NAMES.index(name) for name in ("road", "car", "sky"))
SIZE = (40, 60)


def picture(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), 90, np.uint8))


def shape(label, points, kind="polygon", **more):
    """As labelme 5.11 and 6 write one."""
    plain = {"group_id": None, "description": "", "flags": {}, "mask": None}
    return {"label": label, "points": points, "shape_type": kind, **plain, **more}


def labelme(path, shapes, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"version": "6.3.1", "flags": {}, "imagePath": "a.jpg", "imageData": None}
    path.write_text(
        json.dumps({**about, "shapes": shapes, "imageHeight": size[0], "imageWidth": size[1]})
    )


def test_labelme_beside_the_images(tmp_path):
    """Shapes in their order, one of each kind that covers something."""
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "b.jpg")
    stencil = cv2.imencode(".png", np.array([[0, 255], [255, 0]], np.uint8))[1]
    mask = base64.b64encode(stencil).decode()
    labelme(
        tmp_path / "a.json",
        [
            shape("road", [[0, 20], [59, 20], [59, 39], [0, 39]]),
            shape("Car", [[10, 25], [19, 34]], "rectangle"),
            shape("sky", [[50, 5], [50, 8]], "circle"),
            shape("__ignore__", [[30, 30], [33, 33]], "rectangle"),
            shape("car", [[2, 2], [3, 3]], "mask", mask=mask),
        ],
    )
    found = open_dataset(tmp_path, CAMVID)
    assert found.note == "1 of 2 images are left out: no JSON beside"
    (pair,) = found.images
    truth = read_truth(pair, CAMVID)
    expected = np.full(SIZE, 255, np.uint8)
    expected[20:] = ROAD
    expected[25:35, 10:20] = CAR
    expected[30:34, 30:34] = 255
    expected[2, 3] = expected[3, 2] = CAR
    away = (np.mgrid[:40, :60] - np.array([5, 50])[:, None, None]).astype(float)
    distance = np.hypot(*away)
    sure = np.abs(distance - 3) > 0.9
    expected[distance < 3] = SKY
    assert np.array_equal(truth[sure], expected[sure])


def test_labelme_in_a_folder_of_labels(tmp_path):
    picture(tmp_path / "images" / "a.png")
    labelme(tmp_path / "labels" / "a.json", [shape("road", [[0, 0], [59, 39]], "rectangle")])
    (pair,) = open_dataset(tmp_path, CAMVID).images
    assert np.all(read_truth(pair, CAMVID) == ROAD)


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (
            [shape("tank", [[0, 0], [5, 5]], "rectangle")],
            "the label 'tank', which label set camvid",
        ),
        (
            [shape("road", [[0, 0], [5, 5]], "line")],
            "a line of 2 points covers no pixels; draw 'ro",
        ),
        ([shape("road", [[0, 0], [1e9, 5], [5, 5]])], "is no annotation of labelme"),
        ([{"label": "road"}], "is no annotation of labelme"),
        ([shape("road", [[2, 2], [3, 3]], "mask", mask="AAAA")], "is no annotation of labelme"),
    ],
)
def test_what_labelme_cannot_mean_is_one_line(tmp_path, shapes, said):
    picture(tmp_path / "a.png")
    labelme(tmp_path / "a.json", shapes)
    (pair,) = open_dataset(tmp_path, CAMVID).images
    with pytest.raises(SegRosError) as error:
        read_truth(pair, CAMVID)
    assert said in str(error.value)
    assert "a.json" in str(error.value)


def test_a_picture_of_absurd_size_is_not_drawn(tmp_path):
    picture(tmp_path / "a.png")
    labelme(tmp_path / "a.json", [], (100_000, 100_000))
    (pair,) = open_dataset(tmp_path, CAMVID).images
    with pytest.raises(SegRosError, match="100000x100000"):
        read_truth(pair, CAMVID)


def studio(root, masks, tasks):
    """Label Studio's "Brush labels to PNG", and its JSON export."""
    for name, mask in masks.items():
        (root / "labels").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "labels" / name), np.asarray(mask, np.uint8))
    (root / "export.json").write_text(json.dumps(tasks))


TASKS = [
    {"id": 7, "file_upload": "0a1b2c3d-a.jpg", "data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"}},
    {"id": 9, "data": {"image": "/data/local-files/?d=street/b.jpg"}},
]
MASKS = {
    "task-7-annotation-3-by-1-tag-road-0.png": [[0, 255], [255, 255]],
    "task-7-annotation-3-by-1-tag-car-1.png": [[0, 0], [255, 0]],
    "task-9-annotation-4-by-me@home-tag-sky-0.png": [[255, 255], [0, 0]],
}


def test_label_studio(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        picture(tmp_path / "images" / name, (2, 2))
    studio(tmp_path, MASKS, TASKS)
    first, second = open_dataset(tmp_path, CAMVID).images
    assert (first.image.name, second.image.name) == ("a.jpg", "b.jpg")
    assert read_truth(first, CAMVID).tolist() == [[255, ROAD], [CAR, ROAD]]
    assert read_truth(second, CAMVID).tolist() == [[SKY, SKY], [255, 255]]


def test_what_label_studio_leaves_open_is_refused(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        picture(tmp_path / "images" / name, (2, 2))
    studio(tmp_path, MASKS, TASKS[:1])
    with pytest.raises(SegRosError, match="is of task 9, whose image '' is not in"):
        open_dataset(tmp_path, CAMVID)
    studio(tmp_path, {"task-7-annotation-5-by-2-tag-sky-0.png": [[0, 0], [0, 9]]}, TASKS)
    first, _ = open_dataset(tmp_path, CAMVID).images
    with pytest.raises(SegRosError, match="of several annotations of one task; keep those of one"):
        read_truth(first, CAMVID)
    (tmp_path / "export.json").write_text("[1]")
    with pytest.raises(SegRosError, match=r"export\.json is no JSON export of Label Studio"):
        open_dataset(tmp_path, CAMVID)
    (tmp_path / "export.json").unlink()
    with pytest.raises(SegRosError, match="and 0 JSON files; add its JSON export alone"):
        open_dataset(tmp_path, CAMVID)


def test_a_jpeg_of_12_bits_is_called_that(tmp_path):
    """Its header says 12, as scanners and medical devices write."""
    data = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    data[data.index(b"\xff\xc0") + 4] = 12
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(SegRosError, match="JPEG image of 12 bits a value; only 8 are read"):
        read_picture(tmp_path / "a.jpg")
