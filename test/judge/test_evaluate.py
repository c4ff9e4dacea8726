import csv
import json
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn import metrics

from seg_ros import cli
from seg_ros.engines import Inference
from seg_ros.errors import SegRosError
from seg_ros.judge.datasets import open_dataset
from seg_ros.judge.evaluate import (
    EVALUATION_NAMES,
    confusion_matrix,
    evaluate,
    evaluation_table,
    scores,
    worst_sheet,
    write_pictures,
)
from seg_ros.judge.label_images import parse_values, read_label_image, read_truth
from seg_ros.judge.reliability import Reliability, reliability_picture
from seg_ros.labels import ClassLabel, Kind, LabelSet, ids_by_name, load_label_set
from seg_ros.models.huggingface import reduces_labels
from seg_ros.segment.paint import colorize, confusion_picture, difference, legend
from seg_ros.segment.segmenter import Segmenter
from seg_ros.segment.upsample import argmax_upsampled

CAMVID = load_label_set("camvid")
CITYSCAPES = load_label_set("cityscapes")
BDD100K = load_label_set("bdd100k_drivable")
SIZE = (12, 20)

# cityscapesScripts, helpers/labels.py, ids 0 to 33.
CITYSCAPES_TRAIN_IDS = [
    255, 255, 255, 255, 255, 255, 255, 0, 1, 255, 255, 2, 3, 4, 255, 255, 255,
    5, 255, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255, 255, 16, 17, 18,
]  # fmt: skip


class ReadingEngine:
    """Answers with the class that is written in the blue channel of the image."""

    info = None

    def __init__(self, class_count, size=SIZE):
        self.class_count = class_count
        self.input_size = size

    def infer(self, image):
        logits = np.eye(self.class_count, dtype=np.float32)[image[:, :, 0]].transpose(2, 0, 1)
        return Inference(lambda: logits, True)


class FixedEngine:
    """Answers every frame with the same logits."""

    info = None
    input_size = SIZE

    def __init__(self, logits):
        self.class_count = len(logits)
        self.logits = logits

    def infer(self, image):
        return Inference(lambda: self.logits, True)


def reader(labels, size=SIZE):
    return Segmenter(ReadingEngine(len(labels), size), labels, "reader")


def image_saying(mask):
    """A frame in which the reading engine sees a mask."""
    return np.dstack([mask, np.full_like(mask, 90), np.full_like(mask, 160)])


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def png(width, rows, bits, color_type, palette=b""):
    """A PNG of packed rows, for the forms OpenCV does not write."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, len(rows), bits, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"PLTE", palette) if palette else b"")
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(row) for row in rows)))
        + chunk(b"IEND", b"")
    )


def random_masks(seed, classes, shape=SIZE, void=255):
    """(truth with void, prediction that is often right)."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, shape, dtype=np.uint8)
    wrong = rng.random(shape) < 0.4
    prediction = np.where(wrong, rng.integers(0, classes, shape), truth).astype(np.uint8)
    truth[rng.random(shape) < 0.15] = void
    return truth, prediction


# ---- the figures ----


@pytest.mark.parametrize("classes", [2, 3, 11, 19, 255])
def test_the_scores_are_those_of_scikit_learn(classes):
    driveable = (0, 1) if classes > 2 else (1,)
    pairs = [random_masks(seed, classes, (41, 67)) for seed in range(3)]
    total = sum(confusion_matrix(truth, said, classes) for truth, said in pairs)
    truth = np.concatenate([t[t != 255] for t, _ in pairs])
    said = np.concatenate([p[t != 255] for t, p in pairs])
    ids = np.arange(classes)
    assert np.array_equal(total, metrics.confusion_matrix(truth, said, labels=ids))
    found = scores(total, driveable)
    expected = metrics.jaccard_score(truth, said, labels=ids, average=None)
    assert found.class_iou == pytest.approx(expected, abs=1e-12)
    assert found.mean_iou == pytest.approx(expected.mean(), abs=1e-12)
    assert found.pixel_accuracy == pytest.approx(metrics.accuracy_score(truth, said), abs=1e-12)
    on_road = metrics.jaccard_score(np.isin(truth, driveable), np.isin(said, driveable))
    assert found.driveable_iou == pytest.approx(on_road, abs=1e-12)


def test_a_class_that_occurs_nowhere_is_left_out_of_the_mean():
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    said = np.array([[0, 2, 1, 3]], np.uint8)  # 2 is predicted only, 3 only where there is no class
    found = scores(confusion_matrix(truth, said, 5))
    assert found.class_iou.tolist()[:3] == [0.5, 1.0, 0.0]
    assert np.isnan(found.class_iou[3:]).all()
    assert found.mean_iou == pytest.approx(0.5)
    assert found.pixel_accuracy == pytest.approx(2 / 3)
    assert np.isnan(found.driveable_iou)


def test_nothing_labelled_has_no_score():
    void = np.full((2, 3), 255, np.uint8)
    nothing = confusion_matrix(void, np.zeros((2, 3), np.uint8), 4)
    assert nothing.shape == (4, 4)
    assert nothing.dtype == np.int64
    assert not nothing.any()
    found = scores(nothing, (0,))
    assert np.isnan([found.mean_iou, found.pixel_accuracy, found.driveable_iou]).all()


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        (np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)),
        (np.zeros((2, 2), np.int64), np.zeros((2, 2), np.uint8)),
        (np.full((2, 2), 3, np.uint8), np.zeros((2, 2), np.uint8)),
        (np.zeros((2, 2), np.uint8), np.full((2, 2), 3, np.uint8)),
    ],
)
def test_masks_that_do_not_fit_are_a_mistake(truth, said):
    with pytest.raises(ValueError, match=r"must be uint8 of one shape|is none of 3 classes"):
        confusion_matrix(truth, said, 3)


