import math

import numpy as np
import pytest

from seg_ros.errors import SegRosError
from seg_ros.ground.grid_spec import FirstContacts
from seg_ros.labels import ClassLabel, Kind, LabelSet
from seg_ros.results.figures import FrameFigures, FrameJudge, contact_ahead, read_figures
from seg_ros.segment.output import Output, Processed
from seg_ros.segment.pipeline import Pipeline
from seg_ros.segment.upsample import mean_confidence

LABELS = LabelSet(
    "test",
    (
        ClassLabel("sky", (0, 0, 255), Kind.OPEN),
        ClassLabel("road", (99, 0, 99), Kind.GROUND, driveable=True),
        ClassLabel("lane", (99, 99, 0), Kind.GROUND, driveable=True),
        ClassLabel("car", (0, 99, 0), Kind.OBSTACLE),
    ),
)
SKY, ROAD, LANE, CAR = range(4)


def bands(*ids, rows=40):
    """A mask of horizontal bands, each of ``rows`` rows."""
    return np.repeat(np.array(ids, np.uint8), rows)[:, None].repeat(80, axis=1)


def done(mask, **others):
    return Processed(2_500_000, mask, **others)


def scan(*degrees_and_ranges, step=1.0):
    """Contacts of -10 to 10 degrees that are free but for those given."""
    degrees = np.arange(-10, 10 + step, step)
    ranges = np.full(len(degrees), np.inf, np.float32)
    for degree, value in degrees_and_ranges:
        ranges[np.abs(degrees - degree) < 0.01] = value
    return FirstContacts(math.radians(-10), math.radians(step), 30.0, ranges)


def test_the_first_frame_has_shares_and_nothing_to_compare_with():
    judge = FrameJudge(LABELS)
    mask = bands(SKY, CAR, ROAD, LANE, 255)
    figures = judge.judge(7, 123, done(mask, mean_confidence=0.75), latency_ms=9.0)
    assert figures == FrameFigures(
        index=7,
        stamp_ns=123,
        latency_ms=9.0,
        engine_ms=2.5,
        class_shares=(0.2, 0.2, 0.2, 0.2),
        driveable_share=pytest.approx(0.4),
        confidence=0.75,
        contact_ahead_m=None,
        changed_share=None,
        driveable_lost=None,
    )


def test_change_and_lost_driveable_area():
    judge = FrameJudge(LABELS)
    judge.judge(0, 0, done(bands(SKY, ROAD, ROAD, ROAD, ROAD)))
    # One band stays a driveable class of another name, one is lost, one is won from the sky.
    second = judge.judge(1, 1, done(bands(ROAD, LANE, CAR, ROAD, ROAD)))
    assert second.changed_share == pytest.approx(0.6)
    assert second.driveable_lost == pytest.approx(0.2)
    assert second.driveable_share == pytest.approx(0.8)
    same = judge.judge(2, 2, done(bands(ROAD, LANE, CAR, ROAD, ROAD)))
    assert (same.changed_share, same.driveable_lost) == (0.0, 0.0)


def test_no_comparison_with_a_frame_of_another_size():
    judge = FrameJudge(LABELS)
    judge.judge(0, 0, done(bands(SKY, ROAD)))
    assert judge.judge(1, 1, done(bands(SKY, ROAD, ROAD))).changed_share is None
    assert judge.judge(2, 2, done(bands(SKY, ROAD, CAR))).changed_share == pytest.approx(1 / 3)


def test_a_judge_goes_on_after_the_last_mask_of_an_earlier_run():
    masks = [bands(SKY, ROAD, ROAD), bands(SKY, CAR, ROAD), bands(ROAD, ROAD, SKY)]
    one = FrameJudge(LABELS)
    whole = [one.judge(i, i, done(mask)) for i, mask in enumerate(masks)]
    other = FrameJudge(LABELS)
    other.resume(masks[1])
    assert other.judge(2, 2, done(masks[2])) == whole[2]


