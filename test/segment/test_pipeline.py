"""What a frame goes through, where that is not the business of one of its steps."""

import numpy as np
import pytest
from quick_engine import QuickEngine

from seg_ros.labels import load_label_set
from seg_ros.segment.output import Output
from seg_ros.segment.pipeline import FRAMES_OF_ONE_CLASS, Pipeline
from seg_ros.segment.segmenter import Segmenter

GREY = np.full((90, 160, 3), 128, np.uint8)
"""Of class 5 to the engine that goes by brightness."""


@pytest.fixture
def pipeline():
    return Pipeline(Segmenter(QuickEngine(), load_label_set("camvid"), "quick"))


def test_one_class_in_every_pixel_of_every_frame_is_said(pipeline):
    pipeline.warm_up()  # its black frame counts for nothing
    for count in range(1, FRAMES_OF_ONE_CLASS + 3):
        assert bool(pipeline.doubt) == (count > FRAMES_OF_ONE_CLASS)
        pipeline.process(GREY, Output.MASK)
    name = load_label_set("camvid").classes[5].name
    assert f"every pixel of all {count} frames is {name!r}" in pipeline.doubt
    frame = GREY.copy()
    frame[-1, -1] = 255
    frame[-8:, -8:] = 255
    pipeline.process(frame, Output.MASK)
    assert pipeline.doubt == ""
    for _ in range(2 * FRAMES_OF_ONE_CLASS):
        pipeline.process(GREY, Output.MASK)
    assert pipeline.doubt == "", "it has been seen to know more than one"


def test_one_class_a_frame_is_not_one_class_in_all(pipeline):
    for index in range(3 * FRAMES_OF_ONE_CLASS):
        pipeline.process(GREY if index != 4 else np.zeros_like(GREY), Output.MASK)
    assert pipeline.doubt == ""
