"""The engine store: what is handed out, and all that is not."""

import json
import multiprocessing
import os
import threading
import time
from dataclasses import replace

import pytest
from support import hold_store

from seg_ros.engines import Platform
from seg_ros.engines import store as store_module
from seg_ros.engines.store import (
    EngineKey,
    EngineMissingError,
    EngineRefusedError,
    EngineStore,
    default_store,
)
from seg_ros.errors import SegRosError

ORIN = Platform("tensorrt", "10.3.0", "Orin", "8.7")
KEY = EngineKey("ab" * 32, (512, 1024), (720, 1280), "fp16", ORIN)
PLAN = bytes(range(256)) * 40
FACTS = {"model": "b0", "verification": {"summary": "99.9 % agree"}}


@pytest.fixture
def store(tmp_path):
    return EngineStore(tmp_path / "engines")


@pytest.fixture
def entry(store):
    return store.save("b0", KEY, PLAN, FACTS)


def edit(entry, change):
    path = entry.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_what_was_stored_comes_back(store, entry):
    found = store.load(KEY)
    assert found.plan == PLAN
    assert found.manifest == entry.manifest
    assert found.summary == "99.9 % agree"
    assert found.folder.name == f"b0-tensorrt-fp16-512x1024-{KEY.digest}"
    assert found.manifest["key"]["platform"] == {
        "runtime": "tensorrt",
        "version": "10.3.0",
        "device": "Orin",
        "compute_capability": "8.7",
    }


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, network="cd" * 32),
        replace(KEY, input_size=(1024, 512)),
        replace(KEY, mask_size=None),
        replace(KEY, precision="fp32"),
        replace(KEY, platform=replace(ORIN, runtime="tensorrt_rtx")),
        replace(KEY, platform=replace(ORIN, version="10.13.3")),
        replace(KEY, platform=replace(ORIN, device="Thor")),
        replace(KEY, platform=replace(ORIN, compute_capability="11.0")),
    ],
)
def test_another_value_of_any_field_is_another_engine(store, entry, other):
    assert other.digest != KEY.digest
    with pytest.raises(EngineMissingError):
        store.load(other)
    assert store.save("b0", other, b"other", FACTS).folder != entry.folder
    assert store.load(KEY).plan == PLAN
    assert store.load(other).plan == b"other"


@pytest.mark.usefixtures("entry")
def test_after_an_upgrade_the_message_says_what_changed(store):
    upgraded = replace(KEY, platform=replace(ORIN, version="10.13.3"))
    with pytest.raises(
        EngineMissingError, match=r"its version is '10\.3\.0', wanted is '10\.13\.3'"
    ):
        store.load(upgraded)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


CORRUPTIONS = {
    "plan": (
        lambda e: flip(e.folder / "engine.plan", 5000),
        "engine.plan is damaged: its SHA-256 is not the one in the manifest",
    ),
    "plan cut off": (
        lambda e: (e.folder / "engine.plan").write_bytes(PLAN[:100]),
        "engine.plan has 100 bytes, its manifest says 10240: it was cut off",
    ),
    "plan gone": (
        lambda e: (e.folder / "engine.plan").unlink(),
        "engine.plan cannot be read: No such file",
    ),
    "manifest": (
        lambda e: (e.folder / "manifest.json").write_text('{"format": 1, "key'),
        "manifest.json is damaged: it is not JSON",
    ),
    "manifest is no object": (
        lambda e: (e.folder / "manifest.json").write_text("[]"),
        "manifest.json is damaged: it is not a JSON object",
    ),
    "manifest of bytes": (
        lambda e: (e.folder / "manifest.json").write_bytes(b"\xff\xfe\x00"),
        "manifest.json is damaged: it is not JSON",
    ),
    "manifest gone": (
        lambda e: (e.folder / "manifest.json").unlink(),
        "manifest.json cannot be read: No such file",
    ),
    "checksum": (
        lambda e: edit(e, lambda m: m.update(sha256="0" * 64)),
        "manifest.json was changed after it was written: its checksum does not match",
    ),
    "checksum of the plan": (
        lambda e: edit(e, lambda m: m["plan"].update(sha256="0" * 64)),
        "manifest.json was changed after it was written",
    ),
    "figures": (
        lambda e: edit(e, lambda m: m["verification"].update(summary="100 % agree")),
        "manifest.json was changed after it was written",
    ),
    "version": (
        lambda e: edit(e, lambda m: m["key"]["platform"].update(version="8.5.2")),
        "its version is '8.5.2', wanted is '10.3.0'",
    ),
    "GPU name": (
        lambda e: edit(e, lambda m: m["key"]["platform"].update(device="RTX 4090")),
        "its device is 'RTX 4090', wanted is 'Orin'",
    ),
    "key": (lambda e: edit(e, lambda m: m.update(key=7)), "its key is missing"),
    "format": (
        lambda e: edit(e, lambda m: m.update(format=2)),
        "manifest.json has format 2, this version of seg_ros writes 1",
    ),
    "writable by others": (
        lambda e: e.folder.chmod(0o777),
        "can be written by other users, and an engine is code; it is not loaded",
    ),
}


