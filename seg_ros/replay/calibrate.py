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
from seg_ros.drive.speed import SpeedTrack
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
from seg_ros.ground.road import Road, RoadFound, RoadPlane, find_road, normal_so_far
from seg_ros.labels import LabelSet
from seg_ros.replay.pairs import PairWalk, Seen, View
from seg_ros.results.calibration_picture import Shown
from seg_ros.segment.segmenter import Segmenter

ASSUMED_FOV = 70.0
"""Degrees across that are assumed of a camera whose lens nobody knows: the usual dashcam."""

_KEPT = 3
"""Frames that are kept for the picture."""
_LOWEST, _HIGHEST = 0.4, 4.0
"""Metres between which a height is looked for."""
_LEAST_WAY = 0.3
"""Metres below which a pair has none."""


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
    speed: SpeedTrack | None = None,
    on_frame: Callable[[], object] = lambda: None,
) -> Calibration:
    """Find where a drive's camera sits.

    Args:
        drive: read once from its beginning to its end.
        segmenter: tells what stays where it is, and what is road.
        lens: what is known of the intrinsics.
        height: of the camera above the ground in metres, where it is known.
        speed: of the vehicle, which gives the height where that is not known.
        on_frame: called after every frame.

    Raises:
        SegRosError: the drive does not tell, with the reason and what to film instead.

    """

    def mask(view: View) -> NDArray[np.uint8]:
        with segmenter.turn:
            return segmenter.segment(view.image).class_mask()

    walk = PairWalk(drive, mask, segmenter.labels, lens.of)
    return find_mounting(walk, segmenter.labels, lens, height, speed, on_frame)


def find_mounting(
    walk: PairWalk,
    labels: LabelSet,
    lens: Lens,
    height: float = 0.0,
    speed: SpeedTrack | None = None,
    on_frame: Callable[[], object] = lambda: None,
) -> Calibration:
    """Find it from the pairs of a drive; see :func:`calibrate`."""
    pieces: list[list[Pair]] = [[]]
    kept: list[View] = []
    road = _RoadPairs(labels, height, speed)
    step = 1
    for count, seen in enumerate(walk.pairs(on_frame)):
        if seen.begins:
            pieces.append([])
        pieces[-1].append(seen.pair)
        road.add(seen)
        if count % step == 0:
            kept.append(seen.first)
            if len(kept) >= 4 * _KEPT:  # evenly over what there has been
                kept, step = kept[::2], 2 * step
    every = [pair for piece in pieces for pair in piece]
    if not every:
        raise SegRosError(f"drive {walk.name} is too short: it has no two frames to compare")
    aim, directions = find_aim(pieces)
    camera = lens.of(*walk.size)
    mounting, assumed = _mounting(aim, height, road.found(aim), speed)
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


class _RoadPairs:
    """What the pairs of a drive say of its road."""

    def __init__(self, labels: LabelSet, height: float, speed: SpeedTrack | None) -> None:
        self._is_road = np.zeros(256, np.uint8)
        self._is_road[list(labels.driveable_ids)] = 255
        self._height, self._speed = height, speed
        self._road: Road | None = None
        self._planes: list[RoadPlane] = []
        self._metres: list[float] = []
        self._stamps: list[int] = []

    def add(self, seen: Seen) -> None:
        """Take a pair."""
        pair = seen.pair
        if pair.motion.direction is None:
            return
        self._road = self._road or Road(seen.camera)
        metres = self._way(pair)
        least, most = (metres / _HIGHEST, metres / _LOWEST) if metres > 0 else (0.08, 4.0)
        if math.isfinite(metres) and self._height:
            least, most = 0.7 * metres / self._height, 1.4 * metres / self._height
        plane = self._road.plane(
            seen.first.grey,
            seen.second.grey,
            self._is_road[seen.mask],
            pair.motion,
            normal_so_far(self._planes, down_of(pair.motion.direction)),
            (least, most),
        )
        if plane is not None:
            self._planes.append(plane)
            self._metres.append(metres)
            self._stamps.append(pair.stamp_ns)

    def _way(self, pair: Pair) -> float:
        """Metres that the vehicle went in a pair; NaN where nothing says so."""
        if self._speed is None:
            return math.nan
        stamps = np.linspace(pair.start_ns, pair.stop_ns, 5).astype(np.int64)
        way = abs(float(self._speed.at(stamps).mean())) * (pair.stop_ns - pair.start_ns) / 1e9
        return way if way > _LEAST_WAY else math.nan

    def found(self, aim: Aim) -> RoadFound | None:
        """Return what they say together."""
        return find_road(self._planes, self._metres, self._stamps, aim.direction)


def down_of(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the road's normal (3,), towards it, for a camera that does not roll."""
    return np.asarray(-mounting_of_aim(direction).base_from_optical[2])


def _mounting(
    aim: Aim, height: float, road: RoadFound | None, speed: SpeedTrack | None
) -> tuple[Mounting, tuple[str, ...]]:
    """Return the mounting of an aim and a road, and what was assumed of it."""
    assumed = []
    if road is None:
        assumed.append("the road does not show well enough: a roll of 0 is assumed")
        mounting = mounting_of_aim(aim.direction)
    else:
        mounting = mounting_of_aim(aim.direction, -road.down)
    found = road is not None and road.height > 0 and not height
    if not height and not found:
        why = "the road does not show well enough" if speed else "nothing gives the scale"
        assumed.append(
            f"{why}: a height of {ASSUMED_MOUNTING.z} m is assumed; give --height"
            f"{'' if speed else ', or a drive with odometry or speed'}"
        )
    errors = MountingErrors(
        z=road.height_error if road and found else 0.0,
        roll=road.roll_error if road else 0.0,
        pitch=aim.pitch_error,
        yaw=aim.yaw_error,
    )
    if height:
        z, source = height, Source.MEASURED
    elif road and found:
        z, source = road.height, Source.ESTIMATED
    else:
        z, source = ASSUMED_MOUNTING.z, Source.ASSUMED
    mounting = replace(mounting, z=z, source=Source.ESTIMATED, height_source=source, errors=errors)
    return mounting, tuple(assumed)


def _over_time(directions: list[Directions], start_ns: int) -> list[tuple[float, float, float]]:
    """Seconds, pitch and yaw in radians of every pair that counted."""
    return [
        ((int(stamp) - start_ns) / 1e9, float(pitch), float(yaw))
        for piece in directions
        for stamp, (pitch, yaw) in zip(piece.stamps, piece.angles, strict=True)
    ]
