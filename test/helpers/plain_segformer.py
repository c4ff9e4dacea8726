"""SegFormer written out on state dicts, after the code of each layout's authors, to compare with.

Nothing of transformers or of seg_ros is used. `random_nvlabs` and its siblings make checkpoints;
`nvlabs_logits` and its siblings compute what the authors' code computes with them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

State = dict[str, Tensor]
HEADS = (1, 2, 5, 8)
REDUCTIONS = (8, 4, 2, 1)


FAINT = 0.01
"""Scale of what enters layer norms: so small that their eps of 1e-5 or 1e-6 can be told apart."""


class Maker:
    """Draws weights that keep activations of a sensible size, and batch norms that do something."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.state: State = {}

    def _draw(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def matrix(self, name: str, *shape: int, bias: bool = True, scale: float = 1) -> None:
        fan_in = torch.Size(shape[1:]).numel()
        self.state[f"{name}.weight"] = scale * self._draw(*shape) / fan_in**0.5
        if bias:
            self.state[f"{name}.bias"] = 0.1 * scale * self._draw(shape[0])

    def layer_norm(self, name: str, width: int, scale: float = 1) -> None:
        self.state[f"{name}.weight"] = scale * (1 + 0.1 * self._draw(width))
        self.state[f"{name}.bias"] = 0.1 * scale * self._draw(width)

    def batch_norm(self, name: str, width: int) -> None:
        self.layer_norm(name, width)
        self.state[f"{name}.running_mean"] = 0.3 * self._draw(width)
        self.state[f"{name}.running_var"] = 0.5 + self._draw(width).abs()
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(1000)


def random_nvlabs(widths: Sequence[int], depths: Sequence[int], embed: int, classes: int) -> State:
    make = Maker()
    before = 3
    for s, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        kernel = 7 if s == 0 else 3
        make.matrix(f"backbone.patch_embed{s + 1}.proj", width, before, kernel, kernel, scale=FAINT)
        make.layer_norm(f"backbone.patch_embed{s + 1}.norm", width, scale=FAINT)
        for b in range(depth):
            block = f"backbone.block{s + 1}.{b}"
            make.layer_norm(f"{block}.norm1", width)
            make.matrix(f"{block}.attn.q", width, width)
            make.matrix(f"{block}.attn.kv", 2 * width, width)
            if REDUCTIONS[s] > 1:
                make.matrix(f"{block}.attn.sr", width, width, *[REDUCTIONS[s]] * 2, scale=FAINT)
                make.layer_norm(f"{block}.attn.norm", width)
            make.matrix(f"{block}.attn.proj", width, width, scale=FAINT)
            make.layer_norm(f"{block}.norm2", width)
            make.matrix(f"{block}.mlp.fc1", 4 * width, width)
            make.matrix(f"{block}.mlp.dwconv.dwconv", 4 * width, 1, 3, 3)
            make.matrix(f"{block}.mlp.fc2", width, 4 * width, scale=FAINT)
        make.layer_norm(f"backbone.norm{s + 1}", width)
        make.matrix(f"decode_head.linear_c{s + 1}.proj", embed, width)
        before = width
    make.matrix("decode_head.linear_fuse.conv", embed, 4 * embed, 1, 1, bias=False)
    make.batch_norm("decode_head.linear_fuse.bn", embed)
    make.matrix("decode_head.linear_pred", classes, embed, 1, 1)
    make.matrix("decode_head.conv_seg", classes, embed, 1, 1)  # saved, and used by nobody
    return make.state


def _renamed(state: State, pairs: Sequence[tuple[str, str]]) -> State:
    renamed = {}
    for key, tensor in state.items():
        for old, new in pairs:
            key = key.replace(old, new)
        renamed[key] = tensor
    return renamed


def stages_of_nvlabs(state: State, head: str = "decode_head", from_last: bool = True) -> State:
    """Rename to the `stages` layout, or with head="decoder_head" to the course's."""
    pairs = []
    for s in range(4):
        layer = 3 - s if from_last else s
        pairs += [
            (f"backbone.patch_embed{s + 1}.", f"backbone.stages.{s}.patch_embed."),
            (f"backbone.block{s + 1}.", f"backbone.stages.{s}.blocks."),
            (f"backbone.norm{s + 1}.", f"backbone.stages.{s}.norm."),
            (f"decode_head.linear_c{s + 1}.proj", f"decode_head.layers.{layer}"),
        ]
    pairs += [(".mlp.dwconv.dwconv", ".ffn.conv"), (".mlp.", ".ffn.")]
    pairs += [("linear_fuse.conv", "linear_fuse"), ("linear_fuse.bn", "bn")]
    state = {k: v for k, v in state.items() if "conv_seg" not in k}
    renamed = _renamed(state, [*pairs, ("decode_head.", f"{head}.")])
    return {
        k: v[..., None, None] if ".layers." in k and k.endswith("weight") else v
        for k, v in renamed.items()
    }


def mmsegmentation_of_nvlabs(state: State) -> State:
    """Rename to mmsegmentation's layout; its head's convolutions get batch norms of their own."""
    pairs = []
    for s in range(4):
        pairs += [
            (f"backbone.patch_embed{s + 1}.proj", f"backbone.layers.{s}.0.projection"),
            (f"backbone.patch_embed{s + 1}.norm", f"backbone.layers.{s}.0.norm"),
            (f"backbone.block{s + 1}.", f"backbone.layers.{s}.1."),
            (f"backbone.norm{s + 1}.", f"backbone.layers.{s}.2."),
            (f"decode_head.linear_c{s + 1}.proj", f"decode_head.convs.{s}.conv"),
        ]
    pairs += [("mlp.fc1", "ffn.layers.0"), ("mlp.dwconv.dwconv", "ffn.layers.1")]
    pairs += [("mlp.fc2", "ffn.layers.4"), ("attn.proj", "attn.attn.out_proj")]
    pairs += [("linear_fuse", "fusion_conv"), ("linear_pred", "conv_seg")]
    state = {k: v for k, v in state.items() if "conv_seg" not in k}
    renamed: State = {}
    for key, tensor in _renamed(state, pairs).items():
        if ".attn.q." in key:
            kv = _renamed(state, pairs)[key.replace(".q.", ".kv.")]
            renamed[key.replace("attn.q.", "attn.attn.in_proj_")] = torch.cat([tensor, kv])
        elif re.search(r"(ffn\.layers\.[04]|convs\.\d\.conv)\.weight", key):
            renamed[key] = tensor[..., None, None]
        elif ".attn.kv." not in key and not ("convs" in key and key.endswith("bias")):
            renamed[key] = tensor
    make = Maker(seed=1)
    for s in range(4):
        width = renamed[f"decode_head.convs.{s}.conv.weight"].shape[0]
        make.batch_norm(f"decode_head.convs.{s}.bn", width)
    return renamed | make.state


def _norm(state: State, name: str, x: Tensor, eps: float) -> Tensor:
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return functional.layer_norm(x, weight.shape, weight, bias, eps)


def _batch_norm(state: State, name: str, x: Tensor) -> Tensor:
    parts = (state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
    return functional.batch_norm(x, *parts, training=False, eps=1e-5)


def _linear(state: State, name: str, x: Tensor) -> Tensor:
    return functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def _conv(state: State, name: str, x: Tensor, **options: int) -> Tensor:
    return functional.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), **options)


