"""The attack's first half minute. It is seeded, so what fails here fails again."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("hypothesis", reason="hypothesis is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

ATTACK = Path(__file__).parents[2] / "bench" / "attack"


@pytest.mark.parametrize(
    ("most", "least", "parts"),
    [
        (20, 800, ["files", "messages"]),
        (2, 10, ["runs", "--steady"]),
        (1, 5, ["restarts"]),
    ],
    ids=["files and messages", "runs", "restarts"],
)
def test_nothing_that_is_sent_damaged_or_killed_does_harm(most, least, parts):
    # Bounded in count, so that a fast machine tries the same as a slow one.
    options = ["--minutes", "10", "--seed", "7", "--most", str(most), "--only", *parts]
    command = [sys.executable, str(ATTACK), *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    total = next(line for line in done.stdout.splitlines() if line.startswith("all "))
    assert int(total.split()[1]) >= least
    assert total.split()[2] == "0"
