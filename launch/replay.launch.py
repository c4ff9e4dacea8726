"""Play a bag into the segmentation node, in the bag's own time; docs/launch.md says more."""

import shutil
from pathlib import Path
from typing import Any

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
from lifecycle_msgs.msg import Transition

from seg_ros.errors import SegRosError
from seg_ros.ros.launching import REPLAY_ARGUMENTS, SEGMENTATION_ARGUMENTS, node_setups
from seg_ros.ros.recording import RECORDED, open_recording
from seg_ros.share import share_file

DISCOVERY_SECONDS = 2.0
"""For the recorder and RViz to find what the node publishes before the first frame comes."""

SETTLE_SECONDS = 3.0
"""For what is still under way when the bag has ended."""


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
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in REPLAY_ARGUMENTS}
    for argument in REPLAY_ARGUMENTS:
        argument.check(given[argument.name])
    if not shutil.which("ros2"):
        raise SegRosError("the command ros2 is not there; source the setup.bash of ROS 2")
    bag = open_recording(given["bag"])
    chosen = context.launch_configurations
    if not chosen.get("cameras"):
        for name, value in bag.camera_arguments(given["image"]).items():
            chosen[name] = chosen[name] or value
    setups = node_setups(
        {a.name: chosen.get(a.name, a.default) for a in SEGMENTATION_ARGUMENTS},
        chosen.get("ros_namespace", ""),
    )
    player = _process("player", "play", str(bag.path), *_play_options(given), *bag.inputs)
    actions = _bring_up(player, len(setups))
    if given["record"]:
        out = Path(given["record"]).expanduser()
        if out.exists():
            raise SegRosError(f"record:={out} exists; choose a new folder")
        results = dict.fromkeys(s.resolve(topic.name) for s in setups for topic in RECORDED)
        actions.append(_process("recorder", "record", "--use-sim-time", "-o", str(out), *results))
    return actions


def _play_options(given: dict[str, str]) -> list[str]:
    options = ["--clock", "100", "--rate", given["rate"], "--delay", str(DISCOVERY_SECONDS)]
    options += ["--loop"] if given["loop"] == "true" else []
    return [*options, "--disable-keyboard-controls", "--topics"]


def _process(name: str, *arguments: str) -> ExecuteProcess:
    return ExecuteProcess(cmd=["ros2", "bag", *arguments], name=name, output="screen")


def _bring_up(player: ExecuteProcess, nodes: int) -> list[Any]:
    """Configure and activate every node, play when all are active, end when the bag has ended."""
    waiting = [nodes]

    def change(action: Any, transition: int) -> EmitEvent:
        wanted = ChangeState(
            lifecycle_node_matcher=lambda node: node is action, transition_id=transition
        )
        return EmitEvent(event=wanted)

    def configure(event: Any, _: LaunchContext) -> Any:
        return change(event.action, Transition.TRANSITION_CONFIGURE)

    def activate(context: LaunchContext) -> list[Any]:
        return [change(context.locals.event.action, Transition.TRANSITION_ACTIVATE)]

    def play(_: LaunchContext) -> list[Any]:
        waiting[0] -= 1
        return [] if waiting[0] else [player]

    def refused(_: LaunchContext) -> None:
        raise SegRosError("the node could not be configured; it says above why")

    def ended(event: Any, context: LaunchContext) -> Any:
        if context.is_shutdown:
            return None
        if event.action is player and event.returncode == 0:
            over = EmitEvent(event=Shutdown(reason="the bag has ended"))
            return TimerAction(period=SETTLE_SECONDS, actions=[over])
        raise SegRosError(f"{event.process_name} ended with exit code {event.returncode}")

    def on_state(function: Any, start: str, goal: str) -> OnStateTransition:
        run = OpaqueFunction(function=function)
        return OnStateTransition(entities=[run], start_state=start, goal_state=goal)

    handlers = [
        OnProcessStart(target_action=_is_node, on_start=configure),
        on_state(activate, "configuring", "inactive"),
        on_state(refused, "configuring", "unconfigured"),
        on_state(play, "activating", "active"),
        OnProcessExit(on_exit=ended),
    ]
    return [RegisterEventHandler(handler) for handler in handlers]


def _is_node(action: Any) -> bool:
    return isinstance(action, LifecycleNode)
