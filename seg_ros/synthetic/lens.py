"""A lens that bends: the scene is drawn for a pinhole that sees as much, and the picture is bent.

Everything else in the renderer is of straight lines, so this is the only place that knows a lens.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from seg_ros.ground.camera import CameraModel
from seg_ros.synthetic.basics import Bools, Bytes, Floats

_MOST = 8192
"""Pixels across and down that a pinhole may need."""


class Lens:
    """Between the pictures of a pinhole and of a camera with distortion, at the same place.

    Raises ValueError where a pixel of the camera has no direction, or one that no pinhole has.
    """

    def __init__(self, camera: CameraModel) -> None:
        self._camera = camera
        self.pinhole = camera
        """What to draw for: the camera itself where it has no distortion."""
        if not camera.distortion:
            return
        u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        flat = camera.undistort(np.stack([u, v], axis=-1).reshape(-1, 2).astype(np.float64))
        if not np.isfinite(flat).all():
            raise ValueError("camera has pixels in which its distortion sees nothing")
        # As fine as the camera is in its middle, and a pixel more on each side to blend with.
        scaled = flat * (camera.fx, camera.fy)
        low, high = np.floor(scaled.min(axis=0)) - 1, np.ceil(scaled.max(axis=0)) + 1
        width, height = (math.ceil(n) + 1 for n in high - low)
        if max(width, height) > _MOST:
            raise ValueError(f"camera sees too wide: a pinhole would need {width}x{height} pixels")
        self.pinhole = replace(
            camera, width=width, height=height, cx=-low[0], cy=-low[1], distortion=()
        )
        maps = (scaled - low).astype(np.float32).reshape(camera.height, camera.width, 2)
        self._maps = cv2.convertMaps(maps, None, cv2.CV_32FC1)  # type: ignore[call-overload]

    def bend(self, image: Bytes, mask: Bytes) -> tuple[Bytes, Bytes]:
        """Picture and classes of the camera from those of the pinhole."""
        if not self._camera.distortion:
            return image, mask
        x, y = self._maps
        return (
            np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR), np.uint8),
            np.asarray(cv2.remap(mask, x, y, cv2.INTER_NEAREST), np.uint8),
        )

    def sees(self, pixels: Floats) -> Bools:
        """Whether pixels (N, 2) of the pinhole are in the camera's image."""
        p, camera = self.pinhole, self._camera
        flat = (pixels - (p.cx, p.cy)) / (p.fx, p.fy)
        bent = camera.pixels(np.concatenate([flat, np.ones((len(flat), 1))], axis=1))
        with np.errstate(invalid="ignore"):
            inside = (bent >= -0.5) & (bent <= (camera.width - 0.5, camera.height - 0.5))
        return np.asarray(inside.all(axis=1))
