"""Many drives, or long ones, over many processes: pieces of drives, put together in order.

A drive is cut into pieces of :data:`PIECE` frames. Each piece is a run of its own in a folder of
its own; what it leaves is appended to the drive's files, so they are byte for byte those that one
process would have written. Which processes run the pieces, here or on other machines, is the
pool's business; all of them must see the drives and the output folder under the same paths.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from multiprocessing import connection
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Protocol

from seg_ros.drive.base import Drive
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.replay.ground import Ground
from seg_ros.replay.job import (
    Engine,
    EngineOptions,
    ReplayJob,
    finish,
    finished_figures,
    full_disk_is_said,
    load_engine,
    settled,
)
from seg_ros.replay.replay import Replay, bag_topics, picture_size
from seg_ros.replay.run_files import SAVE_EVERY, RunFiles, State, read_notes
from seg_ros.replay.views import needs_order
from seg_ros.results.outputs import ReplayFolder
from seg_ros.support.choices import SYNTHETIC

PIECE = 20 * SAVE_EVERY
"""Frames of a piece: enough that opening the drive and an engine is little beside them."""

_PIECES = "pieces"
_POLL_SECONDS = 0.5


class Pool(Protocol):
    """Processes that run functions."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run a function of a module in one of the processes."""


class LocalPool(AbstractContextManager["LocalPool"]):
    """Processes of this machine.

    Args:
        workers: how many.

    """

    def __init__(self, workers: int) -> None:
        # Spawned, not forked: the engine's threads and locks do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, context, _end_with_parent)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """See :class:`Pool`."""
        return self._pool.submit(function, *arguments)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the processes; after an error at once."""
        if error is not None:
            for process in multiprocessing.active_children():
                process.terminate()
        self._pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Let no worker go on writing when its parent was killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            os._exit(1)

    Thread(target=watch, daemon=True).start()


def look_at_engine(options: EngineOptions) -> Engine:
    """Load an engine in a worker; return what is to be known of it."""
    engine, _ = load_engine(options)
    return engine


def run_piece(job: ReplayJob, work: Path, start: int, stop: int | None) -> str:
    """Run a piece of a drive in a worker; return the damage that ended it early, or nothing."""
    if stop is not None and State.load(work).frames >= stop:
        return ""
    drive, camera = job.open()
    _, pipelines = load_engine(job.engine)
    damage = Replay(drive, pipelines, camera, job.options, job.settings).run(work, start, stop)
    return str(damage or "")


@dataclass(frozen=True)
class _Piece:
    work: Path
    start: int
    future: Future[str]


@dataclass
class _Spread:
    """A job whose pieces are being run."""

    job: ReplayJob
    drive: Drive
    camera: CameraModel | None
    folder: ReplayFolder
    state: State
    pieces: list[_Piece]

    def frames(self) -> int:
        """How many frames there are already."""
        ahead = sum(max(0, State.load(p.work).frames - p.start) for p in self.pieces)
        return State.load(self.folder.work).frames + ahead


def run_spread(
    jobs: Sequence[ReplayJob],
    pool: Pool,
    on_start: Callable[[int, int | None], object] = lambda _, __: None,
    on_frames: Callable[[int], object] = lambda _: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any] | SegRosError]:
    """Run jobs on a pool; return for each what :func:`seg_ros.replay.job.run_job` would.

    Args:
        jobs: all with the same engine.
        pool: what runs their pieces.
        on_start: called with how many frames there are already, and how many there will be.
        on_frames: called now and then with how many frames there are.
        on_note: called with what goes wrong without ending a replay.

    Raises:
        SegRosError: the engine cannot be loaded.

    """
    engine: Engine = _result(pool.submit(look_at_engine, _absolute(jobs[0]).engine))
    results: list[dict[str, Any] | SegRosError] = []
    with ExitStack() as stack:
        begun: list[_Spread | dict[str, Any] | SegRosError] = []
        for job in jobs:
            try:
                begun.append(_begin(job, engine, pool, stack))
            except SegRosError as error:
                begun.append(error)
        running = [spread for spread in begun if isinstance(spread, _Spread)]
        counts = [spread.drive.frame_count for spread in running]
        total = None if None in counts else sum(count or 0 for count in counts)
        on_start(sum(spread.state.frames for spread in running), total)
        done = 0
        for spread in begun:
            if not isinstance(spread, _Spread):
                results.append(spread)
                continue
            others = [s for s in running if s is not spread]

            def tell(
                own: _Spread = spread, others: list[_Spread] = others, so_far: int = done
            ) -> None:
                on_frames(so_far + own.frames() + sum(s.frames() for s in others))

            try:
                with full_disk_is_said(spread.folder):
                    results.append(_put_together(spread, engine, tell, on_note))
            except SegRosError as error:
                results.append(error)
            running.remove(spread)
            done += spread.state.frames
    return results


def _begin(
    job: ReplayJob, engine: Engine, pool: Pool, stack: ExitStack
) -> _Spread | dict[str, Any]:
    """Open a job's folder and submit its pieces; the figures if it was finished before."""
    drive, camera = job.open()
    folder = stack.enter_context(job.folder(drive, camera, engine))
    if folder.finished:
        return finished_figures(folder, engine)
    state = State.load(folder.work)
    first, count = state.frames, drive.frame_count
    away = _absolute(job)
    ground: Ground = _result(pool.submit(settle_away, away, folder.work.absolute()))
    job, away = (replace(j, settings=replace(j.settings, ground=ground)) for j in (job, away))
    edges = [first]
    if count and not needs_order(job.settings.values):
        edges += range((first // PIECE + 1) * PIECE, count, PIECE)
    pieces = []
    for start, stop in zip(edges, [*edges[1:], None], strict=True):
        work = folder.work / _PIECES / f"{start:09d}"
        work.mkdir(parents=True, exist_ok=True)
        pieces.append(_Piece(work, start, pool.submit(run_piece, away, work, start, stop)))
    return _Spread(job, drive, camera, folder, state, pieces)


def settle_away(job: ReplayJob, work: Path) -> Ground:
    """Settle where a job's camera sits, in the process that runs this."""
    drive, camera = job.open()
    _, pipelines = load_engine(job.engine)
    return settled(job, drive, camera, pipelines[0].segmenter, work).settings.ground


def _absolute(job: ReplayJob) -> ReplayJob:
    """Return a job for workers in other folders, with paths that do not depend on them."""

    def path(text: str) -> str:
        is_path = os.sep in text or bool(Path(text).suffix)  # and not the name of a bundled one
        return str(Path(text).expanduser().absolute()) if is_path and Path(text).exists() else text

    engine = replace(job.engine, model=path(job.engine.model), labels=path(job.engine.labels))
    source = job.source
    if source != SYNTHETIC:
        source = str(Path(source).expanduser().absolute())
    camera = job.camera and job.camera.absolute()
    return replace(job, source=source, camera=camera, engine=engine)


def _put_together(
    spread: _Spread,
    engine: Engine,
    tell: Callable[[], None],
    on_note: Callable[[str], None],
) -> dict[str, Any]:
    """Append the pieces of a drive to its files, in order, as they come."""
    begin = time.perf_counter()
    job, drive, work = spread.job, spread.drive, spread.folder.work
    damage: SegRosError | None = None
    topics = bag_topics(drive, job.options, job.settings.values)
    with RunFiles(work, topics, picture_size(drive), spread.state) as files:
        while spread.pieces and not damage:
            piece = spread.pieces[0]
            while not wait([piece.future], _POLL_SECONDS).done:
                tell()
            said = _result(piece.future)
            damage = SegRosError(said) if said else None
            for note in read_notes(piece.work):
                if files.add_note(note):
                    on_note(note)
            files.append(piece.work)
            seconds = spread.state.seconds + time.perf_counter() - begin
            files.save(State.load(piece.work).frames, seconds)
            spread.pieces.pop(0)
            shutil.rmtree(piece.work)
            tell()
        spread.state = files.state
    for piece in spread.pieces:  # beyond the damage
        piece.future.cancel()
    spread.pieces.clear()
    return finish(job, drive, spread.camera, engine, spread.folder, damage)


def _result(future: Future[Any]) -> Any:
    try:
        return future.result()
    except SegRosError as error:  # Ray's is of this class too, but tells the worker's traceback
        raise getattr(error, "cause", error) from None
    except BrokenProcessPool:
        raise SegRosError(
            "a worker was killed, probably for want of memory; use fewer with --jobs and go on "
            "with --resume"
        ) from None
