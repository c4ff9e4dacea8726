"""Where a snapshot is written, and where it is not."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from seg_ros.engines import EngineInfo
from seg_ros.errors import SegRosError
from seg_ros.labels import load_label_set
from seg_ros.ros import snapshot as room
from seg_ros.ros.snapshot import Snapshot, default_folder, write_snapshot
from seg_ros.segment.output import Processed

SEGMENTER = SimpleNamespace(
    model_name="m",
    input_size=(64, 128),
    engine_info=EngineInfo("openvino 1", "a CPU", "fp32"),
    labels=load_label_set("camvid"),
)


def snapshot(**changes):
    fields = {
        "node": "/front/segmentation_node",
        "stamp_ns": 12 * 10**9 + 34,
        "frame_id": "camera",
        "frame": np.full((4, 6, 3), 7, np.uint8),
        "received": {"encoding": "rgb8"},
        "done": Processed(1, mask=np.full((4, 6), 2, np.uint8)),
        "problem": "no grid: no camera_info",
        "camera": None,
        "segmenter": SEGMENTER,
        "parameters": {"grid_profile": "nav2", "base_frame": "base_link"},
        "diagnostics": {},
        "ros": {"rmw": "some"},
    }
    return Snapshot(**{**fields, **changes})


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_what_is_missing_is_left_out_and_said(tmp_path):
    folder = write_snapshot(tmp_path / "root", snapshot())
    assert folder == tmp_path / "root" / "front_segmentation_node_12.000000034"
    assert everything_in(folder) == {
        "frame.png", "mask.png", "grid.png", "parameters.yaml", "diagnostics.yaml", "about.yaml"
    }  # fmt: skip
    about = yaml.safe_load((folder / "about.yaml").read_text())
    assert about["problem"] == "no grid: no camera_info"
    assert about["model"]["input"] == "64x128"
    assert about["versions"]["rmw"] == "some"
    assert folder.stat().st_mode & 0o077 == 0, "camera images are nobody else's business"


def test_nothing_of_a_message_or_parameter_gets_into_a_path(tmp_path):
    root = tmp_path / "a" / "root"
    bad = "../../../escaped"
    for stamp in (-1, 0, 2**31 * 10**9):
        folder = write_snapshot(
            root,
            snapshot(
                stamp_ns=stamp,
                frame_id=bad,
                node=f"/{bad}/..",
                received={"encoding": bad},
                parameters={"grid_profile": "nav2", "base_frame": bad, "model": bad},
            ),
        )
        assert folder.parent == root
    assert everything_in(tmp_path) == {"a", "a/root"} | {
        f"a/root/{name}" for name in everything_in(root)
    }
    about = yaml.safe_load((folder / "about.yaml").read_text())
    assert about["frame"]["frame_id"] == bad


def test_no_link_is_followed(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (root / "front_segmentation_node_12.000000034").symlink_to(elsewhere)
    (root / "front_segmentation_node_12.000000034_2").symlink_to(tmp_path / "dangling")
    folder = write_snapshot(root, snapshot())
    assert folder.name == "front_segmentation_node_12.000000034_3"
    assert not folder.is_symlink()
    assert everything_in(elsewhere) == set()
    assert not (tmp_path / "dangling").exists()


def test_there_is_an_end_to_snapshots(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "MOST", 2)
    write_snapshot(tmp_path, snapshot())
    write_snapshot(tmp_path, snapshot())
    with pytest.raises(SegRosError, match="holds 2 snapshots already; move or delete some"):
        write_snapshot(tmp_path, snapshot())
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_is_left_as_it_is(tmp_path, monkeypatch):
    usage = SimpleNamespace(free=3 * 2**20)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(SegRosError, match="only 3 MiB are free on the disk of"):
        write_snapshot(tmp_path, snapshot())
    assert everything_in(tmp_path) == set()


def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SegRosError, match="No space left on device; make room, or"):
        write_snapshot(tmp_path, snapshot())
    assert everything_in(tmp_path) == set()


def test_a_root_that_is_a_file_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SegRosError, match=r"cannot write a snapshot into .*file"):
        write_snapshot(tmp_path / "file", snapshot())
    assert (tmp_path / "file").read_text() == "mine"


def test_the_default_is_in_ros_own_folder(monkeypatch):
    monkeypatch.setenv("ROS_HOME", "/data/ros")
    assert default_folder() == Path("/data/ros/seg_ros/snapshots")
    monkeypatch.delenv("ROS_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_folder() == Path("/home/someone/.ros/seg_ros/snapshots")
