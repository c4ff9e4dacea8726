"""A node in which something gives way: said, counted and gone on from, or an exit code and why.

Each runs in a process of its own, with one function of it replaced by one that raises.
"""

import pytest
from node_messages import image_message
from support import NodeProcess

from seg_ros.drive.messages import stamp_ns
from seg_ros.results import topics
from seg_ros.ros.messages import ros_messages

pytest.importorskip("rclpy", reason="rclpy is not installed")

OUTCOMES = ("published", "dropped", "rejected", "failed", "unwanted")


def node_in_which(tmp_path, change):
    """Start the node after a change to its modules, given as a program's text."""
    program = tmp_path / "changed_node.py"
    text = f"import sys\n\n{change}\nfrom seg_ros.ros.start import main\n\nsys.exit(main())\n"
    program.write_text(text, encoding="utf-8")
    return NodeProcess(tmp_path / "node.log", {}, program=[str(program)])


PROCESS_RAISES = """
from seg_ros.segment.pipeline import Pipeline
process = Pipeline.process
def changed(self, *arguments, **named):
    if arguments[-1] == 2:  # the stamp
        raise {error}
    return process(self, *arguments, **named)
Pipeline.process = changed
"""


@pytest.mark.parametrize(
    ("error", "restarted"),
    [("MemoryError('all of it')", 0), ("SystemExit('a library ends the thread')", 1)],
)
def test_after_a_frame_that_raises_the_next_is_worked_on(tmp_path, client, scene, error, restarted):
    node = node_in_which(tmp_path, PROCESS_RAISES.format(error=error))
    try:
        node.wait_for("listening on")
        client.listen(topics.MASK)
        publisher = client.publisher(topics.IMAGE)
        for stamp in (1, 2, 3):
            publisher.publish(image_message(scene[0].image, stamp))
            status, values = client.diagnosis(
                lambda v, n=stamp: int(v["received"]) == n and v["in hand"] == "0"
            )
            if stamp == 2:
                assert status.level == b"\x02"
                assert error.partition("(")[0] in status.message
        masks = client.wait_for(topics.MASK, 2)
        assert [stamp_ns(mask.header.stamp) for mask in masks] == [1, 3]
        assert (values["published"], values["failed"]) == ("2", "1")
        assert values["threads_restarted"] == str(restarted)
        assert int(values["received"]) == sum(int(values[name]) for name in OUTCOMES)
        assert "Traceback" not in node.said()
        assert node.stop() == 0
    finally:
        node.end()


INFO_RAISES = """
from seg_ros.ros.viewpoint import Viewpoint
heard = Viewpoint._on_camera_info
def changed(self, topic, message):
    if message.header.stamp.nanosec == 2:
        raise KeyError("nobody expects it")
    heard(self, topic, message)
Viewpoint._on_camera_info = changed
"""


def test_a_callback_that_raises_is_said_and_the_others_go_on(tmp_path, client, scene):
    camera, library = scene.camera, ros_messages()
    node = node_in_which(tmp_path, INFO_RAISES)
    try:
        node.wait_for("listening on")
        client.listen(topics.MASK, topics.GRID)
        images, infos = client.publisher(topics.IMAGE), client.publisher(topics.CAMERA_INFO)
        infos.publish(library.camera_info(library.header(2, "c"), camera))
        status, values = client.diagnosis(lambda v: v["messages_failed"] == "1")
        assert status.level == b"\x02"
        assert values["last error"] == (
            "a callback failed: unexpected KeyError: 'nobody expects it'"
        )
        infos.publish(library.camera_info(library.header(3, "c"), camera))
        client.settle()
        images.publish(image_message(scene[0].image, 4))
        assert stamp_ns(client.wait_for(topics.GRID)[0].header.stamp) == 4
        assert "Traceback" not in node.said()
        assert node.stop() == 0
    finally:
        node.end()


GRID_RAISES = """
from seg_ros.ground.grid import DriveableGrid
def changed(self, *_):
    raise FloatingPointError("nobody expects it")
from seg_ros.ros import live_model
load = live_model.LiveModel.load
def then_break(self, *arguments):
    loaded = load(self, *arguments)
    DriveableGrid.cells = changed
    return loaded
live_model.LiveModel.load = then_break
"""


