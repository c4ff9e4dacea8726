"""One replay from its command to its published folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from seg_ros import __version__
from seg_ros.drive import open_drive
from seg_ros.drive.base import Drive
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.camera_file import load_camera
from seg_ros.labels import LabelSet
from seg_ros.models.catalogue import find_model
from seg_ros.replay.ground import settle_ground
from seg_ros.replay.replay import Replay, ReplayOptions, make_pipelines, picture_size
from seg_ros.replay.run_files import FIGURES, REJECTED, RESULT, VIDEO, State, read_notes
from seg_ros.replay.settings import ReplaySettings
from seg_ros.report.report import write_report
from seg_ros.report.run_values import RunInfo, distance_errors, report_values
from seg_ros.results.figures import FrameFigures, read_figures
from seg_ros.results.outputs import ReplayFolder, write_sheet
from seg_ros.results.video import write_mp4
from seg_ros.segment.pipeline import FRAMES_OF_ONE_CLASS, Pipeline, one_class_note
from seg_ros.segment.segmenter import Segmenter, fit_doubt
from seg_ros.support.choices import SYNTHETIC
from seg_ros.support.progress import EngineProgress
from seg_ros.support.provenance import checksums
from seg_ros.support.tables import text_table
from seg_ros.support.timeline import cut_notes


@dataclass(frozen=True)
class EngineOptions:
    """Which engine a replay runs, as :meth:`seg_ros.segment.segmenter.Segmenter.load` takes it."""

    model: str
    labels: str = ""
    runtime: str = "auto"
    precision: str = "auto"
    input_size: tuple[int, int] | None = None
    """(H, W), None for the model's own."""
    threads: int = 0
    """CPU threads of the engine, and frames worked on at a time; 0: all cores."""
    mask_size: tuple[int, int] | None = None
    """(H, W) at which a GPU engine decides the classes, None for the input's."""
    build_if_missing: bool = True


@dataclass(frozen=True)
class Engine:
    """What is to be known of an engine that another process may have loaded."""

    model: str
    model_sha256: dict[str, str]
    labels: LabelSet
    runtime: str
    """Runtime, version and precision."""
    device: str
    input_size: tuple[int, int]
    """(H, W) in pixels."""
    fit: str = "stretch"
    """See :class:`seg_ros.segment.segmenter.Segmenter`."""
    confident: bool = True
    """Whether there is a confidence."""


@dataclass(frozen=True)
class ReplayJob:
    """A drive to be replayed. All of it can be told to another process."""

    source: str
    out: Path
    engine: EngineOptions
    topic: str = ""
    fps: float = 0.0
    """Frames a second of what has no clock, 0 for what it says itself."""
    camera: Path | None = None
    options: ReplayOptions = field(default_factory=ReplayOptions)
    settings: ReplaySettings = field(default_factory=ReplaySettings)
    notes: tuple[str, ...] = ()
    """What is to be said of how it is run, a line each."""
    calibrate: bool = False
    """Whether the drive is searched for where its camera sits, if nobody says it."""
    replace: bool = False
    resume: bool = False
    report: bool = True
    """Whether the page is made."""
    command: str = ""
    """The command line, for the page."""
    started: str = ""
    """When, ISO 8601."""

    def open(self) -> tuple[Drive, CameraModel | None]:
        """Open the drive, and its camera.

        Raises:
            SegRosError: as of :func:`seg_ros.drive.open_drive`,
                :func:`seg_ros.ground.camera_file.load_camera` and
                :meth:`seg_ros.replay.settings.ReplaySettings.views`, or the camera file is for
                frames of another shape.

        """
        drive = open_drive(self.source, self.topic, self.fps, self.camera is not None)
        camera = load_camera(self.camera) if self.camera else drive.camera
        self.settings.views(drive, camera)  # what is wrong there is said before the engine loads
        if self.camera and camera:
            height, width = picture_size(drive)
            try:
                camera.fitted(width, height)
            except SegRosError as error:
                raise SegRosError(f"{self.camera}: {error}") from error
        return drive, camera

    def folder(self, drive: Drive, camera: CameraModel | None, engine: Engine) -> ReplayFolder:
        """Open the folder of the job; see :class:`seg_ros.results.outputs.ReplayFolder`."""
        run = {
            "seg_ros": __version__,
            "drive": self.source,
            "topic": drive.topics[0].name if drive.topics else self.topic,
            **({"frames a second": self.fps} if self.fps else {}),
            "files": _files(self.source),
            "camera": _camera_text(camera),
            "camera searched for": self.calibrate,
            "model": engine.model,
            "model SHA-256": engine.model_sha256,
            "labels": engine.labels.name,
            "engine": engine.runtime,
            "device": engine.device,
            "input size": "{}x{}".format(*engine.input_size),
            **{f"{name} in the result": value for name, value in asdict(self.options).items()},
            "parameters": dict(self.settings.given),
            **{f"{name} topic": topic for name, topic in self.settings.topics.items() if topic},
        }
        return ReplayFolder(self.out, run, self.replace, self.resume)


