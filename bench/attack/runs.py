"""Replays that are killed, starved and disturbed, and must go on to the same bytes."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from pathlib import Path

import cv2
import numpy as np
from one_run import DONE, REFUSED, go
from recordings import CAMERA, stamp
from support import write_bag
from tally import Clock, Tally

FRAMES = 40


class Runs:
    """Runs of one drive, each in a process that is forked from one which has everything loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        rng = np.random.default_rng(3)
        wide = cv2.resize(rng.integers(0, 255, (12, 48, 3), np.uint8), (480, 96))
        frames = [(stamp(i), np.ascontiguousarray(wide[:, i : i + 160])) for i in range(FRAMES)]
        bag = write_bag(folder / "drive", frames, camera=CAMERA.scaled(160, 96), compressed=True)
        self.drive = str(bag)
        self._fork = multiprocessing.get_context("forkserver")
        self._fork.set_forkserver_preload(["one_run"])
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # Python 3.11 finds it no other way
        forkserver.ensure_running()
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
        self.whole = folder / "whole"
        code = self.run(self.whole)
        assert code == DONE, self.said()
        self.steps = int(self.said().split()[-1])

    def start(self, out: Path, log: Path | None = None, **how: object) -> multiprocessing.Process:
        process = self._fork.Process(
            target=go, args=(self.drive, str(out), str(log or self.log)), kwargs=how
        )
        process.start()
        return process

    def run(self, out: Path, **how: object) -> int:
        process = self.start(out, **how)
        process.join(120)
        if process.exitcode is None:
            process.kill()
            process.join()
        return process.exitcode

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def resumed(self, out: Path) -> str:
        """Resume a run; return how it differs from one that was left alone."""
        code = self.run(out, resume=True)
        if code != DONE:
            return f"--resume exits {code}: {self.said()[-250:]}"
        return difference(out, self.whole)


def difference(out: Path, whole: Path) -> str:
    """Say in what two results differ; their times are alike, see :mod:`one_run`."""
    names = [
        sorted(str(f.relative_to(folder)) for f in folder.rglob("*")) for folder in (out, whole)
    ]
    if names[0] != names[1]:
        return f"there are {names[0]}, not {names[1]}"
    files = [name for name in names[1] if (whole / name).is_file()]
    different = [n for n in files if (out / n).read_bytes() != (whole / n).read_bytes()]
    return f"{', '.join(different)}: other bytes" if different else ""


def attack_runs(tally: Tally, clock: Clock, folder: Path) -> None:
    """Kill and disturb replays in turn, until the time is over."""
    runs = Runs(folder)
    out = folder / "out"

    def fresh(replace: bool) -> None:
        shutil.rmtree(out, ignore_errors=True)
        if replace:
            shutil.copytree(runs.whole, out)
            (out / "sheet.png").write_bytes(b"what is replaced")

    def at_step(kind: str, step: int, replace: bool) -> None:
        fresh(replace)
        code = runs.run(out, kill_at=step, replace=replace)
        if code not in (-signal.SIGKILL, DONE):
            tally.add(kind, f"step {step}: exits {code}: {runs.said()[-250:]}", out)
            return
        problem = runs.resumed(out)
        tally.add(kind, problem and f"killed at step {step}: {problem}", out)

    dice = tally.random("runs")
    # --replace has a few steps more than a fresh run: what was there is removed. Killed before its
    # first step it has not begun, and what was there stays.
    last = runs.steps + 12
    steps = [(s, replace) for replace in (False, True) for s in range(1 + replace, last)]
    dice.shuffle(steps)
    others = [_twice, _full_disk, _little_room, _read_only]
    if not tally.steady:
        others += [_at_random, _two_at_once, _signal]
    while clock.left():
        before = tally.tried.total()
        for other in [None, *others]:
            name = "kill at a step" if other is None else other.__doc__.splitlines()[0]
            kind = f"replay: {name.rstrip('.').lower()}"
            if not clock.left() or not tally.open(kind):
                continue
            if other is None:
                for _ in range(min(len(steps), 8)):
                    at_step(kind, *steps.pop())
                if not steps:
                    tally.note(f"every one of {runs.steps} steps of a replay was a kill")
                    steps = [(dice.randrange(2, last), True) for _ in range(1000)]
                continue
            fresh(replace=False)
            tally.add(kind, other(runs, out, dice), out)
        if tally.tried.total() == before:
            break
    shutil.rmtree(out, ignore_errors=True)


