"""Where each frame of a drive was taken from, as the node would have known it live.

What the node hears is heard here in the order it was recorded in: before a frame all odometry and
IMU logged up to it, of TF a little more, as the node waits for it. So a frame is seen from the same
place, and its grid has the same bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from seg_ros.drive.bag import Bag
from seg_ros.drive.bag_drive import BagDrive
from seg_ros.drive.base import Drive, DriveFrame, RawMessage
from seg_ros.drive.messages import NANOSECONDS
from seg_ros.drive.transforms import TF_TYPE, RecordedTransforms
from seg_ros.drive.vehicle import IMU, ODOMETRY, Vehicle
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.mounting import ASSUMED_MOUNTING, Mounting
from seg_ros.ground.world_grid import Pose
from seg_ros.replay.cameras import FrameCameras

_TYPES = {ODOMETRY: "nav_msgs/msg/Odometry", IMU: "sensor_msgs/msg/Imu"}

_STATIC = 10_000
"""Messages of static transforms that are heard before the first frame."""

_TF_WAIT_NS = NANOSECONDS // 10
"""How long the node waits for a transform."""


@dataclass(frozen=True)
class View:
    """A frame, and where it was taken from."""

    frame: DriveFrame
    camera: CameraModel | None
    """Mounted as at the frame's stamp; None: there is no grid."""
    mounting: Mounting | None = None
    """Of the camera on the vehicle, however that leans; None where it is not known."""
    pose: Pose | None = None
    """Of the vehicle in the grid's frame; None where that is the vehicle's own."""
    notes: tuple[str, ...] = ()
    """What is to be said of it."""


def needs_order(values: Mapping[str, Any]) -> bool:
    """Whether the grid of a frame depends on messages, or on frames, before it."""
    return bool(
        values["grid_frame"] != values["base_frame"]
        or values["attitude_source"] == "imu"
        or values["mounting_source"] == "tf"
    )


def fixed_mounting(
    drive: Drive, camera: CameraModel | None, mounting: Mounting | None
) -> Mounting | None:
    """Return where a drive's camera is on its vehicle, TF aside; None where it has no camera.

    Args:
        drive: the drive.
        camera: given instead of the drive's, or the drive's own.
        mounting: of the drive's own camera, where it is given.

    """
    if camera is not None and camera is not drive.camera:
        return camera.mounting
    if drive.camera is None and len(drive.topics) < 2:
        return None
    return mounting or (drive.camera.mounting if drive.camera else ASSUMED_MOUNTING)


class FrameViews:
    """Follows a drive's calibration and its vehicle.

    Args:
        drive: a bag, where anything but the calibration is asked for.
        camera: the camera of every frame, where it is given instead of the drive's.
        values: of the node's parameters.
        mounting: of the drive's own camera; None for the one it has.
        topics: of the bag for :data:`ODOMETRY` and :data:`IMU`, where it has several.

    Raises:
        SegRosError: a topic that was chosen is not there, or there are several to choose from.

    """

    def __init__(
        self,
        drive: Drive,
        camera: CameraModel | None,
        values: Mapping[str, Any],
        mounting: Mounting | None = None,
        topics: Mapping[str, str] | None = None,
    ) -> None:
        self._cameras = FrameCameras(drive, camera, mounting)
        self._vehicle: Vehicle | None = None
        self._refused: deque[str] = deque()
        self._hearing: _Hearing | None = None
        self._missing = ""
        if not needs_order(values):
            return
        transforms = RecordedTransforms() if values["mounting_source"] == "tf" else None
        self._vehicle = Vehicle(values, transforms, self._refused.append)
        heard = self._vehicle.heard()
        if not isinstance(drive, BagDrive):
            missing = [*heard, *(["TF"] if transforms else [])]
            self._missing = f"{drive.name} is no bag, so it has no {' and no '.join(missing)}"
            return
        chosen = {name: _choose(drive.bag, name, (topics or {}).get(name, "")) for name in heard}
        lost = [name for name, topic in chosen.items() if not topic]
        if lost:
            kinds = " and no ".join(f"{_TYPES[name]} for {name}" for name in lost)
            self._missing = f"bag {drive.name} has no {kinds}"
            return
        callbacks = {topic: heard[name] for name, topic in chosen.items()}
        self._hearing = _Hearing(drive.bag, callbacks, transforms)

    def along(self, frames: Iterator[DriveFrame], start: int) -> Iterator[View]:
        """Yield frames with where they were taken from.

        Args:
            frames: those of the drive from ``start`` on.
            start: index of the first; it is seen as if the drive had been read from its beginning.

        """
        for frame, camera, note in self._cameras.along(frames, start):
            notes = [n for n in (note, frame.note) if n]
            mounting = camera.mounting if camera is not None else None
            pose = None
            if self._vehicle is not None:
                if self._hearing is not None and frame.raw is not None:
                    self._hearing.up_to(frame.raw.log_ns)
                notes += [f"not used: {reason}" for reason in self._refused]
                self._refused.clear()
                if camera is not None and self._missing:
                    camera = mounting = None
                    notes.append(f"no grid: {self._missing}")
                elif camera is not None:
                    try:
                        at = (frame.frame_id, frame.stamp_ns)
                        mounting = self._vehicle.mounting_at(camera.mounting, *at)
                        pose = self._vehicle.pose_at(frame.stamp_ns)
                        camera = self._vehicle.camera_at(camera, *at)
                    except SegRosError as error:
                        camera = mounting = None
                        notes.append(f"no grid: {error}")
                    except Exception as error:  # the grid's alone, whatever it is
                        camera = mounting = None
                        notes.append(f"no grid: unexpected {type(error).__name__}: {error}")
            yield View(frame, camera, mounting, pose, tuple(notes))


