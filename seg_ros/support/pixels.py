"""Sizes and places in pixels, as people write them."""

from __future__ import annotations

import re

from seg_ros.errors import SegRosError


def parse_size(text: str) -> tuple[int, int] | None:
    """Read a size as people write it, ``512x1024`` for 512 high and 1024 wide; None if empty.

    Raises:
        SegRosError: it is neither.

    """
    if not text:
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if found is None:
        raise SegRosError(f"size {text!r} is not HxW in pixels, such as 512x1024")
    return int(found[1]), int(found[2])


def parse_pixel(text: str) -> tuple[int, int]:
    """Read ``x,y`` as a pixel.

    Raises:
        SegRosError: it is none.

    """
    try:
        x, y = (int(number) for number in text.split(","))
    except ValueError:
        raise SegRosError(f"query {text!r} must be x,y: two whole numbers") from None
    return x, y
