"""`seg_ros info`: what a drive holds, and what is wrong with it."""

from __future__ import annotations

import json

import cv2
import pytest
from recordings import picture, recording, write_mcap

from seg_ros.cli import main


@pytest.fixture
def told(capsys):
    def run(*arguments):
        code = main(["info", *map(str, arguments)])
        rows = (line.split("  ", 1) for line in capsys.readouterr().out.splitlines() if line)
        return code, {row[0].strip(): row[-1].strip() for row in rows}

    return run


def test_a_bag_is_described(tmp_path, told):
    kept = [m for m in recording(12) if m]
    bag = write_mcap(tmp_path / "drive.mcap", kept)
    code, rows = told(bag, "--json", tmp_path / "info.json")
    assert code == 0
    assert rows["frames"] == "12"
    assert rows["size"] == "64x48"
    assert rows["gaps"] == "none"
    assert rows["damage"] == "none found"
    (camera,) = json.loads((tmp_path / "info.json").read_text())["cameras"]
    assert camera["frames"] == 12
    assert camera["sizes"] == {"64x48": 1}
    assert camera["rate_hz"] == pytest.approx(10, rel=0.01)


def test_what_cannot_be_decoded_is_counted(tmp_path, told):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number))
    (tmp_path / "1.png").write_bytes(b"no picture")
    code, rows = told(tmp_path)
    assert (code, rows["frames"], rows.get("cannot be decoded")) == (0, "3", None)
    code, rows = told(tmp_path, "--check")
    assert (code, rows["cannot be decoded"]) == (1, "1")


def test_a_cut_bag_says_where_it_ends(tmp_path, told):
    bag = write_mcap(tmp_path / "drive.mcap", recording(40))
    data = bag.read_bytes()
    bag.write_bytes(data[: len(data) * 2 // 3])
    code, rows = told(bag)
    assert code == 1
    assert 0 < int(rows["frames"]) < 40
    assert rows["damage"] != "none found"
