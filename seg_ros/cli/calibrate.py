"""``seg_ros calibrate``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from seg_ros.cli.arguments import (
    MODEL_HELP,
    add_drive,
    add_engine,
    add_json,
    check_json,
    load,
    write_json,
)
from seg_ros.errors import SegRosError
from seg_ros.support.choices import DEFAULT_MODEL

if TYPE_CHECKING:
    from seg_ros.ground.camera import CameraModel
    from seg_ros.replay.calibrate import Calibration

SUMMARY = "find where the camera sits, from a drive"
EXAMPLES = ("seg_ros calibrate drive.mp4 --fov 80 --height 1.4 -o camera.yaml",)
PICTURE = "calibration.png"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Take a drive, what is known of its camera, and where the result goes."""
    add_drive(command)
    command.add_argument(
        "-o", "--out", type=Path, required=True, metavar="YAML", help="camera YAML to write"
    )
    command.add_argument("--replace", action="store_true", help="replace files already there")
    known = command.add_mutually_exclusive_group()
    known.add_argument("--camera", type=Path, help="camera YAML with the lens")
    known.add_argument("--focal", type=_positive, default=0.0, help="focal length, pixels")
    known.add_argument("--fov", type=_degrees, default=0.0, help="field of view across, degrees")
    command.add_argument(
        "--height", type=_positive, default=0.0, help="of the camera above the ground, metres"
    )
    command.add_argument("--odometry", default="", metavar="TOPIC", help="that gives the scale")
    command.add_argument("--model", default=DEFAULT_MODEL, help=MODEL_HELP)
    add_engine(command)
    add_json(command, "result")


def _positive(text: str) -> float:
    value = float(text)
    if not 0.01 <= value <= 1e5:
        raise ValueError
    return value


def _degrees(text: str) -> float:
    value = float(text)
    if not 5 <= value <= 170:
        raise ValueError
    return value


def run(options: argparse.Namespace) -> int:
    """Find it, and write and say it."""
    import cv2
    from tqdm import tqdm

    from seg_ros.drive import open_drive
    from seg_ros.drive.speed import find_speed
    from seg_ros.ground.camera_file import load_camera, save_camera
    from seg_ros.replay.calibrate import Lens, calibrate
    from seg_ros.results.calibration_picture import calibration_picture

    check_json(options.json)
    picture = options.out.with_name(PICTURE)
    for path in (options.out, picture):
        if path.exists() and not options.replace:
            raise SegRosError(f"{path} exists; give another name or --replace")
    given = load_camera(options.camera) if options.camera else None
    drive = open_drive(options.drive, options.topic, options.fps, given is not None)
    camera = given or (None if options.focal or options.fov else drive.camera)
    speed, notes = find_speed(drive, options.odometry)
    for note in (*drive.notes, *notes):
        print(note)
    segmenter = load(options)
    with tqdm(total=drive.frame_count, unit="frame", desc="calibrate") as bar:
        found = calibrate(
            drive,
            segmenter,
            Lens(camera, options.focal, options.fov),
            options.height,
            speed,
            on_frame=bar.update,
        )
    values = {"drive": options.drive, "speed": speed.source if speed else "", **found.values()}
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        save_camera(found.camera, options.out, {"calibration": values})
        done, png = cv2.imencode(".png", calibration_picture(found.shown))
        assert done
        picture.write_bytes(png.tobytes())
    except OSError as error:
        raise SegRosError(f"cannot write {options.out}: {error.strerror or error}") from error
    if options.json:
        write_json(options.json, values)
    _say(found, next(iter(f.frame_id for f in drive.frames(0, 1)), "camera"))
    print(f"look at {picture}: the yellow line must lie on the horizon")
    return 0


def _say(found: Calibration, frame_id: str) -> None:
    """Print what was found, for a person, for TF and for a URDF."""
    import math

    from seg_ros.support.tables import text_table

    mounting = found.camera.mounting
    rows = [("", "value", "standard error", "")]
    for name in ("pitch", "yaw", "roll"):
        value, error = getattr(mounting, name), getattr(mounting.errors, name)
        rows.append(
            (
                name,
                f"{math.degrees(value):.2f} deg",
                f"{math.degrees(error):.2f} deg" if error else "",
                mounting.source.value if error else "assumed",
            )
        )
    error = mounting.errors.z
    rows.append(
        (
            "height",
            f"{mounting.z:.2f} m",
            f"{error:.2f} m" if error else "",
            mounting.height_source.value,
        )
    )
    print(text_table(rows))
    pairs = ", ".join(f"{count} {name}" for name, count in found.verdicts.items())
    print(f"pairs of frames: {pairs}; {found.aim.pairs} counted")
    if found.cuts:
        print(f"cuts before frames {', '.join(map(str, found.cuts))}")
    for line in found.assumed:
        print(f"assumed: {line}")
    for line in transform_lines(found.camera, frame_id):
        print(line)


def transform_lines(camera: CameraModel, frame_id: str) -> list[str]:
    """Return the mounting as a line for static_transform_publisher and as joints of a URDF.

    Args:
        camera: with its mounting.
        frame_id: of the images, which is an optical frame (REP 103).

    """
    from seg_ros.ground.mounting import quaternion_of_rotation

    m = camera.mounting
    x, y, z, w = quaternion_of_rotation(m.base_from_optical)
    place = f"{m.x:.4f} {m.y:.4f} {m.z:.4f}"
    frame = frame_id or "camera_optical_frame"
    return [
        "ros2 run tf2_ros static_transform_publisher "
        f"--x {m.x:.4f} --y {m.y:.4f} --z {m.z:.4f} "
        f"--qx {x:.6f} --qy {y:.6f} --qz {z:.6f} --qw {w:.6f} "
        f"--frame-id base_link --child-frame-id {frame}",
        '<joint name="camera_joint" type="fixed"><parent link="base_link"/>'
        f'<child link="camera_link"/><origin xyz="{place}" '
        f'rpy="{m.roll:.6f} {m.pitch:.6f} {m.yaw:.6f}"/></joint>',
    ]
