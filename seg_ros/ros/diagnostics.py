"""What the node says about itself once a second: diagnostic_msgs/DiagnosticArray (REP 107)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from seg_ros.drive.messages import stamp_ns
from seg_ros.results import topics
from seg_ros.ros.messages import message_class, ros_messages
from seg_ros.segment.segmenter import Segmenter
from seg_ros.support.statistics import Snapshot, percentile

_SILENT = 2.0
"""Seconds without an image after which that is worth a warning."""

_LOGGED = 5.0
"""Seconds after which it is worth a line in the log, too."""

_ERRORS = ("rejected", "failed", "messages_failed", "threads_restarted")
"""Counts of which one more is an error."""

_ON_THE_GROUND = {topics.GRID.name, topics.CONTACTS.name}


class Diagnosis:
    """Turns the node's statistics into a diagnostics message, with rates since the last one.

    Args:
        node_name: fully qualified, the beginning of the status' name.

    """

    def __init__(self, node_name: str) -> None:
        self._name = f"{node_name.lstrip('/')}: segmentation"
        self._hardware = node_name
        self.waiting = ""
        """Why no frame has come for a while, or nothing."""
        self._last: dict[str, int] = {}
        # Rates are per second of this clock; ROS time may stand still or jump.
        self._last_time = self._last_arrival = time.monotonic()

    def message(
        self,
        now_ns: int,
        snapshot: Snapshot,
        segmenter: Segmenter | None,
        active: bool,
        image_topic: str,
        image_publishers: int,
        listened: Sequence[str],
        camera_problem: str,
        mounting_assumed: bool,
        refused: str,
        reload: str,
        stalled: str = "",
        ended: str = "",
        building: str = "",
        elsewhere: str = "",
        doubt: str = "",
    ) -> Any:
        """Return the DiagnosticArray for this moment.

        Args:
            now_ns: ROS time, nanoseconds.
            snapshot: the counts so far.
            segmenter: the network, when the node is configured.
            active: whether the node is active.
            image_topic: where it listens.
            image_publishers: how many publish there.
            listened: names of the outputs somebody subscribes to.
            camera_problem: why there is no grid, or empty.
            mounting_assumed: whether nobody has said where the camera sits.
            refused: parameters that keep it from being configured, or empty.
            reload: what became of the last reload, or what waits for one, or empty.
            stalled: which threads do not come back, or empty.
            ended: which threads have come back after all since the last message, or empty.
            building: how far the build of its engine is, or what else is waited for, or empty.
            elsewhere: the image topic of the other transport, if somebody publishes that, or empty.
            doubt: what about the masks looks wrong, or empty.

        """
        since = {name: n - self._last.get(name, 0) for name, n in snapshot.counts.items()}
        now = time.monotonic()
        seconds = max(now - self._last_time, 1e-9)
        if since["received"] or not active:
            self._last_arrival = now
        silent = now - self._last_arrival
        self._last_time, self._last = now, snapshot.counts
        level, text = self._judge(since, snapshot, active, segmenter is not None, refused)
        if stalled:
            level, text = 2, stalled
        elif ended:
            level, text = max(level, 1), ended if level < 2 else text
        if building and level < 2:
            level, text = 1, building
        waiting = ""
        if level == 0 and not now_ns:  # it is the time before the first message on /clock
            level, text = 1, "use_sim_time is set, but nothing comes on /clock"
            waiting = text
        if level == 0 and silent >= _SILENT:
            reason = _silence(image_publishers, elsewhere)
            level, text = 1, f"no image on {image_topic} for {silent:.0f} s: {reason}"
            waiting = f"no image on {image_topic}: {reason}"
        elif level == 0 and doubt:
            level, text = 1, doubt
        elif level == 0 and camera_problem:
            level, text = 1, camera_problem
        elif level == 0 and mounting_assumed and set(listened) & _ON_THE_GROUND:
            level, text = 1, "camera mounting is assumed: set camera_z, camera_pitch and the others"
        elif level == 0 and since["time_jumps"]:
            level, text = 1, "time jumped back: what was known of the other run is forgotten"
        self.waiting = waiting if silent >= _LOGGED else ""
        values = {
            "rate": f"{since['published'] / seconds:.1f}",
            **{name: str(n) for name, n in snapshot.counts.items()},
            "in hand": str(snapshot.in_hand),
            "latency p50 ms": f"{percentile(snapshot.latency_ms, 50):.2f}",
            "latency p99 ms": f"{percentile(snapshot.latency_ms, 99):.2f}",
            "engine p50 ms": f"{percentile(snapshot.engine_ms, 50):.2f}",
            "engine p99 ms": f"{percentile(snapshot.engine_ms, 99):.2f}",
            "overhead p50 ms": f"{percentile(snapshot.overhead_ms, 50):.2f}",
            "age of last frame s": self._age(now_ns, snapshot),
            "last error": snapshot.last_error,
            "camera": camera_problem or f"ok{', mounting assumed' if mounting_assumed else ''}",
            "image publishers": str(image_publishers),
            "listened to": " ".join(listened),
            "reload": reload,
        }
        if segmenter is not None:
            info = segmenter.engine_info
            values["model"] = segmenter.model_name
            values["engine"] = f"{info.runtime} {info.precision}"
            values["device"] = info.device
            if not segmenter.confident:
                values["confidence"] = "none: the network gives class ids"
            values["engine verified"] = segmenter.verification or "runs the network as it is"
        status_class = message_class("diagnostic_msgs/msg/DiagnosticStatus")
        pair = message_class("diagnostic_msgs/msg/KeyValue")
        levels = (status_class.OK, status_class.WARN, status_class.ERROR)
        status = status_class(
            level=levels[level],
            name=self._name,
            message=text,
            hardware_id=self._hardware,
            values=[pair(key=key, value=value) for key, value in values.items()],
        )
        return message_class("diagnostic_msgs/msg/DiagnosticArray")(
            header=ros_messages().header(now_ns, ""), status=[status]
        )

    @staticmethod
    def plain(message: Any) -> dict[str, Any]:
        """Return what a message of this class says, as it is written to YAML."""
        (status,) = message.status
        return {
            "stamp_ns": stamp_ns(message.header.stamp),
            "name": status.name,
            "level": int.from_bytes(status.level, "little"),
            "message": status.message,
            "values": {pair.key: pair.value for pair in status.values},
        }

    @staticmethod
    def _judge(
        since: dict[str, int], snapshot: Snapshot, active: bool, configured: bool, refused: str
    ) -> tuple[int, str]:
        """Return (0 fine, 1 warning or 2 error, what to say) about what became of the frames."""
        if refused:
            return 2, f"not configured: {refused}"
        if any(since[name] for name in _ERRORS):
            return 2, snapshot.last_error
        if not active:
            return 1, "inactive" if configured else "not configured"
        if since["lost"]:
            return 1, f"{since['lost']} of the last second's frames were lost on the way here"
        if since["dropped"]:
            return 1, f"{since['dropped']} of the last second's frames came too fast: dropped"
        return 0, "running"

    @staticmethod
    def _age(now_ns: int, snapshot: Snapshot) -> str:
        if snapshot.last_stamp_ns is None or not now_ns:
            return "none yet"
        return f"{(now_ns - snapshot.last_stamp_ns) / 1e9:.3f}"


def _silence(publishers: int, elsewhere: str) -> str:
    """Say why there may be no image."""
    if not publishers and elsewhere:
        return f"nobody publishes it, but {elsewhere} is published: set image_transport"
    if not publishers:
        return "nobody publishes it; check the name and the remapping"
    return (
        f"{publishers} publish it but no frame arrives; see 'No image appears' in "
        "docs/troubleshooting.md"
    )
