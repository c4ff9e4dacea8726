"""Several cameras in one process: one engine, a node each, and nobody harmed by another."""

import threading
import time

import numpy as np
import pytest
from node_messages import image_message, pixels
from support import NodeProcess, wait_until

from seg_ros.drive.messages import stamp_ns
from seg_ros.results.parameters import PARAMETERS
from seg_ros.ros.shared_models import SharedModels
from seg_ros.support.turn import Turn

CAMERAS = ("front", "left", "right")


def test_who_waited_longest_has_the_next_turn():
    turn, order = Turn(), []
    waiting = threading.Semaphore(0)

    def come(name):
        waiting.release()
        with turn:
            order.append(name)

    turn.take()
    turn.take()  # has it already
    threads = []
    for name in range(5):
        threads.append(threading.Thread(target=come, args=(name,)))
        threads[-1].start()
        assert waiting.acquire(timeout=10)
        wait_until(lambda n=name: len(turn._waiting) == n + 1, "it to wait")
    assert not order
    turn.give_back()
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3, 4]
    turn.give_back()  # of somebody who has it not
    with turn:
        pass


def test_models_are_shared_as_long_as_somebody_has_them():
    class Loaded:
        def __init__(self):
            self.turn = Turn()

    values = {spec.name: spec.default for spec in PARAMETERS}
    models = SharedModels()
    first, shared = models.get(values, Loaded)
    assert not shared
    assert models.get({**values, "overlay_opacity": 0.1}, Loaded) == (first, True)
    other, shared = models.get({**values, "input_size": "64x128"}, Loaded)
    assert other is not first
    assert not shared
    anew, shared = models.get(values, Loaded, anew=True)
    assert anew is not first
    assert not shared
    assert models.get(values, Loaded) == (anew, True)
    anew.turn.take()
    time.sleep(0.02)
    assert models.get({**values, "stall_timeout": 0.01}, Loaded)[1] is False  # it hangs there
    del first, anew
    assert models.get(values, Loaded)[1] is False


def test_cameras_of_one_process(tmp_path, client, segmenter, scene):
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from sensor_msgs.msg import Image
    from std_srvs.srv import Trigger

    words = [
        w for camera in CAMERAS for w in ("--camera", f"/car/{camera} -p overlay_opacity:=0.3")
    ]
    masks = {camera: [] for camera in CAMERAS}
    node = NodeProcess(tmp_path / "node.log", {}, "--", *words)
    try:
        for camera in CAMERAS:
            node.wait_for(f"listening on /car/{camera}/image")
            client.node.create_subscription(
                Image, f"/car/{camera}/segmentation/mask", masks[camera].append, 100
            )
        assert node.said().count("it is the engine that another camera of this process has") == 2
        send = {c: client.node.create_publisher(Image, f"/car/{c}/image", 100) for c in CAMERAS}
        for camera in CAMERAS:
            client.diagnosis(
                lambda v: "segmentation/mask" in v["listened to"] and v["image publishers"] == "1",
                f"car/{camera}/segmentation_node",
            )
        images = {camera: scene[40 * i].image for i, camera in enumerate(CAMERAS)}
        rubbish = image_message(images["front"], 5)
        rubbish.data = rubbish.data[:1000]
        small = np.ascontiguousarray(images["left"][::2, ::2])
        for number in range(1, 6):  # one sends rubbish and floods, one changes size, one is good
            for _ in range(20):
                send["front"].publish(rubbish)
            left = small if number % 2 else images["left"]
            send["left"].publish(image_message(left, number))
            send["right"].publish(image_message(images["right"], 100 + number))
            for camera in ("left", "right"):
                wait_until(lambda c=camera, n=number: len(masks[c]) == n, f"a mask of {camera}")
            assert np.array_equal(pixels(masks["left"][-1]), segmenter.segment(left).class_mask())
        time.sleep(0.2)
        assert [stamp_ns(m.header.stamp) for m in masks["left"]] == [1, 2, 3, 4, 5]
        assert [stamp_ns(m.header.stamp) for m in masks["right"]] == [101, 102, 103, 104, 105]
        expected = segmenter.segment(images["right"]).class_mask()
        assert all(np.array_equal(pixels(m), expected) for m in masks["right"])
        for camera in ("left", "right"):
            _, values = client.diagnosis(
                lambda v: v["published"] == "5", f"car/{camera}/segmentation_node"
            )
            assert values["rejected"] == values["dropped"] == values["failed"] == "0"
        _, values = client.diagnosis(lambda v: int(v["rejected"]), "car/front/segmentation_node")
        assert values["published"] == "0"
        send["front"].publish(image_message(images["front"], 50))
        wait_until(lambda: masks["front"], "the mask of a good frame among rubbish")

        answer = client.call(Trigger, "/car/left/segmentation_node/reload", Trigger.Request())
        assert answer.success
        for camera in ("front", "right"):
            assert f"/car/{camera}/segmentation_node" in answer.message
        assert "shared the old one and has it too" in answer.message
        send["right"].publish(image_message(images["right"], 200))
        wait_until(lambda: len(masks["right"]) == 6, "a mask of the new engine")
        assert np.array_equal(pixels(masks["right"][-1]), expected)
        assert "Traceback" not in node.said()
        assert node.stop() == 0
    finally:
        node.end()
