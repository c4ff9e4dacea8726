"""Fixtures: a quiet corner of the network for the ROS tests, and folders that may be absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import Client

from seg_ros.ros.transport import use_shared_memory
from seg_ros.segmenter import Segmenter
from seg_ros.synthetic import SyntheticDrive

# Before anything starts DDS: tests neither hear nor disturb other ROS systems.
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
use_shared_memory()


@pytest.fixture(scope="session")
def segmenter() -> Segmenter:
    return Segmenter.load()


@pytest.fixture(scope="session")
def scene() -> SyntheticDrive:
    return SyntheticDrive(frames=150, width=640, height=360)


@pytest.fixture
def client() -> Iterator[Client]:
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    client = Client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def real_drives() -> Path:
    """Folder of recorded drives, which only the developers have."""
    folder = Path(__file__).parents[2] / "shared" / "drives"
    if not folder.is_dir():
        pytest.skip(f"no recorded drives at {folder}")
    return folder


@pytest.fixture(scope="session")
def camvid() -> Path:
    """Folder of the CamVid frames and labels, which only the developers have."""
    folder = Path(__file__).parents[2] / "shared" / "data" / "camvid"
    if not folder.is_dir():
        pytest.skip(f"no CamVid at {folder}")
    return folder
