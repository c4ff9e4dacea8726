import json
import re

import av
import cv2
import numpy as np
import pytest
from browsing import PHONE, complaints, cursors, open_page, requests, slide, where
from support import wait_until, write_bag

from seg_ros import cli
from seg_ros.drive import open_drive
from seg_ros.engines import EngineInfo, Inference
from seg_ros.errors import SegRosError
from seg_ros.judge.compare import COMPARE_NAMES, CommonClasses, Comparison, Contender
from seg_ros.labels import ClassLabel, Kind, LabelSet, load_label_set
from seg_ros.report.page import parts
from seg_ros.results.outputs import OutputFolder
from seg_ros.segment.segmenter import Segmenter

ROAD = ClassLabel("road", (128, 64, 128), Kind.GROUND, driveable=True)
CAR = ClassLabel("car", (0, 0, 142), Kind.OBSTACLE)
SKY = ClassLabel("sky", (70, 130, 180), Kind.OPEN)
TREE = ClassLabel("Tree", (107, 142, 35), Kind.OBSTACLE)
FIRST, SECOND = LabelSet("first", (ROAD, CAR, SKY)), LabelSet("second", (TREE, CAR, ROAD))
SIZE = (40, 100)


class ColumnEngine:
    """Says ``left`` for the columns up to the frame's brightness plus ``shift``, ``right`` after.

    So a frame of brightness 30 is 30 % left.
    """

    input_size = SIZE
    class_count = 3

    def __init__(self, left, right, shift, runtime="r"):
        self.info = EngineInfo(runtime, "d", "fp32")
        self._answer, self._shift = (left, right), shift
        self.asked = []

    def infer(self, image):
        edge = int(image[0, 0, 0]) + self._shift
        self.asked.append(edge)
        logits = np.zeros((3, *SIZE), np.float32)
        logits[self._answer[0], :, :edge] = 9
        logits[self._answer[1], :, edge:] = 9
        return Inference(lambda: logits, finite=True)


def segmenters(shift=10):
    """First says road left and sky right; second road and tree, its road ``shift`` wider."""
    first = Segmenter(ColumnEngine(0, 2, 0, "one"), FIRST, "m1")
    second = Segmenter(ColumnEngine(2, 0, shift, "two"), SECOND, "m2")
    return first, second


@pytest.fixture
def bag(tmp_path):
    """Frames of brightness 20, 30, 40 and 50."""
    frames = [(10**9 + i * 10**8, np.full((*SIZE, 3), 20 + 10 * i, np.uint8)) for i in range(4)]
    return write_bag(tmp_path / "bag", frames)


def compare(bag, folder, pair=None, **options):
    comparison = Comparison(("x", "y"), pair or segmenters(), open_drive(str(bag)), **options)
    return comparison.run(OutputFolder(folder, names=COMPARE_NAMES))


@pytest.mark.parametrize(
    ("text", "contender"),
    [
        ("default", Contender("default", "default")),
        ("default@openvino", Contender("default@openvino", "default", "openvino")),
        ("a/b.onnx@auto:fp16", Contender("b.onnx@auto:fp16", "a/b.onnx", "auto", "fp16")),
    ],
)
def test_contenders(text, contender):
    assert Contender.parse(text) == contender


def test_a_file_with_an_at_is_a_model_and_a_wrong_runtime_an_error(tmp_path):
    file = tmp_path / "best@3.onnx"
    file.touch()
    assert Contender.parse(str(file)) == Contender("best@3.onnx", str(file))
    with pytest.raises(SegRosError, match="runtime 'opnvino' is unknown; write MODEL"):
        Contender.parse("default@opnvino")
    for text in ("default@auto:fp8", "default@auto:"):
        with pytest.raises(SegRosError, match=r"precision '(fp8)?' is unknown; write MODEL"):
            Contender.parse(text)


def test_common_classes_are_those_of_the_same_name():
    common = CommonClasses.of(FIRST, SECOND)
    assert [label.name for label in common.labels.classes] == ["road", "car", "other not driveable"]
    assert common.labels.driveable_ids == (0,)
    assert common.tables[0][:3].tolist() == [0, 1, 2]
    assert common.tables[1][:3].tolist() == [2, 1, 0]
    assert set(common.tables[0][3:]) == {255}


