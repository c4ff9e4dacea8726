import pytest

from seg_ros.errors import SegRosError
from seg_ros.labels import Kind, bundled_label_sets, load_label_set


@pytest.mark.parametrize(
    ("name", "count", "driveable"),
    [
        ("camvid", 11, (3,)),
        ("cityscapes", 19, (0,)),
        ("bdd100k_drivable", 3, (0, 1)),
        ("ade20k", 150, (6,)),
        ("streets", 13, (3,)),
    ],
)
def test_bundled_sets(name, count, driveable):
    labels = load_label_set(name)
    assert labels.name == name
    assert len(labels) == count
    assert labels.driveable_ids == driveable
    assert len({c.name for c in labels.classes}) == count


def test_every_bundled_set_is_known_to_the_tests():
    assert bundled_label_sets() == ("ade20k", "bdd100k_drivable", "camvid", "cityscapes", "streets")


def test_palette_is_bgr_and_black_beyond_the_classes():
    labels = load_label_set("camvid")
    assert labels.palette_bgr.shape == (256, 3)
    assert labels.palette_bgr[3].tolist() == [128, 64, 128]
    assert labels.palette_bgr[4].tolist() == [222, 40, 60]  # pavement is RGB 60, 40, 222
    assert not labels.palette_bgr[11:].any()


def test_kinds():
    labels = load_label_set("camvid")
    assert labels.ids_of_kind(Kind.OPEN) == (0,)
    assert labels.ids_of_kind(Kind.GROUND) == (3, 4)


ROAD = "name: road\n    color: [1, 2, 3]\n    kind: ground"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("classes: [", "not valid YAML"),
        ("just text", "needs a 'name' and a list 'classes'"),
        ("classes: []", "0 classes"),
        ("classes:\n  - color: [1, 2, 3]", "class 0 needs a 'name'"),
        (f"classes:\n  - {ROAD}\n    colour: 1", "class 0 (road) has unknown keys ['colour']"),
        (f"classes:\n  - {ROAD.replace('3]', '300]')}", "class 0 (road): 'color' must be"),
        (f"classes:\n  - {ROAD.replace('ground', 'air')}", "'kind' must be one of ground, obst"),
        (f"classes:\n  - {ROAD}\n    driveable: maybe", "'driveable' must be true or false"),
        (
            f"classes:\n  - {ROAD.replace('ground', 'obstacle')}\n    driveable: true",
            "kind must be ground, not obstacle",
        ),
    ],
)
def test_a_wrong_file_says_where_and_what(tmp_path, text, said):
    path = tmp_path / "labels.yaml"
    path.write_text(text)
    with pytest.raises(SegRosError) as error:
        load_label_set(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_name_lists_the_bundled_ones():
    with pytest.raises(SegRosError, match="ade20k, bdd100k_drivable, camvid, cityscapes"):
        load_label_set("mapillary")
