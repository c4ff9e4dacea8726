"""Damaged files, each read by a process that may die of it without ending the attack."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import yaml
from damage import damaged
from files import FORMS
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tally import Clock, Tally

from seg_ros.engines.store import _digest

PATIENCE = 60.0
"""Seconds of CPU after which reading some kB hangs; ten times as many where it uses none."""

_TEXTS = ("camera YAML", "label set YAML", "options beside a model", "parameter file",
          "metadata.yaml", "engine manifest", "figures of a run")  # fmt: skip


class Victim:
    """The process that reads."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def read(self, kind: str, path: Path) -> str:
        """Have it read a file; return what was wrong with that."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("files.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        process = self._process
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps([kind, str(path)]) + "\n")
        process.stdin.flush()
        begun, used = time.monotonic(), _cpu_seconds(process.pid)
        while not select.select([process.stdout], [], [], 1.0)[0]:
            used_now, waited = _cpu_seconds(process.pid) - used, time.monotonic() - begun
            if used_now > PATIENCE or waited > 10 * PATIENCE:
                self.end()
                return f"it was not read within {used_now:.0f} s of CPU, {waited:.0f} s in all"
        answer = process.stdout.readline()
        if answer:
            return str(json.loads(answer))
        return f"the process died of it: exit code {process.wait()}"

    def end(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used: other programs may keep it waiting."""
    with suppress(OSError):
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def attack_files(tally: Tally, clock: Clock, folder: Path) -> None:
    """Read damaged files of every kind in turn, until the time is over."""
    whole = {}
    victim = Victim()
    try:
        for kind, (write, _) in FORMS.items():
            place = folder / kind
            place.mkdir()
            path = write(place)
            problem = victim.read(kind, path)
            if problem:
                tally.add(f"file: {kind}", f"whole, it cannot be read: {problem}", place)
                continue
            whole[kind] = (place, path, path.read_bytes(), tally.random(kind))
        bytewise = Clock(clock.left() * 0.7)
        while bytewise.left() and any(tally.open(f"file: {kind}") for kind in whole):
            for kind, (place, path, data, dice) in whole.items():
                if not tally.open(f"file: {kind}") or not bytewise.left():
                    continue
                # A checksum that is damaged, too, need not tell.
                worse = damaged(data, dice, once=kind.startswith("mcap checked"))
                path.write_bytes(worse)
                tally.add(f"file: {kind}", victim.read(kind, path), place)
                path.write_bytes(data)
        for _, path, data, _ in whole.values():
            path.write_bytes(data)
        _meanings(tally, clock, victim, whole)
    finally:
        victim.end()
        for place, *_ in whole.values():
            shutil.rmtree(place)


def _meanings(tally: Tally, clock: Clock, victim: Victim, whole: dict) -> None:
    """Well-formed texts whose meaning is absurd: hypothesis changes values of the whole ones."""
    leaves = st.one_of(
        st.none(), st.booleans(), st.integers(-(2**65), 2**65), st.floats(), st.text(max_size=20),
        st.sampled_from([1e-300, 1e300, -1, 0, 2**31, "nan", "..", "/etc/passwd", "\x1b[2J\n"]),
    )  # fmt: skip
    values = st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=9), st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=12,
    )
    for kind in (k for k in _TEXTS if k in whole):
        place, path, data, _ = whole[kind]
        _change(tally, clock, victim, (kind, place, path, data), values)
        path.write_bytes(data)


def _change(tally, clock, victim, text, values) -> None:
    kind, place, path, data = text
    name = f"meaning: {kind}"
    base = json.loads(data.splitlines()[0]) if path.suffix == ".jsonl" else yaml.safe_load(data)

    def one(value, where):
        if not clock.left() or not tally.open(name):
            return
        changed = _put(json.loads(json.dumps(base)), where, value)
        if kind == "engine manifest" and isinstance(changed, dict):
            rest = {k: v for k, v in changed.items() if k != "sha256"}
            with suppress(ValueError):
                changed["sha256"] = _digest(rest)  # who changes it can do that, too
        written = yaml.safe_dump(changed) if path.suffix == ".yaml" else json.dumps(changed) + "\n"
        path.write_text(written)
        tally.add(name, victim.read(kind, path), place)

    run = settings(
        max_examples=tally.most or 1000, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(seed(tally.seed)(given(values, st.sampled_from(list(_places(base))))(one)))  # fmt: skip
    run()


def _places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:12]):
            yield from _places(inner, (*path, number))


def _put(value, path, new):
    if not path:
        return new
    value[path[0]] = _put(value[path[0]], path[1:], new)
    return value
