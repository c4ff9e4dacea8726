"""The page a person looks at after a replay, of the same figures as its JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seg_ros.drive.base import Drive
from seg_ros.drive.images import decode_compressed, encode_jpeg
from seg_ros.drive.pictures import read_picture
from seg_ros.errors import SegRosError
from seg_ros.report.page import (
    Chart,
    Page,
    PictureRows,
    Screen,
    Series,
    Swatch,
    Timeline,
    write_page,
)
from seg_ros.report.page.parts import (
    css,
    distance_chart,
    facts,
    latency_histogram,
    moments_of,
    percent,
    round_up,
    shown_positions,
    small_jpeg,
    timeline_of,
    title,
    video_screen,
)
from seg_ros.report.run_values import RunInfo, report_values
from seg_ros.results.bag_topics import GRID_TOPIC, OVERLAY_TOPIC
from seg_ros.results.figures import AHEAD, read_figures
from seg_ros.results.grid_drawing import draw_grid, grid_poses
from seg_ros.results.outputs import CALIBRATION_NAMES
from seg_ros.results.result_bag import read_result

REPORT_NAME = "report.html"
FIGURES_NAME = "frames.jsonl"

_SAID = 12
"""Rejected frames that are listed; the rest are counted."""

_MOMENTS = (
    ("lowest_confidence", "Least sure", "confidence", "confidence {:.3f}"),
    ("largest_change", "Largest change between neighbours", "changed_share", "{:.1%} changed"),
    (
        "most_driveable_lost",
        "Most driveable area lost",
        "driveable_lost",
        "{:.1%} of the picture no longer driveable",
    ),
)


def write_report(folder: Path, run: RunInfo, drive: Drive) -> dict[str, Any]:
    """Write ``report.html`` into the folder of a replay.

    Args:
        folder: holds ``frames.jsonl`` and the bag ``result``, and ``overlay.mp4`` if there is one.
        run: what was run.
        drive: is read again for the pictures of a dozen frames.

    Returns:
        The figures of the page, :func:`report_values`.

    Raises:
        SegRosError: something cannot be read, or the page cannot be written.

    """
    values = report_values(run, read_figures(folder / FIGURES_NAME))
    timeline = timeline_of(values)
    notable = sorted({i for positions in values["notable"].values() for i in positions})
    screen, overlays = _screen(folder, timeline, notable)
    pictures = _Pictures(
        frames=_drive_pictures(drive, timeline, notable),
        overlays=overlays,
        grids=_grid_pictures(folder, timeline, notable),
    )
    page = Page(
        title=title(values, Path(run.drive).name),
        subtitle=f"{run.model} on {run.engine}, {run.device}",
        banners=_banners(run, values),
        tiles=_tiles(values),
        timeline=timeline,
        screen=screen,
        legend=_legend(values),
        charts=_charts(values),
        moments=moments_of(values, _MOMENTS, pictures.of),
        pictures=_calibration(folder),
        facts=facts(
            values,
            {
                "Drive": run.drive,
                "Camera": run.ground.get("camera", ""),
                "Mounting": run.ground.get("mounting", ""),
                "Grid": run.ground.get("grid", ""),
                "Model": run.model,
                "Engine": run.engine,
                "Device": run.device,
            },
        ),
    )
    write_page(page, folder / REPORT_NAME)
    return values


def _calibration(folder: Path) -> tuple[tuple[str, bytes], ...]:
    """Return the picture that the mounting is checked by, where it was looked for."""
    path = folder / CALIBRATION_NAMES[1]
    if not path.is_file():
        return ()
    return (
        (
            "Camera: the yellow line must lie on the horizon, the cross where the drive goes",
            encode_jpeg(read_picture(path), 85),
        ),
    )


def _banners(run: RunInfo, values: dict[str, Any]) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    banners: list[tuple[str, str, tuple[str, ...]]] = []
    if not run.finished:
        text = f"Unfinished: this is the drive up to frame {values['frames']['index'][-1]}."
        banners.append(("bad", text, ()))
    banners += [("bad", problem, ()) for problem in run.problems]
    banners += [("warn", note, ()) for note in run.notes]
    if values["rejected"]:
        text = (
            f"{values['rejected']} of {values['frames_in']} frames could not be used and are not "
            "in the outputs."
        )
        listed = run.rejections[:_SAID]
        if values["rejected"] > len(listed):
            listed = (*listed, f"and {values['rejected'] - len(listed)} more")
        banners.append(("warn", text, listed))
    return tuple(banners)


def _tiles(values: dict[str, Any]) -> tuple[tuple[str, str, str], ...]:
    median = values["contact_ahead_p50_m"]
    estimated = ", estimated" if values.get("grid", "").startswith("estimated") else ""
    speed = values["frames_per_second"]
    confidence = values["confidence"]
    return (
        ("Frames", f"{values['frames_out']}", f"of {values['frames_in']} in the drive"),
        ("Driveable", f"{values['driveable_share']:.1%}", "of the picture, mean"),
        (
            "First contact ahead",
            f"{median:.1f} m" if median else "free" if values["ahead_free_share"] else "–",
            f"{values['first_contact_ahead'] or 'not known in any frame'}{estimated}",
        ),
        ("Confidence", "–" if confidence is None else f"{confidence:.3f}", "mean"),
        ("Engine", f"{values['engine_p50_ms']:.1f} ms", f"99 %: {values['engine_p99_ms']:.1f} ms"),
        (
            "Replay",
            "–" if speed is None else f"{speed:.1f} Hz",
            f"{values['seconds']:.1f} s with all outputs",
        ),
    )


def _legend(values: dict[str, Any]) -> tuple[Swatch, ...]:
    return tuple(
        Swatch(
            c["name"],
            css(c["color"]),
            f"{c['mean_share']:.1%}{', driveable' if c['driveable'] else ''}",
        )
        for c in values["classes"]
    )


def _charts(values: dict[str, Any]) -> tuple[Chart, ...]:
    columns = values["frames"]
    by_share = sorted(
        zip(values["classes"], columns["class_shares"], strict=True),
        key=lambda pair: (not pair[0]["driveable"], -pair[0]["mean_share"]),
    )
    layers = tuple(
        Series(c["name"], percent(shares), css(c["color"])) for c, shares in by_share if any(shares)
    )
    driveable = percent(columns["driveable_share"])
    high = round_up(110 * max(columns["driveable_share"]) or 1.0)
    charts = [
        Chart("Classes", "% of the picture", layers, 0, 100, stacked=True),
        Chart("Driveable area", "% of the picture", (Series("driveable", driveable),), 0, high),
    ]
    if values["ahead_known_share"]:
        met = columns["contact_ahead_m"]
        top = round_up(1.1 * max((v for v in met if v is not None), default=9.0))
        free = [top if free else None for free in columns["ahead_free"]]
        charts.append(
            Chart(
                "First contact ahead",
                "m",
                (Series("distance", met), Series("free", free, "var(--series-2)", says="free")),
                0,
                top,
                note=f"Nearest thing within {math.degrees(AHEAD):.0f}° of straight ahead. Dots at "
                "the top: free as far as is seen; gaps: not known.",
            )
        )
    if values["distance_errors"]:
        charts.append(distance_chart(values["distance_errors"]))
    known = [v for v in columns["confidence"] if v is not None]
    if known:
        low = math.floor(min(known) * 10) / 10
        series = Series("confidence", columns["confidence"])
        note = "Mean probability of the class chosen."
        charts.append(Chart("Confidence", "", (series,), min(low, 0.9), 1, digits=3, note=note))
    changed, lost = percent(columns["changed_share"]), percent(columns["driveable_lost"])
    top = round_up(max((v for v in changed if v is not None), default=1.0) or 1.0)
    charts.append(
        Chart(
            "Change since the frame before",
            "% of the picture",
            (Series("another class", changed), Series("driveable area lost", lost)),
            0,
            top,
        )
    )
    charts.append(
        latency_histogram({"engine": columns["engine_ms"], "whole frame": columns["latency_ms"]})
    )
    return tuple(charts)


_Jpegs = dict[int, tuple[bytes, float]]
"""Per position a JPEG and its width by height."""


@dataclass(frozen=True)
class _Pictures:
    frames: _Jpegs
    overlays: _Jpegs
    grids: _Jpegs

    def of(self, position: int) -> PictureRows:
        """Overlay above, frame and grid below."""
        kinds = (("overlay", self.overlays),), (("frame", self.frames), ("grid", self.grids))
        rows = (
            tuple((what, *jpegs[position]) for what, jpegs in row if position in jpegs)
            for row in kinds
        )
        return tuple(row for row in rows if row)


def _screen(folder: Path, timeline: Timeline, notable: Sequence[int]) -> tuple[Screen, _Jpegs]:
    """Return what the player shows, and the overlays of the notable frames."""
    video = folder / "overlay.mp4"
    count = len(timeline.index)
    screen = video_screen(video, count) if video.is_file() else None
    if screen:
        return screen, dict(_overlay_pictures(folder, timeline, notable))
    shown = shown_positions(count)
    found = dict(_overlay_pictures(folder, timeline, sorted({*shown, *notable})))
    positions = tuple(i for i in shown if i in found)
    note = "" if shown.step == 1 else f"One picture every {shown.step} frames. "
    return (
        Screen(
            pictures=tuple(found[i][0] for i in positions),
            positions=positions,
            note=f"{note}The whole video is overlay.mp4." if video.is_file() else note,
        ),
        {i: found[i] for i in notable if i in found},
    )


def _overlay_pictures(
    folder: Path, timeline: Timeline, positions: Sequence[int]
) -> Iterator[tuple[int, tuple[bytes, float]]]:
    for position, message in _messages_of(folder, OVERLAY_TOPIC, timeline, positions):
        yield position, small_jpeg(decode_compressed(message))


def _grid_pictures(folder: Path, timeline: Timeline, positions: Sequence[int]) -> _Jpegs:
    poses = grid_poses(folder / "result", [timeline.stamp_ns[i] for i in positions])
    return {
        position: small_jpeg(draw_grid(message, poses))
        for position, message in _messages_of(folder, GRID_TOPIC, timeline, positions)
    }


def _messages_of(
    folder: Path, topic: str, timeline: Timeline, positions: Sequence[int]
) -> Iterator[tuple[int, Any]]:
    """Yield (position, message) of some frames; of equal stamps the first goes with the first."""
    seen: Counter[int] = Counter()
    wanted: dict[tuple[int, int], int] = {}
    chosen = set(positions)
    for position, stamp in enumerate(timeline.stamp_ns):
        if position in chosen:
            wanted[stamp, seen[stamp]] = position
        seen[stamp] += 1
    seen.clear()
    stamps = sorted({stamp for stamp, _ in wanted})  # which are the log times too
    for stamp, message in read_result(folder / "result", topic, stamps) if stamps else ():
        position = wanted.get((stamp, seen[stamp]), -1)
        seen[stamp] += 1
        if position >= 0:
            yield position, message


def _drive_pictures(drive: Drive, timeline: Timeline, positions: Sequence[int]) -> _Jpegs:
    found: _Jpegs = {}
    for position in positions:
        index = timeline.index[position]
        try:
            for frame in drive.frames(index, index + 1):
                found[position] = small_jpeg(frame.decode())
        except SegRosError:  # it could be read before; the page goes without
            continue
    return found
