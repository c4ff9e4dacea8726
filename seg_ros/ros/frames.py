"""What becomes of a camera's message: received, counted, segmented, published.

Received on the listener's thread, handled on the worker's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.compressed_video import KeyFrameMissingError
from seg_ros.drive.messages import camera_stamp_ns
from seg_ros.errors import SegRosError
from seg_ros.results import topics
from seg_ros.results.parameters import RELOADED
from seg_ros.ros.attention import LiveAttention
from seg_ros.ros.cdr import SerializedImage
from seg_ros.ros.live_model import LiveModel
from seg_ros.ros.messages import QUIET
from seg_ros.ros.publishing import FramePublishers
from seg_ros.ros.settings import Settings
from seg_ros.ros.video_input import VideoInput, VideoPicture, decode_frame
from seg_ros.ros.viewpoint import Viewpoint
from seg_ros.ros.worker import Busy, LatestWorker
from seg_ros.segment.output import Output
from seg_ros.support.statistics import FrameStatistics


@dataclass
class _Received:
    """A frame on its way; it is counted once, whatever happens."""

    message: Any
    at_ns: int
    """When it was received, nanoseconds of the monotonic clock."""
    counted: bool = False

    @property
    def stamp(self) -> int:
        """As its camera says, nanoseconds."""
        return camera_stamp_ns(self.message)


class Frames:
    """Handles the latest frame, on a thread that runs from here to :meth:`stop`.

    Args:
        settings: of the node.
        statistics: where every frame is counted.
        model: the pipeline in use.
        viewpoint: where frames are taken from.
        outputs: the publishers.
        publishers: tells how many publish the image topic.
        on_stamp: called with the stamp of each frame that is about to be handled, nanoseconds.
        logger: of the node.

    """

    def __init__(
        self,
        settings: Settings,
        statistics: FrameStatistics,
        model: LiveModel,
        viewpoint: Viewpoint,
        outputs: FramePublishers,
        publishers: Callable[[], int],
        on_stamp: Callable[[int], None],
        logger: Any,
    ) -> None:
        self._settings = settings
        self._statistics = statistics
        self._model = model
        self._viewpoint = viewpoint
        self._outputs = outputs
        self._on_stamp = on_stamp
        self._logger = logger
        self.latest: Any = None
        """The last message that was handled."""
        self._publishers = publishers
        self._last_sequence = 0
        self._video: VideoInput[_Received] | None = None
        if topics.TRANSPORTS[settings.values["image_transport"]] in topics.VIDEOS:
            self._video = VideoInput(
                settings.values["max_pixels"], self._on_picture, self._no_picture, self._unexpected
            )
        self._attention = attention = LiveAttention(
            outputs.attention,
            # What is loaded, not what a reload would load.
            lambda: {**settings.values, **{name: model.loaded[name] for name in RELOADED}},
            statistics,
            logger,
        )

        def handle(frame: _Received) -> None:
            self._handle(frame)
            attention.submit(frame.message)  # the mask first: both want all cores

        self._worker = LatestWorker(
            handle,
            partial(self._count, "dropped"),
            self._unexpected,
            lambda frame: f"image {frame.stamp}",
            turn=lambda: model.turn,
        )
        # Who hands over comes before who takes.
        self._threads: dict[str, LatestWorker[Any] | VideoInput[Any] | LiveAttention] = {
            **({"video": self._video} if self._video else {}),
            "worker": self._worker,
            "attention": attention,
        }

    @property
    def attention_wanted(self) -> bool:
        """Whether someone looks at the attention mosaic."""
        return self._attention.wanted

    def on_image(self, message: Any, info: Mapping[str, Any]) -> None:
        """Take an image message and what the middleware says about it."""
        received, lost = self._arrival(info)
        if self._video is None:
            self._worker.submit(_Received(message, received))
        else:
            self._video.submit(_Received(message, received), message, lost)

    def on_serialized_image(
        self, content: NDArray[np.uint8] | bytes, info: Mapping[str, Any]
    ) -> None:
        """Take the bytes of a sensor_msgs/Image and what the middleware says about them."""
        received, _ = self._arrival(info)
        try:
            message = SerializedImage(content)
        except SegRosError as error:  # there is no stamp to tell it by
            self._statistics.error("rejected", f"image: {error}")
            self._logger.error(f"rejected: image: {error}", throttle_duration_sec=QUIET)
            return
        self._worker.submit(_Received(message, received))

    def _arrival(self, info: Mapping[str, Any]) -> tuple[int, int]:
        """Count a frame; return when it came here, and how many before it were lost."""
        received = time.monotonic_ns()
        arrived = info.get("received_timestamp")
        if arrived:  # count the time it lay in the middleware, too
            received -= min(max(time.time_ns() - arrived, 0), 1_000_000_000)
        self._statistics.count("received")
        return received, self._count_lost(info.get("publication_sequence_number"))

    def between(self, job: Callable[[], Any]) -> Future[Any]:
        """Call a function between two frames; return its result to be."""
        return self._worker.between(job)

    @property
    def awaited(self) -> str:
        """What a video stream waits for, or nothing."""
        return self._video.awaited if self._video else ""

    def _on_picture(self, received: _Received, picture: VideoPicture) -> None:
        received.message = picture
        self._worker.submit(received)

    def _no_picture(self, received: _Received, error: SegRosError | None) -> None:
        """Count a packet of which there is no picture; a key frame may be awaited for a while."""
        if error is None:
            self._count("dropped", received)
        elif isinstance(error, KeyFrameMissingError):
            self._count("dropped", received)
            self._logger.warning(self.awaited, throttle_duration_sec=QUIET)
        else:
            self._report("rejected", received, str(error))

    def revive(self) -> None:
        """Start a thread again that ended by itself, and say so."""
        for name, thread in self._threads.items():
            reason = thread.revive()
            if reason:
                what = f"the {name} thread ended and was started again: {reason}"
                self._statistics.error("threads_restarted", what)
                self._logger.error(what)

    @property
    def busy(self) -> dict[str, Busy | None]:
        """What each of its threads is at."""
        return {name: thread.busy for name, thread in self._threads.items()}

    def refuse_jobs(self, reason: str) -> None:
        """Tell who waits for a function between two frames that it will not be called."""
        self._worker.refuse_jobs(reason)

    def stop(self, patience: float) -> bool:
        """Finish the frames in hand and end.

        Args:
            patience: seconds that may take; what has not come back is given up then and has failed.

        Returns:
            Whether all threads have ended.

        """
        end = time.monotonic() + patience
        left = [t for t in self._threads.values() if not t.stop(max(end - time.monotonic(), 0.0))]
        return not left

    def _count_lost(self, sequence: int | None) -> int:
        """Count the publisher's messages that never came here: its numbers have gaps."""
        lost = 0
        if sequence is None:  # before Jazzy
            return lost
        gap = self._last_sequence and sequence > self._last_sequence + 1
        # Two publishers count apart and a message does not say whose it is.
        if gap and self._publishers() == 1:
            lost = sequence - self._last_sequence - 1
            self._statistics.count("lost", lost)
        self._last_sequence = sequence
        return lost

    def _handle(self, received: _Received) -> None:
        """Work on one frame and count what became of it."""
        message = received.message
        # As of now, whatever is set meanwhile.
        pipeline, values = self._model.pipeline, self._settings.values
        if pipeline is None:
            self._count("dropped", received)
            return
        self.latest = message
        self._on_stamp(received.stamp)
        listening = self._outputs.listening(values)
        if not pipeline.segmenter.confident:
            listening = [topic for topic in listening if topic is not topics.CONFIDENCE]
        if not listening:
            self._count("unwanted", received)
            return
        try:
            frame = decode_frame(message, values["max_pixels"])
        except SegRosError as error:
            self._report("rejected", received, str(error))
            return
        try:
            wanted = Output.NONE
            for topic in listening:
                wanted |= topic.output
            camera, pose = None, None
            if wanted & (Output.GRID | Output.CONTACTS):
                camera, pose = self._viewpoint.of(frame, message.header)
            done = pipeline.process(
                frame, wanted, camera, self._outputs.allocate, pose, received.stamp
            )
            if received.counted:  # it was given up meanwhile
                return
            if done.grid_problem:
                self._viewpoint.no_grid(done.grid_problem)
            if not self._outputs.publish(message.header, listening, done, values):
                raise SegRosError(self._viewpoint.grid_problem)
        except SegRosError as error:
            self._report("failed", received, str(error))
            return
        received.counted = True
        self._statistics.published(
            received.stamp, time.monotonic_ns() - received.at_ns, done.engine_ns
        )

    def _unexpected(self, received: _Received, error: BaseException) -> None:
        if not received.counted:
            known = isinstance(error, SegRosError)
            kind = "" if known else f"unexpected {type(error).__name__}: "
            self._report("failed", received, f"{kind}{error}")

    def _count(self, outcome: str, received: _Received) -> None:
        received.counted = True
        self._statistics.count(outcome)

    def _report(self, outcome: str, received: _Received, reason: str) -> None:
        message = f"image {received.stamp}: {reason}"
        received.counted = True
        self._statistics.error(outcome, message)
        self._logger.error(f"{outcome}: {message}", throttle_duration_sec=QUIET)
