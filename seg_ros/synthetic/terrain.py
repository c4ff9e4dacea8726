"""How open roads look: their surface, their paint, and the ground beside them; linear BGR."""

from __future__ import annotations

import math

from seg_ros.synthetic.basics import Bytes, Triple, compiled, hashed, linear, wrap
from seg_ros.synthetic.road import (
    CROP,
    DASHED,
    DOUBLE,
    DRY_GRASS,
    GORE,
    GRASS,
    GRAVEL,
    NO_LINE,
    PLOUGHED,
    SAND,
    SNOW,
    Road,
    ramp_at,
    stray,
)
from seg_ros.synthetic.textures import ASPHALT, CLOUDS, FOLIAGE, PLASTER, tile_brightness

# Two reflectances per kind of ground, which large patches blend between.
_GRASS = (linear(40, 92, 72), linear(58, 124, 118))
_DRY_GRASS = (linear(84, 136, 152), linear(112, 164, 184))
_SAND = (linear(128, 158, 178), linear(158, 184, 202))
_GRAVEL = (linear(112, 120, 124), linear(150, 156, 160))
_EARTH = (linear(48, 72, 96), linear(76, 104, 132))
_SNOW = (linear(226, 222, 216), linear(240, 238, 236))
_CROP = (linear(44, 112, 92), linear(60, 140, 132))
_STUBBLE = (linear(92, 158, 190), linear(104, 170, 204))


@compiled
def cover_of(distance: float, half: float, footprint: float) -> float:
    """Share of a pixel of size `footprint` that a painted line of half width `half` covers."""
    size = max(footprint, 0.004)
    inner = min(distance + 0.5 * size, half) - max(distance - 0.5 * size, -half)
    return min(max(inner / size, 0.0), 1.0)


@compiled
def _blend(pair: tuple[Triple, Triple], part: float, tone: float) -> Triple:
    part = min(max(part, 0.0), 1.0)
    (b, g, r), (bb, gg, rr) = pair
    return tone * (b + part * (bb - b)), tone * (g + part * (gg - g)), tone * (r + part * (rr - r))


@compiled
def _kind_at(road: Road, s: float, d: float) -> int:
    """Kind of ground beside an open road."""
    if s > road.roof_start and s < road.roof_end:
        return GRAVEL
    waves = math.sin(0.19 * s + road.phase) + 0.6 * math.sin(0.83 * s + 2.0 * road.phase)
    width, gap = ramp_at(road, s)
    out = d - road.left if d > 0.0 else road.right - width - gap - d
    if out < road.verge_width * (1.0 + 0.12 * waves):
        return road.verge
    if abs(d) < road.field_from + 2.0 * waves:
        return road.beyond
    side = 1 if d > 0.0 else 0
    cell = hashed(math.floor(s / 140.0), int(abs(d) / 90.0) + 50 * side, int(9.0 * road.phase))
    if cell < 0.4:
        return road.field
    return road.beyond if cell < 0.75 or road.beyond == SNOW else PLOUGHED


@compiled
def terrain_reflectance(texels: Bytes, road: Road, s: float, d: float, footprint: float) -> Triple:
    """Reflectance (BGR) of the ground beside an open road, averaged over about `footprint` [m]."""
    kind = _kind_at(road, s, d)
    large = tile_brightness(texels, CLOUDS, 0.011 * s, 0.011 * d, 0.011 * footprint)
    middle = tile_brightness(texels, CLOUDS, 0.13 * s, 0.17 * d, 0.15 * footprint)
    part = 0.9 * (large - 0.6) + 0.6 * (middle - 0.9)
    if kind in (GRASS, DRY_GRASS, CROP):
        tone = tile_brightness(texels, FOLIAGE, 0.9 * s, d, footprint)
        tone *= 0.8 + 0.2 * middle
        if kind == GRASS:
            return _blend(_GRASS, part, tone)
        if kind == DRY_GRASS:
            return _blend(_DRY_GRASS, part, 0.35 + 0.65 * tone)
        row = 1.0 - 0.35 * cover_of(wrap(d, 0.75) - 0.375, 0.15, footprint)
        pair = _CROP if wrap(road.phase, 1.0) < 0.5 else _STUBBLE
        return _blend(pair, part, row * (0.3 + 0.7 * tone))
    if kind == SNOW:
        tone = 0.9 + 0.1 * tile_brightness(texels, PLASTER, 0.7 * s, 0.7 * d, 0.7 * footprint)
        b, g, r = _blend(_SNOW, part, tone * (0.9 + 0.1 * middle))
        # Tufts and earth show where it was blown away.
        bare = min(max(3.0 * (1.6 - 0.8 * large - 0.6 * middle) - 0.9, 0.0), 0.85)
        if bare > 0.0:
            tone = tile_brightness(texels, FOLIAGE, s, d, footprint)
            bb, gg, rr = _blend(_DRY_GRASS, 0.2, 0.7 * tone)
            b, g, r = b + bare * (bb - b), g + bare * (gg - g), r + bare * (rr - r)
        return b, g, r
    tone = tile_brightness(texels, ASPHALT, 0.5 * s, 0.5 * d, 0.5 * footprint)
    if kind == SAND:
        b, g, r = _blend(_SAND, part, 0.55 + 0.45 * tone)
    elif kind == GRAVEL:
        return _blend(_GRAVEL, part, 1.6 * tone - 0.6 if tone > 0.5 else 0.2)
    else:
        b, g, r = _blend(_EARTH, part, tone)
    if kind == PLOUGHED:
        row = 1.0 - 0.3 * cover_of(wrap(d, 0.5) - 0.25, 0.12, footprint)
        return row * b, row * g, row * r
    # Weeds and dry tufts.
    weeds = min(max(4.0 * (middle - 1.25), 0.0), 0.8)
    if weeds > 0.0:
        tone = tile_brightness(texels, FOLIAGE, s, d, footprint)
        bb, gg, rr = _blend(_DRY_GRASS if kind == SAND else _GRASS, 0.3, 0.8 * tone)
        b, g, r = b + weeds * (bb - b), g + weeds * (gg - g), r + weeds * (rr - r)
    return b, g, r


