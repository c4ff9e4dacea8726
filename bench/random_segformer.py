"""SegFormer B0 and B3 with random weights, batch norm statistics included, to measure with."""

from pathlib import Path

import torch
from transformers import SegformerConfig, SegformerForSemanticSegmentation

CONFIGS = {
    "B0": {},
    "B3": {
        "depths": [3, 4, 18, 3],
        "hidden_sizes": [64, 128, 320, 512],
        "decoder_hidden_size": 768,
    },
}


def write_checkpoint(name: str, folder: Path) -> Path:
    """Write a Hugging Face folder with 19 classes; return its path."""
    torch.manual_seed(0)
    config = SegformerConfig(id2label={i: f"LABEL_{i}" for i in range(19)}, **CONFIGS[name])
    network = SegformerForSemanticSegmentation(config)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
        norm = network.decode_head.batch_norm
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2)
    network.save_pretrained(folder / name)
    return folder / name
