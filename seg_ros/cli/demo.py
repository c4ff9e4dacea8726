"""``seg_ros demo``: node, player and recorder as processes of their own, over DDS."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg_ros.cli.arguments import MODEL_HELP, add_camera, add_topic
from seg_ros.errors import SegRosError
from seg_ros.support.choices import DEFAULT_MODEL, SYNTHETIC

if TYPE_CHECKING:
    from seg_ros.drive import Drive

SUMMARY = "run node, player and recorder on a drive"
EXAMPLES = (
    "seg_ros demo",
    "seg_ros demo drive.mp4 -o out",
)

_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_SETTLE_SECONDS = 2.5
"""For the last frames, and for the diagnostics after them, which come once a second."""
_LISTENING = "listening on"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Take a drive, a model and how it is played."""
    command.add_argument("drive", nargs="?", default=SYNTHETIC, metavar="DRIVE")
    add_topic(command)
    command.add_argument("-o", "--out", type=Path, default=Path("out"), help="output folder")
    command.add_argument("--rate", type=float, default=1.0, help="times real time (default 1)")
    command.add_argument("--model", default=DEFAULT_MODEL, help=MODEL_HELP)
    add_camera(command)


def run(options: argparse.Namespace) -> int:
    """Run them."""
    return demo(
        options.drive,
        options.topic,
        options.fps,
        options.out,
        options.rate,
        options.model,
        options.camera,
    )


def demo(
    source: str,
    topic: str,
    fps: float,
    out: Path,
    rate: float,
    model: str,
    camera_file: Path | None,
) -> int:
    """Play a drive into the node, record what comes out, show the figures and make the pictures.

    Args:
        source: see :func:`seg_ros.drive.open_drive`.
        topic: camera topic of a bag with several, or empty.
        fps: frames a second of what has no clock, or 0.
        out: folder for the outputs; those of an earlier run are replaced.
        rate: times real time.
        model: see :func:`seg_ros.models.catalogue.find_model`.
        camera_file: camera YAML, instead of the drive's camera.

    Raises:
        SegRosError: the drive cannot be opened, or one of the processes did not do its part.

    """
    from tqdm import tqdm

    from seg_ros.drive import COMPRESSED_IMAGE, open_drive
    from seg_ros.ground.camera_file import load_camera
    from seg_ros.ground.mounting import POSE_NAMES
    from seg_ros.models.catalogue import find_model
    from seg_ros.results.bag_topics import MASK_TOPIC, OVERLAY_TOPIC
    from seg_ros.results.outputs import OutputFolder, write_sheet, write_video

    drive = open_drive(source, topic, fps, camera_file is not None)
    found = find_model(model)
    camera = load_camera(camera_file) if camera_file else None
    if source == SYNTHETIC and camera is None:
        camera = drive.camera  # a bag's says nothing of the mounting
    node_arguments = [
        f"model:={model}",
        f"image_transport:={'compressed' if drive.message_type == COMPRESSED_IMAGE else 'raw'}",
    ]
    if camera is not None:
        node_arguments += [
            f"camera_{name}:={getattr(camera.mounting, name)}" for name in POSE_NAMES
        ]
    player_arguments = [source, "--wait", f"--rate={rate}"]
    player_arguments += ["--preload"] if source == SYNTHETIC else []  # it renders below real time
    player_arguments += [f"--topic={topic}"] if topic else []
    player_arguments += [f"--fps={fps}"] if fps else []
    player_arguments += [f"--camera={camera_file}"] if camera_file else []

    folder = OutputFolder(out, replace=True)
    logs = folder.work / "logs"
    logs.mkdir()
    summary = _run_live(drive, folder.work / "result", logs, node_arguments, player_arguments)
    recorded = summary["counts"]
    if not recorded.get(MASK_TOPIC):
        raise SegRosError(f"the node published nothing; what it said is in {logs / 'node.log'}")
    with tqdm(total=recorded.get(OVERLAY_TOPIC, 0), unit="frame", desc="overlay.mp4") as bar:
        write_video(folder.work / "result", folder.work / "overlay.mp4", bar.update)
    print("making sheet.png", flush=True)
    write_sheet(folder.work / "result", drive, found.labels, folder.work / "sheet.png")
    folder.publish()
    _print_figures(drive, summary, out)
    return 0