def _at_random(runs: Runs, out: Path, dice: random.Random) -> str:
    """Kill at a random moment."""
    process = runs.start(out)
    process.join(dice.random() * 1.5)
    process.kill()
    process.join()
    return runs.resumed(out)


def _twice(runs: Runs, out: Path, dice: random.Random) -> str:
    """Kill, kill its resumption, resume."""
    runs.run(out, kill_at=dice.randrange(1, runs.steps))
    runs.run(out, kill_at=dice.randrange(1, runs.steps), resume=True)
    return runs.resumed(out)


def _one_line(runs: Runs, code: int) -> str:
    said = runs.said().splitlines()
    if code == DONE or (code == REFUSED and len(said) == 2):
        return ""
    return f"exits {code}: {runs.said()[-250:]}"


def _little_room(runs: Runs, out: Path, dice: random.Random) -> str:
    """Let no file grow beyond a size."""
    largest = max(f.stat().st_size for f in runs.whole.rglob("*") if f.is_file())
    return _one_line(runs, runs.run(out, room=dice.randrange(1, largest))) or runs.resumed(out)


@contextmanager
def _disk(place: Path, size: int) -> Iterator[bool]:
    """Mount a disk of so many bytes, where one may."""
    place.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)],
            check=False,
            capture_output=True,
        ).returncode
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)
        shutil.rmtree(place, ignore_errors=True)


def _full_disk(runs: Runs, out: Path, dice: random.Random) -> str:
    """Fill the disk, then make room."""
    size = sum(f.stat().st_size for f in runs.whole.rglob("*") if f.is_file())
    with _disk(out.with_name("disk"), dice.randrange(4096, size)) as mounted:
        if not mounted:
            return ""
        there = out.with_name("disk") / "out"
        if problem := _one_line(runs, runs.run(there)):
            return problem
        subprocess.run(
            ["mount", "-o", "remount,size=100m", str(there.parent)], check=True, timeout=60
        )
        return runs.resumed(there)


def _read_only(runs: Runs, out: Path, _: random.Random) -> str:
    """Write into a folder that cannot be written."""
    with _disk(out.with_name("disk"), 2**20) as mounted:
        place = out.with_name("disk")
        if mounted:
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True, timeout=60)
        else:
            place.chmod(0o555)
        code = runs.run(place / "out")
        return _one_line(runs, code) or ("" if code == REFUSED else "it was not refused")


def _two_at_once(runs: Runs, out: Path, _: random.Random) -> str:
    """Start two in one folder."""
    logs = [runs.folder / "log_a", runs.folder / "log_b"]
    both = [runs.start(out, log) for log in logs]
    for process in both:
        process.join(120)
    codes = sorted(process.exitcode for process in both)
    if codes != [DONE, REFUSED]:
        return f"exit {codes}: {[log.read_text()[-150:] for log in logs]}"
    return difference(out, runs.whole)


def _signal(runs: Runs, out: Path, dice: random.Random) -> str:
    """Send a signal to the command."""
    number = dice.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    command = ["replay", runs.drive, "-o", str(out)]
    with runs.log.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "seg_ros.cli", *command], stdout=log, stderr=log
        )
    time.sleep(dice.random() * 4)
    process.send_signal(number)
    with suppress(subprocess.TimeoutExpired):
        process.wait(60)
    if process.poll() is None:
        process.kill()
        return f"{number.name}: it did not end within a minute"
    said = runs.said()
    if "Traceback" in said or process.returncode not in (0, 1, 130, -number):
        return f"{number.name}: exits {process.returncode}: {said[-300:]}"
    done = subprocess.run(
        [sys.executable, "-m", "seg_ros.cli", *command, "--resume"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    return "" if done.returncode == 0 else f"{number.name}, --resume: {done.stderr[-300:]}"
