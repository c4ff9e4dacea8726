"""The shortcut against the plain method: upsample every class at every pixel, then decide."""

import cv2
import numpy as np
import pytest

from seg_ros.segment.upsample import argmax_upsampled, confidence_upsampled

SHAPES = [
    # classes, low-resolution size, output size
    ((11, 72, 128), (288, 512)),
    ((11, 72, 128), (361, 641)),
    ((19, 17, 31), (123, 457)),
    ((3, 45, 80), (90, 161)),
    ((5, 7, 9), (7, 9)),
    ((4, 20, 20), (5, 7)),  # downwards
    ((5, 1, 1), (3, 4)),
    ((1, 3, 3), (10, 10)),
    ((255, 2, 3), (9, 8)),
]


def plain_upsample(logits, size):
    """torch's bilinear, align_corners=False: half-pixel centres, float32, edges repeated."""

    def axis(inputs, outputs):
        scale = np.float32(inputs) / np.float32(outputs)
        at = (np.arange(outputs, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
        at = np.maximum(at, np.float32(0))
        low = at.astype(int)
        high = np.minimum(low + 1, inputs - 1)
        weight = at - low.astype(np.float32)
        return low, high, np.float32(1) - weight, weight

    y0, y1, wy0, wy1 = axis(logits.shape[1], size[0])
    x0, x1, wx0, wx1 = axis(logits.shape[2], size[1])
    rows = logits[:, :, x0] * wx0 + logits[:, :, x1] * wx1
    return rows[:, y0] * wy0[:, None] + rows[:, y1] * wy1[:, None]


def make_logits(kind, shape):
    rng = np.random.default_rng(7)
    logits = rng.normal(size=shape).astype(np.float32)
    if kind == "smooth":  # like a network's: large areas with one winner
        logits = np.stack([cv2.GaussianBlur(plane, (0, 0), 4) * 60 for plane in logits])
    elif kind == "ties":
        logits = np.round(logits * 2) / 2
    elif kind == "one ulp apart":  # rounding between the corners makes ties of these
        logits = 1 + rng.integers(0, 2, shape) * 2.0**-23
    elif kind == "huge":
        logits = logits * 1e30
    elif kind == "equal":
        logits = np.zeros(shape)
    return logits.astype(np.float32)


@pytest.mark.parametrize("kind", ["random", "smooth", "ties", "one ulp apart", "huge", "equal"])
@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_argmax_is_that_of_the_upsampled_logits(kind, shape, size):
    logits = make_logits(kind, shape)
    expected = plain_upsample(logits, size).argmax(axis=0)
    assert np.count_nonzero(argmax_upsampled(logits, size) != expected) == 0


def test_a_win_that_rounding_undoes_goes_to_the_lower_class():
    # Class 1 wins at both ends by one ulp, but between them both round to the same value.
    ends = np.array([[[1.0, 3.0]], [[1.0 + 2**-23, 3.0 + 2**-22]]], np.float32)
    expected = plain_upsample(ends, (1, 401)).argmax(axis=0)
    assert {0, 1} == set(np.unique(expected)), "the case no longer shows what it is for"
    assert np.array_equal(argmax_upsampled(ends, (1, 401)), expected)


@pytest.mark.parametrize("kind", ["random", "smooth", "equal"])
@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_confidence_is_the_softmax_of_the_winner(kind, shape, size):
    logits = make_logits(kind, shape)
    upsampled = plain_upsample(logits, size).astype(np.float64)
    expected = 255 / np.exp(upsampled - upsampled.max(axis=0)).sum(axis=0)
    assert np.abs(confidence_upsampled(logits, size) - expected).max() <= 1.0


def test_writes_into_the_memory_it_is_given():
    logits = make_logits("smooth", (4, 9, 16))
    out = np.full((36, 64), 200, np.uint8)
    assert argmax_upsampled(logits, (36, 64), out) is out
    assert np.array_equal(out, argmax_upsampled(logits, (36, 64)))


@pytest.mark.parametrize(
    ("logits", "size", "out"),
    [
        (np.zeros((2, 3), np.float32), (4, 4), None),
        (np.zeros((2, 3, 3), np.float64), (4, 4), None),
        (np.zeros((256, 3, 3), np.float32), (4, 4), None),
        (np.zeros((2, 3, 3), np.float32), (0, 4), None),
        (np.zeros((2, 3, 3), np.float32), (4, 4), np.zeros((4, 5), np.uint8)),
        (np.zeros((2, 3, 3), np.float32), (4, 4), np.zeros((4, 8), np.uint8)[:, ::2]),
    ],
)
def test_refuses_what_does_not_fit(logits, size, out):
    with pytest.raises(ValueError, match=r"logits|classes|size|out"):
        argmax_upsampled(logits, size, out)


def test_agrees_with_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    logits = make_logits("smooth", (19, 64, 128))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None], size=(360, 641), mode="bilinear", align_corners=False
    )[0].argmax(0)
    assert np.array_equal(argmax_upsampled(logits, (360, 641)), expected.numpy())
