"""The light of a frame, on faces and on the ground; the sky, what mirrors it, and lamps."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from seg_ros.synthetic.basics import (
    BUILDING,
    Bytes,
    Floats,
    Singles,
    Triple,
    compiled,
    kernel,
    triple,
    wrap,
)
from seg_ros.synthetic.camera import VIEW_RANGE, View
from seg_ros.synthetic.meshes import Geometry, Things
from seg_ros.synthetic.road import Road
from seg_ros.synthetic.street import BLOCK, ON_KERB_FACE, path_coordinates
from seg_ros.synthetic.textures import CLOUDS, tile_brightness

_SUN_HEADING, _SUN_HEIGHT = math.radians(-158.0), math.radians(30.0)
SKY_STEP = 4
"""The sky is smooth: it is computed at every so many pixels and interpolated between them."""


class Light(NamedTuple):
    """Light of one frame, linear BGR; `gain` is the camera's exposure."""

    to_sun: Triple  # unit vector
    sun: Triple
    above: Triple  # ambient light from the sky
    below: Triple  # ambient light from the ground
    zenith: Triple
    horizon: Triple
    cloud: float  # 0 clear .. 1 overcast
    dusk: float  # 0 day .. 1 lamps are lit
    gain: float
    haze: float = 420.0  # distance [m] at which it hides half of what there is
    reach: float = 3.0  # how far a shadow may fall, in radii of what throws it
    halo: float = 0.0  # brightness of the sky about the sun
    beam: float = 0.0  # the vehicle's own headlights
    beam_pose: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 0.0)  # x, y, cosine, sine


# Per place along a block [m]: sun, sky light, warmth, cloud, dusk, exposure. The bridge lets the
# exposure rise in its shade; the frames after it start too bright and settle.
_LIGHT_KEYS = np.array(
    [
        # s, sun, sky, warmth, cloud, dusk, gain
        [0.0, 2.00, 0.55, 0.10, 0.15, 0.0, 0.95],
        [40.0, 2.00, 0.55, 0.10, 0.20, 0.0, 0.95],
        [66.0, 1.60, 0.55, 0.20, 0.45, 0.0, 1.00],
        [80.0, 0.40, 0.55, 0.35, 0.85, 0.3, 1.00],
        [95.0, 0.15, 0.40, 0.55, 0.80, 0.9, 0.95],
        [116.0, 0.12, 0.38, 0.55, 0.70, 1.0, 1.00],
        [122.0, 0.70, 0.46, 0.30, 0.45, 0.6, 1.15],
        [130.0, 1.80, 0.55, 0.12, 0.25, 0.1, 1.35],
        [134.0, 2.00, 0.55, 0.10, 0.20, 0.0, 1.60],
        [139.0, 2.00, 0.55, 0.10, 0.15, 0.0, 1.65],
        [148.0, 2.00, 0.55, 0.10, 0.15, 0.0, 1.00],
        [160.0, 2.00, 0.55, 0.10, 0.15, 0.0, 0.95],
    ]
)


def light_at(s: float) -> Light:
    """Light where the vehicle is at s [m] along the street."""
    place = s % BLOCK
    sun, sky, warmth, cloud, dusk, gain = (
        float(np.interp(place, _LIGHT_KEYS[:, 0], _LIGHT_KEYS[:, k])) for k in range(1, 7)
    )
    sunlight = np.array([0.82, 0.95, 1.03])
    to_sun = sun_direction(_SUN_HEADING, _SUN_HEIGHT)
    return make_light(to_sun, sun * sunlight, sun, sky, warmth, cloud, dusk, gain)


def sun_direction(heading: float, height: float) -> Triple:
    """Return the unit vector towards the sun from its heading and height over the horizon [rad]."""
    flat = math.cos(height)
    return flat * math.cos(heading), flat * math.sin(heading), math.sin(height)


def make_light(
    to_sun: Triple,
    sunlight: Floats,
    sun: float,
    sky: float,
    warmth: float,
    cloud: float,
    dusk: float,
    gain: float,
) -> Light:
    """Light from the sun's, its brightness and that of the sky, and the air's colour and cover."""
    white = np.array([1.0, 1.0, 1.0])
    cool, dull, warm = np.array([1.20, 1.02, 0.90]), white, np.array([0.86, 0.96, 1.10])
    tint = cool + cloud * (dull - cool)
    brightness = sky * 1.95
    blue = np.array([0.92, 0.72, 0.52]) + cloud * np.array([-0.2, -0.05, 0.1])
    return Light(
        to_sun=to_sun,
        sun=triple(sunlight),
        above=triple(sky * tint),
        below=triple(0.38 * sky * white + 0.09 * sun * white),
        zenith=triple(brightness * blue),
        horizon=triple(brightness * ((1.0 - warmth) * white + warmth * warm)),
        cloud=cloud,
        dusk=dusk,
        gain=gain,
    )


