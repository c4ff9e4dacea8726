"""How topics are described in a result bag."""

import pytest
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat

from seg_ros.drive.base import RecordedTopic
from seg_ros.drive.messages import typestore
from seg_ros.results.bag_topics import recorded_topic

IMAGE = "sensor_msgs/msg/Image"
NONE, MSG, IDL = (getattr(MessageDefinitionFormat, name) for name in ("NONE", "MSG", "IDL"))


@pytest.mark.parametrize(
    ("form", "text"), [(NONE, ""), (MSG, " "), (IDL, '#include "std_msgs/msg/Header.idl"')]
)
def test_a_known_type_without_a_whole_definition_gets_ours(form, text):
    topic = recorded_topic(RecordedTopic("/image", IMAGE, MessageDefinition(form, text)))
    ours, _ = typestore().generate_msgdef(IMAGE, ros_version=2)
    assert (topic.definition, topic.encoding) == (ours, "ros2msg")
    assert topic.type_hash == typestore().hash_rihs01(IMAGE)


def test_what_was_recorded_is_kept_where_it_is_whole_or_nobody_knows_better():
    text = "uint8 gear\n"
    topic = recorded_topic(
        RecordedTopic("/car", "car_msgs/msg/State", MessageDefinition(IDL, text))
    )
    assert (topic.definition, topic.encoding, topic.type_hash) == (text, "ros2idl", "")
    ours, _ = typestore().generate_msgdef(IMAGE, ros_version=2)
    topic = recorded_topic(RecordedTopic("/image", IMAGE, MessageDefinition(MSG, ours)))
    assert (topic.definition, topic.encoding) == (ours, "ros2msg")
