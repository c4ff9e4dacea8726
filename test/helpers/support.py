"""Bags the tests write, and a node in a process of its own with a client to talk to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rosbags.rosbag2 import StoragePlugin, Writer

from seg_ros.drive.images import encode_jpeg
from seg_ros.drive.messages import bag_messages, typestore
from seg_ros.engines.store import EngineStore
from seg_ros.ground.camera import CameraModel
from seg_ros.results import topics
from seg_ros.support.share import share_file

TIMEOUT = 60.0
HUMBLE = os.environ.get("ROS_DISTRO") == "humble"


def write_bag(
    path: Path,
    frames: Sequence[tuple[int, np.ndarray]],
    *,
    camera: CameraModel | None = None,
    compressed: bool = False,
    sqlite: bool = False,
    topic: str = "/camera/image_raw",
    log_ns: Sequence[int] = (),
    qos: Sequence[Any] = (),
) -> Path:
    """Write a rosbag2 of (stamp in ns, BGR image) frames, with CameraInfo if a camera is given."""
    messages = bag_messages()
    image_type = "sensor_msgs/msg/CompressedImage" if compressed else "sensor_msgs/msg/Image"
    plugin = StoragePlugin.SQLITE3 if sqlite else StoragePlugin.MCAP
    with Writer(path, version=8, storage_plugin=plugin) as writer:
        images = writer.add_connection(
            topic + ("/compressed" if compressed else ""),
            image_type,
            typestore=typestore(),
            offered_qos_profiles=qos,
        )
        infos = camera and writer.add_connection(
            topic.rpartition("/")[0] + "/camera_info",
            "sensor_msgs/msg/CameraInfo",
            typestore=typestore(),
        )
        for index, (stamp, image) in enumerate(frames):
            header = messages.header(stamp, "camera")
            if infos:
                info = messages.camera_info(header, camera)
                writer.write(infos, stamp, typestore().serialize_cdr(info, infos.msgtype))
            message = (
                messages.jpeg(header, encode_jpeg(image, 95))
                if compressed
                else messages.image(header, image)
            )
            logged = log_ns[index] if log_ns else stamp
            writer.write(images, logged, typestore().serialize_cdr(message, image_type))
    return path


def shipped(name: str) -> Any:
    """Return what a YAML file in config/ says."""
    return yaml.safe_load(share_file(f"config/{name}").read_text(encoding="utf-8"))


def wait_until(condition: Callable[[], Any], what: str, timeout: float = TIMEOUT) -> Any:
    """Return the first true value of a condition; fail saying what never came."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {timeout:.0f} s for {what}"
        time.sleep(0.02)
    return value