@compiled
def _lane_lines(
    road: Road, u: float, s: float, along: float, across: float, merging: bool
) -> tuple[float, bool]:
    """Cover of the lines between lanes, u [m] right of the leftmost one, and whether yellow."""
    number = math.floor(u / road.lane_width + 0.5)
    beside = u - number * road.lane_width
    if number < 0 or number > road.lanes:
        return 0.0, False
    dashes = cover_of(wrap(s, road.period) - 0.5 * road.period, 0.5 * road.dash, along)
    if number == 0 or number == road.lanes:
        cover = cover_of(beside, 0.09, across) if road.edges else 0.0
        if merging and number == road.lanes:
            cover = cover_of(beside, 0.15, across) * cover_of(wrap(s, 6.0) - 3.0, 1.5, along)
        return cover, road.yellow and number == 0 and road.lanes > 2
    yellow = road.yellow and road.lanes == 2
    if road.centre == NO_LINE:
        return 0.0, yellow
    if road.centre == DOUBLE:
        return cover_of(abs(beside) - 0.12, 0.06, across), yellow
    cover = cover_of(beside, 0.065, across)
    return cover * (dashes if road.centre == DASHED else 1.0), yellow


@compiled
def _paint(road: Road, s: float, d: float, along: float, across: float) -> tuple[float, bool]:
    """Cover of road paint at (s, d) for a pixel `along` x `across` metres, and whether yellow."""
    if d > road.left:
        beside = d - road.other_near - (road.left - road.line)
        return _lane_lines(road, beside, s, along, across, False)
    width, gap = ramp_at(road, s)
    merging = width > 0.6 * road.ramp_width and gap == 0.0
    cover, yellow = _lane_lines(road, road.line - d, s, along, across, merging)
    if width > 0.0 and d < road.right:
        edge = road.right - width - gap
        cover = max(cover, cover_of(d - edge - 0.3, 0.09, across))
        if gap > 0.0:
            cover = max(cover, cover_of(d - road.right + gap + 0.25, 0.09, across))
            if gap < GORE and d > road.right - gap + 0.25:
                stripe = cover_of(wrap(s + 1.5 * d, 4.0) - 2.0, 0.5, along)
                cover = max(cover, stripe)
    return cover, yellow


@compiled
def open_road_reflectance(
    texels: Bytes,
    road: Road,
    s: float,
    d: float,
    along: float,
    across: float,
    footprint: float,
    tone: float,
) -> Triple:
    """Reflectance (BGR) of an open road at s, d; `tone` is the brightness of its texture there."""
    middle = tile_brightness(texels, CLOUDS, 0.05 * s, 0.21 * d, 0.12 * footprint)
    lane = (road.line - d) / road.lane_width
    tracks = math.cos(4.0 * math.pi * lane)
    grey = tone * (0.93 + 0.07 * middle) * (1.0 + 0.04 * tracks) * (1.0 - 0.35 * road.wet)
    b, g, r = road.surface[0] * grey, road.surface[1] * grey, road.surface[2] * grey
    cover, yellow = _paint(road, s, d, along, across)
    if cover > 0.0:
        cover *= min(max(1.75 - 0.8 * tone - 0.2 * road.worn * middle, 0.3), 0.92)
        white = 0.50 * (0.6 + 0.4 * tone)
        b, g, r = (
            b + cover * ((0.06 if yellow else white) - b),
            g + cover * ((0.26 if yellow else white) - g),
            r + cover * ((0.46 if yellow else white) - r),
        )
    # What lies beside the road is blown and carried onto its edges.
    out = road.right + 0.25 - d if d < 0.0 else d - road.left + 0.25
    dirt = min(max(1.6 * out + 0.3 * (middle - 1.2), 0.0), 0.45)
    if dirt > 0.0 and road.ramp_width == 0.0 and d < road.left + stray(road, s, 1.0):
        bb, gg, rr = terrain_reflectance(texels, road, s, road.left + 0.1 if d > 0.0 else d, 0.3)
        b, g, r = b + dirt * (bb - b), g + dirt * (gg - g), r + dirt * (rr - r)
    if road.snow > 0.0:
        small = tile_brightness(texels, FOLIAGE, 0.1 * s, 0.3 * d, 0.25 * footprint)
        amount = road.snow * (0.75 - 0.55 * tracks) + 0.55 * (middle - 1.0) + 0.3 * (small - 1.0)
        white = min(max(3.5 * (amount - 0.35), 0.0), 0.93)
        b, g, r = b + white * (0.74 - b), g + white * (0.72 - g), r + white * (0.70 - r)
    return b, g, r
