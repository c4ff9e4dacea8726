"""The comparison of an engine with the reference, on masks that are known."""

import numpy as np
import pytest

from seg_ros.engines import EngineInfo, Inference
from seg_ros.engines.verify import Limits, verify
from seg_ros.errors import SegRosError
from seg_ros.labels import load_label_set
from seg_ros.segment.segmenter import Segmenter

BDD = load_label_set("bdd100k_drivable")  # 0 and 1 are driveable, 2 is not
SIZE = (40, 60)
FRAME = np.zeros((*SIZE, 3), np.uint8)


class MaskEngine:
    """Answers with logits that make a given mask, frame after frame."""

    class_count = 3
    input_size = SIZE

    def __init__(self, *masks, runtime="fake", decided=None, gain=1.0):
        self.masks, self.decided, self.gain = masks, decided, gain
        self.info = EngineInfo(runtime, "none", "fp32")
        self.calls = 0

    def infer(self, image):
        mask = self.masks[self.calls % len(self.masks)]
        self.calls += 1
        logits = self.gain * np.eye(3, dtype=np.float32)[mask].transpose(2, 0, 1)
        return Inference(lambda: logits, True, self.decided)


def segmenter(*masks, **options):
    return Segmenter(MaskEngine(*masks, **options), BDD, "fake")


def halves():
    """Upper half background, lower half own lane."""
    mask = np.full(SIZE, 2, np.uint8)
    mask[20:] = 0
    return mask


def test_the_same_masks_agree_wholly():
    found = verify(segmenter(halves()), segmenter(halves()), [FRAME], "test")
    assert (found.agreement, found.false_free, found.largest_region) == (1.0, 0.0, 0)
    assert found.iou == (
        ("current lane", 1.0),
        ("alternative lane", None),
        ("background", 1.0),
    )
    assert found.pixels == 40 * 60
    assert found.problems == ()
    assert found.logit_difference == 0.0


def test_every_figure_of_a_known_difference():
    said = halves()
    said[0:3, 10:14] = 1  # 12 px of background turned driveable
    said[30, 5:10] = 2  # 5 px of road turned background
    said[35, 5] = 1  # driveable to both
    found = verify(segmenter(said, gain=1.5), segmenter(halves(), runtime="torch"), [FRAME], "x")
    assert found.agreement == 1 - 18 / 2400
    assert found.false_free == 12 / 1200
    assert found.largest_region == 12
    assert found.largest_region_at == "frame 0, x 10 y 0 width 4 height 3"
    ious = dict(found.iou)
    assert ious["current lane"] == 1194 / 1200
    assert ious["alternative lane"] == 0.0
    assert ious["background"] == 1188 / 1205
    assert found.logit_difference == 1.5
    assert found.problems == ("1.000 % of what is not driveable became driveable (limit 0.100 %)",)
    assert found.as_dict()["passed"] is False
    assert found.reference == "torch fp32"


def test_the_largest_region_is_that_of_one_frame():
    first, second = halves(), halves()
    first[0, 0:5] = 0
    second[0, 0:4] = second[2, 0:4] = 0
    masks = (halves(), halves())
    found = verify(segmenter(first, second), segmenter(*masks), [FRAME, FRAME], "x")
    assert (found.frames, found.pixels, found.largest_region) == (2, 4800, 5)
    assert found.false_free == 13 / 2400


@pytest.mark.parametrize(("wrong", "passes"), [(24, True), (25, False)])
def test_the_limit_of_agreement_is_inclusive(wrong, passes):
    said = halves()
    said.reshape(-1)[1200 : 1200 + wrong] = 1  # one lane for the other: nothing turns driveable
    found = verify(segmenter(said), segmenter(halves()), [FRAME], "x", Limits(0.99, 0.0))
    assert found.agreement == 1 - wrong / 2400
    assert (found.problems == ()) is passes
    if not passes:
        assert "only 98.958 % of the pixels agree with fake fp32 (limit 99.000 %)" in found.problems


def test_a_mask_decided_in_the_engine_is_compared_as_well():
    """Good logits do not excuse a broken mask output."""
    decided = np.full((20, 30), 2, np.uint8)
    found = verify(segmenter(halves(), decided=decided), segmenter(halves()), [FRAME], "x")
    assert found.pixels == 2400 + 600
    assert found.agreement == (2400 + 300) / 3000


def test_a_class_that_does_not_exist_is_a_broken_engine():
    decided = np.full(SIZE, 7, np.uint8)
    with pytest.raises(SegRosError, match="answered with class 7 of 3; the engine is broken"):
        verify(segmenter(halves(), decided=decided), segmenter(halves()), [FRAME], "x")


def test_frames_that_could_not_fail_an_engine_are_refused():
    one = np.full(SIZE, 2, np.uint8)
    with pytest.raises(SegRosError, match="one class only in all frames of fog"):
        verify(segmenter(one), segmenter(one), [FRAME], "fog")


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_limit_is_a_share(share):
    with pytest.raises(SegRosError, match="it is a share, 0 to 1"):
        Limits(agreement=share)
    with pytest.raises(SegRosError, match="limit of false free"):
        Limits(false_free=share)