# ---- the layouts ----


LAYOUTS = {
    "flat": (CAMVID, "images/{}.jpg", "labels/{}.png", None),
    "annotations": (CAMVID, "images/{split}/{}.png", "annotations/{split}/{}.png", "val"),
    "masks": (CAMVID, "images/{split}/{}.jpeg", "masks/{split}/{}.png", "val"),
    "by split": (CAMVID, "{split}/images/{}.png", "{split}/labels/{}.png", "val"),
    "SegNet": (CAMVID, "{split}/{}.png", "{split}annot/{}.png", "val"),
    "Cityscapes": (
        CITYSCAPES,
        "leftImg8bit/{split}/{city}/{city}_{}_leftImg8bit.png",
        "gtFine/{split}/{city}/{city}_{}_gtFine_labelTrainIds.png",
        "val",
    ),
    "BDD100K": (
        BDD100K,
        "images/100k/{split}/{}.jpg",
        "labels/drivable/masks/{split}/{}.png",
        "val",
    ),
}


def write_layout(root, name, split="val", count=3):
    """Write images and labels; return the (truth, prediction) of each, in the order of the names.

    What the model is to say is in the images' pixels; JPEG is lossy, so those are of one grey.
    """
    labels, image_pattern, label_pattern, _ = LAYOUTS[name]
    pairs = []
    for i in range(count):
        truth, said = random_masks(zlib.crc32(f"{split}{i}".encode()), len(labels))
        place = {"split": split, "city": ("aachen", "zurich")[i // 2]}
        write(root / label_pattern.format(f"0_{i + 9}", **place), truth)
        image = root / image_pattern.format(f"0_{i + 9}", **place)
        if image.suffix == ".png":
            write(image, image_saying(said))
        else:
            said[:] = i
            write(image, np.full((*SIZE, 3), i * 20, np.uint8))
        pairs.append((truth, said))
    return pairs


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_and_split(tmp_path, name):
    labels, _, _, default = LAYOUTS[name]
    written = {default: write_layout(tmp_path, name)}
    if default:
        written["train"] = write_layout(tmp_path, name, "train", count=2)
    for split, pairs in written.items():
        for asked in {split or "", "" if split == default else split}:
            dataset = open_dataset(tmp_path, labels, asked)
            assert dataset.split == (split or "")
            assert len(dataset.images) == len(pairs)
            for pair, (truth, _) in zip(dataset.images, pairs, strict=True):
                assert np.array_equal(read_truth(pair), truth)
            if dataset.images[0].image.suffix == ".png":
                expected = sum(confusion_matrix(t, p, len(labels)) for t, p in pairs)
                assert np.array_equal(evaluate(reader(labels), dataset).confusion, expected)


def test_frames_of_jpeg_are_scored(tmp_path):
    pairs = write_layout(tmp_path, "BDD100K")
    seen = []

    class Watching(ReadingEngine):
        def infer(self, image):
            seen.append(round(float(image.mean()) / 20))
            return super().infer(np.full_like(image, seen[-1]))

    found = evaluate(
        Segmenter(Watching(3), BDD100K, "watching"), open_dataset(tmp_path, BDD100K, "val")
    )
    assert seen == [0, 1, 2]
    assert found.image_count == 3
    assert np.array_equal(found.confusion, sum(confusion_matrix(t, p, 3) for t, p in pairs))


def test_cityscapes_ids_are_mapped_where_train_ids_are_absent(tmp_path):
    _, image_pattern, label_pattern, _ = LAYOUTS["Cityscapes"]
    place = {"split": "val", "city": "aachen"}
    ids = np.arange(34, dtype=np.uint8).reshape(2, 17)
    frame = np.zeros((2, 17, 3), np.uint8)
    write(tmp_path / image_pattern.format("1", **place), frame)
    by_id = tmp_path / label_pattern.format("1", **place).replace("TrainIds", "Ids")
    write(by_id, ids)
    (pair,) = open_dataset(tmp_path, CITYSCAPES).images
    assert pair.label == by_id
    assert read_truth(pair).ravel().tolist() == CITYSCAPES_TRAIN_IDS
    write(by_id, ids + 1)
    with pytest.raises(SegRosError, match=r"labelIds.png has label ids 34; it may have 0 to 33"):
        read_truth(pair)
    by_train_id = write(tmp_path / label_pattern.format("1", **place), ids % 19)
    (pair,) = open_dataset(tmp_path, CITYSCAPES).images
    assert pair.label == by_train_id
    assert np.array_equal(read_truth(pair), ids % 19)


@pytest.mark.parametrize(("labels", "void"), [(CAMVID, 11), (BDD100K, 3), (CITYSCAPES, 19)])
def test_void_is_255_and_the_id_after_the_last_class(tmp_path, labels, void):
    truth, said = random_masks(5, len(labels))
    truth[0, :3] = void
    write(tmp_path / "images" / "a.png", image_saying(said))
    write(tmp_path / "labels" / "a.png", truth)
    found = evaluate(reader(labels), open_dataset(tmp_path, labels))
    ignored = (truth == 255) | (truth == void)
    expected = metrics.confusion_matrix(
        truth[~ignored], said[~ignored], labels=np.arange(len(labels))
    )
    assert np.array_equal(found.confusion, expected)
    assert found.void_share == pytest.approx(ignored.mean())


def test_images_come_in_the_order_of_their_numbers(tmp_path):
    for name in ("frame_10", "frame_9", "frame_1"):
        write(tmp_path / "images" / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
        write(tmp_path / "labels" / f"{name}.png", np.zeros((4, 4), np.uint8))
    names = [pair.image.stem for pair in open_dataset(tmp_path, CAMVID).images]
    assert names == ["frame_1", "frame_9", "frame_10"]


# ---- label images ----


def test_label_images_with_a_palette_are_read_as_indices(tmp_path):
    palette = bytes(range(48))
    eight = tmp_path / "8.png"
    eight.write_bytes(png(3, [[0, 1, 2], [10, 11, 255]], 8, 3, bytes(768)))
    assert read_label_image(eight).tolist() == [[0, 1, 2], [10, 11, 255]]
    four = tmp_path / "4.png"
    four.write_bytes(png(3, [[0x12, 0x30], [0x0A, 0xB0]], 4, 3, palette))
    assert read_label_image(four).tolist() == [[1, 2, 3], [0, 10, 11]]


def test_label_images_of_16_bit(tmp_path):
    values = np.array([[0, 7, 255]], np.uint16)
    assert read_label_image(write(tmp_path / "a.png", values)).tolist() == values.tolist()
    write(tmp_path / "b.png", values + 1)
    with pytest.raises(SegRosError, match=r"b.png has ids up to 256; 255 is the largest"):
        read_label_image(tmp_path / "b.png")


def damaged(data):
    broken = bytearray(data)
    broken[-20] ^= 1
    return bytes(broken)


GREY = png(2, [[0, 1]], 8, 0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not a PNG, or a damaged one; replace it"),
        (b"\xff\xd8\xff\xe0 a JPEG", "is not a PNG but a JPEG"),
        (GREY[:-12], "is not a PNG, or a damaged one"),
        (damaged(GREY), "is not a PNG, or a damaged one"),
        (png(2, [[0, 0, 0, 1, 1, 1]], 8, 2), "is a colour picture; it must be grey"),
        (png(1, [[0, 255]], 8, 4), "is a grey picture with alpha; it must be grey"),
        (png(2, [[0x10]], 4, 0), "has 4 bits per pixel; save it with 8"),
        (png(4, [[0]], 8, 0), "is damaged"),
        (png(4, [[0]], 8, 3, bytes(6)), "is damaged"),
    ],
)
def test_label_images_that_are_none(tmp_path, data, said):
    path = tmp_path / "label.png"
    path.write_bytes(data)
    with pytest.raises(SegRosError) as error:
        read_label_image(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


# ---- sizes ----


@pytest.mark.parametrize("size", [(24, 40), (31, 51), (6, 10)])
def test_another_label_size_takes_the_logits_not_the_mask(tmp_path, size):
    logits = np.random.default_rng(3).normal(size=(11, 5, 7)).astype(np.float32)
    truth, _ = random_masks(8, 11, size)
    write(tmp_path / "images" / "a.png", np.zeros((*SIZE, 3), np.uint8))
    write(tmp_path / "labels" / "a.png", truth)
    model = Segmenter(FixedEngine(logits), CAMVID, "fixed")
    found = evaluate(model, open_dataset(tmp_path, CAMVID))
    said = argmax_upsampled(logits, size)
    assert np.array_equal(found.confusion, confusion_matrix(truth, said, 11))
    resized = cv2.resize(
        argmax_upsampled(logits, SIZE), size[::-1], interpolation=cv2.INTER_NEAREST
    )
    assert not np.array_equal(found.confusion, confusion_matrix(truth, resized, 11))


# ---- errors ----


def without(path):
    def change(root):
        (root / path).unlink()

    return change


def replaced(path, content):
    def change(root):
        if isinstance(content, bytes):
            (root / path).write_bytes(content)
        else:
            write(root / path, content)

    return change


@pytest.mark.parametrize(
    ("change", "split", "said"),
    [
        (
            without("annotations/val/0_10.png"),
            "",
            "images/val/0_10.png has no label image: {root}/annotations/val/0_10.png is not there "
            "(1 of 3 images have none); add it",
        ),
        (
            replaced("annotations/val/0_9.png", np.zeros((20, 12), np.uint8)),
            "",
            "annotations/val/0_9.png is 12x20, its image 0_9.png is 20x12: not the same",
        ),
        (
            replaced("annotations/val/0_9.png", np.full(SIZE, 12, np.uint8)),
            "",
            "annotations/val/0_9.png has label ids 12; it may have 0 to 11 and 255; name the label",
        ),
        (
            replaced("images/val/0_11.png", b"\x89PNG\r\n\x1a\n but no more"),
            "",
            "images/val/0_11.png: PNG image of 20 bytes is damaged or cut off in its header",
        ),
        (replaced("images/val/0_11.png", b"GIF89a"), "", "images/val/0_11.png: compressed image"),
        (replaced("annotations/val/0_9.png", b"GIF89a"), "", "0_9.png is not a PNG but a GIF"),
        (lambda _: None, "test", "no split 'test' (images/test is not there); splits there: val"),
    ],
)
def test_bad_data_is_one_line_with_the_file(tmp_path, change, split, said):
    write_layout(tmp_path, "annotations")
    change(tmp_path)
    with pytest.raises(SegRosError) as error:
        evaluate(reader(CAMVID), open_dataset(tmp_path, CAMVID, split))
    assert said.replace("{root}", str(tmp_path)) in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_folders_that_are_no_data_set(tmp_path):
    with pytest.raises(SegRosError, match=r"nowhere is not a folder; understood are images/ \+ la"):
        open_dataset(tmp_path / "nowhere", CAMVID)
    with pytest.raises(SegRosError, match=r"none of the folders a labelled data set has; unders"):
        open_dataset(tmp_path, CAMVID)
    (tmp_path / "images" / "val").mkdir(parents=True)
    with pytest.raises(SegRosError, match=r"images/val has no images \(PNG or JPEG\)"):
        open_dataset(tmp_path, CAMVID)
    write(tmp_path / "images" / "val" / "a.png", np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(SegRosError, match=r"a.png has no label image: .*/labels/val/a.png is not"):
        open_dataset(tmp_path, CAMVID)


def test_other_layouts_say_what_is_missing(tmp_path):
    write(tmp_path / "a" / "valannot" / "1.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(SegRosError, match=r"a/val is not there, but its label images are"):
        open_dataset(tmp_path / "a", CAMVID)
    with pytest.raises(SegRosError, match=r"no split 'test' .*; splits there: val"):
        open_dataset(tmp_path / "a", CAMVID, "test")
    write_layout(tmp_path / "b", "Cityscapes", "train", count=1)
    with pytest.raises(SegRosError, match=r"no split 'val' .*; splits there: train"):
        open_dataset(tmp_path / "b", CITYSCAPES)
    write_layout(tmp_path / "c", "flat")
    with pytest.raises(SegRosError, match=r"no split 'val': images/ has no folders; leave --split"):
        open_dataset(tmp_path / "c", CAMVID, "val")


@pytest.mark.parametrize(("name", "count"), [("Cityscapes", 19), ("BDD100K", 3)])
def test_a_model_of_other_classes_is_refused(tmp_path, name, count):
    write_layout(tmp_path, name)
    with pytest.raises(
        SegRosError, match=f"with {count} classes, the model's label set camvid has"
    ):
        open_dataset(tmp_path, CAMVID)


def test_labels_without_any_class_are_not_a_score_of_zero(tmp_path):
    write(tmp_path / "images" / "a.png", np.zeros((*SIZE, 3), np.uint8))
    write(tmp_path / "labels" / "a.png", np.full(SIZE, 255, np.uint8))
    with pytest.raises(
        SegRosError, match=r"none of the 1 label images .* has a pixel with a class"
    ):
        evaluate(reader(CAMVID), open_dataset(tmp_path, CAMVID))


# ---- the pictures ----

RED, GREEN = (40, 40, 220), (60, 130, 30)


def box(picture, color):
    """x, y, width, height of all pixels of a colour."""
    return cv2.boundingRect(np.all(picture == color, axis=2).astype(np.uint8))


def picture_of(cells, labels=CAMVID):
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    for (row, column), count in cells.items():
        confusion[row, column] = count
    return confusion_picture(confusion, labels, scores(confusion).class_iou)


@pytest.mark.parametrize("labels", [BDD100K, CAMVID, CITYSCAPES])
def test_the_confusion_picture_has_truth_in_rows_and_prediction_in_columns(labels):
    last = len(labels) - 1
    first_x, first_y, size, _ = box(picture_of({(0, 0): 9}, labels), GREEN)
    x, y, width, height = box(picture_of({(last, last): 9}, labels), GREEN)
    assert width == height == size
    step = size + 1
    assert (x - first_x, y - first_y) == (last * step, last * step)
    # Row 1, column 2: to the right of the diagonal.
    wrong = picture_of({(1, 2): 9}, labels)
    assert box(wrong, RED) == (first_x + 2 * step, first_y + step, size, size)
    assert box(wrong, GREEN) == (0, 0, 0, 0)
    # Beside row 1 is the colour of class 1, and above column 2 that of class 2.
    middle = first_y + step + step // 2
    assert np.all(wrong[middle, :first_x] == labels.palette_bgr[1], axis=1).any()
    middle = first_x + 2 * step + step // 2
    assert np.all(wrong[:first_y, middle] == labels.palette_bgr[2], axis=1).any()


def test_the_confusion_picture_is_of_shares_of_a_row():
    x, y, size, _ = box(picture_of({(0, 0): 9}), GREEN)
    step = size + 1

    def row(picture, number):
        return picture[y + number * step : y + number * step + size, x : x + 11 * step]

    small = picture_of({(0, 0): 3, (0, 4): 1, (2, 2): 5})
    large = picture_of({(0, 0): 300, (0, 4): 100, (2, 2): 5})
    assert np.array_equal(row(small, 0), row(large, 0))
    assert not np.array_equal(row(small, 0), row(picture_of({(0, 0): 2, (0, 4): 2}), 0))
    # Half of a row is paler than all of it, and a class without a pixel is grey.
    assert np.all(row(small, 2)[2, 2 * step + 2] == GREEN)
    assert row(small, 0)[2, 2].tolist() == [85, 145, 59]  # 245 + (60 - 245) * sqrt(3 / 4), ...
    assert np.all(row(small, 1)[:, :size] == 228)
    # What rounds to nothing is not written: the cell is of one colour.
    tiny = row(picture_of({(0, 0): 999, (0, 1): 1}), 0)[:, step : step + size]
    assert len(np.unique(tiny.reshape(-1, 3), axis=0)) == 1
    written = row(picture_of({(0, 0): 90, (0, 1): 10}), 0)[:, step : step + size]
    assert len(np.unique(written.reshape(-1, 3), axis=0)) > 1


def test_the_difference_is_red_where_it_is_wrong_and_dark_where_nothing_is_known():
    frame = np.full((8, 8, 3), 100, np.uint8)
    truth = np.array([[0, 1], [255, 255]], np.uint8)
    said = np.array([[0, 0], [0, 1]], np.uint8)
    picture = difference(frame, truth, said)
    assert picture.tolist() == [[[90] * 3, [40, 40, 220]], [[22] * 3, [22] * 3]]


def test_the_legend_has_every_colour_at_any_width():
    for width in (150, 500, 1300):
        picture = legend(CAMVID, width)
        assert picture.shape[1] == width
        for color in CAMVID.palette_bgr[:11]:
            assert np.all(picture == color, axis=2).sum() >= 144


def sheet_data(root, count=12):
    """Images of 240x320, the size of a tile; in image i the first i + 1 rows of ten are wrong."""
    truths = []
    for i in range(count):
        truth = np.full((240, 320), 3, np.uint8)
        truth[:, :40] = 255
        truth[:, 40:80] = 5
        said = truth.copy()
        said[truth == 255] = 3
        said[: (i + 1) * 10] = 8
        write(root / "images" / f"street_{i}.png", image_saying(said))
        write(root / "labels" / f"street_{i}.png", truth)
        truths.append((truth, said))
    return truths


def test_the_worst_sheet_shows_the_ten_worst_first(tmp_path):
    truths = sheet_data(tmp_path)
    dataset = open_dataset(tmp_path, CAMVID)
    steps = []
    found = evaluate(reader(CAMVID, (240, 320)), dataset, lambda: steps.append(1))
    assert len(steps) == 12
    assert [judged.image.stem for judged in found.worst] == [
        f"street_{i}" for i in range(11, 1, -1)
    ]
    # Road and tree are right in all but 120 of 240 rows; car is said and never there.
    assert found.worst[0].scores.mean_iou == pytest.approx((0.5 + 0.5 + 0) / 3)
    sheet = worst_sheet(found)
    truth, said = truths[11]
    below = slice(24, 240)  # of the caption
    tiles = [sheet[2:242, 2 + 324 * i : 322 + 324 * i] for i in range(4)]
    frame = cv2.imread(str(dataset.images[11].image))
    for tile, expected in zip(
        tiles,
        (frame, colorize(truth, CAMVID), colorize(said, CAMVID), difference(frame, truth, said)),
        strict=True,
    ):
        assert np.array_equal(tile[below], expected[below])
        assert not np.array_equal(tile[:24], expected[:24])  # the caption
    assert np.all(tiles[3][30:110, 50:300] == RED)
    assert not np.all(tiles[3][130:230, 50:300] == RED, axis=2).any()
    assert sheet.shape == (10 * 244 + len(legend(CAMVID, 4 * 324)), 4 * 324, 3)


def test_pictures_that_cannot_be_written(tmp_path):
    sheet_data(tmp_path, 1)
    found = evaluate(reader(CAMVID, (240, 320)), open_dataset(tmp_path, CAMVID))
    with pytest.raises(SegRosError, match=r"cannot write .*/nowhere/confusion.png"):
        write_pictures(found, tmp_path / "nowhere")


def test_a_sheet_of_long_names(tmp_path):
    road = ClassLabel("road", (1, 2, 3), Kind.GROUND, True)
    labels = LabelSet("two", (road, ClassLabel("wall", (4, 5, 6), Kind.OBSTACLE)))
    name = "a" * 100
    write(tmp_path / "images" / f"{name}.png", np.zeros((*SIZE, 3), np.uint8))
    write(tmp_path / "labels" / f"{name}.png", np.zeros(SIZE, np.uint8))
    found = evaluate(reader(labels), open_dataset(tmp_path, labels))
    assert found.scores.mean_iou == found.scores.driveable_iou == 1
    assert worst_sheet(found).shape[1] == 4 * 404


def expected_error(sure, good):
    """Calibration error as its paper writes it, bin by bin."""
    place = np.minimum((sure * 15 + 1e-9).astype(int), 14)
    return sum(
        (place == b).mean() * abs(sure[place == b].mean() - good[place == b].mean())
        for b in range(15)
        if (place == b).any()
    )


def test_a_confidence_that_is_right_has_no_calibration_error():
    rng = np.random.default_rng(0)
    sure = rng.integers(60, 256, (400, 500), dtype=np.uint8)
    truth = np.where(rng.random(sure.shape) < sure / 255, 1, 2).astype(np.uint8)
    found = Reliability()
    found.add(truth, np.ones_like(truth), sure)
    assert found.expected_error < 0.01
    assert found.expected_error == pytest.approx(expected_error(sure / 255, truth == 1))
    boasting = Reliability()
    boasting.add(truth, np.ones_like(truth), np.full_like(sure, 255))
    assert boasting.expected_error == pytest.approx(1 - (truth == 1).mean())
    assert not np.array_equal(reliability_picture(found), reliability_picture(boasting))
    unlabelled = Reliability()
    unlabelled.add(np.full_like(truth, 255), truth, sure)
    assert unlabelled.as_dict()["expected_calibration_error"] is None


def test_the_worst_images_are_not_all_neighbours(tmp_path):
    for i in range(60):
        wrong = 10 <= i < 30  # two thirds of a bad stretch would fill the sheet
        truth, said = np.full(SIZE, 3, np.uint8), np.full(SIZE, 8 if wrong else 3, np.uint8)
        said[: i % 7 + 1] = 5
        write(tmp_path / "images" / f"{i:02d}.png", image_saying(said))
        write(tmp_path / "labels" / f"{i:02d}.png", truth)
    found = evaluate(reader(CAMVID, SIZE), open_dataset(tmp_path, CAMVID))
    places = sorted(int(judged.image.stem) // 3 for judged in found.worst)
    assert len(places) == len(set(places)) == 10


def test_camvid_is_read_by_name_for_a_label_set_that_knows_more(tmp_path):
    streets = load_label_set("streets")
    assert ids_by_name(CAMVID, streets) == {i: i for i in range(11)}  # pavement is its sidewalk
    truth = np.repeat(np.arange(12, dtype=np.uint8), 20).reshape(SIZE)  # 11 is CamVid's void
    said = np.where(truth == 5, 11, truth).astype(np.uint8)  # terrain, where CamVid has trees
    write(tmp_path / "val" / "0.png", image_saying(said))
    write(tmp_path / "valannot" / "0.png", truth)
    dataset = open_dataset(tmp_path, streets)
    assert "read by name" in dataset.note
    found = evaluate(reader(streets, SIZE), dataset)
    assert found.confusion.sum() == 11 * 20
    assert found.confusion[5, 11] == 20
    assert found.scores.class_iou[5] == 0
    assert found.scores.class_iou[3] == 1
    assert open_dataset(tmp_path, CAMVID).note == ""


# ---- the command ----


@pytest.fixture(scope="module")
def streets(tmp_path_factory, scene):
    """Three frames of the synthetic scene with their true masks, laid out like CamVid."""
    root = tmp_path_factory.mktemp("streets")
    for i in range(3):
        frame = scene[i * 50]
        write(root / "test" / f"{i}.png", frame.image)
        write(root / "testannot" / f"{i}.png", frame.class_mask)
    return root


def test_the_command(tmp_path, capsys, streets, scene, segmenter):
    figures_file = tmp_path / "figures.json"
    command = ["evaluate", "default", str(streets), "--split", "test", "-o", str(tmp_path / "out")]
    assert cli.main([*command, "--json", str(figures_file)]) == 0
    truth = np.stack([scene[i * 50].class_mask for i in range(3)])
    said = np.stack([segmenter.segment(scene[i * 50].image).class_mask() for i in range(3)])
    truth, said = truth[truth < 11], said[truth < 11]
    present = np.union1d(truth, said)
    expected = metrics.jaccard_score(truth, said, labels=present, average=None)
    figures = json.loads(figures_file.read_text())
    assert figures["model"] == "camvid-b0"
    assert (figures["split"], figures["images"]) == ("test", 3)
    by_id = figures["class_iou"]
    assert [by_id[i] for i in present] == pytest.approx(expected.tolist())
    assert all(by_id[i] is None for i in range(11) if i not in present)
    assert figures["mean_iou"] == pytest.approx(expected.mean())
    assert figures["driveable_iou"] == pytest.approx(by_id[3])
    assert figures["pixel_accuracy"] == pytest.approx((truth == said).mean())
    ids = np.arange(11)
    assert figures["confusion"] == metrics.confusion_matrix(truth, said, labels=ids).tolist()
    printed = capsys.readouterr().out
    assert f"mean IoU           {expected.mean():.4f}" in printed
    left_out = [CAMVID.classes[i].name for i in ids if i not in present]
    assert ("left out of the mean: " + ", ".join(left_out) in printed) == bool(left_out)
    for name, score in (("precision", metrics.precision_score), ("recall", metrics.recall_score)):
        by_class = figures[f"class_{name}"]
        worth = score(truth, said, labels=ids, average=None, zero_division=np.nan)
        assert [np.nan if v is None else v for v in by_class] == pytest.approx(
            worth.tolist(), nan_ok=True
        )
    sure = np.stack([segmenter.segment(scene[i * 50].image).confidence() for i in range(3)])
    shown = np.stack([scene[i * 50].class_mask for i in range(3)])
    error = expected_error(sure[shown < 11] / 255, truth == said)
    assert figures["reliability"]["expected_calibration_error"] == pytest.approx(error)
    assert f"calibration error  {error:.4f}" in printed
    assert {f.name for f in (tmp_path / "out").iterdir()} == set(EVALUATION_NAMES)
    lines = list(csv.DictReader((tmp_path / "out" / "images.csv").open(encoding="utf-8")))
    assert [Path(line["image"]).name for line in lines] == ["0.png", "1.png", "2.png"]
    first = metrics.jaccard_score(
        shown[0][shown[0] < 11],
        segmenter.segment(scene[0].image).class_mask()[shown[0] < 11],
        labels=[3],
        average=None,
    )
    assert float(lines[0]["IoU road"]) == pytest.approx(first[0], abs=1e-4)
    picture = cv2.imread(str(tmp_path / "out" / "confusion.png"))
    drawn = confusion_picture(
        np.array(figures["confusion"]), CAMVID, np.array(by_id, dtype=np.float64)
    )
    assert np.array_equal(picture, drawn)
    assert cli.main(command) == 1
    assert (
        "already holds confusion.png, worst.png, reliability.png, images.csv; choose"
        in capsys.readouterr().err
    )
    own = tmp_path / "mine.yaml"
    names = [f"  - {{name: c{i}, color: [{i}, 0, 0], kind: ground}}" for i in range(11)]
    own.write_text("name: mine\nclasses:\n" + "\n".join(names))
    command += ["--replace", "--labels", str(own), "--json", str(figures_file)]
    assert cli.main(command) == 0
    again = json.loads(figures_file.read_text())
    assert again["classes"] == [f"c{i}" for i in range(11)]
    assert again["confusion"] == figures["confusion"]
    assert again["driveable_iou"] is None  # none of these classes is driveable


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense", "{data}"], "model 'nonsense' is neither"),
        (["default", "/nowhere"], "data set /nowhere is not a folder"),
        (["default", "{data}"], "no split 'val' (valannot is not there); splits there: test"),
        (["default", "{data}", "--labels", "cityscapes"], "has 11 classes, label set cityscapes"),
        (["default", "{data}", "-o", "/proc/nowhere"], "cannot write into /proc/nowhere"),
        (
            ["default", "{data}", "--split", "test", "--json", "/nowhere/a.json"],
            "cannot write /now",
        ),
    ],
)
def test_errors_of_the_command_are_one_line(capsys, streets, arguments, said):
    assert cli.main(["evaluate", *(a.replace("{data}", str(streets)) for a in arguments)]) == 1
    error = capsys.readouterr().err.splitlines()
    assert said in error[-1]
    assert error[-1].startswith("seg_ros evaluate: ")


def test_the_default_model_on_camvid(camvid, segmenter):
    """The figures of its card."""
    found = evaluate(segmenter, open_dataset(camvid, segmenter.labels, "val"))
    assert found.image_count == 101
    assert found.scores.mean_iou == pytest.approx(0.5879, abs=0.005)
    assert found.scores.class_iou[3] == pytest.approx(0.9545, abs=0.005)
    assert found.scores.driveable_iou == found.scores.class_iou[3]


# ---- what other tools write ----


def rgb(path, rows):
    """Write a picture of RGB colours."""
    return write(path, np.array(rows, np.uint8)[:, :, ::-1])


def test_labels_that_count_from_one_are_reduced(tmp_path):
    """ADE20K's way: 0 is no class."""
    truth, said = random_masks(4, 11)
    write(tmp_path / "images" / "a.png", image_saying(said))
    write(tmp_path / "labels" / "a.png", np.where(truth == 255, 0, truth + 1).astype(np.uint8))
    found = evaluate(reader(CAMVID), open_dataset(tmp_path, CAMVID, reduced=True))
    assert np.array_equal(found.confusion, confusion_matrix(truth, said, 11))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"do_reduce_labels": True}, True),
        ({"reduce_labels": True}, True),
        ({"do_reduce_labels": False, "reduce_labels": True}, False),
        ({}, False),
        (None, False),
    ],
)
def test_a_checkpoint_says_whether_labels_are_reduced(tmp_path, config, said):
    if config is not None:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    assert reduces_labels(tmp_path) is said