def _camera_text(camera: CameraModel | None) -> str:
    """Say which camera it is: what a person tells it by, and a sign of all the rest."""
    if camera is None:
        return "none"
    at, sign = camera.mounting, sha256(repr(camera).encode()).hexdigest()[:8]
    return (
        f"{camera.width}x{camera.height}, focal length {camera.fx:g} px, {at.z:g} m above the "
        f"ground, pitch {at.pitch:g} rad ({sign})"
    )


def _files(source: str) -> list[str]:
    """Name and size of each file of a drive."""
    path = Path(source).expanduser()
    files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    return [f"{file.name} ({file.stat().st_size} bytes)" for file in files if file.exists()]


@lru_cache(maxsize=1)
def load_engine(options: EngineOptions) -> tuple[Engine, list[Pipeline]]:
    """Load an engine, once per process for the same options.

    Raises:
        SegRosError: as of :meth:`seg_ros.segment.segmenter.Segmenter.load`.

    """
    with EngineProgress() as progress:
        segmenter = Segmenter.load(
            options.model,
            options.labels,
            options.runtime,
            options.threads,
            precision=options.precision,
            input_size=options.input_size,
            mask_size=options.mask_size,
            build_if_missing=options.build_if_missing,
            report=progress,
        )
    info = segmenter.engine_info
    engine = Engine(
        segmenter.model_name,
        checksums(find_model(options.model, options.labels).path),
        segmenter.labels,
        f"{info.runtime} {info.precision}",
        info.device,
        segmenter.input_size,
        segmenter.fit,
        segmenter.confident,
    )
    return engine, make_pipelines(segmenter, options.threads)


