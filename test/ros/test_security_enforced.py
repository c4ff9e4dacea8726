"""Under SROS2's Enforce: the shipped policy allows the node what it does, and nobody else gets in.

Skipped where sros2 is missing or the middleware was built without security, as the wheels are.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from node_messages import image_message, pixels, trigger
from security_policy import POLICY
from support import HUMBLE, Client, NodeProcess, running_node, wait_until

from seg_ros.results import topics
from seg_ros.ros import services

STAMP = 5 * 10**9


@pytest.fixture
def secured(tmp_path, monkeypatch):
    """Environment and keystore of a secured system: the node's enclave and one for a client."""
    keystore = pytest.importorskip(
        "sros2.keystore", reason="sros2 is not installed; it comes with ROS 2"
    )
    store = tmp_path / "keystore"
    keystore.create_keystore(store)
    for enclave in ("/segmentation_node", "/client"):
        keystore.create_enclave(store, enclave)
    keystore.create_permission(store, "/segmentation_node", POLICY)
    monkeypatch.setenv("ROS_SECURITY_KEYSTORE", str(store))
    monkeypatch.setenv("ROS_SECURITY_STRATEGY", "Enforce")
    monkeypatch.setenv("ROS_SECURITY_ENABLE", "true")
    log = tmp_path / "try.log"
    node = NodeProcess(log, {"autostart": False}, "--enclave", "/segmentation_node")
    try:
        wait_until(
            lambda: node.process.poll() is not None or "Found security" in node.said(), "security"
        )
        time.sleep(1.0)
    finally:
        node.end()
    if "have the security libraries" in node.said():
        pytest.skip("the middleware was built without security")


@pytest.mark.usefixtures("secured")
def test_the_node_works_in_its_enclave_and_nobody_else_hears(
    tmp_path, monkeypatch, scene, segmenter
):
    everything = {"grid_frame": "odom", "attitude_source": "imu", "snapshot_folder": tmp_path}
    log = tmp_path / "node.log"
    with running_node(log, "--enclave", "/segmentation_node", **everything) as node:
        client = Client("--enclave", "/client")
        try:
            client.listen(topics.MASK)
            images = client.publisher(topics.IMAGE)
            images.publish(image_message(scene[0].image, STAMP))
            (mask,) = client.wait_for(topics.MASK)
            expected = segmenter.segment(scene[0].image).class_mask()
            assert np.array_equal(pixels(mask), expected)
            assert client.set_parameter("overlay_opacity", 0.25).successful
            assert trigger(client, services.RELOAD).success
            assert trigger(client, services.SNAPSHOT).success
            assert client.transition("deactivate")
            assert client.state() == "inactive"

            monkeypatch.setenv("ROS_SECURITY_ENABLE", "false")
            intruder = Client()
            try:
                intruder.listen(topics.MASK)
                time.sleep(3.0)
                assert "segmentation_node" in client.node.get_node_names()
                assert "segmentation_node" not in intruder.node.get_node_names()
                assert not any(intruder.messages.values())
            finally:
                intruder.close()
        finally:
            client.close()
        assert node.stop() == 0
    assert "not found in allow rule" not in node.said(), "the policy lacks something"


@pytest.mark.skipif(HUMBLE, reason="there rmw_fastrtps crashes instead (docs/security.md)")
@pytest.mark.usefixtures("secured")
def test_a_topic_the_policy_lacks_is_named(tmp_path):
    node = NodeProcess(
        tmp_path / "node.log", {}, "--enclave", "/segmentation_node", "-r", "image:=/front/image"
    )
    try:
        node.wait_for("cannot activate: the middleware refuses to subscribe to /front/image (")
        assert node.stop() == 0
    finally:
        node.end()
    assert "the enclave's permissions must allow it" in node.said()
    assert "Traceback" not in node.said()