def test_binary_masks_are_said_and_can_be_named(tmp_path):
    truth = np.zeros(SIZE, np.uint8)
    truth[6:] = 255
    write(tmp_path / "images" / "a.png", image_saying(np.full(SIZE, 3, np.uint8)))
    write(tmp_path / "labels" / "a.png", truth)
    taken = evaluate(reader(CAMVID), open_dataset(tmp_path, CAMVID))
    assert "say only sky (0) and no class (255), as binary masks do" in evaluation_table(taken)
    values = parse_values("0=void, 255=road", CAMVID)
    found = evaluate(reader(CAMVID), open_dataset(tmp_path, CAMVID, values=values))
    assert found.scores.class_iou[3] == 1.0
    assert found.void_share == 0.5
    assert "binary" not in evaluation_table(found)
    assert parse_values("", CAMVID) is None
    for wrong in ("255", "256=road", "0=lane", "x=road", "1=11"):
        with pytest.raises(SegRosError, match="must be VALUE=CLASS"):
            parse_values(wrong, CAMVID)


def test_a_class_predicted_where_there_are_no_labels_is_not_called_not_predicted(tmp_path):
    truth, said = np.full(SIZE, 3, np.uint8), np.full(SIZE, 3, np.uint8)
    truth[:2], said[:2] = 255, 5
    write(tmp_path / "images" / "a.png", image_saying(said))
    write(tmp_path / "labels" / "a.png", truth)
    table = evaluation_table(evaluate(reader(CAMVID), open_dataset(tmp_path, CAMVID)))
    neither, only = table.splitlines()[-2:]
    assert neither.startswith("neither in the labels nor predicted")
    name = CAMVID.classes[5].name
    assert only == (
        "not in the labels, predicted only where they have no class, so left out of the mean: "
        f"{name}"
    )
    assert name not in neither


