"""Publishes what was made of a frame, to those who listen, and the names of its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.images import encode_jpeg
from seg_ros.drive.messages import stamp_ns
from seg_ros.ground.grid_spec import occupancy_values
from seg_ros.labels import LabelSet
from seg_ros.results import topics
from seg_ros.results.topics import Topic
from seg_ros.ros.cdr import ImageBuffer
from seg_ros.ros.messages import ros_messages
from seg_ros.ros.serialized import publish_serialized
from seg_ros.segment.output import Output, Processed


class FramePublishers:
    """The publishers of a frame's outputs, and the memory their images are made in.

    Args:
        publishers: one for each of :data:`seg_ros.results.topics.FRAME_OUTPUTS`.
        attention: of :data:`seg_ros.results.topics.ATTENTION`.
        label_info: of :data:`seg_ros.results.topics.LABEL_INFO`; None without vision_msgs.

    """

    def __init__(
        self,
        publishers: Mapping[Topic, Any] | None = None,
        attention: Any = None,
        label_info: Any = None,
    ) -> None:
        self._publishers = publishers or {}
        self._images = {topic: ImageBuffer() for topic in self._publishers}
        self.attention = attention
        self._label_info = label_info

    def announce(self, labels: LabelSet, now_ns: int) -> None:
        """Publish the names of the class ids of the masks that follow."""
        if self._label_info is not None:
            library = ros_messages()
            self._label_info.publish(library.label_info(library.header(now_ns, ""), labels))

    def listening(self, parameters: Mapping[str, Any]) -> list[Topic]:
        """Return the topics that are switched on and that someone subscribes to."""
        return [
            topic
            for topic, publisher in self._publishers.items()
            if parameters[topic.switch] and publisher.get_subscription_count()
        ]

    def allocate(self, output: Output, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Let the pipeline write straight into the bytes that are published."""
        topic = next(topic for topic in self._images if topic.output is output)
        return self._images[topic].pixels(shape)

    def publish(
        self,
        header: Any,
        listening: Sequence[Topic],
        done: Processed,
        parameters: Mapping[str, Any],
    ) -> int:
        """Publish what came of a frame; return how many messages.

        Args:
            header: of the frame; its stamp goes out with every message.
            listening: topics to publish on.
            done: what the pipeline made. What it could not make is not published.
            parameters: of the node.

        """
        count = 0
        for topic in listening:
            publisher = self._publishers[topic]
            if topic.message_type == topics.IMAGE.message_type:
                publish_serialized(publisher, self._images[topic].serialized(header))
                count += 1
                continue
            message = self._message(topic, header, done, parameters)
            if message is not None:
                publisher.publish(message)
                count += 1
        return count

    def _message(
        self, topic: Topic, header: Any, done: Processed, parameters: Mapping[str, Any]
    ) -> Any:
        library = ros_messages()
        if topic is topics.GRID:
            if done.cells is None or done.grid_spec is None:
                return None
            values = occupancy_values(done.cells, parameters["grid_profile"])
            grid_header = library.header(stamp_ns(header.stamp), parameters["grid_frame"])
            return library.occupancy_grid(grid_header, done.grid_spec, values)
        if topic is topics.CONTACTS:
            if done.contacts is None:
                return None
            scan_header = library.header(stamp_ns(header.stamp), parameters["base_frame"])
            return library.laser_scan(scan_header, done.contacts)
        assert topic is topics.OVERLAY_COMPRESSED
        assert done.overlay is not None
        return library.jpeg(header, encode_jpeg(done.overlay, parameters["jpeg_quality"]))