def _image(x: Tensor, size: Sequence[int]) -> Tensor:
    return x.transpose(1, 2).reshape(len(x), -1, *size)


def _tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def _nvlabs_stages(state: State, x: Tensor) -> list[Tensor]:
    outputs = []
    for s in range(4):
        x = _conv(
            state,
            f"backbone.patch_embed{s + 1}.proj",
            x,
            stride=2 if s else 4,
            padding=1 if s else 3,
        )
        size = x.shape[2:]
        x = _norm(state, f"backbone.patch_embed{s + 1}.norm", _tokens(x), 1e-5)
        blocks = {k.split(".")[2] for k in state if k.startswith(f"backbone.block{s + 1}.")}
        for b in range(len(blocks)):
            block = f"backbone.block{s + 1}.{b}"
            y = _norm(state, f"{block}.norm1", x, 1e-6)
            n, length, width = y.shape
            head = width // HEADS[s]
            q = (
                _linear(state, f"{block}.attn.q", y)
                .reshape(n, length, HEADS[s], head)
                .transpose(1, 2)
            )
            if REDUCTIONS[s] > 1:
                y = _conv(state, f"{block}.attn.sr", _image(y, size), stride=REDUCTIONS[s])
                y = _norm(state, f"{block}.attn.norm", _tokens(y), 1e-5)
            kv = _linear(state, f"{block}.attn.kv", y)
            k, v = kv.reshape(n, -1, 2, HEADS[s], head).permute(2, 0, 3, 1, 4)
            y = ((q @ k.transpose(-2, -1)) * head**-0.5).softmax(-1) @ v
            x = x + _linear(
                state, f"{block}.attn.proj", y.transpose(1, 2).reshape(n, length, width)
            )
            y = _linear(state, f"{block}.mlp.fc1", _norm(state, f"{block}.norm2", x, 1e-6))
            y = _conv(
                state, f"{block}.mlp.dwconv.dwconv", _image(y, size), padding=1, groups=4 * width
            )
            x = x + _linear(state, f"{block}.mlp.fc2", functional.gelu(_tokens(y)))
        x = _image(_norm(state, f"backbone.norm{s + 1}", x, 1e-6), size)
        outputs.append(x)
    return outputs


