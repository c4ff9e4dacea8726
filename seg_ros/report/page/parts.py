"""Parts that several pages have: charts of latency, pictures, names of frames, facts of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.images import encode_jpeg
from seg_ros.errors import SegRosError
from seg_ros.report.page import Chart, Moment, PictureRows, Screen, Series, Timeline
from seg_ros.support.statistics import percentile

VIDEO_BYTES = 24 * 2**20
"""A larger video is not put into a page, which holds it as text a third longer."""

SCREEN_PICTURES = 600
"""Pictures of the drive where the video is too large: about as many bytes as it may have."""

_PICTURE_WIDTH = 640
_JPEG_QUALITY = 72
_MOMENTS = 4
_BINS = 40


def most(values: Sequence[float | None]) -> list[int]:
    """Positions of the largest values, a fortieth of the drive apart so that each is an event."""
    apart = max(1, len(values) // 40)
    known = [(v, i) for i, v in enumerate(values) if v is not None and v != 0]
    chosen: list[int] = []
    for _, i in sorted(known, key=lambda pair: (-pair[0], pair[1])):
        if all(abs(i - other) >= apart for other in chosen):
            chosen.append(i)
        if len(chosen) == _MOMENTS:
            break
    return chosen


def title(values: dict[str, Any], name: str) -> str:
    """Title of the page of a drive: the first word says when it was not read to its end."""
    return name if values["finished"] else f"UNFINISHED: {name}"


def timeline_of(values: dict[str, Any]) -> Timeline:
    """When the frames of the figures were."""
    columns = values["frames"]
    return Timeline(tuple(columns["index"]), tuple(columns["stamp_ns"]))


def moments_of(
    values: dict[str, Any],
    kinds: Sequence[tuple[str, str, str, str]],
    pictures: Callable[[int], PictureRows],
) -> tuple[tuple[str, tuple[Moment, ...]], ...]:
    """Return the frames most worth looking at, in groups of a kind; kinds without any are left out.

    Args:
        values: figures of a drive; ``notable`` has the positions of each kind.
        kinds: for each its key there, its title, the figure it is about, and how that is said.
        pictures: gives the pictures of a position.

    """
    timeline, columns = timeline_of(values), values["frames"]
    groups = (
        (
            name,
            tuple(
                Moment(i, moment_name(timeline, i), text.format(columns[column][i]), pictures(i))
                for i in values["notable"][key]
            ),
        )
        for key, name, column, text in kinds
    )
    return tuple(group for group in groups if group[1])


def css(color: Sequence[int]) -> str:
    """CSS colour of an RGB one."""
    red, green, blue = map(int, color)
    return f"rgb({red} {green} {blue})"


def percent(values: Sequence[float | None]) -> list[float | None]:
    """Shares of 1 as shares of 100."""
    return [None if v is None else 100 * v for v in values]


def round_up(value: float) -> float:
    """Return the next of 1, 2, 5, 10, ... times a power of ten: the end of an axis."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(f * power for f in (1, 2, 3, 4, 5, 6, 8, 10) if f * power >= value * 0.999)


def latency_histogram(milliseconds: dict[str, list[float]]) -> Chart:
    """Histogram of some times over common bins; the slowest hundredth is in the last one."""
    every = np.concatenate([np.asarray(v, float) for v in milliseconds.values()])
    low, high = float(every.min()), float(np.percentile(every, 99))
    edges = np.linspace(low, max(high, low + 0.1), _BINS + 1)
    series, notes = [], []
    for name, times in milliseconds.items():
        counts, _ = np.histogram(np.clip(times, edges[0], edges[-1]), edges)
        series.append(Series(name, [float(c) for c in counts]))
        notes.append(
            f"{name}: median {percentile(times, 50):.1f}, 99 % {percentile(times, 99):.1f}, "
            f"slowest {max(times):.1f} ms"
        )
    top = round_up(max(max(v or 0 for v in s.values) for s in series))
    return Chart(
        "Latency",
        "frames",
        tuple(series),
        0,
        top,
        digits=0,
        note="; ".join(notes),
        edges=tuple(round(float(e), 4) for e in edges),
    )


def distance_chart(errors: dict[str, Any]) -> Chart:
    """Draw how far a thing may be from where it seems, over its distance."""
    useful = errors["useful_m"]
    top = round_up(max(errors["nearer"]) * 1.5)
    return Chart(
        "How wrong a distance may be",
        "m",
        (
            Series("nearer by", errors["nearer"]),
            Series("farther by", [top if v is None else min(v, top) for v in errors["farther"]]),
        ),
        0,
        top,
        note="Two standard errors of the mounting, straight ahead. Cells that they make doubtful "
        "are unknown. "
        + (
            "No distance drawn is wrong by more than a tenth."
            if useful is None
            else f"Up to {useful:.0f} m a distance is right to a tenth."
        ),
        edges=tuple(errors["edges"]),
        across="m",
    )


def moment_name(timeline: Timeline, position: int) -> str:
    """Name a frame for a headline."""
    time = f", {timeline.x[position]:.2f} s" if timeline.timed else ""
    return f"frame {timeline.index[position]}{time}"


def facts(
    values: dict[str, Any], run: dict[str, str]
) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Facts of a run: its own, then command, versions and checksums of its figures."""
    run = {
        **run,
        "Command": values["command"],
        "Started": values["started"],
        "Versions": ", ".join(f"{name} {v}" for name, v in values["versions"].items()),
    }
    groups = {
        "The run": run,
        "SHA-256 of what was read": values["inputs"],
        "SHA-256 of what was written": values["outputs"],
    }
    rows = (
        (title, tuple((k, v) for k, v in group.items() if v)) for title, group in groups.items()
    )
    return tuple((title, group) for title, group in rows if group)


def video_screen(video: Path, frame_count: int) -> Screen | None:
    """Return a video for a page, or None if it is too large or not of that many frames.

    Raises:
        SegRosError: it cannot be read.

    """
    if video.stat().st_size > VIDEO_BYTES:
        return None
    try:
        with av.open(str(video)) as container:
            packets = container.demux(video=0)
            times = sorted(float(p.pts * p.time_base) for p in packets if p.pts is not None)
    except av.FFmpegError as error:
        raise SegRosError(f"{video} cannot be read as a video ({error.strerror})") from error
    if len(times) != frame_count:
        return None
    return Screen(video, tuple(round(time, 5) for time in times))


def shown_positions(frame_count: int) -> range:
    """Return the frames that are shown where there are pictures instead of a video."""
    return range(0, frame_count, math.ceil(frame_count / SCREEN_PICTURES))


def video_pictures(video: Path, frame_count: int) -> Iterator[tuple[int, bytes]]:
    """Yield (position, JPEG) of the frames of a video that are shown instead of it.

    Raises:
        SegRosError: it cannot be read.

    """
    shown = shown_positions(frame_count)
    try:
        with av.open(str(video)) as container:
            for position, frame in enumerate(container.decode(video=0)):
                if position in shown:
                    image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                    yield position, small_jpeg(image)[0]
    except av.FFmpegError as error:
        raise SegRosError(f"{video} cannot be read as a video ({error.strerror})") from error


def small_jpeg(picture: NDArray[np.uint8]) -> tuple[bytes, float]:
    """Scale a (H, W, 3) uint8 BGR picture to the page's width at most; its width by height too."""
    height, width = picture.shape[:2]
    if width > _PICTURE_WIDTH:
        size = (_PICTURE_WIDTH, max(1, round(height * _PICTURE_WIDTH / width)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return encode_jpeg(np.ascontiguousarray(picture), _JPEG_QUALITY), width / height
