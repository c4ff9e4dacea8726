"""`make demo`'s command: three real processes, from a drive to the folder a person opens."""

import cv2
import pytest

from seg_ros import cli
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.camera_file import save_camera
from seg_ros.results.bag_topics import GRID_TOPIC, MASK_TOPIC
from seg_ros.results.result_bag import read_result

pytest.importorskip("rclpy", reason="rclpy is not installed")


def test_a_folder_of_images_becomes_a_bag_a_video_and_a_sheet(tmp_path, scene, capfd):
    folder = tmp_path / "drive"
    folder.mkdir()
    for index in range(4):
        cv2.imwrite(str(folder / f"{index}.png"), scene[index * 20].image)
    (folder / "4.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    save_camera(CameraModel(640, 360, 500, 500, 319.5, 179.5), tmp_path / "camera.yaml")
    out = tmp_path / "out"
    command = ["demo", str(folder), "--out", str(out), "--rate", "0.1"]
    assert cli.main([*command, "--camera", str(tmp_path / "camera.yaml")]) == 0
    said = capfd.readouterr()
    assert "frame 4: " in said.err
    assert "4.png: PNG image of" in said.err
    table = dict(line.split("  ", 1) for line in said.out.splitlines() if "  " in line)
    assert table["frames in"].strip() == table["frames out"].strip() == "4"
    assert table["recorded masks, overlays, grids"].strip() == "4, 4, 4"
    assert table["camera"].strip() == "ok"
    assert {f.name for f in out.iterdir()} == {"result", "overlay.mp4", "sheet.png", "logs"}
    stamps = [10**9 + i * 10**8 for i in range(4)]
    for topic in (MASK_TOPIC, GRID_TOPIC):
        assert [stamp for stamp, _ in read_result(out / "result", topic)] == stamps


def test_a_node_that_cannot_start_ends_the_demo_with_its_reason(tmp_path, scene, capsys):
    folder = tmp_path / "drive"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), scene[0].image)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    (tmp_path / "broken.yaml").write_text(
        "name: x\nclasses:\n  - {name: a, color: [1, 2, 3], kind: open}\n"
    )
    command = ["demo", str(folder), "--out", str(tmp_path / "out"), "--model", str(broken)]
    assert cli.main(command) == 1
    assert "not a whole ONNX file" in capsys.readouterr().err
    assert not (tmp_path / "out" / "result").exists()
