"""The lifecycle node: camera in; class mask, overlay, driveable grid and diagnostics out.

Lifecycle and wiring only. What becomes of a message is in :mod:`seg_ros.ros.frames`, where a frame
was taken from in :mod:`seg_ros.ros.viewpoint`, the model in use in :mod:`seg_ros.ros.live_model`,
the services in :mod:`seg_ros.ros.serving` and the diagnostics in :mod:`seg_ros.ros.health`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from lifecycle_msgs.msg import Transition
from rcl_interfaces.msg import SetParametersResult
from rclpy._rclpy_pybind11 import RCLError  # type: ignore[import-not-found]
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from seg_ros.drive.colors import color_library
from seg_ros.errors import SegRosError
from seg_ros.results import topics
from seg_ros.results.parameters import RELOADED
from seg_ros.results.topics import Topic
from seg_ros.ros.background import Background
from seg_ros.ros.frames import Frames
from seg_ros.ros.health import Health
from seg_ros.ros.listening import Listener
from seg_ros.ros.live_model import LiveModel
from seg_ros.ros.messages import QUIET, message_class
from seg_ros.ros.parts import Parts
from seg_ros.ros.publishing import FramePublishers
from seg_ros.ros.serving import Serving
from seg_ros.ros.settings import Settings
from seg_ros.ros.time_jumps import TimeJumps
from seg_ros.ros.viewpoint import Viewpoint
from seg_ros.support.statistics import FrameStatistics

_TRANSITIONS = {
    Transition.TRANSITION_CONFIGURE: "configure",
    Transition.TRANSITION_CLEANUP: "cleanup",
    Transition.TRANSITION_ACTIVATE: "activate",
    Transition.TRANSITION_DEACTIVATE: "deactivate",
}


class SegmentationNode(LifecycleNode):
    """See docs/node.md for its topics, parameters and states."""

    def __init__(self, **options: Any) -> None:
        super().__init__("segmentation_node", **options)
        self._parts = Parts(Settings(self), FrameStatistics(), LiveModel(), Background(self))
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._all_ended = True
        self._made_publishers: list[Any] = []
        self._time_jumps = TimeJumps(self.get_clock(), self._on_time_jump)
        self._health = Health(self, self._parts)
        self._serving = Serving(self, self._parts, self._health)

    def share_with(self, others: Sequence[SegmentationNode]) -> None:
        """Know the other nodes of this process, whose engine this one may share."""
        self._serving.share_with([other._serving for other in others])

    def _on_set_parameters(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        changes = {p.name: p.value for p in parameters}
        settings, model = self._parts.settings, self._parts.model
        reason = ""
        if "grid_min_confidence" in changes:
            reason = model.refusal({**settings.values, **changes})
        reason = reason or settings.change(changes, configured=model.pipeline is not None)
        if reason:
            return SetParametersResult(successful=False, reason=reason)
        model.apply(settings.values)
        if self._parts.viewpoint is not None:
            self._parts.viewpoint.mount(settings.values)
        if not changes.keys().isdisjoint(RELOADED):
            needed = model.reload_needed(settings.values)
            if needed:
                self.get_logger().info(needed)  # rclpy gives no reason with a success
        return SetParametersResult(successful=True)

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
            self._configure(self._parts.settings.values)
        except SegRosError as error:
            self.get_logger().error(f"cannot configure: {error}")
            self._release()
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # rclpy would hide what it was
            self.get_logger().error(f"cannot configure: {type(error).__name__}: {error}")
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _configure(self, values: Mapping[str, Any]) -> None:
        parts = self._parts
        if parts.settings.problem:
            raise SegRosError(parts.settings.problem)
        try:
            pipeline, note = parts.model.load(values, self._report_build)
        finally:
            parts.model.building = ""
        parts.viewpoint = Viewpoint(self, parts.settings, parts.statistics)
        outputs = {topic: self._publisher(topic) for topic in topics.FRAME_OUTPUTS}
        attention, label_info = self._publisher(topics.ATTENTION), None
        try:
            label_info = self._publisher(topics.LABEL_INFO)
        except ImportError:
            self.get_logger().info(
                f"vision_msgs is not installed: no {topics.LABEL_INFO.name} (everything else works)"
            )
        parts.outputs = FramePublishers(outputs, attention, label_info)
        color_library()  # finding out is not for the first frame
        parts.model.use(pipeline, values, parts.settings.values)
        self.get_logger().info(note)

    def _report_build(self, line: str) -> None:
        """Say in log and diagnostics how far an engine's build is; the executor waits for it."""
        self._parts.model.building = line
        self.get_logger().info(line)
        self._health.publish()

    def _publisher(self, topic: Topic) -> Any:
        message_type = message_class(topic.message_type)
        with self._refusal_named("publish", topic):
            publisher = self.create_lifecycle_publisher(
                message_type, topic.name, topic.qos_profile()
            )
        self._made_publishers.append(publisher)
        return publisher

    def _subscribe(
        self, listener: Listener, topic: Topic, callback: Any, serialized: bool = False
    ) -> None:
        try:
            message_type = message_class(topic.message_type)
        except ImportError as error:
            package = topic.message_type.partition("/")[0]
            raise SegRosError(
                f"{self.resolve_topic_name(topic.name)} needs {topic.message_type}, which is not "
                f"installed; install ros-<distro>-{package.replace('_', '-')} or use another "
                "image_transport"
            ) from error
        with self._refusal_named("subscribe to", topic):
            listener.subscribe(message_type, topic.name, callback, topic.qos_profile(), serialized)

    @contextmanager
    def _refusal_named(self, what: str, topic: Topic) -> Iterator[None]:
        """Say of which topic it is that the middleware will have nothing; it does not."""
        try:
            yield
        except RCLError as error:
            raise SegRosError(
                f"the middleware refuses to {what} {self.resolve_topic_name(topic.name)} "
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
        self.get_logger().info(f"active, listening on {self._health.image_topic}")
        return result

    def _start_work(self) -> None:
        parts = self._parts
        assert parts.model.pipeline is not None
        assert parts.viewpoint is not None
        if parts.given_up:  # it may come back at any time, into the middle of another frame
            raise SegRosError(
                "a thread that was given up has not come back; clean up and configure anew"
            )
        now_ns = self.get_clock().now().nanoseconds
        parts.outputs.announce(parts.model.pipeline.segmenter.labels, now_ns)
        parts.frames = Frames(
            parts.settings,
            parts.statistics,
            parts.model,
            parts.viewpoint,
            parts.outputs,
            partial(self.count_publishers, self._health.image_topic),
            self._time_jumps.frame,
            self.get_logger(),
        )
        listener = parts.listener = Listener(self, self.callback_failed)
        # Before the image: of two messages that wait, the one subscribed to first is taken first.
        for topic, callback in parts.viewpoint.subscriptions().items():
            self._subscribe(listener, topic, _message_alone(callback))
        image = topics.TRANSPORTS[parts.settings.values["image_transport"]]
        if image is topics.IMAGE:
            self._subscribe(listener, image, parts.frames.on_serialized_image, serialized=True)
        else:
            self._subscribe(listener, image, parts.frames.on_image)
        listener.start()

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
        if self._parts.listener is not None:
            self._parts.listener.stop()
            self._parts.listener = None
        if self._parts.frames is not None:
            ended = self._parts.frames.stop(self._parts.settings.values["stall_timeout"])
            if not ended:
                self._parts.given_up, self._all_ended = True, False
            self._parts.frames = None
            counts = self._parts.statistics.snapshot().counts
            summary = ", ".join(f"{name} {n}" for name, n in counts.items())
            self.get_logger().info(summary)

    def _release(self) -> None:
        for publisher in self._made_publishers:
            self.destroy_lifecycle_publisher(publisher)
        self._made_publishers.clear()
        self._parts.outputs = FramePublishers()
        self._parts.model.release()
        self._parts.given_up = False
        if self._parts.viewpoint is not None:
            self._parts.viewpoint.close()
            self._parts.viewpoint = None

    def close(self) -> bool:
        """Stop working before the process ends; say whether all threads have ended."""
        self._time_jumps.close()
        ended = self._parts.background.close(self._parts.settings.values["stall_timeout"])
        self._stop_work()
        self._release()
        return ended and self._all_ended

    def callback_failed(self, error: Exception) -> None:
        """Say of a message or a timer that its callback raised what nobody expected."""
        what = f"a callback failed: unexpected {type(error).__name__}: {error}"
        self._parts.statistics.error("messages_failed", what)
        self.get_logger().error(what, throttle_duration_sec=QUIET)

    def _on_time_jump(self, what: str) -> None:
        """Forget what is keyed by stamps of another run; a fused grid notices by itself."""
        self._parts.statistics.time_jumped()
        if self._parts.viewpoint is not None:
            self._parts.viewpoint.time_jumped()
        self.get_logger().warning(
            f"{what}: transforms and the fused grid start anew", throttle_duration_sec=QUIET
        )


def _message_alone(callback: Callable[[Any], None]) -> Callable[[Any, Mapping[str, Any]], None]:
    """Return a callback of a message and its info that hands the message on."""
    return lambda message, _: callback(message)
