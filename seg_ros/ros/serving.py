"""Answers the node's services: another model between two frames, and snapshots.

Coroutines, so that frames and other calls go on meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.parameter import Parameter
from rclpy.utilities import get_rmw_implementation_identifier

from seg_ros.drive.colors import color_library
from seg_ros.drive.messages import stamp_ns
from seg_ros.errors import SegRosError
from seg_ros.results.parameters import RELOADED
from seg_ros.ros import services
from seg_ros.ros.health import Health
from seg_ros.ros.messages import message_class
from seg_ros.ros.parts import Parts
from seg_ros.ros.services import Service
from seg_ros.ros.snapshot import WANTED, Snapshot, default_folder, write_snapshot
from seg_ros.ros.video_input import decode_frame
from seg_ros.ros.worker import LOADING
from seg_ros.segment.output import Processed
from seg_ros.segment.pipeline import Pipeline

_LOADING = "loading a model"


class Serving:
    """Offers :data:`seg_ros.ros.services.SERVICES`, whatever state the node is in.

    Args:
        node: that offers them.
        parts: of the node.
        health: of the node, for what a snapshot says of it.

    """

    def __init__(self, node: Any, parts: Parts, health: Health) -> None:
        self._node = node
        self._parts = parts
        self._health = health
        self._neighbours: list[Serving] = []
        self._serve(services.RELOAD, self._reload)
        self._serve(services.SNAPSHOT, self._snapshot)

    def share_with(self, others: list[Serving]) -> None:
        """Know the other nodes of this process; a reload is for all that share the engine."""
        self._neighbours = others

    def _serve(self, service: Service, work: Callable[[], Coroutine[Any, Any, str]]) -> None:
        """Offer a service; its answer is what the work returns, or why it could not be done."""
        logger = self._node.get_logger()

        async def answer(_: Any, response: Any) -> Any:
            try:
                response.message, response.success = await work(), True
            except SegRosError as error:
                response.message = str(error)
            except Exception as error:  # the node lives on
                response.message = f"unexpected {type(error).__name__}: {error}"
            line = f"{service.name}: {response.message}"
            if response.success:  # rclpy wants one severity for each line of code that logs
                logger.info(line)
            else:
                logger.error(line)
            return response

        # A group of its own, or nothing else would be called until it has answered.
        group = MutuallyExclusiveCallbackGroup()
        service_type = message_class(service.service_type)
        self._node.create_service(service_type, service.name, answer, callback_group=group)

    async def _reload(self) -> str:
        """Load the model that the parameters name now, then put it in between two frames."""
        model, values = self._parts.model, self._parts.settings.values
        background = self._parts.background
        old = model.pipeline
        if old is None:
            raise SegRosError("the node is not configured; configuring it loads the model")
        model.note = f"loading {values['model']}"
        try:
            load = partial(model.load, values, self._report_reload, anew=True)
            pipeline, note = await background.run(_LOADING, load, patience=LOADING)
            if model.pipeline is not old:
                raise SegRosError("the node was cleaned up meanwhile; nothing was changed")
            swap = partial(self._swap, pipeline, values)
            if self._parts.frames is None:
                swap()
            else:
                await background.until(self._parts.frames.between(swap))
        except Exception as error:
            if model.pipeline is old:
                model.note = f"failed, {old.segmenter.model_name} goes on: {error}"
            raise
        model.note = ""
        others = [
            other
            for other in self._neighbours
            if (theirs := other._parts.model.pipeline) is not None
            and theirs.segmenter is old.segmenter
        ]
        for other in others:
            await other._follow(pipeline, values, self._node.get_fully_qualified_name())
        names = ", ".join(other._node.get_fully_qualified_name() for other in others)
        return f"{note}; {names} shared the old one and has it too" if names else str(note)

    async def _follow(self, given: Pipeline, loaded: Mapping[str, Any], who: str) -> None:
        """Take the engine over that another node has loaded in the place of the one they shared."""
        logger, model = self._node.get_logger(), self._parts.model
        changes = {name: loaded[name] for name in RELOADED}
        try:
            pipeline = model.pipeline_of(given.segmenter, self._parts.settings.values)
        except SegRosError as error:
            logger.error(f"the old model goes on, {who} has loaded another: {error}")
            return
        self._node.set_parameters([Parameter(name, value=value) for name, value in changes.items()])
        swap = partial(self._swap, pipeline, {**self._parts.settings.values, **changes})
        if self._parts.frames is None:
            swap()
        else:
            await self._parts.background.until(self._parts.frames.between(swap))
        logger.info(f"model {pipeline.segmenter.model_name}, as {who} has reloaded it for all")

    def _report_reload(self, line: str) -> None:
        """Say how far an engine's build is; the diagnostics' timer runs meanwhile."""
        self._parts.model.note = line
        self._parts.background.alive(_LOADING)
        self._node.get_logger().info(line)

    def _swap(self, pipeline: Pipeline, loaded: Mapping[str, Any]) -> None:
        # The names before the first mask they belong to.
        now_ns = self._node.get_clock().now().nanoseconds
        self._parts.outputs.announce(pipeline.segmenter.labels, now_ns)
        self._parts.model.use(pipeline, loaded, self._parts.settings.values)
        self._parts.statistics.engine_changed()

    async def _snapshot(self) -> str:
        """Make everything of the last frame and write it to a folder."""
        frames = self._parts.frames
        if frames is None:
            raise SegRosError("the node is not active, so there is no frame; activate it")
        if frames.latest is None:
            raise SegRosError(
                f"no image has come on {self._health.image_topic} yet; see 'No image appears' in "
                "docs/troubleshooting.md"
            )
        self._health.publish()  # as it is now
        take = partial(self._take_snapshot, frames.latest)
        background = self._parts.background
        snapshot = await background.until(frames.between(take))
        root = self._parts.settings.values["snapshot_folder"]
        folder = Path(root) if root else default_folder()
        return str(
            await background.run("writing a snapshot", partial(write_snapshot, folder, snapshot))
        )

    def _take_snapshot(self, message: Any) -> Snapshot:
        """Do the last frame again, between two others; what is published is left alone."""
        pipeline, values = self._parts.model.pipeline, self._parts.settings.values
        viewpoint = self._parts.viewpoint
        if pipeline is None or viewpoint is None:
            raise SegRosError("the node was cleaned up meanwhile; there is no frame")
        frame, stamp = decode_frame(message, values["max_pixels"]), stamp_ns(message.header.stamp)
        camera, _ = viewpoint.of(frame, message.header)
        done = Processed(engine_ns=0)
        try:
            done = pipeline.process(frame, WANTED, camera, stamp_ns=stamp)
            problem = done.grid_problem or ("" if camera else viewpoint.grid_problem)
        except SegRosError as error:  # the frame is worth having all the same
            problem = str(error)
        names = ("encoding", "step", "is_bigendian", "format")
        return Snapshot(
            self._node.get_fully_qualified_name(),
            stamp,
            message.header.frame_id,
            frame,
            {name: getattr(message, name) for name in names if hasattr(message, name)},
            done,
            problem,
            camera or viewpoint.camera,
            pipeline.segmenter,
            {**values, "use_sim_time": self._node.get_parameter("use_sim_time").value},
            self._health.said,
            {
                "ros": os.environ.get("ROS_DISTRO", "from wheels"),
                "rmw": get_rmw_implementation_identifier(),
                "colours": color_library(),
            },
        )
