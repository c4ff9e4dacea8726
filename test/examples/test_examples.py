"""The scripts of examples/ do what they say, each as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from seg_ros.ground.camera_file import save_camera
from seg_ros.synthetic import SyntheticDrive

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, *arguments: Path | str) -> list[str]:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_picture(tmp_path):
    frame = SyntheticDrive(frames=1, width=640, height=360)[0]
    cv2.imwrite(str(tmp_path / "street.png"), frame.image)
    said = run("picture.py", tmp_path / "street.png", tmp_path / "overlay.png")
    shares = {line[:12].strip(): float(line.split()[-1].rstrip("%")) for line in said}
    assert shares["road"] == pytest.approx(100 * (frame.class_mask == 3).mean(), abs=6)
    assert cv2.imread(str(tmp_path / "overlay.png")).shape == frame.image.shape


def test_the_free_distance_of_a_drive(tmp_path):
    scene = SyntheticDrive(frames=3, width=640, height=360)
    for frame in scene:
        cv2.imwrite(str(tmp_path / f"{frame.index}.png"), frame.image)
    (tmp_path / "1.png").write_bytes(b"no picture")
    camera = tmp_path / "camera.yaml"
    save_camera(scene.camera, camera)
    first, second, third = run("free_distance.py", tmp_path, camera)
    assert "not decoded" in second
    for line in (first, third):
        assert line.endswith(" m")
        assert float(line.split()[1]) > 5


def test_a_node_that_uses_the_grid():
    rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")
    from nav_msgs.msg import OccupancyGrid
    from rclpy.qos import DurabilityPolicy, QoSProfile

    grid = OccupancyGrid()
    grid.header.stamp.sec, grid.header.stamp.nanosec = 7, 5
    grid.info.width, grid.info.height, grid.info.resolution = 40, 20, 0.5
    grid.info.origin.position.y = -5.0
    cells = np.full((20, 40), -1, np.int8)
    cells[10, 4:21] = 0
    cells[10, 21] = 100
    grid.data = cells.ravel().tolist()
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    command = [sys.executable, str(EXAMPLES / "grid_listener.py")]
    context = rclpy.Context()
    context.init()
    node = rclpy.create_node("grids", context=context)
    listener = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        publisher = node.create_publisher(OccupancyGrid, "segmentation/driveable_grid", qos)
        publisher.publish(grid)
        deadline = time.monotonic() + 60
        while publisher.get_subscription_count() == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert listener.stdout is not None
        assert listener.stdout.readline() == "7.000000005 free from 2.0 to 10.5 m\n"
    finally:
        listener.send_signal(signal.SIGINT)
        listener.wait(20)
        node.destroy_node()
        context.try_shutdown()
