"""Open roads: what kinds there are, and how one is drawn from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from seg_ros.ground.camera import CameraModel
from seg_ros.ground.mounting import Mounting
from seg_ros.synthetic.basics import linear
from seg_ros.synthetic.ego import Bonnet, fit_bonnet
from seg_ros.synthetic.road import (
    CROP,
    DASHED,
    DOUBLE,
    DRY_GRASS,
    EARTH,
    GRASS,
    GRAVEL,
    NO_LINE,
    PLOUGHED,
    SAND,
    SNOW,
    SOLID,
    Road,
)
from seg_ros.synthetic.weather import Weather, draw_weather

KINDS = ("highway", "country")
LIGHTS = ("day", "low sun", "overcast", "mist", "dusk", "night")
VERGES = {
    "grass": GRASS,
    "dry grass": DRY_GRASS,
    "sand": SAND,
    "gravel": GRAVEL,
    "earth": EARTH,
    "snow": SNOW,
}
BARRIERS = ("none", "rail", "concrete")

_BEYOND = {
    GRASS: (GRASS, GRASS, CROP),
    DRY_GRASS: (DRY_GRASS, DRY_GRASS, GRASS, SAND),
    SAND: (SAND, SAND, DRY_GRASS, DRY_GRASS),
    GRAVEL: (GRASS, DRY_GRASS, EARTH, GRAVEL),
    EARTH: (GRASS, DRY_GRASS, EARTH),
    SNOW: (SNOW,),
}
_FIELDS = (CROP, CROP, PLOUGHED, DRY_GRASS, GRASS, EARTH)
_SURFACES = ((92, 92, 91), (104, 104, 103), (78, 77, 76), (66, 65, 64), (128, 132, 134))
_WET = {"day": 0.08, "low sun": 0.1, "overcast": 0.4, "mist": 0.4, "dusk": 0.4, "night": 0.35}
_NEVER = 1e9


@dataclass(frozen=True)
class Place:
    """An open road to drive along: all that is not laid out from the drive's seed.

    `speed` [m/s] and `offset` [m, left of the path] are the vehicle's. `bends` are the least and
    the largest radius [m] of the road's curves. `rails` are what runs along the left and the right
    edge, one of `BARRIERS`. `woods` and `traffic` are densities from 0 to 1.
    """

    road: Road
    weather: Weather
    speed: float = 25.0
    offset: float = -1.75
    bends: tuple[float, float] = (300.0, 900.0)
    rails: tuple[str, str] = ("none", "none")
    woods: float = 0.5
    traffic: float = 0.5
    hills: float = 0.0  # height [m]
    banks: float = 0.0  # share of the road's length
    tufts: float = 0.0  # of tall grass along the edges, a density
    bridge: bool = False  # one crosses over
    tunnel: tuple[float, float] | None = None  # from, to [m] along the path
    bonnet: Bonnet | None = None


def draw_place(
    rng: np.random.Generator,
    camera: CameraModel,
    *,
    kind: str | None = None,
    light: str | None = None,
    verge: str | None = None,
    barrier: str | None = None,
    bonnet: bool | None = None,
    wet: bool | None = None,
    tunnel: bool | None = None,
    ramp: bool | None = None,
) -> Place:
    """Draw an open road from `rng`; what is given is not drawn.

    `kind`, `light`, `verge` and `barrier` are of `KINDS`, `LIGHTS`, `VERGES`, `BARRIERS`. A bonnet
    is fitted into the view of `camera`; with `bonnet` it is there if it can be. Only highways
    have ramps, and a tunnel is only drawn by day and where there is no ramp.
    """
    kind = kind or ("highway" if rng.random() < 0.5 else "country")
    light = light or str(rng.choice(LIGHTS, p=(0.36, 0.13, 0.16, 0.06, 0.07, 0.22)))
    verge = verge or str(rng.choice(list(VERGES), p=(0.22, 0.2, 0.2, 0.14, 0.08, 0.16)))
    chances = (0.25, 0.45, 0.3) if kind == "highway" else (0.6, 0.35, 0.05)
    barrier = barrier or str(rng.choice(BARRIERS, p=chances))
    weather = draw_weather(rng, light)
    road, offset = _highway(rng) if kind == "highway" else _country(rng)
    ground = VERGES[verge]
    beyond = int(rng.choice(_BEYOND[ground]))
    road = road._replace(
        phase=float(rng.uniform(0.0, 6.28)),
        surface=linear(*(rng.normal(1.0, 0.02) * c for c in _SURFACES[int(rng.integers(5))])),
        worn=float(rng.uniform(0.0, 1.0)),
        verge=ground,
        beyond=beyond,
        field=SNOW if ground == SNOW else int(rng.choice(_FIELDS)),
        field_from=float(rng.uniform(16.0, 60.0)),
        snow=float(rng.uniform(0.0, 0.9)) if ground == SNOW and rng.random() < 0.6 else 0.0,
    )
    if wet if wet is not None else not road.snow and rng.random() < _WET[light]:
        road = road._replace(wet=float(rng.uniform(0.3, 1.0)), snow=0.0)
    if kind == "highway" and (ramp if ramp is not None else rng.random() < 0.35):
        road = road._replace(
            ramp_start=float(rng.uniform(-190.0, 0.0)),
            ramp_width=float(rng.uniform(3.4, 4.5)),
            ramp_bend=float(rng.uniform(150.0, 500.0)),
        )
    under = None
    can = light not in ("night", "dusk") and road.ramp_width == 0.0
    if can and (tunnel if tunnel is not None else rng.random() < 0.13):
        start = float(
            rng.uniform(-130.0, -20.0) if rng.random() < 0.5 else rng.uniform(15.0, 130.0)
        )
        under = (start, start + float(rng.uniform(120.0, 320.0)))
        road = road._replace(roof_start=under[0], roof_end=under[1], roof_share=0.74)
    other = barrier if kind == "highway" or rng.random() < 0.4 else "none"
    wants = bonnet if bonnet is not None else rng.random() < 0.45
    below = rng.uniform(0.70, 0.95) * camera.height - camera.cy
    return Place(
        road=road,
        weather=weather,
        speed=float(rng.uniform(22.0, 34.0) if kind == "highway" else rng.uniform(13.0, 25.0)),
        offset=offset + float(rng.normal(0.0, 0.2)),
        bends=(500.0, 2500.0) if kind == "highway" else (130.0, 600.0),
        rails=(other, barrier),
        woods=float(rng.uniform(0.0, 1.0)),
        traffic=float(rng.uniform(0.1, 1.0)),
        hills=float(rng.uniform(8.0, 45.0)) if rng.random() < 0.5 else 0.0,
        banks=float(rng.uniform(0.2, 0.8)) if rng.random() < 0.4 else 0.0,
        tufts=float(rng.uniform(0.1, 0.9)) if rng.random() < 0.65 else 0.0,
        bridge=bool(kind == "highway" and under is None and rng.random() < 0.4),
        tunnel=under,
        bonnet=fit_bonnet(rng, camera, below) if wants else None,
    )


def _highway(rng: np.random.Generator) -> tuple[Road, float]:
    """Return a carriageway of two to four lanes with its shoulders, and the middle of a lane."""
    lanes, lane = int(rng.choice([2, 2, 3, 3, 4])), float(rng.uniform(3.4, 3.75))
    inner, outer = float(rng.uniform(0.4, 1.3)), float(rng.uniform(1.2, 3.2))
    half = (lanes * lane + inner + outer) / 2
    median = float(rng.choice([rng.uniform(0.8, 2.5), rng.uniform(3.0, 12.0)]))
    line = half - inner
    dash, period = ((3.0, 9.0), (6.0, 18.0), (3.0, 12.0), (4.0, 12.0))[int(rng.integers(4))]
    road = _flat(half)._replace(
        ragged=float(rng.uniform(0.0, 0.04)),
        other_near=half + median if rng.random() < 0.85 else 0.0,
        other_far=half + median + 2 * half,
        line=line,
        lanes=lanes,
        lane_width=lane,
        dash=dash,
        period=period,
        yellow=bool(rng.random() < 0.3),
        verge_width=float(rng.uniform(1.0, 6.0)),
    )
    if road.other_near == 0.0:
        road = road._replace(other_far=0.0)
    return road, line - lane * (int(rng.integers(lanes)) + 0.5)


def _country(rng: np.random.Generator) -> tuple[Road, float]:
    """Return a road of two lanes, and the middle of the right one."""
    lane, edge = float(rng.uniform(2.6, 3.6)), float(rng.uniform(0.1, 0.7))
    half = lane + edge
    centre = int(rng.choice([DASHED, DASHED, SOLID, DOUBLE, NO_LINE]))
    road = _flat(half)._replace(
        ragged=float(rng.uniform(0.02, 0.12)),
        line=lane,
        lane_width=lane,
        dash=float(rng.uniform(2.0, 4.0)),
        centre=centre,
        edges=bool(rng.random() < (0.3 if centre == NO_LINE else 0.7)),
        yellow=bool(rng.random() < 0.35),
        verge_width=float(rng.uniform(0.3, 3.0)),
    )
    return road, -lane / 2


def _flat(half: float) -> Road:
    """Return an open road without a roof, paved to both sides of its path."""
    return Road(
        open=True,
        half_width=half,
        kerb=0.0,
        facade=_NEVER,
        block=_NEVER,
        roof_start=0.0,
        roof_end=-100.0,
        roof_share=0.0,
        left=half,
        right=-half,
    )


def draw_camera(rng: np.random.Generator, width: int, height: int) -> CameraModel:
    """Draw a camera behind a windscreen: 45 to 100 degrees wide, 1.1 to 2.2 m up, tilted a little.

    It looks along the road: what its mounting says is true.
    """
    focal = 0.5 * width / math.tan(math.radians(rng.uniform(45.0, 100.0)) / 2)
    mounting = Mounting(
        x=float(rng.uniform(0.0, 0.5)),
        y=float(rng.normal(0.0, 0.2)),
        z=float(rng.uniform(1.1, 1.7) if rng.random() < 0.8 else rng.uniform(1.7, 2.2)),
        roll=float(rng.normal(0.0, 0.012)),
        pitch=float(rng.normal(0.03, 0.05)),
        yaw=float(rng.normal(0.0, 0.04)),
    )
    cx, cy = (width - 1) / 2, (height - 1) / 2 + float(rng.normal(0.0, 0.03)) * height
    return CameraModel(width, height, focal, focal, cx, cy, mounting=mounting)
