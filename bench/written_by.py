"""Drives as the field's tools write them, each read back: python bench/written_by.py [ROW ...].

Every tool is installed at the version named here, alone in a new virtual environment in the
temporary folder, and writes six grey pictures there; then this process reads them with
``seg_ros.drive`` and compares frames, stamps and calibration. Prints the table of docs/drives.md;
ends with 1 where something was not read as it was written. Takes some minutes and the network.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from writers import COUNT, HEIGHT, WIDTH, K, shade, stamp


@dataclass(frozen=True)
class Row:
    """A tool, and what it writes."""

    what: str
    packages: tuple[str, ...]
    drives: tuple[str, ...]
    """Files or folders that are a drive each."""
    clock: bool = False
    """Whether the frames have the stamps above, rather than times from 1 s on."""
    calibrated: bool = False
    fps: float = 0.0


_ROSBAGS = ("rosbags==0.11.9",)
_MCAP = "mcap==1.6.0"
_NUMPY = "numpy==2.4.6"
ROWS = {
    "rosbags-mcap": Row("rosbag2 in MCAP, metadata 9", _ROSBAGS, ("bag",), True, True),
    "rosbags-sqlite3": Row(
        "rosbag2 in sqlite3, messages packed with zstd", _ROSBAGS, ("bag",), True, True
    ),
    "rosbags-ros1": Row("ROS 1 bag", _ROSBAGS, ("drive.bag",), True, True),
    "mcap-ros2": Row(
        "CompressedImage in MCAP", ("mcap-ros2-support==0.6.0", _MCAP), ("drive.mcap",), True
    ),
    "pybag": Row("CompressedImage in MCAP", ("pybag-sdk==0.13.0",), ("drive.mcap",), True),
    "mcap-json": Row(
        "Foxglove's CompressedImage and CameraCalibration, JSON",
        (_MCAP,),
        ("drive.mcap",),
        True,
        True,
    ),
    "mcap-protobuf": Row(
        "Foxglove's CompressedImage, RawImage and CameraCalibration, protobuf; topics as nuScenes'",
        (
            "mcap-protobuf-support==0.6.0",
            "foxglove-schemas-protobuf==0.4.0",
            _MCAP,
            "protobuf==7.36.2",
        ),
        ("compressed.mcap", "raw.mcap"),
        True,
        True,
    ),
    "foxglove-sdk": Row(
        "Foxglove's CompressedImage, RawImage, CompressedVideo and CameraCalibration",
        ("foxglove-sdk==0.30.3",),
        ("compressed.mcap", "raw.mcap", "video.mcap"),
        True,
        True,
    ),
    "pyav": Row(
        "H.264 in MP4, fragmented MP4, MPEG-TS; H.265 in Matroska; MJPEG in AVI; AV1 in WebM",
        ("av==18.1.0", _NUMPY),
        ("h264.mp4", "fragments.mp4", "hevc.mkv", "h264.ts", "mjpeg.avi", "av1.webm"),
    ),
    "ffmpeg": Row(
        "raw H.264 and H.265, with `--fps`; a folder of clips",
        ("imageio-ffmpeg==0.8.1",),
        ("raw.h264", "raw.hevc", "clips"),
        fps=10,
    ),
    "opencv5": Row(
        "MJPG in AVI, MPEG-4 in MP4",
        ("opencv-python-headless==5.0.0.93", _NUMPY),
        ("mjpg.avi", "mp4v.mp4"),
    ),
    "opencv4": Row(
        "MJPG in AVI, MPEG-4 in MP4",
        ("opencv-python-headless==4.14.0.94", _NUMPY),
        ("mjpg.avi", "mp4v.mp4"),
    ),
    "pillow": Row(
        "folders of PNG, JPEG, WebP, TIFF, all turned by Exif data, and BMP",
        ("pillow==13.0.0",),
        ("png", "jpg", "webp", "tif", "bmp"),
    ),
}


def problems(row: Row, drive_path: Path) -> list[str]:
    """Return what of a drive is not read as it was written."""
    from seg_ros.drive import open_drive

    raw = drive_path.suffix in (".h264", ".hevc")
    drive = open_drive(str(drive_path), fps=row.fps if raw else 0.0)
    frames = list(drive.frames())
    found = []
    if len(frames) != COUNT:
        found.append(f"{len(frames)} frames")
    for number, frame in enumerate(frames):
        image = frame.decode()
        time = stamp(number) if row.clock else 10**9 + number * 10**8
        if image.shape != (HEIGHT, WIDTH, 3) or abs(image.mean() - shade(number)) > 4:
            found.append(f"frame {number} is {image.shape} of {image.mean():.0f}")
        if abs(frame.stamp_ns - time) > (0 if row.clock else 10**6):
            found.append(f"frame {number} is at {frame.stamp_ns}, not {time}")
    if row.calibrated and (drive.camera is None or list(drive.camera.k.ravel()) != K):
        found.append(f"no calibration: {drive.camera_problem}")
    return found


def make_pictures(folder: Path) -> None:
    import av
    import cv2
    import numpy as np

    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.framerate, encoder.options = 10, {"tune": "zerolatency", "bf": "0"}
    packets: list[Any] = []
    for number in range(COUNT):
        image = np.full((HEIGHT, WIDTH, 3), shade(number), np.uint8)
        for kind in ("jpg", "png"):
            cv2.imwrite(str(folder / f"{number}.{kind}"), image)
        packets += encoder.encode(av.VideoFrame.from_ndarray(image, "bgr24"))
    for number, packet in enumerate([*packets, *encoder.encode(None)]):
        (folder / f"{number}.h264").write_bytes(bytes(packet))


def try_row(name: str, work: Path) -> list[str]:
    """Have a row's tool write, read what it wrote; return what is wrong."""
    row, place = ROWS[name], work / name
    (place / "written").mkdir(parents=True)
    venv.create(place / "env", with_pip=True)
    python = place / "env" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", *row.packages]
    subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
    program = Path(__file__).with_name("writers.py")
    write = [str(python), str(program), name, str(place / "written"), str(work)]
    subprocess.run(write, check=True)
    found = []
    for drive in row.drives:
        found += [f"{drive}: {text}" for text in problems(row, place / "written" / drive)]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", nargs="*", help=f"of {', '.join(ROWS)}; all where none is named")
    options = parser.parse_args()
    from seg_ros.support.tables import markdown_table

    table, wrong = [], 0
    with TemporaryDirectory() as folder:
        make_pictures(Path(folder))
        for name in options.row or ROWS:
            found = try_row(name, Path(folder))
            wrong += bool(found)
            row = ROWS[name]
            read = "; ".join(found) or (
                "frames, stamps, calibration" if row.calibrated
                else "frames, stamps" if row.clock else "frames, times"
            )  # fmt: skip
            tools = ", ".join(p.replace("==", " ") for p in row.packages)
            table.append((row.what, tools, read))
            print(f"{name}: {read}", file=sys.stderr)
        print(markdown_table(("what", "written by", "read"), table))
        print(
            f"\n{datetime.now(timezone.utc):%Y-%m-%d}, Python {sys.version.split()[0]}", flush=True
        )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
