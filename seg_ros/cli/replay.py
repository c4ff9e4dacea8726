"""``seg_ros replay``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg_ros.cli.arguments import (
    DRIVE_HELP,
    MODEL_HELP,
    add_camera,
    add_engine,
    add_json,
    add_out,
    add_topic,
    check_json,
    out_of,
    positive,
    write_json,
)
from seg_ros.errors import SegRosError
from seg_ros.support.bands import core_count
from seg_ros.support.choices import MASK_FORMATS

if TYPE_CHECKING:
    from tqdm import tqdm

    from seg_ros.replay.job import ReplayJob
    from seg_ros.replay.spread import Pool

SUMMARY = "put every frame of a recorded drive through"
EXAMPLES = (
    "seg_ros replay drive.mp4",
    "seg_ros replay monday_bag tuesday_bag -o out --jobs 2",
)

_JOB_CORES = 8
"""What one process keeps busy."""
_SUMMARY = "summary.json"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Take drives, an engine, and what is written where."""
    command.add_argument("drive", nargs="+", metavar="DRIVE", help=DRIVE_HELP)
    add_topic(command)
    add_out(command)
    command.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    command.add_argument(
        "--mask", default="raw", choices=MASK_FORMATS, help="how masks are written (default raw)"
    )
    command.add_argument("--no-camera", action="store_true", help="do not copy camera messages")
    command.add_argument(
        "--no-calibrate",
        action="store_true",
        help="do not look for where the camera sits where nobody says it: assume it",
    )
    command.add_argument("--no-video", action="store_true", help="do not make overlay.mp4")
    command.add_argument("--no-report", action="store_true", help="do not make report.html")
    command.add_argument(
        "--jobs",
        type=positive,
        default=max(1, core_count() // _JOB_CORES),
        help="processes that share the drives and their pieces (default: one per 8 cores)",
    )
    command.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="share them with a Ray cluster: its address, or the one this machine belongs to",
    )
    command.add_argument("--threads", type=int, help="CPU threads of each engine (default: all)")
    command.add_argument("--model", help=MODEL_HELP)
    add_engine(command)
    add_camera(command)
    command.add_argument(
        "--params-file",
        type=Path,
        metavar="YAML",
        help="the node's parameter file; what is said here goes before it",
    )
    for name in ("odometry", "imu"):
        command.add_argument(
            f"--{name}", default="", metavar="TOPIC", help=f"{name} of a bag with several"
        )
    # None: not said here, so that a parameter file may say it.
    command.set_defaults(labels=None, runtime=None, precision=None, size=None)
    add_json(command)


