"""Replays that are interrupted, at any moment and by anything, and go on to the same bytes."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from mcap.exceptions import EndOfFile
from mcap.records import Message
from mcap.stream_reader import StreamReader
from quick_engine import QuickEngine
from support import wait_until, write_bag

from seg_ros import cli
from seg_ros.drive import open_drive
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel
from seg_ros.labels import load_label_set
from seg_ros.replay import job as replay_job
from seg_ros.replay import spread
from seg_ros.replay.job import Engine, EngineOptions, ReplayJob, run_job
from seg_ros.replay.replay import ReplayOptions, make_pipelines
from seg_ros.replay.run_files import SAVE_EVERY, State
from seg_ros.replay.spread import run_spread
from seg_ros.results.bag_topics import MASK_TOPIC
from seg_ros.results.outputs import UNFINISHED
from seg_ros.results.result_bag import read_result
from seg_ros.segment.segmenter import Segmenter

COUNT = 3 * SAVE_EVERY - 5
BAD = (0, 30, SAVE_EVERY * 2 - 1)
CAMERA = CameraModel(320, 180, 250.0, 250.0, 159.5, 89.5)
TIMES = ("latency_ms", "engine_ms")


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A bag of 70 small JPEG frames, three of which cannot be decoded."""
    rng = np.random.default_rng(3)
    picture = cv2.resize(rng.integers(0, 255, (18, 48, 3), np.uint8), (480, 180))
    frames = [
        (1_700_000_000_000_000_000 + i * 100_000_007, np.ascontiguousarray(picture[:, i : i + 320]))
        for i in range(COUNT)
    ]
    path = tmp_path_factory.mktemp("drive") / "bag"
    bag = write_bag(path, frames, camera=CAMERA, compressed=True)
    data = (bag / "bag.mcap").read_bytes()
    parts = data.split(b"\xff\xd8\xff")
    for index in BAD:
        parts[index + 1] = parts[index + 1][:200] + bytes(50) + parts[index + 1][250:]
    (bag / "bag.mcap").write_bytes(b"\xff\xd8\xff".join(parts))
    return open_drive(str(bag))


@pytest.fixture(autouse=True)
def quick_engine(monkeypatch):
    """Jobs run the quick engine, several frames at a time."""
    labels = load_label_set("camvid")
    segmenter = Segmenter(QuickEngine(), labels, "quick")
    loaded = (
        Engine("quick", {}, labels, "quick fp32", "test", (45, 80)),
        make_pipelines(segmenter, 3),
    )
    for module in (replay_job, spread):
        monkeypatch.setattr(module, "load_engine", lambda _: loaded)


def job(drive, out, **changed):
    return ReplayJob(drive.name, out, EngineOptions("quick"), **changed)


def run(drive, out, on_frame=lambda: None, **changed):
    return run_job(job(drive, out, **changed), on_frame=on_frame)


