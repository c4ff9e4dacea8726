"""A camera as a YAML file: camera_calibration's format, with the mounting added."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from seg_ros.errors import SegRosError
from seg_ros.ground.calibration import check_calibration
from seg_ros.ground.camera import CameraModel
from seg_ros.ground.mounting import Mounting
from seg_ros.support.yaml_file import read_yaml


def load_camera(path: str | Path) -> CameraModel:
    """Read a camera from YAML: camera_calibration's format, with an optional ``mounting``.

    ``mounting`` is a map of ``x, y, z`` in metres and ``roll, pitch, yaw`` in radians, of
    ``source`` and ``height_source`` (measured, tf, estimated, assumed) and ``standard_error``; what
    is left out keeps the default of :class:`Mounting`, and is then assumed.

    Raises:
        SegRosError: the file is missing or not such a YAML, or the calibration is no camera's; the
            message names file and key.

    """
    path = Path(path)
    data = read_yaml(path, f"camera file {path}")
    try:
        camera = CameraModel.from_intrinsics(
            width=int(data["image_width"]),
            height=int(data["image_height"]),
            k=[float(v) for v in data["camera_matrix"]["data"]],
            distortion_model=str(data.get("distortion_model", "")),
            d=[float(v) for v in data.get("distortion_coefficients", {}).get("data", [])],
            mounting=Mounting.from_map(data.get("mounting", {})),
        )
        check_calibration(camera)
        return camera
    except KeyError as error:
        raise SegRosError(f"{path}: no {error} (camera_calibration's YAML has it)") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise SegRosError(f"{path}: not a camera YAML ({error})") from error
    except SegRosError as error:
        raise SegRosError(f"{path}: {error}") from error


def save_camera(camera: CameraModel, path: Path, beside: Mapping[str, Any] | None = None) -> None:
    """Write a camera in the format that :func:`load_camera` reads.

    Args:
        camera: with its mounting.
        path: of the file.
        beside: further keys, which are for people.

    """
    data = {
        "image_width": camera.width,
        "image_height": camera.height,
        "camera_name": "camera",
        "camera_matrix": {"rows": 3, "cols": 3, "data": camera.k.ravel().tolist()},
        "distortion_model": camera.distortion_model,
        "distortion_coefficients": {
            "rows": 1,
            "cols": len(camera.distortion),
            "data": list(camera.distortion),
        },
        "mounting": camera.mounting.to_map(),
        **(beside or {}),
    }
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
