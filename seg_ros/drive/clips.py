"""A folder of video clips as one drive: those of one camera, on one timeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from seg_ros.drive.base import Drive, DriveFrame
from seg_ros.drive.clip_names import Clip, sort_clips
from seg_ros.drive.messages import NANOSECONDS
from seg_ros.drive.video import VideoDrive
from seg_ros.errors import SegRosError
from seg_ros.support.timeline import say_step

_ROUNDED_NS = 3 * NANOSECONDS // 2
"""How far a clip's time may be from the end of the one before where nothing is missing: names have
whole seconds, and a camera takes a moment to change files."""

_SAID = 3
"""Gaps that are said one by one."""


class ClipsDrive(Drive):
    """The clips of one camera of a folder; the first frame is at 1 s.

    A clip that begins within 1.5 seconds of where the one before ended follows it directly, any
    other by the times of their names, or of their recording where names have none.

    Args:
        path: the folder.
        files: its video files.
        camera: which of its cameras; may be empty where there is just one.
        fps: frames a second of raw H.264 or H.265 streams, 0 for what they say.
        calibrated: whether a camera is given, whose pixels are those that are stored.

    Raises:
        SegRosError: several cameras and none chosen, or no clip can be read.

    """

    camera_problem = VideoDrive.camera_problem

    def __init__(
        self, path: Path, files: Sequence[Path], camera: str, fps: float, calibrated: bool
    ) -> None:
        self.name = str(path)
        chosen = self._choose(sort_clips(files), camera)
        self._damage: SegRosError | None = None
        opened: list[tuple[Clip, VideoDrive]] = []
        for clip in chosen:
            try:
                opened.append((clip, VideoDrive(clip.path, fps, calibrated)))
            except SegRosError as error:
                self._damage = self._damage or error
        if not opened:
            assert self._damage is not None
            raise self._damage
        if self._damage and len(chosen) > len(opened) + 1:
            self._damage = SegRosError(
                f"{len(chosen) - len(opened)} clips of {path} cannot be read, the first: "
                f"{self._damage}"
            )
        self._clips, starts, timing = _timeline(opened)
        self._starts_ns = starts
        notes = dict.fromkeys(note for video in self._clips for note in video.notes)
        self.notes = (*timing, *list(notes)[:_SAID])

    @property
    def clips(self) -> list[tuple[VideoDrive, int]]:
        """The clips in order, and how much later than in itself each is, nanoseconds."""
        return list(zip(self._clips, self._starts_ns, strict=True))

    @property
    def frame_count(self) -> int | None:
        """See :class:`Drive`."""
        counts = [clip.frame_count for clip in self._clips]
        return None if self._damage or None in counts else sum(c for c in counts if c)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[DriveFrame]:
        """See :class:`Drive`."""
        damage, index = self._damage, 0
        for clip, start_ns in zip(self._clips, self._starts_ns, strict=True):
            count, seen = clip.frame_count, 0
            if count is not None and index + count <= start:
                index += count
                continue
            if stop is not None and index >= stop:
                return
            skipped = max(0, start - index) if count is not None else 0
            try:
                for frame in clip.frames(skipped, None if stop is None else stop - index):
                    seen = frame.index + 1
                    if index + frame.index >= start:
                        yield replace(
                            frame,
                            index=index + frame.index,
                            stamp_ns=frame.stamp_ns + start_ns,
                        )
            except SegRosError as error:  # the clips after it are as whole as ever
                damage = damage or error
            index += seen
        if damage and (stop is None or index < stop):
            raise damage

    def _choose(self, cameras: dict[str, list[Clip]], camera: str) -> list[Clip]:
        if not camera and len(cameras) == 1:
            return next(iter(cameras.values()))
        chosen = cameras.get(camera.strip("/"))
        if chosen:
            return chosen
        listing = "; ".join(
            f"{name} ({len(clips)} clip{'s' if len(clips) != 1 else ''})"
            for name, clips in cameras.items()
        )
        if camera:
            raise SegRosError(f"folder {self.name} has no camera {camera}; it has {listing}")
        raise SegRosError(
            f"folder {self.name} has clips of several cameras, choose one with --topic: {listing}"
        )


def _timeline(
    opened: Sequence[tuple[Clip, VideoDrive]],
) -> tuple[list[VideoDrive], list[int], list[str]]:
    """Return the clips in order, when each begins in nanoseconds, and what is said of it."""
    times = _recording_times(opened)
    if times:
        order = sorted(range(len(opened)), key=lambda i: (times[i], i))
        opened, times = [opened[i] for i in order], [times[i] for i in order]
    starts, gaps, overlaps = [0], [], []
    for number in range(1, len(opened)):
        (before, video), (clip, _) = opened[number - 1 : number + 1]
        end = starts[-1] + video.length_ns
        named = end
        if times and not (clip.recording and clip.recording == before.recording):
            named = int((times[number] - times[0]).total_seconds() * NANOSECONDS)
        missing = named - end
        if missing > _ROUNDED_NS:
            gaps.append(f"{say_step(missing)} before {clip.path.name}")
            end = named
        elif missing < -_ROUNDED_NS:
            overlaps.append(f"{clip.path.name} by {say_step(-missing)}")
        starts.append(end)
    notes = []
    if not times and len({clip.recording or clip.path for clip, _ in opened}) > 1:
        notes.append(
            f"neither names nor metadata say when the {len(opened)} clips were recorded: each "
            "follows the one before directly, in the order of the names' numbers"
        )
    if gaps:
        notes.append(f"nothing was recorded for {_some(gaps)}")
    if overlaps:
        notes.append(
            f"clips begin before the one before has ended and follow it directly: {_some(overlaps)}"
        )
    return [video for _, video in opened], starts, notes


def _recording_times(opened: Sequence[tuple[Clip, VideoDrive]]) -> list[datetime]:
    """Return when each clip was begun: by all names, else by all files' metadata; else nothing.

    The chapters of one recording have the time of its first.
    """
    named = [clip.begun for clip, _ in opened]
    if None not in named:
        return [time for time in named if time]
    first: dict[str, datetime | None] = {}
    times = []
    for clip, video in opened:
        chapters = clip.recording or str(clip.path)
        times.append(first.setdefault(chapters, video.created))
    known = [time for time in times if time]
    return known if len(known) == len(opened) and len(set(known)) == len(first) else []


def _some(items: Sequence[str]) -> str:
    more = len(items) - _SAID
    return ", ".join(items[:_SAID]) + (f" and {more} more times" if more > 0 else "")
