"""Shading: colour and class of every pixel, from what the other parts found there."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seg_ros.synthetic.basics import (
    BOARD,
    HEADLAMP,
    LAMP,
    PAVEMENT,
    REFLECTOR,
    ROAD,
    SIGN_FACE,
    SKY,
    TERRAIN,
    TUBE,
    Bytes,
    Floats,
    Singles,
    compiled,
    kernel,
)
from seg_ros.synthetic.camera import View
from seg_ros.synthetic.light import (
    SKY_STEP,
    Light,
    add_lamp,
    add_mirror,
    ground_light,
    headlight,
    sky_at,
)
from seg_ros.synthetic.materials import (
    face_reflectance,
    face_tile,
    pavement_reflectance,
    road_reflectance,
)
from seg_ros.synthetic.meshes import Geometry
from seg_ros.synthetic.raster import Faces
from seg_ros.synthetic.road import Road, is_paved
from seg_ros.synthetic.street import (
    KERB_WIDTH,
    NO_GROUND,
    ON_KERB_FACE,
    ON_ROAD,
    ROAD_HALF_WIDTH,
    ground_hit,
)
from seg_ros.synthetic.terrain import open_road_reflectance, terrain_reflectance
from seg_ros.synthetic.textures import ASPHALT, PLASTER, SLABS, decal_brightness, tile_brightness

_TONE_STEPS = 4096
_TONE_LIMIT = 2.0


def tone_curve() -> Bytes:
    """Linear exposure 0.._TONE_LIMIT -> display value: sRGB-like with a soft shoulder."""
    linear = np.linspace(0.0, _TONE_LIMIT, _TONE_STEPS)
    shoulder = np.where(linear < 0.6, linear, 0.6 + 0.4 * (1.0 - np.exp(-(linear - 0.6) / 0.4)))
    return np.rint(255.0 * shoulder ** (1.0 / 2.2)).astype(np.uint8)


class Buffers(NamedTuple):
    """What is known of every pixel before it gets a colour; (H, W) unless said."""

    ids: npt.NDArray[np.int32]  # row of the face seen, -1 for none
    depth: Singles  # 1 / its depth [1/m]
    shadow: Bytes  # 0 in the sun .. 255 in a shadow, for ground
    contact: Bytes  # 0 open .. 255 under something, for ground
    sky: Singles  # (h, w, 3) linear BGR at every SKY_STEP-th pixel


def empty_buffers(height: int, width: int) -> Buffers:
    """Buffers of an image, to be filled."""
    size = (height, width)
    return Buffers(
        ids=np.empty(size, dtype=np.int32),
        depth=np.empty(size, dtype=np.float32),
        shadow=np.empty(size, dtype=np.uint8),
        contact=np.empty(size, dtype=np.uint8),
        sky=np.empty((*(n // SKY_STEP + 2 for n in size), 3), dtype=np.float32),
    )


@kernel
def shade(
    view: View,
    light: Light,
    road: Road,
    path: Floats,
    geometry: Geometry,
    faces: Faces,
    texels: Bytes,
    curve: Bytes,
    buffers: Buffers,
    image: Bytes,
    mask: Bytes,
) -> None:
    """Colour (H, W, 3) and class (H, W) of every pixel."""
    # Arrays are taken out of their tuples once: doing so counts references.
    ids, depth, shadow, contact = buffers.ids, buffers.depth, buffers.shadow, buffers.contact
    sky = buffers.sky
    labels, looks, indices = geometry.label, faces.look, faces.face
    materials, styles, sizes = geometry.material, geometry.style, geometry.size
    (r00, r01, r02), (r10, r11, r12), (r20, r21, r22) = view.rotation
    above_kerb, pixel = view.origin[2] - road.kerb, 1.0 / view.fx
    scale, top = light.gain * ((_TONE_STEPS - 1) / _TONE_LIMIT), _TONE_STEPS - 1.0
    for row in range(view.height):
        ry = (row - view.cy) / view.fy
        for column in range(view.width):
            rx = (column - view.cx) * pixel
            dx, dy = r00 * rx + r01 * ry + r02, r10 * rx + r11 * ry + r12
            dz = r20 * rx + r21 * ry + r22
            found, inverse = ids[row, column], depth[row, column]
            surface, t, s, d, c, sn = NO_GROUND, 0.0, 0.0, 0.0, 1.0, 0.0
            # Only ground as high as the kerb can stand in front of a face.
            if found < 0 or -dz > inverse * above_kerb:
                surface, t, s, d, c, sn = ground_hit(
                    path, view.first, road.half_width, road.kerb, view.origin, dx, dy, dz
                )
                if found >= 0 and surface != NO_GROUND and not _before(t, inverse):
                    surface = NO_GROUND
            if surface != NO_GROUND:
                label = ROAD if surface == ON_ROAD else PAVEMENT
                if road.open:
                    label = ROAD if is_paved(road, s, d) else TERRAIN
                mask[row, column] = label
                # A pixel covers t / fx across the view and, foreshortened, more along it.
                level = math.sqrt(dx * dx + dy * dy) + 1e-9
                narrow = t * pixel
                long = narrow * max(level / -dz, 1.0)
                parallel, crosswise = abs(c * dx + sn * dy) / level, abs(c * dy - sn * dx) / level
                along = parallel * long + crosswise * narrow
                across = crosswise * long + parallel * narrow
                footprint = 0.35 * max(along, across) + 0.65 * min(along, across)
                if label == TERRAIN:
                    b, g, r = terrain_reflectance(texels, road, s, d, footprint)
                elif road.open:
                    tone = tile_brightness(texels, ASPHALT, s, d, footprint)
                    patches = decal_brightness(texels, s, d, footprint)
                    tone *= 1.0 + road.worn * (patches - 1.0)
                    b, g, r = open_road_reflectance(
                        texels, road, s, d, along, across, footprint, tone
                    )
                elif surface == ON_ROAD:
                    tone = tile_brightness(texels, ASPHALT, s, d, footprint)
                    tone *= decal_brightness(texels, s, d, footprint)
                    b, g, r = road_reflectance(s, d, along, across, tone)
                else:
                    kerb = surface == ON_KERB_FACE or abs(d) < ROAD_HALF_WIDTH + KERB_WIDTH
                    tone = tile_brightness(texels, PLASTER if kerb else SLABS, s, d, footprint)
                    b, g, r = pavement_reflectance(surface, s, d, along, tone)
                lb, lg, lr = ground_light(
                    light, road, surface, s, d, shadow[row, column], contact[row, column]
                )
                if light.beam > 0.0:
                    ox, oy, _ = view.origin
                    beam = headlight(light, ox + t * dx, oy + t * dy, 0.0)
                    lb, lg, lr = lb + 0.85 * beam, lg + 0.95 * beam, lr + beam
                b, g, r = b * lb, g * lg, r * lr
            elif found >= 0:
                face = indices[found]
                mask[row, column] = labels[face]
                t = 1.0 / inverse
                u = t * (dx * looks[found, 0] + dy * looks[found, 1] + dz * looks[found, 2])
                v = t * (dx * looks[found, 4] + dy * looks[found, 5] + dz * looks[found, 6])
                u, v = u + looks[found, 3], v + looks[found, 7]
                tile, tone = face_tile(materials[face], styles[face]), 1.0
                if tile >= 0:
                    tone = tile_brightness(texels, tile, u, v, 1.4 * t * pixel)
                b, g, r, mirror, lamp = face_reflectance(
                    materials[face],
                    styles[face],
                    sizes[face, 0],
                    sizes[face, 1],
                    (looks[found, 8], looks[found, 9], looks[found, 10]),
                    tone,
                    u,
                    v,
                )
                lb, lg, lr = looks[found, 11], looks[found, 12], looks[found, 13]
                if light.beam > 0.0:
                    ox, oy, oz = view.origin
                    beam = headlight(light, ox + t * dx, oy + t * dy, oz + t * dz)
                    beam *= _returned(materials[face], looks[found], dx, dy, dz)
                    lb, lg, lr = lb + 0.85 * beam, lg + 0.95 * beam, lr + beam
                b, g, r = b * lb, g * lg, r * lr
                if mirror > 0.0:
                    normal = (looks[found, 14], looks[found, 15], looks[found, 16])
                    b, g, r = add_mirror(light, normal, mirror, dx, dy, dz, b, g, r)
                if materials[face] == TUBE:
                    b, g, r = 1.2, 1.4, 1.5
                if lamp > 0.0 and light.dusk > 0.0:
                    if materials[face] == HEADLAMP:
                        b, g, r = b + 1.7 * light.dusk, g + 1.9 * light.dusk, r + 2.0 * light.dusk
                    else:
                        red = materials[face] == LAMP
                        b, g, r = add_lamp(lamp * light.dusk, red, b, g, r)
            else:
                mask[row, column] = SKY
                b, g, r = sky_at(sky, row, column)
            if t > 0.0:
                # exp(-x), near enough for what it is used for
                near = 1.0 / (1.0 + t / light.haze)
                haze = 0.8 * (1.0 - near)
                b = near * b + haze * light.horizon[0]
                g = near * g + haze * light.horizon[1]
                r = near * r + haze * light.horizon[2]
            image[row, column, 0] = curve[int(min(b * scale, top))]
            image[row, column, 1] = curve[int(min(g * scale, top))]
            image[row, column, 2] = curve[int(min(r * scale, top))]


@compiled
def _returned(material: int, look: Floats, dx: float, dy: float, dz: float) -> float:
    """Share of the headlights that a face turns back to the camera, beside its reflectance."""
    if material in (SIGN_FACE, BOARD, REFLECTOR):
        return 6.0
    size = math.sqrt(dx * dx + dy * dy + dz * dz)
    facing = -(look[14] * dx + look[15] * dy + look[16] * dz) / size
    return float(0.3 + 0.7 * max(facing, 0.0))


@compiled
def _before(t: float, inverse: float) -> bool:
    """Whether ground at depth t hides a face at 1 / depth; a face on the ground stays on top."""
    return t * inverse < 1.0 - 1e-4


@kernel
def add_noise(image: Bytes, noise: npt.NDArray[np.int8], upper: int, left: int) -> None:
    """Add the part of a noise sheet from (`upper`, `left`) on to an image, in place; both 2-D."""
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            value = np.int16(image[row, column]) + np.int16(noise[upper + row, left + column])
            image[row, column] = min(max(value, np.int16(0)), np.int16(255))
