"""The live system on a drive: node, player and recorder as processes of their own, over DDS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from seg_ros.camera import load_camera
from seg_ros.drive import COMPRESSED_IMAGE, SYNTHETIC, Drive, open_drive
from seg_ros.errors import SegRosError
from seg_ros.models.catalogue import find_model
from seg_ros.outputs import (
    GRID_TOPIC,
    MASK_TOPIC,
    OVERLAY_TOPIC,
    OutputFolder,
    write_sheet,
    write_video,
)
from seg_ros.tables import text_table

_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_LISTENING = "listening on"


def demo(
    source: str, topic: str, out: Path, rate: float, model: str, camera_file: Path | None
) -> int:
    """Play a drive into the node, record what comes out, show the figures and make the pictures.

    Args:
        source: see :func:`seg_ros.drive.open_drive`.
        topic: camera topic of a bag with several, or empty.
        out: folder for the outputs; those of an earlier run are replaced.
        rate: times real time.
        model: see :func:`seg_ros.models.catalogue.find_model`.
        camera_file: camera YAML, instead of the drive's camera.

    Raises:
        SegRosError: the drive cannot be opened, or one of the processes did not do its part.

    """
    drive = open_drive(source, topic)
    found = find_model(model)
    mounting = load_camera(camera_file).mounting if camera_file else None
    if mounting is None and drive.camera is not None:
        mounting = drive.camera.mounting
    node_arguments = [
        f"model:={model}",
        f"image_transport:={'compressed' if drive.message_type == COMPRESSED_IMAGE else 'raw'}",
    ]
    if mounting is not None:
        node_arguments += [
            f"camera_{f.name}:={getattr(mounting, f.name)}" for f in fields(mounting)
        ]
    player_arguments = [source, "--wait", f"--rate={rate}"]
    player_arguments += ["--preload"] if source == SYNTHETIC else []  # it renders below real time
    player_arguments += [f"--topic={topic}"] if topic else []
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
    record = ["seg_ros.ros.record", str(bag)]
    node = ["seg_ros.ros.node", "--ros-args", *(a for n in node_arguments for a in ("-p", n))]
    print(f"starting recorder and node, then playing {drive.name}", flush=True)
    with (
        _process(record, environment, logs / "recorder.log") as recorder,
        _process(node, environment, logs / "node.log") as segmenter,
    ):
        _wait_for("ready", recorder, logs / "recorder.log")
        _wait_for(_LISTENING, segmenter, logs / "node.log")
        played = subprocess.run(
            [sys.executable, "-m", "seg_ros.cli", "play", *player_arguments],
            env=environment,
            check=False,
        )
        time.sleep(2.0)  # for the last frames, and for the diagnostics that count them
        _stop(recorder, logs / "recorder.log")
        _stop(segmenter, logs / "node.log")
    if played.returncode:
        raise SegRosError(f"the player ended with exit code {played.returncode}")
    summary: dict[str, Any] = json.loads(
        (logs / "recorder.log").read_text(encoding="utf-8").strip().splitlines()[-1]
    )
    return summary


def _environment() -> dict[str, str]:
    """Keep the processes away from other robots; each passes images through shared memory."""
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    environment.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    return environment


@contextmanager
def _process(
    module: Sequence[str], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python module as a process that does not outlive the block."""
    with log.open("wb") as output:
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
                ("model", said["model"]),
                ("engine", said["engine"]),
                ("device", said["device"]),
            ]
        )
    )  # fmt: skip
    print(f"look at {out}/sheet.png and {out}/overlay.mp4; the topics are in {out}/result")