def test_a_class_only_one_calls_driveable_is_compared_as_driveable_or_not():
    other = LabelSet("o", (ClassLabel("road", (1, 1, 1), Kind.GROUND, driveable=False), CAR))
    common = CommonClasses.of(FIRST, other)
    names = [label.name for label in common.labels.classes]
    assert names == ["car", "other driveable", "other not driveable"]
    assert [names[i] for i in common.tables[0][:3]] == [names[1], "car", names[2]]
    assert [names[i] for i in common.tables[1][:2]] == [names[2], "car"]


def test_sets_without_a_common_name_are_compared_as_driveable_or_not():
    strange = LabelSet("s", (ClassLabel("lane", (1, 1, 1), Kind.GROUND, driveable=True), TREE))
    common = CommonClasses.of(FIRST, strange)
    assert [label.name for label in common.labels.classes] == ["driveable", "not driveable"]
    assert common.tables[0][:3].tolist() == [0, 1, 1]
    camvid, cityscapes = load_label_set("camvid"), load_label_set("cityscapes")
    names = [label.name for label in CommonClasses.of(camvid, cityscapes).labels.classes]
    assert {"road", "sky", "car"} <= set(names)
    same = CommonClasses.of(camvid, camvid)
    assert same.labels.classes == camvid.classes
    assert same.tables[0].tolist() == same.tables[1].tolist() == [*range(11), *[255] * 245]


def test_the_figures(tmp_path, bag):
    values = compare(bag, tmp_path / "out")
    json.dumps(values, allow_nan=False)
    frames = values["frames"]
    assert frames["index"] == [0, 1, 2, 3]
    assert frames["stamp_ns"] == [10**9 + i * 10**8 for i in range(4)]
    assert frames["agreement"] == pytest.approx([0.9] * 4)
    assert frames["driveable_iou"] == pytest.approx([20 / 30, 30 / 40, 40 / 50, 50 / 60])
    road, car, rest = frames["class_iou"]
    assert road == frames["driveable_iou"]
    assert car == [None] * 4
    assert rest == pytest.approx([70 / 80, 60 / 70, 50 / 60, 40 / 50])
    assert values["agreement"] == pytest.approx(0.9)
    assert values["driveable_iou"] == pytest.approx(140 / 180)
    assert [c["iou"] for c in values["classes"]] == [
        pytest.approx(140 / 180),
        None,
        pytest.approx(220 / 260),
    ]
    assert values["classes"][0]["mean_share"] == pytest.approx((35 + 45) / 200)
    assert values["disagreements"] == [
        {"a": "other not driveable", "b": "road", "share": pytest.approx(0.1)}
    ]
    assert values["notable"]["least_driveable_agreement"] == [0, 1, 2, 3]
    assert (values["a"]["engine"], values["b"]["engine"]) == ("one fp32", "two fp32")
    assert values["a"]["engine_p50_ms"] == pytest.approx(np.median(frames["engine_ms_a"]))
    assert values["finished"] is True
    assert {f.name for f in (tmp_path / "out").iterdir()} == set(COMPARE_NAMES)


def test_both_see_every_frame_and_take_turns_to_be_first(tmp_path, bag):
    first, second = segmenters()
    order = []
    for name, segmenter in (("a", first), ("b", second)):
        engine = segmenter._engine
        ask = engine.infer
        engine.infer = lambda image, name=name, ask=ask: (order.append(name), ask(image))[1]
    compare(bag, tmp_path / "out", (first, second))
    assert "".join(order[:8]) == "abbaabba"


