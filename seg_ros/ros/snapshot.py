"""One frame with all that was made of it, in a folder of its own for a bug report."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from seg_ros.drive.messages import NANOSECONDS
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.camera_file import save_camera
from seg_ros.ground.grid_spec import GridSpec, occupancy_values
from seg_ros.segment.output import Output, Processed
from seg_ros.segment.paint import grid_picture
from seg_ros.segment.segmenter import Segmenter

WANTED = Output.MASK | Output.CONFIDENCE | Output.OVERLAY | Output.GRID | Output.CONTACTS
"""What is made of the frame."""

MOST = 100
"""Snapshots that a folder may hold."""

LEAST_FREE = 2**30
"""Bytes that must be free on the disk."""

_UNFINISHED = ".unfinished."
_PICTURE_HEIGHT = 720
_PACKAGES = ("seg_ros", "numpy", "numba", "opencv-python-headless", "openvino", "tensorrt",
             "tensorrt_rtx_cu13", "torch", "simplejpeg", "rosbags-image")  # fmt: skip


@dataclass(frozen=True)
class Snapshot:
    """Everything of one frame."""

    node: str
    """Fully qualified name of the node."""
    stamp_ns: int
    frame_id: str
    frame: NDArray[np.uint8]
    """(H, W, 3) uint8 BGR."""
    received: Mapping[str, Any]
    """The message's fields beside its data."""
    done: Processed
    """Made with :data:`WANTED`, and the grid not placed in another frame."""
    problem: str
    """Why something is missing, or empty."""
    camera: CameraModel | None
    """As it was mounted at the stamp."""
    segmenter: Segmenter
    parameters: Mapping[str, Any]
    diagnostics: Mapping[str, Any]
    ros: Mapping[str, str]
    """Versions of what ROS brought."""


def default_folder() -> Path:
    """Return the folder for snapshots in ROS' own folder (``ROS_HOME``, or ``~/.ros``)."""
    return Path(os.environ.get("ROS_HOME") or Path.home() / ".ros") / "seg_ros" / "snapshots"


def write_snapshot(root: Path, snapshot: Snapshot) -> Path:
    """Write a new folder in ``root``, named by node and stamp, and return it.

    Nothing that comes with a message or a parameter but the stamp's digits gets into a path, and no
    link is followed below ``root``.

    Raises:
        SegRosError: there are too many already, the disk is nearly full, or it cannot be written.

    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        _check_room(root)
        # A folder nobody else can write in, with a name nobody can have put there before. It is
        # gone where something fails, and renamed where nothing does.
        with tempfile.TemporaryDirectory(
            prefix=_UNFINISHED, dir=root, ignore_cleanup_errors=True
        ) as work:
            _write(Path(work), snapshot)
            return _publish(Path(work), root, snapshot)
    except OSError as error:
        raise SegRosError(
            f"cannot write a snapshot into {root}: {error.strerror or error}; make room, or start "
            "the node with another snapshot_folder"
        ) from error


def _check_room(root: Path) -> None:
    held = sum(1 for _ in root.iterdir())
    if held >= MOST:
        raise SegRosError(f"{root} holds {held} snapshots already; move or delete some")
    free = shutil.disk_usage(root).free
    if free < LEAST_FREE:
        raise SegRosError(
            f"only {free / 2**20:.0f} MiB are free on the disk of {root}; a snapshot is written "
            f"where there are {LEAST_FREE // 2**20} MiB"
        )


def _publish(work: Path, root: Path, snapshot: Snapshot) -> Path:
    """Give the finished folder its name; a looping bag has the same stamps again."""
    node = re.sub(r"\W+", "_", snapshot.node.strip("/"))
    sec, nanosec = divmod(snapshot.stamp_ns, NANOSECONDS)
    name = f"{node}_{sec}.{nanosec:09d}"
    for number in count(1):
        target = root / (name if number == 1 else f"{name}_{number}")
        try:
            return work.rename(target)
        except OSError:
            if not os.path.lexists(target):
                raise
    raise AssertionError


def _write(folder: Path, snapshot: Snapshot) -> None:
    done = snapshot.done
    images = {
        "frame.png": snapshot.frame,
        "mask.png": done.mask,
        "confidence.png": done.confidence,
        "overlay.png": done.overlay,
        "grid.png": grid_picture(
            done.cells, done.grid_spec or GridSpec(), _PICTURE_HEIGHT, snapshot.problem
        ),
    }
    for name, image in images.items():
        if image is not None:
            (folder / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
    if done.cells is not None:
        profile = snapshot.parameters["grid_profile"]
        np.save(folder / "grid.npy", occupancy_values(done.cells, profile), allow_pickle=False)
    if snapshot.camera is not None:
        save_camera(snapshot.camera, folder / "camera.yaml")
    texts = {
        "parameters.yaml": {snapshot.node: {"ros__parameters": dict(snapshot.parameters)}},
        "diagnostics.yaml": dict(snapshot.diagnostics),
        "about.yaml": _about(snapshot),
    }
    for name, content in texts.items():
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        (folder / name).write_text(text, encoding="utf-8")


def _about(snapshot: Snapshot) -> dict[str, Any]:
    height, width = snapshot.frame.shape[:2]
    segmenter, spec = snapshot.segmenter, snapshot.done.grid_spec
    about: dict[str, Any] = {
        "node": snapshot.node,
        "frame": {
            "stamp_ns": snapshot.stamp_ns,
            "frame_id": snapshot.frame_id,
            "width": width,
            "height": height,
            **snapshot.received,
        },
        "problem": snapshot.problem,
        "model": {
            "name": segmenter.model_name,
            "input": "{}x{}".format(*segmenter.input_size),
            "runtime": segmenter.engine_info.runtime,
            "device": segmenter.engine_info.device,
            "precision": segmenter.engine_info.precision,
            "labels": segmenter.labels.name,
            "classes": [label.name for label in segmenter.labels.classes],
        },
        "versions": {
            "system": platform.platform(),
            "python": platform.python_version(),
            **snapshot.ros,
            **{name: version for name in _PACKAGES if (version := _version(name))},
        },
    }
    if spec is not None:
        about["grid"] = {  # of this frame alone, before fusion and placing
            "frame_id": snapshot.parameters["base_frame"],
            "resolution": spec.resolution,
            "origin": [spec.x_min, spec.y_min],
            "profile": snapshot.parameters["grid_profile"],
        }
    return about


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
