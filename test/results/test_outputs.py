"""The folder of a replay: killed at any step it never looks whole, and can be gone on with."""

import fcntl
import json
import os
import signal
import sys

import pytest

from seg_ros.errors import SegRosError
from seg_ros.results.outputs import UNFINISHED, ReplayFolder

RUN = {"drive": "a"}
OLD = ("overlay.mp4", "report.html")
NEW = ("sheet.png", "report.html", "frames.jsonl")
STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "open"}


def content(folder):
    """Every file below a folder, with what it holds."""
    return {str(f.relative_to(folder)): f.read_text() for f in folder.rglob("*") if not f.is_dir()}


def replay(path, text, names, **how):
    """What a replay does to its folder, as far as there is something left to do."""
    with ReplayFolder(path, RUN, **how) as folder:
        if folder.finished:
            return
        (folder.work / "result").mkdir(exist_ok=True)
        (folder.work / "result" / "result.mcap").write_text(text)
        for name in names:
            (folder.work / name).write_text(f"{text} {name}")
        folder.publish({"text": text})


def killed(step, work):
    """Run something in a process of its own that is killed at a step; whether it came so far."""
    child = os.fork()
    if child == 0:
        left = [step]

        def count(event, _):
            if event in STEPS:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    return status != 0


@pytest.mark.parametrize("replace", [False, True])
def test_a_kill_at_any_step_leaves_a_run_that_is_gone_on_with(tmp_path, replace):
    replay(tmp_path / "whole", "new", NEW)
    whole = content(tmp_path / "whole")
    for step in range(1, 200):
        out = tmp_path / str(step)
        if replace:
            replay(out, "old", OLD)
        before = content(out)
        if not killed(step, lambda out=out: replay(out, "new", NEW, replace=replace)):
            break
        after = content(out)
        if "run.json" in after:  # what says that it is whole is right
            found = {n: text for n, text in after.items() if not n.startswith((UNFINISHED, "."))}
            assert found in (before, whole), step
        begun = (out / UNFINISHED).exists() or after.get("run.json") != before.get("run.json")
        replay(out, "new", NEW, resume=True)
        # Killed before the new run had begun, it is the old one that was the same and is whole.
        assert content(out) == (whole if begun or not replace else before), step
    else:
        pytest.fail("it never ended")
    assert step > 20
    assert content(out) == whole


def test_a_folder_that_is_written_into_is_not_called_interrupted(tmp_path):
    with ReplayFolder(tmp_path, RUN), pytest.raises(SegRosError) as error:
        ReplayFolder.check(tmp_path, replace=False, resume=False)
    assert str(error.value) == (
        f"{tmp_path}: a run is still going on there (process {os.getpid()}); wait for it, or end "
        "it and go on with it with --resume"
    )
    with pytest.raises(SegRosError, match="holds a run that was interrupted"):
        ReplayFolder.check(tmp_path, replace=False, resume=False)
    lock = os.open(tmp_path / UNFINISHED, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # asking has not kept it
    os.close(lock)


def test_a_link_in_place_of_the_runs_folder_is_left_alone(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("data")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / UNFINISHED).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SegRosError, match="is not the folder of a run"):
        ReplayFolder(tmp_path / "out", RUN, replace=True)
    assert (tmp_path / "elsewhere" / "precious").read_text() == "data"


def test_what_an_earlier_run_had_more_is_not_left_beside_the_new(tmp_path):
    replay(tmp_path, "old", OLD)
    replay(tmp_path, "new", NEW, replace=True)
    assert sorted(content(tmp_path)) == sorted([*NEW, "result/result.mcap", "run.json"])
    assert json.loads((tmp_path / "run.json").read_text())["about"] == {"text": "new"}


def test_a_replacement_of_an_interrupted_run_never_goes_on_with_that(tmp_path):
    """From the first step on with which something of the old run is gone."""
    for step in range(1, 200):
        out = tmp_path / str(step)
        with ReplayFolder(out, RUN) as folder:
            (folder.work / "overlay.mp4").write_text("old overlay.mp4")
        before = content(out)
        if not killed(step, lambda out=out: replay(out, "new", NEW, replace=True)):
            break
        after = content(out)
        replay(out, "new", NEW, resume=True)
        old = {"overlay.mp4": "old overlay.mp4"} if after == before else {}
        names = ("run.json", "result/result.mcap", *NEW)
        assert content(out).keys() == {*names, *old}, step
        assert content(out)["report.html"] == "new report.html", step
    else:
        pytest.fail("it never ended")
    assert step > 20
