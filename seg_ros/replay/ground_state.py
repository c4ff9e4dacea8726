"""What the grids of a run remember, beside the point from which the run can go on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.grid_spec import GridSpec
from seg_ros.ground.mounting import Mounting, MountingErrors, Source
from seg_ros.segment.grid_maker import GridMaker

_NAME = "ground.{}.npz"


def save_ground(work: Path, frames: int, maker: GridMaker) -> None:
    """Write what a maker remembers after so many frames; those of before can go afterwards."""
    laid = maker.laid_for
    about: dict[str, Any] = {"camera": laid and asdict(laid)}
    odds, spec, stamp = maker.fusion.state() if maker.fusion else (np.zeros((0, 0)), None, 0)
    about |= {"spec": spec and asdict(spec), "stamp": stamp}
    beside = work / "ground.new.npz"
    np.savez(beside, odds=odds, about=np.frombuffer(json.dumps(about).encode(), np.uint8))
    beside.replace(work / _NAME.format(frames))


def forget_ground(work: Path, frames: int) -> None:
    """Remove what was remembered at other points than after so many frames."""
    for path in work.glob(_NAME.format("*")):
        if path.name != _NAME.format(frames):
            path.unlink()


def load_ground(work: Path, frames: int, maker: GridMaker) -> None:
    """Let a maker go on as after so many frames.

    Raises:
        SegRosError: nothing is there of that point, or it is damaged.

    """
    path = work / _NAME.format(frames)
    if not path.exists():  # begun by one process, resumed by several: they work in folders in it
        path = work.parent.parent / path.name
    try:
        with np.load(path, allow_pickle=False) as data:
            odds, about = data["odds"], json.loads(data["about"].tobytes())
        if about["camera"]:
            maker.lay(_camera(about["camera"]))
        if maker.fusion and about["spec"]:
            maker.fusion.resume(odds, GridSpec(**about["spec"]), int(about["stamp"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SegRosError(
            f"{path} cannot be read ({' '.join(str(error).split())}); start over with --replace"
        ) from error


def _camera(values: dict[str, Any]) -> CameraModel:
    mounting = {**values["mounting"], "errors": MountingErrors(**values["mounting"]["errors"])}
    for name in ("source", "height_source"):
        mounting[name] = Source(mounting[name])
    distortion = tuple(values["distortion"])
    return CameraModel(**{**values, "mounting": Mounting(**mounting), "distortion": distortion})
