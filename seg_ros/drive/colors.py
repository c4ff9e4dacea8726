"""Colours converted: by cv_bridge where ROS brought one that is right, else by rosbags-image."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from io import BytesIO
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.image.image import ImageError, convert_color

from seg_ros.errors import SegRosError

_CHANNELS = {
    "rgb8": 3, "bgra8": 4, "rgba8": 4, "mono8": 1, "rgb16": 3, "bgra16": 4, "rgba16": 4,
    "mono16": 1, "bayer_rggb8": 1, "bayer_bggr8": 1, "bayer_gbrg8": 1, "bayer_grbg8": 1,
    "bayer_rggb16": 1, "bayer_bggr16": 1, "bayer_gbrg16": 1, "bayer_grbg16": 1, "yuv422": 2,
    "yuv422_yuy2": 2,
}  # fmt: skip
"""Encodings that are converted, by the names that every cv_bridge knows."""

_ROUNDING = 2
"""How far two right conversions may be apart, of 255; two versions of OpenCV round differently."""

_TRIAL_SECONDS = 60

_TRIAL = """
import sys
from io import BytesIO
import cv2  # as here: before what cv_bridge brings
import numpy
from cv_bridge.boost.cv_bridge_boost import cvtColor2
given, done = numpy.load(BytesIO(sys.stdin.buffer.read())), {}
for source in given.files:
    try:
        done[source] = cvtColor2(given[source], source, "bgr16" if "16" in source else "bgr8")
    except Exception:
        pass
made = BytesIO()
numpy.savez(made, **done)
sys.stdout.buffer.write(made.getvalue())
"""


class _Bridge(NamedTuple):
    """What converts of cv_bridge, and the encodings with which it is right."""

    convert: Callable[[NDArray[Any], str, str], NDArray[Any]]
    right: frozenset[str]


def convert(image: NDArray[Any], source: str) -> NDArray[Any]:
    """Turn pixels into BGR of their depth.

    Args:
        image: (H, W) or (H, W, C), uint8, or uint16 where the encoding's name says 16.
        source: its encoding (sensor_msgs/image_encodings.hpp).

    Raises:
        SegRosError: neither library can.

    """
    target, bridge = _target(source), _cv_bridge()
    if source == target:
        return image
    if bridge is not None and source in bridge.right:
        return bridge.convert(image, source, target)
    try:
        return convert_color(image, source, target)
    except (ImageError, cv2.error) as error:
        reason = " ".join(str(error).split())
        raise SegRosError(f"{source} image cannot be converted: {reason}") from error


def color_library() -> str:
    """Name what converts colours. Finding out takes a moment, the first time."""
    bridge = _cv_bridge()
    if bridge is None or not bridge.right:
        return "rosbags-image"
    others = [source for source in _CHANNELS if source not in bridge.right]
    return "cv_bridge" + (f"; rosbags-image for {', '.join(others)}" if others else "")


def _target(source: str) -> str:
    return "bgr16" if source.endswith("16") else "bgr8"


@lru_cache(maxsize=1)
def _cv_bridge() -> _Bridge | None:
    """Return the conversion of cv_bridge where it is installed and right with some encoding.

    Compiled against numpy 1, as distributions do, it ends the process beside numpy 2, which pip
    brings with numba; compiled for OpenCV 4 beside OpenCV 5, which numbers the types of arrays
    anew, it may take one kind of pixels for another. So another process tries it first, and its
    pictures are compared with those of rosbags-image, encoding by encoding.
    """
    if find_spec("cv_bridge") is None:
        return None
    samples = {source: _sample(source) for source in _CHANNELS}
    given = BytesIO()
    np.savez(given, **samples)  # type: ignore[arg-type]
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _TRIAL],
            input=given.getvalue(),
            capture_output=True,
            check=True,
            timeout=_TRIAL_SECONDS,
        )
        made = np.load(BytesIO(tried.stdout))
        right = frozenset(s for s in made.files if _is_right(made[s], samples[s], s))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    if not right:
        return None
    try:
        from cv_bridge.boost.cv_bridge_boost import cvtColor2
    except ImportError:
        return None
    return _Bridge(cvtColor2, right)


def _sample(source: str) -> NDArray[Any]:
    """Return a smooth picture whose channels differ, in an encoding."""
    y, x = np.mgrid[0:16, 0:16]
    planes = [40 + 9 * x + 2 * y, 190 - 5 * x - 4 * y, 60 + x + 8 * y, 100 + 3 * x - y]
    image: NDArray[Any] = np.stack(planes[: _CHANNELS[source]], axis=2).astype(np.uint8)
    if source.endswith("16"):
        image = image.astype(np.uint16) * np.uint16(257)
    return image[:, :, 0] if _CHANNELS[source] == 1 else image


def _is_right(made: NDArray[Any], sample: NDArray[Any], source: str) -> bool:
    expected = convert_color(sample, source, _target(source))
    if made.shape != expected.shape or made.dtype != expected.dtype:
        return False
    inner = np.s_[2:-2, 2:-2]  # at the edges versions of OpenCV guess differently
    apart = np.abs(made[inner].astype(np.int64) - expected[inner]).max()
    return bool(apart <= _ROUNDING * (257 if source.endswith("16") else 1))
