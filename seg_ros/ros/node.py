"""The lifecycle node: camera in; class mask, overlay, driveable grid and diagnostics out.

Wiring only: what happens to a frame is in :mod:`seg_ros.segment.pipeline`, how it goes out in
:mod:`seg_ros.ros.publishing`; the parameters are in :mod:`seg_ros.ros.parameters` and their values
in :mod:`seg_ros.ros.settings`, the topics in :mod:`seg_ros.results.topics`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import rclpy
from lifecycle_msgs.msg import Transition
from numpy.typing import NDArray
from rcl_interfaces.msg import SetParametersResult
from rclpy._rclpy_pybind11 import (  # type: ignore[import-not-found]
    RCLError,
    UnknownROSArgsError,
)
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rclpy.utilities import get_rmw_implementation_identifier, remove_ros_args

from seg_ros.drive.images import color_library, decode_message
from seg_ros.drive.messages import stamp_ns
from seg_ros.engines import parse_size
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel, load_camera
from seg_ros.ground.world_grid import FusedGrid, Pose
from seg_ros.results import topics
from seg_ros.results.topics import Topic
from seg_ros.ros import services
from seg_ros.ros.attention import LiveAttention
from seg_ros.ros.background import Background
from seg_ros.ros.diagnostics import Diagnosis
from seg_ros.ros.messages import label_info, message_class, ros_messages
from seg_ros.ros.parameters import RELOADED, grid_rules, grid_spec, mounting
from seg_ros.ros.publishing import FramePublishers
from seg_ros.ros.services import Service
from seg_ros.ros.settings import Settings
from seg_ros.ros.snapshot import WANTED, Snapshot, default_folder, write_snapshot
from seg_ros.ros.time_jumps import TimeJumps
from seg_ros.ros.transport import use_shared_memory
from seg_ros.ros.vehicle import Vehicle
from seg_ros.ros.worker import LatestWorker
from seg_ros.segment.pipeline import Output, Pipeline, Processed
from seg_ros.segment.segmenter import Segmenter
from seg_ros.support.progress import BuildLog
from seg_ros.support.statistics import FrameStatistics

_QUIET = 5.0
"""Seconds in which the same message is logged once."""

_SIGNAL_SECONDS = 0.2
"""How often Python gets to look for a signal."""

_TRANSITIONS = {
    Transition.TRANSITION_CONFIGURE: "configure",
    Transition.TRANSITION_CLEANUP: "cleanup",
    Transition.TRANSITION_ACTIVATE: "activate",
    Transition.TRANSITION_DEACTIVATE: "deactivate",
}

_Item = tuple[Any, int]
"""An image message and when it was received, nanoseconds of the monotonic clock."""


class SegmentationNode(LifecycleNode):
    """See the README for its topics, parameters and states."""

    def __init__(self, **options: Any) -> None:
        super().__init__("segmentation_node", **options)
        self.statistics = FrameStatistics()
        self._settings = Settings(self)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._pipeline: Pipeline | None = None
        self._loaded: Mapping[str, Any] = {}  # the values the pipeline was made with
        self._applying = Lock()  # live parameters reach the pipeline that is in use
        self._reload_note = ""
        self._vehicle: Vehicle | None = None
        self._worker: LatestWorker[_Item] | None = None
        self._made_publishers: list[Any] = []
        self._outputs = FramePublishers({})
        self._attention_publisher: Any = None
        self._attention: LiveAttention | None = None
        self._label_publisher: Any = None
        self._frame_subscriptions: list[Any] = []
        self._camera: CameraModel | None = None
        self._info_problem = ""  # why the last calibration is no use
        self._build_log = BuildLog()
        self._building = ""  # what is being done to an engine
        self._grid_problem = ""  # why the last frame has no grid
        self._latest_image: Any = None  # the last that was handled
        self._last_sequence = 0
        self._image_publishers = 0
        self._time_jumps = TimeJumps(self.get_clock(), self._on_time_jump)
        # Diagnostics are wanted most when the node is not active, so they are not managed.
        self._diagnostics = self.create_publisher(
            message_class(topics.DIAGNOSTICS.message_type),
            topics.DIAGNOSTICS.name,
            topics.DIAGNOSTICS.qos_profile(),
        )
        self._background = Background(self)
        self._serve(services.RELOAD, self._reload)
        self._serve(services.SNAPSHOT, self._snapshot)
        self._last_diagnostics: Any = None
        self._waiting = ""  # for images, and why none come
        self._diagnosis = Diagnosis(self.get_fully_qualified_name())
        # By the steady clock: with use_sim_time a silent /clock is worth reporting, too.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(1.0, self._publish_diagnostics, clock=steady)

    # Parameters

    def _on_set_parameters(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        changes = {p.name: p.value for p in parameters}
        reason = self._settings.change(changes, configured=self._pipeline is not None)
        if reason:
            return SetParametersResult(successful=False, reason=reason)
        with self._applying:
            if self._pipeline is not None:
                self._apply(self._pipeline, self._settings.values)
        if not changes.keys().isdisjoint(RELOADED) and (needed := self._reload_needed()):
            self.get_logger().info(needed)  # rclpy gives no reason with a success
        return SetParametersResult(successful=True)

    def _reload_needed(self) -> str:
        """Say which parameters name another model than the one in use."""
        if self._pipeline is None:
            return ""
        changed = [name for name in RELOADED if self._settings.values[name] != self._loaded[name]]
        return f"call ~/reload to use {', '.join(changed)}" if changed else ""

    def _apply(self, pipeline: Pipeline, values: Mapping[str, Any]) -> None:
        """Hand the live parameters on; each is read once per frame, so a change is never torn."""
        pipeline.overlay_opacity = values["overlay_opacity"]
        pipeline.grid_spec = grid_spec(values)
        pipeline.grid_rules = grid_rules(values)
        if self._camera is not None and not values["camera_file"]:
            self._camera = replace(self._camera, mounting=mounting(values))

    # Lifecycle

    def _LifecycleNodeMixin__on_change_state(self, request: Any, response: Any) -> Any:  # noqa: N802
        """Refuse a transition that the state does not have; rclpy lets it end the process."""
        try:
            return super()._LifecycleNodeMixin__on_change_state(  # type: ignore[misc]
                request, response
            )
        except RCLError:
            wanted, (_, state) = request.transition, self._state_machine.current_state
            name = wanted.label or _TRANSITIONS.get(wanted.id, wanted.id)
            self.get_logger().error(f"{name} is not possible: the node is {state}")
            response.success = False
            return response

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the engine, make the publishers."""
        try:
            self._configure(self._settings.values)
        except SegRosError as error:
            self.get_logger().error(f"cannot configure: {error}")
            self._release()
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # rclpy would hide what it was
            self.get_logger().error(f"cannot configure: {type(error).__name__}: {error}")
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _configure(self, values: Mapping[str, Any]) -> None:
        if self._settings.problem:
            raise SegRosError(self._settings.problem)
        try:
            pipeline, note = _load(values, self._report_build)
        finally:
            self._building = ""
        self._vehicle = Vehicle(self, values)
        self._camera = load_camera(values["camera_file"]) if values["camera_file"] else None
        self._apply(pipeline, values)
        self._outputs = FramePublishers({t: self._publisher(t) for t in topics.FRAME_OUTPUTS})
        self._attention_publisher = self._publisher(topics.ATTENTION)
        try:
            self._label_publisher = self._publisher(topics.LABEL_INFO)
        except ImportError:
            self.get_logger().info(
                f"vision_msgs is not installed: no {topics.LABEL_INFO.name} (everything else works)"
            )
        color_library()  # finding out is not for the first frame
        self._pipeline, self._loaded = pipeline, values
        self.get_logger().info(note)

    def _report_build(self, what: str, share: float) -> None:
        """Say in log and diagnostics how far an engine's build is; the executor waits for it."""
        if self._build_log.due(what):
            self._building = f"engine: {self._build_log.line(what, share)}"
            self.get_logger().info(self._building)
            self._publish_diagnostics()

    def _report_reload(self, what: str, share: float) -> None:
        """Say the same from the background; the diagnostics' timer runs meanwhile."""
        if self._build_log.due(what):
            self._reload_note = f"engine: {self._build_log.line(what, share)}"
            self.get_logger().info(self._reload_note)

    def _publisher(self, topic: Topic) -> Any:
        message_type = message_class(topic.message_type)
        with self._refusal_named("publish", topic):
            publisher = self.create_lifecycle_publisher(
                message_type, topic.name, topic.qos_profile()
            )
        self._made_publishers.append(publisher)
        return publisher

    @contextmanager
    def _refusal_named(self, what: str, topic: Topic) -> Iterator[None]:
        """Say of which topic it is that the middleware will have nothing; it does not."""
        try:
            yield
        except RCLError as error:
            raise SegRosError(
                f"the middleware refuses to {what} {self._full_name(topic)} "
                f"({' '.join(str(error).split())}); in a secured system the enclave's permissions "
                "must allow it, see docs/security.md"
            ) from error

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start to work."""
        result = super().on_activate(state)
        try:
            self._start_work()
        except SegRosError as error:
            self.get_logger().error(f"cannot activate: {error}")
            self._stop_work()
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # rclpy would hide what it was
            self.get_logger().error(f"cannot activate: {type(error).__name__}: {error}")
            return TransitionCallbackReturn.ERROR
        self.get_logger().info(f"active, listening on {self._image_topic()}")
        return result

    def _start_work(self) -> None:
        assert self._pipeline is not None
        self._publish_labels(self._pipeline)
        self._attention = attention = LiveAttention(
            self._attention_publisher,
            # What is loaded, not what a reload would load.
            lambda: {**self._settings.values, **{name: self._loaded[name] for name in RELOADED}},
            self.statistics,
            self.get_logger(),
        )

        def handle(item: _Item) -> None:
            self._handle(item)
            attention.submit(item[0])  # the mask first: both want all cores

        self._worker = LatestWorker(handle, lambda _: self.statistics.count("dropped"))
        self._last_sequence = 0
        # Before the image: of two messages that wait, the one subscribed to first is taken first.
        if not self._settings.values["camera_file"]:
            self._subscribe(topics.CAMERA_INFO, self._on_camera_info)
        assert self._vehicle is not None
        for topic, callback in self._vehicle.subscriptions().items():
            self._subscribe(topic, callback)
        self._subscribe(self._image_input(), _with_info(self._on_image))

    def _publish_labels(self, pipeline: Pipeline) -> None:
        if self._label_publisher is not None:
            header = ros_messages().header(self.get_clock().now().nanoseconds, "")
            self._label_publisher.publish(label_info(header, pipeline.segmenter.labels))

    def _image_input(self) -> Topic:
        compressed = self._settings.values["image_transport"] == "compressed"
        return topics.IMAGE_COMPRESSED if compressed else topics.IMAGE

    def _image_topic(self) -> str:
        return self._full_name(self._image_input())

    def _subscribe(self, topic: Topic, callback: Any) -> None:
        message_type = message_class(topic.message_type)
        with self._refusal_named("subscribe to", topic):
            self._frame_subscriptions.append(
                self.create_subscription(message_type, topic.name, callback, topic.qos_profile())
            )

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, finish the frame in hand."""
        self._stop_work()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give engine and publishers back."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back."""
        self._stop_work()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After an unexpected error in a transition: back to unconfigured, ready to try again."""
        self.get_logger().error("a transition failed; configure the node again")
        self._stop_work()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def _stop_work(self) -> None:
        for subscription in self._frame_subscriptions:
            self.destroy_subscription(subscription)
        self._frame_subscriptions.clear()
        if self._worker is not None:
            self._worker.stop()
            self._worker = self._latest_image = None
            assert self._attention is not None
            self._attention.stop()
            self._attention = None
            counts = self.statistics.snapshot().counts
            summary = ", ".join(f"{name} {n}" for name, n in counts.items())
            self.get_logger().info(summary)

    def _release(self) -> None:
        for publisher in self._made_publishers:
            self.destroy_lifecycle_publisher(publisher)
        self._made_publishers.clear()
        self._outputs = FramePublishers({})
        self._attention_publisher = self._label_publisher = None
        self._pipeline = None
        if self._vehicle is not None:
            self._vehicle.close()
            self._vehicle = None
        self._camera = None
        self._info_problem = self._grid_problem = self._reload_note = ""

    def close(self) -> None:
        """Stop working before the process ends."""
        self._time_jumps.close()
        self._background.close()
        self._stop_work()
        self._release()

    # Services: coroutines, so that frames and other calls go on meanwhile

    def _serve(self, service: Service, work: Callable[[], Coroutine[Any, Any, str]]) -> None:
        """Offer a service; its answer is what the work returns, or why it could not be done."""

        async def answer(_: Any, response: Any) -> Any:
            try:
                response.message, response.success = await work(), True
            except SegRosError as error:
                response.message = str(error)
            except Exception as error:  # the node lives on
                response.message = f"unexpected {type(error).__name__}: {error}"
            line = f"{service.name}: {response.message}"
            if response.success:  # rclpy wants one severity for each line of code that logs
                self.get_logger().info(line)
            else:
                self.get_logger().error(line)
            return response

        # A group of its own, or nothing else would be called until it has answered.
        group = MutuallyExclusiveCallbackGroup()
        service_type = message_class(service.service_type)
        self.create_service(service_type, service.name, answer, callback_group=group)

    async def _reload(self) -> str:
        """Load the model that the parameters name now, then put it in between two frames."""
        old, values = self._pipeline, self._settings.values
        if old is None:
            raise SegRosError("the node is not configured; configuring it loads the model")
        self._reload_note = f"loading {values['model']}"
        try:
            pipeline, note = await self._background.run(partial(_load, values, self._report_reload))
            if self._pipeline is not old:
                raise SegRosError("the node was cleaned up meanwhile; nothing was changed")
            swap = partial(self._swap, pipeline, values)
            if self._worker is None:
                swap()
            else:
                await self._background.until(self._worker.between(swap))
        except Exception as error:
            if self._pipeline is old:
                self._reload_note = f"failed, {old.segmenter.model_name} goes on: {error}"
            raise
        self._reload_note = ""
        return note

    def _swap(self, pipeline: Pipeline, values: Mapping[str, Any]) -> None:
        self._publish_labels(pipeline)  # before the first mask they belong to
        with self._applying:
            self._apply(pipeline, self._settings.values)
            self._pipeline, self._loaded = pipeline, values
        self.statistics.engine_changed()

    async def _snapshot(self) -> str:
        """Make everything of the last frame and write it to a folder."""
        if self._worker is None:
            raise SegRosError("the node is not active, so there is no frame; activate it")
        if self._latest_image is None:
            raise SegRosError(
                f"no image has come on {self._image_topic()} yet; see 'No image appears' in "
                "docs/troubleshooting.md"
            )
        self._publish_diagnostics()  # as they are now
        snapshot = await self._background.until(self._worker.between(self._take_snapshot))
        root = self._settings.values["snapshot_folder"]
        folder = Path(root) if root else default_folder()
        return str(await self._background.run(partial(write_snapshot, folder, snapshot)))

    def _take_snapshot(self) -> Snapshot:
        """Do the last frame again, between two others; what is published is left alone."""
        message, pipeline, values = self._latest_image, self._pipeline, self._settings.values
        assert pipeline is not None
        frame, stamp = decode_message(message), stamp_ns(message.header.stamp)
        camera, _ = self._camera_and_pose(frame, message.header)
        done = Processed(engine_ns=0)
        try:
            done = pipeline.process(frame, WANTED, camera, stamp_ns=stamp)
            problem = done.grid_problem or ("" if camera else self._grid_problem)
        except SegRosError as error:  # the frame is worth having all the same
            problem = str(error)
        names = ("encoding", "step", "is_bigendian", "format")
        return Snapshot(
            self.get_fully_qualified_name(),
            stamp,
            message.header.frame_id,
            frame,
            {name: getattr(message, name) for name in names if hasattr(message, name)},
            done,
            problem,
            camera or self._camera,
            pipeline.segmenter,
            {**values, "use_sim_time": self.get_parameter("use_sim_time").value},
            Diagnosis.plain(self._last_diagnostics) if self._last_diagnostics else {},
            {
                "ros": os.environ.get("ROS_DISTRO", "from wheels"),
                "rmw": get_rmw_implementation_identifier(),
                "colours": color_library(),
            },
        )

    # Frames: received on the executor's thread, handled on the worker's

    def _on_image(self, message: Any, info: Mapping[str, Any]) -> None:
        received = time.monotonic_ns()
        arrived = info.get("received_timestamp")
        if arrived:  # count the time it lay in the middleware, too
            received -= min(max(time.time_ns() - arrived, 0), 1_000_000_000)
        self.statistics.count("received")
        self._count_lost(info.get("publication_sequence_number"))
        if self._worker is not None:
            self._worker.submit((message, received))

    def _count_lost(self, sequence: int | None) -> None:
        """Count the publisher's messages that never came here: its numbers have gaps."""
        if sequence is None:  # before Jazzy
            return
        # Two publishers count apart and a message does not say whose it is.
        if (
            self._image_publishers == 1
            and self._last_sequence
            and sequence > self._last_sequence + 1
        ):
            self.statistics.count("lost", sequence - self._last_sequence - 1)
        self._last_sequence = sequence

    def _on_camera_info(self, message: Any) -> None:
        try:
            camera = CameraModel.from_camera_info(message, mounting(self._settings.values))
        except SegRosError as error:
            self._info_problem = f"{self._full_name(topics.CAMERA_INFO)}: {error}"
            self.statistics.count("camera_info_rejected")
            self.get_logger().error(self._info_problem, throttle_duration_sec=_QUIET)
            return
        if self._camera is None and self._settings.mounting_assumed:
            self.get_logger().warning(
                f"camera mounting is assumed: {camera.mounting.z} m above ground, pitch "
                f"{camera.mounting.pitch} rad; set camera_z, camera_pitch and the other camera_* "
                "parameters before anything drives by the grid"
            )
        self._info_problem = ""
        self._camera = camera

    def _full_name(self, topic: Topic) -> str:
        return str(self.resolve_topic_name(topic.name))

    def _handle(self, item: _Item) -> None:
        """Work on one frame. Whatever happens, the thread goes on with the next."""
        message, received = item
        pipeline, values = (
            self._pipeline,
            self._settings.values,
        )  # as of now, whatever is set meanwhile
        if pipeline is None:
            return
        self._latest_image = message
        self._time_jumps.frame(stamp_ns(message.header.stamp))
        listening = self._outputs.listening(values)
        if not listening:
            self.statistics.count("unwanted")
            return
        try:
            frame = decode_message(message)
        except SegRosError as error:
            self._report("rejected", f"image {stamp_ns(message.header.stamp)}: {error}")
            return
        try:
            wanted = Output.NONE
            for topic in listening:
                wanted |= topic.output
            camera, pose = None, None
            if wanted & (Output.GRID | Output.CONTACTS):
                camera, pose = self._camera_and_pose(frame, message.header)
            stamp = stamp_ns(message.header.stamp)
            done = pipeline.process(frame, wanted, camera, self._outputs.allocate, pose, stamp)
            if done.grid_problem:
                self._no_grid(done.grid_problem)
            if not self._outputs.publish(message.header, listening, done, values):
                raise SegRosError(self._grid_problem)
        except SegRosError as error:
            self._report("failed", f"image {stamp_ns(message.header.stamp)}: {error}")
        except Exception as error:  # the node lives on
            self._report("failed", f"unexpected {type(error).__name__}: {error}")
        else:
            self.statistics.published(
                stamp_ns(message.header.stamp), time.monotonic_ns() - received, done.engine_ns
            )

    def _camera_and_pose(
        self, frame: NDArray[np.uint8], header: Any
    ) -> tuple[CameraModel | None, Pose | None]:
        """Return what the grid needs at the frame's stamp, or no camera and say why."""
        camera, vehicle = self._camera, self._vehicle
        assert vehicle is not None
        if camera is None:
            self._no_grid(
                f"no camera_info on {self._full_name(topics.CAMERA_INFO)}; "
                "publish it or set camera_file"
            )
            return None, None
        try:
            fitted = camera.fitted(frame.shape[1], frame.shape[0])
            stamp = stamp_ns(header.stamp)
            fitted = vehicle.camera_at(fitted, header.frame_id, stamp)
            pose = vehicle.pose_at(stamp)
        except SegRosError as error:
            self._no_grid(str(error))
            return None, None
        self._grid_problem = ""
        return fitted, pose

    def _no_grid(self, reason: str) -> None:
        self._grid_problem = f"no grid: {reason}"
        self.get_logger().error(self._grid_problem, throttle_duration_sec=_QUIET)

    def _report(self, outcome: str, message: str) -> None:
        self.statistics.error(outcome, message)
        self.get_logger().error(f"{outcome}: {message}", throttle_duration_sec=_QUIET)

    def _on_time_jump(self, what: str) -> None:
        """Forget what is keyed by stamps of another run; a fused grid notices by itself."""
        self.statistics.time_jumped()
        if self._vehicle is not None:
            self._vehicle.time_jumped()
        self.get_logger().warning(f"{what}: transforms and the fused grid start anew")

    # Diagnostics

    def _listened_to(self) -> list[str]:
        names = [topic.name for topic in self._outputs.listening(self._settings.values)]
        if self._attention is not None and self._attention.wanted:
            names.append(topics.ATTENTION.name)
        return names

    def _published_elsewhere(self) -> str:
        """Name the image topic of the other transport where somebody publishes it."""
        (other,) = (topic for topic in topics.IMAGES if topic != self._image_input())
        name = self._full_name(other)
        return name if self.count_publishers(name) else ""

    def _publish_diagnostics(self) -> None:
        info = self._pipeline.segmenter if self._pipeline else None
        self._image_publishers = self.count_publishers(self._image_topic())
        self._last_diagnostics = self._diagnosis.message(
            now_ns=self.get_clock().now().nanoseconds,
            snapshot=self.statistics.snapshot(),
            segmenter=info,
            active=self._worker is not None,
            image_topic=self._image_topic(),
            image_publishers=self._image_publishers,
            listened=self._listened_to(),
            camera_problem=self._info_problem or self._grid_problem,
            mounting_assumed=self._settings.mounting_assumed,
            refused=self._settings.refused,
            reload=self._reload_note or self._reload_needed(),
            building=self._building,
            elsewhere=self._published_elsewhere(),
        )
        self._diagnostics.publish(self._last_diagnostics)
        if self._diagnosis.waiting != self._waiting:
            self._waiting = self._diagnosis.waiting
            if self._waiting:
                self.get_logger().warning(self._waiting)
            else:
                self.get_logger().info("no longer waiting for images")


