"""BDD100K: the info JSON of a video, as the phone that filmed it logged it.

Yu et al., "BDD100K: A Diverse Driving Dataset for Heterogeneous Multitask Learning", CVPR 2020; the
folder ``info`` of its download (https://doc.bdd100k.com/download.html, "Info").
``videos/100k/train/NAME.mov`` has ``info/100k/train/NAME.json``. In it ``locations`` is a list of
maps: ``timestamp`` in milliseconds since 1970, ``speed`` in m/s and ``course`` in degrees clockwise
from north, both -1 where the phone knew none. ``startTime`` is that of the video's first frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seg_ros.drive.base import CLOCKLESS_START, Drive
from seg_ros.drive.speed.track import SpeedTrack, checked_size, speed_track
from seg_ros.errors import SegRosError
from seg_ros.support.json_text import parse_json


def find(drive: Drive) -> Path | None:
    """Return the info of a video, beside it or in the data set's folder for it."""
    video = Path(drive.name).expanduser()
    if not video.is_file():
        return None
    parts = video.with_suffix(".json").absolute().parts
    moved = (
        Path(*parts[:i], "info", *parts[i + 1 :])
        for i, part in enumerate(parts)
        if part == "videos"
    )
    return next(
        (path for path in (Path(*parts), *moved) if path.is_file() and _is_info(path)), None
    )


def _is_info(path: Path) -> bool:
    """Whether a JSON is one of these and not another program's, by how it is built."""
    try:
        with path.open("rb") as file:
            head = file.read(1 << 20)
    except OSError:
        return False
    return b'"locations"' in head or b'"rideID"' in head or b'"startTime"' in head


def read(path: Path, _: Drive) -> SpeedTrack:
    """Read the speed of a video from its info.

    Raises:
        SegRosError: it is no such JSON, has no speed, or is of a time lapse.
        OSError: it cannot be read.

    """
    try:
        data: Any = parse_json(checked_size(path).read_text(encoding="utf-8"))
        places = [
            (int(p["timestamp"]), float(p["speed"]), float(p.get("course", -1)))
            for p in data.get("locations", [])
        ]
        start = int(data["startTime"])
        lapse = bool(data.get("timelapse", False))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise SegRosError(f"{path} is no info of BDD100K ({error!r})") from error
    if lapse:
        raise SegRosError(f"{path} is of a time lapse: its video has another clock")
    stamps, speed, course = np.array(places, np.float64).reshape(-1, 3).T
    return speed_track(
        f"BDD100K's info, {path.name}",
        (stamps.astype(np.int64) - start) * 1_000_000 + CLOCKLESS_START,
        np.where(speed < 0, np.nan, speed),
        heading=np.where(course < 0, np.nan, np.pi / 2 - np.radians(course)),
    )