class NodeProcess:
    """The segmentation node in a process of its own."""

    def __init__(
        self,
        log: Path,
        parameters: dict[str, Any],
        *ros_arguments: str,
        program: Sequence[str] = ("-m", "seg_ros.ros.start"),
    ) -> None:
        self.log = log
        arguments = [a for k, v in parameters.items() for a in ("-p", f"{k}:={v}")]
        arguments += ros_arguments
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *program, "--ros-args", *arguments],
                stdout=output,
                stderr=output,
            )

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        def there() -> bool:
            assert self.process.poll() is None, f"the node ended: {self.said()}"
            return text in self.said()

        wait_until(there, f"the node to say {text!r}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(TIMEOUT)

    def end(self) -> None:
        """Stop it whatever it does; killed outright, it would leave its shared memory behind."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running_node(log: Path, *ros_arguments: str, **parameters: Any) -> Iterator[NodeProcess]:
    """Run the node; unless told otherwise it is active when the block begins."""
    node = NodeProcess(log, parameters, *ros_arguments)
    try:
        if parameters.get("autostart", True) is True:
            node.wait_for("listening on")
        yield node
    finally:
        node.end()


class Client:
    """A ROS node in this process: publishes frames, collects what comes back, calls services."""

    def __init__(self, *ros_arguments: str) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self._context = rclpy.Context()
        rclpy.init(args=["--ros-args", *ros_arguments], context=self._context)
        self.node = rclpy.create_node(f"client_{os.getpid()}", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.messages: dict[str, list[Any]] = defaultdict(list)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        self.listen(topics.DIAGNOSTICS)

    def _spin(self) -> None:
        from rclpy.executors import ExternalShutdownException

        with suppress(ExternalShutdownException):
            self._executor.spin()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        self._context.try_shutdown()

    def listen(self, *topics: Any) -> None:
        """Subscribe to topics of seg_ros.results.topics."""
        from rclpy.qos import QoSProfile

        from seg_ros.ros.messages import message_class

        for topic in topics:
            offered = topic.qos_profile()
            qos = QoSProfile(
                depth=100, durability=offered.durability, reliability=offered.reliability
            )
            self.node.create_subscription(
                message_class(topic.message_type),
                topic.name,
                self.messages[topic.name].append,
                qos,
            )

    def publisher(self, topic: Any) -> Any:
        """Make a publisher for an input of the node; listen to what it publishes before.

        Returns when both sides know each other, and the node who listens: what is announced
        arrives in order, so who answers a new client has heard of all that was there before it.
        """
        from rclpy.qos import QoSProfile

        from seg_ros.ros.messages import message_class

        publisher = self.node.create_publisher(
            message_class(topic.message_type), topic.name, QoSProfile(depth=100)
        )
        wait_until(publisher.get_subscription_count, f"a subscriber of {topic.name}")
        self.state()
        return publisher

    def settle(self) -> None:
        """Wait until the node has taken what was sent.

        Who answers has heard of all that was there before; then it has a second, from one of its
        diagnostics to the next, for what takes it well under a millisecond.
        """
        self.state()
        got = self.messages[topics.DIAGNOSTICS.name]
        before = len(got)
        wait_until(lambda: len(got) >= before + 2, "two more diagnostics")

    def wait_for(self, topic: Any, count: int = 1) -> list[Any]:
        """Return the messages of a topic as soon as there are this many."""
        got = self.messages[topic.name]
        wait_until(lambda: len(got) >= count, f"{count} messages on {topic.name}")
        return got

    def call(self, service_type: Any, name: str, request: Any, repeat: float = 0) -> Any:
        """Call a service; ask again every ``repeat`` seconds where that does no harm."""
        client = self.node.create_client(service_type, name)
        try:
            assert client.wait_for_service(TIMEOUT), f"no service {name}"
            asked = [(time.monotonic(), client.call_async(request))]

            def answered() -> Any:
                # A node that was killed is still known for a while and takes the first request.
                if repeat and time.monotonic() - asked[-1][0] > repeat:
                    asked.append((time.monotonic(), client.call_async(request)))
                return next((future for _, future in asked if future.done()), None)

            return wait_until(answered, f"an answer of {name}").result()
        finally:
            self.node.destroy_client(client)

    def set_parameter(self, name: str, value: Any) -> Any:
        """Set a parameter of the node; return the SetParametersResult."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]
        )
        answer = self.call(SetParameters, "/segmentation_node/set_parameters", request)
        return answer.results[0]

    def transition(self, name: str) -> bool:
        """Ask for a lifecycle transition by its label."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        ids = {
            "configure": Transition.TRANSITION_CONFIGURE,
            "activate": Transition.TRANSITION_ACTIVATE,
            "deactivate": Transition.TRANSITION_DEACTIVATE,
            "cleanup": Transition.TRANSITION_CLEANUP,
        }
        request = ChangeState.Request(transition=Transition(id=ids[name]))
        return self.call(ChangeState, "/segmentation_node/change_state", request).success

    def state(self) -> str:
        from lifecycle_msgs.srv import GetState

        request = GetState.Request()
        answer = self.call(GetState, "/segmentation_node/get_state", request, repeat=5)
        return answer.current_state.label

    def diagnosis(
        self, until: Callable[[dict[str, str]], Any], node: str = "segmentation_node"
    ) -> tuple[Any, dict[str, str]]:
        """Return the first diagnostics status for whose values the condition holds."""
        got = self.messages[topics.DIAGNOSTICS.name]

        def find() -> Any:
            for message in list(got):
                for status in message.status:
                    values = {pair.key: pair.value for pair in status.values}
                    if status.name == f"{node}: segmentation" and until(values):
                        return status, values
            return None

        return wait_until(find, "diagnostics that show it")


def hold_store(folder, network, held, release):
    with EngineStore(folder).lock(network):
        held.set()
        release.wait(30)