def test_whatever_goes_wrong_in_the_grid_costs_the_grid_alone(tmp_path, client, scene):
    camera, library = scene.camera, ros_messages()
    node = node_in_which(tmp_path, GRID_RAISES)
    try:
        node.wait_for("listening on")
        client.listen(topics.MASK, topics.GRID)
        images, infos = client.publisher(topics.IMAGE), client.publisher(topics.CAMERA_INFO)
        infos.publish(library.camera_info(library.header(1, "c"), camera))
        client.settle()
        images.publish(image_message(scene[0].image, 7))
        assert stamp_ns(client.wait_for(topics.MASK)[0].header.stamp) == 7
        wanted = "no grid: unexpected FloatingPointError: nobody expects it"
        _, values = client.diagnosis(lambda v: v["camera"] == wanted)
        assert (values["published"], values["failed"]) == ("1", "0")
        assert not client.messages[topics.GRID.name]
    finally:
        node.end()


EXECUTOR_ENDS = """
from rclpy._rclpy_pybind11 import RCLError
from seg_ros.ros.health import Health
publish = Health.publish
def changed(self):
    if self._parts.frames is not None:
        raise RCLError("the middleware is gone")
    publish(self)
Health.publish = changed
"""


def test_what_cannot_be_gone_on_from_ends_the_process_with_the_reason(tmp_path):
    node = node_in_which(tmp_path, EXECUTOR_ENDS)
    try:
        assert node.process.wait(60) == 1
        assert "segmentation_node: error: the middleware is gone\n" in node.said()
        assert "Traceback" not in node.said()
    finally:
        node.end()


PROCESS_HANGS = """
import time
from pathlib import Path
from seg_ros.segment.pipeline import Pipeline
process = Pipeline.process
def changed(self, *arguments, **named):
    while arguments[-1] == 2 and not Path({release!r}).exists():
        time.sleep(0.01)
    return process(self, *arguments, **named)
Pipeline.process = changed
"""


@pytest.fixture
def hung(tmp_path, client, scene):
    """A node whose worker has been at the image with stamp 2 for longer than it may."""
    release = tmp_path / "release"
    node = node_in_which(tmp_path, PROCESS_HANGS.format(release=str(release)))
    try:
        node.wait_for("listening on")
        assert client.set_parameter("stall_timeout", 0.5).successful
        client.listen(topics.MASK)
        publisher = client.publisher(topics.IMAGE)
        publisher.publish(image_message(scene[0].image, 1))
        client.diagnosis(lambda v: v["published"] == "1")
        publisher.publish(image_message(scene[0].image, 2))
        status, _ = client.diagnosis(lambda v: v["threads_stalled"] == "1")
        assert status.level == b"\x02"
        assert "the worker thread has been at image 2 for " in status.message
        yield node, publisher, release
    finally:
        release.touch()
        node.end()


def test_a_worker_that_hangs_is_said_the_others_go_on_and_its_return_is_said(hung, client, scene):
    from std_srvs.srv import Trigger

    node, publisher, release = hung
    answer = client.call(Trigger, "/segmentation_node/snapshot", Trigger.Request())
    assert not answer.success
    assert answer.message.startswith("not now: the worker thread has been at image 2 for ")
    publisher.publish(image_message(scene[0].image, 3))
    client.settle()
    release.touch()
    _, values = client.diagnosis(lambda v: v["published"] == "3")
    masks = client.wait_for(topics.MASK, 3)
    assert [stamp_ns(mask.header.stamp) for mask in masks] == [1, 2, 3]
    node.wait_for("the worker thread came back from image 2 after ")
    assert (values["threads_stalled"], values["threads_restarted"]) == ("1", "0")
    assert int(values["received"]) == sum(int(values[name]) for name in OUTCOMES)
    assert node.stop() == 0


def test_a_worker_that_hangs_is_given_up_and_the_node_can_be_configured_anew(hung, client, scene):
    node, publisher, _ = hung
    assert client.transition("deactivate")
    assert "failed: image 2: given up, it had not come back after 0.5 s more" in node.said()
    assert not client.transition("activate")
    assert "cannot activate: a thread that was given up has not come back" in node.said()
    assert client.transition("cleanup")
    assert client.transition("configure")
    assert client.transition("activate")
    publisher = client.publisher(topics.IMAGE)
    publisher.publish(image_message(scene[0].image, 4))
    _, values = client.diagnosis(lambda v: v["published"] == "2")
    assert [stamp_ns(m.header.stamp) for m in client.wait_for(topics.MASK, 2)] == [1, 4]
    assert values["failed"] == "1"


def test_a_node_whose_worker_hangs_ends_with_an_error_code(hung):
    node, _, _ = hung
    assert node.stop() == 1
    assert "segmentation_node: error: a thread did not come back\n" in node.said()
