"""A node that uses the grid: how many metres straight ahead are free, whenever a grid comes.

    python examples/grid_listener.py

Beside `ros2 launch seg_ros segmentation.launch.py`, or `seg_ros demo`.
"""

from contextlib import suppress

import numpy as np
import rclpy
from nav_msgs.msg import OccupancyGrid
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile


class GridListener(Node):
    """Says how far the row of cells in front of base_link is free."""

    def __init__(self) -> None:
        """Subscribe as the grid is published: reliable, transient local."""
        super().__init__("grid_listener")
        qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(OccupancyGrid, "segmentation/driveable_grid", self.hear, qos)

    def hear(self, grid: OccupancyGrid) -> None:
        """Walk along y = 0 to the first cell that is not free (0); unknown is not free."""
        info = grid.info
        cells = np.asarray(grid.data, np.int8).reshape(info.height, info.width)
        ahead = cells[int(-info.origin.position.y / info.resolution)]
        start = int(np.argmax(ahead == 0)) if (ahead == 0).any() else len(ahead)
        end = start + int(np.argmin(np.append(ahead[start:] == 0, False)))
        stamp = grid.header.stamp
        first, last = (info.origin.position.x + info.resolution * n for n in (start, end))
        free = f"free from {first:.1f} to {last:.1f} m" if end > start else "nothing is free"
        print(f"{stamp.sec}.{stamp.nanosec:09d} {free}", flush=True)


rclpy.init()
with suppress(KeyboardInterrupt):
    rclpy.spin(GridListener())
