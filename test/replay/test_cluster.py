"""Drives shared by processes, here and in a local Ray cluster."""

import json
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from support import write_bag

from seg_ros import cli
from seg_ros.results.bag_topics import MASK_TOPIC
from seg_ros.results.result_bag import read_result

COUNT = 12


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drives")
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 255, (90, 160, 3), np.uint8)
    frames = [(10**9 + i, np.ascontiguousarray(np.roll(picture, i, 1))) for i in range(COUNT)]
    return [str(write_bag(folder / name, frames[: COUNT - n])) for n, name in enumerate("ab")]


def masks(bag):
    return [(stamp, bytes(message.data)) for stamp, message in read_result(bag, MASK_TOPIC)]


def check(out, capsys):
    """Both drives have the masks that one process makes; the table and the JSON speak of both."""
    said = capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())["drives"]
    assert {name: values["frames_out"] for name, values in summary.items()} == {
        "a": COUNT,
        "b": COUNT - 1,
    }
    assert [line.split()[:3] for line in said.splitlines()[1:3]] == [
        ["a", str(COUNT), str(COUNT)],
        ["b", str(COUNT - 1), str(COUNT - 1)],
    ]
    a, b = (masks(out / name / "result") for name in "ab")
    assert [stamp for stamp, _ in a] == [10**9 + i for i in range(COUNT)]
    assert a[: COUNT - 1] == b
    assert (out / "a" / "report.html").stat().st_size > 10_000
    return a


@pytest.fixture(scope="module")
def alone(drives, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone")
    assert cli.main(["replay", "--no-calibrate", drives[0], "-o", str(out), "--no-report"]) == 0
    assert not (out / "report.html").exists()
    return masks(out / "result")


def test_several_drives_have_a_folder_each(drives, alone, tmp_path, capsys):
    assert cli.main(["replay", "--no-calibrate", *drives, "-o", str(tmp_path)]) == 0
    assert check(tmp_path, capsys) == alone


def test_processes_share_the_drives(drives, alone, tmp_path, capsys):
    assert cli.main(["replay", "--no-calibrate", *drives, "-o", str(tmp_path), "--jobs", "2"]) == 0
    assert check(tmp_path, capsys) == alone


def test_a_ray_cluster_shares_the_drives(drives, alone, tmp_path, capsys, monkeypatch):
    pytest.importorskip("ray", reason="ray is not installed")
    (tmp_path / "token").write_text("0" * 64)  # Ray would put one into the home folder
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    out = tmp_path / "out"
    command = ["replay", "--no-calibrate", *drives, "-o", str(out), "--ray", "--threads", "1"]
    # What this machine knows of clusters is not this test's; Ray's sockets want a short path.
    with TemporaryDirectory(prefix="ray") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        assert cli.main(command) == 0
    assert check(out, capsys) == alone


def test_json_is_checked_before_the_work(drives, tmp_path, capsys):
    command = [
        "replay",
        "--no-calibrate",
        *drives,
        "-o",
        str(tmp_path / "out"),
        "--json",
        str(tmp_path / "no" / "x"),
    ]
    assert cli.main(command) == 1
    assert "cannot write" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
