"""What the ROS rooms are made of, tested without DDS."""

import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from seg_ros.ground.grid_spec import GridRules, GridSpec
from seg_ros.results import topics
from seg_ros.results.parameters import BY_NAME, PARAMETERS, grid_rules, grid_spec, mounting, refusal
from seg_ros.ros.reference import parameters_table, topics_table, with_tables
from seg_ros.ros.worker import LatestWorker
from seg_ros.segment.output import Output
from seg_ros.support.statistics import FrameStatistics, percentile

NODE_PAGE = Path(__file__).parents[2] / "docs" / "node.md"
DEFAULTS = {spec.name: spec.default for spec in PARAMETERS}


def fail(item, error):
    raise AssertionError(f"{item}: {error}")


def test_the_pages_tables_are_those_of_the_code():
    text = NODE_PAGE.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run `make tables`"


def test_the_tables_name_everything():
    for spec in PARAMETERS:
        assert f"| `{spec.name}` |" in parameters_table()
    for topic in (*topics.PUBLISHED, *topics.SUBSCRIBED):
        assert f"| `{topic.name}` |" in topics_table()


def test_a_page_without_marks_is_refused():
    with pytest.raises(ValueError, match=r"needs the marks <!-- topics"):
        with_tables("# seg_ros")


def test_every_output_has_a_topic_and_every_switch_a_parameter():
    made = Output.NONE
    for topic in topics.FRAME_OUTPUTS:
        assert BY_NAME[topic.switch].live
        made |= topic.output
    assert made == ~Output.MEAN_CONFIDENCE  # a figure for reports


def test_defaults_are_allowed():
    assert refusal(DEFAULTS, DEFAULTS, configured=False) == ""
    assert grid_spec(DEFAULTS) == GridSpec()
    assert grid_rules(DEFAULTS) == GridRules()
    assert mounting(DEFAULTS).z == 1.5


@pytest.mark.parametrize(
    ("changes", "configured", "reason"),
    [
        ({"overlay_opacity": 0.2}, True, ""),
        ({"overlay_opacity": 1.2}, False, "overlay_opacity is 1.2; it must be 0 to 1"),
        ({"runtime": "tpu"}, False, "runtime is 'tpu'; use one of auto, tensorrt"),
        ({"model": "x.onnx"}, False, ""),
        ({"model": "x.onnx", "runtime": "openvino"}, True, ""),
        ({"base_frame": "map"}, True, "base_frame takes effect when the node is configured"),
        ({"base_frame": "base_link"}, True, ""),
        ({"grid_x_min": 40.0}, True, "is empty; the maxima must be larger"),
        ({"grid_x_min": 40.0, "grid_x_max": 60.0}, True, ""),
        ({"grid_resolution": 0.01, "grid_x_max": 900.0}, True, "1 to 4,000,000 are possible"),
        ({"grid_ignored": "0 0.8, 1 0.8, 1 1, 0 1"}, True, ""),
        ({"grid_ignored": "0 0.8"}, True, "needs three corners or more"),
        ({"grid_ignored": "left"}, True, "must be 'x y, x y, x y'"),
        ({"grid_fusion": True}, False, "grid_fusion needs a grid that stands still"),
        ({"grid_fusion": True, "grid_frame": "odom"}, False, ""),
        ({"camera_z": float("nan")}, True, "camera_z is nan; it must be 0.01 to 1000"),
        ({"use_sim_time": True}, True, ""),
    ],
)
def test_changes_of_parameters(changes, configured, reason):
    said = refusal(DEFAULTS, changes, configured)
    assert said.startswith(reason) or reason in said
    assert bool(said) == bool(reason)


def test_the_worker_takes_the_latest_and_hands_back_the_rest():
    busy, release = threading.Event(), threading.Event()
    handled, dropped = [], []

    def handle(item):
        handled.append(item)
        busy.set()
        release.wait(10)

    worker = LatestWorker(handle, dropped.append, fail)
    worker.submit(1)
    assert busy.wait(10)
    for item in (2, 3, 4):
        worker.submit(item)
    assert dropped == [2, 3]
    release.set()
    while len(handled) < 2:
        pass
    worker.stop(10)
    assert handled == [1, 4]
    assert dropped == [2, 3]


def test_the_worker_drops_what_waits_when_it_stops():
    busy, release = threading.Event(), threading.Event()
    dropped = []

    def handle(_):
        busy.set()
        release.wait(10)

    worker = LatestWorker(handle, dropped.append, fail)
    worker.submit("in hand")
    assert busy.wait(10)
    worker.submit("waiting")
    stopper = threading.Thread(target=worker.stop, args=(10,))
    stopper.start()
    while not dropped:
        pass
    release.set()
    stopper.join(10)
    assert dropped == ["waiting"]


