"""Where a drive's camera sits, from the drive itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import Drive
from seg_ros.errors import SegRosError
from seg_ros.ground.aim import Aim, Directions, Pair, find_aim
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.mounting import (
    ASSUMED_MOUNTING,
    Mounting,
    MountingErrors,
    Source,
    mounting_of_aim,
)
from seg_ros.replay.pairs import PairWalk, View
from seg_ros.results.calibration_picture import Shown
from seg_ros.segment.segmenter import Segmenter

ASSUMED_FOV = 70.0
"""Degrees across that are assumed of a camera whose lens nobody knows: the usual dashcam."""

_KEPT = 3
"""Frames that are kept for the picture."""


@dataclass(frozen=True)
class Lens:
    """What is known of a camera's intrinsics, the first that is there; nothing: it is assumed."""

    camera: CameraModel | None = None
    focal: float = 0.0
    """Pixels of the frames' width."""
    fov: float = 0.0
    """Degrees across."""

    def of(self, width: int, height: int) -> CameraModel:
        """Return a camera for frames of a size.

        Raises:
            SegRosError: the camera's calibration is for frames of another shape.

        """
        if self.camera is not None:
            return self.camera.fitted(width, height)
        fov = math.radians(self.fov or ASSUMED_FOV)
        focal = self.focal or width / 2 / math.tan(fov / 2)
        return CameraModel(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)

    @property
    def source(self) -> Source:
        """Where the intrinsics come from."""
        given = self.camera is not None or self.focal or self.fov
        return Source.MEASURED if given else Source.ASSUMED


@dataclass(frozen=True)
class Calibration:
    """What a drive says of its camera."""

    camera: CameraModel
    """With the mounting found."""
    lens: Source
    """Where the intrinsics come from."""
    aim: Aim
    verdicts: dict[str, int]
    """How many pairs of frames said what (:class:`seg_ros.ground.travel.Verdict`)."""
    cuts: tuple[int, ...]
    """Frames before which the drive is cut."""
    assumed: tuple[str, ...]
    """What was taken for granted, a line each."""
    shown: Shown
    """For the picture."""

    def values(self) -> dict[str, Any]:
        """Everything as JSON and YAML take it; angles in radians, heights in metres."""
        return {
            "mounting": self.camera.mounting.to_map(),
            "intrinsics": {
                "fx": self.camera.fx,
                "fy": self.camera.fy,
                "cx": self.camera.cx,
                "cy": self.camera.cy,
                "source": self.lens.value,
            },
            "direction": asdict(self.aim),
            "pairs": self.verdicts,
            "cuts": list(self.cuts),
            "assumed": list(self.assumed),
        }


def calibrate(
    drive: Drive,
    segmenter: Segmenter,
    lens: Lens,
    height: float = 0.0,
    on_frame: Callable[[], object] = lambda: None,
) -> Calibration:
    """Find where a drive's camera sits.

    Args:
        drive: read once from its beginning to its end.
        segmenter: tells what stays where it is.
        lens: what is known of the intrinsics.
        height: of the camera above the ground in metres, where it is known.
        on_frame: called after every frame.

    Raises:
        SegRosError: the drive does not tell, with the reason and what to film instead.

    """
    def mask(view: View) -> NDArray[np.uint8]:
        with segmenter.turn:
            return segmenter.segment(view.image).class_mask()

    walk = PairWalk(drive, mask, segmenter.labels, lens.of)
    pieces: list[list[Pair]] = [[]]
    kept: list[View] = []
    step = 1
    for count, seen in enumerate(walk.pairs(on_frame)):
        if seen.begins:
            pieces.append([])
        pieces[-1].append(seen.pair)
        if count % step == 0:
            kept.append(seen.first)
            if len(kept) >= 4 * _KEPT:  # evenly over what there has been
                kept, step = kept[::2], 2 * step
    every = [pair for piece in pieces for pair in piece]
    if not every:
        raise SegRosError(f"drive {drive.name} is too short: it has no two frames to compare")
    aim, directions = find_aim(pieces)
    camera = lens.of(*walk.size)
    mounting, assumed = _mounting(aim, height)
    if lens.source is Source.ASSUMED:
        fov = math.degrees(2 * math.atan(camera.width / 2 / camera.fx))
        assumed = (
            f"the lens is not known: a field of view of {fov:.0f} degrees is assumed; give "
            "--fov, --focal or --camera",
            *assumed,
        )
    camera = replace(camera, mounting=mounting)
    chosen = [kept[k * (len(kept) - 1) // (_KEPT - 1)] for k in range(min(_KEPT, len(kept)))]
    return Calibration(
        camera,
        lens.source,
        aim,
        dict(Counter(pair.motion.verdict.value for pair in every)),
        tuple(walk.cuts),
        assumed,
        Shown(
            tuple((view.frame.index, view.image) for view in chosen),
            camera,
            aim,
            _over_time(directions, every[0].start_ns),
        ),
    )


def _mounting(aim: Aim, height: float) -> tuple[Mounting, tuple[str, ...]]:
    """Return the mounting of an aim, and what was assumed of it."""
    assumed = ["roll is not found: 0 is assumed"]
    if not height:
        assumed.append(
            f"nothing gives the scale: a height of {ASSUMED_MOUNTING.z} m is assumed; give "
            "--height, or a bag with odometry"
        )
    mounting = replace(
        mounting_of_aim(aim.direction),
        z=height or ASSUMED_MOUNTING.z,
        source=Source.ESTIMATED,
        height_source=Source.MEASURED if height else Source.ASSUMED,
        errors=MountingErrors(pitch=aim.pitch_error, yaw=aim.yaw_error),
    )
    return mounting, tuple(assumed)


def _over_time(directions: list[Directions], start_ns: int) -> list[tuple[float, float, float]]:
    """Seconds, pitch and yaw in radians of every pair that counted."""
    return [
        ((int(stamp) - start_ns) / 1e9, float(pitch), float(yaw))
        for piece in directions
        for stamp, (pitch, yaw) in zip(piece.stamps, piece.angles, strict=True)
    ]
