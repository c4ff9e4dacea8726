"""A SegFormer in Hugging Face's form, as far as one can read it without its weights."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from seg_ros.errors import SegRosError
from seg_ros.models.options import Normalisation
from seg_ros.support.json_text import parse_json

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Names of the weights, the safe one first; large ones come with an ``.index.json``."""
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def read_config(folder: Path) -> dict[str, Any]:
    """Read a checkpoint folder's ``config.json``.

    Raises:
        SegRosError: there is none, it is not JSON, or it is not that of a SegFormer.

    """
    config = _read_json(folder / CONFIG)
    kind = config.get("model_type")
    if kind != "segformer":
        raise SegRosError(
            f"{folder / CONFIG}: model_type is {kind!r}; only SegFormer checkpoints are read: "
            "export another network to ONNX"
        )
    return config


def class_names(folder: Path) -> list[str]:
    """Return the names of a checkpoint's classes in the order of its logits.

    Returns:
        The names; empty where the config has none but the ``LABEL_0`` of an unnamed class.

    Raises:
        SegRosError: as :func:`read_config`, or the names do not count from 0.

    """
    id2label = read_config(folder).get("id2label")
    if not id2label:
        return []
    try:
        names = {int(key): str(name) for key, name in id2label.items()}
    except (AttributeError, ValueError):
        names = {}
    if sorted(names) != list(range(len(names))) or not names:
        raise SegRosError(f"{folder / CONFIG}: id2label must name the classes 0, 1, 2, ...")
    if all(name == f"LABEL_{i}" for i, name in names.items()):
        return []
    return [names[i] for i in range(len(names))]


def preprocessing(folder: Path) -> tuple[Normalisation, tuple[int, int] | None]:
    """Read ``preprocessor_config.json``: the normalisation, and (height, width) where it is said.

    Without the file the normalisation is ImageNet's, as in transformers.

    Raises:
        SegRosError: the file is not JSON or says something else than three numbers a channel.

    """
    path = folder / PREPROCESSOR
    if not path.is_file():
        return Normalisation(), None
    data = _read_json(path)
    plain = Normalisation()
    try:
        mean, std = data.get("image_mean", plain.mean), data.get("image_std", plain.std)
        if not data.get("do_normalize", True):
            mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        factor = float(data.get("rescale_factor", 1 / 255)) if data.get("do_rescale", True) else 1.0
        # A factor is written as a decimal fraction; the number of levels it stands for is whole.
        scale = (
            float(round(1 / factor)) if abs(factor * round(1 / factor) - 1) < 1e-6 else 1 / factor
        )
        r, g, b = (float(v) for v in mean)
        s, t, u = (float(v) for v in std)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise SegRosError(
            f"{path}: image_mean, image_std or rescale_factor is not what transformers writes "
            f"({error})"
        ) from error
    return Normalisation((r, g, b), (s, t, u), scale), _size(data.get("size"))


def reduces_labels(path: Path) -> bool:
    """Whether a checkpoint folder was trained on labels where 0 is no class and ids count from 1.

    Raises:
        SegRosError: its ``preprocessor_config.json`` is not JSON.

    """
    file = path / PREPROCESSOR
    data = _read_json(file) if file.is_file() else {}
    return bool(data.get("do_reduce_labels", data.get("reduce_labels", False)))


def _size(size: Any) -> tuple[int, int] | None:
    if type(size) is int:
        return size, size
    if (
        isinstance(size, dict)
        and type(size.get("height")) is int
        and type(size.get("width")) is int
    ):
        return size["height"], size["width"]
    return None


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold a folder's weights: one, or the shards an index names.

    Raises:
        SegRosError: there are none, or a shard is missing.

    """
    for name in WEIGHTS:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            shards = sorted(set(map(str, _read_json(index).get("weight_map", {}).values())))
            lost = [s for s in shards if Path(s).name != s or not (folder / s).is_file()]
            if lost or not shards:
                raise SegRosError(f"{index}: {lost[0] if lost else 'no file'} is not in the folder")
            return [folder / shard for shard in shards]
    raise SegRosError(f"{folder}: has no weights ({' or '.join(WEIGHTS)})")


def fetch(name: str) -> Path:
    """Return the folder of a hub model: from the local cache, or fetched into it once.

    What is in the cache is used as it is, so that a model does not change from one day to another.

    Raises:
        SegRosError: huggingface_hub is not installed, the hub has no such SegFormer, or it cannot
            be reached.

    """
    try:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    except ImportError as error:
        raise SegRosError(
            f"model {name!r}: huggingface_hub is not installed (pip install 'seg_ros[export]'); "
            "or give a folder with the model's files"
        ) from error
    with suppress(OSError, SegRosError):
        cached = Path(snapshot_download(name, local_files_only=True))
        read_config(cached)
        weight_files(cached)
        return cached
    try:
        there = {file.rfilename for file in HfApi().model_info(name, timeout=10).siblings or ()}
        # One form of the weights is enough; the hub often has them twice or thrice.
        wanted = [f for f in there if f.startswith("model") and ".safetensors" in f] or [
            f for f in there if f.startswith("pytorch_model") and ".bin" in f
        ]
        if CONFIG not in there or not wanted:
            raise SegRosError(
                f"model {name!r}: has no {CONFIG} or no weights ({' or '.join(WEIGHTS)})"
            )
        folder = snapshot_download(name, allow_patterns=[CONFIG, PREPROCESSOR, *wanted])
    except (GatedRepoError, RepositoryNotFoundError) as error:
        raise SegRosError(
            f"model {name!r}: the hub has no such model, or not for everyone; see its page"
        ) from error
    except SegRosError:
        raise
    except Exception as error:  # the hub's HTTP library, and so its errors, differ by version
        said = " ".join(str(error).split())
        raise SegRosError(
            f"model {name!r} is not in the local cache and the hub cannot be reached "
            f"({said[:120]}); fetch it where there is a network, and give its folder"
        ) from error
    read_config(Path(folder))
    return Path(folder)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SegRosError(f"{path} does not exist")
    try:
        data = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SegRosError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise SegRosError(f"{path}: not a JSON object")
    return data
