"""A stream of H.264 or H.265 as the live node takes it; no wheel has the types of its messages."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
from node_messages import pixels
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from recordings import h264, picture
from support import Client, NodeProcess, wait_until

from seg_ros.drive.compressed_video import VideoDecoder
from seg_ros.drive.messages import stamp_ns
from seg_ros.drive.video import bgr_of_video
from seg_ros.results import topics
from seg_ros.results.parameters import PARAMETERS, RELOADED
from seg_ros.ros import node as node_room
from seg_ros.ros.frames import Frames
from seg_ros.ros.messages import message_class, ros_messages
from seg_ros.ros.video_input import decode_frame
from seg_ros.segment.output import Processed
from seg_ros.support.statistics import FrameStatistics

VALUES = {spec.name: spec.default for spec in PARAMETERS}
STEP = 100_000_000
QUIET = SimpleNamespace(error=lambda *_, **__: None, warning=lambda *_, **__: None)
NOBODY = SimpleNamespace(get_subscription_count=lambda: 0)


def video(number, data, codec="h264"):
    """foxglove_msgs/CompressedVideo."""
    time = SimpleNamespace(sec=1, nanosec=number * STEP)
    return SimpleNamespace(timestamp=time, frame_id="c", format=codec, data=data)


def packet(number, data, encoding):
    """ffmpeg_image_transport_msgs/FFMPEGPacket."""
    header = SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=number * STEP), frame_id="c")
    return SimpleNamespace(header=header, encoding=encoding, data=data, pts=number)


def decoded(packets, codec="h264"):
    decoder = VideoDecoder()
    return [
        bgr_of_video(decoder.decode(codec, data, 10**9 + number * STEP))
        for number, data in enumerate(packets)
    ]


class Live:
    """Frames on a stand-in for the pipeline that keeps what it is given, by stamp."""

    def __init__(self, **values):
        self.frames_seen = {}
        self.statistics = FrameStatistics()
        self.hold = threading.Event()
        self.hold.set()
        self.busy = threading.Event()
        model = SimpleNamespace(
            pipeline=SimpleNamespace(
                process=self.process, segmenter=SimpleNamespace(confident=True)
            ),
            loaded={name: VALUES[name] for name in RELOADED},
            turn=None,
        )
        outputs = SimpleNamespace(
            attention=NOBODY,
            allocate=None,
            listening=lambda _: [topics.MASK],
            publish=lambda header, *_: stamp_ns(header.stamp),
        )
        settings = SimpleNamespace(values={**VALUES, "image_transport": "video", **values})
        self.frames = Frames(
            settings,
            self.statistics,
            model,
            SimpleNamespace(),
            outputs,
            lambda: 1,
            lambda _: None,
            QUIET,
        )

    def process(self, frame, *arguments):
        self.busy.set()
        self.hold.wait(10)
        self.frames_seen[(arguments[-1] - 10**9) // STEP] = frame.copy()
        return Processed(1)

    def send(self, *messages, sequence=None):
        for message in messages:
            info = {} if sequence is None else {"publication_sequence_number": sequence}
            self.frames.on_image(message, info)

    def settled(self):
        wait_until(lambda: not self.statistics.snapshot().in_hand, "every outcome")
        return self.statistics.snapshot().counts

    def one_by_one(self, messages):
        for message in messages:
            self.send(message)
            self.settled()
        return self.statistics.snapshot().counts


@pytest.fixture(scope="module")
def stream():
    return h264([picture(number) for number in range(12)])


@pytest.mark.parametrize("encoding", ["h264", "h264;yuv420p;bgr8;bgr8", "libx264", "h264_nvenc"])
def test_each_packet_gives_the_picture_that_a_recording_gives(stream, encoding):
    live = Live()
    counts = live.one_by_one(packet(n, data, encoding) for n, data in enumerate(stream))
    live.frames.stop(10)
    assert counts["published"] == counts["received"] == 12
    for number, expected in enumerate(decoded(stream)):
        assert np.array_equal(live.frames_seen[number], expected)


def test_h265_of_foxglove():
    stream = h264([picture(number) for number in range(6)], "libx265")
    live = Live()
    counts = live.one_by_one(video(n, data, "h265") for n, data in enumerate(stream))
    live.frames.stop(10)
    assert counts["published"] == 6
    assert np.array_equal(live.frames_seen[5], decoded(stream, "h265")[5])


def test_a_key_frame_is_awaited_and_said(stream):
    live = Live()
    live.send(video(1, stream[1]))
    counts = live.settled()
    assert counts["dropped"] == 1
    assert counts["rejected"] == counts["failed"] == 0, "nothing is wrong with it"
    assert live.frames.awaited.startswith("waiting for a key frame of the video: ")
    counts = live.one_by_one(video(n, stream[n]) for n in range(2, 12))
    live.frames.stop(10)
    assert live.frames.awaited == ""
    assert (counts["dropped"], counts["published"]) == (4, 7)
    assert sorted(live.frames_seen) == [5, 6, 7, 8, 9, 10, 11]
    assert np.array_equal(live.frames_seen[7], decoded(stream)[7])


def test_the_latest_frame_wins_without_breaking_the_stream(stream):
    """While one frame is in work, the others are decoded all the same, and one is converted."""
    live = Live()
    live.hold.clear()
    live.send(video(0, stream[0]))
    assert live.busy.wait(10)
    live.send(*(video(n, stream[n]) for n in range(1, 12)))
    wait_until(lambda: live.statistics.snapshot().in_hand == 2, "the others to be decoded")
    live.hold.set()
    counts = live.settled()
    live.frames.stop(10)
    assert sorted(live.frames_seen) == [0, 11]
    assert np.array_equal(live.frames_seen[11], decoded(stream)[11])
    assert (counts["published"], counts["dropped"], counts["rejected"]) == (2, 10, 0)


def test_what_was_lost_on_the_way_breaks_h265_up_to_the_next_key_frame():
    """Its packets have no numbers of their own; the middleware's say that some are missing."""
    stream = h264([picture(number) for number in range(12)], "libx265")
    live = Live()
    for number in (0, 1, 3, 4, 5, 6):
        live.send(video(number, stream[number], "h265"), sequence=number + 1)
        counts = live.settled()
    live.frames.stop(10)
    assert counts["lost"] == 1
    assert sorted(live.frames_seen) == [0, 1, 5, 6]
    assert (counts["published"], counts["dropped"]) == (4, 2)
    assert np.array_equal(live.frames_seen[6], decoded(stream, "h265")[6])


