"""Every frame of a drive through the pipeline, without DDS: result bag, overlay video, sheet.

Reading, inference, painting and writing overlap: a thread reads ahead, workers take frames from
their decoding to their serialised messages, several at a time, and the caller's thread writes what
they made in the frames' order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.base import Drive, DriveFrame
from seg_ros.drive.image_size import check_size
from seg_ros.drive.images import encode_jpeg, encode_png
from seg_ros.drive.messages import bag_messages, typestore
from seg_ros.drive.read_ahead import read_ahead
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.grid_spec import occupancy_values
from seg_ros.ground.world_grid import FusedGrid
from seg_ros.labels import LabelSet
from seg_ros.replay.ground_state import forget_ground, load_ground, save_ground
from seg_ros.replay.placing import Placing
from seg_ros.replay.run_files import SAVE_EVERY, RunFiles, State
from seg_ros.replay.settings import ReplaySettings
from seg_ros.replay.views import View, needs_order
from seg_ros.results.bag_topics import (
    CONTACT_TOPIC,
    GRID_TOPIC,
    MASK_PNG_TOPIC,
    MASK_TOPIC,
    OVERLAY_TOPIC,
    RESULT_TOPICS,
    TF,
    BagTopic,
    recorded_topic,
    result_topic,
)
from seg_ros.results.figures import FrameJudge
from seg_ros.results.parameters import grid_rules, grid_spec
from seg_ros.results.topics import CAMERA_INFO, IMAGE_COMPRESSED
from seg_ros.segment.grid_maker import GridMaker
from seg_ros.segment.output import Output, Processed
from seg_ros.segment.pipeline import Pipeline
from seg_ros.segment.segmenter import Segmenter
from seg_ros.support.bands import core_count
from seg_ros.support.in_order import in_order

_WANTED = Output.MASK | Output.OVERLAY | Output.GRID | Output.CONTACTS | Output.MEAN_CONFIDENCE
_AHEAD = 2
"""Frames that wait before the workers and behind them."""
_MAX_WORKERS = 8
_FRAME_QUALITY = 90
"""JPEG quality of frames that were not recorded as messages."""

_Message = tuple[str, bytes | memoryview]
"""Topic and serialised message."""


@dataclass(frozen=True)
class ReplayOptions:
    """What may be chosen of a replay."""

    mask: str = "raw"
    """One of :data:`MASK_FORMATS`."""
    camera: bool = True
    """Whether the camera's own messages are copied."""
    video: bool = True
    """Whether the overlay video is made."""


@dataclass(frozen=True)
class _Made:
    """What came of a frame: messages, or the reason why there are none."""

    view: View
    done: Processed | None = None
    messages: tuple[_Message, ...] = ()
    """Those recorded with the frame, then what was made of it."""
    latency_ms: float = 0.0
    problem: str = ""
    notes: tuple[str, ...] = ()
    """What went wrong beside it."""


