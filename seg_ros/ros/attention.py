"""The live attention mosaic: a thread of its own, that works only while someone looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from seg_ros.drive.messages import camera_stamp_ns
from seg_ros.errors import SegRosError
from seg_ros.models.catalogue import find_model
from seg_ros.ros.cdr import ImageBuffer
from seg_ros.ros.messages import QUIET
from seg_ros.ros.serialized import publish_serialized
from seg_ros.ros.video_input import decode_frame
from seg_ros.ros.worker import LOADING, Busy, LatestWorker
from seg_ros.segment.attention import AttentionNetwork, attention_picture
from seg_ros.support.pixels import parse_pixel, parse_size
from seg_ros.support.statistics import FrameStatistics

_OPENED_BY = ("model", "labels", "cpu_threads", "input_size", "attention_stage")
"""Parameters after whose change the network is opened anew."""


class LiveAttention:
    """Publishes a mosaic of the latest frame after its mask. The masks do not wait for it.

    It has a network of its own, opened when the first frame comes for someone who listens, and
    opened anew when the model or the stage changes. Frames that come meanwhile, or faster than it
    can draw, count as ``attention_dropped``.

    Args:
        publisher: of ``segmentation/attention``.
        values: gives the parameters as of now, the model's those of the one that is loaded.
        statistics: where its frames are counted.
        logger: of the node.

    """

    def __init__(
        self,
        publisher: Any,
        values: Callable[[], Mapping[str, Any]],
        statistics: FrameStatistics,
        logger: Any,
    ) -> None:
        self._publisher = publisher
        self._values = values
        self._statistics = statistics
        self._logger = logger
        self._image = ImageBuffer()
        self._opened: tuple[Any, ...] = ()
        self._network: AttentionNetwork | SegRosError | None = None
        self._worker = LatestWorker(
            self._handle,
            lambda _: statistics.count("attention_dropped"),
            lambda _, error: self._report(f"unexpected {type(error).__name__}: {error}"),
            lambda message: f"image {camera_stamp_ns(message)}",
        )
        self._opening = False

    @property
    def wanted(self) -> bool:
        """Whether it is switched on and someone listens."""
        on = self._values()["publish_attention"]
        return bool(on and self._publisher.get_subscription_count())

    def submit(self, message: Any) -> None:
        """Hand over an image message, if it is wanted."""
        if self.wanted:
            self._worker.submit(message)

    def revive(self) -> str:
        """Start its thread again where it ended by itself; return why it had, or nothing."""
        return self._worker.revive()

    @property
    def busy(self) -> Busy | None:
        """What its thread is at, or None."""
        busy = self._worker.busy
        if busy is None or not self._opening:
            return busy
        return Busy("opening its network", busy.seconds, patience=LOADING)

    def stop(self, patience: float) -> bool:
        """Finish the frame in hand and end; see :meth:`LatestWorker.stop`."""
        return self._worker.stop(patience)

    def _handle(self, message: Any) -> None:
        """Draw and publish one frame; what goes wrong unexpectedly is the worker's to say."""
        values = self._values()
        try:
            query = parse_pixel(values["attention_query"]) if values["attention_query"] else None
            network = self._network_for(values)
            frame = decode_frame(message, values["max_pixels"])
            mosaic = attention_picture(frame, network.maps(frame, query))
        except SegRosError as error:
            self._report(str(error))
            return
        np.copyto(self._image.pixels(mosaic.shape), mosaic)
        publish_serialized(self._publisher, self._image.serialized(message.header))
        self._statistics.count("attention_published")

    def _network_for(self, values: Mapping[str, Any]) -> AttentionNetwork:
        """Return the network these parameters name; what could not be opened is not tried again."""
        wanted = tuple(values[name] for name in _OPENED_BY)
        if wanted != self._opened:
            self._opened, self._network, self._opening = wanted, None, True
            try:
                model = find_model(values["model"], values["labels"])
                self._network = AttentionNetwork.load(
                    model,
                    values["attention_stage"],
                    size=parse_size(values["input_size"]),
                    threads=values["cpu_threads"],
                )
            except SegRosError as error:
                self._network = error
            finally:
                self._opening = False
            if isinstance(self._network, AttentionNetwork):
                block = self._network.block
                self._logger.info(
                    f"attention of {model.name}: stage {block.stage}, block {block.block}, "
                    f"{block.heads} heads"
                )
        if isinstance(self._network, AttentionNetwork):
            return self._network
        raise self._network or SegRosError("the attention network could not be opened")

    def _report(self, message: str) -> None:
        self._statistics.error("attention_failed", f"attention: {message}")
        self._logger.error(f"no attention: {message}", throttle_duration_sec=QUIET)