def test_the_video_shows_both_and_where_they_disagree(tmp_path, bag):
    compare(bag, tmp_path / "out")
    with av.open(str(tmp_path / "out" / "compare.mp4")) as video:
        shown = [f.to_ndarray(format="bgr24") for f in video.decode(video=0)]
    assert len(shown) == 4
    height, width = shown[0].shape[:2]
    unlike = shown[2][height // 2 :, : width // 2]  # 40 % and 50 % are road
    middle = unlike[unlike.shape[0] // 2].astype(int)
    for share, red in ((0.2, False), (0.45, True), (0.8, False)):
        blue, green, strength = middle[int(share * len(middle))]
        assert (strength - max(blue, green) > 80) == red
    overlays = shown[2][height // 4]
    # Road is violet, up to 40 % in the left picture and up to 50 % in the right one.
    violet = [bool(overlays[int(x * width), 1] + 15 < overlays[int(x * width), 2]) for x in
              (0.1, 0.225, 0.35, 0.6, 0.725, 0.85)]  # fmt: skip
    assert violet == [True, False, False, True, True, False]


def test_a_frame_that_cannot_be_read_is_left_out_and_said(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((*SIZE, 3), 20, np.uint8))
    (folder / "1.png").write_bytes(b"nonsense<b>")
    said = []
    values = compare(folder, tmp_path / "out", on_bad_frame=said.append)
    assert (values["frames_in"], values["frames_out"], values["rejected"]) == (3, 2, 1)
    assert values["frames"]["index"] == [0, 2]
    assert values["problems"] == said
    assert "frame 1: " in said[0]
    page = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    assert "frame 1: " in page[: page.index("<main>")]


def test_a_drive_that_ends_early_is_compared_up_to_there_and_said(tmp_path, bag, monkeypatch):
    drive = open_drive(str(bag))
    whole = drive.frames

    def frames(start=0, stop=None):
        yield from whole(start, min(stop or 2, 2))
        if stop is None:
            raise SegRosError("bag x is damaged: y")

    monkeypatch.setattr(drive, "frames", frames)
    comparison = Comparison(("x", "y"), segmenters(), drive)
    with pytest.raises(SegRosError, match=r"bag x is damaged: y\. The 2 frames before it are in"):
        comparison.run(OutputFolder(tmp_path / "out", names=COMPARE_NAMES))
    page = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    assert "UNFINISHED: x and y on bag" in page
    assert "bag x is damaged: y" in page


def test_what_fails_leaves_no_result(tmp_path, bag):
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"nonsense")
    with pytest.raises(SegRosError, match="has no frame that can be decoded"):
        compare(folder, tmp_path / "out")
    assert not [f for f in (tmp_path / "out").iterdir() if not f.name.startswith(".")]
    (tmp_path / "out" / "compare.html").write_text("before")
    with pytest.raises(SegRosError, match=r"already holds compare\.html"):
        compare(bag, tmp_path / "out")
    assert (tmp_path / "out" / "compare.html").read_text() == "before"


def test_a_video_that_is_too_large_gives_way_to_pictures(tmp_path, bag, monkeypatch):
    monkeypatch.setattr(parts, "VIDEO_BYTES", 100)
    monkeypatch.setattr(parts, "SCREEN_PICTURES", 2)
    compare(bag, tmp_path / "out")
    page = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])
    assert data["media"] == {"positions": [0, 2]}
    assert len(json.loads(re.findall(r'id="pictures">(.*?)</script>', page)[0])) == 2


def test_a_model_agrees_with_itself_on_the_command_line(tmp_path, scene, capsys):
    bag = write_bag(tmp_path / "bag", [(10**9 + i, scene[i * 40].image) for i in range(3)])
    figures = tmp_path / "figures.json"
    out = tmp_path / "out"
    arguments = ["compare", "default", "default@openvino", str(bag), "-o", str(out)]
    assert cli.main([*arguments, "--json", str(figures)]) == 0
    values = json.loads(figures.read_text())
    assert values["frames"]["agreement"] == [1.0] * 3
    assert values["disagreements"] == []
    assert values["a"]["engine"].startswith("openvino")
    assert values["command"].startswith("seg_ros compare default default@openvino")
    models = [f"{letter}: camvid-b0.onnx" for letter in "AB"]
    assert list(values["inputs"]) == ["bag/bag.mcap", "bag/metadata.yaml", *models]
    assert len(values["outputs"]["compare.mp4"]) == 64
    assert "all pixels, the same class  1.0000" in capsys.readouterr().out
    assert cli.main(["compare", "default", "default@x", str(bag), "-o", str(tmp_path / "b")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "b").exists()


def test_the_page_in_a_browser(browser, tmp_path, bag):
    compare(bag, tmp_path / "out")
    open_page(browser, tmp_path / "out" / "compare.html", PHONE)
    assert browser.execute_script("return document.documentElement.scrollWidth") == PHONE[0]
    open_page(browser, tmp_path / "out" / "compare.html")
    slide(browser, 2)
    assert where(browser).startswith("frame 2, 0.20 s")
    assert cursors(browser) == pytest.approx([2 / 3] * 4, abs=0.002)
    assert browser.find_element("css selector", "#chart-1 .now").text == "80.0 %"
    loaded = "const s = document.getElementById('screen'); return s.readyState > 1 && !s.seeking"
    wait_until(lambda: browser.execute_script(loaded), "the video")
    browser.execute_script("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
    images = "return [...document.images].every(i => i.complete && i.naturalWidth > 0)"
    wait_until(lambda: browser.execute_script(images), "the pictures")
    assert browser.execute_script("return document.images.length") == 3 * 8
    assert complaints(browser) == []
    assert requests(browser) <= {"file", "data", "blob"}
