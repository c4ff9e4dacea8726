"""What the names of video clips say: which camera, in which order, begun when.

Dashcams write a clip a minute and camera, named by its time: ``2026_0101_120000_001F.MP4`` (Viofo),
``20260101_120000_NF.mp4`` (BlackVue), ``260101_120000_001_FH.MP4`` (Nextbase),
``NO20260101-120000-000001F.MP4`` (70mai), ``2026-01-01_12-00-00-front.mp4`` (Tesla),
``VID_20260101_120000.mp4`` (phones). GoPro numbers them, the chapter before the recording:
``GH010001.MP4``, ``GH020001.MP4``; its older ones begin with ``GOPR0001.MP4``, ``GP010001.MP4``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from seg_ros.drive.pictures import by_number

UNNAMED = "clips"
"""The camera whose clips have nothing in their names that tells it from others."""

_TIME = re.compile(
    r"(?<!\d)(?:(20\d\d)[-_.]?(\d\d)[-_.]?(\d\d)|(\d\d)(\d\d)(\d\d))[-_ T.]*"
    r"(\d\d)[-_:.h]?(\d\d)[-_:.m]?(\d\d)(?:\d{3})?(?!\d)"
)
_AFTER_TIME = re.compile(r"[\W_]*(\d*)[\W_]*(.*?)[\W_]*$")
_GOPRO = re.compile(r"(?:G[HXP](?P<chapter>\d\d)|GOPR)(?P<recording>\d{4})$", re.IGNORECASE)
_DIGITS = re.compile(r"[\W_]*\d+[\W_]*")
_MODE_AND_CAMERA = re.compile(r"[A-EGH-QS-Z]([FRIO])$")
"""BlackVue's and Viofo's letters: normal, event, parking, ..., then front, rear, interior."""
_WORDS = {
    "clip", "dji", "dsc", "dscn", "emer", "ev", "event", "evt", "file", "gopr", "grmn", "img",
    "lock", "man", "manual", "mov", "movi", "mvi", "no", "normal", "pa", "par", "park", "parking",
    "pxl", "rec", "sos", "vid", "video",
}  # fmt: skip
"""What names begin with whatever the camera."""


@dataclass(frozen=True)
class Clip:
    """A video file of a folder, and what its name says."""

    path: Path
    camera: str
    begun: datetime | None = None
    """Local time, to the second; None where the name has none."""
    number: str = ""
    """What counts clips, or cameras."""
    recording: str = ""
    """Of which it is a chapter that follows the one before without a gap; empty where unknown."""


def sort_clips(files: Iterable[Path]) -> dict[str, list[Clip]]:
    """Return the clips of each camera, in the order of their names' times, else their numbers."""
    cameras = defaultdict(list)
    for clip in map(_read_name, files):
        cameras[clip.camera].append(clip)
    split: dict[str, list[Clip]] = defaultdict(list)
    for camera, clips in cameras.items():
        times, numbers = {c.begun for c in clips}, {c.number for c in clips}
        # A running number differs in every clip; cameras have the same ones at the same time.
        by_its_number = None not in times and max(len(times), len(numbers)) < len(clips)
        for clip in clips:
            name = f"{camera}_{clip.number}".strip("_") if by_its_number else camera
            split[name or UNNAMED].append(replace(clip, camera=name or UNNAMED))
    return {camera: sorted(split[camera], key=_order) for camera in sorted(split)}


def _order(clip: Clip) -> tuple[datetime, str, list[tuple[int, str]]]:
    return clip.begun or datetime.min, clip.recording, by_number(clip.path)


def _read_name(path: Path) -> Clip:
    stem = path.stem
    if gopro := _GOPRO.match(stem):
        return Clip(path, "", recording=gopro["recording"], number=gopro["chapter"] or "00")
    time = _TIME.search(stem)
    begun = _time(time) if time else None
    if time is None or begun is None:
        letters = _DIGITS.sub("_", stem).strip("-_ .()")
        return Clip(path, "" if letters.casefold() in _WORDS else letters)
    before = stem[: time.start()].strip("-_ .()")
    after = _AFTER_TIME.match(stem[time.end() :])
    assert after is not None  # it matches everything
    number, camera = after.groups()
    if camera.isdigit():
        number, camera = number + camera, ""
    if mode := _MODE_AND_CAMERA.match(camera):
        camera = mode[1]
    words = (before, camera) if before.casefold() not in _WORDS else (camera,)
    return Clip(path, "_".join(word for word in words if word), begun, number)


def _time(found: re.Match[str]) -> datetime | None:
    year, month, day, short_year, short_month, short_day, hour, minute, second = found.groups()
    if year is None:
        year, month, day = f"20{short_year}", short_month, short_day
    try:
        return datetime(*map(int, (year, month, day, hour, minute, second)))  # type: ignore[arg-type]
    except ValueError:
        return None