def test_damage_is_rejected_and_the_stream_goes_on(stream):
    live = Live()
    messages = [video(n, data) for n, data in enumerate(stream)]
    messages[2].data = b"no packet"
    messages[7].format = "vp9"
    counts = live.one_by_one(messages)
    live.frames.stop(10)
    assert counts["rejected"] == 2
    assert counts["received"] == 12 == counts["published"] + counts["dropped"] + 2
    assert {0, 1, 5, 6, 10, 11} <= set(live.frames_seen)
    for number, seen in live.frames_seen.items():
        assert np.array_equal(seen, decoded(stream)[number])


def test_no_picture_is_decoded_beyond_the_limit(stream):
    live = Live(max_pixels=48 * 64 - 1)
    counts = live.one_by_one([video(0, stream[0])])
    assert counts["rejected"] == 1
    live.frames.stop(10)
    live = Live(max_pixels=48 * 64)
    assert live.one_by_one([video(0, stream[0])])["published"] == 1
    with pytest.raises(Exception, match="64x48, 3072 pixels; at most 3071 are decoded"):
        decode_frame(live.frames.latest, 3071)
    live.frames.stop(10)


def test_without_the_messages_of_the_stream_that_is_one_clear_line(tmp_path):
    try:
        message_class(topics.IMAGE_FFMPEG.message_type)
    except ImportError:
        pass
    else:
        pytest.skip("ffmpeg_image_transport_msgs is installed")
    node = NodeProcess(tmp_path / "log", {"image_transport": "ffmpeg"})
    try:
        node.wait_for("cannot activate: /image/ffmpeg needs ffmpeg_image_transport_msgs/msg/FFMPEG")
        assert "install ros-<distro>-ffmpeg-image-transport-msgs" in node.said()
        assert "Traceback" not in node.said()
    finally:
        node.end()


def test_masks_of_a_stream_over_dds(segmenter, monkeypatch):
    """In this process, where a type with the same fields takes the place of CompressedVideo."""
    stand_in = message_class(topics.IMAGE_COMPRESSED.message_type)
    types = {topics.IMAGE_VIDEO.message_type: stand_in}
    monkeypatch.setattr(
        node_room, "message_class", lambda name: types.get(name) or message_class(name)
    )
    images = [picture(number, 180, 320) for number in range(7)]
    stream = h264(images)
    context = rclpy.Context()
    rclpy.init(context=context)
    overrides = [Parameter("image_transport", value="video")]
    node = node_room.SegmentationNode(context=context, parameter_overrides=overrides)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin, daemon=True)
    spinning.start()
    client = Client()
    try:
        node.trigger_configure()
        node.trigger_activate()
        client.listen(topics.MASK)
        publisher = client.node.create_publisher(stand_in, topics.IMAGE_VIDEO.name, 100)
        client.diagnosis(lambda v: v["image publishers"] == "1" and v["listened to"])
        wait_until(publisher.get_subscription_count, "the node")
        message = ros_messages().jpeg(ros_messages().header(1, "c"), stream[1])
        message.format = "h264"
        publisher.publish(message)
        status, _ = client.diagnosis(lambda v: v["dropped"] == "1")
        assert status.level == b"\x01"
        assert status.message.startswith("waiting for a key frame of the video")
        for number, data in enumerate(stream):
            message = ros_messages().jpeg(ros_messages().header(10 + number, "c"), data)
            message.format = "h264"
            publisher.publish(message)
            mask = client.wait_for(topics.MASK, number + 1)[-1]
            assert stamp_ns(mask.header.stamp) == 10 + number
            expected = segmenter.segment(decoded(stream[: number + 1])[-1]).class_mask()
            assert np.array_equal(pixels(mask), expected)
    finally:
        client.close()
        executor.shutdown()
        spinning.join()
        node.close()
        node.destroy_node()
        context.try_shutdown()
