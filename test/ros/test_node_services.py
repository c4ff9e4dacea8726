"""The node's own services: another model without losing a subscription, and snapshots."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from node_messages import LABELS, image_message, pixels, trigger
from support import running_node, wait_until

from seg_ros.drive.messages import MessageLibrary, stamp_ns
from seg_ros.ground.camera_file import load_camera, save_camera
from seg_ros.ground.grid import DriveableGrid
from seg_ros.ground.grid_spec import GridSpec, occupancy_values
from seg_ros.results import topics
from seg_ros.ros import services
from seg_ros.ros.cdr import SerializedImage
from seg_ros.ros.messages import message_class
from seg_ros.segment.paint import overlay

pytest.importorskip("rclpy", reason="rclpy is not installed")

CLASSES = 3


def constant_model(path: Path, winner: int) -> Path:
    """Write a network that sees one class in all but the first columns, and its label set.

    An engine is compared with the network on frames in which that sees two classes or more.
    """
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    bias = np.zeros((1, CLASSES, 8, 8), np.float32)
    bias[0, winner] = 5
    bias[0, (winner + 1) % CLASSES, :, 0] = 9
    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("Cast", ["image"], ["float"], to=onnx.TensorProto.FLOAT),
            node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
            node("AveragePool", ["planes"], ["small"], kernel_shape=[8, 8], strides=[8, 8]),
            node("Mul", ["small", "zero"], ["nothing"]),
            node("Add", ["nothing", "bias"], ["logits"]),
        ],
        "constant",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, [1, 64, 64, 3])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [1, CLASSES, 8, 8])],
        [
            onnx.numpy_helper.from_array(bias, "bias"),
            onnx.numpy_helper.from_array(np.float32(0), "zero"),
        ],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    classes = [{"name": f"thing {i}", "color": [i, i, i], "kind": "ground"} for i in range(CLASSES)]
    classes[0]["driveable"] = True
    labels = {"name": f"all {winner}", "classes": classes}
    path.with_suffix(".yaml").write_text(yaml.safe_dump(labels), encoding="utf-8")
    return path


@contextmanager
def streaming(publisher, images) -> Iterator[None]:
    """Publish frames without end, the image of each told by its stamp."""
    stop = threading.Event()

    def stream():
        number = 0
        while not stop.wait(0.12):
            publisher.publish(image_message(images[number % len(images)], number))
            number += 1

    thread = threading.Thread(target=stream)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_another_model_between_two_frames(tmp_path, client, scene, segmenter, monkeypatch):
    monkeypatch.setenv("SEG_ROS_ENGINES", str(tmp_path / "engines"))
    image = scene[0].image
    expected = segmenter.segment(image).class_mask()
    model = constant_model(tmp_path / "constant.onnx", 2)
    with running_node(tmp_path / "node.log") as node:
        client.listen(topics.MASK)
        publisher = client.publisher(topics.IMAGE)
        with streaming(publisher, [image]):
            client.wait_for(topics.MASK)
            assert client.set_parameter("model", str(model)).successful
            node.wait_for("call ~/reload to use model")
            client.diagnosis(lambda v: v["reload"] == "call ~/reload to use model")
            before = len(client.messages[topics.MASK.name])
            client.wait_for(topics.MASK, before + 2)
            answer = trigger(client, services.RELOAD)
            assert answer.success, answer.message
            assert answer.message.startswith("model constant on openvino")
            switched = len(client.messages[topics.MASK.name])
            client.wait_for(topics.MASK, switched + 3)
        _, values = client.diagnosis(lambda v: v["model"] == "constant" and v["reload"] == "")
        assert values["failed"] == values["rejected"] == values["unwanted"] == "0"

        assert client.set_parameter("model", str(tmp_path / "none.onnx")).successful
        answer = trigger(client, services.RELOAD)
        assert not answer.success
        assert "none.onnx does not exist" in answer.message
        _, values = client.diagnosis(lambda v: v["reload"].startswith("failed, constant goes on"))
        assert "none.onnx does not exist" in values["reload"]
        count = len(client.messages[topics.MASK.name])
        publisher.publish(image_message(image, 10**9))
        masks = client.wait_for(topics.MASK, count + 1)

    kinds = []
    for mask in masks:
        decided = pixels(mask)
        kinds.append("new" if np.all(decided[:, decided.shape[1] // 2 :] == 2) else "old")
        assert kinds[-1] == "new" or np.array_equal(decided, expected), "two models in one mask"
    assert kinds.count("old") >= before + 2
    assert kinds == ["old"] * kinds.count("old") + ["new"] * kinds.count("new")
    stamps = [stamp_ns(mask.header.stamp) for mask in masks]
    assert stamps == sorted(set(stamps)), "a frame came twice or out of order"


def test_reload_says_what_to_do_when_it_cannot(tmp_path, client):
    with running_node(tmp_path / "node.log", autostart=False) as node:
        node.wait_for("")
        answer = trigger(client, services.RELOAD)
        assert not answer.success
        assert answer.message == "the node is not configured; configuring it loads the model"
        answer = trigger(client, services.SNAPSHOT)
        assert not answer.success
        assert "the node is not active" in answer.message
        assert client.transition("configure")
        assert client.transition("activate")
        answer = trigger(client, services.SNAPSHOT)
        assert not answer.success
        assert answer.message.startswith("no image has come on /image yet")


def test_a_snapshot_is_all_of_one_frame(tmp_path, client, scene, segmenter):
    images = [scene[0].image, scene[60].image, scene[120].image]
    camera = scene.camera
    save_camera(camera, tmp_path / "camera.yaml")
    root = tmp_path / "snapshots"
    with running_node(
        tmp_path / "node.log",
        camera_file=tmp_path / "camera.yaml",
        snapshot_folder=root,
        overlay_opacity=0.25,
    ):
        client.listen(topics.MASK)
        publisher = client.publisher(topics.IMAGE)
        with streaming(publisher, images):
            client.wait_for(topics.MASK, 2)
            answer = trigger(client, services.SNAPSHOT)
            assert answer.success, answer.message
            again = trigger(client, services.SNAPSHOT)
        publisher.publish(image_message(images[0], 10**9))
        masks = client.messages[topics.MASK.name]
        wait_until(lambda: stamp_ns(masks[-1].header.stamp) == 10**9, "the last frame's mask")
        same = [trigger(client, services.SNAPSHOT) for _ in range(2)]

    folder = Path(answer.message)
    about = yaml.safe_load((folder / "about.yaml").read_text())
    stamp = about["frame"]["stamp_ns"]
    assert folder == root / f"segmentation_node_0.{stamp:09d}"
    assert about["frame"]["frame_id"] == "front_optical"
    assert about["frame"]["encoding"] == "bgr8"
    assert about["model"]["name"] == "camvid-b0"
    assert about["model"]["classes"][3] == LABELS.classes[3].name
    assert about["problem"] == ""
    image = images[stamp % 3]
    frame = cv2.imread(str(folder / "frame.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(frame, image)
    mask = cv2.imread(str(folder / "mask.png"), cv2.IMREAD_UNCHANGED)
    segmentation = segmenter.segment(image)
    assert np.array_equal(mask, segmentation.class_mask())
    confidence = cv2.imread(str(folder / "confidence.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(confidence, segmentation.confidence())
    painted = cv2.imread(str(folder / "overlay.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(painted, overlay(image, mask, LABELS, 0.25))
    cells = DriveableGrid(GridSpec(), camera, LABELS).cells(mask)
    saved = np.load(folder / "grid.npy")
    assert np.array_equal(saved, occupancy_values(cells, "nav2"))
    assert about["grid"] == {
        "frame_id": "base_link",
        "resolution": 0.1,
        "origin": [0.0, -10.0],
        "profile": "nav2",
    }
    assert (folder / "grid.png").stat().st_size > 1000
    assert load_camera(folder / "camera.yaml") == camera
    parameters = yaml.safe_load((folder / "parameters.yaml").read_text())
    given = parameters["/segmentation_node"]["ros__parameters"]
    assert given["overlay_opacity"] == 0.25
    assert given["use_sim_time"] is False
    diagnostics = yaml.safe_load((folder / "diagnostics.yaml").read_text())
    assert diagnostics["name"] == "segmentation_node: segmentation"
    assert int(diagnostics["values"]["received"]) >= 1

    assert again.message != answer.message
    names = sorted(path.name for path in root.iterdir())
    assert len(names) == 4
    assert not [name for name in names if name.startswith(".")], "something was left unfinished"
    assert same[1].message == f"{same[0].message}_2", "the same stamp once more"


def test_label_info_reaches_who_comes_late(tmp_path, client, scene, monkeypatch):
    monkeypatch.setenv("SEG_ROS_ENGINES", str(tmp_path / "engines"))
    reason = "vision_msgs is not installed; it comes with ROS 2"
    pytest.importorskip("vision_msgs", reason=reason)
    with running_node(tmp_path / "node.log"):
        client.listen(topics.LABEL_INFO)
        (info,) = client.wait_for(topics.LABEL_INFO)
        names = [label.name for label in LABELS.classes]
        assert [(c.class_id, c.class_name) for c in info.class_map] == list(enumerate(names))
        client.listen(topics.MASK)
        images = client.publisher(topics.IMAGE)
        constant_model(tmp_path / "constant.onnx", 2)
        client.set_parameter("model", str(tmp_path / "constant.onnx"))
        with streaming(images, [scene[0].image]):
            client.wait_for(topics.MASK)
            assert trigger(client, services.RELOAD).success
            _, info = client.wait_for(topics.LABEL_INFO, 2)
        assert [c.class_name for c in info.class_map] == ["thing 0", "thing 1", "thing 2"]


def test_labels_come_before_the_first_mask_of_their_model(tmp_path, client, scene, monkeypatch):
    """In this process, where a stand-in can take the place of vision_msgs, which has no wheel."""
    monkeypatch.setenv("SEG_ROS_ENGINES", str(tmp_path / "engines"))
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from seg_ros.ros import node as room
    from seg_ros.ros import publishing

    text = message_class("std_msgs/msg/String")
    monkeypatch.setattr(
        room,
        "message_class",
        lambda name: text if name == topics.LABEL_INFO.message_type else message_class(name),
    )
    monkeypatch.setattr(MessageLibrary, "label_info", lambda _, __, labels: text(data=labels.name))
    context = rclpy.Context()
    rclpy.init(context=context)
    node = room.SegmentationNode(context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin, daemon=True)
    spinning.start()
    try:
        node.trigger_configure()
        node.trigger_activate()
        published = []

        def publish_mask(_, message):
            image = SerializedImage(message)
            mask = np.asarray(image.data).reshape(image.height, image.width)
            published.append((topics.MASK, mask[:, mask.shape[1] // 2 :].min()))

        monkeypatch.setattr(publishing, "publish_serialized", publish_mask)
        monkeypatch.setattr(
            node._parts.outputs._label_info,
            "publish",
            lambda message: published.append((topics.LABEL_INFO, message.data)),
        )
        client.listen(topics.MASK)
        images = client.publisher(topics.IMAGE)
        constant_model(tmp_path / "constant.onnx", 2)
        client.set_parameter("model", str(tmp_path / "constant.onnx"))
        with streaming(images, [scene[0].image]):
            wait_until(lambda: len(published) >= 2, "masks of the old model")
            assert trigger(client, services.RELOAD).success
            count = len(published)
            wait_until(lambda: len(published) >= count + 2, "masks of the new model")
    finally:
        executor.shutdown()
        spinning.join()
        node.close()
        node.destroy_node()
        context.try_shutdown()
    at = published.index((topics.LABEL_INFO, "all 2"))
    assert [topic for topic, _ in published].count(topics.LABEL_INFO) == 1
    assert all(least != 2 for _, least in published[:at]), "a mask came before its labels"
    assert all(least == 2 for _, least in published[at + 1 :]), "a mask came after its labels"
