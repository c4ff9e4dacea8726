"""The command line itself: what it offers, what it says of a slip."""

from __future__ import annotations

import shlex

import pytest

from seg_ros.cli.arguments import out_of
from seg_ros.cli.parser import COMMANDS, SHELLS, make_parser, parse
from seg_ros.errors import SegRosError


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_in_the_help_are_commands(name, capsys):
    with pytest.raises(SystemExit) as ended:
        parse([name, "--help"])
    assert ended.value.code == 0
    helped = capsys.readouterr().out
    for example in COMMANDS[name].EXAMPLES:
        assert f"\n  {example}\n" in helped
        program, *arguments = shlex.split(example)
        assert program == "seg_ros"
        assert parse(arguments).command == name


@pytest.mark.parametrize(
    ("slip", "said"),
    [
        (["reply", "x"], "did you mean 'replay'?"),
        (["replay", "x", "--no-vidoe"], "did you mean '--no-video'?"),
        (["replay", "x", "--runtime", "openvin"], "did you mean 'openvino'?"),
        (["replay", "x", "--zzz"], "unrecognized arguments: --zzz"),
    ],
)
def test_a_slip_is_told_what_was_meant(slip, said, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(slip)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_names_commands_and_options(shell, capsys):
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(["--print-completion", shell])
    assert ended.value.code == 0
    script = capsys.readouterr().out
    assert "--no-video" in script
    assert "calibrate" in script


def test_outputs_go_beside_by_the_drives_name(tmp_path):
    folder = tmp_path / "monday.bag"
    folder.mkdir()
    assert str(out_of(None, [str(folder)])) == "monday.bag_seg"
    assert str(out_of(None, ["/media/trip.mp4"])) == "trip_seg"
    assert out_of(tmp_path, ["a", "b"]) == tmp_path
    with pytest.raises(SegRosError, match="name it with -o"):
        out_of(None, ["a", "b"])