def test_shares_are_those_of_the_whole_mask_to_two_thousandths(scene, segmenter):
    mask = segmenter.segment(scene[60].image).class_mask()
    figures = FrameJudge(segmenter.labels).judge(0, 0, done(mask))
    exact = np.bincount(mask.ravel(), minlength=len(segmenter.labels)) / mask.size
    assert figures.class_shares == pytest.approx(tuple(exact), abs=0.002)
    assert max(figures.class_shares) > 0.2


def test_a_frame_of_one_pixel_is_judged():
    figures = FrameJudge(LABELS).judge(0, 0, done(np.full((1, 1), CAR, np.uint8)))
    assert figures.class_shares == (0, 0, 0, 1)


def test_what_was_judged_must_have_a_mask():
    with pytest.raises(ValueError, match="none"):
        FrameJudge(LABELS).judge(0, 0, Processed(1))


@pytest.mark.parametrize(
    ("contacts", "metres"),
    [
        (scan(), math.inf),
        (scan((0, 12.5), (2, 9.5), (-3, 20)), 9.5),
        (scan((4, 5.0), (-4, 6.0)), math.inf),  # beside, not ahead
        (scan((1, math.nan)), None),
        (scan((1, math.nan), (0, 8.0)), 8.0),
        (scan((5, math.nan)), math.inf),
        (FirstContacts(1.0, 0.01, 30.0, np.full(9, 3, np.float32)), None),  # looks to the side
    ],
)
def test_the_distance_ahead(contacts, metres):
    assert contact_ahead(contacts) == (metres if metres is None else pytest.approx(metres))


@pytest.mark.parametrize("ahead", [None, math.inf, 7.25])
def test_a_line_of_json_and_back(ahead):
    figures = FrameFigures(3, 1_600_000_000_123_456_789, 9.5, 7.5, (0.25, 0.75), 0.75, None, ahead,
                           0.125, None)  # fmt: skip
    line = figures.to_line()
    assert "\n" not in line
    assert FrameFigures.from_line(line) == figures


@pytest.mark.parametrize(
    "line", ["", "nonsense", "[1]", "{}", '{"index": 1}', '{"class_shares": 5}', "null"]
)
def test_what_is_not_a_frame_is_refused_in_one_line(tmp_path, line):
    good = FrameFigures(0, 0, 1.0, 1.0, (1.0,), 0.0, None, None, None, None)
    file = tmp_path / "frames.jsonl"
    file.write_text(f"{good.to_line()}\n{line}\n")
    frames = read_figures(file)
    assert next(frames) == good
    with pytest.raises(SegRosError, match=r"line 2: .* is not the figures of a frame"):
        next(frames)


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    figures = [FrameFigures(i, i, 1.0, 1.0, (1.0,), 0.0, 0.5, 1.0, 0.1, 0.1) for i in range(3)]
    text = "".join(f"{f.to_line()}\n" for f in figures)
    (tmp_path / "frames.jsonl").write_text(text[:-1])
    assert list(read_figures(tmp_path / "frames.jsonl")) == figures[:2]
    with pytest.raises(SegRosError, match=r"nothing\.jsonl cannot be read"):
        list(read_figures(tmp_path / "nothing.jsonl"))


def test_mean_confidence_is_that_of_softmax():
    logits = np.random.default_rng(0).normal(0, 4, (11, 18, 32)).astype(np.float32)
    odds = np.exp(logits.astype(float) - logits.max(axis=0))
    assert mean_confidence(logits) == pytest.approx((1 / odds.sum(axis=0)).mean(), abs=1e-3)
    assert mean_confidence(np.zeros((4, 2, 3), np.float32)) == pytest.approx(0.25)


def test_the_pipeline_gives_the_mean_confidence_when_asked(scene, segmenter):
    pipeline = Pipeline(segmenter)
    wanted = Output.MEAN_CONFIDENCE | Output.CONFIDENCE
    found = pipeline.process(scene[0].image, wanted)
    assert found.mean_confidence == pytest.approx(found.confidence.mean() / 255, abs=0.02)
    assert pipeline.process(scene[0].image, Output.MASK).mean_confidence is None
