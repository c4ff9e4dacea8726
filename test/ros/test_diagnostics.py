"""What the diagnostics make of what they are told, without a node."""

import pytest

from seg_ros.ros.diagnostics import Diagnosis
from seg_ros.support.statistics import FrameStatistics

pytest.importorskip("rclpy", reason="rclpy is not installed")


def said(**told):
    about = {
        "now_ns": 10**9,
        "snapshot": FrameStatistics().snapshot(),
        "segmenter": None,
        "active": True,
        "image_topic": "/image",
        "image_publishers": 1,
        "listened": (),
        "camera_problem": "",
        "mounting_assumed": False,
        "refused": "",
        "reload": "",
    }
    plain = Diagnosis.plain(Diagnosis("/node").message(**{**about, **told}))
    return plain["level"], plain["message"]


def test_a_doubt_about_the_masks_is_a_warning():
    assert said() == (0, "running")
    assert said(doubt="one class only") == (1, "one class only")
    assert said(doubt="one class only", refused="x") == (2, "not configured: x")
