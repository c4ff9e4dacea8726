"""Play a bag into the segmentation node, in the bag's own time; docs/launch.md says more."""

import sys
import time
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit, OnProcessStart
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.ros_adapters import get_ros_node
from lifecycle_msgs.msg import Transition

from seg_ros.errors import SegRosError
from seg_ros.results import topics
from seg_ros.ros.launching import (
    REPLAY_ARGUMENTS,
    SEGMENTATION_ARGUMENTS,
    check_command_line,
    node_setups,
)
from seg_ros.ros.recording import RECORDED, Recording, info_beside, open_recording
from seg_ros.support.share import share_file

DISCOVERY_SECONDS = 4.0
"""To find a node that runs already; where discovery keeps to this machine, it took up to 2.7 s."""

LISTEN_SECONDS = 60.0
"""For the recorder and RViz to subscribe; the first frame waits for them."""

RECORDER = "rosbag2_recorder"
"""The node of 'ros2 bag record'."""

POLL_SECONDS = 0.2

MATCH_SECONDS = 1.0
"""Between a subscription that is seen here and the publisher's knowing it."""

SETTLE_SECONDS = 3.0
"""For what is still under way when the bag has ended."""


@dataclass(frozen=True)
class Wanted:
    """What must be there before the first frame is played."""

    nodes: list[str]
    """Full names of the nodes that are to have found the player."""
    shown: set[str] = field(default_factory=set)
    """Full names of the topics that RViz is to have subscribed to."""
    recorded: set[str] = field(default_factory=set)
    """Those of the recorder."""


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments and, once they are known to be good, node, recorder and player."""
    node = share_file("launch/segmentation.launch.py")
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(a.name, default_value=a.default, description=a.text)
                for a in REPLAY_ARGUMENTS
            ),
            OpaqueFunction(function=_prepare),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(node))),
        ]
    )


def _prepare(context: LaunchContext) -> list[Any]:
    """Check everything before anything starts; find the bag's camera where none is named."""
    every = (*REPLAY_ARGUMENTS, *SEGMENTATION_ARGUMENTS)
    check_command_line(sys.argv, Path(__file__).name, every)
    given = {a.name: a.read(LaunchConfiguration(a.name).perform(context)) for a in REPLAY_ARGUMENTS}
    if not find_spec("ros2bag"):
        raise SegRosError(
            "there is no 'ros2 bag' here: source the setup.bash of ROS 2, or sudo apt install "
            "ros-$ROS_DISTRO-ros2bag ros-$ROS_DISTRO-rosbag2-storage-mcap"
        )
    bag = open_recording(given["bag"])
    chosen = context.launch_configurations
    if chosen.get("cameras") and given["image"]:
        camera = {"camera_info": info_beside(given["image"])}
    else:
        camera = bag.camera_arguments(given["image"], given["image_transport"])
    for name, value in camera.items():
        chosen[name] = chosen[name] or value
    setups = node_setups(
        {a.name: chosen.get(a.name, a.default) for a in SEGMENTATION_ARGUMENTS},
        chosen.get("ros_namespace", ""),
    )
    for setup in setups:  # that each is in the bag
        bag.camera_arguments(setup.resolve(topics.IMAGE.name), setup.values["image_transport"])
    player = _bag("player", "play", str(bag.path), *_play_options(given, bag))
    wanted = Wanted(nodes=[s.full_name for s in setups])
    if given["rviz"] == "true":
        wanted.shown.update(s.resolve(topics.OVERLAY.name) for s in setups)
    recorder = []
    if given["record"]:
        out = Path(given["record"]).expanduser()
        if out.exists():
            raise SegRosError(f"record:={out} exists; choose a new folder")
        if not out.parent.is_dir():
            raise SegRosError(f"record:={out}: there is no folder {out.parent} to put it in")
        results = dict.fromkeys(s.resolve(topic.name) for s in setups for topic in RECORDED)
        options = ["--storage", "mcap", "--use-sim-time", "-o", str(out)]
        recorder = [_bag("recorder", "record", *options, *results)]
        # Without vision_msgs there are no labels to wait for.
        wanted.recorded.update(t for t in results if not t.endswith(topics.LABEL_INFO.name))
    _refuse_running(context, wanted.nodes)  # last: it takes seconds
    return [*_bring_up(player, wanted), *recorder]


def _refuse_running(context: LaunchContext, nodes: list[str]) -> None:
    """Refuse to take a node of the same name, a vehicle's perhaps, through its states."""
    end = time.monotonic() + DISCOVERY_SECONDS
    while time.monotonic() < end:
        time.sleep(POLL_SECONDS)
        _refuse_more_than(0, context, nodes)


def _refuse_more_than(most: int, context: LaunchContext, nodes: list[str]) -> None:
    found = get_ros_node(context).get_node_names_and_namespaces()
    names = [f"{space.rstrip('/')}/{name}" for name, space in found]
    there = [node for node in nodes if names.count(node) > most]
    if there:
        raise SegRosError(
            f"{', '.join(there)} runs already and would be activated in the place of the replay's "
            "own node; stop it, or replay with namespace:= or another ROS_DOMAIN_ID"
        )