def cityscapes_frame(root, ids, city="aachen/", name="a"):
    write(
        root / f"leftImg8bit/val/{city}{name}_leftImg8bit.png", np.zeros((*ids.shape, 3), np.uint8)
    )
    return write(root / f"gtFine/val/{city}{name}_gtFine_labelIds.png", ids)


def test_cityscapes_folders_of_train_ids_are_not_scored_as_official_ones(tmp_path):
    """As datumaro writes them: ids of its own, and what they mean only by colour."""
    ids = np.arange(20, dtype=np.uint8).reshape(2, 10)
    label = cityscapes_frame(tmp_path, ids % 19)
    with pytest.raises(SegRosError, match=r"labelIds.png .* no id above 18: these are not Citysc"):
        open_dataset(tmp_path, CITYSCAPES)
    names = ["background", *(label.name for label in CITYSCAPES.classes)]
    (tmp_path / "label_colors.txt").write_text(
        "".join(f"{200 - i} 0 7 {name}\n" for i, name in enumerate(names))
    )
    with pytest.raises(SegRosError, match=r"a_gtFine_color.png is not there"):
        open_dataset(tmp_path, CITYSCAPES)
    colors = np.dstack([200 - ids, np.zeros_like(ids), np.full_like(ids, 7)])
    rgb(label.with_name("a_gtFine_color.png"), colors)
    (pair,) = open_dataset(tmp_path, CITYSCAPES).images
    assert read_truth(pair, CITYSCAPES).ravel().tolist() == [255, *range(19)]


