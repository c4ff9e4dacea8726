"""YAML that says more than it has, or what no value can be made of: one line that names the file.

The limits are lowered, so that nothing here is large.
"""

import pytest

from seg_ros.drive import open_drive
from seg_ros.drive.bag import Bag
from seg_ros.errors import SegRosError
from seg_ros.ground.camera_file import load_camera
from seg_ros.labels import load_label_set
from seg_ros.models.options import load_beside
from seg_ros.support import yaml_file
from seg_ros.support.yaml_file import read_yaml

REFERENCES = "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\n"
"""Written out: 6 for a, 1 + 3 * 7 for b, 1 + 3 * 22 for c; 3 keys of 2 each; and the whole: 1."""
COST = 7 + 22 + 67 + 6 + 1


def written(tmp_path, text):
    path = tmp_path / "some.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_references_are_measured_written_out(tmp_path, monkeypatch):
    path = written(tmp_path, REFERENCES)
    monkeypatch.setattr(yaml_file, "MAX_WRITTEN_OUT", COST)
    assert read_yaml(path)["c"][2][2] == ["x", "x", "x"]
    monkeypatch.setattr(yaml_file, "MAX_WRITTEN_OUT", COST - 1)
    with pytest.raises(SegRosError) as error:
        read_yaml(path)
    assert str(error.value) == (
        f"{path}: not valid YAML (its references written out are more than {COST - 1} characters, "
        "line 1)"
    )


def test_nothing_is_built_of_what_is_beyond_a_limit(tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(
        yaml_file._GuardedLoader, "construct_document", lambda *_: built.append("something")
    )
    monkeypatch.setattr(yaml_file, "MAX_WRITTEN_OUT", 20)
    with pytest.raises(SegRosError, match="written out are more than 20 characters, line 2"):
        read_yaml(written(tmp_path, REFERENCES))
    assert not built
    read_yaml(written(tmp_path, "a: 1"))
    assert built


@pytest.mark.parametrize("text", ["[[[1]]]", "a: {b: {c: 1}}", "- - - 1", "? [[1]]\n: 1"])
def test_levels_are_counted(tmp_path, monkeypatch, text):
    path = written(tmp_path, text)
    monkeypatch.setattr(yaml_file, "MAX_DEPTH", 3)
    with pytest.raises(SegRosError, match="more than 3 levels within each other, line 1"):
        read_yaml(path)
    monkeypatch.setattr(yaml_file, "MAX_DEPTH", 4)
    if "?" not in text:
        assert read_yaml(path)


def test_bytes_are_counted_before_they_are_read(tmp_path, monkeypatch):
    path = written(tmp_path, "a: 12345")
    monkeypatch.setattr(yaml_file, "MAX_BYTES", 8)
    assert read_yaml(path) == {"a": 12345}
    monkeypatch.setattr(yaml_file, "MAX_BYTES", 7)
    with pytest.raises(SegRosError, match=r"some.yaml: more than 7 bytes"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [*a]", "something refers to itself, line 1"),
        ("a: *nothing", "undefined alias"),
        ("a: [", "expected the node content"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("a: 2024-13-45", "a value cannot be made, ValueError: month must be in"),
        ("a: !!bool maybe", "a value cannot be made, KeyError: 'maybe'"),
        ("a: !!int ''", "a value cannot be made, IndexError"),
        ("a: !!timestamp soon", "a value cannot be made, AttributeError"),
        ("a: " + "9" * 5000, "a value cannot be made, ValueError"),
        (b"a: \xff", "not UTF-8 text"),
        ("a: \x00", "special characters are not allowed"),
    ],
)
def test_what_is_no_value_is_one_line(tmp_path, text, said):
    path = written(tmp_path, text)
    with pytest.raises(SegRosError, match=said) as error:
        read_yaml(path, "the file")
    assert str(error.value).startswith("the file: not valid YAML (")
    assert str(error.value).isprintable()


def test_what_is_not_there_is_one_line(tmp_path):
    with pytest.raises(SegRosError, match=r"cannot read .*none.yaml: No such file"):
        read_yaml(tmp_path / "none.yaml")


def test_a_reference_means_what_it_refers_to(tmp_path):
    text = "base: &base {a: 1, b: [2]}\nmore: {<<: *base, c: *base}\n"
    assert read_yaml(written(tmp_path, text)) == {
        "base": {"a": 1, "b": [2]},
        "more": {"a": 1, "b": [2], "c": {"a": 1, "b": [2]}},
    }


@pytest.mark.parametrize("read", [load_camera, load_label_set, load_beside])
def test_every_reader_of_a_file_has_the_limits(tmp_path, monkeypatch, read):
    path = written(tmp_path, REFERENCES)
    monkeypatch.setattr(yaml_file, "MAX_WRITTEN_OUT", 50)
    with pytest.raises(SegRosError, match=r"some.yaml: .* written out are more than 50"):
        read(path)


def test_a_bags_metadata_has_the_limits_and_its_files_are_read_without_it(tmp_path, monkeypatch):
    from recordings import recording, write_rosbag2

    bag = write_rosbag2(tmp_path / "bag", recording(3))
    monkeypatch.setattr(yaml_file, "MAX_WRITTEN_OUT", 50)
    assert "its metadata.yaml cannot be read (metadata.yaml: not valid" in str(Bag(bag).damage)
    frames = iter(open_drive(str(bag)).frames())
    assert [next(frames).index for _ in range(3)] == [0, 1, 2]


def test_a_parameter_file_has_the_limits(tmp_path, monkeypatch):
    from seg_ros.results.params_file import parameters_for

    monkeypatch.setattr(yaml_file, "MAX_WRITTEN_OUT", 50)
    with pytest.raises(SegRosError, match=r"params_file .*some.yaml: .* more than 50"):
        parameters_for("/segmentation_node", written(tmp_path, REFERENCES))


def test_a_result_has_the_limits(tmp_path, monkeypatch):
    import numpy as np
    from support import write_bag

    from seg_ros.results.result_bag import read_result

    bag = write_bag(tmp_path / "bag", [(i, np.zeros((4, 4, 3), np.uint8)) for i in (1, 2, 3)])
    assert len(list(read_result(bag, "/camera/image_raw"))) == 3
    monkeypatch.setattr(yaml_file, "MAX_WRITTEN_OUT", 50)
    with pytest.raises(SegRosError, match=r"metadata.yaml: .* written out are more than 50"):
        list(read_result(bag, "/camera/image_raw"))
