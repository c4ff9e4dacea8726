"""The node where time goes back: looping bags, and /clock that jumps."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from node_messages import LABELS, image_message, imu, odometry
from support import running_node, wait_until, write_bag

from seg_ros.drive.messages import stamp_ns
from seg_ros.ground.camera_file import save_camera
from seg_ros.ground.grid import DriveableGrid
from seg_ros.ground.grid_spec import GridSpec, occupancy_values
from seg_ros.ground.world_grid import FusedGrid, Pose, place
from seg_ros.results import topics
from seg_ros.ros.messages import message_class
from seg_ros.ros.time_jumps import TimeJumps

pytest.importorskip("rclpy", reason="rclpy is not installed")

SECOND = 10**9


class StandInClock:
    """As much of rclpy's clock as is asked."""

    def __init__(self, simulated=False):
        self.ros_time_is_active = simulated

    def create_jump_callback(self, threshold, post_callback):
        self.threshold, self.jump = threshold, post_callback


@pytest.mark.parametrize(
    ("stamps", "simulated", "jumps"),
    [
        ((5.0, 6.0, 7.0), False, []),
        ((5.0, 6.0, 5.1, 6.1), False, []),  # out of order
        ((5.0, 6.5, 5.0, 6.5, 5.0), False, ["by 1.500 s", "by 1.500 s"]),
        ((5.0, 6.5, 5.0), True, []),  # /clock says so itself
    ],
)
def test_a_step_back_of_the_stamps_is_told_from_disorder(stamps, simulated, jumps):
    said = []
    watch = TimeJumps(StandInClock(simulated), said.append)
    for stamp in stamps:
        watch.frame(int(stamp * SECOND))
    assert [line.rpartition("back ")[2] for line in said] == jumps


def test_a_looping_bag_is_processed_and_every_loop_counted(tmp_path, client, scene):
    first = 1_700_000_000 * SECOND
    # Over a second apart: whichever frame a busy machine drops, a step back remains a jump.
    stamps = [first, first + 1_200_000_001, first + 2_400_000_002]
    bag = write_bag(tmp_path / "bag", [(stamp, scene[0].image) for stamp in stamps])
    with running_node(tmp_path / "node.log") as node:
        client.listen(topics.MASK)
        command = [sys.executable, "-m", "seg_ros.cli", "play", str(bag), "--loop", "--wait"]
        player = subprocess.Popen([*command, "--rate", "3"], stderr=subprocess.DEVNULL)
        try:
            masks = client.wait_for(topics.MASK, 10)
        finally:
            player.send_signal(signal.SIGINT)
            player.wait(30)
        client.settle()  # masks of the last frames may be on their way yet

        def idle(v):
            done = int(v["published"]) + int(v["dropped"])
            return int(v["published"]) == len(masks) and int(v["received"]) == done

        _, values = client.diagnosis(idle)
        got = [stamp_ns(mask.header.stamp) for mask in masks]
        back = sum(later < earlier for earlier, later in pairwise(got))
        assert back >= 2
        assert set(got) <= set(stamps)
        assert values["time_jumps"] == str(back)
        assert values["failed"] == values["rejected"] == "0"
        line = r"the stamps of the images jumped back by [12]\.[24]00 s: transforms"
        assert 1 <= len(re.findall(line, node.said())) <= back, "said now and then, counted always"


def test_a_clock_that_jumps_back_starts_anew(tmp_path, client, scene, segmenter):
    """What was fused and heard before the jump leaves no trace in what comes after it."""
    camera = scene.camera
    save_camera(camera, tmp_path / "camera.yaml")
    with running_node(
        tmp_path / "node.log",
        use_sim_time=True,
        camera_file=tmp_path / "camera.yaml",
        attitude_source="imu",
        grid_frame="odom",
        grid_fusion=True,
    ) as node:
        client.listen(topics.GRID)
        client.diagnosis(lambda v: v["age of last frame s"] == "none yet")
        send = {topic: client.publisher(topic) for topic in (topics.IMAGE, *topics.MOTION)}
        clock_type = message_class("rosgraph_msgs/msg/Clock")
        clock = client.node.create_publisher(clock_type, "/clock", 10)
        wait_until(clock.get_subscription_count, "the node to listen to /clock")

        def run(start, x, frames):
            """Publish frames 0.1 s apart with what they need, and the clock 0.5 s later."""
            for index in range(start, start + frames * SECOND // 10, SECOND // 10):
                message = clock_type()
                message.clock.sec, message.clock.nanosec = divmod(index + SECOND // 2, SECOND)
                clock.publish(message)
                send[topics.ODOMETRY].publish(odometry(index, Pose(x, 0.0, 0.0)))
                send[topics.IMU].publish(imu(index, 0.0))
                client.settle()
                have = len(client.messages[topics.GRID.name])
                send[topics.IMAGE].publish(image_message(scene[0].image, index))
                client.wait_for(topics.GRID, have + 1)

        run(100 * SECOND, 0.0, 3)
        _, values = client.diagnosis(lambda v: v["published"] == "3")
        assert float(values["age of last frame s"]) == pytest.approx(0.5)
        run(40 * SECOND, 2.0, 1)
        grid = client.messages[topics.GRID.name][-1]
        _, values = client.diagnosis(lambda v: v["published"] == "4")
        assert values["time_jumps"] == "1"
        assert float(values["age of last frame s"]) == pytest.approx(0.5)
        assert node.said().count("the clock jumped back by 60.200 s") == 1

    ours = DriveableGrid(GridSpec(), camera, LABELS)
    placed, spec = place(
        ours.cells(segmenter.segment(scene[0].image).class_mask()), GridSpec(), Pose(2.0, 0.0, 0.0)
    )
    fused = FusedGrid().add(placed, spec, 40 * SECOND)
    assert stamp_ns(grid.header.stamp) == 40 * SECOND
    data = np.array(grid.data, np.int8).reshape(grid.info.height, grid.info.width)
    assert np.array_equal(data, occupancy_values(fused, "nav2"))
    assert -1 in data, "one grid decides nothing yet"
