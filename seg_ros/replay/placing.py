"""Messages of a result bag that let a viewer place what is in it: frames and class names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from seg_ros.drive.messages import bag_messages, typestore
from seg_ros.ground.mounting import Mounting
from seg_ros.labels import LabelSet
from seg_ros.replay.views import View
from seg_ros.results.bag_topics import LABEL_TOPIC, RESULT_TOPICS, TF, TF_STATIC


class Placing:
    """Makes them, given a run's frames in order.

    The class names and a camera that is fixed come once, before the first frame that says its
    frame; a camera that moves and a vehicle that moves in the grid's frame come with every frame.

    Args:
        values: of the node's parameters.
        labels: what the class ids mean.
        mounting: of a camera that is fixed; None where there is none, or TF says it.

    """

    def __init__(
        self, values: Mapping[str, Any], labels: LabelSet, mounting: Mounting | None
    ) -> None:
        self._labels = labels
        self._base_frame: str = values["base_frame"]
        self._grid_frame: str = values["grid_frame"]
        self._moves: bool = values["mounting_source"] == "tf"
        self._mounting = mounting
        self.begun = False
        """Whether what comes once has come."""

    def of(self, view: View) -> Iterator[tuple[str, bytes | memoryview]]:
        """Yield topic and serialised message of what belongs before a frame."""
        frame = view.frame
        if not self.begun and frame.frame_id:
            self.begun = True
            library = bag_messages()
            header = library.header(frame.stamp_ns, "")
            yield _serialised(LABEL_TOPIC, library.label_info(header, self._labels))
            if self._mounting is not None:
                yield from self._camera(TF_STATIC.name, view, self._mounting)
        if self._moves and view.mounting is not None:
            yield from self._camera(TF.name, view, view.mounting)
        if view.pose is not None:
            c, s = np.cos(view.pose.yaw), np.sin(view.pose.yaw)
            turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
            header = bag_messages().header(frame.stamp_ns, self._grid_frame)
            where = (view.pose.x, view.pose.y, 0.0)
            yield _serialised(
                TF.name, bag_messages().transform(header, self._base_frame, where, turn)
            )

    def _camera(
        self, topic: str, view: View, mounting: Mounting
    ) -> Iterator[tuple[str, bytes | memoryview]]:
        frame = view.frame
        if frame.frame_id in ("", self._base_frame):
            return
        header = bag_messages().header(frame.stamp_ns, self._base_frame)
        yield _serialised(
            topic,
            bag_messages().transform(
                header, frame.frame_id, mounting.position.tolist(), mounting.base_from_optical
            ),
        )


def _serialised(topic: str, message: Any) -> tuple[str, bytes | memoryview]:
    return topic, typestore().serialize_cdr(message, RESULT_TOPICS[topic].message_type)
