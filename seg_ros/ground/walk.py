"""Going out along rays, 64 neighbours at a time: what each of their bins is, as bits.

Neighbouring rays look at neighbouring pixels. So a mask is read bin by bin for 64 rays, as it lies
in memory, and what they see becomes three words of 64 bits: not free, other ground, obstacle. From
there on the work is with words: only rays that meet something are followed one by one, and a cell
is judged by the few words that its rays and bins lie in.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numba import njit
from numpy.typing import NDArray

from seg_ros.ground.grid_spec import FREE, OCCUPIED
from seg_ros.support.bands import run_in_bands

DRIVEABLE, OTHER_GROUND, OBSTACLE, NOTHING = 0, 3, 5, 1
"""What a class is to a ray, as bits: 1 is not free, 2 is in the way where it lies, 4 is met and
hides what is behind it. NOTHING (sky, unlabelled) is neither ground nor in the way."""

LANES = 64
"""Rays of a tile, one for each bit of a word."""


class RayTiles:
    """The pixels of 64 neighbouring rays together, bin by bin.

    Args:
        pixels: (rays, bins) int32 of :class:`seg_ros.ground.pixel_table.PixelTable`.
        ignored: (H * W,) bool, pixels that show the vehicle itself; empty when there are none.

    """

    def __init__(self, pixels: NDArray[np.int32], ignored: NDArray[np.bool_]) -> None:
        rays, bins = pixels.shape
        self.count = -(-rays // LANES)
        self.base = np.empty((self.count, bins), np.int32)
        """The least of the pixels of each tile and bin."""
        self.valid = np.empty((self.count, bins), np.uint64)
        """Bits of the rays that have a pixel there."""
        # 16 bits are enough unless the image is nearly on its side.
        self.offsets: NDArray[np.unsignedinteger] = np.empty((self.count, bins, LANES), np.uint16)
        """What to add to the least."""
        self._ignored = ignored
        self.fill(pixels)

    def fill(self, pixels: NDArray[np.int32]) -> None:
        """Take the pixels over, after they have changed."""
        too_wide = np.zeros(1, np.bool_)
        while True:
            most = np.iinfo(self.offsets.dtype).max
            fill = partial(
                _fill_tiles, pixels, self._ignored, most, too_wide, self.base, self.valid,
                self.offsets,
            )  # fmt: skip
            run_in_bands(fill, self.count)
            if not too_wide[0]:
                return
            self.offsets = np.empty(self.offsets.shape, np.uint32)
            too_wide[0] = False


@njit(nogil=True, cache=True)
def _fill_tiles(  # type: ignore[no-untyped-def]
    pixels, ignored, most, too_wide, base, valid, offsets, first, last
):
    rays, bins = pixels.shape
    bonnet = ignored.size > 0
    for tile in range(first, last):
        begin = tile * LANES
        lanes = min(LANES, rays - begin)
        for j in range(bins):
            word, low, high = np.uint64(0), np.int32(2**31 - 1), np.int32(0)
            for lane in range(lanes):
                pixel = pixels[begin + lane, j]
                if pixel >= 0 and not (bonnet and ignored[pixel]):
                    word |= np.uint64(1) << np.uint64(lane)
                    low, high = min(low, pixel), max(high, pixel)
            valid[tile, j] = word
            base[tile, j] = low if word else 0
            if word and high - low > most:
                too_wide[0] = True
                return
            for lane in range(LANES):
                there = (word >> np.uint64(lane)) & np.uint64(1)
                offsets[tile, j, lane] = pixels[begin + lane, j] - low if there else 0


@njit(nogil=True, cache=True)
def walk_tiles(  # type: ignore[no-untyped-def]
    mask, confidence, threshold, meaning, level, base, valid, offsets, edges, near, depth, limit,
    contacts, clear, taken, occupied, first, last,
):  # fmt: skip
    """Go out along the rays of tiles ``first`` to ``last`` and say what each bin is.

    Args:
        mask: (H * W,) uint8 class ids.
        confidence: (H * W,) uint8; not read where ``threshold`` is 0.
        threshold: driveable pixels below this confidence are not seen.
        meaning: (256,) uint8, what each class is to a ray.
        level: (256,) uint8, which row of ``near`` is for each class' lower edge.
        base: (tiles, bins) int32, of :class:`RayTiles` like the next two.
        valid: (tiles, bins) uint64.
        offsets: (tiles, bins, 64) uint16 or uint32.
        edges: (bins + 1,) ranges in metres, rising.
        near: (levels, bins + 1) ranges in metres at which what is seen there begins, a row for each
            height that lower edges have, rising (:meth:`seg_ros.ground.doubt.Doubt.near_edges`).
        depth: metres that count as occupied from a contact on.
        limit: range in metres up to which a contact is one.
        contacts: (tiles * 64,) out: range of the first thing in the way in metres, inf for none.
        clear: (tiles * 64,) bool out: nothing but driveable ground as far as the limit.
        taken: (tiles, bins) uint64 out: bits of the rays for which the bin is not free.
        occupied: (tiles, bins) uint64 out: bits of those for which it is occupied.
        first: tile to begin with.
        last: tile to end before.

    """
    bins = base.shape[1]
    kinds = np.empty(LANES, np.uint8)
    eights = kinds.view(np.uint64)
    met = np.empty(bins, np.uint64)
    for tile in range(first, last):
        seen = blind = twice = before = np.uint64(0)
        for j in range(bins):
            there = valid[tile, j]
            free_not, ground, obstacle = np.uint64(0), np.uint64(0), np.uint64(0)
            if there:
                # Unsigned, and no slices: numba would count their references.
                least = np.uint64(base[tile, j])
                for lane in range(LANES):
                    kinds[lane] = meaning[mask[least + np.uint64(offsets[tile, j, lane])]]
                if threshold:
                    for lane in range(LANES):
                        pixel = least + np.uint64(offsets[tile, j, lane])
                        if kinds[lane] == DRIVEABLE and confidence[pixel] < threshold:
                            kinds[lane] = NOTHING
                free_not, ground, obstacle = _as_bits(eights)
            free_not |= ~there
            obstacle &= there
            taken[tile, j], occupied[tile, j], met[j] = free_not, ground & there, obstacle
            seen |= there
            if edges[j] < limit:
                blind |= seen & free_not
            twice |= obstacle & before  # two samples in a row are the first that count
            before = obstacle
        for lane in range(LANES):
            bit = np.uint64(1) << np.uint64(lane)
            contact = np.inf
            if twice & bit:
                contact = _contact(mask, level, base[tile], offsets[tile], met, near, bit, lane)
                _hide(edges, contact, depth, bit, taken[tile], occupied[tile])
            ray = tile * LANES + lane
            contacts[ray] = contact if contact <= limit else np.inf
            clear[ray] = (seen & ~blind & bit) != 0


@njit(nogil=True, cache=True, inline="always")
def _as_bits(eights):  # type: ignore[no-untyped-def]
    """Gather the bits 1, 2 and 4 of 64 bytes, eight at a time, into a word each."""
    ones, gather = np.uint64(0x0101010101010101), np.uint64(0x0102040810204080)
    a = b = c = np.uint64(0)
    for group in range(8):
        word = eights[group]
        shift = np.uint64(8 * group)
        a |= (((word & ones) * gather) >> np.uint64(56)) << shift
        b |= ((((word >> np.uint64(1)) & ones) * gather) >> np.uint64(56)) << shift
        c |= ((((word >> np.uint64(2)) & ones) * gather) >> np.uint64(56)) << shift
    return a, b, c


@njit(nogil=True, cache=True)
def _contact(mask, level, base, offsets, met, near, bit, lane):  # type: ignore[no-untyped-def]
    """Range of the first thing in the way of a ray that meets an obstacle in two bins in a row."""
    bins, highest = base.size, near.shape[0] - 1
    contact = np.inf
    run, start, height = 0, 0, 0
    j = 0
    while not (met[j] & met[j + 1] & bit):
        j += 1
    for k in range(j, bins):
        if met[k] & bit:
            label = mask[base[k] + offsets[k, lane]]
            if run == 0:
                start, height = k, level[label]
            else:
                # What hangs at a height is nearer than the ground it is seen against.
                height = max(height, level[label])
                contact = min(contact, near[height, start])
            run += 1
        else:
            run = 0
        # Whatever is met from here on is no nearer than this.
        if near[highest, k] > contact:
            break
    return contact


@njit(nogil=True, cache=True)
def _hide(edges, contact, depth, bit, taken, occupied):  # type: ignore[no-untyped-def]
    """Occupy the bins behind a contact for a ray, and hide all further ones."""
    bins = taken.size
    low, high = 0, bins - 1  # the last bin that begins before the contact
    while low < high:
        middle = (low + high + 1) // 2
        if edges[middle] > contact:
            high = middle - 1
        else:
            low = middle
    end = low
    while end < bins and edges[end] < contact + depth:
        occupied[end] |= bit
        end += 1
    for j in range(low, bins):
        taken[j] |= bit
    for j in range(end, bins):
        occupied[j] &= ~bit


@njit(nogil=True, cache=True)
def decide_cells(index, blocks, taken, occupied, cells, first, last):  # type: ignore[no-untyped-def]
    """Decide cells ``first`` to ``last`` of those that rays reach.

    Args:
        index: (N,) int32, which cell of ``cells`` each is.
        blocks: (N, 8) int16, see :mod:`seg_ros.ground.grid`.
        taken: (tiles, bins) uint64 of :func:`walk_tiles`.
        occupied: (tiles, bins) uint64 of :func:`walk_tiles`.
        cells: (rows * columns,) int8 out; what is neither free nor occupied is left alone.
        first: cell to begin with.
        last: cell to end before.

    """
    for k in range(first, last):
        if blocks[k, 0] >= 0 and not _any(taken, blocks, k, 0):
            cells[index[k]] = FREE
        elif _any(occupied, blocks, k, 4):
            cells[index[k]] = OCCUPIED


@njit(nogil=True, cache=True, inline="always")
def _any(words, blocks, k, at):  # type: ignore[no-untyped-def]
    """Whether a bit is set within a block of rays and bins; the last ones are exclusive."""
    six, lanes, full = np.uint64(6), np.uint64(LANES - 1), ~np.uint64(0)
    first, last = np.uint64(blocks[k, at]), np.uint64(blocks[k, at + 1] - 1)
    low, high = np.uint64(blocks[k, at + 2]), np.uint64(blocks[k, at + 3])
    left, right = first >> six, last >> six
    for tile in range(left, right + np.uint64(1)):
        bits = full
        if tile == left:
            bits &= full << (first & lanes)
        if tile == right:
            bits &= full >> (lanes - (last & lanes))
        found = np.uint64(0)
        for j in range(low, high):
            found |= words[tile, j]
        if found & bits:
            return True
    return False
