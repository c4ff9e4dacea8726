"""The folded SegFormer that is trained, and its folder on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from recipe.samples import CLASSES, INPUT_SIZE, MEAN, STD, Config


class FoldedSegformer(nn.Module):
    """SegFormer with a folded decode head and its preprocessing, around the Hugging Face modules.

    `forward` takes images (N, H, W, 3) uint8 BGR and gives logits (N, 11, H/4, W/4) float32.
    """

    def __init__(self, model: SegformerForSemanticSegmentation) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        width = model.config.decoder_hidden_size
        identity = torch.eye(width).repeat(1, len(model.config.hidden_sizes))
        fuse = model.decode_head.linear_fuse.weight
        fuse.data.copy_(identity[..., None, None])
        fuse.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Compute the logits at a quarter of the image's resolution."""
        pixels = image.permute(0, 3, 1, 2).flip(1).float()
        pixels = (pixels - self.mean) / self.std
        stages = self.model.segformer(pixels, output_hidden_states=True).hidden_states
        head = self.model.decode_head
        fused = None
        for projection, stage in zip(head.linear_projections, stages, strict=True):
            linear = projection.proj
            projected = conv2d(stage, linear.weight[..., None, None], linear.bias)
            if fused is None:
                fused = projected
            else:
                fused = fused + interpolate(
                    projected, size=fused.shape[2:], mode="bilinear", align_corners=False
                )
        return head.classifier(head.dropout(torch.relu(head.batch_norm(fused))))


def load_model(folder: Path, **options: Any) -> SegformerForSemanticSegmentation:
    """Load a folder in Hugging Face layout whose decode head was trained folded."""
    # Attention written out trains faster than the fused operator on a CPU of two cores.
    model = SegformerForSemanticSegmentation.from_pretrained(
        folder, attn_implementation="eager", **options
    )
    identity = torch.eye(model.config.decoder_hidden_size).repeat(1, len(model.config.depths))
    if not torch.equal(model.decode_head.linear_fuse.weight[..., 0, 0], identity):
        raise SystemExit(f"{folder} was not trained folded: its fuse convolution does work")
    return model


def save_folder(model: SegformerForSemanticSegmentation, folder: Path) -> None:
    """Save a model in Hugging Face layout: config, safetensors, preprocessing."""
    model.save_pretrained(folder)
    preprocessing = {
        "image_processor_type": "SegformerImageProcessor",
        "do_resize": True,
        "size": {"height": INPUT_SIZE[0], "width": INPUT_SIZE[1]},
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
    }
    text = json.dumps(preprocessing, indent=1) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")


def build_network(config: Config, start: Path | None) -> FoldedSegformer:
    """Make the network with random weights, or with those of the folder `start`."""
    network = config["network"]
    regularisation = {
        "drop_path_rate": network["drop_path"],
        "classifier_dropout_prob": network["dropout"],
    }
    if start is not None:
        return FoldedSegformer(load_model(start, **regularisation))
    return FoldedSegformer(
        SegformerForSemanticSegmentation(
            SegformerConfig(
                hidden_sizes=network["encoder"],
                depths=network["depths"],
                num_attention_heads=network["heads"],
                decoder_hidden_size=network["head_width"],
                id2label=dict(enumerate(CLASSES)),
                label2id={name: i for i, name in enumerate(CLASSES)},
                attn_implementation="eager",
                **regularisation,
            )
        )
    )
