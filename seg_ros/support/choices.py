"""What a user may choose where the command line, the node's parameters and the rooms must agree.

Words and numbers alone: the command line shows them without importing what they choose.
"""

from __future__ import annotations

from collections.abc import Iterable

DEFAULT_MODEL = "default"
"""Chooses the catalogue's default model."""

SYNTHETIC = "synthetic"
"""Chooses the drive that is rendered here instead of a recording."""

RUNTIMES = ("auto", "tensorrt", "tensorrt_rtx", "openvino", "torch")
"""Values of the ``runtime`` parameter and of ``--runtime``; after ``auto``, the fastest first."""

PRECISIONS = ("auto", "fp16", "bf16", "fp32")
"""Values of ``--precision``; after ``auto``, the fastest first and the safest last."""

MASK_FORMATS = ("raw", "png")
"""How masks may be written: ``Image`` mono8, or ``CompressedImage`` as PNG; both are lossless."""

MIN_AGREEMENT = 0.99
"""At least this share of an engine's pixels must have the reference's class."""

MAX_FALSE_FREE = 0.001
"""At most this share of what the reference calls not driveable may be driveable to the engine."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'X'?`` for the nearest known word, or nothing if none is near."""
    from difflib import get_close_matches  # errors alone need it

    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
