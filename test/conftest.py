"""Fixtures: a quiet corner of the network for the ROS tests, and folders that may be absent."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seg_ros.ros.transport import use_shared_memory
from seg_ros.segment.segmenter import Segmenter
from seg_ros.synthetic import SyntheticDrive

# What tests share is imported by its file's name; an option of pytest for it is newer than 22.04.
sys.path.insert(0, str(Path(__file__).parent / "helpers"))

from domain import own_domain
from support import Client

# Before anything starts DDS: tests neither hear nor disturb other ROS systems, nor each other where
# pytest-xdist has several processes of them.
_domain, _domain_lock = own_domain()
os.environ["ROS_DOMAIN_ID"] = str(_domain)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
use_shared_memory()


def _own_module(name: str, parent: Any, **path: Any) -> Any:
    return None if name.startswith("test_launch_") else pytest.Module.from_parent(parent, **path)


# The plugin of launch_testing imports every file by itself, and takes a skip in one for all. So it
# gets to see those of launch tests alone.
if hasattr(pytest, "version_tuple"):

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> Any:
        return _own_module(module_path.name, parent, path=module_path)

else:  # pytest 6, on Ubuntu 22.04

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(path: Any, parent: Any) -> Any:
        return _own_module(path.basename, parent, fspath=path)


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium that logs its console and every request."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no chromium and chromedriver; on Debian: apt install chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
                 "disable-background-networking", "disable-component-update", "disable-sync",
                 "disable-dev-shm-usage"):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options.add_argument(f"--user-data-dir={profile}")
        service = webdriver.ChromeService(driver)
        try:
            chrome = webdriver.Chrome(options=options, service=service)
        except Exception as error:  # there, but it does not run here
            pytest.skip(f"chromium does not start: {str(error).splitlines()[0]}")
        yield chrome
        chrome.quit()
