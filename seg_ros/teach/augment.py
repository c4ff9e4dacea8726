"""Draws training samples from a pack: which frame, what part of it, what is done to it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg_ros.errors import SegRosError
from seg_ros.teach import ground_cover, weather
from seg_ros.teach.packed import Frame, Pack
from seg_ros.teach.partial import NOTHING

Image = NDArray[np.uint8]
Pair = tuple[Image, Image]
Config = Mapping[str, Any]

_THINGS = ("pole", "traffic sign", "car", "person", "bicyclist")
"""Classes that are objects of their own and survive being pasted into another frame."""
_TOWN = ("building", "fence", "pole", "sidewalk", "traffic sign", "beside the road",
         "roadside object")  # fmt: skip
_GREEN = ("vegetation", "far object")
_EDGE = (104, 116, 124)
"""What is seen beyond the frame, BGR; its label is nothing."""


def random_view(
    image: Image, label: Image, size: Sequence[int], config: Config, rng: np.random.Generator,
    centre: tuple[float, float] | None = None,
) -> Pair:  # fmt: skip
    """Look at a part of the frame, stretched to `size` (height, width), scaled, turned, flipped.

    One affine warp does it all. `centre` is the (x, y) in the frame that shall lie near the
    middle; without one it lies anywhere. What is seen beyond the frame has no label.
    """
    height, width = label.shape
    rows, columns = size
    (low, high), (narrow, wide) = config["scale"], config["aspect"]
    scale = math.exp(rng.uniform(math.log(low), math.log(high)))
    aspect = math.exp(rng.uniform(math.log(narrow), math.log(wide)) / 2)
    scale_x, scale_y = scale * aspect * columns / width, scale / aspect * rows / height
    if rng.random() < config["flip"]:
        scale_x = -scale_x
    angle = math.radians(rng.uniform(-1, 1) * config["rotate"])
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([scale_x, scale_y])
    middle = np.array([width / 2, height / 2])
    extent = np.array([abs(scale_x) * width, abs(scale_y) * height])
    slack = np.abs(extent - [columns, rows]) / 2
    if centre is None:
        shift = rng.uniform(-slack, slack)
    else:
        jitter = rng.uniform(-0.3, 0.3, 2) * [columns, rows]
        shift = np.clip(linear @ (np.array(centre) - middle) + jitter, -slack, slack)
    offset = np.array([columns / 2, rows / 2]) - shift - linear @ middle
    matrix = np.column_stack([linear, offset])
    target = (columns, rows)
    seen = cv2.warpAffine(
        image, matrix, target, flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT, borderValue=_EDGE,
    )  # fmt: skip
    ids = cv2.warpAffine(
        label, matrix, target, flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT, borderValue=NOTHING,
    )  # fmt: skip
    return np.asarray(seen, np.uint8), np.asarray(ids, np.uint8)


class Sampler:
    """Draws augmented samples; the same (step, index, size) always draws the same one.

    Raises SegRosError if the recipe's shares name a group that the pack does not hold.
    """

    def __init__(self, pack: Pack, config: Config) -> None:
        self._config = config
        labels = pack.labels
        self._groups: dict[str, list[Frame]] = {}
        for frame in pack.frames:
            if frame.split == "train":
                self._groups.setdefault(frame.group, []).append(frame)
        shares = {name: share for name, share in config["shares"].items() if share > 0}
        missing = [name for name in shares if name not in self._groups]
        if missing:
            raise SegRosError(
                f"the packed file holds no group {', '.join(missing)}; it has "
                f"{', '.join(sorted(self._groups))}: pack it anew or set that share to 0"
            )
        self._names = tuple(shares)
        self._shares = np.array(list(shares.values())) / sum(shares.values())

        def ids(names: Sequence[str]) -> list[int]:
            return [labels.id_of(name) for name in names if name in labels.names]

        self._things = ids(_THINGS)
        self._ground = ids(["sidewalk", "beside the road"])
        self._roads = ids(["road", "teachers: road"])
        self._terrain, self._ego = labels.id_of("terrain"), labels.id_of("ego vehicle")
        self._country = {
            "road": labels.id_of("road"),
            "terrain": self._terrain,
            "sky": labels.id_of("sky"),
            "town": ids(_TOWN),
            "green": ids(_GREEN),
        }

    def _view(self, group: str, size: Sequence[int], rng: np.random.Generator) -> Pair:
        frames = self._groups[group]
        frame = frames[int(rng.integers(len(frames)))]
        centre = None
        geometry = self._config["geometry"]
        if rng.random() < geometry["thing_centre"]:
            found = np.flatnonzero(np.isin(frame.label, self._things))
            if len(found):
                row, column = divmod(int(found[rng.integers(len(found))]), frame.label.shape[1])
                centre = (float(column), float(row))
        return random_view(frame.image, frame.label, size, geometry, rng, centre)

    def _paste(self, image: Image, label: Image, rng: np.random.Generator) -> Pair:
        donor, ids = self._view("camvid", label.shape, rng)
        pasted = np.isin(ids, self._things)
        return np.where(pasted[..., None], donor, image), np.where(pasted, ids, label)

    def draw(self, step: int, index: int, size: Sequence[int]) -> Pair:
        """Draw sample `index` of the batch of `step` at `size`: (H, W, 3) uint8 BGR, (H, W) ids."""
        config = self._config
        rng = np.random.default_rng([config["seed"], step, index])
        group = self._names[int(rng.choice(len(self._names), p=self._shares))]
        image, label = self._view(group, size, rng)
        chance = config["scene"]
        if "camvid" in self._groups and rng.random() < chance["paste"]:
            image, label = self._paste(image, label, rng)
        kind = rng.random()
        if kind < chance["open_country"]:
            image, label = ground_cover.open_country(image, label, self._country, rng)
        elif kind < chance["open_country"] + chance["verge"]:
            image, label = ground_cover.repaint_verge(
                image, label, self._ground, self._terrain, rng
            )
        kind = rng.random()
        if kind < chance["wet"] + chance["snow"]:
            ground = np.isin(label, self._roads)
            change = weather.wet if kind < chance["wet"] else weather.snowfall
            image = np.clip(change(image.astype(np.float32), ground, rng), 0, 255)
            image = image.astype(np.uint8)
        if rng.random() < chance["bonnet"]:
            image, label = ground_cover.paste_bonnet(image, label, self._ego, rng)
        return weather.photometric(image, config["photometry"], rng), label

    def batch(self, step: int, size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Draw a batch at `size`: images (N, H, W, 3) uint8 BGR, label sets (N, H, W) uint8."""
        drawn = [self.draw(step, index, size) for index in range(self._config["batch"])]
        images, labels = zip(*drawn, strict=True)
        return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels))
