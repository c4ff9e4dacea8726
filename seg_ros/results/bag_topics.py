"""The topics of a result bag: what is made of a frame, what is copied, as MCAP describes them."""

from __future__ import annotations

from dataclasses import dataclass

from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)

from seg_ros.drive.base import RecordedTopic
from seg_ros.drive.messages import typestore
from seg_ros.results.topics import CONTACTS, GRID, LABEL_INFO, MASK, OVERLAY_COMPRESSED, Topic

MASK_TOPIC, OVERLAY_TOPIC, GRID_TOPIC, CONTACT_TOPIC = (
    f"/{topic.name}" for topic in (MASK, OVERLAY_COMPRESSED, GRID, CONTACTS)
)

MASK_PNG = Topic(
    f"{MASK.name}/compressed", "sensor_msgs/msg/CompressedImage", "the mask as PNG, in bags only"
)
MASK_PNG_TOPIC = f"/{MASK_PNG.name}"

TF_STATIC = Topic(
    "/tf_static",
    "tf2_msgs/msg/TFMessage",
    "where the camera is in base_frame, in bags only",
    transient_local=True,
)
TF = Topic("/tf", "tf2_msgs/msg/TFMessage", "the same where it moves, in bags only")
LABEL_TOPIC = f"/{LABEL_INFO.name}"

LIVE_TOPICS = {f"/{topic.name}": topic for topic in (MASK, OVERLAY_COMPRESSED, GRID, CONTACTS)}
"""What is recorded of the node."""

RESULT_TOPICS = {
    **LIVE_TOPICS,
    MASK_PNG_TOPIC: MASK_PNG,
    LABEL_TOPIC: LABEL_INFO,
    TF_STATIC.name: TF_STATIC,
    TF.name: TF,
}
"""What a run can make of a drive."""


@dataclass(frozen=True)
class BagTopic:
    """A topic of a bag, as MCAP describes it."""

    name: str
    message_type: str
    definition: str
    """Message definition, ``ros2msg``."""
    qos: tuple[Qos, ...]
    """What the publishers offered."""
    type_hash: str
    """RIHS01 hash of the type."""


def result_topic(topic: Topic) -> BagTopic:
    """Describe one of the node's topics as the node publishes it."""
    return _described(f"/{topic.name.lstrip('/')}", topic.message_type, (_qos(topic),))


def recorded_topic(topic: RecordedTopic) -> BagTopic:
    """Describe a topic that is copied.

    Its messages are CDR whatever they were recorded as, so beside them stands the ROS 2 definition
    of those bytes: what the recording has beside them may be of ROS 1, or in a language that
    readers of bags do not know.
    """
    return _described(topic.name, topic.message_type, topic.qos)


def _described(name: str, message_type: str, qos: tuple[Qos, ...]) -> BagTopic:
    definition, _ = typestore().generate_msgdef(message_type, ros_version=2)
    return BagTopic(name, message_type, definition, qos, typestore().hash_rihs01(message_type))


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
