"""The page a person looks at after a comparison, of the same figures as its JSON."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seg_ros.report.page import (
    Chart,
    Page,
    PictureRows,
    Screen,
    Series,
    Swatch,
    write_page,
)
from seg_ros.report.page.parts import (
    css,
    facts,
    latency_histogram,
    moments_of,
    percent,
    round_up,
    timeline_of,
    title,
    video_pictures,
    video_screen,
)
from seg_ros.support.statistics import percentile

_MOMENTS = (
    ("largest_disagreement", "Largest disagreement", "agreement", "{:.1%} agree"),
    (
        "least_driveable_agreement",
        "Least agreement on driveable area",
        "driveable_iou",
        "driveable IoU {:.1%}",
    ),
)


def write_compare_page(
    values: dict[str, Any], video: Path, pictures: Callable[[int], PictureRows], path: Path
) -> None:
    """Write the page of a comparison.

    Args:
        values: its figures, as :meth:`seg_ros.judge.compare.Comparison.run` returns them.
        video: its video, with every frame of the figures.
        pictures: gives the pictures of a frame, by its place in the drive.
        path: of the page.

    Raises:
        SegRosError: the video cannot be read, or the page cannot be written.

    """
    timeline = timeline_of(values)
    names, drive = [values[key]["name"] for key in "ab"], Path(values["drive"]).name
    page = Page(
        title=title(values, f"{' and '.join(names)} on {drive}"),
        subtitle="; ".join(
            f"{k.upper()}: {values[k]['model']}, {_engine(values[k])}" for k in "ab"
        ),
        banners=_banners(values),
        tiles=_tiles(values),
        timeline=timeline,
        screen=_screen(video, len(timeline.index)),
        legend=tuple(
            Swatch(c["name"], css(c["color"]), f"IoU {_share(c['iou'])}")
            for c in values["classes"]
            if c["mean_share"]
        ),
        charts=_charts(values),
        moments=moments_of(values, _MOMENTS, lambda i: pictures(timeline.index[i])),
        facts=_facts(values),
    )
    write_page(page, path)


def _engine(contender: dict[str, Any]) -> str:
    height, width = contender["input_size"]
    return f"{contender['engine']} at {width}x{height} on {contender['device']}"


def _facts(values: dict[str, Any]) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    run = {"Drive": values["drive"]}
    for key in "ab":
        known = values[key]
        run[key.upper()] = (
            f"{known['name']}: {known['model']}, {_engine(known)}, classes of {known['labels']}"
        )
    pairs = tuple(
        (f"A {pair['a']}, B {pair['b']}", f"{pair['share']:.2%} of the pixels")
        for pair in values["disagreements"]
    )
    unlike = (("What they disagree on most", pairs),) if pairs else ()
    return *unlike, *facts(values, run)


def _banners(values: dict[str, Any]) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    level = "warn" if values["finished"] else "bad"
    return tuple((level, problem, ()) for problem in values["problems"])


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _tiles(values: dict[str, Any]) -> tuple[tuple[str, str, str], ...]:
    a, b = values["a"]["engine_p50_ms"], values["b"]["engine_p50_ms"]
    faster, ratio = ("A", b / a) if a <= b else ("B", a / b)
    return (
        ("Agreement", _share(values["agreement"]), "of all pixels"),
        ("Driveable area", _share(values["driveable_iou"]), "IoU of A and B"),
        ("Engine A", f"{a:.1f} ms", f"median; 99 %: {values['a']['engine_p99_ms']:.1f} ms"),
        ("Engine B", f"{b:.1f} ms", f"median; 99 %: {values['b']['engine_p99_ms']:.1f} ms"),
        ("Faster", faster, f"{ratio:.2f} times"),
        ("Frames", f"{values['frames_out']}", f"of {values['frames_in']} in the drive"),
    )


def _charts(values: dict[str, Any]) -> tuple[Chart, ...]:
    columns = values["frames"]
    agreement = percent(columns["agreement"])
    low = math.floor(min(v for v in agreement if v is not None) / 10) * 10
    by_share = sorted(
        zip(values["classes"], columns["class_iou"], strict=True),
        key=lambda pair: -pair[0]["mean_share"],
    )
    lines = tuple(
        Series(c["name"], percent(iou), css(c["color"])) for c, iou in by_share if c["mean_share"]
    )
    driveable = (Series("driveable IoU", percent(columns["driveable_iou"])),)
    times = {"A": columns["engine_ms_a"], "B": columns["engine_ms_b"]}
    slowest = max(percentile(t, 99) for t in times.values())
    clipped = tuple(Series(n, [min(v, slowest) for v in t]) for n, t in times.items())
    return (
        Chart("Agreement", "% of the pixels", (Series("agreement", agreement),), min(low, 90), 100),
        Chart("Agreement on driveable area", "% IoU", driveable, 0, 100),
        Chart(
            "Agreement per class",
            "% IoU",
            lines,
            0,
            100,
            note="Pixels both give the class, of those either does; gaps: neither.",
        ),
        Chart("Engine time", "ms", clipped, 0, round_up(slowest)),
        latency_histogram(times),
    )


def _screen(video: Path, count: int) -> Screen:
    note = "Above A and B, below where they disagree (red) and the frame."
    screen = video_screen(video, count)
    if screen:
        return Screen(screen.video, screen.times, note=note)
    pictures = dict(video_pictures(video, count))
    return Screen(
        pictures=tuple(pictures.values()),
        positions=tuple(pictures),
        note=f"{note} Some of the frames; the whole video is {video.name}.",
    )
