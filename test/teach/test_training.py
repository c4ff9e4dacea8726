"""Partial labels and their loss, the packed file, and a run that is cut short and resumed."""

import math
from pathlib import Path

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="torch is not installed")

from seg_ros.errors import SegRosError
from seg_ros.labels import load_label_set
from seg_ros.teach.compact import CompactNetwork, multiply_adds
from seg_ros.teach.loop import Trainer
from seg_ros.teach.packed import Frame, read_pack, write_pack
from seg_ros.teach.partial import NOTHING, PartialLabels, partial_loss
from seg_ros.teach.sources import DISPUTED, Certainty, Labeller

RECIPE = Path(__file__).parents[2] / "training" / "streets.yaml"
RECIPE_LABELS = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["pack"]["labels"]
THREE = PartialLabels(("road", "grass", "sky"), (("not road", ("grass", "sky")),))


def loss_of(logits, label):
    picture = torch.tensor(logits).view(1, 3, 1, 1)
    weights = torch.from_numpy(THREE.weights({}))
    allowed = torch.from_numpy(THREE.allowed())
    return float(partial_loss(picture, torch.full((1, 1, 1), label), allowed, weights))


def test_the_loss_of_a_set_is_that_of_its_probabilities_sum():
    logits = [0.3, -1.2, 0.8]
    p = np.exp(logits) / np.exp(logits).sum()
    for label in range(3):
        assert loss_of(logits, label) == pytest.approx(-math.log(p[label]), abs=1e-6)
    assert loss_of(logits, 3) == pytest.approx(-math.log(p[1] + p[2]), abs=1e-6)
    assert loss_of(logits, NOTHING) == 0.0


def test_label_sets_are_refused_by_name():
    with pytest.raises(SegRosError, match="mud is no class"):
        PartialLabels(("road",), (("wet", ("mud",)),))
    with pytest.raises(SegRosError, match="no label set 'mud'"):
        THREE.weights({"mud": 1.0})
    with pytest.raises(SegRosError, match="must be 0 or more"):
        THREE.weights({"road": -1.0})


def test_the_recipes_classes_are_those_of_the_label_set():
    names = [c.name for c in load_label_set("streets").classes]
    assert PartialLabels.from_dict(RECIPE_LABELS).classes == tuple(names)


def test_teachers_count_only_where_they_are_sure():
    labels = PartialLabels.from_dict(RECIPE_LABELS)
    adas = np.uint8([[255, 255, 0, 0, 128]])
    twin = np.uint8([[255, 0, 0, 128, 128]])
    labeller = Labeller(labels, Certainty(0.9, 0.1), lambda *_: (adas, twin))
    frame = np.zeros((1, 5, 3), np.uint8)
    void = np.full((1, 5), NOTHING, np.uint8)
    said = labeller.merge("x", frame, void, coarse=False)
    sure, opposite = labels.id_of("teachers: road"), labels.id_of("teachers: not road")
    assert said.tolist() == [[sure, NOTHING, opposite, NOTHING, NOTHING]]
    road = np.full((1, 5), labels.id_of("road"), np.uint8)
    said = labeller.merge("x", frame, road, coarse=True)
    assert said.tolist() == [[3, 3, labels.id_of(DISPUTED), 3, 3]]


def frames(count=6, size=(48, 80)):
    rng = np.random.default_rng(0)
    for number in range(count):
        label = np.zeros(size, np.uint8)
        label[size[0] // 2 :] = 3
        image = np.where(label[..., None] == 3, 90, 200) + rng.integers(0, 20, (*size, 3))
        split = "val" if number == count - 1 else "train"
        yield Frame(image.astype(np.uint8), label, f"made/{number}", "camvid", split)


@pytest.fixture
def pack(tmp_path):
    path = tmp_path / "pack.bin"
    write_pack(path, PartialLabels.from_dict(RECIPE_LABELS), frames(), {"made": "here"}, 90)
    return path


def test_a_pack_holds_what_was_put_in(pack, tmp_path):
    read = read_pack(pack)
    assert read.settings == {"made": "here"}
    assert read.labels == PartialLabels.from_dict(RECIPE_LABELS)
    for there, here in zip(read.frames, frames(), strict=True):
        assert np.array_equal(there.label, here.label)
        assert (there.source, there.group, there.split) == (here.source, here.group, here.split)
        assert np.abs(there.image.astype(int) - here.image).mean() < 8
    again = tmp_path / "again.bin"
    write_pack(again, read.labels, frames(), {"made": "here"}, 90)
    assert again.read_bytes() == pack.read_bytes()


def test_what_is_no_pack_is_one_line(pack, tmp_path):
    with pytest.raises(SegRosError, match="does not exist"):
        read_pack(tmp_path / "none.bin")
    pack.write_bytes(pack.read_bytes()[:-200])
    with pytest.raises(SegRosError, match="not a packed training file, or damaged"):
        read_pack(pack)
    with pytest.raises(SegRosError, match="no frame to pack"):
        write_pack(tmp_path / "empty.bin", THREE, [], {}, 90)


def small_recipe():
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    recipe["input"], recipe["batch"], recipe["shares"] = [48, 80], 2, {"camvid": 1.0}
    recipe["schedule"] |= {
        "steps": 100,
        "decay_steps": 10,
        "sizes": [{"from": 0, "size": [48, 80]}],
        "checkpoint_steps": 1,
        "validation_steps": 1000,
    }
    return recipe


def trainer(pack, out):
    torch.manual_seed(0)
    network = CompactNetwork(13, stem=4, widths=(4, 4, 8, 8), depths=(1, 1, 1, 1), head=8)
    return Trainer(network, read_pack(pack), small_recipe(), out, "cpu")


def steps(run, count):
    batches = run._batches()
    for _ in range(count):
        run.train_step(*next(batches))
        run.step += 1
    batches.close()
    run.save()


def test_a_run_that_was_cut_short_goes_on_as_if_it_had_not_been(pack, tmp_path):
    whole = trainer(pack, tmp_path / "whole")
    steps(whole, 4)
    steps(trainer(pack, tmp_path / "cut"), 2)
    resumed = trainer(pack, tmp_path / "cut")
    assert resumed.step == 2
    steps(resumed, 2)
    for one, other in ((whole.network, resumed.network), (whole.average, resumed.average)):
        there = other.state_dict()
        for name, value in one.state_dict().items():
            assert torch.equal(value, there[name]), name


def test_a_checkpoint_of_another_network_is_one_line(pack, tmp_path):
    steps(trainer(pack, tmp_path / "run"), 1)
    network = CompactNetwork(13, stem=4, widths=(4, 4, 8, 16), depths=(1, 1, 1, 1), head=8)
    with pytest.raises(SegRosError, match="not a checkpoint of this network"):
        Trainer(network, read_pack(pack), small_recipe(), tmp_path / "run", "cpu")


def test_the_compact_network_costs_what_it_may():
    """At most 1.2 GFLOP at 288x512, a multiplication and an addition counted as two."""
    network = CompactNetwork(13, **yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["network"])
    assert 2 * multiply_adds(network.eval(), (288, 512)) < 2.4e9
