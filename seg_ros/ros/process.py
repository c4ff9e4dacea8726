"""The node's process: its arguments, its executor, its signals and its exit code."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from typing import Any

import rclpy
from rclpy._rclpy_pybind11 import (  # type: ignore[import-not-found]
    RCLError,
    UnknownROSArgsError,
)
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from seg_ros.ros.node import SegmentationNode
from seg_ros.ros.transport import use_shared_memory

_SIGNAL_SECONDS = 0.2
"""How often Python gets to look for a signal."""


def _stop(*_: Any) -> None:
    """End the node's work, once: a launch file and a terminal may both pass a Ctrl-C on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # for whom it takes too long
    raise KeyboardInterrupt


def _options(camera: str) -> dict[str, Any]:
    """Arguments of a node from those of ``--camera``."""
    namespace, *arguments = shlex.split(camera)
    return {"namespace": namespace, "cli_args": ["--ros-args", *arguments]}


def _begin(node: SegmentationNode) -> None:
    """Let a node bring itself up, unless somebody else does."""
    if node.get_parameter("autostart").value:
        configured = node.trigger_configure()
        if configured == TransitionCallbackReturn.SUCCESS:
            node.trigger_activate()
    else:
        node.get_logger().info("unconfigured: waits for 'configure' and 'activate'")


def run(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop; return the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        "segmentation_node",
        description="Segment a camera's images; parameters and topics are in docs/node.md.",
        usage="segmentation_node [--ros-args ...]",
    )
    parser.add_argument(
        "--camera",
        action="append",
        default=[],
        metavar="NAMESPACE ARGUMENT ...",
        help="a node in this namespace, with ROS arguments of its own, quoted as one; repeat it "
        "for each camera of this process: those with the same model share one engine",
    )
    use_shared_memory()
    try:
        # rclpy's own handlers take the middleware away while the worker still publishes with it.
        rclpy.init(args=given, signal_handler_options=SignalHandlerOptions.NO)
        cameras = parser.parse_args(remove_ros_args(["", *given])[1:]).camera
    except (RCLError, UnknownROSArgsError) as error:
        parser.error(" ".join(str(error).split()))
    # SIGINT too: Python leaves it ignored in what a shell starts in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    nodes: list[SegmentationNode] = []
    try:
        executor = SingleThreadedExecutor()
        for options in [_options(camera) for camera in cameras] or [{}]:
            nodes.append(SegmentationNode(**options))
            executor.add_node(nodes[-1])
        for node in nodes:
            node.share_with([other for other in nodes if other is not node])
            _begin(node)
        while rclpy.ok():
            try:
                executor.spin_once(timeout_sec=_SIGNAL_SECONDS)
            except RCLError:
                raise
            except Exception as error:  # of one callback; the next is another's
                nodes[0].callback_failed(error)
    except KeyboardInterrupt:
        pass
    except Exception as error:  # whoever started it starts it again
        # Security is asked for and the middleware has none, or the like.
        name = "" if isinstance(error, RCLError) else f"unexpected {type(error).__name__}: "
        print(f"segmentation_node: error: {name}{' '.join(str(error).split())}", file=sys.stderr)
        return 1
    finally:
        ended = True
        for node in nodes:
            ended = node.close() and ended
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()
        if not ended:  # Python would wait for it, and take its own end away under it
            print("segmentation_node: error: a thread did not come back", file=sys.stderr)
            sys.stderr.flush()
            os._exit(1)
    return 0