@kernel
def set_sky_shares(
    view: View,
    light: Light,
    road: Road,
    path: Floats,
    geometry: Geometry,
    blocks: Floats,
    block_heights: Floats,
    things: Things,
) -> None:
    """Whether a building stands between a thing and the sun, and how much sky the thing sees.

    `blocks` (B, 4, 2) are bases of buildings, counter-clockwise, and `block_heights` (B, 2) their
    lower and upper ends [m].
    """
    length = math.hypot(light.to_sun[0], light.to_sun[1])
    ux, uy = light.to_sun[0] / length, light.to_sun[1] / length
    rise = light.to_sun[2] / length
    for thing in range(len(things.mesh)):
        if geometry.footprint_label[things.mesh[thing]] == BUILDING:
            continue
        x, y, z = things.pose[thing, 0], things.pose[thing, 1], things.pose[thing, 2] + 0.8
        if abs(x - view.origin[0]) + abs(y - view.origin[1]) > 2.0 * VIEW_RANGE:
            continue
        s, _, _, _ = path_coordinates(path, view.first, x, y)
        things.open_sky[thing] = _open_sky(road, s)
        for k in range(len(blocks)):
            enter, leave = 0.05, 1e9
            for n in range(4):
                ax, ay, following = blocks[k, n, 0], blocks[k, n, 1], (n + 1) & 3
                ex, ey = blocks[k, following, 0] - ax, blocks[k, following, 1] - ay
                inside = ex * (y - ay) - ey * (x - ax)
                slope = ex * uy - ey * ux
                if slope > 1e-12:
                    enter = max(enter, -inside / slope)
                elif slope < -1e-12:
                    leave = min(leave, -inside / slope)
                elif inside < 0.0:
                    leave = -1.0
            below_top = z + rise * enter < block_heights[k, 1]
            if enter < leave and below_top and z + rise * leave > block_heights[k, 0]:
                things.sunlit[thing] = 0.0
                break


@compiled
def _open_sky(road: Road, s: float) -> float:
    """Share of the sky's light that reaches the road at s: little under a bridge."""
    place = wrap(s, road.block)
    inside = min(place - road.roof_start, road.roof_end - place)
    return 1.0 - road.roof_share * min(max((inside + 2.0) / 5.0, 0.0), 1.0)


@compiled
def set_face_light(
    light: Light, leaves: bool, sunlit: float, open_sky: float, look: Floats
) -> None:
    """Light (BGR) on a face, from its normal in `look`."""
    up = 0.7 if leaves else 0.5 + 0.5 * look[16]
    toward = look[14] * light.to_sun[0] + look[15] * light.to_sun[1] + look[16] * light.to_sun[2]
    # Leaves let light through and face every way: they take a middling share of the sun.
    toward = 0.30 + 0.25 * abs(toward) if leaves else max(toward, 0.0)
    for k in range(3):
        ambient = light.below[k] + up * (light.above[k] - light.below[k])
        look[11 + k] = ambient * open_sky + toward * sunlit * light.sun[k]


@compiled
def ground_light(
    light: Light, road: Road, surface: int, s: float, d: float, shadow: int, contact: int
) -> Triple:
    """Light (BGR) on the ground at path coordinates s, d."""
    upright = 0.35 if surface == ON_KERB_FACE else 1.0
    sun = upright * light.to_sun[2] * (1.0 - shadow / 255.0)
    sky = _open_sky(road, s) * (1.0 - 0.75 * contact / 255.0)
    if road.open:
        sun *= min(max(1.0 - 1.6 * (1.0 - _open_sky(road, s)), 0.0), 1.0)
    if abs(d) > road.facade - 1.2:
        sky *= 0.75
    return (
        sky * light.above[0] + sun * light.sun[0],
        sky * light.above[1] + sun * light.sun[1],
        sky * light.above[2] + sun * light.sun[2],
    )


@compiled
def headlight(light: Light, x: float, y: float, z: float) -> float:
    """Brightness of the own headlights' low beam at a world point."""
    bx, by, c, sn = light.beam_pose
    ahead, left = c * (x - bx) + sn * (y - by), c * (y - by) - sn * (x - bx)
    if ahead <= 0.2:
        return 0.0
    side = (left + 0.03 * ahead) / (1.2 + 0.24 * ahead)
    share = ahead / (ahead + 3.0) / (1.0 + (ahead / 24.0) ** 2.2)
    # It is cut off above; what the road scatters reaches higher.
    above = max(z - 0.7, 0.0) / (0.15 + 0.02 * ahead)
    share *= 0.05 + 0.95 * math.exp(-above * above)
    return float(light.beam * share * (0.06 + 0.94 * math.exp(-side * side)))


