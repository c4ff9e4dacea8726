"""Materials: reflectance (linear BGR), share of mirrored sky and own light of faces and ground."""

from __future__ import annotations

import math

from seg_ros.synthetic.basics import (
    BOARD,
    BOARDS,
    FACADE,
    GLASS,
    HEADLAMP,
    LAMP,
    LEAVES,
    MASONRY,
    METAL,
    PAINT,
    RAILING,
    ROOF,
    SIGN_FACE,
    SOIL,
    TURF,
    WALL,
    WHEEL,
    Triple,
    compiled,
    hashed,
    linear,
    wrap,
)
from seg_ros.synthetic.objects import BRICK_WALLS, WALLS
from seg_ros.synthetic.street import (
    BLOCK,
    EDGE_LINE,
    KERB_WIDTH,
    ON_KERB_FACE,
    ROAD_HALF_WIDTH,
    ZEBRA_START,
)
from seg_ros.synthetic.terrain import cover_of
from seg_ros.synthetic.textures import BRICK, FOLIAGE, PLASTER, SLATES, WOOD


@compiled
def _window(
    u: float, v: float, wide: float, high: float, cell: float
) -> tuple[float, float, float, float]:
    """Return the look of a window with frame and glazing bars at u, v from its lower left.

    That is reflectance and share of mirrored sky; `cell` in [0, 1) tells windows apart.
    """
    bar = 0.055
    near_edge = min(min(u, wide - u), min(v, high - v))
    if near_edge < bar or abs(u - 0.5 * wide) < 0.4 * bar or abs(v - 0.5 * high) < 0.4 * bar:
        tone = 0.62 if cell < 0.7 else 0.10
        return tone, tone, tone, 0.0
    if cell > 0.45 and cell < 0.7 and abs(u - 0.5 * wide) > 0.28 * wide:
        return 0.30, 0.34, 0.36, 0.08
    return 0.016, 0.015, 0.013, 0.04 + 0.22 * wrap(7.0 * cell, 1.0)


_SHOP_COLOURS = (
    linear(84, 40, 24),
    linear(48, 74, 34),
    linear(36, 30, 120),
    linear(60, 60, 60),
    linear(190, 196, 196),
    linear(40, 110, 150),
    linear(70, 34, 66),
)


@compiled
def _facade(
    u: float,
    v: float,
    wide: float,
    high: float,
    style: int,
    wall: Triple,
    street: bool,
) -> tuple[float, float, float, float, float]:
    """Return the look of a house wall of reflectance `wall` at u, v [m] from its lower left.

    That is reflectance, share of mirrored sky, and how much lamp light comes out at dusk.
    """
    house = style // 8
    b, g, r = wall
    if v > high - 0.30:
        return 0.34, 0.36, 0.37, 0.0, 0.0
    if v < 0.55:
        return 0.55 * b + 0.03, 0.55 * g + 0.03, 0.55 * r + 0.03, 0.0, 0.0
    bays = max(1, int(wide / 2.5 + 0.5))
    bay = wide / bays
    column = int(u / bay)
    across = u - column * bay
    floors = max(1, int((high - 0.6) / 3.05 + 0.5))
    storey = (high - 0.6) / floors
    row = min(int(v / storey), floors - 1)
    up = v - row * storey
    cell = hashed(house, column, row)
    if not street and (column + house) % 3 != 0:
        return b, g, r, 0.0, 0.0
    shop = street and hashed(house, 77, 5) < 0.45
    if row == 0 and shop:
        if up > 2.55:
            if up > storey - 0.1:
                return b, g, r, 0.0, 0.0
            b, g, r = _SHOP_COLOURS[house % len(_SHOP_COLOURS)]
            return b, g, r, 0.0, 0.2
        if across < 0.14 or across > bay - 0.14 or up > 2.45:
            return 0.07, 0.06, 0.06, 0.0, 0.0
        if up < 0.8:
            return 0.10, 0.08, 0.07, 0.02, 0.0
        shelf = hashed(house, int(1.4 * u), int(1.5 * up))
        goods = 0.02 if shelf < 0.5 else 0.03 + 0.14 * wrap(9.0 * shelf, 1.0)
        return 0.8 * goods, 0.9 * goods, goods, 0.12, 0.8
    if row == 0 and street and column == house % bays:
        if abs(across - 0.5 * bay) < 0.52 and up < 2.2:
            hue = hashed(house, 1, 2)
            if up > 1.85:
                return 0.02, 0.02, 0.02, 0.2, 0.7
            return (
                0.05 + 0.12 * hue,
                0.05 + 0.05 * (1.0 - hue),
                0.16 * (1.0 - hue) + 0.03,
                0.03,
                0.0,
            )
        if abs(across - 0.5 * bay) < 0.64 and up < 2.32:
            return 0.5, 0.52, 0.52, 0.0, 0.0
        return b, g, r, 0.0, 0.0
    half = 0.36 + 0.26 * hashed(house, 11, 4)
    low, top = 0.85, min(2.45, storey - 0.4)
    if abs(across - 0.5 * bay) < half and up > low and up < top:
        wb, wg, wr, mirror = _window(
            across - 0.5 * bay + half, up - low, 2.0 * half, top - low, cell
        )
        lamp = 1.0 if mirror > 0.05 and cell > 0.72 else 0.0
        return wb, wg, wr, mirror, lamp
    if abs(across - 0.5 * bay) < half + 0.10 and (
        (up > low - 0.12 and up <= low) or (up >= top and up < top + 0.20)
    ):
        return 0.30, 0.32, 0.33, 0.0, 0.0
    return b, g, r, 0.0, 0.0


