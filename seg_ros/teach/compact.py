"""The convolutional network for machines without a GPU.

Plain residual blocks of 3x3 convolutions at 1/4 to 1/32 (the blocks of He et al., "Deep Residual
Learning", CVPR 2016), context pooled over the whole frame (Zhao et al., PSPNet, CVPR 2017), and a
top-down sum back to 1/4 (Lin et al., feature pyramids, CVPR 2017). Nothing in it but convolutions,
ReLU, pooling and bilinear upsampling: every runtime computes these well in float32 and float16.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of RGB in 0..1, those of ImageNet: any fixed values would do."""


def _convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class _Block(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs, stride=stride)
        self.second = _convolution(outputs, outputs)
        nn.init.zeros_(self.second[1].weight)  # a new block starts as its shortcut
        changed = stride > 1 or inputs != outputs
        self.shortcut = _convolution(inputs, outputs, 1, stride) if changed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


class CompactNetwork(nn.Module):
    """Segmentation network; `forward` takes (N, H, W, 3) uint8 BGR, gives logits at 1/4.

    Args:
        class_count: C, channels of the logits (N, C, H/4, W/4) float32.
        stem: channels at 1/2.
        widths: channels at 1/4, 1/8, 1/16 and 1/32.
        depths: residual blocks there.
        head: channels of the top-down sum.

    """

    def __init__(
        self,
        class_count: int,
        stem: int = 16,
        widths: Sequence[int] = (24, 48, 80, 112),
        depths: Sequence[int] = (1, 2, 2, 2),
        head: int = 64,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _convolution(3, stem, stride=2), nn.ReLU(), _convolution(stem, widths[0], stride=2)
        )
        stages, inputs = [], widths[0]
        for number, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            blocks = [_Block(inputs, width, 1 if number == 0 else 2)]
            blocks += [_Block(width, width, 1) for _ in range(depth - 1)]
            stages.append(nn.Sequential(*blocks))
            inputs = width
        self.stages = nn.ModuleList(stages)
        self.context = nn.Sequential(nn.Conv2d(inputs, inputs, 1), nn.ReLU())
        self.lateral = nn.ModuleList(_convolution(width, head, 1) for width in widths)
        self.smooth = _convolution(head, head)  # at 1/8
        self.classifier = nn.Conv2d(head, class_count, 1)
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, image: Tensor) -> Tensor:
        """Compute the logits at a quarter of the image's resolution."""
        pixels = image.permute(0, 3, 1, 2).flip(1).float()
        x = torch.relu(self.stem((pixels - self.mean) / self.std))
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        levels[-1] = x + self.context(x.mean((2, 3), keepdim=True))
        total = self.lateral[3](levels[3])
        for number in (2, 1, 0):
            side = self.lateral[number](levels[number])
            above = interpolate(total, size=side.shape[2:], mode="bilinear", align_corners=False)
            total = torch.relu(side + above)
            if number == 1:
                total = torch.relu(self.smooth(total)) + total
        return self.classifier(total)


def multiply_adds(network: nn.Module, size: tuple[int, int]) -> int:
    """Count the multiplications of a network's convolutions for one frame of (height, width)."""
    total = 0

    def count(layer: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d)
        total += layer.weight.numel() * output.shape[2] * output.shape[3]

    hooks = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    with torch.inference_mode():
        network(torch.zeros(1, *size, 3, dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    return total
