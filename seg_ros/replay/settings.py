"""What a replay takes of the node's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seg_ros.drive.base import Drive
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.mounting import Mounting
from seg_ros.replay.ground import Ground
from seg_ros.replay.views import FrameViews, fixed_mounting
from seg_ros.results.parameters import MOUNTING_NAMES, PARAMETERS
from seg_ros.results.params_file import checked_parameters, only_node

NODE = "segmentation_node"

ENGINE_PARAMETERS = (
    "model",
    "labels",
    "runtime",
    "precision",
    "input_size",
    "mask_size",
    "build_if_missing",
    "cpu_threads",
)
"""Those that say which engine runs."""

USED_PARAMETERS = (
    *ENGINE_PARAMETERS,
    "max_pixels",
    "overlay_opacity",
    "jpeg_quality",
    "base_frame",
    "grid_frame",
    "grid_fusion",
    "grid_profile",
    "grid_resolution",
    "grid_x_min",
    "grid_x_max",
    "grid_y_min",
    "grid_y_max",
    "grid_contact_depth",
    "grid_max_row_span",
    "grid_min_confidence",
    "grid_ignored",
    "mounting_source",
    "odometry_tolerance",
    "attitude_source",
    "attitude_slope_time",
    "camera_file",
    *MOUNTING_NAMES,
)
"""Those that mean something without topics, states and listeners."""


@dataclass(frozen=True)
class ReplaySettings:
    """The parameters of a replay. All of it can be told to another process."""

    given: Mapping[str, Any] = field(default_factory=dict)
    """Of :data:`USED_PARAMETERS` those that somebody set; engine and camera file aside."""
    topics: Mapping[str, str] = field(default_factory=dict)
    """Of a bag for ``odometry`` and ``imu``, where it has several."""
    ground: Ground = field(default_factory=Ground)
    """What was settled on before the first frame."""

    @property
    def values(self) -> dict[str, Any]:
        """All parameters, those not given as they are by default."""
        return {**{spec.name: spec.default for spec in PARAMETERS}, **self.given}

    @property
    def mounting(self) -> Mounting | None:
        """Of a camera that says nothing of it itself; None where nobody set anything of it."""
        if self.ground.mounting is not None:
            return self.ground.mounting
        axes = {n.removeprefix("camera_"): self.given[n] for n in MOUNTING_NAMES if n in self.given}
        return Mounting.from_map(axes) if axes else None

    def fixed_mounting(self, drive: Drive, camera: CameraModel | None) -> Mounting | None:
        """Return where a drive's camera is on its vehicle; None: no camera, or TF says it."""
        if self.values["mounting_source"] == "tf":
            return None
        return fixed_mounting(drive, self.ground.camera or camera, self.mounting)

    def views(self, drive: Drive, camera: CameraModel | None) -> FrameViews:
        """Follow where a drive's frames were taken from.

        Raises:
            SegRosError: as of :class:`seg_ros.replay.views.FrameViews`.

        """
        camera = self.ground.camera or camera
        return FrameViews(drive, camera, self.values, self.mounting, self.topics)


def read_settings(file: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Read what the node's parameter file sets.

    Returns:
        Those of :data:`USED_PARAMETERS` that it sets, and what is to be said, a line each.

    Raises:
        SegRosError: it is none, or has a value that the node refuses.

    """
    node = only_node(file, NODE)
    given = checked_parameters(node, file)
    unused = sorted(set(given) - set(USED_PARAMETERS))
    notes = (
        (f"params_file {file}: of no meaning in a replay: {', '.join(unused)}",) if unused else ()
    )
    return {name: given[name] for name in USED_PARAMETERS if name in given}, notes