def _choose(bag: Bag, name: str, wanted: str) -> str:
    """Return the topic of a bag that the node would have as ``odometry`` or ``imu``, or none.

    Raises:
        SegRosError: the one wanted is not there, or there are several.

    """
    kind = _TYPES[name]
    there = [t.name for t in bag.topics if t.message_type == kind and t.count != 0]
    chosen = [t for t in there if t == wanted] if wanted else there
    if len(chosen) > 1:  # the node's own name, if there is one
        chosen = [t for t in chosen if t.rpartition("/")[2] == name] or chosen
    if len(chosen) == 1 or not there:
        return chosen[0] if chosen else ""
    if not chosen:
        raise SegRosError(f"bag {bag.name} has no {kind} on {wanted}; it has {', '.join(there)}")
    raise SegRosError(
        f"bag {bag.name} has several topics for {name}, choose one with --{name}: "
        f"{', '.join(sorted(chosen))}"
    )


class _Hearing:
    """Hands a bag's messages on as its log times pass."""

    def __init__(
        self,
        bag: Bag,
        callbacks: Mapping[str, Callable[[Any], None]],
        transforms: RecordedTransforms | None,
    ) -> None:
        self._callbacks = callbacks
        self._transforms = transforms
        tf = {t.name for t in bag.topics if t.message_type == TF_TYPE} if transforms else set()
        self._messages = bag.messages({*callbacks, *tf})
        self._next: RawMessage | None = None
        self._waiting: deque[RawMessage] = deque()
        self._ended = False
        if transforms is not None:
            self._hear_static(bag, {t for t in tf if t.endswith("tf_static")})

    def _hear_static(self, bag: Bag, topics: set[str]) -> None:
        """Hear what is transient local before all else, as who comes late does."""
        try:
            static = list(islice(bag.messages(topics), _STATIC)) if topics else []
        except SegRosError:  # said where the frames are read
            return
        for raw in reversed(static):  # of several for one frame the first counts until its time
            self._take(raw)

    def up_to(self, log_ns: int) -> None:
        """Hand on what was recorded until a log time."""
        while not self._ended:
            if self._next is None:
                try:
                    self._next = next(self._messages, None)
                except SegRosError:  # said where the frames are read
                    self._next = None
                if self._next is None:
                    self._ended = True
                    break
            if self._next.log_ns > log_ns + _TF_WAIT_NS:
                break
            if self._next.topic.name in self._callbacks:
                self._waiting.append(self._next)
            else:
                self._take(self._next)
            self._next = None
        while self._waiting and self._waiting[0].log_ns <= log_ns:
            self._take(self._waiting.popleft())

    def _take(self, raw: RawMessage) -> None:
        try:
            message = raw.deserialize()
        except SegRosError:
            return
        name = raw.topic.name
        if name in self._callbacks:
            self._callbacks[name](message)
        elif self._transforms is not None:
            self._transforms.add(message, name.endswith("tf_static"))
