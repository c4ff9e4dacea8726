"""Camera topics copied into a result bag: ROS 2's definitions beside CDR, whatever was recorded."""

import numpy as np
import pytest
from recordings import (
    CAMERA,
    CAMERA_INFO,
    IMAGE,
    IMAGES,
    INFOS,
    UNKNOWN,
    picture,
    recording,
    stamp,
    write_mcap,
    write_ros1,
)
from rosbags.highlevel import AnyReader

from seg_ros.drive import open_drive
from seg_ros.drive.messages import typestore
from seg_ros.ground.camera import CameraModel
from seg_ros.results.bag_topics import recorded_topic
from seg_ros.results.result_bag import ResultBag, read_result

IDL = """
#include "std_msgs/msg/Header.idl"
module sensor_msgs { module msg { struct Image { std_msgs::msg::Header header; }; }; };
"""
"""As packages with .idl files of their own are embedded: it needs others that are not there."""

FORMS = {
    "ROS 1 bag": lambda path, messages: write_ros1(path.with_suffix(".bag"), messages),
    "ros1msg": lambda path, messages: write_mcap(path, messages, ros1=True),
    "ros2msg": write_mcap,
    "ros2idl": lambda path, messages: write_mcap(path, messages, described=("ros2idl", IDL)),
    "omgidl": lambda path, messages: write_mcap(path, messages, described=("omgidl", IDL)),
    "no parser's": lambda path, messages: write_mcap(path, messages, described=("ros2msg", "%(")),
    "empty": lambda path, messages: write_mcap(path, messages, described=("ros2msg", "")),
    "none": lambda path, messages: write_mcap(path, messages, described=("", "")),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_copied_can_be_read(tmp_path, form):
    messages = [m for m in recording(3) if m[1] != UNKNOWN]
    drive = open_drive(str(FORMS[form](tmp_path / "a.mcap", messages)))
    assert drive.camera == CAMERA
    with ResultBag(tmp_path / "result", [recorded_topic(topic) for topic in drive.topics]) as bag:
        for frame in drive.frames():
            for message in (frame.raw, *frame.camera_infos):
                bag.write(message.topic.name, frame.stamp_ns, message.data)
    with AnyReader([tmp_path / "result"]) as reader:  # with the definitions of the bag alone
        found = [(c.topic, t, reader.deserialize(d, c.msgtype)) for c, t, d in reader.messages()]
        hashes = {c.msgtype: c.digest for c in reader.connections}
    assert hashes == {kind: typestore().hash_rihs01(kind) for kind in (IMAGE, CAMERA_INFO)}
    images = [(time, message) for topic, time, message in found if topic == IMAGES]
    assert [time for time, _ in images] == [stamp(number) for number in range(3)]
    for number, (_, message) in enumerate(images):
        assert (message.header.frame_id, message.encoding) == ("camera", "bgr8")
        assert np.array_equal(message.data.reshape(48, 64, 3), picture(number))
    infos = [message for topic, _, message in found if topic == INFOS]
    assert [CameraModel.from_camera_info(info) for info in infos] == [CAMERA] * 3
    assert [time for time, _ in read_result(tmp_path / "result", IMAGES)] == [
        stamp(number) for number in range(3)
    ]