def test_statistics():
    statistics = FrameStatistics(window=3)
    for number in range(5):
        statistics.count("received")
        statistics.published(number, latency_ns=number * 1_000_000, engine_ns=500_000)
    statistics.count("lost", 4)
    statistics.error("rejected", "too short")
    snapshot = statistics.snapshot()
    assert snapshot.counts["received"] == snapshot.counts["published"] == 5
    assert (snapshot.counts["lost"], snapshot.counts["rejected"]) == (4, 1)
    assert snapshot.latency_ms == (2.0, 3.0, 4.0)
    assert snapshot.last_stamp_ns == 4
    assert snapshot.last_error == "too short"
    assert percentile(snapshot.latency_ms, 50) == 3.0


def test_label_info_where_vision_msgs_is_installed(monkeypatch):
    """vision_msgs has no wheel; stand-ins with its fields show what is filled in."""
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from seg_ros.labels import load_label_set
    from seg_ros.ros import messages

    stand_in = SimpleNamespace(VisionClass=SimpleNamespace, LabelInfo=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "vision_msgs", stand_in)
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", stand_in)
    messages.message_class.cache_clear()
    info = messages.ros_messages().label_info("header", load_label_set("bdd100k_drivable"))
    messages.message_class.cache_clear()
    assert info.header == "header"
    assert [(c.class_id, c.class_name) for c in info.class_map] == [
        (0, "current lane"),
        (1, "alternative lane"),
        (2, "background"),
    ]


def test_label_info_without_vision_msgs(monkeypatch):
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from seg_ros.labels import load_label_set
    from seg_ros.ros import messages

    for name in ("vision_msgs", "vision_msgs.msg"):
        monkeypatch.setitem(sys.modules, name, None)
    messages.message_class.cache_clear()
    with pytest.raises(ImportError):
        messages.ros_messages().label_info("header", load_label_set("camvid"))


def test_the_worker_does_jobs_between_items():
    busy, release = threading.Event(), threading.Event()
    done = []

    def handle(item):
        done.append(item)
        busy.set()
        release.wait(10)

    worker = LatestWorker(handle, done.append, fail)
    worker.submit("first")
    assert busy.wait(10)
    worker.submit("second")
    job = worker.between(lambda: done.append("job") or 42)
    failing = worker.between(lambda: 1 / 0)
    release.set()
    assert job.result(10) == 42
    with pytest.raises(ZeroDivisionError):
        failing.result(10)
    while len(done) < 3:
        pass
    assert done == ["first", "job", "second"], "a job waits for the item in hand, no item for it"
    release.clear()
    busy.clear()
    worker.submit("third")
    assert busy.wait(10)
    last = worker.between(lambda: "done all the same")
    stopper = threading.Thread(target=worker.stop, args=(10,))
    stopper.start()
    release.set()
    stopper.join(10)
    assert last.result(10) == "done all the same"


def test_the_listener_sleeps_beside_a_publisher_with_another_qos(monkeypatch):
    """What the middleware has to say of it would wake every wait for messages, if unread."""
    rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")
    from rclpy.executors import SingleThreadedExecutor

    from seg_ros.results import topics
    from seg_ros.ros import listening
    from seg_ros.ros.messages import message_class, ros_messages

    waits, heard, failed = [], [], []

    class WaitSet(listening.rclpy_implementation.WaitSet):
        def wait(self, timeout):
            waits.append(timeout)
            super().wait(timeout)

    monkeypatch.setattr(listening, "rclpy_implementation", SimpleNamespace(WaitSet=WaitSet))
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("listens", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    info = message_class("sensor_msgs/msg/CameraInfo")
    listener = listening.Listener(node, failed.append)
    for topic in (topics.CAMERA_INFO_SENT_BEFORE, topics.CAMERA_INFO):
        listener.subscribe(
            info, "calibration", lambda m, _, t=topic: heard.append((t, m)), topic.qos_profile()
        )
    listener.start()
    try:
        publisher = node.create_publisher(info, "calibration", 1)
        for _ in range(2):  # it is read in the first second
            before, end = len(waits), time.monotonic() + 1.0
            while time.monotonic() < end:
                executor.spin_once(timeout_sec=0.1)
        assert len(waits) - before < 10
        publisher.publish(info(header=ros_messages().header(5, "c")))
        end = time.monotonic() + 30.0
        while not heard and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.1)
        ((topic, message),) = heard
        assert topic is topics.CAMERA_INFO
        assert message.header.stamp.nanosec == 5
        assert not failed
    finally:
        listener.stop()
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
