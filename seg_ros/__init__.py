"""Driveable-area and semantic segmentation for ROS 2 vehicles.

Everything outside :mod:`seg_ros.ros` imports without ROS, without torch and without a GPU.
"""

__version__ = "0.1.0"