def test_cityscapes_without_city_folders(tmp_path):
    for name in ("frame_10", "frame_2"):
        cityscapes_frame(tmp_path, np.full((2, 3), 26, np.uint8), "", name)
    pairs = open_dataset(tmp_path, CITYSCAPES).images
    assert [pair.image.name for pair in pairs] == [
        "frame_2_leftImg8bit.png",
        "frame_10_leftImg8bit.png",
    ]
    assert np.all(read_truth(pairs[0], CITYSCAPES) == 13)


VOC_MAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\nCar:64,0,128::\n"
COLORS = [[[0, 0, 0], [128, 64, 128]], [[64, 0, 128], [128, 64, 128]]]


def voc(root, rows=COLORS, color_map=VOC_MAP):
    (root / "labelmap.txt").parent.mkdir(parents=True, exist_ok=True)
    (root / "labelmap.txt").write_text(color_map)
    write(root / "JPEGImages" / "a.jpg", np.zeros((2, 2, 3), np.uint8))
    write(root / "JPEGImages" / "unlabelled.jpg", np.zeros((2, 2, 3), np.uint8))
    return rgb(root / "SegmentationClass" / "a.png", rows)


def test_voc_and_cvat_are_read_by_their_colours(tmp_path):
    voc(tmp_path)
    found = open_dataset(tmp_path, CAMVID)
    assert found.note.startswith("1 of 2 images are left out")
    (pair,) = found.images
    names = [label.name for label in CAMVID.classes]
    road, car = names.index("road"), names.index("car")
    assert read_truth(pair, CAMVID).tolist() == [[255, road], [car, road]]
    # The same with a palette, whose indices are not the ids.
    palette = bytes([0] * 3 + [64, 0, 128] + [128, 64, 128])
    pair.label.write_bytes(png(2, [[0, 2], [1, 2]], 8, 3, palette))
    assert read_truth(pair, CAMVID).tolist() == [[255, road], [car, road]]


