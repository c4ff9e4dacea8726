import copy
from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from plain_segformer import mmsegmentation_of_nvlabs, random_nvlabs
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from seg_ros.labels import load_label_set
from seg_ros.models.catalogue import find_model
from seg_ros.models.checkpoint import Checkpoint, load_checkpoint
from seg_ros.models.export import export_onnx
from seg_ros.models.folding import FoldedSegformer, count_flops
from seg_ros.models.options import Normalisation

B0 = {"depths": [2, 2, 2, 2], "hidden_sizes": [32, 64, 160, 256], "decoder_hidden_size": 256}
B1 = B0 | {"hidden_sizes": [64, 128, 320, 512]}
B3 = B1 | {"depths": [3, 4, 18, 3], "decoder_hidden_size": 768}
SMALL = {"depths": [1, 1, 1, 1], "hidden_sizes": [16, 32, 80, 128], "decoder_hidden_size": 24}
CONFIGS = {"B0": B0, "B1": B1, "B3": B3, "small": SMALL}


@cache
def checkpoint_of(name, normalisation=None):
    """A SegFormer whose weights and batch norm statistics all differ from what they start as."""
    torch.manual_seed(0)
    settings = SegformerConfig(**CONFIGS[name])
    settings.num_labels = 19
    network = SegformerForSemanticSegmentation(settings).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
            else:
                parameter.normal_(0, 1 / parameter[0].numel() ** 0.5)
        norm = network.decode_head.batch_norm
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2)
    return Checkpoint(network, load_label_set("cityscapes"), normalisation or Normalisation(), "")


def random_image(size):
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    )


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("B0", (128, 256)),
        ("B0", (90, 161)),
        ("B1", (96, 160)),
        ("B3", (64, 96)),
        ("B3", (45, 80)),  # an eighth of 360x640; no side of a feature map is twice the next one's
    ],
)
def test_folding_is_exact(name, size):
    checkpoint = checkpoint_of(name)
    image = random_image(size)
    folded = FoldedSegformer(checkpoint)
    with torch.inference_mode():
        expected = checkpoint.network(folded.normalise(image)).logits
        logits = folded(image)
    assert logits.shape == expected.shape == (1, 19, -(-size[0] // 4), -(-size[1] // 4))
    assert expected.std() > 0.1
    assert (logits - expected).abs().max() < 1e-5
    assert torch.equal(logits.argmax(1), expected.argmax(1))


def fusing_convolutions(model, embed, stages=4):
    """Convolutions of an ONNX graph that take all stages' channels at once."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert convolutions
    return [
        node.name
        for node in convolutions
        if weights.get(node.input[1], ())[1:2] == (stages * embed,)
    ]


class Unfolded(torch.nn.Module):
    def __init__(self, checkpoint):
        super().__init__()
        self.network = checkpoint.network

    def forward(self, image):
        return self.network(image.permute(0, 3, 1, 2).float()).logits


def test_the_fusing_convolution_is_not_exported():
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    checkpoint = checkpoint_of("small")
    size = (64, 96)
    assert len(fusing_convolutions(export_onnx(Unfolded(checkpoint), size), embed=24)) == 1
    model = export_onnx(FoldedSegformer(checkpoint), size)
    assert model == export_onnx(FoldedSegformer(checkpoint), size)  # the same every time
    assert not fusing_convolutions(model, embed=24)
    operators = [node.op_type for node in model.graph.node]
    assert "Concat" not in operators
    assert "BatchNormalization" not in operators
    assert operators.count("Resize") == 3


def by_hand(config, size, folded):
    """Multiply-adds of a SegFormer, counted on paper."""
    embed, widths = config["decoder_hidden_size"], config["hidden_sizes"]
    total, before = 0, 3
    sides = [-(-side // 4) for side in size]
    quarter = sides[0] * sides[1]
    for stage, (width, depth) in enumerate(zip(widths, config["depths"], strict=True)):
        tokens = sides[0] * sides[1]
        reduction = (8, 4, 2, 1)[stage]
        keys = (sides[0] // reduction) * (sides[1] // reduction)
        total += tokens * width * before * (49 if stage == 0 else 9)
        block = 2 * tokens * width**2  # q and out
        block += 2 * keys * width**2  # k and v
        block += keys * width**2 * reduction**2 * (reduction > 1)
        block += 2 * tokens * keys * width  # scores, and the sum of the values
        block += tokens * (2 * 4 * width**2 + 9 * 4 * width)
        total += depth * block
        total += tokens * width * embed
        before = width
        sides = [-(-side // 2) for side in sides]
    total += quarter * (0 if folded else 4 * embed**2)
    return total + quarter * embed * 19


@pytest.mark.parametrize("name", ["B0", "B3"])
def test_flops_are_those_counted_by_hand(name):
    size = (128, 256)
    before, after = count_flops(checkpoint_of(name), size)
    assert before == 2 * by_hand(CONFIGS[name], size, folded=False)
    assert after == 2 * by_hand(CONFIGS[name], size, folded=True)


def test_of_mmsegmentation_only_what_follows_the_relu_is_folded(tmp_path):
    path = tmp_path / "mm.pth"
    state = mmsegmentation_of_nvlabs(random_nvlabs((16, 32, 80, 128), (1, 1, 1, 1), 24, 3))
    torch.save(state, path)
    checkpoint = load_checkpoint(find_model(str(path), "bdd100k_drivable"))
    folded = FoldedSegformer(checkpoint)
    before, after = count_flops(checkpoint, (64, 96))
    # The second matrix of the other stages is applied at their own size instead of the first's.
    assert before - after == 2 * 24**2 * (4 * 16 * 24 - (16 * 24 + 8 * 12 + 4 * 6 + 2 * 3))
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    model = export_onnx(folded, (64, 96))
    assert not fusing_convolutions(model, embed=24)
    assert [node.op_type for node in model.graph.node].count("Relu") == 5


def test_the_normalisation_of_the_checkpoint_is_inside():
    normalisation = Normalisation((103.5, 116.3, 123.7), (57.4, 57.1, 58.4), 1, "bgr")
    folded = FoldedSegformer(checkpoint_of("small", normalisation))
    image = random_image((32, 48))
    pixels = (image.double() - torch.tensor([103.5, 116.3, 123.7])) / torch.tensor(
        [57.4, 57.1, 58.4]
    )
    assert (folded.normalise(image) - pixels.permute(0, 3, 1, 2)).abs().max() < 1e-6


def test_the_encoder_may_have_another_precision():
    checkpoint = checkpoint_of("small")
    image = random_image((64, 96))
    with torch.inference_mode():
        expected = FoldedSegformer(checkpoint)(image)
        mixed = FoldedSegformer(copy.deepcopy(checkpoint))
        mixed.stages.bfloat16()
        logits = mixed(image)
    assert logits.dtype == torch.float32
    assert 1e-6 < (logits - expected).abs().max() < 0.2
