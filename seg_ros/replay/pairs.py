"""Pairs of frames of a drive, spread over it, that tell how its camera moved.

The two frames of a pair are as far apart as it takes to see the travel: at 30 m/s a tenth of a
second, in a car park a whole one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import Drive, DriveFrame
from seg_ros.errors import SegRosError
from seg_ros.ground.aim import Pair
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.travel import PairMotion, Verdict, follow, motion
from seg_ros.labels import LabelSet
from seg_ros.support.timeline import LONGEST_STEP_BACK_NS, LONGEST_STEP_NS

_MOST_PAIRS = 160
_WIDEST = 1280
"""Pixels that frames are worked on at; wider ones are reduced."""
_PARALLAX = 0.02
"""Of the width: what the two frames of a pair should be apart."""
_MANY = 250
"""Tracks beyond which there are enough to try a longer way."""
_SHORTEST_NS, _LONGEST_NS = 30_000_000, 1_000_000_000
_TRIES = 3
_APART_NS = 350_000_000
"""At least, from pair to pair, in a drive that is long enough for it."""
_SHORT = 300
"""Frames up to which every one may begin a pair."""
_LOOK_NS = 90_000_000
"""Frames nearer to each other than this are not looked through for a cut one by one."""
_ALIKE = 0.6
"""Correlation of two small pictures below which there may be a cut between them."""
_THUMB = (64, 36)
_EDGE = 9
"""Pixels that corners keep away from what moves."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class View:
    """A frame as it is worked on."""

    frame: DriveFrame
    image: NDArray[np.uint8]
    """(H, W, 3) uint8 BGR, at most :data:`_WIDEST` wide."""
    grey: NDArray[np.uint8]
    """(H, W) uint8."""


@dataclass(eq=False)
class Seen:
    """A pair with what it was made of, while it is at hand."""

    pair: Pair
    first: View
    second: View
    mask: NDArray[np.uint8]
    """(H, W) uint8, class ids of the first frame."""
    camera: CameraModel
    """Of the size that the frames are worked on at."""
    begins: bool = field(default=False)
    """Whether it is the first after a cut."""


