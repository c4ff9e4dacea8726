"""The node in its own process, over real DDS."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from node_messages import LABELS, image_message, pixels
from security_policy import check_that_the_policy_allows_what_the_node_does
from support import Client, NodeProcess, running_node, wait_until, write_bag

from seg_ros.cli import main
from seg_ros.drive import open_drive
from seg_ros.drive.images import decode_compressed, encode_jpeg
from seg_ros.drive.messages import stamp_ns
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.grid import DriveableGrid
from seg_ros.ground.grid_spec import FREE, OCCUPIED, PROFILES, UNKNOWN, GridSpec
from seg_ros.results import topics
from seg_ros.ros.messages import message_class, ros_messages
from seg_ros.segment.paint import colorize, overlay

pytest.importorskip("rclpy", reason="rclpy is not installed")
from rclpy.subscription import Subscription

pytestmark = pytest.mark.usefixtures("client")

EVERY_IMAGE = (topics.MASK, topics.CONFIDENCE, topics.COLOR, topics.OVERLAY)


def publish(publisher, *messages, pause=0.0):
    for message in messages:
        publisher.publish(message)
        time.sleep(pause)


def test_a_recorded_bag_comes_out_as_masks_overlays_and_grids(tmp_path, client, segmenter, scene):
    """A bag written here, played by `seg_ros play`, segmented by the node: all values checked."""
    frames = [(1_700_000_000_000_000_123 + i * 400_000_001, scene[i * 30].image) for i in range(5)]
    camera = scene.camera
    bag = write_bag(tmp_path / "bag", frames, camera=camera)
    every = (*EVERY_IMAGE, topics.OVERLAY_COMPRESSED, topics.GRID)
    with running_node(tmp_path / "node.log", camera_pitch=camera.mounting.pitch) as node:
        client.listen(*every)
        command = [sys.executable, "-m", "seg_ros.cli", "play", str(bag), "--wait", "--rate", "0.5"]
        played = subprocess.run(command, check=False, capture_output=True, text=True)
        assert played.returncode == 0, played.stderr
        got = {topic: client.wait_for(topic, len(frames)) for topic in every}
        assert node.stop() == 0

    truth = [scene[i * 30].class_mask for i in range(5)]
    grid = DriveableGrid(GridSpec(), camera, LABELS)
    for i, (stamp, image) in enumerate(frames):
        segmentation = segmenter.segment(image)
        mask = segmentation.class_mask()
        for topic in every:
            assert stamp_ns(got[topic][i].header.stamp) == stamp
        for topic in (*EVERY_IMAGE, topics.OVERLAY_COMPRESSED):
            assert got[topic][i].header.frame_id == "camera"
        assert np.array_equal(pixels(got[topics.MASK][i]), mask)
        assert np.array_equal(pixels(got[topics.CONFIDENCE][i]), segmentation.confidence())
        assert np.array_equal(pixels(got[topics.COLOR][i]), colorize(mask, LABELS))
        painted = overlay(image, mask, LABELS, 0.5)
        assert np.array_equal(pixels(got[topics.OVERLAY][i]), painted)
        jpeg = got[topics.OVERLAY_COMPRESSED][i]
        assert jpeg.format == "bgr8; jpeg compressed bgr8"
        assert np.array_equal(
            decode_compressed(jpeg),
            decode_compressed(type("J", (), {"format": "", "data": encode_jpeg(painted, 80)})),
        )
        message = got[topics.GRID][i]
        assert message.header.frame_id == "base_link"
        assert (message.info.width, message.info.height) == (300, 200)
        assert message.info.resolution == pytest.approx(0.1)
        origin = message.info.origin
        assert (origin.position.x, origin.position.y, origin.position.z) == (0.0, -10.0, 0.0)
        assert origin.orientation.w == 1.0
        cells = np.array(message.data, np.int8).reshape(200, 300)
        expected = grid.cells(mask)
        for state in (FREE, OCCUPIED, UNKNOWN):
            assert np.array_equal(cells == PROFILES["nav2"][state], expected == state)
        road = truth[i] == 3
        said = mask == 3
        assert np.count_nonzero(road & said) / np.count_nonzero(road | said) > 0.7


def test_topics_are_offered_with_the_declared_types_and_qos(tmp_path, client):
    with running_node(tmp_path / "node.log"):
        for topic in (*topics.FRAME_OUTPUTS, topics.DIAGNOSTICS):
            name = topic.name if topic.name.startswith("/") else f"/{topic.name}"
            (offer,) = wait_until(
                lambda n=name: client.node.get_publishers_info_by_topic(n), f"a publisher of {name}"
            )
            wanted = topic.qos_profile()
            assert offer.topic_type == topic.message_type
            assert offer.qos_profile.reliability == wanted.reliability
            assert offer.qos_profile.durability == wanted.durability
        # A calibration may also be sent once, before the node was there.
        kept = ("RELIABLE", "TRANSIENT_LOCAL")
        for topic, more in ((topics.IMAGE, set()), (topics.CAMERA_INFO, {kept})):
            wishes = wait_until(
                lambda n=topic.name: client.node.get_subscriptions_info_by_topic(f"/{n}"),
                f"a subscriber of {topic.name}",
            )
            profiles = [wish.qos_profile for wish in wishes]
            offers = [(profile.reliability.name, profile.durability.name) for profile in profiles]
            assert sorted(offers) == sorted({("BEST_EFFORT", "VOLATILE"), *more})
        assert topics.GRID.qos_profile().durability.name == "TRANSIENT_LOCAL"
        check_that_the_policy_allows_what_the_node_does(client.node)
        # Of motion and of a video stream every message is wanted, of the rest the latest.
        frames = {*topics.PUBLISHED, *topics.SUBSCRIBED} - {*topics.MOTION, *topics.VIDEOS}
        assert all(topic.qos_profile().depth == 1 for topic in frames)


def test_overload_drops_stale_frames_and_counts_every_one(tmp_path, client, scene):
    image = scene[0].image
    burst = 60
    with running_node(tmp_path / "node.log", cpu_threads=1) as node:
        client.listen(topics.MASK)
        publisher = client.publisher(topics.IMAGE)
        publisher.publish(image_message(image, 1))  # lost ones are counted from the first that came
        client.wait_for(topics.MASK)
        publish(publisher, *(image_message(image, 10**9 + i) for i in range(burst)), pause=0.01)
        time.sleep(1.0)  # the frame after the burst has all the time it needs
        last = 2 * 10**9
        publisher.publish(image_message(image, last))
        masks = client.messages[topics.MASK.name]
        wait_until(lambda: masks and stamp_ns(masks[-1].header.stamp) == last, "the last mask")
        stamps = [stamp_ns(m.header.stamp) for m in masks]
        _, values = client.diagnosis(lambda v: int(v["published"]) == len(stamps))
        assert stamps == sorted(set(stamps)), "a mask came twice or out of order"
        came = int(values["received"]) + int(values["lost"])
        numbered = hasattr(Subscription, "CallbackType")  # since Jazzy
        assert came == burst + 2 if numbered else came <= burst + 2
        assert int(values["received"]) == int(values["published"]) + int(values["dropped"])
        assert int(values["dropped"]) > 0, "it was not overloaded, so nothing was shown"
        assert values["rejected"] == values["failed"] == values["unwanted"] == "0"
        assert node.stop() == 0
    assert f"dropped {values['dropped']}" in node.said()


def bad(image, **changes):
    message = image_message(image, 5)
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_bad_images_are_reported_counted_and_survived(tmp_path, client, scene):
    image = scene[0].image
    short = bad(image)
    short.data = short.data[:-1]
    cases = [
        (bad(image, height=0), "it has no pixels"),
        (short, "it was cut off"),
        (bad(image, encoding="32FC1"), "encoding '32FC1' is not supported"),
        (bad(image, step=3), "a row needs"),
    ]
    with running_node(tmp_path / "node.log") as node:
        client.listen(topics.MASK)
        publisher = client.publisher(topics.IMAGE)
        for number, (message, said) in enumerate(cases, 1):
            publisher.publish(message)
            status, values = client.diagnosis(
                lambda v, n=number: int(v["rejected"]) == n  # one more each time
            )
            assert said in values["last error"]
            assert status.level == b"\x02"
            assert said in status.message
        publisher.publish(image_message(image, 777))
        (mask,) = client.wait_for(topics.MASK)
        assert stamp_ns(mask.header.stamp) == 777
        assert node.said().count("rejected: image") < len(cases), "the log is not throttled"
        assert "rejected: image 5: image is 640x0" in node.said()


def test_a_corrupt_jpeg_is_survived_and_compressed_input_works(tmp_path, client, scene, segmenter):
    library = ros_messages()
    data = encode_jpeg(scene[0].image, 95)
    good = library.jpeg(library.header(9, "c"), data)
    cut = library.jpeg(library.header(8, "c"), data[: len(data) // 2])
    with running_node(tmp_path / "node.log", image_transport="compressed") as node:
        client.listen(topics.MASK)
        publisher = client.publisher(topics.IMAGE_COMPRESSED)
        publisher.publish(cut)
        _, values = client.diagnosis(lambda v: v["rejected"] == "1")
        assert "is damaged" in values["last error"]
        publisher.publish(good)
        (mask,) = client.wait_for(topics.MASK)
        assert stamp_ns(mask.header.stamp) == 9
        expected = segmenter.segment(decode_compressed(good)).class_mask()
        assert np.array_equal(pixels(mask), expected)
        assert node.process.poll() is None


def test_an_uncalibrated_camera_gives_no_grid_but_masks(tmp_path, client, scene):
    library = ros_messages()
    camera = scene.camera
    zero = library.camera_info(library.header(1, "c"), camera)
    zero.k = np.zeros(9)
    with running_node(tmp_path / "node.log"):
        client.listen(topics.MASK, topics.GRID)
        images, infos = client.publisher(topics.IMAGE), client.publisher(topics.CAMERA_INFO)
        infos.publish(zero)
        status, values = client.diagnosis(lambda v: v["camera_info_rejected"] == "1")
        assert "/camera_info: camera is not calibrated" in values["camera"]
        assert status.level == b"\x01"
        images.publish(image_message(scene[0].image, 1))
        client.wait_for(topics.MASK, 1)
        other = library.camera_info(
            library.header(1, "c"), CameraModel(300, 300, 200, 200, 150, 150)
        )
        infos.publish(other)
        images.publish(image_message(scene[0].image, 2))
        client.wait_for(topics.MASK, 2)
        client.diagnosis(lambda v: "is for 300x300, the image is 640x360" in v["camera"])
        assert not client.messages[topics.GRID.name]
        infos.publish(library.camera_info(library.header(1, "c"), camera))
        images.publish(image_message(scene[0].image, 3))
        (grid,) = client.wait_for(topics.GRID)
        assert stamp_ns(grid.header.stamp) == 3
        client.messages[topics.DIAGNOSTICS.name].clear()
        client.diagnosis(lambda v: v["camera"] == "ok, mounting assumed")


def test_a_frame_of_which_nothing_was_published_does_not_count_as_published(
    tmp_path, client, scene
):
    with running_node(tmp_path / "node.log"):
        client.listen(topics.GRID)
        client.publisher(topics.IMAGE).publish(image_message(scene[0].image))
        _, values = client.diagnosis(lambda v: v["failed"] == "1")
        assert values["published"] == "0"
        assert "no grid: no camera_info on /camera_info; publish it" in values["last error"]


def test_a_second_ctrl_c_does_not_disturb_the_first(tmp_path):
    """As a launch file and a terminal pass it on: at once, and while the node is ending."""
    with running_node(tmp_path / "node.log") as node:
        for pause in (0.0, 0.01, 0.05):
            node.process.send_signal(signal.SIGINT)
            time.sleep(pause)
        assert node.process.wait(30) == 0
    assert "received 0, lost 0" in node.said()
    assert "Traceback" not in node.said()


def test_ctrl_c_while_the_libraries_load_ends_without_a_traceback():
    """As when a launch file gives up because of another of its nodes."""
    code = "from seg_ros.ros.start import main; print('up', flush=True); raise SystemExit(main())"
    node = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert node.stdout is not None
    try:
        assert node.stdout.readline() == "up\n"
        time.sleep(0.2)
        node.send_signal(signal.SIGINT)
        _, said = node.communicate(timeout=30)
    finally:
        node.kill()
    assert node.returncode == 0
    assert "Traceback" not in said


def test_remapping_namespace_and_mistyped_parameters(tmp_path, client, scene):
    remap = ("-r", "image:=/front/image_raw", "-r", "__ns:=/left")
    mistyped = {"grid_resoluton": 0.2, "something": "else"}
    with running_node(tmp_path / "node.log", *remap, **mistyped) as node:
        assert node.said().count("unknown parameters are ignored: ") == 1
        assert "grid_resoluton (did you mean grid_resolution?), something\n" in node.said()
        assert "listening on /front/image_raw" in node.said()
        status, _ = client.diagnosis(lambda v: v["received"] == "0", "left/segmentation_node")
        assert status.name == "left/segmentation_node: segmentation"
        names = dict(client.node.get_topic_names_and_types())
        assert "/left/segmentation/mask" in names
        client.diagnosis(lambda v: v["image publishers"] == "0", "left/segmentation_node")
        publisher = client.node.create_publisher(
            type(image_message(scene[0].image)), "/front/image_raw", 1
        )
        client.diagnosis(lambda v: v["image publishers"] == "1", "left/segmentation_node")
        client.node.destroy_publisher(publisher)


def test_wrong_arguments_are_one_line():
    for arguments in (["--bogus"], ["--ros-args", "--bogus"]):
        command = [sys.executable, "-m", "seg_ros.ros.start", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert "--bogus" in done.stderr


def test_a_late_subscriber_gets_the_last_grid(tmp_path, client, scene):
    from seg_ros.ground.camera_file import save_camera

    save_camera(scene.camera, tmp_path / "camera.yaml")
    with running_node(tmp_path / "node.log", camera_file=tmp_path / "camera.yaml"):
        client.listen(topics.GRID)
        client.publisher(topics.IMAGE).publish(image_message(scene[0].image, 42))
        client.wait_for(topics.GRID)
        late = Client()
        try:
            late.listen(topics.GRID)
            (grid,) = late.wait_for(topics.GRID)
            assert stamp_ns(grid.header.stamp) == 42
        finally:
            late.close()


def test_nothing_is_computed_when_nobody_listens(tmp_path, client, scene):
    with running_node(tmp_path / "node.log"):
        publisher = client.publisher(topics.IMAGE)
        publish(publisher, image_message(scene[0].image))
        status, values = client.diagnosis(lambda v: v["received"] == "1" and v["unwanted"] == "1")
        assert status.hardware_id == "/segmentation_node"
        assert values["published"] == "0"
        assert values["engine p50 ms"] == "nan", "the engine ran for nobody"


def test_parameters_change_at_run_time_or_are_refused_with_a_reason(tmp_path, client, scene):
    image = scene[0].image
    with running_node(tmp_path / "node.log", base_frame="map", grid_frame="map"):
        client.listen(topics.OVERLAY, topics.MASK, topics.GRID)
        images, infos = client.publisher(topics.IMAGE), client.publisher(topics.CAMERA_INFO)
        camera = scene.camera
        infos.publish(ros_messages().camera_info(ros_messages().header(1, "c"), camera))
        assert client.set_parameter("overlay_opacity", 0.0).successful
        assert client.set_parameter("grid_profile", "autoware").successful
        images.publish(image_message(image, 1))
        assert np.array_equal(pixels(client.wait_for(topics.OVERLAY)[0]), image)
        (grid,) = client.wait_for(topics.GRID)
        assert grid.header.frame_id == "map"
        assert set(np.unique(np.array(grid.data))) == {1, 50, 99}
        assert client.set_parameter("publish_overlay", False).successful
        images.publish(image_message(image, 2))
        client.wait_for(topics.MASK, 2)
        client.wait_for(topics.GRID, 2)
        assert len(client.messages[topics.OVERLAY.name]) == 1

        for name, value, reason in [
            ("overlay_opacity", 1.5, "overlay_opacity"),
            ("grid_profile", "moveit", "use one of nav2, autoware"),
            ("grid_x_max", -5.0, "is empty; the maxima must be larger"),
            ("grid_resolution", 0.01, "are possible"),
            ("base_frame", "odom", "base_frame takes effect when the node is configured"),
            ("snapshot_folder", "/tmp", "read-only"),
            ("camera_z", -1.0, "camera_z"),
            ("camera_z", "high", "type"),
        ]:
            result = client.set_parameter(name, value)
            assert not result.successful, name
            assert reason in result.reason


def test_lifecycle(tmp_path, client, scene):
    with running_node(tmp_path / "node.log", autostart=False) as node:
        assert client.state() == "unconfigured"
        assert client.transition("configure")
        assert client.state() == "inactive"
        assert not client.node.get_subscriptions_info_by_topic("/image")
        for run in (1, 2):
            assert client.transition("activate")
            assert client.state() == "active"
            assert not client.transition("activate"), "it was active already"
            client.listen(topics.MASK) if run == 1 else None
            publisher = client.publisher(topics.IMAGE)
            publisher.publish(image_message(scene[0].image, run))
            masks = client.wait_for(topics.MASK, run)
            assert stamp_ns(masks[-1].header.stamp) == run
            assert client.transition("deactivate")
            assert client.state() == "inactive"
            client.node.destroy_publisher(publisher)
        assert client.transition("cleanup")
        assert client.state() == "unconfigured"
        assert node.stop() == 0
    assert "unconfigured: waits for 'configure' and 'activate'" in node.said()
    assert "activate is not possible: the node is active" in node.said()


def test_an_assumed_mounting_is_a_warning_for_who_listens_to_the_grid(tmp_path, client, scene):
    with running_node(tmp_path / "node.log"):
        client.listen(topics.MASK, topics.GRID)
        images, infos = client.publisher(topics.IMAGE), client.publisher(topics.CAMERA_INFO)
        header = image_message(scene[0].image, 1).header
        infos.publish(ros_messages().camera_info(header, scene.camera))
        images.publish(image_message(scene[0].image, 1))
        client.wait_for(topics.GRID)
        status, _ = client.diagnosis(lambda v: v["published"] == "1")
        assert status.level == b"\x01"
        assert status.message.startswith("camera mounting is assumed: set camera_z")
        assert client.set_parameter("camera_z", 1.4).successful
        client.diagnosis(lambda v: v["camera"] == "ok")


def test_a_bad_model_is_one_clear_line_and_can_be_put_right(tmp_path, client):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x07garbage")
    log = tmp_path / "node.log"
    node = NodeProcess(log, {"model": broken, "labels": "camvid"})
    try:
        node.wait_for("cannot configure")
        line = next(line for line in node.said().splitlines() if "cannot configure" in line)
        assert f"{broken}: not a whole ONNX file" in line
        assert client.state() == "unconfigured"
        assert client.set_parameter("model", "default").successful
        assert client.transition("configure")
        assert client.state() == "inactive"
    finally:
        node.end()


def test_an_impossible_parameter_on_start_is_one_clear_line(tmp_path, client):
    node = NodeProcess(tmp_path / "node.log", {"overlay_opacity": 7.5, "grid_profile": "moveit"})
    try:
        node.wait_for("cannot configure")
        assert "grid_profile is 'moveit'; use one of nav2, autoware" in node.said()
        assert "Traceback" not in node.said()
        assert client.state() == "unconfigured"
        assert client.set_parameter("grid_profile", "nav2").successful
        assert client.set_parameter("overlay_opacity", 0.25).successful
        assert client.transition("configure")
    finally:
        node.end()


def test_the_real_highway_live(tmp_path, client, real_drives, segmenter):
    """The first frames of a real drive: byte for byte the masks of the same frames directly."""
    drive = open_drive(str(real_drives / "highway"))
    library = ros_messages()
    with running_node(tmp_path / "node.log"):
        client.listen(topics.MASK)
        publisher = client.publisher(topics.IMAGE)
        for frame, _ in zip(drive.frames(), range(3), strict=False):
            image = frame.decode()
            header = library.header(frame.stamp_ns, frame.frame_id)
            publisher.publish(library.image(header, image))
            mask = client.wait_for(topics.MASK, frame.index + 1)[-1]
            assert stamp_ns(mask.header.stamp) == frame.stamp_ns
            assert mask.header.frame_id == "camera_optical_frame"
            assert np.array_equal(pixels(mask), segmenter.segment(image).class_mask())


def test_play_refuses_a_namespace_that_ros_has_not(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((8, 8, 3), np.uint8))
    assert main(["play", str(tmp_path), "--namespace", "bad name"]) == 1
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert error[0].startswith("seg_ros play: --namespace 'bad name': Invalid namespace: ")


def test_the_other_transport_is_named_where_only_that_is_published(tmp_path, client):
    """What `seg_ros play` of a bag of JPEGs does to a node with its defaults."""
    compressed = message_class(topics.IMAGE_COMPRESSED.message_type)
    client.node.create_publisher(compressed, topics.IMAGE_COMPRESSED.name, 1)
    wanted = "nobody publishes it, but /image/compressed is published: set image_transport"
    with running_node(tmp_path / "log") as node:
        wait_until(
            lambda: any(
                wanted in status.message
                for message in client.messages[topics.DIAGNOSTICS.name]
                for status in message.status
            ),
            "the hint",
        )
        node.wait_for(f"no image on /image: {wanted}")
        client.publisher(topics.IMAGE)
        node.wait_for("no image on /image: 1 publish it but no frame arrives")
        assert node.said().count(wanted) == 1, "said once, not every second"


def held_by(process):
    """Threads, open files and resident memory in MB of a process."""
    folder = Path(f"/proc/{process.pid}")
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    memory = int(status["VmRSS"].split()[0]) / 1000
    return int(status["Threads"]), len(list((folder / "fd").iterdir())), memory


def test_going_round_the_states_leaves_nothing_behind(tmp_path, client, scene):
    held = []
    with running_node(tmp_path / "node.log", autostart=False) as node:
        client.listen(topics.MASK)
        for life in range(1, 9):
            assert client.transition("configure")
            assert client.transition("activate")
            publisher = client.publisher(topics.IMAGE)
            publisher.publish(image_message(scene[0].image, life))
            client.wait_for(topics.MASK, life)
            client.node.destroy_publisher(publisher)
            assert client.transition("deactivate")
            assert client.transition("cleanup")
            held.append(held_by(node.process))
    # The first rounds fill caches, and malloc may take an arena of 16 MB at once. What is left
    # behind grows with every round: an engine by 88 MB.
    threads, files, memory = np.median(np.diff(held[2:], axis=0), axis=0)
    assert (threads, files) == (0, 0), held
    assert memory < 2, held
