"""Where each of the field's SegFormer checkpoints keeps what, in transformers' names.

They hold the same network but for what :class:`Layout` says.

- ``Hugging Face``: transformers, before and since the names of version 5.
- ``NVlabs``: the authors' code, github.com/NVlabs/SegFormer.
- ``mmsegmentation``: OpenMMLab's. Its decode head has a batch norm and a ReLU per stage, before
  the resize.
- ``stages``: the rewrite github.com/anibali/segformer.
- ``segformer_mit_b3``: a course's model made after that rewrite; its head is a ``decoder_head``.
- ``segmentation-models-pytorch``: of version 0.5 and 0.6. It enlarges its logits to the size of the
  input itself, with ``align_corners=True``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from seg_ros.models.options import Normalisation

STAGE = "segformer.stages.<s>."
EMBEDDING = STAGE + "patch_embeddings."
BLOCK = STAGE + "blocks.<b>."
ATTENTION = BLOCK + "attention."
REDUCTION = ATTENTION + "sequence_reduction."
HEAD = "decode_head."
PROJECT = HEAD + "linear_projections.<s>."
COMMON_HEAD = {
    f"{HEAD}{part}": f"{HEAD}{part}" for part in ("linear_fuse", "batch_norm", "classifier")
}
# Left by training and by counters of operations; no part of the network.
TRAINING = r"(.*\.)?(num_batches_tracked|total_ops|total_params)|auxiliary_head\..*"


@dataclass(frozen=True)
class Layout:
    """One way to name a SegFormer's weights."""

    name: str
    marker: str
    """A weight that no other layout has."""
    modules: Mapping[str, str]
    """Transformers' name of a module by the layout's, ``<s>`` for the stage, ``<b>`` for the block
    and ``<n>`` for what counts from 0 where stages do not; ``(k|v)`` where one matrix is several
    there. Empty where the names are the same."""
    ignored: str = TRAINING
    """Keys that inference does not need, as a regular expression."""
    first_stage: int = 0
    """What the layout calls the first stage."""
    block_eps: float = 1e-5
    """Of the layer norms in blocks and at the end of stages; transformers' is 1e-5."""
    embedding_eps: float = 1e-5
    """Of the layer norms after patch embedding and sequence reduction."""
    last_first: bool = True
    """Whether the fuse convolution's input begins with the last stage, as in transformers."""
    normalisation: Normalisation = field(default=Normalisation())
    enlargement: int = 1
    """What its own code multiplies the size of its logits by, with the corners aligned."""

    @cached_property
    def patterns(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        """The modules as regular expressions, with the parameter's name behind."""
        index = {f"<{letter}>": rf"(?P<{letter}>\d+)" for letter in "sbn"}
        compiled = []
        for module, name in self.modules.items():
            pattern = re.escape(module)
            for mark, number in index.items():
                pattern = pattern.replace(re.escape(mark), number)
            # MultiheadAttention says in_proj_weight, everything else says .weight.
            pattern += r"[._](?P<parameter>weight|bias|running_mean|running_var)"
            compiled.append((re.compile(pattern), name))
        return tuple(compiled)

    def names_of(self, key: str) -> list[str]:
        """Return what transformers calls a key of the file; empty where it has no such thing."""
        if re.fullmatch(self.ignored, key):
            return []
        if not self.modules:
            return [key]
        for pattern, name in self.patterns:
            match = pattern.fullmatch(key)
            if match is None:
                continue
            found = match.groupdict()
            stage = int(found.get("s", 0)) - self.first_stage
            name = name.replace("<s>", str(stage)).replace("<b>", found.get("b", ""))
            name = name.replace("<n>", found.get("n", ""))
            name = f"{name}.{found['parameter']}"
            several = re.search(r"\(.+\)", name)
            if several is None:
                return [name]
            return [name.replace(several[0], letter) for letter in several[0][1:-1].split("|")]
        return []


_BLOCK_PARTS = (
    BLOCK + "layernorm_before",
    BLOCK + "layernorm_after",
    REDUCTION + "sequence_reduction",
    REDUCTION + "layer_norm",
    ATTENTION + "o_proj",
    BLOCK + "mlp.fc1",
    BLOCK + "mlp.dwconv.dwconv",
    BLOCK + "mlp.fc2",
)
"""The parts of a block that every layout has under one name each; in ``_block``'s order."""

_TIMM = ("norm1", "norm2", "attn.sr", "attn.norm", "attn.proj")
"""The first of them as timm's vision transformers name them, and who wrote after those."""


def _block(prefix: str, attention: Mapping[str, str], *parts: str) -> dict[str, str]:
    """Name a block's modules: those of query, key and value, then :data:`_BLOCK_PARTS`."""
    matrices = {prefix + name: f"{ATTENTION}{letters}_proj" for name, letters in attention.items()}
    return matrices | {prefix + name: part for name, part in zip(parts, _BLOCK_PARTS, strict=True)}


_HUGGING_FACE = Layout(
    name="Hugging Face",
    marker="segformer.stages.0.patch_embeddings.proj.weight",
    modules={},
)
_HUGGING_FACE_4 = Layout(
    name="Hugging Face",
    marker="segformer.encoder.patch_embeddings.0.proj.weight",
    modules={
        "segformer.encoder.patch_embeddings.<s>.proj": EMBEDDING + "proj",
        "segformer.encoder.patch_embeddings.<s>.layer_norm": EMBEDDING + "layer_norm",
        "segformer.encoder.layer_norm.<s>": STAGE + "layer_norm",
        **_block(
            "segformer.encoder.block.<s>.<b>.",
            {f"attention.self.{name}": name[0] for name in ("query", "key", "value")},
            "layer_norm_1",
            "layer_norm_2",
            "attention.self.sr",
            "attention.self.layer_norm",
            "attention.output.dense",
            "mlp.dense1",
            "mlp.dwconv.dwconv",
            "mlp.dense2",
        ),
        "decode_head.linear_c.<s>.proj": PROJECT + "proj",
        **COMMON_HEAD,
    },
)
_NVLABS = Layout(
    name="NVlabs",
    marker="backbone.patch_embed1.proj.weight",
    modules={
        "backbone.patch_embed<s>.proj": EMBEDDING + "proj",
        "backbone.patch_embed<s>.norm": EMBEDDING + "layer_norm",
        "backbone.norm<s>": STAGE + "layer_norm",
        **_block(
            "backbone.block<s>.<b>.",
            {"attn.q": "q", "attn.kv": "(k|v)"},
            *_TIMM,
            "mlp.fc1",
            "mlp.dwconv.dwconv",
            "mlp.fc2",
        ),
        "decode_head.linear_c<s>.proj": PROJECT + "proj",
        "decode_head.linear_fuse.conv": HEAD + "linear_fuse",
        "decode_head.linear_fuse.bn": HEAD + "batch_norm",
        "decode_head.linear_pred": HEAD + "classifier",
    },
    # conv_seg is of the base class of mmsegmentation's heads; the forward pass does not use it.
    ignored=TRAINING + r"|decode_head\.conv_seg\..*|backbone\.head\..*",
    first_stage=1,
    block_eps=1e-6,
)
_MMSEGMENTATION = Layout(
    name="mmsegmentation",
    marker="backbone.layers.0.0.projection.weight",
    modules={
        "backbone.layers.<s>.0.projection": EMBEDDING + "proj",
        "backbone.layers.<s>.0.norm": EMBEDDING + "layer_norm",
        "backbone.layers.<s>.2": STAGE + "layer_norm",
        **_block(
            "backbone.layers.<s>.1.<b>.",
            {"attn.attn.in_proj": "(q|k|v)"},
            "norm1",
            "norm2",
            "attn.sr",
            "attn.norm",
            "attn.attn.out_proj",
            "ffn.layers.0",
            "ffn.layers.1",
            "ffn.layers.4",
        ),
        "decode_head.convs.<s>.conv": PROJECT + "proj",
        "decode_head.convs.<s>.bn": PROJECT + "batch_norm",
        "decode_head.fusion_conv.conv": HEAD + "linear_fuse",
        "decode_head.fusion_conv.bn": HEAD + "batch_norm",
        "decode_head.conv_seg": HEAD + "classifier",
    },
    ignored=TRAINING + r"|data_preprocessor\..*",
    block_eps=1e-6,
    embedding_eps=1e-6,
    last_first=False,
)
_STAGES_BACKBONE = {
    "backbone.stages.<s>.patch_embed.proj": EMBEDDING + "proj",
    "backbone.stages.<s>.patch_embed.norm": EMBEDDING + "layer_norm",
    "backbone.stages.<s>.norm": STAGE + "layer_norm",
    **_block(
        "backbone.stages.<s>.blocks.<b>.",
        {"attn.q": "q", "attn.kv": "(k|v)"},
        *_TIMM,
        "ffn.fc1",
        "ffn.conv",
        "ffn.fc2",
    ),
}
_STAGES_HEAD = {
    "layers.<s>": PROJECT + "proj",
    "linear_fuse": HEAD + "linear_fuse",
    "bn": HEAD + "batch_norm",
    "linear_pred": HEAD + "classifier",
}
_STAGES = Layout(
    name="stages",
    marker="decode_head.layers.0.weight",
    modules=_STAGES_BACKBONE | {f"decode_head.{k}": name for k, name in _STAGES_HEAD.items()},
    block_eps=1e-6,
)
_COURSE = Layout(
    name="segformer_mit_b3",
    marker="decoder_head.layers.0.weight",
    modules=_STAGES_BACKBONE | {f"decoder_head.{k}": name for k, name in _STAGES_HEAD.items()},
    block_eps=1e-6,
    # As in the course's own preprocessing, which its models were trained with: 0.56 where
    # ImageNet's mean of green is 0.456.
    normalisation=Normalisation(mean=(0.485, 0.56, 0.406)),
)

_SMP = Layout(
    name="segmentation-models-pytorch",
    marker="decoder.mlp_stage.0.linear.weight",
    modules={
        **{
            module.replace("backbone.", "encoder.", 1): name
            for module, name in _NVLABS.modules.items()
            if module.startswith("backbone.")
        },
        "decoder.mlp_stage.<n>.linear": PROJECT.replace("<s>", "<n>") + "proj",
        "decoder.fuse_stage.0": HEAD + "linear_fuse",
        "decoder.fuse_stage.1": HEAD + "batch_norm",
        "segmentation_head.0": HEAD + "classifier",
    },
    ignored=TRAINING + r"|classification_head\..*",
    first_stage=1,
    block_eps=1e-6,
    enlargement=4,
)

LAYOUTS = (_HUGGING_FACE, _HUGGING_FACE_4, _NVLABS, _MMSEGMENTATION, _STAGES, _COURSE, _SMP)


def find_layout(keys: Iterable[str]) -> Layout | None:
    """Return the layout a checkpoint's keys are in, or None."""
    listed = set(keys)
    return next((layout for layout in LAYOUTS if layout.marker in listed), None)


PROJECTION = re.compile(r"decode_head\.linear_projections\.(\d+)\.proj\.(\w+)")
FUSE = "decode_head.linear_fuse.weight"
BATCH_NORM_EPS = 1e-5
"""torch's default, which all of the layouts use."""


class Weight(NamedTuple):
    """A tensor of a checkpoint, and the key it has in the file."""

    tensor: Tensor
    key: str


def rename(state: Mapping[str, Tensor], layout: Layout) -> tuple[dict[str, Weight], list[str]]:
    """Give a checkpoint's weights transformers' names and shapes.

    What is one matrix there and several in transformers is split; 1x1 convolutions that are linear
    layers in transformers become so; mmsegmentation's batch norm before the resize is made part of
    its projection (``y = gain * (x W) + shift``, exact).

    Returns:
        The weights by transformers' name, and the keys of the file that nothing goes by.

    """
    weights: dict[str, Weight] = {}
    unexpected = []
    for key, tensor in state.items():
        names = layout.names_of(key)
        if not names and not re.fullmatch(layout.ignored, key):
            unexpected.append(key)
        # A matrix that cannot be split evenly is kept, for its shape to be refused later.
        splits = tensor.ndim > 0 and names and tensor.shape[0] % len(names) == 0
        parts = tensor.chunk(len(names)) if splits else [tensor] * len(names)
        for name, part in zip(names, parts, strict=True):
            linear = name.endswith((".fc1.weight", ".fc2.weight", ".proj.weight"))
            if linear and part.ndim == 4 and part.shape[2:] == (1, 1):
                part = part[:, :, 0, 0]
            weights[name] = Weight(part, key)
    weights = _order_projections(weights)
    fuse = weights.get(FUSE)
    if fuse is not None and not layout.last_first and fuse.tensor.ndim == 4:
        stages = sum(bool(PROJECTION.fullmatch(n)) and n.endswith("weight") for n in weights)
        turned = torch.cat(fuse.tensor.chunk(max(stages, 1), dim=1)[::-1], dim=1)
        weights[FUSE] = Weight(turned, fuse.key)
    _absorb_batch_norms(weights)
    return weights, unexpected


def _order_projections(weights: dict[str, Weight]) -> dict[str, Weight]:
    """Put the head's projections in the order of the stages.

    The ``stages`` layout counts them from the last stage, some copies of the course's from the
    first. Only one order fits the widths of the stages.
    """
    count = sum(name.endswith(".proj.weight") for name in weights if PROJECTION.fullmatch(name))
    embedding = weights.get("segformer.stages.0.patch_embeddings.proj.weight")
    last = weights.get(f"decode_head.linear_projections.{count - 1}.proj.weight")
    if embedding is None or last is None or last.tensor.ndim != 2:
        return weights
    if last.tensor.shape[1] != embedding.tensor.shape[0]:
        return weights

    def turned(name: str) -> str:
        match = PROJECTION.fullmatch(name)
        if match is None:
            return name
        return f"decode_head.linear_projections.{count - 1 - int(match[1])}.proj.{match[2]}"

    return {turned(name): weight for name, weight in weights.items()}


def _absorb_batch_norms(weights: dict[str, Weight]) -> None:
    for name in [n for n in weights if PROJECTION.fullmatch(n) and n.endswith("weight")]:
        stem = name.removesuffix("proj.weight")
        parts = [f"{stem}batch_norm.{p}" for p in ("weight", "bias", "running_mean", "running_var")]
        matrix = weights[name].tensor
        if not all(p in weights and weights[p].tensor.shape == matrix.shape[:1] for p in parts):
            continue  # there is none, or what is left of it is refused later
        key = weights[parts[1]].key
        gain, shift, mean, variance = (weights.pop(part).tensor.double() for part in parts)
        gain = gain / torch.sqrt(variance + BATCH_NORM_EPS)
        folded = (gain[:, None] * matrix.double()).to(matrix.dtype)
        weights[name] = Weight(folded, weights[name].key)
        weights[f"{stem}proj.bias"] = Weight((shift - mean * gain).to(matrix.dtype), key)
