"""JSON nested deeper than Python's parser goes is damage like any other, for every reader."""

import pytest

from seg_ros.drive.speed import bdd
from seg_ros.errors import SegRosError
from seg_ros.models.huggingface import class_names
from seg_ros.replay.run_files import STATE, State
from seg_ros.results.figures import FrameFigures
from seg_ros.results.outputs import UNFINISHED, ReplayFolder
from seg_ros.support.json_text import parse_json

DEEP = "[" * 100_000


def test_too_deep_is_a_value_error():
    assert parse_json("[[1]]") == [[1]]
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(DEEP)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("info.json", lambda folder: bdd.read(folder / "info.json", None)),
        ("config.json", class_names),
        (STATE, State.load),
        ("run.json", lambda folder: ReplayFolder(folder, {}, resume=True)),
        (f"{UNFINISHED}/run.json", lambda folder: ReplayFolder(folder, {}, resume=True)),
        ("frames.jsonl", lambda _: FrameFigures.from_line(DEEP)),
    ],
)
def test_too_deep_is_one_line(tmp_path, name, read):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(DEEP)
    with pytest.raises(SegRosError) as error:
        read(tmp_path)
    assert "Traceback" not in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "text", ['{"run": {}, "about": {}}', '{"run": 1, "about": {}, "holds": []}']
)
def test_a_run_without_what_a_run_has_is_one_line(tmp_path, text):
    (tmp_path / UNFINISHED).mkdir()
    (tmp_path / UNFINISHED / "run.json").write_text(text)
    with pytest.raises(SegRosError, match=r"run.json cannot be read .*; --replace the run"):
        ReplayFolder(tmp_path, {}, resume=True)


def test_figures_of_an_infinite_frame_are_none():
    line = FrameFigures(3, 5, 9.5, 7.1, (0.5,), 0.5, 0.9, 12.5, 0.01, None).to_line()
    assert FrameFigures.from_line(line).index == 3
    with pytest.raises(SegRosError, match="is not the figures of a frame"):
        FrameFigures.from_line(line.replace('"index": 3', '"index": 1e999'))
