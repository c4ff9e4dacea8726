"""Labels as annotation tools keep them: labelme's polygons, Label Studio's one picture a label."""

from __future__ import annotations

import base64
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.drive.image_size import check_size
from seg_ros.errors import SegRosError
from seg_ros.judge.label_images import id_of_name, read_label_image
from seg_ros.labels import UNLABELLED, LabelSet

_LONGEST = 1 << 26
"""Bytes of a JSON file; labelme may put the picture itself into it."""
_STUDIO = re.compile(r"task-(\d+)-annotation-(\d+)-by-.*?-tag-(.+)-(\d+)\.png")


def is_labelme(file: Path) -> bool:
    """Tell whether a JSON file is one of labelme's."""
    try:
        data = _read_json(file)
    except SegRosError:
        return False
    return isinstance(data, dict) and isinstance(data.get("shapes"), list)


def read_labelme(file: Path, labels: LabelSet) -> NDArray[np.uint8]:
    """Draw what labelme's JSON says: its shapes in their order, so that later ones are above.

    Polygons, rectangles, circles and masks are read (labelme 5 and 6). ``__ignore__`` and
    ``_background_`` are no class, unless the label set has it, and neither is what nothing covers.

    Returns:
        (H, W) uint8 class ids, 255 where there is no class.

    Raises:
        SegRosError: it is damaged, or has a label or a kind of shape that is not known.

    """
    data = _read_json(file)
    try:
        height, width = int(data["imageHeight"]), int(data["imageWidth"])
        shapes = list(data["shapes"])
        check_size(width, height)
        mask = np.full((height, width), UNLABELLED, np.uint8)
        for shape in shapes:
            class_id = _class_id(str(shape["label"]).strip("_"), str(shape["label"]), file, labels)
            _draw(mask, shape, class_id, file)
    except (KeyError, TypeError, ValueError, AttributeError, cv2.error) as error:
        raise SegRosError(
            f"{file} is no annotation of labelme ({type(error).__name__}: {error})"
        ) from error
    return mask


def _draw(mask: NDArray[np.uint8], shape: dict[str, Any], class_id: int, file: Path) -> None:
    kind = shape.get("shape_type") or "polygon"
    points = np.array(shape["points"], np.float64).reshape(-1, 2)
    if not np.isfinite(points).all() or np.abs(points).max(initial=0) > 1e6:
        raise ValueError("a point is far outside the picture")
    whole = np.rint(points).astype(np.int32)
    if kind == "polygon" and len(points) > 2:
        cv2.fillPoly(mask, [whole], class_id)
    elif kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = whole.min(0).tolist(), whole.max(0).tolist()
        cv2.rectangle(mask, (left, top), (right, bottom), class_id, cv2.FILLED)
    elif kind == "circle" and len(points) == 2:
        radius = round(float(np.hypot(*(points[1] - points[0]))))
        cv2.circle(mask, whole[0].tolist(), radius, class_id, cv2.FILLED)
    elif kind == "mask" and len(points) == 2:
        picture = cv2.imdecode(
            np.frombuffer(base64.b64decode(shape["mask"]), np.uint8), cv2.IMREAD_GRAYSCALE
        )
        if picture is None:
            raise ValueError("a mask is no picture")
        left, top = (max(v, 0) for v in whole.min(0).tolist())
        part = mask[top : top + picture.shape[0], left : left + picture.shape[1]]
        part[picture[: part.shape[0], : part.shape[1]] > 0] = class_id
    else:
        raise SegRosError(
            f"{file}: a {kind} of {len(points)} points covers no pixels; draw {shape['label']!r} "
            "as a polygon, or remove the shape"
        )


def find_studio(folder: Path) -> dict[int, list[Path]]:
    """Return the pictures of a folder that Label Studio wrote, one a label, by their task."""
    found: dict[int, list[tuple[int, Path]]] = defaultdict(list)
    for file in folder.iterdir():
        match = _STUDIO.fullmatch(file.name)
        if match is not None:
            found[int(match[1])].append((int(match[4]), file))
    return {task: [file for _, file in sorted(files)] for task, files in sorted(found.items())}


def studio_images(export: Path) -> dict[int, str]:
    """Return the file name of each task's image, as Label Studio's JSON export says it.

    Raises:
        SegRosError: it is no such export.

    """
    data = _read_json(export)
    try:
        return {int(task["id"]): _image_name(task) for task in data}
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise SegRosError(
            f"{export} is no JSON export of Label Studio: it says of each task its id and image"
        ) from error


def _image_name(task: dict[str, Any]) -> str:
    data = task.get("data")
    said = task.get("file_upload") or next(
        value
        for value in (data.values() if isinstance(data, dict) else task.values())
        if isinstance(value, str) and "." in value.rsplit("/", 1)[-1]
    )
    return str(said).rsplit("/", 1)[-1]


def read_studio(files: Sequence[Path], labels: LabelSet) -> NDArray[np.uint8]:
    """Put the pictures of a task together: not 0 is the label in the file's name.

    Returns:
        (H, W) uint8 class ids, 255 where no picture says anything.

    Raises:
        SegRosError: they are of several annotations or sizes, or a label is not known.

    """
    matches = [match for file in files if (match := _STUDIO.fullmatch(file.name))]
    if len({match[2] for match in matches}) > 1:
        raise SegRosError(
            f"{files[0]} and {len(files) - 1} others are of several annotations of one task; keep "
            "those of one"
        )
    mask: NDArray[np.uint8] | None = None
    for file, match in zip(files, matches, strict=True):
        picture = read_label_image(file)
        if mask is None:
            mask = np.full(picture.shape, UNLABELLED, np.uint8)
        if picture.shape != mask.shape:
            raise SegRosError(f"label image {file} has another size than {files[0].name}")
        mask[picture > 0] = _class_id(match[3], match[3], file, labels)
    assert mask is not None
    return mask


def _class_id(name: str, said: str, file: Path, labels: LabelSet) -> int:
    class_id = id_of_name(name, labels)
    if class_id is None:
        raise SegRosError(
            f"{file} has the label {said!r}, which label set {labels.name} does not have; rename "
            "it to one of its classes, or to void"
        )
    return class_id


def match_images(names: Iterable[Path], wanted: str) -> Path | None:
    """Find an image by the name an export gives it: Label Studio puts ``1a2b3c4d-`` before it."""
    by_name = {file.name: file for file in names}
    return by_name.get(wanted) or by_name.get(re.sub(r"^[0-9a-f]{8}-", "", wanted))


def _read_json(file: Path) -> Any:
    try:
        if file.stat().st_size > _LONGEST:
            raise SegRosError(f"{file} is larger than {_LONGEST >> 20} MiB; is it an annotation?")
        return json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SegRosError(f"{file}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise SegRosError(f"{file} is no whole JSON file ({error})") from error