@compiled
def _sign_colour(u: float, v: float, wide: float, style: int) -> Triple:
    """Colour of a traffic sign: a red ring with a number's worth of black, or a blue board."""
    if style % 2 == 0:
        out = math.hypot(u - 0.5 * wide, v - 0.5 * wide) / (0.5 * wide)
        if out > 0.74 and out < 0.97:
            return 0.03, 0.02, 0.52
        if abs(v - 0.5 * wide) < 0.16 and abs(abs(u - 0.5 * wide) - 0.12) < 0.06:
            return 0.02, 0.02, 0.02
        return 0.70, 0.70, 0.70
    edge = min(min(u, wide - u), min(v, 0.8 - v))
    if edge < 0.05 or (abs(v - 0.4) < 0.08 and abs(u - 0.5 * wide) < 0.25):
        return 0.72, 0.72, 0.72
    return 0.42, 0.16, 0.03


@compiled
def _board_colour(u: float, v: float, wide: float, high: float, paint: Triple) -> Triple:
    """Colour of a direction sign: a border, and rows of something like letters."""
    edge = min(min(u, wide - u), min(v, high - v))
    line = wrap(v, 0.62)
    letter = hashed(int(u / 0.13), int(v / 0.62), int(100.0 * wide))
    inside = edge > 0.25 and line > 0.16 and line < 0.46 and u < wide * (0.45 + 0.4 * letter)
    if (edge > 0.05 and edge < 0.11) or (inside and letter > 0.35 and wrap(u, 0.13) < 0.09):
        return 0.70, 0.70, 0.70
    return paint