def _load(values: Mapping[str, Any], report: Callable[[str, float], None]) -> tuple[Pipeline, str]:
    """Load and warm what the parameters name; return it and what to say about it."""
    start = time.monotonic()
    segmenter = Segmenter.load(
        values["model"],
        values["labels"],
        values["runtime"],
        values["cpu_threads"],
        precision=values["precision"],
        input_size=parse_size(values["input_size"]),
        mask_size=parse_size(values["mask_size"]),
        build_if_missing=values["build_if_missing"],
        report=report,
    )
    pipeline = Pipeline(segmenter)
    pipeline.warm_up()
    pipeline.fusion = FusedGrid() if values["grid_fusion"] else None
    info = segmenter.engine_info
    verified = f"; verified: {segmenter.verification}" if segmenter.verification else ""
    return pipeline, (
        f"model {segmenter.model_name} on {info.runtime} {info.precision}, {info.device}, "
        f"ready in {time.monotonic() - start:.1f} s{verified}"
    )


def _with_info(callback: Callable[[Any, Mapping[str, Any]], None]) -> Callable[..., None]:
    """Return a callback of a message and its info as this rclpy takes it."""
    if hasattr(Subscription, "CallbackType"):
        return callback
    return lambda message: callback(message, {})  # Humble hands over the message alone


