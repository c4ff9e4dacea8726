"""A checkpoint of any layout becomes transformers' SegFormer, with all it takes to run it."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import SegformerConfig, SegformerForSemanticSegmentation
from transformers.models.segformer.modeling_segformer import SegformerMLP

from seg_ros.errors import SegRosError
from seg_ros.labels import LabelSet
from seg_ros.models import huggingface
from seg_ros.models.catalogue import Model
from seg_ros.models.layouts import LAYOUTS, Layout, Weight, find_layout, rename
from seg_ros.models.options import Normalisation

SHOWN = 3
"""How many keys of each sort an error names before it only counts them."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "segmentor.")
"""What data parallel training, torch.compile and trainers put before every key."""
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module")
"""Keys under which a training run keeps the weights beside other things."""


@dataclass(frozen=True)
class Checkpoint:
    """A SegFormer and what it was trained with."""

    network: SegformerForSemanticSegmentation
    """On the CPU, float32, for inference. Its own forward is the reference for every layout."""
    labels: LabelSet
    normalisation: Normalisation
    layout: str
    """Whose names the file uses: ``Hugging Face``, ``NVlabs``, ``mmsegmentation``, ..."""
    enlargement: int = 1
    """What the layout's own code enlarges the logits by, with the corners aligned."""
    left_out: tuple[str, ...] = ()
    """Keys of the file that belong to something else than the network."""


class RectifiedProjection(SegformerMLP):
    """A projection of mmsegmentation's decode head: a ReLU follows it, before the resize."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Project (N, C, h, w) features to (N, h * w, E)."""
        return torch.relu(super().forward(hidden_states))


def load_checkpoint(model: Model) -> Checkpoint:
    """Load a SegFormer checkpoint of any known layout.

    Weights come from safetensors, or from a pickle read with ``weights_only``: nothing in the
    file is executed.

    Raises:
        SegRosError: the file is damaged, holds more than weights, is of no known layout, or does
            not fit a SegFormer; then the message names keys and shapes.

    """
    if model.path.is_dir():
        config = _config(model.path)
        files = huggingface.weight_files(model.path)
        state = {key: tensor for file in files for key, tensor in _read(file).items()}
    else:
        config = None
        state = _read(model.path)
    state, left_out = _network_in(state, model.path)
    layout = find_layout(state)
    if layout is None:
        raise SegRosError(f"{model.path}: {_not_a_segformer(state)}")
    weights, unexpected = rename(state, layout)
    where = f"{model.path} ({layout.name} layout)"
    config = config or _infer_config(weights, where)
    network = _build(config, layout)
    _fill(network, weights, unexpected, where)
    classes = network.decode_head.classifier.out_channels
    if classes != len(model.labels):
        raise SegRosError(
            f"{model.path} has {classes} classes, label set {model.labels.name} has "
            f"{len(model.labels)}; name the label set the model was trained with"
        )
    normalisation = model.options.normalisation or (
        huggingface.preprocessing(model.path)[0] if model.path.is_dir() else layout.normalisation
    )
    return Checkpoint(
        network, model.labels, normalisation, layout.name, layout.enlargement, left_out
    )