def test_voc_lists_choose_the_images(tmp_path):
    voc(tmp_path)
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("a\n")
    assert [pair.image.stem for pair in open_dataset(tmp_path, CAMVID).images] == ["a"]
    with pytest.raises(SegRosError, match="no split 'test'; splits there: val"):
        open_dataset(tmp_path, CAMVID, "test")
    (lists / "val.txt").write_text("a\nunlabelled\n")
    with pytest.raises(SegRosError, match=r"unlabelled.jpg has no label image"):
        open_dataset(tmp_path, CAMVID)


def test_camvid_is_read_by_label_colors(tmp_path):
    (tmp_path / "label_colors.txt").write_text("128 64 128\t\tRoad\n0 0 0 Void\n64 0 128 car\n")
    write(tmp_path / "val" / "a.png", np.zeros((2, 2, 3), np.uint8))
    rgb(tmp_path / "valannot" / "a.png", COLORS)
    (pair,) = open_dataset(tmp_path, CAMVID).images
    names = [label.name for label in CAMVID.classes]
    road, car = names.index("road"), names.index("car")
    assert read_truth(pair, CAMVID).tolist() == [[255, road], [car, road]]


@pytest.mark.parametrize(
    ("rows", "color_map", "said"),
    [
        (
            [[[1, 2, 3]] * 2] * 2,
            VOC_MAP,
            r"a.png has pixels of colour \(1, 2, 3\), .*map.txt",
        ),
        (COLORS, VOC_MAP.replace("Car", "tank"), "a.png has pixels of 'tank', which label set cam"),
        (COLORS, "road=1,2,3\n", "labelmap.txt, line 1: neither"),
        (COLORS, "road:1,2\n", "labelmap.txt, line 1: neither"),
        (COLORS, "road:1,2,300\n", "labelmap.txt, line 1: neither"),
        (COLORS, "road:1,2,3\ncar:1,2,3\n", "line 2: 'car' has the colour of 'road'"),
        (COLORS, "\n", "labelmap.txt names no colour"),
    ],
)
def test_colours_without_a_meaning_are_refused(tmp_path, rows, color_map, said):
    voc(tmp_path, rows, color_map)
    with pytest.raises(SegRosError, match=said):
        read_truth(open_dataset(tmp_path, CAMVID).images[0], CAMVID)