@compiled
def face_tile(material: int, style: int) -> int:
    """Texture of a face, -1 for none."""
    if material in (FACADE, WALL):
        return BRICK if (style // 8) % len(WALLS) in BRICK_WALLS else PLASTER
    if material == ROOF:
        return SLATES
    if material == MASONRY:
        return BRICK
    if material == SOIL:
        return PLASTER
    if material in (LEAVES, RAILING, TURF):
        return FOLIAGE
    return WOOD if material == BOARDS else -1


@compiled
def face_reflectance(
    material: int,
    style: int,
    wide: float,
    high: float,
    paint: Triple,
    tone: float,
    u: float,
    v: float,
) -> tuple[float, float, float, float, float]:
    """Reflectance (BGR), share of mirrored sky and own light at dusk of a face at u, v [m].

    `tone` is the brightness of the face's texture there.
    """
    b, g, r = tone * paint[0], tone * paint[1], tone * paint[2]
    mirror, lamp = 0.0, 0.0
    if material in (FACADE, WALL):
        return _facade(u, v, wide, high, style, (b, g, r), material == FACADE)
    if material == BOARDS:
        if v > high - 0.08 or abs(v - 0.35) < 0.05:
            b, g, r = 0.7 * b, 0.7 * g, 0.7 * r
    elif material == RAILING:
        bar = wrap(u, 0.14) < 0.035 or wrap(u, 2.1) < 0.07
        if bar or v > high - 0.07 or abs(v - 0.18) < 0.03:
            b, g, r = paint
        else:
            b, g, r = 0.012 * tone, 0.026 * tone, 0.022 * tone
    elif material == WHEEL:
        out = math.hypot(u - 0.5 * wide, v - 0.5 * high)
        if out < 0.21:
            spoke = math.atan2(v - 0.5 * high, u - 0.5 * wide) * 5.0 / math.pi
            rim = 0.36 if out < 0.06 or wrap(spoke, 2.0) < 1.3 else 0.05
            b, g, r = rim, rim, rim
    elif material == SIGN_FACE:
        b, g, r = _sign_colour(u, v, wide, style)
    elif material == PAINT:
        mirror = 0.10
    elif material == METAL:
        mirror = 0.05
    elif material == HEADLAMP:
        lamp = 1.0
    elif material == BOARD:
        b, g, r = _board_colour(u, v, wide, high, paint)
    elif material == GLASS:
        mirror = 0.20
    elif material == LAMP:
        lamp = 0.9
    return b, g, r, mirror, lamp


@compiled
def _marking(s: float, d: float, along: float, across: float) -> float:
    """Cover of road paint at (s, d) for a pixel `along` x `across` metres in size."""
    cover, side, reach = 0.0, abs(d), 0.06 + 0.5 * max(across, 0.004)
    place = wrap(s, BLOCK)
    if side < reach:
        cover = cover_of(d, 0.06, across) * cover_of(wrap(s, 6.0) - 3.0, 1.5, along)
    elif side > EDGE_LINE - reach and side < ROAD_HALF_WIDTH - 0.3:
        cover = cover_of(side - EDGE_LINE, 0.06, across)
        if side > EDGE_LINE:  # the ends of parking bays
            cover = max(cover, cover_of(wrap(s, 6.4) - 3.2, 0.05, along))
    if place > ZEBRA_START and place < ZEBRA_START + 3.0 and side < ROAD_HALF_WIDTH - 0.3:
        cover = max(cover, cover_of(wrap(side, 1.0) - 0.5, 0.25, across))
    return cover


@compiled
def road_reflectance(s: float, d: float, along: float, across: float, tone: float) -> Triple:
    """Reflectance (BGR) of the road at s, d, for a pixel along x across [m] in size."""
    grey = tone * (1.0 - 0.3 * cover_of(abs(d) - ROAD_HALF_WIDTH + 0.12, 0.12, across))
    b, g, r = 0.106 * grey, 0.103 * grey, 0.100 * grey
    cover = _marking(s, d, along, across)
    if cover > 0.0:
        # Paint is worn where stones stand out, and as uneven as the road under it.
        cover *= min(max(1.75 - 0.8 * tone, 0.3), 0.92)
        white = 0.48 * (0.6 + 0.4 * tone)
        b, g, r = b + cover * (white - b), g + cover * (white - g), r + cover * (white - r)
    return b, g, r


@compiled
def pavement_reflectance(surface: int, s: float, d: float, along: float, tone: float) -> Triple:
    """Reflectance (BGR) of kerb stones and paving slabs."""
    if surface == ON_KERB_FACE:
        return 0.18 * tone, 0.19 * tone, 0.195 * tone
    if abs(d) < ROAD_HALF_WIDTH + KERB_WIDTH:
        tone *= 0.75 if wrap(s, 0.91) < 0.02 + along else 1.0
        return 0.29 * tone, 0.305 * tone, 0.31 * tone
    return 0.205 * tone, 0.222 * tone, 0.236 * tone
