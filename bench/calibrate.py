"""How well `seg_ros calibrate` finds cameras whose mounting is known: the synthetic drive's."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import Drive, DriveFrame
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.mounting import Mounting
from seg_ros.labels import load_label_set
from seg_ros.replay.pairs import PairWalk, Seen, View
from seg_ros.synthetic import EGO_SPEED, SyntheticDrive

WIDTH, HEIGHT = 640, 360
SECONDS, RATE = 60, 10.0


def cameras(count: int = 24, seed: int = 17) -> list[CameraModel]:
    """Cameras spread over what windscreens have, every other one with a lens that bends."""
    rng = np.random.default_rng(seed)
    # One value from each of `count` equal parts of a range, in an order of its own each.
    parts = (np.stack([rng.permutation(count) for _ in range(5)], axis=1) + 0.5) / count
    made = []
    for k, (pitch, yaw, roll, height, view) in enumerate(parts):
        focal = WIDTH / 2 / math.tan(math.radians(50 + 50 * view) / 2)
        mounting = Mounting(
            x=0.0,
            z=1.1 + 1.4 * height,
            roll=math.radians(6 * roll - 3),
            pitch=math.radians(8 * pitch),
            yaw=math.radians(6 * yaw - 3),
        )
        bent = (-0.28, 0.07, 0.0005, -0.0005) if k % 2 else ()
        center = ((WIDTH - 1) / 2, (HEIGHT - 1) / 2)
        made.append(
            CameraModel(WIDTH, HEIGHT, focal, focal, *center, "plumb_bob", bent, mounting)
        )
    return made


class CameraDrive(Drive):
    """The synthetic drive as one camera sees it."""

    def __init__(self, scene: SyntheticDrive) -> None:
        self.name, self.camera, self.scene = "synthetic", scene.camera, scene

    @property
    def frame_count(self) -> int:
        return len(self.scene)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[DriveFrame]:
        self.masks: dict[int, NDArray[np.uint8]] = {}
        for index in range(len(self.scene))[start:stop]:
            made = self.scene[index]
            self.masks = {i: m for i, m in self.masks.items() if i > index - 30}
            self.masks[index] = made.class_mask
            yield DriveFrame(index, made.stamp_ns, "camera", partial(np.asarray, made.image))


def scene_walk(camera: CameraModel, seed: int) -> Iterator[Seen]:
    """Pairs of a minute of the synthetic drive, with its own masks."""
    scene = SyntheticDrive(
        round(SECONDS * RATE), camera.width, camera.height, RATE, seed, camera
    )
    drive = CameraDrive(scene)

    def mask(view: View) -> NDArray[np.uint8]:
        return drive.masks[view.frame.index]

    return PairWalk(drive, mask, load_label_set("camvid"), camera.fitted).pairs()
