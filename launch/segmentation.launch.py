"""Start the segmentation node for one camera or several; docs/launch.md says more."""

import sys
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.logging import launch_config
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue

from seg_ros.errors import SegRosError
from seg_ros.ros.launching import (
    NODE,
    RESPAWN_SECONDS,
    SEGMENTATION_ARGUMENTS,
    NodeSetup,
    check_command_line,
    node_setups,
    rviz_config,
)
from seg_ros.ros.transport import use_shared_memory
from seg_ros.support.share import share_file


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments, and the nodes that come of them once they are known to be good."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(a.name, default_value=a.default, description=a.text)
                for a in SEGMENTATION_ARGUMENTS
            ),
            OpaqueFunction(function=_start),
        ]
    )


def _start(context: LaunchContext) -> list[Any]:
    check_command_line(sys.argv, Path(__file__).name)
    given = {
        a.name: a.read(LaunchConfiguration(a.name).perform(context)) for a in SEGMENTATION_ARGUMENTS
    }
    setups = node_setups(given, context.launch_configurations.get("ros_namespace", ""))
    rviz = _rviz(setups) if given["rviz"] == "true" else []
    use_shared_memory()
    if given["processes"] == "one" and len(setups) > 1:
        return [_process(setups, given), *rviz]
    return [*(_node(setup, given) for setup in setups), *rviz]


def _process(setups: list[NodeSetup], given: dict[str, str]) -> Node:
    """Describe one process for the nodes of all cameras."""
    return Node(
        package="seg_ros",
        executable=NODE,
        output="screen",
        arguments=[word for setup in setups for word in ("--camera", setup.command)],
        ros_arguments=["--log-level", given["log_level"]],
        respawn=given["respawn"] == "true",
        respawn_delay=RESPAWN_SECONDS,
    )


def _node(setup: NodeSetup, given: dict[str, str]) -> LifecycleNode:
    # The node brings itself up, so that one that died comes back active without a supervisor.
    return LifecycleNode(
        package="seg_ros",
        executable=NODE,
        name=NODE,
        namespace=setup.namespace,
        output="screen",
        parameters=[
            ParameterFile(str(setup.params_file)),
            {k: ParameterValue(v, value_type=type(v)) for k, v in setup.overrides.items()},
        ],
        remappings=list(setup.remappings.items()),
        ros_arguments=["--log-level", given["log_level"]],
        respawn=given["respawn"] == "true",
        respawn_delay=RESPAWN_SECONDS,
    )


def _rviz(setups: list[NodeSetup]) -> list[Node]:
    packages = ["rviz2", "tf2_ros"]
    if any(setup.values["image_transport"] == "compressed" for setup in setups):
        packages.append("compressed_image_transport")  # without it RViz loads no display at all
    for package in packages:
        try:
            get_package_prefix(package)
        except PackageNotFoundError:
            raise SegRosError(
                f"rviz:=true needs {package}: sudo apt install ros-$ROS_DISTRO-"
                f"{package.replace('_', '-')}"
            ) from None
    shipped = share_file("rviz/segmentation.rviz").read_text(encoding="utf-8")
    config = rviz_config(yaml.safe_load(shipped), setups)
    file = Path(launch_config.log_dir) / "segmentation.rviz"
    file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    frame = config["Visualization Manager"]["Global Options"]["Fixed Frame"]
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            name="segmentation_rviz",
            namespace="/",
            arguments=["-d", str(file)],
            parameters=[{"use_sim_time": setups[0].values.get("use_sim_time", False)}],
        ),
        # RViz shows nothing in a frame that no transform names, not even data in that very frame.
        Node(
            package="tf2_ros",
            executable="static_transform_publisher",
            name="segmentation_rviz_frame",
            namespace="/",
            arguments=["--frame-id", frame, "--child-frame-id", "segmentation_rviz"],
        ),
    ]