def _stop(*_: Any) -> None:
    """End the node's work, once: a launch file and a terminal may both pass a Ctrl-C on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # for whom it takes too long
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        "segmentation_node",
        description="Segment a camera's images; parameters and topics are in the README.",
        usage="segmentation_node [--ros-args ...]",
    )
    use_shared_memory()
    try:
        # rclpy's own handlers take the middleware away while the worker still publishes with it.
        rclpy.init(args=given, signal_handler_options=SignalHandlerOptions.NO)
        parser.parse_args(remove_ros_args(["", *given])[1:])
    except (RCLError, UnknownROSArgsError) as error:
        parser.error(" ".join(str(error).split()))
    # SIGINT too: Python leaves it ignored in what a shell starts in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    node = None
    try:
        node = SegmentationNode()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if node.get_parameter("autostart").value:
            configured = node.trigger_configure()
            if configured == TransitionCallbackReturn.SUCCESS:
                node.trigger_activate()
        else:
            node.get_logger().info("unconfigured: waits for 'configure' and 'activate'")
        while rclpy.ok():
            executor.spin_once(timeout_sec=_SIGNAL_SECONDS)
    except KeyboardInterrupt:
        pass
    except RCLError as error:
        if node is not None:
            raise
        # Security is asked for and the middleware has none, or the like.
        print(f"segmentation_node: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    finally:
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