@pytest.fixture(scope="module")
def whole(drive, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as monkeypatch:
        quick_engine.__wrapped__(monkeypatch)
        assert run(drive, out)["frames_out"] == COUNT - len(BAD)
    return out


def assert_same(out, whole):
    """All files are the same, byte for byte; figures but for what the clock says."""
    assert {f.name for f in out.iterdir()} == {f.name for f in whole.iterdir()}
    for name in ("result/result.mcap", "result/metadata.yaml", "overlay.mp4", "sheet.png"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    lines, expected = (
        [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]
        for folder in (out, whole)
    )
    assert [{k: v for k, v in line.items() if k not in TIMES} for line in lines] == [
        {k: v for k, v in line.items() if k not in TIMES} for line in expected
    ]
    for about in (json.loads((f / "run.json").read_text())["about"] for f in (out, whole)):
        assert about["frames_in"] == COUNT
        assert [line.split(":")[0] for line in about["rejections"]] == [f"frame {i}" for i in BAD]


@pytest.mark.parametrize("frame", [1, SAVE_EVERY - 1, SAVE_EVERY, 2 * SAVE_EVERY + 7, COUNT])
def test_an_interrupted_run_is_resumed_to_the_same_bytes(drive, whole, tmp_path, frame):
    seen = []

    def interrupt():
        seen.append(1)
        if len(seen) == frame:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(drive, tmp_path, interrupt)
    assert [f.name for f in tmp_path.iterdir()] == [UNFINISHED]
    # It can be read like any bag, and nothing is in it that is not in the whole.
    masks = list(read_result(tmp_path / UNFINISHED / "result", MASK_TOPIC))
    complete = list(read_result(whole / "result", MASK_TOPIC))
    assert len(masks) >= frame // SAVE_EVERY * SAVE_EVERY - len(BAD)
    for (stamp, mask), (stamp_whole, mask_whole) in zip(masks, complete, strict=False):
        assert stamp == stamp_whole
        assert np.array_equal(mask.data, mask_whole.data)

    again = []
    figures = run(drive, tmp_path, lambda: again.append(1), resume=True)
    assert len(again) == COUNT - frame // SAVE_EVERY * SAVE_EVERY  # no frame is made without need
    assert figures["frames_out"] == COUNT - len(BAD)
    assert_same(tmp_path, whole)


@pytest.mark.parametrize(("moves", "replace"), [(1, False), (4, False), (3, True), (5, True)])
def test_a_run_that_is_killed_while_it_is_published_is_resumed(
    drive, whole, tmp_path, monkeypatch, moves, replace
):
    """Every step is tried in test_outputs.py; here with what a replay really writes."""
    if replace:
        shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    real, left = os.replace, [moves]

    def move(source, target):
        if UNFINISHED in str(source) and not str(source).endswith(".new"):
            left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", move)
    with pytest.raises(KeyboardInterrupt):
        run(drive, tmp_path, replace=replace)
    monkeypatch.setattr(os, "replace", real)
    assert not (tmp_path / "run.json").exists()
    assert run(drive, tmp_path, resume=True)["frames_out"] == COUNT - len(BAD)
    assert_same(tmp_path, whole)


def test_png_masks_hold_the_same_classes(drive, whole, tmp_path):
    run(drive, tmp_path, options=ReplayOptions(mask="png", camera=False, video=False))
    pngs = list(read_result(tmp_path / "result", f"{MASK_TOPIC}/compressed"))
    raws = list(read_result(whole / "result", MASK_TOPIC))
    assert len(pngs) == len(raws) == COUNT - len(BAD)
    for (stamp, png), (stamp_raw, raw) in zip(pngs, raws, strict=True):
        assert stamp == stamp_raw
        assert png.format == "mono8; png compressed "
        mask = cv2.imdecode(png.data, cv2.IMREAD_UNCHANGED)
        assert np.array_equal(mask.ravel(), raw.data)
    assert not (tmp_path / "overlay.mp4").exists()
    assert not list(read_result(tmp_path / "result", "/camera/image_raw/compressed"))


def test_only_the_same_run_is_resumed_and_a_finished_one_is_done(drive, whole, tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(drive, tmp_path, interrupt)
    with pytest.raises(SegRosError, match="was interrupted; --resume it, or --replace it"):
        run(drive, tmp_path)
    with pytest.raises(SegRosError, match="begun with mask in the result raw, not png"):
        run(drive, tmp_path, resume=True, options=ReplayOptions(mask="png"))
    with (
        job(drive, tmp_path, resume=True).folder(drive, drive.camera, replay_job.load_engine(0)[0]),
        pytest.raises(SegRosError, match="a run is still going on there"),
    ):
        run(drive, tmp_path, resume=True)
    run(drive, tmp_path, replace=True)
    assert_same(tmp_path, whole)
    before = (tmp_path / "run.json").stat().st_mtime_ns
    assert run(drive, tmp_path, resume=True)["frames_out"] == COUNT - len(BAD)
    assert (tmp_path / "run.json").stat().st_mtime_ns == before  # nothing was done


@contextmanager
def room_for(size):
    """Let no file become larger than this, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_line_and_the_run_can_go_on(drive, whole, tmp_path):
    size = (whole / "result" / "result.mcap").stat().st_size
    with (
        room_for(size * 3 // 4),
        pytest.raises(SegRosError, match=r"File too large; what .* --resume goes on") as error,
    ):
        run(drive, tmp_path)
    assert "\n" not in str(error.value)
    assert [f.name for f in tmp_path.iterdir()] == [UNFINISHED]
    assert State.load(tmp_path / UNFINISHED).frames == 2 * SAVE_EVERY
    masks = [stamp for stamp, _ in read_result(tmp_path / UNFINISHED / "result", MASK_TOPIC)]
    assert len(masks) == 2 * SAVE_EVERY - len(BAD)
    run(drive, tmp_path, resume=True)
    assert_same(tmp_path, whole)


def test_a_killed_run_can_be_read_and_resumed(drive, tmp_path, monkeypatch):
    """SIGKILL, while the command runs: the bag has neither index nor end then."""
    monkeypatch.undo()
    assert cli.main(["replay", "--no-calibrate", drive.name, "-o", str(tmp_path / "whole")]) == 0
    out = tmp_path / "killed"
    command = ["replay", "--no-calibrate", drive.name, "-o", str(out)]
    process = subprocess.Popen([sys.executable, "-m", "seg_ros.cli", *command])
    state = out / UNFINISHED / "state.json"
    wait_until(state.exists, "the first point to go on from")
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert [f.name for f in out.iterdir()] == [UNFINISHED]
    with (out / UNFINISHED / "result" / "result.mcap").open("rb") as file:
        messages = []
        with suppress(EndOfFile):
            for record in StreamReader(file).records:
                messages += [record] if isinstance(record, Message) else []
    assert len(messages) >= 5 * (SAVE_EVERY - 1)
    assert cli.main([*command, "--resume"]) == 0
    assert_same(out, tmp_path / "whole")


class InlinePool:
    """Runs what is submitted at once, here."""

    def submit(self, function, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except SegRosError as error:
            future.set_exception(error)
        return future


def test_pieces_are_put_together_to_the_same_bytes(drive, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(spread, "PIECE", SAVE_EVERY)
    seen = []
    (values,) = run_spread([job(drive, tmp_path)], InlinePool(), on_frames=seen.append)
    assert values["frames_out"] == COUNT - len(BAD)
    assert seen[-1] == COUNT
    assert seen == sorted(seen)
    assert_same(tmp_path, whole)


def test_a_drive_that_fails_does_not_stop_the_others(drive, tmp_path):
    jobs = [
        replace(job(drive, tmp_path / "gone"), source=str(tmp_path / "nothing")),
        job(drive, tmp_path / "there"),
    ]
    failed, values = run_spread(jobs, InlinePool())
    assert "nothing does not exist" in str(failed)
    assert values["frames_in"] == COUNT
    assert not (tmp_path / "gone").exists()


def test_a_run_that_was_interrupted_is_resumed_in_pieces(drive, whole, tmp_path, monkeypatch):
    seen = []

    def interrupt():
        seen.append(1)
        if len(seen) == SAVE_EVERY + 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(drive, tmp_path, interrupt)
    monkeypatch.setattr(spread, "PIECE", 2 * SAVE_EVERY)
    run_spread([job(drive, tmp_path, resume=True)], InlinePool())
    assert_same(tmp_path, whole)


def test_what_comes_before_damage_is_published_and_the_damage_is_said(drive, tmp_path, capsys):
    bag = tmp_path / "cut.mcap"
    data = (Path(drive.name) / "bag.mcap").read_bytes()
    bag.write_bytes(data[: len(data) * 6 // 10])
    command = [
        "replay",
        "--no-calibrate",
        str(bag),
        "-o",
        str(tmp_path / "out"),
        "--json",
        str(tmp_path / "json"),
    ]
    assert cli.main(command) == 1
    (said,) = [x for x in capsys.readouterr().err.splitlines() if "frames before the damage" in x]
    values = json.loads((tmp_path / "json").read_text())
    assert not values["finished"]
    assert f"The {values['frames_out']} frames before the damage are in {tmp_path}/out" in said
    assert 0.5 * COUNT < values["frames_in"] < 0.65 * COUNT
    stamps = [stamp for stamp, _ in read_result(tmp_path / "out" / "result", MASK_TOPIC)]
    expected = [f.stamp_ns for f in drive.frames(0, values["frames_in"]) if f.index not in BAD]
    assert stamps == expected
    assert not (tmp_path / "out" / UNFINISHED).exists()


def test_one_class_in_every_pixel_is_said(tmp_path):
    """Of a drive of grey pictures, to an engine that goes by brightness."""
    folder = tmp_path / "grey"
    folder.mkdir()
    for index in range(12):
        cv2.imwrite(str(folder / f"{index:02d}.png"), np.full((90, 160, 3), 128, np.uint8))
    values = run_job(ReplayJob(str(folder), tmp_path / "out", EngineOptions("quick")))
    (note,) = [n for n in values["notes"] if "every pixel" in n]
    assert note.startswith(
        f"every pixel of all 12 frames is {load_label_set('camvid').classes[5].name!r}: "
    )
    cv2.imwrite(str(folder / "12.png"), np.full((90, 160, 3), 255, np.uint8))
    values = run_job(ReplayJob(str(folder), tmp_path / "more", EngineOptions("quick")))
    assert not [n for n in values["notes"] if "every pixel" in n]
