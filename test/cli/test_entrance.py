"""How a command begins and ends: signals, exit codes, one line for what went wrong."""

import signal
import subprocess
import sys
import time

import pytest

import seg_ros
from seg_ros.cli import main
from seg_ros.errors import SegRosError
from seg_ros.support import entrance

HEAVY = ("numpy", "cv2", "numba", "torch", "openvino", "av", "yaml", "tqdm", "rclpy")

BEGIN = """
import sys
sys.orig_argv = [sys.executable, "-m", "seg_ros.cli"]
import seg_ros.cli
print("begun", flush=True)
sys.exit(seg_ros.cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.05, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("command", ["--help", "models", "replay"])
def test_ctrl_c_is_one_line_at_any_moment(tmp_path, command, seconds):
    arguments = [command]
    if command == "replay":
        arguments += ["synthetic", "-o", str(tmp_path / "out"), "--no-report"]
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    if process.returncode == 130:
        assert said.splitlines()[-1].endswith("interrupted")
    else:  # it had ended before
        assert process.returncode == 0


LINGER = """
import sys, threading, time
from seg_ros.support.entrance import enter

def work():
    # Python waits for it when it takes itself down: a signal then is one in threading's own code.
    def linger():
        time.sleep(0.3)
        print("done", flush=True)
        time.sleep(1)

    threading.Thread(target=linger).start()
    return 0

sys.exit(enter("seg_ros replay", work, ends_process=True))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_end_changes_nothing(number):
    process = subprocess.Popen(
        [sys.executable, "-c", LINGER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "done\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")


@pytest.mark.parametrize("arguments", [["--help"], ["replay", "--help"], ["--version"]])
def test_help_needs_nothing_heavy(arguments):
    program = f"""
import sys
from seg_ros.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    assert not end.code
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_our_own_error_is_one_line_of_sensible_length(capsys):
    def fail():
        raise SegRosError("bag \x1b[31mred\nname\u202e: " + 5000 * "x")

    assert entrance.enter("seg_ros replay", fail) == 1
    said = capsys.readouterr().err
    assert said.startswith(r"seg_ros replay: bag \x1b[31mred\nname\u202e: xxx")
    assert len(said.splitlines()) == 1
    assert " ... " in said
    assert len(said) < 1200


def test_a_bug_says_that_it_is_one_and_v_shows_where(capsys):
    def fail():
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    assert entrance.enter("seg_ros replay", fail) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert said.startswith("seg_ros replay: a bug of seg_ros; please report it")
    assert "UnicodeDecodeError" in said
    assert entrance.enter("seg_ros replay", fail, verbose=True) == 1
    assert "Traceback" in capsys.readouterr().err


def test_what_the_machine_refuses_is_no_bug(tmp_path, capsys):
    def fail():
        (tmp_path / "none" / "file").write_text("")

    assert entrance.enter("seg_ros replay", fail) == 1
    said = capsys.readouterr().err
    assert said == (
        f"seg_ros replay: {tmp_path}/none/file: No such file or directory; free the disk, or see "
        "to its permissions\n"
    )

    def swallow():
        raise MemoryError

    assert entrance.enter("seg_ros replay", swallow) == 1
    assert capsys.readouterr().err == (
        "seg_ros replay: the memory of this machine is not enough for that\n"
    )


def test_v_may_stand_before_and_behind_the_command(tmp_path, capsys):
    command = ["replay", str(tmp_path / "none"), "-o", str(tmp_path / "out")]
    for arguments in (["-v", *command], [*command, "-v"]):
        assert main(arguments) == 1
        assert "Traceback" in capsys.readouterr().err
    assert main(command) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_who_stops_reading_gets_no_traceback():
    process = subprocess.Popen(
        [sys.executable, "-m", "seg_ros.cli", "models"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 141


@pytest.mark.parametrize("name", [n for n in seg_ros.__all__ if n != "__version__"])
def test_the_package_gives_its_names_when_they_are_used(name):
    assert getattr(seg_ros, name).__name__ == name
    assert name in dir(seg_ros)


def test_the_package_alone_loads_nothing():
    program = "import seg_ros, sys; print([m for m in sys.modules if m.split('.')[0] == 'seg_ros'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "['seg_ros']"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = seg_ros.nothing
