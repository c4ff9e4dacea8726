import dataclasses
import importlib
import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from seg_ros.engines.openvino import OpenVinoEngine
from seg_ros.errors import SegRosError
from seg_ros.labels import Kind, load_label_set
from seg_ros.models import huggingface
from seg_ros.models.catalogue import Form, find_model
from seg_ros.models.names import label_set_of
from seg_ros.models.network import Network

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CITYSCAPES = [c.name for c in load_label_set("cityscapes").classes]


# ---------------------------------------------------------------------------------------------
# What classes mean, by their names


@pytest.mark.parametrize("name", ["cityscapes", "ade20k", "camvid", "bdd100k_drivable"])
def test_a_known_list_of_names_is_its_label_set(name):
    known = load_label_set(name)
    assert label_set_of([c.name for c in known.classes], "mine") is not None
    assert label_set_of([c.name.upper() + " " for c in known.classes], "mine") == known
    assert label_set_of([f"{c.name}, or so" for c in known.classes], "mine") == known
    assert label_set_of([c.name.replace(" ", "_") for c in known.classes], "mine") == known


def test_ade_as_hugging_face_writes_it():
    names = [c.name for c in load_label_set("ade20k").classes]
    names[7] = "bed "  # as in id2label of nvidia's checkpoints
    labels = label_set_of(names, "mine")
    assert labels.name == "ade20k"
    assert labels.driveable_ids == (6,)
    assert labels.classes[2].kind is Kind.OPEN


def test_names_in_another_order_keep_their_colours():
    labels = label_set_of(["sky", "car", "Road"], "mine")
    assert labels.name == "mine"
    assert [c.color for c in labels.classes] == [(70, 130, 180), (0, 0, 142), (128, 64, 128)]
    assert [c.kind for c in labels.classes] == [Kind.OPEN, Kind.OBSTACLE, Kind.GROUND]
    assert labels.driveable_ids == (2,)
    assert labels.classes[1].underside == 0.3


@pytest.mark.parametrize(
    ("name", "kind", "driveable"),
    [
        ("driveable area", Kind.GROUND, True),
        ("Drivable_Lane", Kind.GROUND, True),
        ("flat-road", Kind.GROUND, True),
        ("Lane Marking - General", Kind.GROUND, True),
        ("Curb", Kind.GROUND, False),
        ("parking", Kind.GROUND, False),
        ("runway", Kind.GROUND, False),
        ("dirt track", Kind.GROUND, False),
        # Nothing of these may ever become free because "road" is part of the name.
        ("road block", Kind.OBSTACLE, False),
        ("railroad", Kind.OBSTACLE, False),
        ("non-driveable area", Kind.OBSTACLE, False),
        ("off road", Kind.OBSTACLE, False),
        ("void", Kind.OBSTACLE, False),
        ("dragon", Kind.OBSTACLE, False),
    ],
)
def test_single_names(name, kind, driveable):
    (label,) = label_set_of([name], "mine").classes
    assert (label.name, label.kind, label.driveable) == (name, kind, driveable)


def test_unknown_classes_have_colours_of_their_own():
    names = [f"thing {i}" for i in range(30)]
    colors = [c.color for c in label_set_of(names, "mine").classes]
    assert colors == [c.color for c in label_set_of(names, "other").classes]
    assert len(set(colors)) == 30
    with pytest.raises(SegRosError, match="256 classes; 1 to 255"):
        label_set_of([str(i) for i in range(256)], "mine")


# ---------------------------------------------------------------------------------------------
# Finding a model


def write_folder(folder, names=CITYSCAPES, **preprocessor):
    folder.mkdir(exist_ok=True)
    config = {"model_type": "segformer", "id2label": {str(i): n for i, n in enumerate(names)}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"weights")
    if preprocessor:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


def test_a_folder_is_found_with_its_labels(tmp_path):
    folder = write_folder(tmp_path / "mine")
    model = find_model(str(folder))
    assert (model.name, model.path, model.form) == ("mine", folder, Form.CHECKPOINT)
    assert model.labels == load_label_set("cityscapes")
    assert find_model(str(folder), "camvid").labels.name == "camvid"
    (tmp_path / "mine.yaml").write_text("labels: bdd100k_drivable\nnetwork: {size: [64, 96]}")
    assert find_model(str(folder)).labels.name == "bdd100k_drivable"
    assert Network(find_model(str(folder)), tmp_path).input_size == (64, 96)


def test_a_checkpoint_file_needs_a_label_set(tmp_path):
    path = tmp_path / "b3.pth"
    path.write_bytes(b"")
    with pytest.raises(SegRosError, match=r"what are its classes\?.*bdd100k_drivable.*b3\.yaml"):
        find_model(str(path))
    assert find_model(str(path), "bdd100k_drivable").form is Form.CHECKPOINT


def test_a_label_set_beside_may_be_a_file(tmp_path):
    path = tmp_path / "b3.pth"
    path.write_bytes(b"")
    (tmp_path / "own.yaml").write_text(
        "name: own\nclasses: [{name: a, color: [1, 2, 3], kind: open}]"
    )
    (tmp_path / "b3.yaml").write_text("labels: own.yaml")
    assert find_model(str(path)).labels.name == "own"


@pytest.mark.parametrize("name", ["b3.pth", "folder/b3.pt", "b3.safetensors", "b3.ckpt", "b3.bin"])
def test_files_that_are_not_there(name):
    with pytest.raises(SegRosError, match=f"model file {name} does not exist"):
        find_model(name)


def cache_hub_model(monkeypatch, tmp_path, name, **folder):
    """Fill a hub cache the way huggingface_hub does."""
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    constants = importlib.import_module("huggingface_hub.constants")  # no attribute until imported
    repository = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / "abc"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    snapshot.parent.mkdir()
    write_folder(snapshot, **folder)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    original = hub.snapshot_download
    monkeypatch.setattr(
        hub, "snapshot_download", lambda *a, **k: original(*a, cache_dir=str(tmp_path / "hub"), **k)
    )
    return snapshot


def no_network(monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

    def info(*_, **__):
        raise ConnectionError("no network here\nat all")

    monkeypatch.setattr(hub.HfApi, "model_info", info)


def test_a_hub_model_comes_from_the_cache_without_a_network(tmp_path, monkeypatch):
    snapshot = cache_hub_model(monkeypatch, tmp_path, "nvidia/segformer-b0")
    no_network(monkeypatch)
    model = find_model("nvidia/segformer-b0")
    assert (model.name, model.path) == ("nvidia--segformer-b0", snapshot)
    assert model.labels.name == "cityscapes"


def test_a_hub_model_out_of_reach_is_one_line(tmp_path, monkeypatch):
    cache_hub_model(monkeypatch, tmp_path, "nvidia/segformer-b0")
    no_network(monkeypatch)
    with pytest.raises(SegRosError) as error:
        find_model("nvidia/segformer-b1")
    said = str(error.value)
    assert "'nvidia/segformer-b1' is not in the local cache and the hub cannot be reached" in said
    assert "no network here at all" in said
    assert "\n" not in said


def test_what_a_hub_download_takes(tmp_path, monkeypatch):
    """One form of the weights, safetensors before a pickle."""
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    asked = []

    def download(_, local_files_only=False, allow_patterns=None):
        if local_files_only:
            raise FileNotFoundError
        asked.append(sorted(allow_patterns))
        return str(write_folder(tmp_path / "got"))

    def info(files):
        siblings = [type("Sibling", (), {"rfilename": file}) for file in files]
        return lambda *_, **__: type("Info", (), {"siblings": siblings})

    monkeypatch.setattr(hub, "snapshot_download", download)
    both = ["config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5", "README.md"]
    monkeypatch.setattr(hub.HfApi, "model_info", info(both))
    find_model("owner/name")
    monkeypatch.setattr(hub.HfApi, "model_info", info(["config.json", "pytorch_model.bin"]))
    find_model("owner/name")
    assert asked == [
        ["config.json", "model.safetensors", "preprocessor_config.json"],
        ["config.json", "preprocessor_config.json", "pytorch_model.bin"],
    ]
    monkeypatch.setattr(hub.HfApi, "model_info", info(["config.json", "tf_model.h5"]))
    with pytest.raises(SegRosError, match=r"has no config\.json or no weights"):
        find_model("owner/name")


# ---------------------------------------------------------------------------------------------
# Size and identity, without torch


@pytest.mark.parametrize(
    ("preprocessor", "labels", "asked", "size"),
    [
        ({"size": {"height": 96, "width": 160}}, "", None, (96, 160)),
        ({"size": {"height": 96, "width": 160}}, "", (64, 64), (64, 64)),
        ({"size": 640}, "", None, (640, 640)),
        ({"size": {"shortest_edge": 640}}, "", None, (512, 1024)),
        ({}, "", None, (512, 1024)),
        ({}, "ade20k", None, (512, 512)),
        ({}, "bdd100k_drivable", None, (360, 640)),
    ],
)
def test_input_size_of_a_checkpoint(tmp_path, preprocessor, labels, asked, size):
    folder = write_folder(tmp_path / "mine", **preprocessor)
    assert Network(find_model(str(folder), labels), tmp_path, asked).input_size == size


@pytest.mark.parametrize("size", [(31, 512), (512, 8193), (0, 0)])
def test_impossible_sizes(tmp_path, size):
    with pytest.raises(SegRosError, match=f"input size {size[0]}x{size[1]}: height and width must"):
        Network(find_model(), tmp_path, size)


@pytest.mark.parametrize(
    ("said", "mean", "std", "scale"),
    [
        ({}, *IMAGENET, 255),
        ({"image_mean": [0, 0.5, 1], "image_std": [1, 2, 3]}, (0, 0.5, 1), (1, 2, 3), 255),
        ({"rescale_factor": 0.00784313725490196}, *IMAGENET, 127.5),
        ({"do_rescale": False}, *IMAGENET, 1),
        ({"do_normalize": False}, (0, 0, 0), (1, 1, 1), 255),
    ],
)  # fmt: skip
def test_preprocessing_of_a_folder(tmp_path, said, mean, std, scale):
    folder = write_folder(tmp_path / "mine", resample=2, **said)
    found, _ = huggingface.preprocessing(folder)
    assert (found.mean, found.std, found.scale, found.order) == (mean, std, scale, "rgb")


@pytest.mark.parametrize(
    "said", [{"image_mean": [1, 2]}, {"image_std": "x"}, {"rescale_factor": 0}]
)
def test_preprocessing_that_is_wrong(tmp_path, said):
    folder = write_folder(tmp_path / "mine", **said)
    with pytest.raises(SegRosError, match=r"preprocessor_config\.json: image_mean, image_std or"):
        huggingface.preprocessing(folder)


def test_what_changes_the_identity(tmp_path):
    folder = write_folder(tmp_path / "mine")

    def identity(labels="", size=None):
        return Network(find_model(str(folder), labels), tmp_path, size).sha256

    first = identity()
    assert len(first) == 64
    assert identity(size=(64, 96)) == first  # the size is another part of a store's key
    seen = {first, identity("camvid")}
    (tmp_path / "mine.yaml").write_text("network: {mean: [0, 0, 0], std: [1, 1, 1]}")
    seen.add(identity())
    (tmp_path / "mine.yaml").unlink()
    (folder / "model.safetensors").write_bytes(b"Weights")
    seen.add(identity())
    write_folder(folder, names=[*CITYSCAPES[:-1], "cycle"])
    seen.add(identity())
    write_folder(folder, image_mean=[0, 0, 0])
    seen.add(identity())
    assert len(seen) == 6
    (folder / "preprocessor_config.json").unlink()
    assert identity() == first


# ---------------------------------------------------------------------------------------------
# Networks


def test_the_default_model_is_in_the_standard_form(tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed")
    network = Network(find_model(), tmp_path)
    assert network.onnx() == find_model().path
    assert (network.input_size, network.class_count) == ((288, 512), 11)
    assert network.flops is None
    with pytest.raises(SegRosError, match="torch cannot run an ONNX network"):
        network.torch()
    with pytest.raises(SegRosError, match="is made for 288 x 512 images, not 64 x 96"):
        Network(find_model(), tmp_path, (64, 96)).onnx()
    with pytest.raises(SegRosError, match="has 11 classes; label set cityscapes has 19"):
        Network(find_model(labels="cityscapes"), tmp_path).onnx()


@pytest.mark.parametrize("command", ["build", "replay"])
def test_a_checkpoint_where_torch_is_missing_is_one_line(tmp_path, command):
    """As in a ROS workspace, which has what runs networks and not what reads checkpoints."""
    folder = tmp_path / "b0"
    folder.mkdir()
    config = {"model_type": "segformer", "id2label": dict(enumerate(CITYSCAPES))}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").touch()
    code = "import sys; sys.modules['torch'] = None; from seg_ros.cli import main; sys.exit(main())"
    replay = ["synthetic", "-o", str(tmp_path / "out"), "--model"]
    arguments = [command, *(replay if command == "replay" else []), str(folder)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"seg_ros {command}: {folder}: reading a checkpoint needs torch")
    assert "(pip install 'seg_ros[export]')" in said
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def b0(tmp_path_factory):
    """A B0 of random weights as a folder, and its network at 96x160."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    torch.manual_seed(0)
    config = transformers.SegformerConfig(id2label=dict(enumerate(CITYSCAPES)))
    work = tmp_path_factory.mktemp("b0")
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(work / "b0")
    return Network(find_model(str(work / "b0")), work, (96, 160))


def test_what_is_exported(b0):
    import onnx

    said = []
    path = b0.onnx(lambda what, part: said.append((what, part)))
    assert path.parent == b0.model.path.parent
    assert [part for _, part in said] == sorted(part for _, part in said)
    assert said[-1][1] == 1
    model = onnx.load(path)
    assert model.opset_import[0].version >= 17
    operators = Counter(node.op_type for node in model.graph.node)
    # Four after embeddings, two in each of eight blocks, six before keys, four after stages.
    assert operators["LayerNormalization"] == 4 + 2 * 8 + 6 + 4
    assert not {"ReduceMean", "Sqrt", "Pow", "BatchNormalization", "Concat"} & set(operators)
    (source,), (result,) = model.graph.input, model.graph.output
    assert (source.name, result.name) == ("image", "logits")
    shapes = [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in (source, result)]
    assert shapes == [[1, 96, 160, 3], [1, 19, 24, 40]]
    assert not list(path.parent.glob("*.part"))


def test_the_file_tells_nothing_of_the_machine_it_was_made_on(b0):
    data = b0.onnx().read_bytes()
    for trace in (b"/seg_ros/", b".py", b"site-packages", str(b0.onnx().parent).encode()):
        assert trace not in data


def test_engines_compute_what_torch_computes(b0):
    import torch

    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    image = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = b0.torch()(torch.from_numpy(image[None])).numpy()[0]
    answers = [
        OpenVinoEngine(b0.onnx()).infer(image).logits(),
        runtime.InferenceSession(b0.onnx()).run(None, {"image": image[None]})[0][0],
    ]
    for logits in answers:
        assert logits.shape == (19, 24, 40)
        assert np.abs(logits - expected).max() < 1e-5
        assert np.array_equal(logits.argmax(0), expected.argmax(0))


def test_flops_of_a_network(b0):
    before, after = b0.flops
    assert before - after == 2 * 24 * 40 * 4 * 256**2


def test_another_label_set_is_refused(b0, tmp_path):
    model = dataclasses.replace(b0.model, labels=load_label_set("camvid"))
    with pytest.raises(SegRosError, match="has 19 classes, label set camvid has 11"):
        Network(model, tmp_path, (96, 160)).onnx()
    assert not list(tmp_path.iterdir())
