"""One self-contained HTML page: a player, charts that share its cursor, pictures, tables.

Everything is in the file: style, script, pictures and video. Its content security policy lets the
page load nothing from anywhere and run no script but its own. Every text is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Any

from seg_ros import __version__
from seg_ros.errors import SegRosError
from seg_ros.support.timeline import cuts, say_step, shown_times_ns

Values = Sequence[float | None]
"""One value per frame; None where there is none."""


@dataclass(frozen=True)
class Series:
    """A line, a layer or the bars of a chart."""

    name: str
    values: Values
    color: str = ""
    """CSS colour; empty for one of the page's own."""
    says: str = ""
    """What is said instead of a number where there is a value; such a line is dashed."""


@dataclass(frozen=True)
class Chart:
    """A chart over the frames, or with ``edges`` a histogram."""

    title: str
    unit: str
    series: tuple[Series, ...]
    low: float
    high: float
    """Ends of the vertical axis."""
    digits: int = 1
    """Decimals of a value that is said."""
    stacked: bool = False
    note: str = ""
    edges: tuple[float, ...] = ()
    """Of the bins, one more than a series has values."""
    across: str = "ms"
    """Unit of the edges."""

    @property
    def kind(self) -> str:
        """What it is called in the page."""
        return "histogram" if self.edges else "stack" if self.stacked else "lines"

    @property
    def summary(self) -> str:
        """What a screen reader says of it."""
        if self.edges:
            return f"Histogram of {self.title}, {self.note}"
        parts = [f"{s.name}: {_range(s.values, self.digits)}" for s in self.series if not s.says]
        return f"{self.title} in {self.unit or 'numbers'}. {'; '.join(parts)}"


def _range(values: Values, digits: int) -> str:
    known = sorted(v for v in values if v is not None)
    if not known:
        return "not known"
    middle = known[len(known) // 2]
    return f"{known[0]:.{digits}f} to {known[-1]:.{digits}f}, median {middle:.{digits}f}"


PictureRows = tuple[tuple[tuple[str, bytes, float], ...], ...]
"""Rows of (what it shows, JPEG, width by height) side by side."""


@dataclass(frozen=True)
class Moment:
    """A frame worth looking at."""

    position: int
    """Among the frames of the page."""
    headline: str
    text: str
    pictures: PictureRows


@dataclass(frozen=True)
class Swatch:
    """A class in the legend."""

    name: str
    color: str
    text: str = ""


@dataclass(frozen=True)
class Timeline:
    """The frames of a page: what the slider and the charts run along."""

    index: tuple[int, ...]
    """Their places in the drive."""
    stamp_ns: tuple[int, ...]

    @property
    def timed(self) -> bool:
        """Whether the stamps rise but for cuts, so that there is a time to draw along."""
        shown = shown_times_ns(self.stamp_ns)
        return len(shown) > 1 and all(a < b for a, b in pairwise(shown))

    @property
    def x(self) -> list[float]:
        """Seconds since the first frame, without cuts; its place where stamps do not rise."""
        if not self.timed:
            return list(range(len(self.index)))
        return [round(time / 1e9, 6) for time in shown_times_ns(self.stamp_ns)]


@dataclass(frozen=True)
class Screen:
    """What the player shows: a video with the time of each frame, or some of the pictures."""

    video: Path | None = None
    """An H.264 .mp4 file."""
    times: tuple[float, ...] = ()
    """Seconds into the video, per frame."""
    pictures: tuple[bytes, ...] = ()
    """JPEG, where there is no video."""
    positions: tuple[int, ...] = ()
    """The frame that each picture shows, the first one first."""
    note: str = ""


@dataclass(frozen=True)
class Page:
    """Everything on the page, from top to bottom."""

    title: str
    subtitle: str
    banners: tuple[tuple[str, str, tuple[str, ...]], ...]
    """(``bad`` or ``warn``, text, list below it)."""
    tiles: tuple[tuple[str, str, str], ...]
    """(name, figure, small print)."""
    timeline: Timeline
    screen: Screen
    legend: tuple[Swatch, ...]
    charts: tuple[Chart, ...]
    moments: tuple[tuple[str, tuple[Moment, ...]], ...]
    """Groups of (title, moments)."""
    facts: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    """Groups of (title, rows of name and text)."""
    pictures: tuple[tuple[str, bytes], ...] = ()
    """(title, JPEG), shown above the facts."""


def write_page(page: Page, path: Path) -> None:
    """Write a page; the file is there when it is whole.

    Raises:
        SegRosError: it cannot be written, or the video cannot be read.

    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(_render(page), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise SegRosError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def _render(page: Page) -> str:
    here = resources.files("seg_ros.report.page")
    template, style, script = (
        (here / name).read_text(encoding="utf-8")
        for name in ("template.html", "style.css", "script.js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(template).substitute(
        title=escape(page.title),
        script_hash=f"sha256-{digest}",
        style=style,
        script=script,
        header=_header(page),
        body=_body(page),
        data=_in_script(_data(page)),
        media=_media(page.screen),
        footer=f"Made by seg_ros {escape(__version__)}. This page holds everything it shows.",
    )


def _in_script(value: Any) -> str:
    """JSON that nothing in it can end the script element of."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data(page: Page) -> dict[str, Any]:
    line, screen = page.timeline, page.screen
    media = {"times": screen.times} if screen.video else {"positions": screen.positions}
    return {
        "x": line.x,
        "timed": line.timed,
        "x_label": "time in the drive, s" if line.timed else "frame",
        "cuts": [[at, say_step(step)] for at, step in cuts(line.stamp_ns).items()],
        "index": line.index,
        "stamps": [f"{ns // 10**9}.{ns % 10**9:09d}" for ns in line.stamp_ns],
        "media": media,
        "marks": sorted({m.position for _, moments in page.moments for m in moments}),
        "charts": [_chart_data(chart) for chart in page.charts],
    }


def _chart_data(chart: Chart) -> dict[str, Any]:
    return {
        "kind": chart.kind,
        "title": chart.title,
        "unit": chart.unit,
        "summary": chart.summary,
        "low": chart.low,
        "high": chart.high,
        "digits": chart.digits,
        "edges": chart.edges or None,
        "across": chart.across,
        "series": [
            {
                "name": s.name,
                "values": [None if v is None else round(v, 5) for v in s.values],
                "color": s.color,
                "says": s.says,
            }
            for s in chart.series
        ],
    }


def _media(screen: Screen) -> str:
    if screen.video:
        data = base64.b64encode(screen.video.read_bytes()).decode()
        return f'<script type="application/octet-stream" id="video">{data}</script>'
    pictures = [base64.b64encode(jpeg).decode() for jpeg in screen.pictures]
    return f'<script type="application/json" id="pictures">{json.dumps(pictures)}</script>'


def _header(page: Page) -> str:
    parts = [f'<h1>{escape(page.title)}</h1><p class="soft">{escape(page.subtitle)}</p>']
    for level, text, details in page.banners:
        listed = "".join(f"<li>{escape(detail)}</li>" for detail in details)
        listed = f"<ul>{listed}</ul>" if listed else ""
        parts.append(f'<div class="banner {level}" role="note">{escape(text)}{listed}</div>')
    tiles = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(figure)}<small>{escape(small)}</small></dd></div>"
        for name, figure, small in page.tiles
    )
    return "\n".join([*parts, f'<dl class="tiles">{tiles}</dl>'])


