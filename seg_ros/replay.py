"""Every frame of a drive through the pipeline, without DDS: result bag, overlay video, sheet."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from seg_ros.camera import CameraModel
from seg_ros.drive import Drive, DriveFrame, read_ahead
from seg_ros.errors import SegRosError
from seg_ros.grid import occupancy_values
from seg_ros.images import encode_jpeg
from seg_ros.messages import bag_messages
from seg_ros.outputs import (
    CONTACT_TOPIC,
    GRID_TOPIC,
    MASK_TOPIC,
    OVERLAY_TOPIC,
    OutputFolder,
    OverlayVideo,
    ResultBag,
    write_sheet,
)
from seg_ros.pipeline import Output, Pipeline, Processed
from seg_ros.statistics import percentile

_READ_AHEAD = 4


@dataclass(frozen=True)
class ReplayFigures:
    """What came of a replay; times in seconds, latencies in milliseconds."""

    frames_in: int
    frames_out: int
    rejected: int
    seconds: float
    frames_per_second: float
    engine_p50_ms: float
    engine_p99_ms: float
    model: str
    engine: str
    device: str
    driveable_share: float
    """Mean share of pixels with a driveable class."""


def replay(
    drive: Drive,
    pipeline: Pipeline,
    folder: OutputFolder,
    camera: CameraModel | None = None,
    grid_frame: str = "base_link",
    on_frame: Callable[[], object] = lambda: None,
    on_bad_frame: Callable[[str], None] = lambda _: None,
) -> ReplayFigures:
    """Put every frame of a drive through the pipeline, in order, and write the outputs.

    Stamps and frame ids are those of the frames. The outputs appear in ``folder`` when they are
    whole. A frame that cannot be decoded is reported, counted and left out.

    Args:
        drive: the frames.
        pipeline: what happens to each.
        folder: where the outputs go.
        camera: the camera, instead of the drive's own.
        grid_frame: frame id of the grid.
        on_frame: called after every frame.
        on_bad_frame: called with the reason for every frame left out, and once if there is no grid.

    Raises:
        SegRosError: the drive is damaged (what came before the damage is written), it has no
            frame that can be decoded, or the outputs cannot be written.

    """
    camera = camera or drive.camera
    engine_ms: list[float] = []
    driveable: list[float] = []
    frames_in = 0
    grid_problem = ""
    damage: SegRosError | None = None
    driveable_ids = list(pipeline.segmenter.labels.driveable_ids)
    start = time.perf_counter()
    try:
        with (
            ResultBag(folder.work / "result") as bag,
            OverlayVideo(folder.work / "overlay.mp4") as video,
        ):
            frames = read_ahead(drive.frames(), _READ_AHEAD)
            while True:
                try:
                    frame = next(frames, None)
                except SegRosError as error:
                    damage = error
                    break
                if frame is None:
                    break
                frames_in += 1
                try:
                    image = frame.decode()
                    fitted = camera and camera.fitted(image.shape[1], image.shape[0])
                    done = pipeline.process(
                        image,
                        Output.MASK | Output.OVERLAY | Output.GRID | Output.CONTACTS,
                        fitted,
                    )
                except SegRosError as error:
                    on_bad_frame(f"frame {frame.index}: {error}")
                    on_frame()
                    continue
                if done.grid_problem and not grid_problem:
                    grid_problem = done.grid_problem
                    on_bad_frame(f"no grid: {grid_problem}")
                _write_frame(frame, done, grid_frame, bag, video)
                engine_ms.append(done.engine_ns / 1e6)
                counts = np.bincount(np.ravel(done.mask), minlength=256)  # type: ignore[arg-type]
                driveable.append(float(counts[driveable_ids].sum() / counts.sum()))
                on_frame()
        if not engine_ms:
            raise damage or SegRosError(f"drive {drive.name} has no frame that can be decoded")
        write_sheet(
            folder.work / "result",
            drive,
            pipeline.segmenter.labels,
            folder.work / "sheet.png",
        )
    except OSError as error:
        raise SegRosError(
            f"cannot write into {folder.path}: {error.strerror or error}; what was written is in "
            f"{folder.work}"
        ) from error
    seconds = time.perf_counter() - start
    folder.publish()
    if damage:
        raise SegRosError(
            f"{damage}. The {len(engine_ms)} frames before the damage are in {folder.path}"
        )
    info = pipeline.segmenter.engine_info
    return ReplayFigures(
        frames_in=frames_in,
        frames_out=len(engine_ms),
        rejected=frames_in - len(engine_ms),
        seconds=seconds,
        frames_per_second=len(engine_ms) / seconds,
        engine_p50_ms=percentile(engine_ms, 50),
        engine_p99_ms=percentile(engine_ms, 99),
        model=pipeline.segmenter.model_name,
        engine=f"{info.runtime} {info.precision}",
        device=info.device,
        driveable_share=float(np.mean(driveable)),
    )


def _write_frame(
    frame: DriveFrame,
    done: Processed,
    grid_frame: str,
    bag: ResultBag,
    video: OverlayVideo,
) -> None:
    messages = bag_messages()
    stamp = frame.stamp_ns
    header = messages.header(stamp, frame.frame_id)
    if done.mask is not None:
        bag.write(MASK_TOPIC, stamp, messages.image(header, done.mask))
    if done.overlay is not None:
        jpeg = encode_jpeg(done.overlay, quality=80)
        bag.write(OVERLAY_TOPIC, stamp, messages.jpeg(header, jpeg))
        video.add(stamp, done.overlay)
    if done.cells is not None and done.grid_spec is not None:
        values = occupancy_values(done.cells, "nav2")
        grid_header = messages.header(stamp, grid_frame)
        grid = messages.occupancy_grid(grid_header, done.grid_spec, values)
        bag.write(GRID_TOPIC, stamp, grid)
        if done.contacts is not None:
            bag.write(CONTACT_TOPIC, stamp, messages.laser_scan(grid_header, done.contacts))
