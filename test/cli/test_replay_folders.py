"""Several drives into one folder: each has its own, and nothing is written outside of it."""

import pytest

from seg_ros.cli import main
from seg_ros.cli.replay import folder_names


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["a.mp4", "x/b.bag"], ["a", "b"]),
        (["a.mp4", "x/a.mp4", "a"], ["a", "a-2", "a-3"]),
        (["a-2", "a", "x/a"], ["a-2", "a", "a-3"]),  # the second a's name is taken
        (["a", "x/a", "a-2"], ["a", "a-2", "a-2-2"]),
        (["Front.mcap", "front.mcap"], ["Front", "front-2"]),
        (["UNFINISHED", "unfinished.mp4"], ["UNFINISHED-2", "unfinished-3"]),
        (["result", "run.json.bag"], ["result-2", "run.json-2"]),
        (["summary.json.mp4"], ["summary.json-2"]),
        (["..", ".", "/"], ["drives", "night", "drive"]),
        (["..x", "night/..", "..."], ["..x", "night", "drive"]),
    ],
)
def test_each_drive_has_a_folder_of_its_own(tmp_path, monkeypatch, sources, expected):
    here = tmp_path / "drives" / "night"
    (here / "night").mkdir(parents=True)
    monkeypatch.chdir(here)
    assert folder_names(sources) == expected


@pytest.mark.parametrize("name", ["a", "summary.json"])
def test_a_symbolic_link_in_the_folder_is_not_followed(tmp_path, capsys, name):
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    out.mkdir()
    (out / name).symlink_to(elsewhere)
    drives = [str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")]
    assert main(["replay", *drives, "-o", str(out), "--replace"]) == 1
    assert capsys.readouterr().err == (
        f"seg_ros replay: {out / name} is a symbolic link; move it out of the way\n"
    )
    assert list(elsewhere.iterdir()) == []
    assert [f.name for f in out.iterdir()] == [name]
