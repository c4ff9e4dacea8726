"""A model made ready for engines: ONNX in the standard form, the torch module, and an identity."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from seg_ros.errors import SegRosError
from seg_ros.labels import LabelSet
from seg_ros.models import huggingface
from seg_ros.models.catalogue import Form, Model

if TYPE_CHECKING:
    from seg_ros.models.checkpoint import Checkpoint
    from seg_ros.models.folding import FoldedSegformer

EXPORT_VERSION = 3
"""Counts changes to what a source becomes; part of a network's identity."""
SMALLEST, LARGEST = 32, 8192
"""Sides of an input that are possible, pixels."""
DEFAULT_SIZE = (512, 1024)
SIZES = {"ade20k": (512, 512), "bdd100k_drivable": (360, 640)}
"""(height, width) a SegFormer is run at where nothing says it, by its label set."""

Report = Callable[[str, float], None]
"""Told what is being done, and which part of it (0 to 1)."""


class Network:
    """A model at one input size, whatever it comes from.

    The standard form is ONNX with one input ``image``, 1 x H x W x 3 uint8 BGR, the normalisation
    inside, and one output ``logits``, 1 x C x h x w float32.

    Args:
        model: the source.
        work: folder for files that are made; it must exist.
        size: (height, width) of the input in pixels; None for the model's own.

    Raises:
        SegRosError: the size is impossible.

    """

    def __init__(self, model: Model, work: Path, size: tuple[int, int] | None = None) -> None:
        self.model = model
        self._work = work
        self._made: Path | None = None
        self._probabilities = False
        self.confident = True
        """Whether its logits say how sure it is. Known once :meth:`onnx` was made."""
        self._asked = size or model.options.size
        if self._asked and not all(SMALLEST <= side <= LARGEST for side in self._asked):
            raise SegRosError(
                f"input size {self._asked[0]}x{self._asked[1]}: height and width must be "
                f"{SMALLEST} to {LARGEST} pixels"
            )

    @property
    def labels(self) -> LabelSet:
        """What the classes mean."""
        return self.model.labels

    @property
    def class_count(self) -> int:
        """Number of classes, as many as the label set has; the network is checked against it."""
        return len(self.model.labels)

    @cached_property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the input in pixels.

        Raises:
            SegRosError: nothing says it, or the network is made for another one than asked for.

        """
        if self.model.form is not Form.CHECKPOINT:
            foreign = _import_foreign()
            network = foreign.read_onnx(self.model.path, weights=False)
            size: tuple[int, int] = foreign.input_size(network, self.model, self._asked)
            return size
        path = self.model.path
        own = huggingface.preprocessing(path)[1] if path.is_dir() else None
        return self._asked or own or SIZES.get(self.labels.name, DEFAULT_SIZE)

    @cached_property
    def sha256(self) -> str:
        """Identity of the source: its files, what is said about it, and how it is exported.

        Neither size nor precision is part of it. Needs neither torch nor onnx.
        """
        digest = hashlib.sha256()
        said = asdict(self.model.options) | {"size": None}
        header = [EXPORT_VERSION, self.model.form.value, said, self.class_count]
        digest.update(json.dumps(header, sort_keys=True).encode())
        for file in _files(self.model):
            digest.update(f"\n{file.name} ".encode())
            digest.update(hash_file(file).encode())
        return digest.hexdigest()

    def onnx(self, report: Report = lambda *_: None) -> Path:
        """Return the network as ONNX in the standard form; of a standard file, the file itself.

        Raises:
            SegRosError: the source does not fit, or a library to read it with is missing.

        """
        if self._made is None:
            self._made = self._make(report)
        return self._made

    def take_for_probabilities(self) -> None:
        """Let the next :meth:`onnx` take the output for probabilities, as its values show it is."""
        self._probabilities, self._made = True, None

    def _make(self, report: Report) -> Path:
        foreign = _import_foreign()
        from seg_ros.models.outputs import refuse_training_mode

        if self.model.form is Form.CHECKPOINT:
            report("reading the checkpoint", 0.0)
            folded = self.torch(report)
            from seg_ros.models.export import export_onnx

            report("writing ONNX", 0.3)
            made = export_onnx(folded, self.input_size)
        else:
            report("reading the network", 0.0)
            network = foreign.read_onnx(self.model.path, weights=False)
            refuse_training_mode(network, self.model.path)
            as_it_is = self.model.form is Form.STANDARD and not self._probabilities
            if as_it_is and foreign.is_standard(network):
                foreign.input_size(network, self.model, self._asked)
                foreign.check_logits(network.graph.output[0], self.model)
                return self.model.path
            made, self.confident = foreign.standard_form(
                self.model, self._asked, probabilities=self._probabilities
            )
        height, width = self.input_size
        path = self._work / f"{self.model.name}-{height}x{width}-{self.sha256[:12]}.onnx"
        part = path.with_suffix(".part")
        part.write_bytes(made.SerializeToString(deterministic=True))
        part.replace(path)
        report("writing ONNX", 1.0)
        return path

    def torch(self, report: Report = lambda *_: None) -> FoldedSegformer:
        """Return the network as a torch module, float32 on the CPU, a new one at each call.

        Raises:
            SegRosError: the source is no checkpoint, does not fit, or torch is not installed.

        """
        if self.model.form is not Form.CHECKPOINT:
            raise SegRosError(
                f"{self.model.path}: torch cannot run an ONNX network; use another runtime or "
                "give the checkpoint it was made from"
            )
        checkpoint = self._load()
        if checkpoint.left_out:
            rest = len(checkpoint.left_out) - 1
            more = f" and {rest} more" if rest else ""
            what = f"{checkpoint.left_out[0]}{more} of {self.model.path.name}"
            report(f"left out, as no part of the network: {what}", math.nan)
        from seg_ros.models.folding import FoldedSegformer

        return FoldedSegformer(checkpoint)

    @cached_property
    def flops(self) -> tuple[int, int] | None:
        """Floating point operations of one image, before and after folding; None for ONNX.

        See :func:`seg_ros.models.folding.count_flops` for what is counted.
        """
        if self.model.form is not Form.CHECKPOINT:
            return None
        checkpoint = self._load()
        from seg_ros.models.folding import count_flops

        return count_flops(checkpoint, self.input_size)

    def _load(self) -> Checkpoint:
        try:
            from seg_ros.models.checkpoint import load_checkpoint
        except ImportError as error:
            raise SegRosError(
                f"{self.model.path}: reading a checkpoint needs torch, transformers and "
                f"safetensors (pip install 'seg_ros[export]'): {error}"
            ) from error
        return load_checkpoint(self.model)


def _import_foreign() -> ModuleType:
    try:
        from seg_ros.models import foreign
    except ImportError as error:
        raise SegRosError(
            f"preparing a network needs onnx (pip install 'seg_ros[export]'): {error}"
        ) from error
    return foreign


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _files(model: Model) -> Iterator[Path]:
    """Yield the files that decide what a model computes."""
    if model.path.is_dir():
        yield model.path / huggingface.CONFIG
        if (model.path / huggingface.PREPROCESSOR).is_file():
            yield model.path / huggingface.PREPROCESSOR
        yield from huggingface.weight_files(model.path)
        return
    yield model.path
    if model.path.suffix == ".onnx":
        # Weights may lie in files of their own, which the network names.
        data = model.path.read_bytes()
        for file in sorted(model.path.parent.iterdir()):
            if file != model.path and file.is_file() and file.name.encode() in data:
                yield file
