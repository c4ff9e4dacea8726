"""How long a grid takes: python bench/grid.py.

Masks of a street, 512x288 and 1280x720, the two grids of docs/grid.md, with and without lens
distortion.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "test" / "helpers"))

import numpy as np
from grid_scenes import LABELS, SCENES
from numpy.typing import NDArray

from seg_ros.ground.camera import CameraModel
from seg_ros.ground.grid import DriveableGrid
from seg_ros.ground.grid_spec import GridSpec
from seg_ros.ground.mounting import Mounting
from seg_ros.support.tables import markdown_table

GRIDS = {
    "200x200 at 0.1 m": GridSpec(0.1, 0.0, 20.0, -10.0, 10.0),
    "300x200 at 0.2 m": GridSpec(0.2, 0.0, 60.0, -20.0, 20.0),
}
LENSES = {"none": (), "plumb_bob": (-0.28, 0.07, 0.0002, 1.8e-5)}


def median_ms(call: Callable[[int], object], times: int) -> float:
    seconds = []
    for k in range(times):
        start = time.perf_counter()
        call(k)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds) * 1e3


def figures(spec: GridSpec, camera: CameraModel, masks: dict[str, NDArray[np.uint8]]) -> list[str]:
    grid = DriveableGrid(spec, camera, LABELS)
    tilts = [camera.mounting.tilted(0.01 * side, 0.01) for side in (-1, 1)]
    street = masks["street"]
    times = [median_ms(lambda _, mask=mask: grid.cells(mask), 300) for mask in masks.values()]
    times.append(median_ms(lambda k: grid.cells(street, None, tilts[k % 2]), 300))
    times.append(median_ms(lambda _: grid.first_contacts(), 300))
    # A copy, as what a camera has computed of itself is part of it.
    times.append(median_ms(lambda _: DriveableGrid(spec, replace(camera), LABELS), 15))
    return [f"{time:.2f}" for time in times]


def main() -> None:
    rows = []
    sizes = ((512, 288), (1280, 720))
    for (width, height), (lens, coefficients) in itertools.product(sizes, LENSES.items()):
        camera = CameraModel(
            512, 288, 400, 400, 255.5, 143.5, "plumb_bob", coefficients, Mounting(pitch=0.1)
        ).scaled(width, height)
        masks = {s.name: s.mask(camera) for s in SCENES if s.name in ("street", "empty road")}
        for name, spec in GRIDS.items():
            rows.append([f"{width}x{height}", name, lens, *figures(spec, camera, masks)])
    head = [
        "mask",
        "grid",
        "distortion",
        *masks,
        "street, camera moved",
        "contacts",
        "look-ups anew",
    ]
    print(markdown_table(head, rows))


if __name__ == "__main__":
    main()
