"""Write a SegFormer B3 with random weights as ONNX, to measure with: 19 classes at 512x1024.

Needs the extra "export".

    python bench/segformer_b3.py b3.onnx
"""

import sys

import torch
from transformers import SegformerConfig, SegformerForSemanticSegmentation


class Network(torch.nn.Module):
    """uint8 NHWC BGR in, logits at a quarter of the size out; normalisation inside."""

    def __init__(self) -> None:
        super().__init__()
        config = SegformerConfig(
            depths=[3, 4, 18, 3],
            hidden_sizes=[64, 128, 320, 512],
            decoder_hidden_size=768,
            num_labels=19,
        )
        self.network = SegformerForSemanticSegmentation(config).eval()
        self.register_buffer("mean", torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(1, H, W, 3) uint8 to (1, 19, H / 4, W / 4) float32."""
        pixels = image.permute(0, 3, 1, 2).flip(1).float()
        return self.network((pixels - self.mean) / self.std).logits


def main() -> None:
    image = torch.zeros((1, 512, 1024, 3), dtype=torch.uint8)
    torch.onnx.export(
        Network(), (image,), sys.argv[1], input_names=["image"], output_names=["logits"],
        opset_version=18, dynamo=True, external_data=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
