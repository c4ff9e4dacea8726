"""Transforms of no vehicle, as tf2's buffer would hand them over, down to the grid made with them.

tf2_ros comes with ROS 2 and has no wheel, so a stand-in takes its buffer's place everywhere.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
from hostile import transforms
from tally import Clock, Tally

from seg_ros.errors import SegRosError
from seg_ros.labels import load_label_set
from seg_ros.ros.transforms import Transforms
from seg_ros.segment.grid_maker import GridMaker
from seg_ros.synthetic import SyntheticDrive

KIND = "message: transforms, from a stand-in for tf2"


class _Buffer:
    """Gives one transform for every question."""

    answer: SimpleNamespace

    def lookup_transform(self, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(transform=self.answer)


def attack_transforms(tally: Tally, clock: Clock) -> None:
    """Mount a camera by hostile transforms: refused in one line, or finite and with a grid."""
    module = ModuleType("tf2_ros")
    module.Buffer, module.TransformException = _Buffer, LookupError  # type: ignore[attr-defined]
    module.TransformListener = lambda *_: None  # type: ignore[attr-defined]
    before = sys.modules.get("tf2_ros")
    sys.modules["tf2_ros"] = module
    try:
        looked_up = Transforms(None)
    finally:
        del sys.modules["tf2_ros"]
        if before is not None:
            sys.modules["tf2_ros"] = before
    camera = SyntheticDrive(frames=1, width=320, height=180).camera
    labels = load_label_set("camvid")
    mask = np.full((180, 320), labels.driveable_ids[0], np.uint8)
    maker = GridMaker(labels)
    for (x, y, z), (qx, qy, qz, qw) in transforms(tally.random("transforms")):
        if not clock.left() or not tally.open(KIND):
            return
        _Buffer.answer = SimpleNamespace(
            translation=SimpleNamespace(x=x, y=y, z=z),
            rotation=SimpleNamespace(x=qx, y=qy, z=qz, w=qw),
        )
        tally.add(KIND, _problem(looked_up, maker, camera, mask), repr(_Buffer.answer).encode())


def _problem(looked_up: Transforms, maker: GridMaker, camera, mask) -> str:
    try:
        with suppress(SegRosError):
            offset, rotation = looked_up.fixed("base_link", "imu")
            if not np.isfinite([*offset, *rotation]).all():
                return f"{offset}, {rotation} was taken"
        with suppress(SegRosError):
            mounting = looked_up.mounting("base_link", "camera", 1)
            if not np.isfinite([*mounting.position, *mounting.base_from_optical.ravel()]).all():
                return f"{mounting} was taken"
            made = maker.make(mask, None, replace(camera, mounting=mounting))
            if made.problem.startswith("unexpected"):
                return f"{mounting}: {made.problem}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