def run_job(
    job: ReplayJob,
    on_start: Callable[[int, int | None], object] = lambda _, __: None,
    on_frame: Callable[[], object] = lambda: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Put a drive through, or go on where that was interrupted, and publish what came of it.

    Args:
        job: what to do.
        on_start: called with how many frames there are already, and how many there will be.
        on_frame: called after every frame.
        on_note: called with what goes wrong without ending the replay.

    Returns:
        The figures, :func:`seg_ros.report.report.report_values`.

    Raises:
        SegRosError: something cannot be opened or loaded, no frame can be decoded, or the outputs
            cannot be written (what was written is kept). A drive that is damaged is none: see
            ``finished`` and ``problems`` in the figures.

    """
    drive, camera = job.open()
    ReplayFolder.check(job.out, job.replace, job.resume)
    engine, pipelines = load_engine(job.engine)
    with job.folder(drive, camera, engine) as folder, full_disk_is_said(folder):
        if folder.finished:
            return finished_figures(folder, engine)
        job = settled(job, drive, camera, pipelines[0].segmenter, folder.work, on_note)
        on_start(State.load(folder.work).frames, drive.frame_count)
        replay = Replay(drive, pipelines, camera, job.options, job.settings, on_frame, on_note)
        damage = replay.run(folder.work)
        return finish(job, drive, camera, engine, folder, damage)


def settled(
    job: ReplayJob,
    drive: Drive,
    camera: CameraModel | None,
    segmenter: Segmenter,
    work: Path,
    on_note: Callable[[str], None] = lambda _: None,
) -> ReplayJob:
    """Return a job that knows where its camera sits (:func:`seg_ros.replay.ground.settle_ground`).

    Args:
        job: what to do.
        drive: as :meth:`ReplayJob.open` gives it.
        camera: the same.
        segmenter: for the search.
        work: folder of the run.
        on_note: called with what is to be known at once.

    """
    is_given = job.camera is not None
    ground = settle_ground(
        drive, camera, job.settings, segmenter, work, is_given, job.calibrate, on_note
    )
    return replace(job, settings=replace(job.settings, ground=ground))


@contextmanager
def full_disk_is_said(folder: ReplayFolder) -> Iterator[None]:
    """Turn an error of writing into one line that says where what was written is."""
    try:
        yield
    except OSError as error:
        raise SegRosError(
            f"cannot write into {folder.path}: {error.strerror or error}; what was written is in "
            f"{folder.work}, --resume goes on with it"
        ) from error


def finish(
    job: ReplayJob,
    drive: Drive,
    camera: CameraModel | None,
    engine: Engine,
    folder: ReplayFolder,
    damage: SegRosError | None,
) -> dict[str, Any]:
    """Make of a run's files what a person looks at, and publish it; return the figures.

    Raises:
        SegRosError: no frame came out.
        OSError: the files cannot be written.

    """
    start = time.perf_counter()
    work = folder.work
    state = State.load(work)
    frames = list(read_figures(work / FIGURES))
    if not frames:
        raise damage or SegRosError(f"drive {drive.name} has no frame that can be decoded")
    if job.options.video:
        write_mp4(work / VIDEO, (frame.stamp_ns for frame in frames), work / "overlay.mp4")
    shown = [(frame.index, frame.stamp_ns) for frame in frames]
    write_sheet(work / RESULT, drive, engine.labels, work / "sheet.png", shown)
    notes = read_notes(work)
    problems = [note for note in notes if not note.startswith(REJECTED)]
    ground = job.settings.ground
    if ground.no_grid and f"no grid: {ground.no_grid}" not in problems:
        problems.append(f"no grid: {ground.no_grid}")
    if damage:
        problems.append(str(damage))
    about = RunInfo(
        drive=job.source,
        labels=engine.labels,
        model=engine.model,
        engine=engine.runtime,
        device=engine.device,
        frames_in=state.frames,
        seconds=state.seconds + time.perf_counter() - start,
        rejections=tuple(note for note in notes if note.startswith(REJECTED)),
        problems=tuple(problems),
        notes=(
            *job.notes,
            *drive.notes,
            *ground.notes,
            *cut_notes([f.index for f in frames], [f.stamp_ns for f in frames]),
            *_doubts(frames, drive, engine),
        ),
        distance_errors={}
        if ground.no_grid
        else distance_errors(job.settings.fixed_mounting(drive, camera)),
        ground=ground.said,
        finished=damage is None,
        command=job.command,
        started=job.started,
        inputs={
            **engine.model_sha256,
            **(checksums(Path(job.source).expanduser()) if job.source != SYNTHETIC else {}),
        },
        outputs={
            **checksums(work / RESULT),
            **(checksums(work / "overlay.mp4") if job.options.video else {}),
        },
    )
    values = write_report(work, about, drive) if job.report else report_values(about, frames)
    told = {f.name: getattr(about, f.name) for f in fields(about) if f.name != "labels"}
    folder.publish(told)
    return values


def _doubts(frames: Sequence[FrameFigures], drive: Drive, engine: Engine) -> Iterator[str]:
    """Say what about the network, or how it was fed, may not be as it should."""
    doubt = fit_doubt(engine.model, engine.fit, engine.input_size, picture_size(drive))
    if doubt:
        yield doubt
    if not engine.confident:
        yield f"{engine.model} gives class ids, so there is no confidence"
    first = frames[0].class_shares
    if len(frames) >= FRAMES_OF_ONE_CLASS and 1.0 in first:
        only = first.index(1.0)
        if all(frame.class_shares[only] == 1.0 for frame in frames):
            yield one_class_note(engine.labels, only, len(frames))


def finished_figures(folder: ReplayFolder, engine: Engine) -> dict[str, Any]:
    """Return the figures of a run that had been finished."""
    try:
        about = RunInfo(labels=engine.labels, **folder.about())
    except TypeError as error:
        raise SegRosError(f"{folder.path}: its run.json is damaged; --replace the run") from error
    return report_values(about, _published(folder))


def _published(folder: ReplayFolder) -> Iterator[FrameFigures]:
    return read_figures(folder.path / FIGURES)


def replay_table(names: Sequence[str], results: Sequence[dict[str, Any]]) -> str:
    """Say for several drives what came of each, a line each.

    Args:
        names: of the drives.
        results: figures, or ``{"error": why there are none}``.

    """
    rows = [("drive", "in", "out", "frames/s", "engine p50 ms", "driveable", "")]
    for name, values in zip(names, results, strict=True):
        if "error" in values:
            rows.append((name, "", "", "", "", "", f"failed: {values['error']}"))
            continue
        rows.append(
            (
                name,
                str(values["frames_in"]),
                str(values["frames_out"]),
                f"{values['frames_per_second']:.1f}",
                f"{values['engine_p50_ms']:.1f}",
                f"{values['driveable_share']:.1%}",
                "" if values["finished"] else f"cut short: {values['problems'][-1]}",
            )
        )
    return text_table(rows)