def _run_live(
    drive: Drive, bag: Path, logs: Path, node_arguments: list[str], player_arguments: list[str]
) -> dict[str, Any]:
    """Run the three processes; return what the recorder counted and the node's diagnostics."""
    environment = _environment()
    # A namespace of its own: neither another demo nor a robot in the same domain is mixed in.
    namespace = f"/seg_ros_demo_{os.getpid()}"
    record = ["seg_ros.ros.record", str(bag), f"--namespace={namespace}"]
    node = ["seg_ros.ros.start", "--ros-args", "-r", f"__ns:={namespace}"]
    node += [a for argument in node_arguments for a in ("-p", argument)]
    play = ["seg_ros.cli", "play", *player_arguments, f"--namespace={namespace}"]
    print(f"starting recorder and node, then playing {drive.name}", flush=True)
    with (
        _process(record, environment, logs / "recorder.log") as recorder,
        _process(node, environment, logs / "node.log") as segmenter,
    ):
        _wait_for("ready", recorder, logs / "recorder.log")
        _wait_for(_LISTENING, segmenter, logs / "node.log")
        others = {logs / "recorder.log": recorder, logs / "node.log": segmenter}
        with _process(play, environment, None) as player:
            while player.poll() is None:
                for log, process in others.items():
                    if process.poll() is not None:
                        raise SegRosError(
                            f"{log.stem} ended while the drive played; what it said is in {log}"
                        )
                time.sleep(0.1)
        if player.returncode:
            raise SegRosError(f"the player ended with exit code {player.returncode}")
        time.sleep(_SETTLE_SECONDS)
        _stop(recorder, logs / "recorder.log")
        _stop(segmenter, logs / "node.log")
    summary: dict[str, Any] = json.loads(
        (logs / "recorder.log").read_text(encoding="utf-8").strip().splitlines()[-1]
    )
    return summary


def _environment() -> dict[str, str]:
    """Keep the processes on this machine and, where nobody chose a domain, in one of their own."""
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    environment.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    return environment


@contextmanager
def _process(
    module: Sequence[str], environment: dict[str, str], log: Path | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python module as a process that does not outlive the block; no log is the terminal."""
    with log.open("wb") if log else nullcontext() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module], env=environment, stdout=output, stderr=output
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()  # killed outright it would leave its shared memory behind
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(text: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while text not in (said := log.read_text(encoding="utf-8", errors="replace")):
        if process.poll() is not None or time.monotonic() > end or "cannot configure" in said:
            last = (said.strip().splitlines() or ["nothing"])[-1]
            raise SegRosError(f"{log.stem} did not start; it said: {last} (all of it in {log})")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes], log: Path) -> None:
    process.send_signal(signal.SIGINT)
    try:
        code = process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        raise SegRosError(f"{log.stem} did not stop; what it said is in {log}") from None
    if code:
        raise SegRosError(f"{log.stem} ended with exit code {code}; what it said is in {log}")


def _print_figures(drive: Drive, summary: dict[str, Any], out: Path) -> None:
    from seg_ros.results.bag_topics import GRID_TOPIC, MASK_TOPIC, OVERLAY_TOPIC
    from seg_ros.support.tables import text_table

    counts, said = summary["counts"], summary["diagnostics"]
    frames = drive.frame_count
    print(
        text_table(
            [
                ("drive", drive.name),
                ("frames in the drive", "unknown" if frames is None else str(frames)),
                ("frames in", said["received"]),
                ("frames out", said["published"]),
                ("dropped, a newer one came", said["dropped"]),
                ("lost on the way to the node", said["lost"]),
                ("rejected or failed", str(int(said["rejected"]) + int(said["failed"]))),
                ("recorded masks, overlays, grids", ", ".join(
                    str(counts.get(t, 0)) for t in (MASK_TOPIC, OVERLAY_TOPIC, GRID_TOPIC)
                )),
                ("latency p50 / p99", f"{said['latency p50 ms']} / {said['latency p99 ms']} ms"),
                ("engine p50 / p99", f"{said['engine p50 ms']} / {said['engine p99 ms']} ms"),
                ("camera", said["camera"]),
                ("model", said["model"]),
                ("engine", said["engine"]),
                ("device", said["device"]),
            ]
        )
    )  # fmt: skip
    print(f"look at {out}/sheet.png and {out}/overlay.mp4; the topics are in {out}/result")
