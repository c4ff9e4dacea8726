"""How well `seg_ros calibrate` finds cameras whose mounting is known: the synthetic drive's."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import Drive, DriveFrame
from seg_ros.drive.speed import SpeedTrack
from seg_ros.drive.speed.track import speed_track
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.grid import DriveableGrid
from seg_ros.ground.grid_spec import FREE, GridSpec
from seg_ros.ground.mounting import Mounting
from seg_ros.labels import load_label_set
from seg_ros.replay.calibrate import Lens, find_mounting
from seg_ros.replay.ground import say_mounting
from seg_ros.replay.pairs import PairWalk, View
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
        made.append(CameraModel(WIDTH, HEIGHT, focal, focal, *center, "plumb_bob", bent, mounting))
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


def scene_walk(camera: CameraModel, seed: int) -> PairWalk:
    """Pairs of a minute of the synthetic drive, with its own masks."""
    scene = SyntheticDrive(round(SECONDS * RATE), camera.width, camera.height, RATE, seed, camera)
    drive = CameraDrive(scene)

    def mask(view: View) -> NDArray[np.uint8]:
        return drive.masks[view.frame.index]

    return PairWalk(drive, mask, load_label_set("camvid"), camera.fitted)


def odometry() -> SpeedTrack:
    """Return the speed that the scene drives at, at its frames' stamps."""
    stamps = 1_700_000_000_000_000_000 + np.arange(round(SECONDS * RATE)) * round(1e9 / RATE)
    return speed_track("the scene", stamps, np.full(len(stamps), EGO_SPEED))


def misses(camera: CameraModel, walk: PairWalk) -> dict[str, tuple[float, float]]:
    """Error and standard error of each value: degrees, and per cent of the height.

    Raises:
        SegRosError: nothing was found.

    """
    found = find_mounting(walk, load_label_set("camvid"), Lens(camera), speed=odometry())
    true, said = camera.mounting, found.camera.mounting
    values = {
        name: (
            math.degrees(getattr(said, name) - getattr(true, name)),
            math.degrees(getattr(said.errors, name)),
        )
        for name in ("pitch", "yaw", "roll")
    }
    values["height"] = (100 * (said.z / true.z - 1), 100 * said.errors.z / true.z)
    return values


def print_table(rows: list[dict[str, tuple[float, float]]]) -> None:
    """Say what came of all cameras together."""
    print("| value | median error | worst | within two standard errors | median standard error |")
    print("| --- | --- | --- | --- | --- |")
    inside = total = 0
    for name, unit in (("pitch", "°"), ("yaw", "°"), ("roll", "°"), ("height", " %")):
        off = np.array([abs(row[name][0]) for row in rows])
        error = np.array([row[name][1] for row in rows])
        within = int((off <= 2 * error).sum())
        inside, total = inside + within, total + len(rows)
        print(
            f"| {name} | {np.median(off):.3f}{unit} | {off.max():.3f}{unit} | "
            f"{within} of {len(rows)} | {np.median(error):.3f}{unit} |"
        )
    print(f"{inside} of {total} values lie within two standard errors ({inside / total:.0%})")


def print_grid() -> None:
    """Compare grids of the street with the true mounting and with the one found from it."""
    scene = SyntheticDrive(150, WIDTH, HEIGHT, RATE)
    drive, labels = CameraDrive(scene), load_label_set("camvid")
    walk = PairWalk(drive, lambda view: drive.masks[view.frame.index], labels, scene.camera.fitted)
    found = find_mounting(walk, labels, Lens(scene.camera), speed=odometry()).camera
    print(f"found: {say_mounting(found.mounting)}; true: {say_mounting(scene.camera.mounting)}")
    spec = GridSpec(0.2, 0.0, 20.0, -8.0, 8.0)
    rows, columns = spec.shape
    inside = np.linspace(1e-3, 1 - 1e-3, 3)
    x, y = np.meshgrid(
        ((np.arange(columns)[:, None] + inside) * spec.resolution).ravel() + spec.x_min,
        ((np.arange(rows)[:, None] + inside) * spec.resolution).ravel() + spec.y_min,
    )
    counts = {"true": [0, 0, 0], "found": [0, 0, 0]}
    indices = range(3, len(scene), 12)
    grids = {"true": scene.camera, "found": found}
    made = {name: DriveableGrid(spec, camera, labels) for name, camera in grids.items()}
    for index in indices:
        bad = (scene.ground_class(index, x, y) != 3) | ~scene.ground_visible(index, x, y)
        bad = bad.reshape(rows, 3, columns, 3).any(axis=(1, 3))
        for name, grid in made.items():
            free = grid.cells(scene[index].class_mask) == FREE
            counts[name][0] += int((free & bad).sum())
            counts[name][1] += int((free & ~bad)[:, :90].sum())
            counts[name][2] += int((~bad)[:, :90].sum())
    for name, (unsafe, hit, wanted) in counts.items():
        frames = len(indices)
        print(f"{name}: {unsafe} unsafe cells, recall {hit / wanted:.3f} over {frames} frames")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=24)
    parser.add_argument("--grid", action="store_true", help="compare grids instead")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.grid:
        print_grid()
        return
    rows = []
    for number, camera in enumerate(cameras(options.cameras)):
        try:
            row = misses(camera, scene_walk(camera, number))
        except SegRosError as error:
            print(f"camera {number}: {error}", flush=True)
            continue
        rows.append(row)
        told = ", ".join(f"{name} {off:+.3f} ± {error:.3f}" for name, (off, error) in row.items())
        print(f"camera {number}: {told}", flush=True)
    print_table(rows)


if __name__ == "__main__":
    main()