def _network_in(state: dict[str, Tensor], path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Find the network among what else a training run keeps in one state.

    Lightning saves the module as a whole: ``model.*`` is the network, and ``criterion.weight`` or a
    metric's counters lie beside it.

    Returns:
        The network's keys without their prefix, and those that are not its own.

    Raises:
        SegRosError: there are several networks.

    """
    if find_layout(state) is not None:
        return state, ()
    prefixes = {
        key.removesuffix(layout.marker)
        for layout in LAYOUTS
        for key in state
        if key.endswith(f".{layout.marker}")
    }
    if not prefixes:
        return state, ()
    if len(prefixes) > 1:
        raise SegRosError(
            f"{path}: holds {len(prefixes)} networks ({_some(sorted(prefixes))}); save the weights "
            "of one alone"
        )
    (prefix,) = prefixes
    own = {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}
    return own, tuple(key for key in state if not key.startswith(prefix))


def _read(path: Path) -> dict[str, Tensor]:
    """Read a file's weights, whatever they are wrapped in."""
    if path.suffix == ".safetensors":
        try:
            data: Any = load_file(path)
        except (SafetensorError, OSError) as error:
            raise SegRosError(
                f"{path}: not a whole safetensors file ({_one_line(error)})"
            ) from error
    else:
        data = _unpickle(path)
    state = _unwrap(data)
    if not state:
        raise SegRosError(
            f"{path}: holds no weights; save them with torch.save(model.state_dict(), ...)"
        )
    broken = [key for key, tensor in state.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise SegRosError(f"{path}: {_some(broken)}: NaN or infinity; the training run failed")
    return state


def _unpickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_NUMBERS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch warns of here is an error below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SegRosError(
            f"{path}: refused, because loading it would run code{_wanted(path, error)}; save the "
            "weights alone with torch.save(model.state_dict(), ...)"
        ) from error
    except Exception as error:  # torch's own unpickler lets through what damage makes of it
        if "TorchScript" in str(error):
            raise SegRosError(
                f"{path}: is a TorchScript archive, which is a program; save the weights alone "
                "with torch.save(model.state_dict(), ...)"
            ) from error
        raise SegRosError(
            f"{path}: not a whole checkpoint of torch ({_one_line(error)})"
        ) from error


# Scores of a training run are often numpy numbers; building one executes nothing else.
_NUMBERS: list[Any] = [
    np.dtype,
    *(getattr(np.dtypes, f"{kind}DType") for kind in ("Float64", "Float32", "Int64", "Int32")),
    *(
        (np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar")
        for core in ("core", "_core")
    ),
]


def _wanted(path: Path, error: Exception) -> str:
    """Say what a refused pickle wanted to call."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # an older or damaged file: then only the error knows
        names = re.findall(r"GLOBAL ([\w.]+)", str(error))
    return f" ({_some(sorted(set(names)))})" if names else ""


def _unwrap(data: Any) -> dict[str, Tensor]:
    """Find the weights in what a training run saved, and take common prefixes off their keys."""
    for wrapper in WRAPPERS:
        if isinstance(data, Mapping) and isinstance(data.get(wrapper), Mapping):
            data = data[wrapper]
    if not isinstance(data, Mapping):
        return {}
    state = {str(key): value for key, value in data.items() if isinstance(value, Tensor)}
    stripped = True
    while state and stripped:
        stripped = False
        for prefix in PREFIXES:
            if all(key.startswith(prefix) for key in state):
                state = {key.removeprefix(prefix): value for key, value in state.items()}
                stripped = True
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def _not_a_segformer(state: Mapping[str, Tensor]) -> str:
    known = ", ".join(dict.fromkeys(layout.name for layout in LAYOUTS))
    encoder = any(
        re.match(r"(patch_embed1|layers\.0\.0|stages\.0\.patch_embed|encoder)\.", k) for k in state
    )
    if encoder:
        return (
            "holds an encoder without a decode head (weights to start training from); a "
            "segmentation checkpoint is needed"
        )
    return (
        f"its keys ({_some(list(state))}) are of no known SegFormer layout ({known}); export "
        "another network to ONNX"
    )


def _config(folder: Path) -> SegformerConfig:
    data = huggingface.read_config(folder)
    try:
        config = SegformerConfig.from_dict(data)
    except Exception as error:  # transformers' validation has errors of its own
        raise SegRosError(
            f"{folder / huggingface.CONFIG}: transformers refuses it ({_one_line(error)})"
        ) from error
    # False gives the last stage as a sequence, which the head takes for a square image.
    config.reshape_last_stage = True
    return config


def _infer_config(weights: Mapping[str, Weight], where: str) -> SegformerConfig:
    """Find a SegFormer's depths and widths from the shapes of its weights."""

    def shape(name: str) -> tuple[int, ...]:
        if name not in weights or weights[name].tensor.ndim < 1:
            raise SegRosError(f"{where}: does not fit a SegFormer: missing {name}")
        return tuple(weights[name].tensor.shape)

    blocks = [re.match(r"segformer\.stages\.(\d+)\.blocks\.(\d+)\.", name) for name in weights]
    indices = {(int(match[1]), int(match[2])) for match in blocks if match}
    stages = 1 + max((stage for stage, _ in indices), default=-1)
    depths = [1 + max((b for s, b in indices if s == stage), default=-1) for stage in range(stages)]
    if not depths or 0 in depths:
        raise SegRosError(f"{where}: does not fit a SegFormer: a stage has no blocks")
    stems = [f"segformer.stages.{stage}." for stage in range(stages)]
    embeddings = [shape(f"{stem}patch_embeddings.proj.weight") for stem in stems]
    if any(len(embedding) != 4 for embedding in embeddings):
        raise SegRosError(f"{where}: does not fit a SegFormer: its patch embedding is no image's")
    widths = [embedding[0] for embedding in embeddings]
    if any(width % widths[0] for width in widths):
        raise SegRosError(
            f"{where}: widths {widths} do not tell how many attention heads there are; convert it "
            "to a Hugging Face folder, whose config.json does"
        )
    reductions = []
    for stem in stems:
        name = f"{stem}blocks.0.attention.sequence_reduction.sequence_reduction.weight"
        reductions.append(shape(name)[-1] if name in weights else 1)
    hidden = [shape(f"{stem}blocks.0.mlp.fc1.weight")[0] for stem in stems]
    config = SegformerConfig(
        num_channels=embeddings[0][1],
        num_encoder_blocks=stages,
        depths=depths,
        sr_ratios=reductions,
        hidden_sizes=widths,
        patch_sizes=[embedding[2] for embedding in embeddings],
        # Not in the weights, but the same in every SegFormer.
        strides=[4] + [2] * (stages - 1),
        # In every SegFormer a head is as wide as the first stage.
        num_attention_heads=[width // widths[0] for width in widths],
        mlp_ratios=[size // width for size, width in zip(hidden, widths, strict=True)],
        decoder_hidden_size=shape("decode_head.linear_fuse.weight")[0],
    )
    config.num_labels = shape("decode_head.classifier.weight")[0]
    return config


def _build(config: SegformerConfig, layout: Layout) -> SegformerForSemanticSegmentation:
    """Make a SegFormer without weights, as the layout's own code has it."""
    with torch.device("meta"):
        network = SegformerForSemanticSegmentation(config)
        if layout.name == "mmsegmentation":
            projections = network.decode_head.linear_projections
            for index, width in enumerate(config.hidden_sizes):
                projections[index] = RectifiedProjection(config, width)
    for name, module in network.segformer.named_modules():
        if isinstance(module, torch.nn.LayerNorm):
            embedding = "patch_embeddings" in name or "sequence_reduction" in name
            module.eps = layout.embedding_eps if embedding else layout.block_eps
    network.train(False)
    return network


def _fill(
    network: SegformerForSemanticSegmentation,
    weights: Mapping[str, Weight],
    unexpected: list[str],
    where: str,
) -> None:
    """Put weights into a network; all must fit, none may be left over or missing."""
    wanted = {n: t for n, t in network.state_dict().items() if not n.endswith("batches_tracked")}
    complaints = []
    missing = [name for name in wanted if name not in weights]
    if missing:
        complaints.append(f"missing {_some(missing)}")
    unexpected = unexpected + [w.key for name, w in weights.items() if name not in wanted]
    if unexpected:
        complaints.append(f"unexpected {_some(unexpected)}")
    shapes = [
        f"{weights[n].key} gives {list(weights[n].tensor.shape)} for {list(t.shape)}"
        for n, t in wanted.items()
        if n in weights and weights[n].tensor.shape != t.shape
    ]
    if shapes:
        complaints.append(f"other shapes: {_some(shapes)}")
    if complaints:
        config = network.config
        raise SegRosError(
            f"{where}: does not fit a SegFormer of depths {list(config.depths)} and widths "
            f"{list(config.hidden_sizes)}: {'; '.join(complaints)}"
        )
    state = {name: weights[name].tensor.contiguous() for name in wanted}
    network.load_state_dict(state, strict=False, assign=True)
    # Counts training steps; the last thing on the meta device.
    network.decode_head.batch_norm.num_batches_tracked = torch.tensor(0)
    network.requires_grad_(False)


def _some(names: list[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