def _body(page: Page) -> str:
    charts = "\n".join(_chart(chart, i) for i, chart in enumerate(page.charts))
    return "\n".join(
        [
            '<noscript><div class="banner warn">The player and the charts need JavaScript, all of '
            "which is in this file; pictures and tables do not.</div></noscript>",
            _player(page),
            f'<h2>Over the drive</h2><div class="charts">{charts}</div>',
            _moments(page),
            _summary_table(page),
            '<details id="table"><summary>Figures of the frames as a table</summary>'
            '<div class="scroll" role="region" aria-label="Figures of the frames" tabindex="0">'
            "</div></details>",
            *(_picture(*picture) for picture in page.pictures),
            _facts(page),
        ]
    )


def _player(page: Page) -> str:
    last = len(page.timeline.index) - 1
    picture = (
        '<video id="screen" muted playsinline preload="auto" aria-label="Overlay video"></video>'
        if page.screen.video
        else '<img id="screen" alt="The overlay of the frame chosen">'
    )
    legend = "".join(
        f'<li><span class="swatch" style="background:{swatch.color}"></span>'
        f'<span>{escape(swatch.name)}</span><span class="soft">{escape(swatch.text)}</span></li>'
        for swatch in page.legend
    )
    note = f'<p class="soft">{escape(page.screen.note)}</p>' if page.screen.note else ""
    return f"""<section id="player" class="card" aria-label="Player">
<div class="screen">{picture}</div>
<div class="strip"><div class="marks" id="marks" aria-hidden="true"></div>
<input type="range" id="slider" min="0" max="{last}" step="1" value="0" aria-label="Frame"></div>
<div class="controls">
<button type="button" id="play">Play</button>
<button type="button" id="back" aria-label="One frame back">&#9664;</button>
<button type="button" id="on" aria-label="One frame on">&#9654;</button>
<select id="speed" aria-label="Speed"><option value="0.25">&frac14;&times;</option>
<option value="0.5">&frac12;&times;</option><option value="1" selected>1&times;</option>
<option value="2">2&times;</option><option value="4">4&times;</option></select>
<output id="where" for="slider"></output>
<span class="soft hints"><kbd>&larr;</kbd> <kbd>&rarr;</kbd> frame, <kbd>Shift</kbd> ten,
<kbd>Space</kbd> play, <kbd>Home</kbd> <kbd>End</kbd></span>
</div>{note}
<ul class="legend" aria-label="Classes">{legend}</ul>
</section>"""