def run(options: argparse.Namespace) -> int:
    """Replay one drive or several, here or spread over processes."""
    from seg_ros.replay.job import replay_table
    from seg_ros.replay.spread import LocalPool

    check_json(options.json)
    options.out = out_of(options.out, options.drive)
    jobs = _jobs(options)
    engine = jobs[0].engine
    with ExitStack() as stack:
        if options.ray is not None:
            from seg_ros.replay.cluster import RayPool

            ray = stack.enter_context(RayPool(options.ray, engine.threads, engine.runtime))
            results = _spread(jobs, ray, ray.threads)
        elif options.jobs > 1:
            threads = engine.threads or max(1, core_count() // options.jobs)
            pool = stack.enter_context(LocalPool(options.jobs))
            results = _spread(jobs, pool, threads)
        else:
            results = [_here(job, f"{i}/{len(jobs)} ") for i, job in enumerate(jobs, 1)]
    told = [{"error": str(r)} if isinstance(r, SegRosError) else r for r in results]
    for job, values in zip(jobs, told, strict=True):
        drive = "" if len(jobs) == 1 else f"{job.source}: "
        for note in values.get("notes", ()):
            print(f"seg_ros replay: {drive}{note}", file=sys.stderr)
    if options.json:
        single = told[0] if len(jobs) == 1 else None
        write_json(options.json, single or {"drives": _by_name(jobs, told)})
    if len(jobs) == 1:
        return _say(jobs[0], results[0])
    summary = [{k: v for k, v in values.items() if k != "frames"} for values in told]
    write_json(options.out / _SUMMARY, {"drives": _by_name(jobs, summary)})
    print(replay_table([job.out.name for job in jobs], told))
    print(f"each drive has its folder in {options.out}; the table is in summary.json too")
    return int(any(not values.get("finished") for values in told))


def _jobs(options: argparse.Namespace) -> list[ReplayJob]:
    from seg_ros.replay.job import EngineOptions, ReplayJob
    from seg_ros.replay.replay import ReplayOptions
    from seg_ros.replay.settings import ENGINE_PARAMETERS, ReplaySettings, read_settings
    from seg_ros.support.pixels import parse_size

    given, notes = read_settings(options.params_file) if options.params_file else ({}, ())
    said = {
        "model": options.model,
        "labels": options.labels,
        "runtime": options.runtime,
        "precision": options.precision,
        "input_size": options.size,
        "cpu_threads": options.threads,
    }
    given |= {name: value for name, value in said.items() if value is not None}
    camera = options.camera or (Path(given["camera_file"]) if given.get("camera_file") else None)
    values = ReplaySettings(given).values
    engine = EngineOptions(
        values["model"],
        values["labels"],
        values["runtime"],
        values["precision"],
        parse_size(values["input_size"]),
        values["cpu_threads"],
        parse_size(values["mask_size"]),
        values["build_if_missing"],
    )
    rest = {k: v for k, v in given.items() if k not in (*ENGINE_PARAMETERS, "camera_file")}
    topics = {name: topic for name in ("odometry", "imu") if (topic := getattr(options, name))}
    first = ReplayJob(
        source=options.drive[0],
        out=options.out,
        engine=engine,
        topic=options.topic,
        fps=options.fps,
        camera=camera,
        options=ReplayOptions(options.mask, not options.no_camera, not options.no_video),
        settings=ReplaySettings(rest, topics),
        notes=notes,
        calibrate=not options.no_calibrate,
        replace=options.replace,
        resume=options.resume,
        report=not options.no_report,
        command=shlex.join(["seg_ros", *options.arguments]),
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    if len(options.drive) == 1:
        return [first]
    jobs = [
        replace(first, source=source, out=options.out / folder)
        for source, folder in zip(options.drive, folder_names(options.drive), strict=True)
    ]
    for path in (*(job.out for job in jobs), options.out / _SUMMARY):
        if path.is_symlink():  # what it leads to may be anybody's
            raise SegRosError(f"{path} is a symbolic link; move it out of the way")
    return jobs


def folder_names(sources: Sequence[str]) -> list[str]:
    """Name a folder for each of several drives: its own name, with a number where that is taken.

    Names that differ only in case are taken to be equal, as some file systems do, and so are
    those of what else may be in the folder above.
    """
    from seg_ros.results.outputs import REPLAY_NAMES, UNFINISHED

    taken = {name.casefold() for name in (UNFINISHED, _SUMMARY, *REPLAY_NAMES)}
    names = []
    for source in sources:
        path = Path(source)
        known = (path.stem, path.name, path.expanduser().resolve().name)
        name = next((n for n in known if n.strip(".")), "drive")  # "." and ".." are no names
        numbered = (name if i == 1 else f"{name}-{i}" for i in count(1))
        folder = next(n for n in numbered if n.casefold() not in taken)
        taken.add(folder.casefold())
        names.append(folder)
    return names


def _here(job: ReplayJob, number: str) -> dict[str, Any] | SegRosError:
    from seg_ros.replay.job import run_job

    bar = _Bar("replay" if number == "1/1 " else f"{number}{job.out.name}")
    try:
        return run_job(job, bar.start, bar.step, bar.note)
    except SegRosError as error:
        return error
    finally:
        bar.close()


def _spread(jobs: list[ReplayJob], pool: Pool, threads: int) -> list[dict[str, Any] | SegRosError]:
    """Replay on a pool whose workers see files by their absolute paths."""
    from seg_ros.replay.spread import run_spread

    engine = replace(jobs[0].engine, threads=threads)
    jobs = [replace(job, out=job.out.absolute(), engine=engine) for job in jobs]
    bar = _Bar("replay")
    try:
        return run_spread(jobs, pool, bar.start, bar.go_to, bar.note)
    finally:
        bar.close()


class _Bar:
    """A progress bar that is there from the first frame on: errors before it are one line."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: tqdm[Any] | None = None

    def start(self, done: int, total: int | None) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, initial=done, unit="frame", desc=self._what)

    def step(self) -> None:
        if self._bar is not None:
            self._bar.update()

    def go_to(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def note(self, note: str) -> None:
        from tqdm import tqdm

        tqdm.write(f"seg_ros replay: {note}", sys.stderr)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _by_name(jobs: list[ReplayJob], values: list[dict[str, Any]]) -> dict[str, Any]:
    return {job.out.name: value for job, value in zip(jobs, values, strict=True)}


def _say(job: ReplayJob, result: dict[str, Any] | SegRosError) -> int:
    """Print what came of a single drive."""
    from seg_ros.support.tables import text_table

    if isinstance(result, SegRosError):
        raise result
    shown = [(k, v) for k, v in result.items() if isinstance(v, int | float | str) and v != ""]
    rows = [(k.replace("_", " "), f"{v:.2f}" if isinstance(v, float) else str(v)) for k, v in shown]
    print(text_table(rows))
    looks = [
        name for name in ("report.html", "overlay.mp4", "sheet.png") if (job.out / name).exists()
    ]
    print(f"look at {', '.join(looks)} in {job.out}; topics are in {job.out}/result")
    if not result["finished"]:
        raise SegRosError(
            f"{result['problems'][-1]}. The {result['frames_out']} frames before the damage are in "
            f"{job.out}"
        )
    return 0
