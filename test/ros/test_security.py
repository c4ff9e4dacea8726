"""The policy for secured systems says what the code does; test_node.py asks the node itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from security_policy import allowed

from seg_ros.results.topics import PUBLISHED, SUBSCRIBED
from seg_ros.ros.services import SERVICES

BY_ROS = {
    ("topic", "publish"): {"/rosout", "/parameter_events", "~/transition_event"},
    ("topic", "subscribe"): {"/tf", "/tf_static", "/clock"},
}


def test_the_policy_names_every_topic_and_service_and_no_other():
    policy = allowed()
    for use, topics in ((("topic", "publish"), PUBLISHED), (("topic", "subscribe"), SUBSCRIBED)):
        assert sorted(policy[use]) == sorted({topic.name for topic in topics} | BY_ROS[use])
    served = policy["service", "reply"]
    assert len(served) == len(set(served))
    assert {service.name for service in SERVICES} <= set(served)


def test_security_that_is_not_there_is_one_clear_line(tmp_path):
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    secured = {
        "ROS_SECURITY_ENABLE": "true",
        "ROS_SECURITY_STRATEGY": "Enforce",
        "ROS_SECURITY_KEYSTORE": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "seg_ros.ros.start", "--ros-args", "--enclave", "/nobody"],
        env={**os.environ, **secured},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"directory '{tmp_path}/enclaves/nobody' does not exist" in done.stderr
