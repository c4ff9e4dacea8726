"""The topics of a result bag: what is made of a frame, what is copied, as MCAP describes them."""

from __future__ import annotations

from dataclasses import dataclass

from rosbags.interfaces import (
    MessageDefinitionFormat,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)

from seg_ros.drive.base import RecordedTopic
from seg_ros.drive.messages import typestore
from seg_ros.results.topics import CONTACTS, GRID, MASK, OVERLAY_COMPRESSED, Topic

MASK_TOPIC, OVERLAY_TOPIC, GRID_TOPIC, CONTACT_TOPIC = (
    f"/{topic.name}" for topic in (MASK, OVERLAY_COMPRESSED, GRID, CONTACTS)
)

MASK_PNG = Topic(
    f"{MASK.name}/compressed", "sensor_msgs/msg/CompressedImage", "the mask as PNG, in bags only"
)
MASK_PNG_TOPIC = f"/{MASK_PNG.name}"

LIVE_TOPICS = {f"/{topic.name}": topic for topic in (MASK, OVERLAY_COMPRESSED, GRID, CONTACTS)}
"""What is recorded of the node."""

RESULT_TOPICS = {**LIVE_TOPICS, MASK_PNG_TOPIC: MASK_PNG}
"""What a run can make of each frame."""


@dataclass(frozen=True)
class BagTopic:
    """A topic of a bag, as MCAP describes it."""

    name: str
    message_type: str
    definition: str
    """Message definition, as embedded in the bag."""
    encoding: str
    """Of the definition: ``ros2msg`` or ``ros2idl``; empty where there is none."""
    qos: tuple[Qos, ...]
    """What the publishers offered."""
    type_hash: str = ""
    """RIHS01 hash of the type; empty where it is not known."""


def result_topic(topic: Topic) -> BagTopic:
    """Describe one of the node's topics as the node publishes it."""
    definition, _ = typestore().generate_msgdef(topic.message_type, ros_version=2)
    return BagTopic(
        f"/{topic.name}",
        topic.message_type,
        definition,
        "ros2msg",
        (_qos(topic),),
        typestore().hash_rihs01(topic.message_type),
    )


def recorded_topic(topic: RecordedTopic) -> BagTopic:
    """Describe a topic that is copied, as it was recorded."""
    definition, encoding, type_hash = topic.definition.data, "ros2msg", ""
    if topic.definition.format == MessageDefinitionFormat.IDL:
        encoding = "ros2idl"
    if topic.message_type in typestore().types:
        type_hash = typestore().hash_rihs01(topic.message_type)
        # An IDL definition may need others by #include, and keeps readers from the whole bag.
        if topic.definition.format != MessageDefinitionFormat.MSG or not definition.strip():
            definition, _ = typestore().generate_msgdef(topic.message_type, ros_version=2)
            encoding = "ros2msg"
    return BagTopic(topic.name, topic.message_type, definition, encoding, topic.qos, type_hash)


def _qos(topic: Topic) -> Qos:
    """QoS the node publishes a topic with, as a bag records it."""
    forever = QosTime(9223372036, 854775807)
    return Qos(
        QosHistory.KEEP_LAST,
        1,
        QosReliability.RELIABLE if topic.reliable else QosReliability.BEST_EFFORT,
        QosDurability.TRANSIENT_LOCAL if topic.transient_local else QosDurability.VOLATILE,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )
