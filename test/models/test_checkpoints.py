import json
import pickle
import re
import shutil

import numpy as np
import pytest

from seg_ros.errors import SegRosError
from seg_ros.models.catalogue import find_model

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from plain_segformer import (
    FAINT,
    mmsegmentation_logits,
    mmsegmentation_of_nvlabs,
    nvlabs_logits,
    random_nvlabs,
    stages_of_nvlabs,
)
from safetensors.torch import save_file
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from seg_ros.models.checkpoint import load_checkpoint
from seg_ros.models.folding import FoldedSegformer
from seg_ros.models.network import Network

WIDTHS, DEPTHS, EMBED = (16, 32, 80, 128), (1, 2, 1, 1), 24
ODD = (90, 161)  # 90 / 4 and 161 / 4 have remainders, and so have their halves
LIMIT = 1e-5
IMAGENET = (0.485, 0.456, 0.406)


@pytest.fixture(scope="module")
def nvlabs():
    return random_nvlabs(WIDTHS, DEPTHS, EMBED, classes=3)


@pytest.fixture(scope="module")
def image():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (1, *ODD, 3), dtype=torch.uint8, generator=generator)


def normalised(image, mean=IMAGENET):
    pixels = torch.from_numpy(image.numpy()[..., ::-1].transpose(0, 3, 1, 2) / 255)
    return (
        (pixels - torch.tensor(mean).view(3, 1, 1))
        / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    ).float()


def load(tmp_path, state, labels="bdd100k_drivable", name="some.pth"):
    path = tmp_path / name
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
    return load_checkpoint(find_model(str(path), labels))


def assert_computes(checkpoint, image, expected):
    """Unfolded and folded alike; the folded one from the uint8 image on."""
    with torch.inference_mode():
        folded = FoldedSegformer(checkpoint)
        unfolded = checkpoint.network(folded.normalise(image)).logits
        answer = folded(image)
    assert answer.shape == expected.shape == (1, 3, 23, 41)
    assert expected.std() > 0.1
    assert (unfolded - expected).abs().max() < LIMIT
    assert (answer - expected).abs().max() < LIMIT
    assert torch.equal(answer.argmax(1), expected.argmax(1))


def test_nvlabs(tmp_path, nvlabs, image):
    checkpoint = load(tmp_path, {"state_dict": nvlabs, "meta": {"epoch": 3}})
    assert checkpoint.layout == "NVlabs"
    assert_computes(checkpoint, image, nvlabs_logits(nvlabs, normalised(image)))


def test_mmsegmentation(tmp_path, nvlabs, image):
    state = mmsegmentation_of_nvlabs(nvlabs)
    checkpoint = load(tmp_path, {"state_dict": state, "meta": {"CLASSES": ("a", "b", "c")}})
    assert checkpoint.layout == "mmsegmentation"
    assert_computes(checkpoint, image, mmsegmentation_logits(state, normalised(image)))


def test_stages(tmp_path, nvlabs, image):
    checkpoint = load(tmp_path, stages_of_nvlabs(nvlabs))
    assert checkpoint.layout == "stages"
    assert_computes(checkpoint, image, nvlabs_logits(nvlabs, normalised(image)))


@pytest.mark.parametrize("from_last", [True, False])
def test_the_course_with_its_own_mean_of_green(tmp_path, nvlabs, image, from_last):
    state = stages_of_nvlabs(nvlabs, head="decoder_head", from_last=from_last)
    checkpoint = load(tmp_path, state, name="some.pt")
    assert checkpoint.layout == "segformer_mit_b3"
    expected = nvlabs_logits(nvlabs, normalised(image, mean=(0.485, 0.56, 0.406)))
    assert_computes(checkpoint, image, expected)


@pytest.mark.parametrize("prefix", ["module.", "model.", "module._orig_mod."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict"])
def test_wrappers_and_prefixes(tmp_path, nvlabs, image, prefix, wrapper):
    state = {prefix + key: tensor for key, tensor in nvlabs.items()}
    data = state if wrapper is None else {wrapper: state, "epoch": 7, "best": np.float64(0.7)}
    checkpoint = load(tmp_path, data)
    with torch.inference_mode():
        answer = FoldedSegformer(checkpoint)(image)
    assert (answer - nvlabs_logits(nvlabs, normalised(image))).abs().max() < LIMIT


def test_a_single_safetensors_file(tmp_path, nvlabs, image):
    checkpoint = load(tmp_path, nvlabs, name="some.safetensors")
    assert_computes(checkpoint, image, nvlabs_logits(nvlabs, normalised(image)))


def hugging_face(tmp_path, names=("road", "car", "sky"), **config):
    torch.manual_seed(0)
    settings = {"depths": DEPTHS, "hidden_sizes": WIDTHS, "decoder_hidden_size": EMBED} | config
    network = SegformerForSemanticSegmentation(
        SegformerConfig(id2label=dict(enumerate(names)), **settings)
    ).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
            if re.search(r"(patch_embeddings\.layer_norm|o_proj|fc2)\.\w+$", name):
                parameter.mul_(FAINT)
        norm = network.decode_head.batch_norm
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2)
    folder = tmp_path / "folder"
    network.save_pretrained(folder)
    return folder, network


def test_hugging_face_folder(tmp_path, image):
    folder, network = hugging_face(tmp_path)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.4, 0.5, 0.6], "image_std": [0.229, 0.224, 0.225],
                    "size": {"height": 96, "width": 160}})
    )  # fmt: skip
    model = find_model(str(folder))
    assert [c.name for c in model.labels.classes] == ["road", "car", "sky"]
    assert model.labels.driveable_ids == (0,)
    with torch.inference_mode():
        expected = network(normalised(image, mean=(0.4, 0.5, 0.6))).logits
    assert_computes(load_checkpoint(model), image, expected)


@pytest.mark.parametrize("sharded", [True, False])
def test_hugging_face_folders_of_transformers_4(tmp_path, image, sharded):
    """Written as transformers 4 did: other names, and a pickle, whole or in shards."""
    folder, network = hugging_face(tmp_path)
    (folder / "model.safetensors").unlink()
    state = {old_name(name): tensor for name, tensor in network.state_dict().items()}
    if sharded:
        keys = sorted(state)
        shards = {"a.bin": keys[: len(keys) // 2], "b.bin": keys[len(keys) // 2 :]}
        for name, part in shards.items():
            torch.save({key: state[key] for key in part}, folder / name)
        index = {"weight_map": {key: name for name, part in shards.items() for key in part}}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    else:
        torch.save(state, folder / "pytorch_model.bin")
    with torch.inference_mode():
        expected = network(normalised(image)).logits
    assert_computes(load_checkpoint(find_model(str(folder))), image, expected)


def old_name(name):
    for pattern, old in (
        (r"stages\.(\d)\.patch_embeddings", r"encoder.patch_embeddings.\1"),
        (r"stages\.(\d)\.blocks\.", r"encoder.block.\1."),
        (r"stages\.(\d)\.layer_norm\.", r"encoder.layer_norm.\1."),
        (r"attention\.q_proj", "attention.self.query"),
        (r"attention\.k_proj", "attention.self.key"),
        (r"attention\.v_proj", "attention.self.value"),
        (r"attention\.o_proj", "attention.output.dense"),
        (r"sequence_reduction\.sequence_reduction", "self.sr"),
        (r"sequence_reduction\.layer_norm", "self.layer_norm"),
        (r"layernorm_before", "layer_norm_1"),
        (r"layernorm_after", "layer_norm_2"),
        (r"mlp\.fc([12])", r"mlp.dense\1"),
        (r"linear_projections", "linear_c"),
    ):
        name = re.sub(pattern, old, name)
    return name


@pytest.mark.parametrize(
    ("depths", "widths", "embed"),
    [((2, 2, 2, 2), (32, 64, 160, 256), 256), ((3, 4, 18, 3), (64, 128, 320, 512), 768)],
)
def test_architectures_are_found_from_shapes(tmp_path, depths, widths, embed):
    config = SegformerConfig(depths=depths, hidden_sizes=widths, decoder_hidden_size=embed)
    config.num_labels = 3
    with torch.device("meta"):
        shapes = SegformerForSemanticSegmentation(config).state_dict()
    state = {name: torch.full(t.shape, i * 0.01) for i, (name, t) in enumerate(shapes.items())}
    checkpoint = load(tmp_path, state)
    found = checkpoint.network.config
    assert (tuple(found.depths), tuple(found.hidden_sizes)) == (depths, widths)
    assert list(found.num_attention_heads) == [1, 2, 5, 8]
    assert list(found.sr_ratios) == [8, 4, 2, 1]
    assert (found.decoder_hidden_size, found.num_labels) == (embed, 3)
    for name, tensor in checkpoint.network.state_dict().items():
        assert name.endswith("tracked") or torch.equal(tensor, state[name])


# ---------------------------------------------------------------------------------------------
# What does not fit


class Malice:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def refused(tmp_path, data, name="some.pth", labels="bdd100k_drivable"):
    with pytest.raises(SegRosError) as error:
        load(tmp_path, data, labels, name)
    said = str(error.value)
    assert "\n" not in said
    assert name in said
    return said


def test_a_pickle_with_code_is_refused_and_named(tmp_path, nvlabs):
    said = refused(tmp_path, {"state_dict": nvlabs, "more": Malice()})
    assert "loading it would run code (builtins.exec)" in said
    path = tmp_path / "old.pth"
    path.write_bytes(pickle.dumps({"state_dict": Malice()}))
    with pytest.raises(SegRosError, match=r"old\.pth: (refused|not a whole checkpoint)"):
        load_checkpoint(find_model(str(path), "bdd100k_drivable"))


def test_a_pickled_model_is_refused(tmp_path):
    said = refused(tmp_path, torch.nn.Conv2d(3, 3, 1))
    assert "torch.nn.modules.conv.Conv2d" in said
    assert "torch.save(model.state_dict(), ...)" in said


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_archive_is_refused(tmp_path):
    path = tmp_path / "script.pt"
    torch.jit.save(torch.jit.script(torch.nn.Conv2d(3, 3, 1)), path)
    with pytest.raises(SegRosError, match="is a TorchScript archive"):
        load_checkpoint(find_model(str(path), "bdd100k_drivable"))


@pytest.mark.parametrize("name", ["some.pth", "some.safetensors"])
def test_a_truncated_file(tmp_path, nvlabs, name):
    path = tmp_path / name
    (save_file if name.endswith("safetensors") else torch.save)(nvlabs, path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(SegRosError, match=r"not a whole (checkpoint|safetensors file)"):
        load_checkpoint(find_model(str(path), "bdd100k_drivable"))


def test_missing_unexpected_and_misshapen(tmp_path, nvlabs):
    state = dict(nvlabs)
    for block in range(2):
        del state[f"backbone.block2.{block}.norm2.weight"]
    state["backbone.extra.weight"] = torch.zeros(3)
    state["decode_head.linear_c2.proj.weight"] = torch.zeros(EMBED, 31)
    said = refused(tmp_path, state)
    assert "NVlabs layout" in said
    assert "depths [1, 2, 1, 1] and widths [16, 32, 80, 128]" in said
    assert "missing segformer.stages.1.blocks.0.layernorm_after.weight, segformer.st" in said
    assert "unexpected backbone.extra.weight;" in said
    assert "decode_head.linear_c2.proj.weight gives [24, 31] for [24, 32]" in said


def test_long_lists_are_counted(tmp_path, nvlabs):
    state = {k: v for k, v in nvlabs.items() if ".mlp." not in k or "block1.0" in k}
    said = refused(tmp_path, state | {f"extra{i}": torch.zeros(1) for i in range(9)})
    assert "unexpected extra0, extra1, extra2 and 6 more" in said or "missing" in said


def test_another_class_count(tmp_path, nvlabs):
    said = refused(tmp_path, nvlabs, labels="cityscapes")
    assert "has 3 classes, label set cityscapes has 19" in said


def test_what_is_no_segformer(tmp_path, nvlabs):
    said = refused(tmp_path, {"layer1.0.conv1.weight": torch.zeros(3, 3)})
    assert "layer1.0.conv1.weight) are of no known SegFormer layout (Hugging Face, NVlabs" in said
    encoder = {k.removeprefix("backbone."): v for k, v in nvlabs.items() if "backbone" in k}
    assert "holds an encoder without a decode head" in refused(tmp_path, encoder)
    assert "holds no weights" in refused(tmp_path, {"epoch": 3})


def test_weights_that_are_not_finite(tmp_path, nvlabs):
    state = dict(nvlabs)
    state["backbone.norm1.bias"] = torch.full((16,), torch.nan)
    assert "backbone.norm1.bias: NaN or infinity" in refused(tmp_path, state)


def test_folders_that_do_not_fit(tmp_path):
    folder, _ = hugging_face(tmp_path)
    config = json.loads((folder / "config.json").read_text())

    def said(change=None, remove=None):
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        if change:
            (copy / "config.json").write_text(json.dumps(config | change))
        if remove:
            (copy / remove).unlink()
        try:
            with pytest.raises(SegRosError) as error:
                load_checkpoint(find_model(str(copy)))
        finally:
            shutil.rmtree(copy)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "config.json does not exist" in said(remove="config.json")
    assert "has no weights (model.safetensors or pytorch_model.bin)" in said(
        remove="model.safetensors"
    )
    assert "model_type is 'mask2former'" in said({"model_type": "mask2former"})
    assert "id2label must name the classes 0, 1, 2" in said({"id2label": {"1": "road"}})
    assert "transformers refuses it" in said({"depths": "many"})
    assert "Hugging Face layout): does not fit" in said({"depths": [1, 1, 1, 1]})
    assert "what are its classes?" in said({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}})


def smp_of_nvlabs(state):
    """Name the weights as segmentation-models-pytorch 0.6 does, and as a file of it has them."""
    last = sum(".linear_c" in key and key.endswith("weight") for key in state)
    renamed = {}
    for key, value in state.items():
        if "conv_seg" in key:
            continue
        name = re.sub(r"^backbone\.", "encoder.", key)
        name = re.sub(
            r"^decode_head\.linear_c(\d)\.proj",
            lambda m: f"decoder.mlp_stage.{last - int(m[1])}.linear",
            name,
        )
        for old, new in (
            ("decode_head.linear_fuse.conv", "decoder.fuse_stage.0"),
            ("decode_head.linear_fuse.bn", "decoder.fuse_stage.1"),
            ("decode_head.linear_pred", "segmentation_head.0"),
        ):
            name = name.replace(old, new)
        renamed[name] = value
    return renamed


def test_segmentation_models_pytorch(tmp_path, nvlabs):
    """With its own enlargement; sides must be multiples of 32 there."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8, generator=generator)
    state = smp_of_nvlabs(nvlabs)
    assert {key.split(".")[0] for key in state} == {"encoder", "decoder", "segmentation_head"}
    checkpoint = load(tmp_path, state)
    assert checkpoint.layout == "segmentation-models-pytorch"
    expected = torch.nn.functional.interpolate(
        nvlabs_logits(nvlabs, normalised(image)),
        scale_factor=4,
        mode="bilinear",
        align_corners=True,
    )
    with torch.inference_mode():
        answer = FoldedSegformer(checkpoint)(image)
    assert answer.shape == expected.shape == (1, 3, 64, 96)
    assert (answer - expected).abs().max() < LIMIT


@pytest.mark.parametrize("prefix", ["model.", "student.net."])
def test_the_network_is_found_among_what_else_a_training_run_keeps(tmp_path, nvlabs, image, prefix):
    """As Lightning saves a module: the network beside its criterion."""
    own = {prefix + key: value for key, value in nvlabs.items()}
    extra = {"criterion.weight": torch.ones(3), "iou.confusion": torch.zeros(3, 3)}
    checkpoint = load(tmp_path, {"state_dict": {**extra, **own}, "epoch": 3})
    assert checkpoint.left_out == ("criterion.weight", "iou.confusion")
    assert_computes(checkpoint, image, nvlabs_logits(nvlabs, normalised(image)))
    said = []
    model = find_model(str(tmp_path / "some.pth"), "bdd100k_drivable")
    Network(model, tmp_path).torch(lambda what, _: said.append(what))
    assert said == ["left out, as no part of the network: criterion.weight and 1 more of some.pth"]


def test_of_two_networks_in_a_file_none_is_chosen(tmp_path, nvlabs):
    both = {
        f"{who}.{key}": value for who in ("student", "teacher") for key, value in nvlabs.items()
    }
    with pytest.raises(SegRosError, match=r"holds 2 networks \(student\., teacher\.\); save the"):
        load(tmp_path, both)


@pytest.mark.parametrize("error", [IndexError, AttributeError, AssertionError, OverflowError])
def test_whatever_torch_raises_at_a_damaged_file_is_one_line(tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error("pop from empty list")

    (tmp_path / "some.pth").write_bytes(b"damaged")
    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(
        SegRosError, match=r"some.pth: not a whole checkpoint of torch \(.*pop from"
    ):
        load_checkpoint(find_model(str(tmp_path / "some.pth"), "bdd100k_drivable"))