def _play_options(given: dict[str, str], bag: Recording) -> list[str]:
    # Paused, it gives the time at which the bag begins, and the recorder waits for a time.
    options = ["--start-paused", "--clock", "100", "--rate", given["rate"]]
    options += ["--loop"] if given["loop"] == "true" else []
    options += ["--remap", *bag.remappings] if bag.remappings else []
    return [*options, "--disable-keyboard-controls", "--topics", *bag.inputs]


def _bag(name: str, *arguments: str) -> ExecuteProcess:
    return ExecuteProcess(cmd=["ros2", "bag", *arguments], name=name, output="screen")


def _resume_when_heard(context: LaunchContext, wanted: Wanted) -> list[Any]:
    """Let the player go on as soon as nothing of the first frame can be lost."""
    graph = get_ros_node(context)
    interface = import_module("rosbag2_interfaces.srv").Resume
    player = graph.create_client(interface, "/rosbag2_player/resume")
    ready: set[str] = set()

    def on_diagnostics(message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            if int(values.get("image publishers", 0)):
                ready.add(f"/{status.name.partition(':')[0]}")

    graph.create_subscription(DiagnosticArray, topics.DIAGNOSTICS.name, on_diagnostics, 10)

    def listeners(topic: str) -> list[str]:
        return [end.node_name for end in graph.get_subscriptions_info_by_topic(topic)]

    def resume(_: LaunchContext) -> None:
        player.call_async(interface.Request())

    def look(seconds: float) -> list[Any]:
        missing = [f"{node} to see the player" for node in wanted.nodes if node not in ready]
        missing += [f"RViz to show {t}" for t in sorted(wanted.shown) if not listeners(t)]
        missing += [
            f"the recorder to listen to {topic}"
            for topic in sorted(wanted.recorded)
            if RECORDER not in listeners(topic)
        ]
        if not missing and player.service_is_ready():
            return [TimerAction(period=MATCH_SECONDS, actions=[OpaqueFunction(function=resume)])]
        if seconds <= 0:
            raise SegRosError(
                f"waited {LISTEN_SECONDS:g} s for {', '.join(missing) or 'the player to answer'}; "
                "see what is said above"
            )
        again = OpaqueFunction(function=lambda _: look(seconds - POLL_SECONDS))
        return [TimerAction(period=POLL_SECONDS, actions=[again])]

    return look(LISTEN_SECONDS)


def _bring_up(player: ExecuteProcess, wanted: Wanted) -> list[Any]:
    """Configure and activate every node, play when all are active, end when the bag has ended."""
    waiting = [len(wanted.nodes)]

    def change(action: Any, transition: int) -> EmitEvent:
        request = ChangeState(
            lifecycle_node_matcher=lambda node: node is action, transition_id=transition
        )
        return EmitEvent(event=request)

    def configure(event: Any, _: LaunchContext) -> Any:
        return change(event.action, Transition.TRANSITION_CONFIGURE)

    def activate(context: LaunchContext) -> list[Any]:
        _refuse_more_than(1, context, wanted.nodes)  # one that was slow to be discovered
        return [change(context.locals.event.action, Transition.TRANSITION_ACTIVATE)]

    def play(_: LaunchContext) -> list[Any]:
        waiting[0] -= 1
        if waiting[0]:
            return []
        return [player, OpaqueFunction(function=_resume_when_heard, args=[wanted])]

    def refused(_: LaunchContext) -> None:
        raise SegRosError("the node could not be started; it says above why")

    def ended(event: Any, context: LaunchContext) -> Any:
        if context.is_shutdown:
            return None
        if event.action is player and event.returncode == 0:
            over = EmitEvent(event=Shutdown(reason="the bag has ended"))
            return TimerAction(period=SETTLE_SECONDS, actions=[over])
        if event.process_name.startswith("rviz2") and event.returncode == 0:
            return EmitEvent(event=Shutdown(reason="RViz was closed"))
        raise SegRosError(f"{event.process_name} ended with exit code {event.returncode}")

    def on_state(function: Any, start: str, goal: str) -> OnStateTransition:
        run = OpaqueFunction(function=function)
        return OnStateTransition(entities=[run], start_state=start, goal_state=goal)

    handlers = [
        OnProcessStart(target_action=_is_node, on_start=configure),
        on_state(activate, "configuring", "inactive"),
        on_state(refused, "configuring", "unconfigured"),
        on_state(refused, "errorprocessing", "unconfigured"),
        on_state(refused, "activating", "inactive"),
        on_state(play, "activating", "active"),
        OnProcessExit(on_exit=ended),
    ]
    return [RegisterEventHandler(handler) for handler in handlers]


def _is_node(action: Any) -> bool:
    return isinstance(action, LifecycleNode)
