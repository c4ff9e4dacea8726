"""What came of a replay, as numbers: the one source of its page and of ``--json``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seg_ros.errors import SegRosError
from seg_ros.labels import LabelSet
from seg_ros.report.page.parts import most
from seg_ros.results.figures import FrameFigures
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


def report_values(run: RunInfo, frames: Iterable[FrameFigures]) -> dict[str, Any]:
    """Everything about a run as JSON takes it: totals, then ``frames`` as one list per figure.

    Times are in milliseconds and seconds, distances in metres, shares of 1. ``Infinity`` as a
    distance ahead is free as far as is seen, null is not known.

    Raises:
        SegRosError: there is no frame.

    """
    columns = _columns(frames, len(run.labels))
    count = len(columns["index"])
    if not count:
        raise SegRosError(f"nothing of {run.drive} was judged, so there is nothing to report")
    ahead = [float(v) for v in columns["contact_ahead_m"] if v is not None]
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
        "driveable_share": float(np.mean(columns["driveable_share"])),
        "confidence": float(np.mean(confidence)) if confidence else None,
        "contact_ahead_p50_m": _number(float(np.median(ahead))) if ahead else None,
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
    columns: dict[str, list[Any]] = {name: [] for name in names}
    shares: list[list[float]] = [[] for _ in range(class_count)]
    for frame in frames:
        for name in names:
            columns[name].append(_number(getattr(frame, name)))
        for column, share in zip(shares, frame.class_shares, strict=True):
            column.append(share)
    return {**columns, "class_shares": shares}


def _number(value: Any) -> Any:
    """Put an infinite distance as JSON can say it."""
    return "Infinity" if value == math.inf else value
