"""One replay in a process of its own, which is forked and may be killed at any step.

The engine is a stand-in that answers in no time: what is attacked are the files.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from quick_engine import QuickEngine

from seg_ros.errors import SegRosError
from seg_ros.labels import load_label_set
from seg_ros.replay import job as replay_job
from seg_ros.replay.job import Engine, EngineOptions, ReplayJob, run_job
from seg_ros.replay.replay import make_pipelines
from seg_ros.replay.run_files import RunFiles
from seg_ros.report.run_values import RunInfo
from seg_ros.segment.segmenter import Segmenter

DONE, REFUSED, BROKEN = 0, 3, 4
"""Exit codes: published; one line said why not; a traceback."""

_OF_TIME = {"latency_ms": 2.0, "engine_ms": 1.0, "seconds": 1.0}
"""What differs from run to run is made alike, so that every byte of a result can be compared."""

_STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink"}


def _load_engine(_):
    labels = load_label_set("camvid")
    segmenter = Segmenter(QuickEngine(), labels, "quick")
    engine = Engine("quick", {}, labels, "quick fp32", "test", (45, 80))
    return engine, make_pipelines(segmenter, 2)


def _alike(made: Any) -> Any:
    known = {field.name for field in fields(made)}
    return replace(made, **{k: v for k, v in _OF_TIME.items() if k in known})


def go(source: str, out: str, log: str, kill_at: int = 0, room: int = 0, **how: bool) -> None:
    """Run a replay and exit.

    Args:
        source: the drive.
        out: folder of the outputs.
        log: what is printed goes there; its last line is how many steps there were.
        kill_at: the step before which it is killed; a step makes, moves or removes a file.
        room: bytes that a file may have, 0 for any.
        **how: ``resume``, ``replace``.

    """
    sys.stdout = sys.stderr = Path(log).open("w", buffering=1)  # noqa: SIM115
    replay_job.load_engine = _load_engine
    replay_job.RunInfo = lambda **named: _alike(RunInfo(**named))
    add = RunFiles.add_figures
    RunFiles.add_figures = lambda files, figures: add(files, _alike(figures))
    steps = 0

    def count(event: str, arguments: tuple) -> None:
        nonlocal steps
        if event == "open":
            if not (isinstance(arguments[0], str) and arguments[0].startswith(out)):
                return
            if not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event not in _STEPS or not str(arguments[0]).startswith(out):
            return
        steps += 1
        if steps == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    if room:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        run_job(ReplayJob(source, Path(out), EngineOptions("quick"), **how))
        code = DONE
    except SegRosError as error:
        text = str(error)
        print(text)
        code = REFUSED if text.isprintable() else BROKEN
    except BaseException:
        traceback.print_exc()
        code = BROKEN
    print(steps)
    os._exit(code)
