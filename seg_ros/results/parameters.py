"""Every parameter of the node once: name, default, range, description, and when it may change.

Importing this needs no ROS; the table in docs/node.md is generated from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seg_ros.drive.image_size import MAX_PIXELS
from seg_ros.errors import SegRosError
from seg_ros.ground.grid_spec import PROFILES, GridRules, GridSpec, parse_polygon
from seg_ros.ground.mounting import POSE_NAMES, Mounting
from seg_ros.results import topics
from seg_ros.support.choices import DEFAULT_MODEL, PRECISIONS, RUNTIMES
from seg_ros.support.pixels import parse_pixel, parse_size

TRANSPORTS = tuple(topics.TRANSPORTS)
MOUNTING_SOURCES = ("parameters", "tf")
ATTITUDE_SOURCES = ("none", "imu")


@dataclass(frozen=True)
class ParameterSpec:
    """A parameter; its type is that of its default."""

    name: str
    default: bool | int | float | str
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    """Whether a change takes effect at the next frame; otherwise when the node is configured."""
    reload: bool = False
    """Whether the service ~/reload makes a change take effect, too."""
    fixed: bool = False
    """Whether it can be given on start alone, by whoever starts the node."""

    @property
    def change(self) -> str:
        """When a change takes effect."""
        if self.fixed:
            return "start"
        return "live" if self.live else "reload" if self.reload else "configure"

    @property
    def allowed(self) -> str:
        """The values allowed, for people."""
        if self.choices:
            return ", ".join(self.choices)
        if self.low is not None:
            return f"{self.low:g} to {self.high:g}"
        return {bool: "true, false", str: "text"}.get(type(self.default), "number")

    def impossible(self, value: Any) -> str:
        """Say that a value is of another type, or outside the range."""
        whole = isinstance(self.default, float) and type(value) is int
        decimal = " (with a point: 2.0, not 2)" if whole else ""
        return f"{self.name} is {value!r}; it takes {self.allowed}{decimal}"

    def check(self, value: Any) -> str:
        """Say why a value is refused, or nothing. The middleware has checked its type."""
        if self.choices and value not in self.choices:
            return f"{self.name} is {value!r}; use one of {self.allowed}"
        if self.low is not None and self.high is not None and not self.low <= value <= self.high:
            return f"{self.name} is {value}; it must be {self.allowed}"
        return ""


_MOUNTING = Mounting()
_GRID = GridSpec()
_RULES = GridRules()


def _metres(name: str, default: float, description: str) -> ParameterSpec:
    return ParameterSpec(name, default, description, -1000.0, 1000.0, live=True)


def _angle(name: str, default: float, description: str) -> ParameterSpec:
    return ParameterSpec(name, default, description, -3.15, 3.15, live=True)


def _switch(name: str, topic: str) -> ParameterSpec:
    return ParameterSpec(name, True, f"publish `{topic}` when someone listens", live=True)


PARAMETERS = (
    ParameterSpec("autostart", True, "configure and activate on start"),
    ParameterSpec(
        "model",
        DEFAULT_MODEL,
        "catalogue name (`seg_ros models`), ONNX file, checkpoint file or folder, or hub name",
        reload=True,
    ),
    ParameterSpec(
        "labels", "", "label set, bundled name or YAML file; empty: the model's own", reload=True
    ),
    ParameterSpec(
        "runtime",
        "auto",
        "what runs the network; auto: the fastest here",
        choices=RUNTIMES,
        reload=True,
    ),
    ParameterSpec(
        "precision",
        "auto",
        "of the engine; auto: the fastest that passed verification",
        choices=PRECISIONS,
        reload=True,
    ),
    ParameterSpec(
        "input_size",
        "",
        "HxW of the network's input, such as 512x1024; empty: the model's own",
        reload=True,
    ),
    ParameterSpec(
        "mask_size",
        "",
        "HxW of the camera: a GPU engine then decides the classes itself; empty: the input's",
        reload=True,
    ),
    ParameterSpec(
        "build_if_missing",
        True,
        "build and verify the engine (minutes, once) where `seg_ros build` has not",
        reload=True,
    ),
    ParameterSpec(
        "cpu_threads", 0, "CPU threads of the engine; 0 is all cores", 0, 256, reload=True
    ),
    ParameterSpec(
        "image_transport",
        "raw",
        "`image`, `image/compressed`, or H.264 and H.265 on `image/video` or `image/ffmpeg`",
        choices=TRANSPORTS,
    ),
    ParameterSpec(
        "max_pixels",
        MAX_PIXELS,
        "of an image; a larger one is rejected from its header, before it is decoded",
        1,
        1_000_000_000,
        live=True,
    ),
    ParameterSpec(
        "stall_timeout",
        10.0,
        "seconds a thread may be at one frame; longer is an error in the diagnostics, and on "
        "deactivation the frame is given up (loading a network may take ten times as long)",
        0.1,
        3600.0,
        live=True,
    ),
    _switch("publish_mask", "segmentation/mask"),
    _switch("publish_confidence", "segmentation/confidence"),
    _switch("publish_color", "segmentation/color"),
    _switch("publish_overlay", "segmentation/overlay"),
    _switch("publish_grid", "segmentation/driveable_grid"),
    _switch("publish_contacts", "segmentation/first_contact"),
    _switch("publish_attention", "segmentation/attention"),
    ParameterSpec("attention_stage", 4, "of the encoder, whose heads are shown", 1, 4, live=True),
    ParameterSpec(
        "attention_query",
        "",
        "`x,y`, pixel whose attention is shown; empty: the mean over all",
        live=True,
    ),
    ParameterSpec("overlay_opacity", 0.5, "of the class colours", 0.0, 1.0, live=True),
    ParameterSpec("jpeg_quality", 80, "of the compressed overlay", 1, 100, live=True),
    ParameterSpec("base_frame", "base_link", "vehicle frame: x forward, z = 0 on the ground"),
    ParameterSpec(
        "grid_frame",
        "base_link",
        "frame of the grid: `base_frame`, or that of `odometry` for a grid along its axes",
    ),
    ParameterSpec(
        "grid_fusion",
        False,
        "fuse grids over time; needs `odometry`, and what is free may have been so a moment ago",
    ),
    ParameterSpec(
        "grid_profile",
        "nav2",
        "cell values, free / occupied / unknown: nav2 0 / 100 / -1, autoware 1 / 99 / 50",
        choices=tuple(PROFILES),
        live=True,
    ),
    ParameterSpec("grid_resolution", _GRID.resolution, "cell size, m", 0.01, 10.0, live=True),
    _metres("grid_x_min", _GRID.x_min, "rear edge of the grid, m"),
    _metres("grid_x_max", _GRID.x_max, "front edge of the grid, m"),
    _metres("grid_y_min", _GRID.y_min, "right edge of the grid, m"),
    _metres("grid_y_max", _GRID.y_max, "left edge of the grid, m"),
    ParameterSpec(
        "grid_contact_depth",
        _RULES.contact_depth,
        "occupied from an obstacle's near edge on, m; beyond is unknown",
        0.01,
        100.0,
        live=True,
    ),
    ParameterSpec(
        "grid_max_row_span",
        _RULES.max_row_span,
        "ground one mask row may cover, m; where it covers more the grid is unknown",
        0.01,
        100.0,
        live=True,
    ),
    ParameterSpec(
        "grid_min_confidence",
        _RULES.min_confidence,
        "driveable pixels less sure than this are not free",
        0.0,
        1.0,
        live=True,
    ),
    ParameterSpec(
        "grid_ignored",
        "",
        "polygon round the own bonnet, `x y, x y, x y` as parts of image width and height",
        live=True,
    ),
    ParameterSpec(
        "mounting_source",
        "parameters",
        "`camera_file` and `camera_*`, or TF from `base_frame` at the frame's stamp",
        choices=MOUNTING_SOURCES,
    ),
    ParameterSpec(
        "odometry_tolerance",
        0.3,
        "seconds from the nearest odometry to the image that its twist carries the pose over; "
        "further away there is no grid",
        0.0,
        2.0,
    ),
    ParameterSpec(
        "attitude_source",
        "none",
        "pitch and roll at the frame's stamp: none, or from `imu`",
        choices=ATTITUDE_SOURCES,
    ),
    ParameterSpec(
        "attitude_slope_time",
        5.0,
        "seconds over which the IMU's mean is the road's slope; 0: the road is level",
        0.0,
        600.0,
    ),
    ParameterSpec("camera_file", "", "camera YAML used instead of `camera_info` and `camera_*`"),
    _metres("camera_x", _MOUNTING.x, "camera ahead of base_link, m"),
    _metres("camera_y", _MOUNTING.y, "camera left of base_link, m"),
    ParameterSpec("camera_z", _MOUNTING.z, "camera above ground, m", 0.01, 1000.0, live=True),
    _angle("camera_roll", _MOUNTING.roll, "camera roll, rad (REP 103)"),
    _angle("camera_pitch", _MOUNTING.pitch, "camera pitch, rad; positive looks down"),
    _angle("camera_yaw", _MOUNTING.yaw, "camera yaw, rad; positive looks left"),
    ParameterSpec(
        "snapshot_folder",
        "",
        "where `~/snapshot` writes; empty: `seg_ros/snapshots` in `$ROS_HOME` or `~/.ros`",
        fixed=True,
    ),
)

BY_NAME = {spec.name: spec for spec in PARAMETERS}
RELOADED = tuple(spec.name for spec in PARAMETERS if spec.reload)
MOUNTING_NAMES = tuple(f"camera_{name}" for name in POSE_NAMES)


def grid_spec(values: Mapping[str, Any]) -> GridSpec:
    """Return the grid of a set of parameter values.

    Raises:
        SegRosError: the grid is empty or has too many cells.

    """
    return GridSpec(
        values["grid_resolution"],
        values["grid_x_min"],
        values["grid_x_max"],
        values["grid_y_min"],
        values["grid_y_max"],
    )


def grid_rules(values: Mapping[str, Any]) -> GridRules:
    """Return what counts as what in the grid, of a set of parameter values.

    Raises:
        SegRosError: the polygon is none.

    """
    return GridRules(
        values["grid_contact_depth"],
        values["grid_max_row_span"],
        values["grid_min_confidence"],
        parse_polygon(values["grid_ignored"]),
    )


def mounting(values: Mapping[str, Any]) -> Mounting:
    """Return the camera mounting of a set of parameter values."""
    return Mounting(*(values[name] for name in MOUNTING_NAMES))


def refusal(current: Mapping[str, Any], changes: Mapping[str, Any], configured: bool) -> str:
    """Say why a change of parameters is refused, or nothing when it is fine.

    Args:
        current: the values now.
        changes: new values of some.
        configured: whether the node is configured, so that only what is live or waits for a reload
            may change.

    """
    for name, value in changes.items():
        spec = BY_NAME.get(name)
        if spec is None:
            continue  # not ours: use_sim_time and the like
        reason = spec.check(value)
        if reason:
            return reason
        if configured and not (spec.live or spec.reload) and value != current.get(name):
            return (
                f"{name} takes effect when the node is configured; "
                "deactivate and clean it up, set it, then configure and activate it again"
            )
    try:
        merged = {**current, **changes}
        grid_spec(merged)
        grid_rules(merged)
        mounting(merged)
        if merged["attention_query"]:
            parse_pixel(merged["attention_query"])
        parse_size(merged["input_size"])
        parse_size(merged["mask_size"])
    except SegRosError as error:
        return str(error)
    if merged["grid_fusion"] and merged["grid_frame"] == merged["base_frame"]:
        return "grid_fusion needs a grid that stands still: set grid_frame to the frame of odometry"
    return ""
