"""What is read and by what: a whole file of each kind, and a reader that must take any damage.

Run as a program it is the victim: it reads what it is told, line by line, and says what was wrong.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import cv2
import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "test" / "helpers"))

from mcap.writer import CompressionType, IndexType
from recordings import (
    CAMERA,
    h264,
    picture,
    recording,
    stamp,
    video_recording,
    write_mcap,
    write_ros1,
    write_rosbag2,
)
from rosbags.rosbag2 import CompressionMode

from seg_ros.drive import open_drive
from seg_ros.engines.base import Platform
from seg_ros.engines.store import EngineKey, EngineStore
from seg_ros.errors import SegRosError
from seg_ros.ground.camera_file import load_camera, save_camera
from seg_ros.labels import load_label_set
from seg_ros.models.options import load_beside
from seg_ros.results.figures import FrameFigures, read_figures
from seg_ros.results.params_file import parameters_for
from seg_ros.support.share import share_file

COUNT = 6
LONGEST = 1100
"""Characters of an error message."""
MEMORY = 1.5e9
"""Bytes that reading a file of some kB may take."""
_STAMPS = {stamp(i): i for i in range(COUNT)}
KEY = EngineKey(
    "ab" * 32, (32, 64), None, "fp16", Platform("tensorrt", "10.3.0", "Orin", "8.7")
)  # fmt: skip


def _pictures(folder: Path, ending: str) -> Path:
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}{ending}"), picture(number))
    return folder / f"1{ending}"


def _video(folder: Path, ending: str) -> Path:
    path = folder / f"a{ending}"
    if ending == ".h264":
        path.write_bytes(b"".join(h264([picture(i) for i in range(COUNT)])))
        return path
    codec = {".mp4": "libx264", ".mkv": "libx264", ".avi": "mjpeg"}[ending]
    with av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=10)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def _db3(folder: Path, **options: object) -> Path:
    bag = write_rosbag2(folder / "bag", recording(COUNT), sqlite=True, **options)
    return next(f for f in bag.iterdir() if f.suffix != ".yaml")


def _text(name: str, text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return write


def _camera(folder: Path) -> Path:
    save_camera(CAMERA, folder / "camera.yaml")
    return folder / "camera.yaml"


def _metadata(folder: Path) -> Path:
    return write_rosbag2(folder / "bag", recording(COUNT)) / "metadata.yaml"


def _manifest(folder: Path) -> Path:
    entry = EngineStore(folder / "store").save(
        "b0", KEY, bytes(range(256)), {"model": "b0", "verification": {"summary": "99.9 % agree"}}
    )
    return entry.folder / "manifest.json"


_FIGURES = FrameFigures(3, 5, 9.5, 7.1, (0.5, 0.25), 0.5, 0.9, 12.5, 0.01, None)


def _drive_of(path: Path) -> str:
    """Return the folder where the file is one of several, else itself."""
    alone = (".mcap", ".bag", ".mp4", ".avi", ".mkv", ".h264")
    return str(path if path.suffix in alone else path.parent)


def _read_drive(path: Path) -> str:
    """Read every frame: in order, each once, and right where a checksum is over it.

    Of a chunk that was cut off the checksum cannot be told, but then it is said.
    """
    wrong = ""
    logs: list[int] = []
    for frame in open_drive(_drive_of(path)).frames():
        if frame.raw:
            logs.append(frame.raw.log_ns)
        try:
            image = frame.decode()
        except SegRosError as error:
            _judge(error)
            continue
        if path.parent.name.startswith("mcap checked"):
            expected = picture(_STAMPS[frame.stamp_ns])
            if not np.array_equal(image, expected):
                wrong = f"frame {frame.index} is wrong although its chunk has a checksum"
    if wrong:
        return wrong
    return "" if logs == sorted(set(logs)) else "frames twice or out of order"


def _read_camera(path: Path) -> str:
    camera = load_camera(path)
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy, *camera.distortion)
    return "" if all(map(math.isfinite, numbers)) else f"{camera} was taken"


def _read_labels(path: Path) -> str:
    labels = load_label_set(path)
    return "" if labels.palette_bgr.shape == (256, 3) else "no palette"


def _read_network(path: Path) -> str:
    """As a user's own, by OpenVINO."""
    from tiny_network import tiny_image

    from seg_ros.segment.segmenter import Segmenter

    (path.parent / "labels.yaml").write_text(_LABELS)
    segmenter = Segmenter.load(str(path), str(path.parent / "labels.yaml"), "openvino", 1)
    mask = segmenter.segment(tiny_image()).class_mask()
    return "" if mask.shape == (32, 48) and (mask < 5).all() else "a mask of classes that are none"


def _network(folder: Path) -> Path:
    from tiny_network import tiny_network

    return tiny_network(folder / "tiny.onnx")


