"""Gathers what the diagnostics say, once a second and whenever there is something to say."""

from __future__ import annotations

from typing import Any

from rclpy.clock import Clock, ClockType

from seg_ros.results import topics
from seg_ros.results.topics import Topic
from seg_ros.ros.diagnostics import Diagnosis
from seg_ros.ros.messages import message_class
from seg_ros.ros.parts import Parts
from seg_ros.ros.stalls import Stalls


class Health:
    """Publishes :data:`seg_ros.results.topics.DIAGNOSTICS`, whatever state the node is in.

    They are wanted most when it is not active, so their publisher is not a managed one.

    Args:
        node: to publish with.
        parts: of the node, as they are at the moment.

    """

    def __init__(self, node: Any, parts: Parts) -> None:
        self._node = node
        self._parts = parts
        self._diagnosis = Diagnosis(node.get_fully_qualified_name())
        self._stalls = Stalls(parts.statistics, node.get_logger())
        self._last: Any = None
        self._waiting = ""  # for images, and why none come
        self._doubted = False
        self._publisher = node.create_publisher(
            message_class(topics.DIAGNOSTICS.message_type),
            topics.DIAGNOSTICS.name,
            topics.DIAGNOSTICS.qos_profile(),
        )
        # By the steady clock: with use_sim_time a silent /clock is worth reporting, too.
        node.create_timer(1.0, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def image_topic(self) -> str:
        """Full name of the topic that images are expected on."""
        return self._full_name(topics.TRANSPORTS[self._parts.settings.values["image_transport"]])

    @property
    def said(self) -> dict[str, Any]:
        """What was published last, as it is written to YAML."""
        return Diagnosis.plain(self._last) if self._last else {}

    def publish(self) -> None:
        """Publish how it is now."""
        parts, logger = self._parts, self._node.get_logger()
        if parts.frames is not None:
            parts.frames.revive()
        stalled, ended = self._stalls.look(
            {**(parts.frames.busy if parts.frames else {}), "background": parts.background.busy},
            parts.settings.values["stall_timeout"],
        )
        if stalled and parts.frames is not None:
            parts.frames.refuse_jobs(f"not now: {stalled}")
        reason = parts.listener.revive() if parts.listener is not None else ""
        if reason:
            what = f"the listener thread ended and was started again: {reason}"
            parts.statistics.error("threads_restarted", what)
            logger.error(what)
        publishers = self._node.count_publishers(self.image_topic)
        pipeline = parts.model.pipeline
        doubt = pipeline.doubt if pipeline else ""
        self._last = self._diagnosis.message(
            now_ns=self._node.get_clock().now().nanoseconds,
            snapshot=parts.statistics.snapshot(),
            segmenter=pipeline.segmenter if pipeline else None,
            active=parts.frames is not None,
            image_topic=self.image_topic,
            image_publishers=publishers,
            listened=self._listened_to(),
            camera_problem=parts.viewpoint.problem if parts.viewpoint else "",
            mounting_assumed=parts.settings.mounting_assumed,
            refused=parts.settings.refused,
            reload=parts.model.note or parts.model.reload_needed(parts.settings.values),
            stalled=stalled,
            ended=ended,
            building=parts.model.building or (parts.frames.awaited if parts.frames else ""),
            elsewhere=self._published_elsewhere(),
            doubt=doubt,
        )
        self._publisher.publish(self._last)
        if doubt and not self._doubted:
            logger.warning(doubt)
        self._doubted = bool(doubt)
        if self._diagnosis.waiting != self._waiting:
            self._waiting = self._diagnosis.waiting
            if self._waiting:
                logger.warning(self._waiting)
            else:
                logger.info("no longer waiting for images")

    def _listened_to(self) -> list[str]:
        parts = self._parts
        names = [topic.name for topic in parts.outputs.listening(parts.settings.values)]
        if parts.frames is not None and parts.frames.attention_wanted:
            names.append(topics.ATTENTION.name)
        return names

    def _published_elsewhere(self) -> str:
        """Name the image topic of another transport where somebody publishes it."""
        used = topics.TRANSPORTS[self._parts.settings.values["image_transport"]]
        others = (self._full_name(topic) for topic in topics.IMAGES if topic != used)
        return next((name for name in others if self._node.count_publishers(name)), "")

    def _full_name(self, topic: Topic) -> str:
        return str(self._node.resolve_topic_name(topic.name))
