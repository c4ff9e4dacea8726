"""Data sets, footage and the synthetic world, read as frames of a packed file.

What a data set says of a pixel and what the teachers are sure of are put into one label set:

* labelled with a class or a set of classes: that, teachers are not asked;
* except where a coarse label says road and both teachers are sure of the opposite: DISPUTED, which
  the recipe ignores or gives a weight of its own;
* unlabelled: road where a teacher is sure of it, not road where both are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.errors import SegRosError
from seg_ros.teach.packed import Frame
from seg_ros.teach.partial import NOTHING, PartialLabels

TEACHER_ROAD, TEACHER_NOT_ROAD = "teachers: road", "teachers: not road"
DISPUTED = "disputed: labelled road, teachers: not road"

Image = NDArray[np.uint8]
Opinions = Callable[[str, Image], tuple[Image, Image]]
"""From a source's name and a frame to both teachers' probability of road, (H, W) uint8, 255 = 1."""


@dataclass(frozen=True)
class Certainty:
    """Probability of road from which a teacher is sure, and below which of the opposite."""

    road: float
    not_road: float


class Labeller:
    """Turns class ids of a data set, and the teachers' opinions, into label sets."""

    def __init__(self, labels: PartialLabels, certainty: Certainty, opinions: Opinions) -> None:
        self.labels = labels
        self._road = labels.id_of("road")
        self._sure = labels.id_of(TEACHER_ROAD), labels.id_of(TEACHER_NOT_ROAD)
        self._disputed = labels.id_of(DISPUTED)
        self._certainty = certainty
        self._opinions = opinions

    def table(self, names: Mapping[int, str]) -> Image:
        """Look-up table (256,) from a data set's ids to ids of label sets; the rest is void."""
        table = np.full(256, NOTHING, np.uint8)
        for value, name in names.items():
            table[value] = self.labels.id_of(name)
        return table

    def merge(self, source: str, image: Image, said: Image, coarse: bool) -> Image:
        """Add the teachers to what is said, (H, W) ids of label sets with 255 for void."""
        adas, twin = self._opinions(source, image)
        high, low = 255 * self._certainty.road, 255 * self._certainty.not_road
        road, none = (adas > high) | (twin > high), (adas < low) & (twin < low)
        road &= ~((adas < low) | (twin < low))
        merged: Image = said.copy()
        void = said == NOTHING
        merged[void & road] = self._sure[0]
        merged[void & none] = self._sure[1]
        if coarse:
            merged[(said == self._road) & none] = self._disputed
        return merged


def camvid(
    folder: Path, split: str, names: Mapping[int, str], labeller: Labeller
) -> Iterator[Frame]:
    """CamVid as split by the SegNet tutorial; nearly all of it is labelled: no teacher is asked."""
    table = labeller.table(names)
    for path in _files(folder / split, "*.png"):
        image, ids = read(path), read(folder / f"{split}annot" / path.name, grey=True)
        yield Frame(image, table[ids], f"camvid/{split}/{path.name}", "camvid", split)


def idd_lite(folder: Path, names: Mapping[int, str], labeller: Labeller) -> Iterator[Frame]:
    """IDD-Lite's training frames with their coarse labels, then its unlabelled `test` frames."""
    table = labeller.table(names)
    for path in _files(folder / "leftImg8bit" / "train", "*/*_image.jpg"):
        name = path.name.replace("_image.jpg", "_label.png")
        image, ids = read(path), read(folder / "gtFine/train" / path.parent.name / name, grey=True)
        source = f"idd_lite/train/{path.parent.name}/{path.name}"
        said = labeller.merge(source, image, table[ids], coarse=True)
        yield Frame(image, said, source, "idd")
    for path in _files(folder / "leftImg8bit" / "test", "*/*_image.jpg"):
        source = f"idd_lite/test/{path.parent.name}/{path.name}"
        yield unlabelled(read(path), source, "unlabelled", labeller)


def footage(path: Path, every: int, size: Sequence[int], labeller: Labeller) -> Iterator[Frame]:
    """Every n-th frame of a video, scaled to `size` (height, width), labelled by the teachers."""
    video = cv2.VideoCapture(str(path))
    number = 0
    while True:
        more, image = video.read()
        if not more:
            break
        if number % every == 0:
            small = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
            source = f"{path.name}/{number}"
            yield unlabelled(np.asarray(small, np.uint8), source, "footage", labeller)
        number += 1
    if number == 0:
        raise SegRosError(f"{path} holds no frame that can be read")


def unlabelled(image: Image, source: str, group: str, labeller: Labeller) -> Frame:
    """Label a frame by the teachers alone."""
    void = np.full(image.shape[:2], NOTHING, np.uint8)
    return Frame(image, labeller.merge(source, image, void, coarse=False), source, group)


def read(path: Path, grey: bool = False) -> Image:
    """Read a picture, (H, W, 3) uint8 BGR or (H, W) uint8. Raises SegRosError if it cannot be."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    if image is None:
        raise SegRosError(f"{path} is missing or no picture")
    return np.asarray(image, np.uint8)


def _files(folder: Path, pattern: str) -> list[Path]:
    files = sorted(folder.glob(pattern))
    if not files:
        raise SegRosError(f"{folder} holds no {pattern}; is this where the data set is?")
    return files


class CachedOpinions:
    """Both teachers' opinions, kept in a folder by source: a pack made anew does not ask again."""

    def __init__(
        self, folder: Path, teachers: Callable[[], Sequence[Callable[[Image], object]]]
    ) -> None:
        self._folder = folder
        self._make = teachers
        self._teachers: Sequence[Callable[[Image], object]] = ()
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, source: str, image: Image) -> tuple[Image, Image]:
        """Read or ask: two (H, W) uint8 probabilities of road, 255 = 1."""
        path = self._folder / (source.replace("/", "_") + ".png")
        both = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
        if both is None or both.shape != (2 * image.shape[0], image.shape[1]):
            self._teachers = self._teachers or self._make()
            said = [np.asarray(teacher(image), np.float32) for teacher in self._teachers]
            both = np.rint(255 * np.clip(np.concatenate(said), 0, 1)).astype(np.uint8)
            partial = path.with_suffix(".partial.png")
            cv2.imwrite(str(partial), both)
            partial.replace(path)
        half = len(both) // 2
        return np.asarray(both[:half], np.uint8), np.asarray(both[half:], np.uint8)