@compiled
def add_mirror(
    light: Light,
    normal: Triple,
    mirror: float,
    dx: float,
    dy: float,
    dz: float,
    b: float,
    g: float,
    r: float,
) -> Triple:
    """Blend in the sky, or the street, that a shiny face mirrors along a ray."""
    size = math.sqrt(dx * dx + dy * dy + dz * dz)
    facing = (normal[0] * dx + normal[1] * dy + normal[2] * dz) / size
    # Schlick's term: everything mirrors more at a flat angle.
    share = mirror + (1.0 - mirror) * 0.6 * max(1.0 + facing, 0.0) ** 5
    up = dz / size - 2.0 * facing * normal[2]
    # The houses opposite fill what a mirrored ray sees below some 20 degrees.
    bright = min(max((up - 0.10) / 0.35, 0.0), 1.0)
    low = (1.0 - bright) * 0.16 * (1.0 + min(up, 0.0))
    return (
        b + share * (low * light.above[0] + bright * light.zenith[0] - b),
        g + share * (low * light.above[1] + bright * light.zenith[1] - g),
        r + share * (low * light.above[2] + bright * light.zenith[2] - r),
    )


@compiled
def add_lamp(glow: float, red: bool, b: float, g: float, r: float) -> Triple:
    """Add the light of a tail lamp (`red`) or of a lit room."""
    if red:
        return b + 0.02 * glow, g + 0.03 * glow, r + 0.5 * glow
    return b + 0.14 * glow, g + 0.32 * glow, r + 0.46 * glow


@compiled
def _sky_colour(texels: Bytes, light: Light, dx: float, dy: float, dz: float) -> Triple:
    """Sky (linear BGR) in a unit direction: a gradient with a layer of clouds."""
    up = max(dz, 0.0)
    blend = 1.0 - math.exp(-4.5 * up)
    spread = 0.22 / (up + 0.12)
    puff = tile_brightness(texels, CLOUDS, dx * spread, dy * spread, 0.002 * spread)
    puff = min(max((puff - 1.12 + 0.75 * light.cloud) * 2.2, 0.0), 1.0) * min(1.0, 6.0 * up)
    cloud = 0.86 - 0.22 * puff * light.cloud
    b = light.horizon[0] + blend * (light.zenith[0] - light.horizon[0])
    g = light.horizon[1] + blend * (light.zenith[1] - light.horizon[1])
    r = light.horizon[2] + blend * (light.zenith[2] - light.horizon[2])
    white = cloud * max(light.horizon[0], max(light.horizon[1], light.horizon[2])) * 1.25
    b, g, r = b + puff * (white - b), g + puff * (white - g), r + puff * (white - r)
    if light.halo > 0.0:
        near = dx * light.to_sun[0] + dy * light.to_sun[1] + dz * light.to_sun[2]
        glow = light.halo * (0.004 / (1.004 - near) + 0.12 * max(near, 0.0) ** 8)
        b, g, r = b + 0.7 * glow, g + 0.9 * glow, r + glow
    return b, g, r


@kernel
def draw_sky(view: View, light: Light, texels: Bytes, sky: Singles) -> None:
    """Sky (linear BGR) at every SKY_STEP-th pixel, (h, w, 3)."""
    (r00, r01, r02), (r10, r11, r12), (r20, r21, r22) = view.rotation
    for row in range(sky.shape[0]):
        ry = (row * SKY_STEP - view.cy) / view.fy
        for column in range(sky.shape[1]):
            rx = (column * SKY_STEP - view.cx) / view.fx
            dx, dy = r00 * rx + r01 * ry + r02, r10 * rx + r11 * ry + r12
            dz = r20 * rx + r21 * ry + r22
            size = math.sqrt(dx * dx + dy * dy + dz * dz)
            colour = _sky_colour(texels, light, dx / size, dy / size, dz / size)
            sky[row, column, 0], sky[row, column, 1], sky[row, column, 2] = colour


@compiled
def sky_at(sky: Singles, row: int, column: int) -> Triple:
    """Sky (linear BGR) at a pixel, from what `draw_sky` drew."""
    down, part = (row % SKY_STEP) / SKY_STEP, (column % SKY_STEP) / SKY_STEP
    row, column = row // SKY_STEP, column // SKY_STEP
    return (
        _between(sky, row, column, down, part, 0),
        _between(sky, row, column, down, part, 1),
        _between(sky, row, column, down, part, 2),
    )


@compiled
def _between(image: Singles, row: int, column: int, down: float, part: float, k: int) -> float:
    """Channel k of an image, `down` and `part` of a pixel past (row, column), bilinear."""
    upper = image[row, column, k] + part * (image[row, column + 1, k] - image[row, column, k])
    row += 1
    lower = image[row, column, k] + part * (image[row, column + 1, k] - image[row, column, k])
    return float(upper + down * (lower - upper))