def _checkpoint(folder: Path, ending: str) -> Path:
    """Write a SegFormer of five classes, as narrow as they can be."""
    import torch
    from plain_segformer import random_nvlabs
    from safetensors.torch import save_file

    state = random_nvlabs((8, 16, 40, 64), (1, 1, 1, 1), 8, classes=5)
    path = folder / f"checkpoint{ending}"
    (save_file if ending == ".safetensors" else torch.save)(state, path)
    return path


def _read_checkpoint(path: Path) -> None:
    from seg_ros.models.catalogue import find_model
    from seg_ros.models.checkpoint import load_checkpoint

    path.with_suffix(".yaml").write_text(_LABELS)
    load_checkpoint(find_model(str(path)))


_LABELS = "name: five\nclasses:\n" + "".join(
    f"  - {{name: c{i}, color: [{i}, 2, 3], kind: ground, driveable: {str(i < 2).lower()}}}\n"
    for i in range(5)
)


def _once(reader: Callable[[Path], object]) -> Callable[[Path], str]:
    def read(path: Path) -> str:
        reader(path)
        return ""

    return read


BAGS: dict[str, Callable[[Path], Path]] = {
    "mcap checked": lambda f: write_mcap(f / "a.mcap", recording(COUNT)),
    "mcap checked zstd": lambda f: write_mcap(
        f / "a.mcap", recording(COUNT), compression=CompressionType.ZSTD
    ),
    "mcap without index": lambda f: write_mcap(
        f / "a.mcap", recording(COUNT), index=IndexType.NONE
    ),
    "mcap without chunks": lambda f: write_mcap(f / "a.mcap", recording(COUNT), use_chunking=False),
    "mcap of video": lambda f: write_mcap(
        f / "a.mcap", video_recording(h264([picture(i) for i in range(COUNT)]))
    ),
    "db3": _db3,
    "db3 zstd": lambda f: _db3(f, compression=CompressionMode.FILE),
    "ROS 1 bag": lambda f: write_ros1(f / "a.bag", recording(COUNT)),
    "metadata.yaml": _metadata,
}

FORMS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], str]]] = {
    **{name: (write, _read_drive) for name, write in BAGS.items()},
    **{
        f"video {ending}": (lambda f, e=ending: _video(f, e), _read_drive)
        for ending in (".mp4", ".mkv", ".avi", ".h264")
    },
    **{
        f"picture {ending}": (lambda f, e=ending: _pictures(f, e), _read_drive)
        for ending in (".png", ".jpg", ".bmp", ".tiff", ".webp")
    },
    "camera YAML": (_camera, _read_camera),
    "label set YAML": (_text("labels.yaml", _LABELS), _read_labels),
    "options beside a model": (_text("model.yaml", _LABELS), _once(load_beside)),
    "parameter file": (
        lambda f: _text("params.yaml", share_file("config/segmentation.yaml").read_text())(f),
        lambda path: "" if isinstance(parameters_for("segmentation_node", path), dict) else "none",
    ),
    "engine manifest": (_manifest, lambda path: _once(_load_engine)(path)),
    "network .onnx": (_network, _read_network),
    **{
        f"checkpoint {ending}": (lambda f, e=ending: _checkpoint(f, e), _once(_read_checkpoint))
        for ending in (".pth", ".safetensors")
    },
    "figures of a run": (
        _text("frames.jsonl", (_FIGURES.to_line() + "\n") * 3),
        _once(lambda path: list(read_figures(path))),
    ),
}


def _load_engine(path: Path) -> None:
    store = EngineStore(path.parent.parent)
    store.manifests()
    store.load(KEY)


def _judge(error: Exception) -> None:
    """Raise what is wrong with an error message of ours."""
    text = str(error)
    if not text or len(text) > LONGEST or not text.isprintable():
        raise AssertionError(f"error of {len(text)} characters, perhaps unprintable: {text!r}")


def _peak(reset: bool = False) -> int:
    """Return the most memory there was, in bytes; from now on where it is reset."""
    if reset:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    return int(status.split()[0]) * 1024


def attempt(kind: str, path: Path) -> str:
    """Read a file; return what is wrong with how that went, or nothing."""
    before = _peak(reset=True)
    try:
        try:
            problem = FORMS[kind][1](path)
        except SegRosError as error:
            _judge(error)
            problem = ""
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        return f"{type(error).__name__} at {place}: {str(error)[:300]!r}"
    taken = _peak() - before
    return problem or (f"took {taken / 1e6:.0f} MB" if taken > MEMORY else "")


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        kind, path = json.loads(line)
        print(json.dumps(attempt(kind, Path(path))), file=answers, flush=True)


if __name__ == "__main__":
    main()