class PairWalk:
    """Walks through a drive and yields its pairs.

    Args:
        drive: the frames.
        masks: gives the class mask of a view, of its size.
        labels: what the class ids mean.
        camera: intrinsics, for a width and a height; called with the first frame's size.

    """

    def __init__(
        self,
        drive: Drive,
        masks: Callable[[View], NDArray[np.uint8]],
        labels: LabelSet,
        camera: Callable[[int, int], CameraModel],
    ) -> None:
        self._drive = drive
        self.name = drive.name
        """Of the drive."""
        self._masks, self._labels = masks, labels
        self._camera_of = camera
        self._camera: CameraModel | None = None
        self._apart_ns = 100_000_000
        self._thumb: Floats | None = None
        self._last: View | None = None
        self.cuts: list[int] = []
        """Indices of the frames after a cut."""
        self.size = (0, 0)
        """(width, height) of the frames."""

    def pairs(self, on_frame: Callable[[], object] = lambda: None) -> Iterator[Seen]:
        """Yield the pairs in order; frames that cannot be decoded are passed over."""
        frames: deque[View] = deque()
        count = self._drive.frame_count or _SHORT + 1
        apart = _APART_NS if count > _SHORT else 0
        stride = max(1, count // (_MOST_PAIRS if apart else _MOST_PAIRS // 4))
        index, stamp, begins = 0, None, False  # from where on the next pair may begin
        for frame in self._frames(on_frame):
            wanted = frame.index >= index and (stamp is None or frame.stamp_ns >= stamp)
            if not wanted and not self._is_due(frame):
                continue
            view = self._view(frame)
            if view is None:
                continue
            if self._is_cut(view):
                yield from self._rest(frames, begins)
                frames.clear()
                self.cuts.append(frame.index)
                index, stamp, begins, wanted = frame.index, None, True, True
            if not wanted:
                continue
            frames.append(view)
            if view.frame.stamp_ns - frames[0].frame.stamp_ns < self._apart_ns:
                continue
            seen = self._pair(frames)
            if seen is None:
                continue
            seen.begins, begins = begins, False
            yield seen
            index, stamp = seen.pair.index + stride, seen.pair.start_ns + apart
            while frames and (frames[0].frame.index < index or frames[0].frame.stamp_ns < stamp):
                frames.popleft()

    def _is_due(self, frame: DriveFrame) -> bool:
        """Whether a frame is to be looked at for a cut before it."""
        step = frame.stamp_ns - self._last.frame.stamp_ns if self._last else _LOOK_NS
        return not -LONGEST_STEP_BACK_NS <= step < _LOOK_NS

    def _rest(self, frames: deque[View], begins: bool) -> Iterator[Seen]:
        """Yield a last pair before a cut."""
        if len(frames) > 1:
            seen = self._pair(frames)
            if seen is not None:
                seen.begins = begins
                yield seen

    def _frames(self, on_frame: Callable[[], object]) -> Iterator[DriveFrame]:
        """Yield the frames up to damage, which is said where the drive is replayed."""
        try:
            for frame in self._drive.frames():
                yield frame
                on_frame()
        except SegRosError:
            return

    def _view(self, frame: DriveFrame) -> View | None:
        try:
            image = frame.decode()
        except SegRosError:
            return None
        height, width = image.shape[:2]
        if self.size == (0, 0):
            self.size = (width, height)
        if (width, height) != self.size:
            return None  # of another camera, or of a camera that was set anew
        if width > _WIDEST:
            size = (_WIDEST, round(height * _WIDEST / width))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        if self._camera is None:
            self._camera = self._camera_of(width, height).scaled(image.shape[1], image.shape[0])
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
        return View(frame, image, grey)

    def _is_cut(self, view: View) -> bool:
        """Whether something else begins with a frame."""
        if not self._is_due(view.frame):
            return False
        last = self._last
        step = view.frame.stamp_ns - last.frame.stamp_ns if last else 0
        small = cv2.resize(view.grey, _THUMB, interpolation=cv2.INTER_AREA).astype(np.float64)
        small = (small - small.mean()) / (small.std() + 1.0)
        before, self._thumb, self._last = self._thumb, small, view
        if last is None or before is None:
            return False
        if not -LONGEST_STEP_BACK_NS <= step <= LONGEST_STEP_NS:
            return True
        if step > 5 * _LOOK_NS or float((before * small).mean()) > _ALIKE:
            return False
        tracks = follow(last.grey, view.grey)
        return len(tracks.first) < 0.15 * tracks.corners

    def _pair(self, frames: deque[View]) -> Seen | None:
        """Make a pair that begins with the first of the frames; None: more are needed."""
        assert self._camera is not None
        first = frames[0]
        if len(frames) < 2:
            return None
        mask = self._masks(first)
        allowed = allowed_corners(mask, self._labels)
        span = frames[-1].frame.stamp_ns - first.frame.stamp_ns
        best: tuple[View, PairMotion] | None = None
        for _ in range(_TRIES):
            second = self._at(frames, self._apart_ns)
            made = motion(follow(first.grey, second.grey, allowed), self._camera)
            if best is None or made.verdict is Verdict.MOVED:
                best = second, made
            if not self._adapt(made) or span < self._apart_ns:  # what is too short now is for later
                break
        assert best is not None
        second, made = best
        pair = Pair(first.frame.index, first.frame.stamp_ns, second.frame.stamp_ns, made)
        return Seen(pair, first, second, mask, self._camera)

    def _adapt(self, made: PairMotion) -> bool:
        """Choose how far apart the next two frames are; return whether to try again."""
        assert self._camera is not None
        wanted = _PARALLAX * self._camera.width
        apart = self._apart_ns
        if made.verdict in (Verdict.STOOD, Verdict.TURNED) or (
            made.verdict is Verdict.MOVED and made.parallax < wanted and made.tracks > _MANY
        ):
            self._apart_ns = min(apart * 3 // 2, _LONGEST_NS)
        elif made.verdict is Verdict.LOST or made.tracks < _MANY / 3:
            self._apart_ns = max(apart * 2 // 3, _SHORTEST_NS)
        return self._apart_ns != apart

    def _at(self, frames: deque[View], apart: int) -> View:
        """Return the frame that is nearest to so much after the first; the next one at least."""
        wanted = frames[0].frame.stamp_ns + apart
        return min(list(frames)[1:], key=lambda view: abs(view.frame.stamp_ns - wanted))


def allowed_corners(mask: NDArray[np.uint8], labels: LabelSet) -> NDArray[np.uint8]:
    """Where corners may be, (H, W) uint8 0 or 255: on what stays where it is, off its edges."""
    static = np.zeros(256, np.uint8)
    static[list(labels.static_ids)] = 255
    return np.asarray(cv2.erode(static[mask], np.ones((_EDGE, _EDGE), np.uint8)))
