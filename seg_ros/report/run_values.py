"""What came of a replay, as numbers: the one source of its page and of ``--json``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seg_ros.errors import SegRosError
from seg_ros.ground.doubt import Doubt, useful_range
from seg_ros.ground.mounting import Mounting
from seg_ros.labels import LabelSet
from seg_ros.report.page.parts import most
from seg_ros.results.figures import FrameFigures, finite
from seg_ros.support.provenance import versions
from seg_ros.support.statistics import percentile


@dataclass(frozen=True)
class RunInfo:
    """What was run on what; the frames' figures are beside it."""

    drive: str
    """What the user called it."""
    labels: LabelSet
    model: str
    engine: str
    """Runtime and precision."""
    device: str
    frames_in: int
    """Frames the drive gave; those without figures were rejected."""
    seconds: float
    """From the first frame to the last output."""
    rejections: tuple[str, ...] = ()
    """Why frames were rejected, one line each."""
    problems: tuple[str, ...] = ()
    """What else went wrong: a damaged drive, no grid."""
    notes: tuple[str, ...] = ()
    """How the drive was taken, where there was a choice: cuts, a rate that nobody stated."""
    distance_errors: dict[str, Any] = field(default_factory=dict)
    """What the mounting's standard errors do to distances, :func:`distance_errors`."""
    ground: dict[str, Any] = field(default_factory=dict)
    """``camera``, ``mounting`` and ``grid`` in words, and what was found of them as values."""
    finished: bool = True
    """Whether the drive was read to its end."""
    command: str = ""
    """The command line, as a shell takes it."""
    started: str = ""
    """When, ISO 8601 with the offset from UTC."""
    inputs: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the files read (:func:`seg_ros.support.provenance.checksums`)."""
    outputs: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the files written."""


_DRAWN = 60
"""Metres up to which it is drawn what errors do to distances."""


def distance_errors(mounting: Mounting | None) -> dict[str, Any]:
    """Say how far a thing straight ahead may be from where it seems, by two standard errors.

    Args:
        mounting: of the camera; None where there is none.

    Returns:
        ``edges`` of ranges in metres, ``nearer`` and ``farther`` by how many metres it may be
        between two of them (None: it may be on the horizon), ``useful_m``: up to where neither is
        more than a tenth of the distance (None: everywhere). Empty without errors.

    """
    if mounting is None or not Doubt.of(mounting).any:
        return {}
    edges = np.arange(0.0, _DRAWN + 1, 2.0)
    middle = (edges[1:] + edges[:-1]) / 2
    nearest, farthest = Doubt.of(mounting).distances(mounting.z, middle)
    useful = useful_range(mounting)
    return {
        "edges": edges.tolist(),
        "nearer": np.round(middle - nearest, 3).tolist(),
        "farther": [round(float(v), 3) if math.isfinite(v) else None for v in farthest - middle],
        "useful_m": round(useful, 1) if math.isfinite(useful) else None,
    }


def report_values(run: RunInfo, frames: Iterable[FrameFigures]) -> dict[str, Any]:
    """Everything about a run as JSON takes it: totals, then ``frames`` as one list per figure.

    Times are in milliseconds and seconds, distances in metres, shares of 1. Where
    ``contact_ahead_m`` of a frame is null, ``ahead_free`` says whether it is free as far as is seen
    (true) or not known (null); ``contact_ahead_p50_m`` is the median of the frames with a distance.

    Raises:
        SegRosError: there is no frame.

    """
    columns = _columns(frames, len(run.labels))
    count = len(columns["index"])
    if not count:
        raise SegRosError(f"nothing of {run.drive} was judged, so there is nothing to report")
    met = [v for v in columns["contact_ahead_m"] if v is not None]
    free_share = columns["ahead_free"].count(True) / count
    met_p50 = float(np.median(met)) if met else None
    confidence = [v for v in columns["confidence"] if v is not None]
    shares = columns["class_shares"]
    return {
        "drive": run.drive,
        "finished": run.finished,
        "frames_in": run.frames_in,
        "frames_out": count,
        "rejected": run.frames_in - count,
        "seconds": run.seconds,
        "frames_per_second": count / run.seconds if run.seconds else None,
        "engine_p50_ms": percentile(columns["engine_ms"], 50),
        "engine_p99_ms": percentile(columns["engine_ms"], 99),
        "latency_p50_ms": percentile(columns["latency_ms"], 50),
        "latency_p99_ms": percentile(columns["latency_ms"], 99),
        "model": run.model,
        "engine": run.engine,
        "device": run.device,
        "distance_errors": run.distance_errors,
        **run.ground,
        "driveable_share": float(np.mean(columns["driveable_share"])),
        "confidence": float(np.mean(confidence)) if confidence else None,
        "ahead_known_share": 1 - columns["ahead_free"].count(None) / count,
        "ahead_free_share": free_share,
        "contact_ahead_p50_m": met_p50,
        "first_contact_ahead": _contact_words(free_share, met_p50),
        "problems": list(run.problems),
        "notes": list(run.notes),
        "rejections": list(run.rejections),
        "classes": [
            {
                "name": label.name,
                "color": list(label.color),
                "driveable": label.driveable,
                "mean_share": float(np.mean(share)),
            }
            for label, share in zip(run.labels.classes, shares, strict=True)
        ],
        "notable": {
            "lowest_confidence": most([None if v is None else -v for v in columns["confidence"]]),
            "largest_change": most(columns["changed_share"]),
            "most_driveable_lost": most(columns["driveable_lost"]),
        },
        "command": run.command,
        "started": run.started,
        "versions": versions(),
        "inputs": run.inputs,
        "outputs": run.outputs,
        "frames": columns,
    }


def _columns(frames: Iterable[FrameFigures], class_count: int) -> dict[str, Any]:
    names = [name for name in FrameFigures.__dataclass_fields__ if name != "class_shares"]
    columns: dict[str, list[Any]] = {name: [] for name in (*names, "ahead_free")}
    shares: list[list[float]] = [[] for _ in range(class_count)]
    for frame in frames:
        for name in names:
            columns[name].append(getattr(frame, name))
        columns["contact_ahead_m"][-1] = finite(frame.contact_ahead_m)
        columns["ahead_free"].append(frame.ahead_free)
        for column, share in zip(shares, frame.class_shares, strict=True):
            column.append(share)
    return {**columns, "class_shares": shares}


def _contact_words(free_share: float, met_p50: float | None) -> str:
    """Say it for people, in the same words wherever it is shown; nothing where nothing is known."""
    if met_p50 is None:
        return f"free in {free_share:.0%} of frames" if free_share else ""
    return f"free in {free_share:.0%} of frames; where there was one, median {met_p50:.1f} m"
