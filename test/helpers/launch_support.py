"""What the tests of the launch files share. Importing this skips where they cannot run."""

from __future__ import annotations

from typing import Any

import pytest

from seg_ros.support.share import share_file

for _package in ("launch", "launch_ros", "launch_testing"):
    pytest.importorskip(_package, reason=f"{_package} is not installed; it comes with ROS 2")


def _installed() -> bool:
    from ament_index_python.packages import get_package_prefix

    try:
        get_package_prefix("seg_ros")
    except (LookupError, OSError):  # OSError: no setup.bash has been sourced at all
        return False
    return True


def launch_test(function: Any) -> Any:
    """Mark what describes a launch test; it is skipped where ament does not find the package.

    By a mark, as the plugin of launch_testing takes a skip on import for one of every file.
    """
    absent = pytest.mark.skipif(
        not _installed(),
        reason="ament does not find seg_ros: colcon build, then source install/setup.bash",
    )
    return absent(pytest.mark.launch_test(function))


def under_test(*actions: Any) -> tuple[Any, dict[str, list[int]]]:
    """Describe actions under test.

    Returns the description and what the tests are handed besides: ``pids`` and ``exit_codes`` of
    every process started and ended, in order.
    """
    from launch import LaunchDescription
    from launch.actions import RegisterEventHandler
    from launch.event_handlers import OnProcessExit, OnProcessStart
    from launch_testing.actions import ReadyToTest
    from launch_testing.util import KeepAliveProc

    pids: list[int] = []
    exit_codes: list[int] = []
    keep_alive = KeepAliveProc()  # or the tests end with the processes under test

    def started(event: Any, _: Any) -> None:
        if event.action is not keep_alive:
            pids.append(event.pid)

    def ended(event: Any, _: Any) -> None:
        if event.action is not keep_alive:
            exit_codes.append(event.returncode)

    handlers = [OnProcessStart(on_start=started), OnProcessExit(on_exit=ended)]
    description = LaunchDescription(
        [*map(RegisterEventHandler, handlers), keep_alive, *actions, ReadyToTest()]
    )
    return description, {"pids": pids, "exit_codes": exit_codes}


def segmentation_launch(**arguments: str) -> tuple[Any, dict[str, list[int]]]:
    """Describe segmentation.launch.py under test."""
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    file = PythonLaunchDescriptionSource(str(share_file("launch/segmentation.launch.py")))
    return under_test(IncludeLaunchDescription(file, launch_arguments=arguments.items()))


def ros2_launch(file: str, *arguments: str, **environment: str) -> tuple[Any, dict[str, list[int]]]:
    """Describe the command ``ros2 launch seg_ros FILE`` under test."""
    from launch.actions import ExecuteProcess

    command = ["ros2", "launch", "--noninteractive", "seg_ros", file, *arguments]
    return under_test(
        ExecuteProcess(cmd=command, additional_env=environment, name="ros2_launch", output="screen")
    )


def said(proc_output: Any) -> str:
    """Return what the processes under test have said."""
    return "".join(piece.text.decode() for piece in proc_output)


def errors(proc_output: Any) -> list[str]:
    """Return what they have said as errors, a line each."""
    lines = said(proc_output).splitlines()
    return [line for line in lines if "[ERROR]" in line or "Traceback" in line]