@pytest.mark.parametrize("part", CORRUPTIONS)
def test_nothing_damaged_or_changed_is_handed_out(store, entry, part):
    corrupt, message = CORRUPTIONS[part]
    corrupt(entry)
    with pytest.raises(EngineRefusedError) as caught:
        store.load(KEY)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(entry.folder) in str(caught.value)
    # Built again, it is whole.
    store.save("b0", KEY, b"new", FACTS)
    assert store.load(KEY).plan == b"new"


def test_every_byte_of_the_manifest_counts(store, entry):
    path = entry.folder / "manifest.json"
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        flip(path, at)
        try:
            found = store.load(KEY)
        except EngineRefusedError:
            pass
        else:  # a change that JSON does not see
            assert found.manifest == entry.manifest, whole[at - 20 : at + 20]
        path.write_bytes(whole)


@pytest.mark.usefixtures("entry")
def test_a_store_others_may_write_is_refused(store):
    store.folder.chmod(0o775)
    with pytest.raises(EngineRefusedError, match="chmod go-w"):
        store.load(KEY)


def test_a_full_disk_leaves_the_old_engine(store, entry, monkeypatch):
    def full(path, data):
        path.write_bytes(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module, "_write", full)
    with pytest.raises(SegRosError, match="No space left on device; make room"):
        store.save("b0", KEY, b"new", FACTS)
    assert store.load(KEY).plan == PLAN
    assert [folder for folder, _ in store.manifests()] == [entry.folder]
    assert sorted(p.name for p in store.folder.iterdir()) == [entry.folder.name]


def test_what_a_killed_build_left_is_never_an_engine(store, entry):
    left = store.folder / ".unfinished.999999999.feedfeed"
    left.mkdir()
    (left / "engine.plan").write_bytes(b"half")
    assert [folder for folder, _ in store.manifests()] == [entry.folder]
    store.save("b0", replace(KEY, precision="fp32"), b"new", FACTS)
    assert not left.exists()


def test_a_list_names_what_is_not_usable(store, entry):
    store.save("b0", replace(KEY, precision="fp32"), b"new", FACTS)
    CORRUPTIONS["figures"][0](entry)
    listed = dict(store.manifests())
    assert "was changed" in listed[entry.folder]
    assert len(listed) == 2


@pytest.mark.parametrize(
    ("name", "folder"), [("../../etc/x", "-..-etc-x"), ("nvidia/b0", "nvidia-b0"), ("..", "model")]
)
def test_a_models_name_stays_inside_the_store(store, name, folder):
    entry = store.save(name, KEY, PLAN, FACTS)
    assert entry.folder.parent == store.folder
    assert entry.folder.name.startswith(f"{folder}-tensorrt-")
    assert store.load(KEY).plan == PLAN


def test_two_processes_do_not_build_the_same_engine_at_once(store):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold_store, args=(store.folder, KEY.network, held, release))
    other.start()
    assert held.wait(30)
    order = []

    def let_go():
        time.sleep(0.2)
        order.append("released")
        release.set()

    threading.Thread(target=let_go).start()
    with store.lock(KEY.network):
        order.append("locked")
    other.join()
    assert order == ["released", "locked"]


def test_where_the_store_is(monkeypatch, tmp_path):
    monkeypatch.setenv("SEG_ROS_ENGINES", str(tmp_path / "here"))
    assert default_store() == tmp_path / "here"
    monkeypatch.delenv("SEG_ROS_ENGINES")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_store() == tmp_path / "seg_ros" / "engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_store() == tmp_path / ".cache" / "seg_ros" / "engines"


def test_a_store_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    store = EngineStore(tmp_path / "file" / "engines")
    with pytest.raises(SegRosError, match=r"cannot store the engine in .*; make room"):
        store.save("b0", KEY, PLAN, FACTS)
    with pytest.raises(SegRosError, match="cannot use the engine store"), store.lock(KEY.network):
        pass
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("key.network", None),
        ("key.platform.runtime", 7),
        ("plan.file", {}),
        ("plan.bytes", "10240"),
        ("plan.sha256", []),
        ("verification.summary", 1.5),
        ("verification", "fine"),
    ],
)
def test_a_manifest_whose_checksum_was_made_right_is_refused(store, entry, part, value):
    def change(manifest):
        *above, last = part.split(".")
        place = manifest
        for name in above:
            place = place[name]
        place[last] = value
        rest = {name: v for name, v in manifest.items() if name != "sha256"}
        manifest["sha256"] = store_module._digest(rest)

    edit(entry, change)
    ((_, problem),) = store.manifests()
    assert f"manifest.json is damaged: its {part}" in problem
    with pytest.raises(EngineRefusedError):
        store.load(KEY)
