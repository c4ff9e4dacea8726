"""A Ray cluster of two hosts, of which one goes away in mid-run.

The hosts are network namespaces of this machine, joined by a cable; they share its disk, as those
of a cluster share one.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from support import wait_until, write_bag

from seg_ros import cli

DRIVES, COUNT = 4, 30
HEAD, OTHER = "10.231.77.1", "10.231.77.2"
PORT = 6391
CODE = "from ray.scripts.scripts import main; main()"


def ip(*arguments):
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def hosts():
    """Two namespaces with an address each."""
    if not shutil.which("ip") or os.geteuid() != 0:
        pytest.skip("network namespaces need ip(8) and root")
    names = [f"seg_ros_{os.getpid()}_{letter}" for letter in "ab"]
    cables = [f"sr{os.getpid() % 10**6}{letter}" for letter in "ab"]
    with ExitStack() as stack:
        try:
            for name in names:
                ip("netns", "add", name)
                stack.callback(ip, "netns", "del", name)
            ip("link", "add", cables[0], "type", "veth", "peer", "name", cables[1])
            addresses = (HEAD, OTHER)
            for name, cable, own, other in zip(
                names, cables, addresses, addresses[::-1], strict=True
            ):
                ip("link", "set", cable, "netns", name)
                ip("-n", name, "link", "set", "lo", "up")
                ip("-n", name, "addr", "add", f"{own}/24", "dev", cable)
                ip("-n", name, "link", "set", cable, "up")
                ip("-n", name, "route", "add", "default", "via", other)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
        for name in names:
            stack.callback(end, name)
        yield names


def processes(name):
    return [int(line) for line in ip("netns", "pids", name).split()]


def end(name):
    """End all that runs on a host, as when its power goes."""
    for pid in processes(name):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def works(name):
    """Whether a piece of a drive is being run on a host."""
    for pid in processes(name):
        try:
            if b"ray::_call" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


@pytest.fixture
def drives(tmp_path):
    rng = np.random.default_rng(1)
    frames = [(10**9 * (i + 1), rng.integers(0, 255, (90, 160, 3), np.uint8)) for i in range(COUNT)]
    return [str(write_bag(tmp_path / f"drive{n}", frames[n:])) for n in range(DRIVES)]


def test_a_host_that_goes_away_loses_nothing(hosts, drives, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="ray is not installed")
    assert cli.main(["replay", *drives, "-o", str(tmp_path / "alone"), "--no-report"]) == 0
    first, second = hosts
    (tmp_path / "token").write_text("0" * 64)  # Ray would put one into the home folder
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")

    def start(host, log, *command):
        with (tmp_path / log).open("w") as file:
            inside = ["ip", "netns", "exec", host, sys.executable, *command]
            return subprocess.Popen(inside, stdout=file, stderr=file, stdin=subprocess.DEVNULL)

    common = ["--num-cpus", "1", "--disable-usage-stats", "--block"]
    head = ["--head", "--node-ip-address", HEAD, "--port", str(PORT), "--include-dashboard=false"]
    start(first, "head.log", "-c", CODE, "start", *head, *common)
    wait_until(lambda: "Ray runtime started" in (tmp_path / "head.log").read_text(), "head", 120)
    other = ["--address", f"{HEAD}:{PORT}", "--node-ip-address", OTHER]
    start(second, "other.log", "-c", CODE, "start", *other, *common)
    wait_until(lambda: "Ray runtime started" in (tmp_path / "other.log").read_text(), "node", 120)
    out = tmp_path / "out"
    spread = ["--ray", f"{HEAD}:{PORT}", "--threads", "1", "--no-report", "-o", str(out)]
    replay = start(first, "replay.log", "-m", "seg_ros.cli", "replay", *drives, *spread)
    wait_until(lambda: works(second) or replay.poll() is not None, "work on both hosts", 200)
    time.sleep(1)
    assert replay.poll() is None, (tmp_path / "replay.log").read_text()
    end(second)
    assert replay.wait(400) == 0, (tmp_path / "replay.log").read_text()
    for number in range(DRIVES):
        results = [
            tmp_path / where / f"drive{number}" / "result" / "result.mcap"
            for where in ("alone", "out")
        ]
        assert results[0].read_bytes() == results[1].read_bytes()
        figures = [file.parent.parent / "frames.jsonl" for file in results]
        assert [len(f.read_text().splitlines()) for f in figures] == [COUNT - number] * 2
