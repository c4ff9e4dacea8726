"""Start the segmentation node: ros2 launch seg_ros segmentation.launch.py [argument:=value ...]."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = {
    "namespace": ("", "namespace of the node and its topics"),
    "image": ("image", "camera topic; with image_transport compressed, without /compressed"),
    "camera_info": ("camera_info", "calibration topic"),
    "image_transport": ("raw", "raw or compressed"),
    "model": ("default", "catalogue name or ONNX file"),
    "use_sim_time": ("false", "take the time from /clock"),
    "log_level": ("info", "debug, info, warn or error"),
}


def generate_launch_description() -> LaunchDescription:
    """Describe one lifecycle node that starts itself, and images through shared memory."""
    share = FindPackageShare("seg_ros")
    default_params = PathJoinSubstitution([share, "config", "segmentation.yaml"])
    profile = PathJoinSubstitution([share, "config", "fastdds.xml"])
    value = LaunchConfiguration
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=default_params,
                description="YAML file with the node's other parameters",
            ),
            SetEnvironmentVariable("FASTDDS_DEFAULT_PROFILES_FILE", profile),
            SetEnvironmentVariable("FASTRTPS_DEFAULT_PROFILES_FILE", profile),
            LifecycleNode(
                package="seg_ros",
                executable="segmentation_node",
                name="segmentation_node",
                namespace=value("namespace"),
                output="screen",
                parameters=[
                    ParameterFile(value("params_file")),
                    {
                        "model": ParameterValue(value("model"), value_type=str),
                        "image_transport": ParameterValue(value("image_transport"), value_type=str),
                        "use_sim_time": ParameterValue(value("use_sim_time"), value_type=bool),
                    },
                ],
                remappings=[
                    ("image", value("image")),
                    ("image/compressed", [value("image"), "/compressed"]),
                    ("camera_info", value("camera_info")),
                ],
                arguments=["--ros-args", "--log-level", value("log_level")],
            ),
        ]
    )