def _enlarge(x: Tensor, to: Tensor) -> Tensor:
    return functional.interpolate(x, size=to.shape[2:], mode="bilinear", align_corners=False)


def nvlabs_logits(state: State, pixels: Tensor) -> Tensor:
    """What NVlabs/SegFormer computes for (N, 3, H, W) pixels: logits at a quarter of the size."""
    stages = _nvlabs_stages(state, pixels)
    parts = []
    for s in (3, 2, 1, 0):
        projected = _linear(state, f"decode_head.linear_c{s + 1}.proj", _tokens(stages[s]))
        parts.append(_enlarge(_image(projected, stages[s].shape[2:]), stages[0]))
    x = _conv(state, "decode_head.linear_fuse.conv", torch.cat(parts, dim=1))
    x = _batch_norm(state, "decode_head.linear_fuse.bn", x).relu()
    return _conv(state, "decode_head.linear_pred", x)


def mmsegmentation_logits(state: State, pixels: Tensor) -> Tensor:
    """What mmsegmentation computes: torch's attention, eps 1e-6, a ReLU before the resize."""
    x, stages = pixels, []
    for s in range(4):
        stage = f"backbone.layers.{s}"
        x = _conv(state, f"{stage}.0.projection", x, stride=2 if s else 4, padding=1 if s else 3)
        size = x.shape[2:]
        x = _norm(state, f"{stage}.0.norm", _tokens(x), 1e-6)
        blocks = {k.split(".")[4] for k in state if k.startswith(f"{stage}.1.")}
        for b in range(len(blocks)):
            block = f"{stage}.1.{b}"
            y = keys = _norm(state, f"{block}.norm1", x, 1e-6)
            if REDUCTIONS[s] > 1:
                keys = _conv(state, f"{block}.attn.sr", _image(y, size), stride=REDUCTIONS[s])
                keys = _norm(state, f"{block}.attn.norm", _tokens(keys), 1e-6)
            attention = nn.MultiheadAttention(y.shape[2], HEADS[s], batch_first=True)
            own = f"{block}.attn.attn."
            attention.load_state_dict(
                {k[len(own) :]: v for k, v in state.items() if k.startswith(own)}
            )
            x = x + attention(y, keys, keys, need_weights=False)[0]
            y = _image(_norm(state, f"{block}.norm2", x, 1e-6), size)
            y = _conv(state, f"{block}.ffn.layers.0", y)
            y = _conv(state, f"{block}.ffn.layers.1", y, padding=1, groups=y.shape[1])
            x = x + _tokens(_conv(state, f"{block}.ffn.layers.4", functional.gelu(y)))
        x = _image(_norm(state, f"{stage}.2", x, 1e-6), size)
        stages.append(x)
    parts = []
    for s, features in enumerate(stages):
        y = _conv(state, f"decode_head.convs.{s}.conv", features)
        parts.append(_enlarge(_batch_norm(state, f"decode_head.convs.{s}.bn", y).relu(), stages[0]))
    y = _conv(state, "decode_head.fusion_conv.conv", torch.cat(parts, dim=1))
    y = _batch_norm(state, "decode_head.fusion_conv.bn", y).relu()
    return _conv(state, "decode_head.conv_seg", y)