class Replay:
    """Puts the frames of one drive through.

    Args:
        drive: the frames.
        pipelines: what happens to each; as many frames are worked on at a time.
        camera: the camera, instead of the drive's own, whose CameraInfo is followed.
        options: what may be chosen.
        settings: of the node's parameters, those that mean something here.
        on_frame: called after every frame.
        on_note: called with the reason for every frame left out, and once if there is no grid.

    """

    def __init__(
        self,
        drive: Drive,
        pipelines: Sequence[Pipeline],
        camera: CameraModel | None = None,
        options: ReplayOptions | None = None,
        settings: ReplaySettings | None = None,
        on_frame: Callable[[], object] = lambda: None,
        on_note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._drive = drive
        self._camera = camera
        self._options = options or ReplayOptions()
        self._settings = settings or ReplaySettings()
        self._values = values = self._settings.values
        self._segmenter = pipelines[0].segmenter
        for pipeline in pipelines:
            pipeline.overlay_opacity = values["overlay_opacity"]
            pipeline.grid.spec, pipeline.grid.rules = grid_spec(values), grid_rules(values)
        fixed = self._settings.fixed_mounting(drive, camera)
        self._placing = Placing(values, self._segmenter.labels, fixed)
        self._maker: GridMaker | None = None
        self._wanted = _WANTED
        if needs_order(values):
            self._maker = GridMaker(self.labels, grid_spec(values), grid_rules(values))
            self._maker.fusion = FusedGrid() if values["grid_fusion"] else None
            if values["grid_min_confidence"]:
                self._wanted |= Output.CONFIDENCE
        self._workers = len(pipelines)
        self._free: SimpleQueue[Pipeline] = SimpleQueue()
        for pipeline in pipelines:
            self._free.put(pipeline)
        self._on_frame = on_frame
        self._on_note = on_note

    @property
    def labels(self) -> LabelSet:
        """What the class ids of the masks mean."""
        return self._segmenter.labels

    def run(self, work: Path, start: int = 0, stop: int | None = None) -> SegRosError | None:
        """Process the frames from ``start`` to ``stop`` that the files in a folder do not hold yet.

        Args:
            work: folder of the run's :class:`seg_ros.replay.run_files.RunFiles`; there may be
                those of an interrupted run of the same frames.
            start: first frame, a multiple of :data:`seg_ros.replay.run_files.SAVE_EVERY`.
            stop: index to stop before, None for the end.

        Returns:
            The damage that ended the drive early, None where it was read to its end.

        Raises:
            SegRosError: the drive has no frame that can be decoded.
            OSError: the files cannot be written.

        """
        begin = time.perf_counter()
        state = State.load(work)
        if not state.frames:
            state = State(frames=start)
        size = picture_size(self._drive)
        judge = FrameJudge(self.labels)
        damage: SegRosError | None = None
        done = state.frames
        topics = bag_topics(self._drive, self._options, self._values)
        with RunFiles(work, topics, size, state) as files:
            self._placing.begun = bool(state.frames)
            misfit = self._misfit(size)
            if misfit and not state.frames:
                self._note(misfit, files)
            if self._maker is not None and state.frames:
                load_ground(work, state.frames, self._maker)
            before = self._mask_before(state.frames)
            if before is not None:
                judge.resume(before)
            made = self._made(state.frames, stop)
            while True:
                try:
                    result = next(made, None)
                except SegRosError as error:
                    damage = error
                    break
                if result is None:
                    break
                self._write(result, files, judge)
                done = result.view.frame.index + 1
                if done % SAVE_EVERY == 0:
                    self._save(files, done, state.seconds + time.perf_counter() - begin, work)
                self._on_frame()
            self._save(files, done, state.seconds + time.perf_counter() - begin, work)
        return damage

    def _misfit(self, size: tuple[int, int]) -> str:
        """Say that the calibration is of another shape than the first frame, or nothing."""
        camera = self._camera or self._drive.camera
        try:
            if camera is not None:
                camera.fitted(size[1], size[0])
        except SegRosError as error:
            return f"no grid: {error}"
        return ""

    def _save(self, files: RunFiles, done: int, seconds: float, work: Path) -> None:
        """Bring the run to a point from which it can go on."""
        if self._maker is None:
            files.save(done, seconds)
            return
        save_ground(work, done, self._maker)
        files.save(done, seconds)
        forget_ground(work, done)

    def _made(self, start: int, stop: int | None) -> Iterator[_Made]:
        views = self._settings.views(self._drive, self._camera)
        frames = read_ahead(views.along(self._drive.frames(start, stop), start), _AHEAD)
        return in_order(self._make, frames, self._workers, self._workers + _AHEAD)

    def _make(self, view: View) -> _Made:
        """Take a frame from its data to its messages."""
        frame, camera, notes = view.frame, view.camera, list(view.notes)
        start = time.perf_counter()
        recorded: list[_Message] = [
            (m.topic.name, m.data) for m in (frame.raw, *frame.camera_infos) if m
        ]
        try:
            image = _decoded(frame)
            check_size(image.shape[1], image.shape[0], self._values["max_pixels"])
            try:
                camera = None if self._settings.ground.no_grid else camera
                camera = camera and camera.fitted(image.shape[1], image.shape[0])
            except SegRosError as error:  # another size: the mask is as good as ever
                camera = None
                notes.append(f"no grid: {error}")
            done = self._process(image, None if self._maker else camera)
        except SegRosError as error:
            return _Made(view, None, tuple(recorded), problem=str(error), notes=tuple(notes))
        if not self._drive.topics and self._options.camera:
            recorded = list(_camera_messages(frame, image, camera))
        messages = (*recorded, *self._messages(frame, done))
        latency_ms = (time.perf_counter() - start) * 1e3
        view = replace(view, camera=camera)
        return _Made(view, done, messages, latency_ms, notes=tuple(notes))

    def _process(self, image: NDArray[np.uint8], camera: CameraModel | None) -> Processed:
        pipeline = self._free.get()
        try:
            return pipeline.process(image, self._wanted, camera)
        finally:
            self._free.put(pipeline)

    def _messages(self, frame: DriveFrame, done: Processed) -> Iterator[_Message]:
        """Serialise what came of a frame."""
        messages = bag_messages()
        header = messages.header(frame.stamp_ns, frame.frame_id)

        def of(topic: str, message: object) -> _Message:
            return topic, typestore().serialize_cdr(message, RESULT_TOPICS[topic].message_type)

        if done.mask is not None and self._options.mask == "png":
            yield of(MASK_PNG_TOPIC, messages.png(header, encode_png(done.mask)))
        elif done.mask is not None:
            yield of(MASK_TOPIC, messages.image(header, done.mask))
        if done.overlay is not None:
            jpeg = encode_jpeg(done.overlay, self._values["jpeg_quality"])
            yield of(OVERLAY_TOPIC, messages.jpeg(header, jpeg))
        yield from self._grid_messages(frame, done)

    def _grid_messages(self, frame: DriveFrame, done: Processed) -> Iterator[_Message]:
        """Serialise what came of a frame's ground."""
        messages, values = bag_messages(), self._values

        def of(topic: str, message: object) -> _Message:
            return topic, typestore().serialize_cdr(message, RESULT_TOPICS[topic].message_type)

        if done.cells is not None and done.grid_spec is not None:
            cells = occupancy_values(done.cells, values["grid_profile"])
            header = messages.header(frame.stamp_ns, values["grid_frame"])
            yield of(GRID_TOPIC, messages.occupancy_grid(header, done.grid_spec, cells))
            if done.contacts is not None:
                header = messages.header(frame.stamp_ns, values["base_frame"])
                yield of(CONTACT_TOPIC, messages.laser_scan(header, done.contacts))

    def _with_grid(self, view: View, done: Processed) -> Processed:
        """Make the grid of a frame that depends on those before it."""
        if self._maker is None or view.camera is None or done.mask is None:
            return done
        grid = self._maker.make(
            done.mask, done.confidence, view.camera, True, view.pose, view.frame.stamp_ns
        )
        return replace(
            done,
            cells=grid.cells,
            grid_spec=grid.spec,
            contacts=grid.contacts,
            grid_problem=grid.problem,
        )

    def _write(self, made: _Made, files: RunFiles, judge: FrameJudge) -> None:
        """Append what came of the next frame."""
        frame, done, messages = made.view.frame, made.done, made.messages
        if self._maker is not None and done is not None:
            done = self._with_grid(made.view, done)
            messages = (*messages, *self._grid_messages(frame, done))
        messages = (*self._placing.of(made.view), *messages)
        for topic, data in messages:
            if topic in files.bag:
                files.bag.write(topic, frame.stamp_ns, data)
        for note in made.notes:
            self._note(note, files)
        if done is None or done.overlay is None:
            self._note(f"frame {frame.index}: {made.problem}", files)
            return
        if done.grid_problem:
            self._note(f"no grid: {done.grid_problem}", files)
        if self._options.video:
            files.video.add(done.overlay)
        files.add_figures(judge.judge(frame.index, frame.stamp_ns, done, made.latency_ms))

    def _note(self, note: str, files: RunFiles) -> None:
        if files.add_note(note):
            self._on_note(note)

    def _mask_before(self, start: int) -> NDArray[np.uint8] | None:
        """Return the mask of the last frame before ``start`` that has one."""
        for index in range(start - 1, -1, -1):
            for frame in self._drive.frames(index, index + 1):
                try:
                    return self._process(_decoded(frame), None).mask
                except SegRosError:
                    continue
        return None


def make_pipelines(segmenter: Segmenter, threads: int = 0) -> list[Pipeline]:
    """Return pipelines for as many frames at a time as keep so many cores busy, 0: all of them.

    Where the engine takes one frame at a time, the pipelines take turns with it.
    """
    workers = min(threads or core_count(), _MAX_WORKERS)
    segmenters = segmenter.share(workers)
    return [Pipeline(segmenters[i % len(segmenters)]) for i in range(max(workers, 2))]


def bag_topics(drive: Drive, options: ReplayOptions, values: Mapping[str, Any]) -> list[BagTopic]:
    """Return the topics of a drive's result bag: what is made, then what is copied."""
    left_out = {MASK_TOPIC if options.mask == "png" else MASK_PNG_TOPIC}
    if not needs_order(values):
        left_out.add(TF.name)
    made = [result_topic(topic) for name, topic in RESULT_TOPICS.items() if name not in left_out]
    if not options.camera:
        return made
    if drive.topics:
        # A result bag that is replayed has topics of the names of its result.
        names = {topic.name for topic in made}
        return made + [recorded_topic(t) for t in drive.topics if t.name not in names]
    return [*made, result_topic(IMAGE_COMPRESSED), result_topic(CAMERA_INFO)]


def _decoded(frame: DriveFrame) -> NDArray[np.uint8]:
    """Decode a frame; whatever a decoder raises is that frame's problem alone."""
    try:
        return frame.decode()
    except SegRosError:
        raise
    except Exception as error:
        raise SegRosError(f"cannot be decoded: {type(error).__name__}: {error}") from error


def _camera_messages(
    frame: DriveFrame, image: NDArray[np.uint8], camera: CameraModel | None
) -> Iterator[_Message]:
    """Make camera messages of a frame that was not recorded as one."""
    messages = bag_messages()
    header = messages.header(frame.stamp_ns, frame.frame_id)
    jpeg = messages.jpeg(header, encode_jpeg(image, _FRAME_QUALITY))
    yield (
        f"/{IMAGE_COMPRESSED.name}",
        typestore().serialize_cdr(jpeg, IMAGE_COMPRESSED.message_type),
    )
    if camera:
        info = messages.camera_info(header, camera)
        yield f"/{CAMERA_INFO.name}", typestore().serialize_cdr(info, CAMERA_INFO.message_type)


def picture_size(drive: Drive) -> tuple[int, int]:
    """Return (height, width) of the first frame that can be decoded."""
    for frame in drive.frames():
        try:
            height, width, _ = _decoded(frame).shape
        except SegRosError:
            continue
        return height, width
    raise SegRosError(f"drive {drive.name} has no frame that can be decoded")
