"""SegFormer with its decode head folded: the same logits for a fraction of the work.

The decode head of Xie et al., "SegFormer", NeurIPS 2021, projects each stage to E channels,
enlarges all to a quarter of the image, concatenates them, fuses 4 E channels to E with a 1x1
convolution, and normalises. Projection, enlarging, fusing and normalising are linear, and a 1x1
convolution commutes with bilinear interpolation, whose weights sum to one. So each stage is taken
straight to what the fused layer needs of it, at the stage's own resolution, and the enlarged
stages are summed: exact but for rounding, and the large convolution is gone.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils.flop_counter import FlopCounterMode

from seg_ros.models.checkpoint import Checkpoint, RectifiedProjection


class FoldedSegformer(nn.Module):
    """A checkpoint with a folded decode head and its normalisation.

    Takes (N, H, W, 3) uint8 BGR images and gives (N, C, H/4, W/4) logits (sides rounded up), or
    larger ones where the checkpoint's own code enlarges them. Shares the encoder's weights with the
    checkpoint's network.

    :attr:`stages` may be given another precision than the head; what enters a part is cast to the
    part's own.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        # transformers' modules are typed as whatever may be an attribute of a module.
        network: Any = checkpoint.network
        head = network.decode_head
        self.stages: Any = network.segformer.stages
        fuse = head.linear_fuse.weight.double()[:, :, 0, 0]
        norm = head.batch_norm
        gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        shift = norm.bias.double() - norm.running_mean.double() * gain
        # The head concatenates the last stage first.
        parts = reversed((gain[:, None] * fuse).chunk(len(head.linear_projections), dim=1))
        projections: list[nn.Module] = []
        for projection, part in zip(head.linear_projections, parts, strict=True):
            matrix, bias = projection.proj.weight.double(), projection.proj.bias.double()
            # The shift enters the sum once.
            offset = torch.zeros_like(shift) if projections else shift
            if isinstance(projection, RectifiedProjection):
                # Only what follows the ReLU commutes with the enlarging.
                projections.append(
                    nn.Sequential(_pointwise(matrix, bias), nn.ReLU(), _pointwise(part, offset))
                )
            else:
                projections.append(_pointwise(part @ matrix, part @ bias + offset))
        self.projections = nn.ModuleList(projections)
        self.classifier = _pointwise(
            head.classifier.weight.double()[:, :, 0, 0], head.classifier.bias.double()
        )
        self.enlargement = checkpoint.enlargement
        normalisation = checkpoint.normalisation
        self.flip = normalisation.order == "rgb"
        scaled = [
            normalisation.scale * torch.tensor(v) for v in (normalisation.mean, normalisation.std)
        ]
        self.register_buffer("mean", scaled[0].view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", scaled[1].view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Compute the logits of (N, H, W, 3) uint8 BGR images."""
        return self.decode(self.encode(self.normalise(image)))

    def normalise(self, image: Tensor) -> Tensor:
        """Turn (N, H, W, 3) uint8 BGR into the (N, 3, H, W) that the encoder was trained on."""
        pixels = image.permute(0, 3, 1, 2)
        pixels = (pixels.flip(1) if self.flip else pixels).to(self.mean.dtype)
        return (pixels - self.mean) / self.std

    def encode(self, pixels: Tensor) -> list[Tensor]:
        """Compute the (N, C, h, w) features of every stage."""
        features = pixels.to(self.stages[0].patch_embeddings.proj.weight.dtype)
        stages = []
        for stage in self.stages:
            features = stage(features)
            stages.append(features)
        return stages

    def decode(self, stages: list[Tensor]) -> Tensor:
        """Compute the logits from the features of every stage."""
        dtype = self.classifier.weight.dtype
        fused: Tensor | None = None
        for projection, stage in zip(self.projections, stages, strict=True):
            part = projection(stage.to(dtype))
            if fused is None:
                fused = part
            else:
                fused = fused + interpolate(
                    part, size=fused.shape[2:], mode="bilinear", align_corners=False
                )
        assert fused is not None
        logits: Tensor = self.classifier(torch.relu(fused))
        if self.enlargement > 1:
            size = [side * self.enlargement for side in logits.shape[2:]]
            logits = interpolate(logits, size=size, mode="bilinear", align_corners=True)
        return logits


def _pointwise(matrix: Tensor, bias: Tensor) -> nn.Conv2d:
    """Make a 1x1 float32 convolution of an (E, C) matrix and an (E,) bias."""
    layer = nn.Conv2d(matrix.shape[1], matrix.shape[0], 1, device="meta")
    layer.weight = nn.Parameter(matrix.float()[..., None, None])
    layer.bias = nn.Parameter(bias.float())
    return layer


def count_flops(checkpoint: Checkpoint, size: tuple[int, int]) -> tuple[int, int]:
    """Count the floating point operations of one image, unfolded and folded.

    A multiplication and its addition count as two. Counted are convolutions and matrix products,
    those of attention included, as torch's own counter does; not normalisation, activations,
    softmax and interpolation. Nothing is computed.

    Args:
        checkpoint: the network.
        size: (height, width) of the input in pixels.

    """
    unfolded: Any = copy.deepcopy(checkpoint.network)
    unfolded.to("meta")
    folded = copy.deepcopy(FoldedSegformer(checkpoint)).to("meta")
    pixels = torch.empty(1, unfolded.config.num_channels, *size, device="meta")
    image = torch.empty(1, *size, 3, dtype=torch.uint8, device="meta")
    return _count(unfolded, pixels), _count(folded, image)


def _count(module: nn.Module, argument: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(argument)
    return int(counter.get_total_flops())
