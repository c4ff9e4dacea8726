"""The grids of a result bag as pictures, from where the vehicle was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.bag import Bag
from seg_ros.drive.messages import stamp_ns
from seg_ros.ground.grid_spec import FREE, OCCUPIED, PROFILES, UNKNOWN, GridSpec
from seg_ros.ground.world_grid import Pose, place
from seg_ros.results.bag_topics import TF
from seg_ros.segment.paint import grid_picture

_HEIGHT = 300

Poses = Mapping[tuple[str, int], Pose]
"""Of the vehicle, by the frame they are in and the stamp."""


def grid_poses(bag: Path, stamps: Sequence[int] = ()) -> Poses:
    """Read where the vehicle was in frames that do not move with it, as a result bag has it.

    Args:
        bag: a result bag.
        stamps: read only what was logged at these times, nanoseconds; all when empty.

    Raises:
        SegRosError: it is damaged.

    """
    poses: dict[tuple[str, int], Pose] = {}
    recording = Bag(bag)
    if not any(topic.name == TF.name and topic.count for topic in recording.topics):
        return poses
    for start in sorted(stamps) if stamps else (None,):
        for message in recording.messages({TF.name}, start):
            if start is not None and message.log_ns != start:
                break
            for stamped in message.deserialize().transforms:
                at, turn = stamped.transform.translation, stamped.transform.rotation
                pose = Pose(at.x, at.y, 2 * math.atan2(turn.z, turn.w))
                poses[stamped.header.frame_id, stamp_ns(stamped.header.stamp)] = pose
    return poses


def draw_grid(message: Any, poses: Poses | None = None) -> NDArray[np.uint8]:
    """Draw a nav_msgs/OccupancyGrid of a result bag as (300, W, 3) uint8 BGR.

    A grid in another frame than the vehicle's is turned to the vehicle: each cell has the worst
    of those it touches, and what nothing is known of is cut away.
    """
    info = message.info
    values = np.asarray(message.data, np.int8).reshape(info.height, info.width)
    origin = info.origin.position
    spec = _spec(info.resolution, origin.x, origin.y, values.shape)
    cells = np.full(values.shape, UNKNOWN, np.int8)
    for profile in PROFILES.values():
        for state in (FREE, OCCUPIED):
            cells[values == profile[state]] = state
    pose = (poses or {}).get((message.header.frame_id, stamp_ns(message.header.stamp)))
    if pose is not None:
        cells, spec = _seen_from(cells, spec, pose)
    return grid_picture(cells, spec, _HEIGHT)


def _seen_from(
    cells: NDArray[np.int8], spec: GridSpec, pose: Pose
) -> tuple[NDArray[np.int8], GridSpec]:
    c, s = math.cos(pose.yaw), math.sin(pose.yaw)
    back = Pose(-c * pose.x - s * pose.y, s * pose.x - c * pose.y, -pose.yaw)
    cells, spec = place(cells, spec, back)
    rows, columns = (np.flatnonzero((cells != UNKNOWN).any(axis=k)) for k in (1, 0))
    if not len(rows):
        return cells, spec
    x, y = spec.x_min + columns[0] * spec.resolution, spec.y_min + rows[0] * spec.resolution
    cells = cells[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return cells, _spec(spec.resolution, x, y, cells.shape)


def _spec(resolution: float, x: float, y: float, shape: tuple[int, ...]) -> GridSpec:
    rows, columns = shape
    return GridSpec(resolution, x, x + columns * resolution, y, y + rows * resolution)