def _chart(chart: Chart, number: int) -> str:
    keys = ""
    if len(chart.series) > 1 and not chart.stacked:
        shown = [(i, s) for i, s in enumerate(chart.series) if not s.says]
        keys = "".join(
            f'<span><i style="background:{s.color or f"var(--series-{i % 4})"}"></i>'
            f"{escape(s.name)}</span>"
            for i, s in shown
            if len(shown) > 1
        )
    unit = f' <span class="soft">{escape(chart.unit)}</span>' if chart.unit else ""
    note = f'<span class="note">{escape(chart.note)}</span>' if chart.note else ""
    focus = "" if chart.edges else f' tabindex="0" role="group" aria-label="{escape(chart.title)}"'
    return f"""<figure class="card chart" id="chart-{number}">
<figcaption><h3>{escape(chart.title)}{unit}</h3><span class="keys">{keys}</span>
<span class="now"></span></figcaption>
<div class="plot {chart.kind}"{focus}></div>{note}</figure>"""


def _moments(page: Page) -> str:
    parts = []
    for title, moments in page.moments:
        cards = []
        for moment in moments:
            rows = "".join(
                f'<span class="pictures">{_row(moment, row)}</span>' for row in moment.pictures
            )
            cards.append(
                f'<button type="button" class="moment" data-position="{moment.position}">'
                f'{rows}<span class="words">'
                f"<b>{escape(moment.headline)}</b>{escape(moment.text)}</span></button>"
            )
        parts.append(f'<h2>{escape(title)}</h2><div class="moments">{"".join(cards)}</div>')
    return "\n".join(parts)


def _row(moment: Moment, pictures: Sequence[tuple[str, bytes, float]]) -> str:
    total = sum(ratio for _, _, ratio in pictures)
    return "".join(
        f'<img alt="{escape(f"{what} of {moment.headline}")}" loading="lazy" '
        f'style="width:{100 * ratio / total:.2f}%;aspect-ratio:{ratio:.4f}" '
        f'src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
        for what, jpeg, ratio in pictures
    )


def _summary_table(page: Page) -> str:
    rows = []
    for chart in page.charts:
        if chart.edges:
            continue
        for series in chart.series:
            known = sorted(v for v in series.values if v is not None)
            if series.says or not known:
                continue
            alone = sum(not s.says for s in chart.series) == 1 and not chart.stacked
            figures = (known[0], known[len(known) // 2], known[-1], math.fsum(known) / len(known))
            cells = (f"{value:.{chart.digits}f}" for value in figures)
            name = chart.title if alone else series.name
            rows.append((name, chart.unit.split(" ")[0], *cells))
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(unit)}</td>'
        + "".join(f'<td class="number">{cell}</td>' for cell in cells)
        + "</tr>"
        for name, unit, *cells in rows
    )
    names = ("lowest", "median", "highest", "mean")
    head = "".join(f'<th scope="col" class="number">{name}</th>' for name in names)
    return (
        '<h2>In numbers</h2><div class="scroll card" role="region" aria-label="In numbers" '
        'tabindex="0"><table><thead><tr><td></td><th scope="col">unit</th>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _picture(title: str, jpeg: bytes) -> str:
    data = base64.b64encode(jpeg).decode()
    return (
        f'<h2>{escape(title)}</h2><div class="card"><img style="width:100%" '
        f'alt="{escape(title)}" src="data:image/jpeg;base64,{data}"></div>'
    )


def _facts(page: Page) -> str:
    parts = []
    for title, rows in page.facts:
        body = "".join(
            f'<tr><th scope="row">{escape(name)}</th><td><code>{escape(text)}</code></td></tr>'
            for name, text in rows
        )
        parts.append(
            f'<h2>{escape(title)}</h2><div class="card"><table class="facts"><tbody>{body}</tbody>'
            "</table></div>"
        )
    return "\n".join(parts)
