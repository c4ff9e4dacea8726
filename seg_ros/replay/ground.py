"""Before the first frame of a replay: which camera it has, where that sits, and who says so."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from seg_ros.drive.base import Drive
from seg_ros.drive.speed import find_speed
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.camera_file import save_camera
from seg_ros.ground.mounting import ASSUMED_MOUNTING, Mounting, Source
from seg_ros.replay.calibrate import Lens, calibrate
from seg_ros.results.calibration_picture import calibration_picture
from seg_ros.results.outputs import CALIBRATION_NAMES
from seg_ros.segment.segmenter import Segmenter

if TYPE_CHECKING:
    from seg_ros.replay.settings import ReplaySettings


@dataclass(frozen=True)
class Ground:
    """What a replay knows of its ground. All of it can be told to another process."""

    camera: CameraModel | None = None
    """Of every frame, instead of the one that was given or of none."""
    mounting: Mounting | None = None
    """Of the drive's own camera, whose calibration is followed."""
    no_grid: str = ""
    """Why there is no grid, or nothing."""
    said: dict[str, Any] = field(default_factory=dict)
    """``camera``, ``mounting`` and ``grid`` in words; what was found as values."""
    notes: tuple[str, ...] = ()
    """What was assumed, a line each."""


def settle_ground(
    drive: Drive,
    camera: CameraModel | None,
    settings: ReplaySettings,
    segmenter: Segmenter,
    work: Path,
    is_given: bool,
    search: bool,
    on_note: Callable[[str], None] = lambda _: None,
) -> Ground:
    """Decide on camera and mounting, and find what nobody says from the drive.

    Args:
        drive: the frames.
        camera: of the drive, or the one that was given.
        settings: of the replay.
        segmenter: for the search.
        work: folder for what the search leaves: :data:`CALIBRATION_NAMES`.
        is_given: whether a person named the camera.
        search: whether the drive may be searched; otherwise what nobody says is assumed.
        on_note: called with what is to be known at once.

    """
    whence = "a camera YAML" if is_given else "the drive"
    if settings.values["mounting_source"] == "tf":
        text = "from TF, at each frame's stamp"
        return Ground(said={"camera": _lens(camera, whence), "mounting": text, "grid": "made"})
    known = settings.mounting or (camera.mounting if camera else None)
    if camera is not None and known is not None and known.certain:
        text = say_mounting(known)
        return Ground(said={"camera": _lens(camera, whence), "mounting": text, "grid": "made"})
    if not search:
        return _assumed(drive, camera, known, whence)
    on_note("nobody says where the camera sits: it is looked for in the drive (--no-calibrate)")
    height = known.z if known and known.height_source is not Source.ASSUMED else 0.0
    lens = Lens(camera)
    try:
        speed, told = find_speed(drive, settings.topics.get("odometry", ""))
        for line in told:
            on_note(line)
        found = calibrate(drive, segmenter, lens, height, speed)
    except SegRosError as error:
        on_note(f"no grid: {error}")
        none = {"camera": _lens(camera, whence), "mounting": "not found", "grid": f"none: {error}"}
        return Ground(no_grid=str(error), said=none)
    yaml, picture = (work / name for name in CALIBRATION_NAMES)
    save_camera(found.camera, yaml, {"calibration": found.values()})
    done, png = cv2.imencode(".png", calibration_picture(found.shown))
    if done:
        picture.write_bytes(png.tobytes())
    mounting = found.camera.mounting
    if known is not None and known.source is not Source.ASSUMED:  # angles given, height found
        z, errors = mounting.z, replace(known.errors, z=mounting.errors.z)
        mounting = replace(known, z=z, height_source=mounting.height_source, errors=errors)
    if known is not None:
        mounting = replace(mounting, x=known.x, y=known.y)
    sure = mounting.certain and lens.source is not Source.ASSUMED
    text = say_mounting(mounting)
    on_note(f"mounting: {text}")
    said: dict[str, Any] = {
        "camera": _lens(found.camera, whence if camera else "an assumption"),
        "mounting": text,
        "grid": "made" if sure else "estimated: it rests on what is assumed",
        "calibration": {**found.values(), "speed": speed.source if speed else ""},
    }
    notes = tuple(f"the grid is estimated: {line}" for line in found.assumed)
    if camera is not None and not is_given:
        return Ground(mounting=mounting, said=said, notes=notes)
    return Ground(replace(found.camera, mounting=mounting), said=said, notes=notes)


def _assumed(
    drive: Drive, camera: CameraModel | None, known: Mounting | None, whence: str
) -> Ground:
    """Return what is to be said where nothing may be searched."""
    if camera is None:
        reason = drive.camera_problem or "the drive says nothing of its camera"
        said = {"camera": "none", "mounting": "none", "grid": f"none: {reason}"}
        return Ground(no_grid=reason, said=said)
    text = say_mounting(known or ASSUMED_MOUNTING)
    note = f"the grid is estimated: nobody says where the camera sits: {text}"
    said = {
        "camera": _lens(camera, whence),
        "mounting": text,
        "grid": "estimated: it rests on what is assumed",
    }
    return Ground(said=said, notes=(note,))


def _lens(camera: CameraModel | None, whence: str) -> str:
    if camera is None:
        return "none"
    bent = f", {camera.distortion_model}" if camera.distortion else ""
    return f"{camera.width}x{camera.height}, focal length {camera.fx:.1f} px{bent}, from {whence}"


def say_mounting(mounting: Mounting) -> str:
    """Say a mounting in a line: values, standard errors and where they come from."""
    errors = mounting.errors

    def angle(name: str) -> str:
        value, error = (math.degrees(getattr(m, name)) for m in (mounting, errors))
        return f"{name} {value:.2f}{f' ± {error:.2f}' if error else ''}"

    height = f"{mounting.z:.2f}{f' ± {errors.z:.2f}' if errors.z else ''} m"
    return (
        f"{angle('pitch')}, {angle('yaw')}, {angle('roll')} degrees {_WORDS[mounting.source]}; "
        f"height {height} {_WORDS[mounting.height_source]}"
    )


_WORDS = {
    Source.MEASURED: "measured",
    Source.TF: "from TF",
    Source.ESTIMATED: "estimated from the drive",
    Source.ASSUMED: "assumed",
}
