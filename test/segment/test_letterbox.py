"""A frame in a letterbox, and its mask out of it again."""

import numpy as np
import pytest

from seg_ros.engines import EngineInfo, Inference
from seg_ros.errors import SegRosError
from seg_ros.ground.grid_spec import GridRules
from seg_ros.labels import load_label_set
from seg_ros.segment.letterbox import GREY, box_of
from seg_ros.segment.output import Output
from seg_ros.segment.pipeline import Pipeline, refuse_confidence
from seg_ros.segment.segmenter import Segmenter
from seg_ros.segment.upsample import argmax_upsampled, confidence_upsampled

LABELS = load_label_set("camvid")
SIZE = (96, 96)


class Remembering:
    """Random logits at an eighth of the input; keeps what it was fed."""

    info = EngineInfo("remembering", "test", "fp32")
    input_size = SIZE
    class_count = 11

    def __init__(self, mask=None):
        shape = (11, SIZE[0] // 8, SIZE[1] // 8)
        self.logits = np.random.default_rng(3).normal(size=shape).astype(np.float32)
        self.mask = mask

    def infer(self, image):
        self.image = image.copy()
        return Inference(lambda: self.logits, True, self.mask)


def segmenter(fit="letterbox", mask=None, **options):
    return Segmenter(Remembering(mask), LABELS, "random", fit=fit, **options)


@pytest.mark.parametrize(
    ("frame", "box"),
    [
        ((720, 1280), (21, 0, 54, 96)),
        ((1280, 720), (0, 21, 96, 54)),
        ((480, 640), (12, 0, 72, 96)),
        ((95, 96), (0, 0, 95, 96)),  # one row left: it is below
        ((50, 60), (8, 0, 80, 96)),
        ((1, 3000), (47, 0, 1, 96)),
        ((96, 96), (0, 0, 96, 96)),
    ],
)
def test_boxes_are_those_of_ultralytics(frame, box):
    """Which are, for the same frames, what its LetterBox(96) of version 8.4.190 does."""
    assert box_of(frame, SIZE) == box


def test_the_frame_is_in_the_middle_with_grey_beside_it():
    model = segmenter()
    for height, width in ((54, 96), (96, 54), (54, 96), (96, 96)):
        frame = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        model.segment(frame)
        fed, (top, left) = model._engine.image, ((96 - height) // 2, (96 - width) // 2)
        inside = np.zeros(SIZE, bool)
        inside[top : top + height, left : left + width] = True
        assert np.array_equal(fed[inside].reshape(height, width, 3), frame)
        assert np.all(fed[~inside] == GREY)


def test_masks_are_those_of_the_input_without_the_bars():
    model = segmenter()
    whole = argmax_upsampled(model._engine.logits, SIZE)
    sure = confidence_upsampled(model._engine.logits, SIZE)
    for height, width in ((54, 96), (96, 54), (53, 96)):
        top, left = box_of((height, width), SIZE)[:2]
        found = model.segment(np.zeros((height, width, 3), np.uint8))
        part = (slice(top, top + height), slice(left, left + width))
        assert np.array_equal(found.class_mask(), whole[part])
        assert np.abs(found.confidence().astype(int) - sure[part]).max() <= 1


def test_a_mask_of_twice_the_size_covers_the_same_part():
    model = segmenter()
    twice = argmax_upsampled(model._engine.logits, (192, 192))
    mask = model.segment(np.zeros((108, 192, 3), np.uint8)).class_mask()
    assert np.array_equal(mask, twice[42:150])


def test_what_an_engine_decided_itself_is_of_the_whole_input():
    decided = np.full((54, 96), 3, np.uint8)  # happens to have the frame's size
    mask = segmenter(mask=decided).segment(np.zeros((54, 96, 3), np.uint8)).class_mask()
    assert np.array_equal(mask, segmenter().segment(np.zeros((54, 96, 3), np.uint8)).class_mask())
    assert not np.array_equal(mask, decided)


def test_the_mean_confidence_is_of_the_frames_part():
    model = segmenter()
    model._engine.logits[:, :2] = 0  # of the bar
    model._engine.logits[0, 3:] = 50
    assert model.segment(np.zeros((48, 96, 3), np.uint8)).mean_confidence() > 0.999
    assert segmenter("stretch").segment(np.zeros((48, 96, 3), np.uint8)).mean_confidence() < 0.9


def test_a_frame_squeezed_into_a_square_is_doubted_where_nobody_said_so():
    assert "frames of 160x90 are squeezed into the square input of random (96x96)" in (
        segmenter("").doubt((90, 160))
    )
    assert segmenter("").doubt((95, 96)) == ""
    assert segmenter("stretch").doubt((90, 160)) == segmenter().doubt((90, 160)) == ""
    pipeline = Pipeline(segmenter(""))
    assert pipeline.doubt == ""
    pipeline.process(np.zeros((90, 160, 3), np.uint8), Output.MASK)
    assert "say 'network: {fit: letterbox}'" in pipeline.doubt


def test_without_a_confidence_there_is_none_and_none_can_be_asked_for():
    model = segmenter(confident=False)
    done = Pipeline(model).process(np.zeros((54, 96, 3), np.uint8), ~Output.NONE)
    assert done.confidence is None
    assert done.mean_confidence is None
    assert done.mask is not None
    refuse_confidence(model, GridRules())
    refuse_confidence(segmenter(), GridRules(min_confidence=0.3))
    with pytest.raises(SegRosError, match=r"grid_min_confidence is 0\.3, but model random gives"):
        refuse_confidence(model, GridRules(min_confidence=0.3))
