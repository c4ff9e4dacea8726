import base64
import hashlib
import json
import math
import re
import statistics

import cv2
import numpy as np
import pytest
from browsing import PHONE, complaints, cursors, grey_shown, open_page, requests, slide, where
from support import wait_until, write_bag

from seg_ros.drive import open_drive
from seg_ros.drive.images import encode_jpeg
from seg_ros.drive.messages import bag_messages
from seg_ros.errors import SegRosError
from seg_ros.ground.grid_spec import GridSpec
from seg_ros.labels import ClassLabel, Kind, LabelSet
from seg_ros.report.page import Chart, Page, Screen, Series, Timeline, parts, write_page
from seg_ros.report.report import write_report
from seg_ros.report.run_values import RunInfo, report_values
from seg_ros.results.bag_topics import GRID_TOPIC, OVERLAY_TOPIC
from seg_ros.results.figures import FrameFigures
from seg_ros.results.result_bag import ResultBag
from seg_ros.results.video import OverlayVideo
from seg_ros.support.provenance import checksums

EVIL = "<script>document.title='owned'</script>"
EVIL_NAME = "<img src=x onerror=document.title='owned'>"
"""As a file may be called: without a slash."""
LABELS = LabelSet(
    "test",
    (
        ClassLabel("road", (128, 64, 128), Kind.GROUND, driveable=True),
        ClassLabel(f"car{EVIL}", (0, 0, 142), Kind.OBSTACLE),
        ClassLabel("never", (1, 2, 3), Kind.OPEN),
    ),
)
FIRST = 1_600_000_000_000_000_000
COUNT = 12
AHEAD = [None, math.inf, 20.0, 18.5, 16.0, math.inf, None, 9.0, 8.0, 7.0, 6.0, 5.5]


def grey(position):
    return 30 + 15 * position


def frame(i, stamp=None):
    return FrameFigures(
        index=i,
        stamp_ns=FIRST + i * 100_000_000 if stamp is None else stamp,
        latency_ms=30.0 + i,
        engine_ms=20.0 + i,
        class_shares=(0.5 + i / 100, 0.25, 0.0),
        driveable_share=0.5 + i / 100,
        confidence=0.95 if i != 5 else 0.6,
        contact_ahead_m=AHEAD[i],
        changed_share=None if i == 0 else 0.3 if i == 7 else 0.01,
        driveable_lost=None if i == 0 else 0.2 if i == 9 else 0.0,
    )


def run_info(**others):
    values = {
        "drive": f"/drives/{EVIL_NAME}",
        "labels": LABELS,
        "model": "m",
        "engine": "e",
        "device": "d",
        "frames_in": COUNT,
        "seconds": 2.0,
    }
    return RunInfo(**{**values, **others})


def make_work(folder, figures):
    """What a replay leaves: overlays of one grey each, brighter from frame to frame."""
    folder.mkdir()
    messages = bag_messages()
    cells = np.zeros(GridSpec().shape, np.int8)
    with ResultBag(folder / "result") as bag, OverlayVideo(folder / "overlay.mp4") as video:
        for position, frame_figures in enumerate(figures):
            stamp = frame_figures.stamp_ns
            picture = np.full((90, 160, 3), grey(position), np.uint8)
            header = messages.header(stamp, "camera")
            bag.write(OVERLAY_TOPIC, stamp, messages.jpeg(header, encode_jpeg(picture, 90)))
            bag.write(GRID_TOPIC, stamp, messages.occupancy_grid(header, GridSpec(), cells))
            video.add(stamp, picture)
    lines = "".join(f"{f.to_line()}\n" for f in figures)
    (folder / "frames.jsonl").write_text(lines)
    return folder


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """The drive: frames darker from one to the next, not to be taken for the overlays."""
    shades = [np.full((90, 160, 3), 240 - 2 * i, np.uint8) for i in range(COUNT)]
    frames = [(FIRST + i * 100_000_000, shade) for i, shade in enumerate(shades)]
    return write_bag(tmp_path_factory.mktemp("drive") / "bag", frames)


@pytest.fixture(scope="module")
def work(tmp_path_factory, bag):
    folder = make_work(tmp_path_factory.mktemp("report") / "work", [frame(i) for i in range(COUNT)])
    values = write_report(folder, run_info(inputs=checksums(bag)), open_drive(str(bag)))
    return folder, values


def data_of(page):
    """What the page's script works with."""
    text = page.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    return json.loads(found)


def moments_of(page):
    """Per card of a frame worth looking at: its position and the grey level of its pictures."""
    text = page.read_text(encoding="utf-8")
    found = []
    for position, card in re.findall(r'data-position="(\d+)">(.*?)</button>', text, re.DOTALL):
        pictures = {}
        for what, code in re.findall(r'alt="(\w+) of [^"]*".*?base64,([^"]*)"', card):
            picture = cv2.imdecode(np.frombuffer(base64.b64decode(code), np.uint8), 1)
            pictures[what] = float(np.median(picture[:, :, 1]))
        found.append((int(position), pictures))
    return found


def test_the_figures_are_totals_and_one_list_each():
    frames = [frame(i) for i in range(COUNT)]
    values = report_values(run_info(frames_in=15, rejections=("a", "b", "c")), frames)
    json.dumps(values, allow_nan=False)
    assert (values["frames_in"], values["frames_out"], values["rejected"]) == (15, 12, 3)
    assert values["frames_per_second"] == pytest.approx(6.0)
    assert values["driveable_share"] == pytest.approx(0.555)
    assert values["engine_p50_ms"] == pytest.approx(25.5)
    assert values["latency_p99_ms"] == pytest.approx(40.89)
    assert values["confidence"] == pytest.approx(statistics.mean(f.confidence for f in frames))
    assert values["contact_ahead_p50_m"] == pytest.approx(8.5)
    assert values["ahead_free_share"] == pytest.approx(2 / 12)
    assert values["ahead_known_share"] == pytest.approx(10 / 12)
    assert values["first_contact_ahead"] == (
        "free in 17% of frames; where there was one, median 8.5 m"
    )
    assert values["classes"][0] == {
        "name": "road",
        "color": [128, 64, 128],
        "driveable": True,
        "mean_share": pytest.approx(0.555),
    }
    assert values["notable"]["lowest_confidence"][0] == 5
    assert values["notable"]["largest_change"][0] == 7
    assert values["notable"]["most_driveable_lost"] == [9]  # the others lost nothing
    columns = values["frames"]
    assert columns["contact_ahead_m"][:3] == [None, None, 20.0]
    assert columns["ahead_free"][:3] == [None, True, False]
    assert columns["class_shares"][1] == [0.25] * COUNT
    assert columns["stamp_ns"] == [f.stamp_ns for f in frames]
    assert values["versions"]["numpy"] == np.__version__


def test_frames_worth_looking_at_are_apart():
    frames = [frame(0)] * 100
    dips = {40: 0.1, 41: 0.2, 42: 0.3, 80: 0.5}
    frames = [
        FrameFigures(i, i, 1, 1, (1, 0, 0), 1, dips.get(i, 0.9), None, None, None)
        for i in range(100)
    ]
    chosen = report_values(run_info(), frames)["notable"]["lowest_confidence"]
    assert chosen[:3] == [40, 42, 80]  # a fortieth of 100 frames: 2 apart
    with pytest.raises(SegRosError, match=r"nothing of .* was judged"):
        report_values(run_info(), [])


def test_the_page_shows_the_figures_of_the_json(work):
    folder, values = work
    data = data_of(folder / "report.html")
    assert data["x"] == [round(i * 0.1, 6) for i in range(COUNT)]
    assert data["index"] == values["frames"]["index"]
    assert data["stamps"][1] == "1600000000.100000000"
    charts = {chart["title"]: chart for chart in data["charts"]}
    ahead, free = charts["First contact ahead"]["series"]
    assert ahead["values"] == [v if v not in (None, math.inf) else None for v in AHEAD]
    assert [v is not None for v in free["values"]] == [v == math.inf for v in AHEAD]
    road, car = charts["Classes"]["series"]  # what never occurs is no layer
    assert road["values"] == pytest.approx([50 + i for i in range(COUNT)])
    assert (car["name"], road["color"]) == (f"car{EVIL}", "rgb(128 64 128)")
    assert charts["Confidence"]["series"][0]["values"][5] == 0.6
    histogram = charts["Latency"]
    assert [sum(s["values"]) for s in histogram["series"]] == [COUNT, COUNT]
    assert histogram["edges"][0] == 20.0
    assert sorted(data["marks"]) == data["marks"]
    assert {5, 7, 9} <= set(data["marks"])


def test_frames_worth_looking_at_have_their_own_pictures(work):
    folder, _ = work
    moments = moments_of(folder / "report.html")
    assert {5, 7, 9} <= {position for position, _ in moments}
    for position, pictures in moments:
        assert set(pictures) == {"frame", "overlay", "grid"}
        assert pictures["overlay"] == pytest.approx(grey(position), abs=3)
        assert pictures["frame"] == pytest.approx(240 - 2 * position, abs=1)


def test_nothing_on_the_page_is_from_outside_or_taken_for_markup(work):
    text = (work[0] / "report.html").read_text(encoding="utf-8")
    assert EVIL not in text
    assert EVIL_NAME not in text
    title = "&lt;img src=x onerror=document.title=&#x27;owned&#x27;&gt;"
    assert f"<title>{title}</title>" in text
    assert f"<h1>{title}</h1>" in text
    assert not re.search("[<>&]", re.findall(r'id="data">(.*?)</script>', text)[0])
    outside = set(re.findall(r"https?://[^\s\"'<]*", text)) - {"http://www.w3.org/2000/svg"}
    assert not outside
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[-1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; media-src blob:; style-src 'unsafe-inline'; " \
           f"script-src 'sha256-{digest}'" in text  # fmt: skip


def test_what_went_wrong_stands_on_top(tmp_path, bag):
    folder = make_work(tmp_path / "work", [frame(i) for i in range(4)])
    reasons = tuple(f"frame {i}: {EVIL} is damaged" for i in range(20, 40))
    run = run_info(
        finished=False,
        frames_in=24,
        rejections=reasons,
        problems=("bag x is damaged at byte 7",),
        command="seg_ros replay x -o y",
    )
    write_report(folder, run, open_drive(str(bag)))
    text = (folder / "report.html").read_text(encoding="utf-8")
    top = text[: text.index("<main>")]
    assert "UNFINISHED" in re.findall(r"<title>(.*?)</title>", text)[0]
    assert "Unfinished: this is the drive up to frame 3." in top
    assert "bag x is damaged at byte 7" in top
    assert "20 of 24 frames could not be used" in top
    assert top.count("is damaged</li>") == 12
    assert "and 8 more" in top
    assert EVIL not in text
    assert "seg_ros replay x -o y" in text


def test_a_video_that_is_too_large_gives_way_to_pictures(tmp_path, bag, monkeypatch):
    monkeypatch.setattr(parts, "VIDEO_BYTES", 100)
    monkeypatch.setattr(parts, "SCREEN_PICTURES", 4)
    folder = make_work(tmp_path / "work", [frame(i) for i in range(COUNT)])
    write_report(folder, run_info(), open_drive(str(bag)))
    page = folder / "report.html"
    assert data_of(page)["media"] == {"positions": [0, 3, 6, 9]}
    text = page.read_text(encoding="utf-8")
    (codes,) = re.findall(r'<script type="application/json" id="pictures">(.*?)</script>', text)
    levels = [
        cv2.imdecode(np.frombuffer(base64.b64decode(c), np.uint8), 1)[45, 80, 1]
        for c in json.loads(codes)
    ]
    assert levels == pytest.approx([grey(i) for i in (0, 3, 6, 9)], abs=3)
    assert "One picture every 3 frames" in text
    for position, pictures in moments_of(page):
        assert pictures["overlay"] == pytest.approx(grey(position), abs=3)


def test_stamps_that_repeat_give_each_frame_its_own_picture_and_no_time(tmp_path, bag):
    figures = [frame(i, stamp=FIRST + i // 2) for i in range(COUNT)]
    folder = make_work(tmp_path / "work", figures)
    write_report(folder, run_info(), open_drive(str(bag)))
    data = data_of(folder / "report.html")
    assert (data["timed"], data["x_label"], data["x"]) == (False, "frame", list(range(COUNT)))
    for position, pictures in moments_of(folder / "report.html"):
        assert pictures["overlay"] == pytest.approx(grey(position), abs=3)


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path, bag, monkeypatch):
    folder = make_work(tmp_path / "work", [frame(i) for i in range(3)])
    (folder / "report.html").write_text("old")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "x")))
    with pytest.raises(SegRosError, match=r"cannot write .*report\.html"):
        write_report(folder, run_info(), open_drive(str(bag)))
    assert (folder / "report.html").read_text() == "old"
    assert not [f for f in folder.iterdir() if f.name.startswith(".")]


def test_checksums_of_a_file_a_bag_and_a_folder_of_images(tmp_path):
    (tmp_path / "b").mkdir()
    for i in range(17):
        (tmp_path / "b" / f"{i:02}.png").write_bytes(bytes([i]))
    one = checksums(tmp_path / "b" / "03.png")
    assert one == {"03.png": hashlib.sha256(b"\x03").hexdigest()}
    lines = "".join(f"{hashlib.sha256(bytes([i])).hexdigest()}  {i:02}.png\n" for i in range(17))
    assert checksums(tmp_path / "b") == {
        "b/ (17 files)": hashlib.sha256(lines.encode()).hexdigest()
    }
    (tmp_path / "b" / "16.png").unlink()
    assert checksums(tmp_path / "b")["b/03.png"] == one["03.png"]
    with pytest.raises(SegRosError, match="cannot be read"):
        checksums(tmp_path / "nothing.mp4")


# ---- in a browser ----


def test_the_slider_moves_picture_and_cursors(browser, work):
    open_page(browser, work[0] / "report.html")
    for position in (0, 7, 3, COUNT - 1):
        slide(browser, position)
        wait_until(lambda p=position: abs(grey_shown(browser) - grey(p)) < 6, "the picture")
        seconds = f"160000000{position // 10}.{position % 10}00000000"
        assert where(browser) == f"frame {position}, {position / 10:.2f} s · stamp {seconds}"
        assert cursors(browser) == pytest.approx([position / (COUNT - 1)] * 5, abs=0.002)
    assert complaints(browser) == []


def test_it_is_moved_by_keys(browser, work):
    from selenium.webdriver.common.keys import Keys

    open_page(browser, work[0] / "report.html")
    slider = browser.find_element("id", "slider")
    body = browser.find_element("tag name", "body")
    steps = [
        (body, Keys.ARROW_RIGHT, 1),
        (slider, Keys.ARROW_RIGHT, 2),
        (slider, Keys.ARROW_LEFT, 1),
        (body, Keys.SHIFT + Keys.ARROW_RIGHT, 11),
        (slider, Keys.HOME, 0),
        (slider, Keys.END, COUNT - 1),
        (browser.find_element("css selector", ".plot[tabindex]"), Keys.HOME, 0),
    ]
    for element, keys, position in steps:
        element.send_keys(keys)
        assert where(browser).startswith(f"frame {position},"), (keys, where(browser))
        wait_until(lambda p=position: abs(grey_shown(browser) - grey(p)) < 6, "the picture")
        assert slider.get_attribute("aria-valuetext") == f"frame {position}, {position / 10:.2f} s"
    slider.send_keys(Keys.SPACE)
    # It plays to its end and says every frame it shows.
    wait_until(lambda: where(browser).startswith(f"frame {COUNT - 1},"), "the end of the video")
    wait_until(lambda: browser.find_element("id", "play").text == "Play", "the pause")
    assert complaints(browser) == []


def test_a_frame_worth_looking_at_and_a_chart_move_it_too(browser, work):
    open_page(browser, work[0] / "report.html")
    card = browser.find_element("css selector", '.moment[data-position="7"]')
    browser.execute_script("arguments[0].click()", card)
    assert where(browser).startswith("frame 7,")
    wait_until(lambda: abs(grey_shown(browser) - grey(7)) < 6, "the picture")
    plot = browser.find_element("css selector", ".plot.lines")
    browser.execute_script("arguments[0].scrollIntoView({behavior: 'instant'})", plot)
    from selenium.webdriver import ActionChains

    ActionChains(browser).move_to_element(plot).click().perform()
    # The middle of the plot is a little left of the middle of its axis.
    assert where(browser).startswith("frame 5,")
    now = browser.find_element("css selector", "#chart-2 .now").text
    assert now == "free"
    slide(browser, 7)
    assert browser.find_element("css selector", "#chart-2 .now").text == "9.0 m"
    slide(browser, 6)
    assert browser.find_element("css selector", "#chart-2 .now").text == "not known"
    assert complaints(browser) == []


def test_every_picture_loads_and_nothing_is_asked_of_the_network(browser, work):
    open_page(browser, work[0] / "report.html")
    browser.execute_script("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
    images = "return [...document.images].map(i => i.complete ? i.naturalWidth : 0)"
    widths = wait_until(
        lambda: (found := browser.execute_script(images)) and all(found) and found, "pictures"
    )
    assert len(widths) == 3 * len(moments_of(work[0] / "report.html"))
    assert requests(browser) <= {"file", "data", "blob"}
    assert complaints(browser) == []
    assert browser.title == EVIL_NAME  # as text


def test_a_phone_needs_no_sideways_scrolling(browser, work):
    open_page(browser, work[0] / "report.html", PHONE)
    width = browser.execute_script("return document.documentElement.scrollWidth")
    assert width == PHONE[0]
    browser.execute_script("document.getElementById('table').open = true")
    rows = "return document.querySelectorAll('#table tbody tr').length"
    wait_until(lambda: browser.execute_script(rows) == COUNT, "the table")
    assert browser.execute_script("return document.documentElement.scrollWidth") == PHONE[0]
    cells = browser.execute_script(
        "return [...document.querySelectorAll('#table tbody tr:nth-child(2) td')]"
        ".map(cell => cell.textContent)"
    )
    assert cells[:2] == ["1", "0.100"]
    assert "free" in cells


def test_dark_and_light(browser, work):
    ground = "return getComputedStyle(document.body).backgroundColor"
    ink = "return getComputedStyle(document.body).color"
    for dark in (False, True):
        open_page(browser, work[0] / "report.html", dark=dark)
        levels = [
            sum(map(int, re.findall(r"\d+", browser.execute_script(q)))) / 3 for q in (ground, ink)
        ]
        assert (levels[0] < 40 < 200 < levels[1]) if dark else (levels[1] < 40 < 200 < levels[0])


def test_pictures_instead_of_a_video_follow_too(browser, tmp_path, bag, monkeypatch):
    monkeypatch.setattr(parts, "VIDEO_BYTES", 100)
    folder = make_work(tmp_path / "work", [frame(i) for i in range(COUNT)])
    write_report(folder, run_info(), open_drive(str(bag)))
    open_page(browser, folder / "report.html")
    for position in (4, 11):
        slide(browser, position)
        wait_until(lambda p=position: abs(grey_shown(browser) - grey(p)) < 6, "the picture")
    # From its end, anew; asked in the same breath, as the first frame is there for 0.1 s.
    pressed = browser.execute_script(
        "document.getElementById('play').click();"
        "return document.getElementById('where').textContent"
    )
    assert pressed.startswith("frame 0,")
    wait_until(lambda: where(browser).startswith(f"frame {COUNT - 1},"), "the end")
    assert complaints(browser) == []


def test_a_long_drive_is_drawn_with_its_extremes_and_its_gaps(browser, tmp_path):
    count = 9000
    values = [50.0] * count
    values[4321], values[4322] = 90.0, 10.0
    values[2000:3000] = [None] * 1000
    values[7000] = None
    line = Timeline(tuple(range(count)), tuple(i * 100_000_000 for i in range(count)))
    grey = encode_jpeg(np.full((36, 64, 3), 99, np.uint8), 80)
    write_page(
        Page(
            title="long",
            subtitle="",
            banners=(),
            tiles=(),
            timeline=line,
            screen=Screen(pictures=(grey,), positions=(0,)),
            legend=(),
            charts=(Chart("Some", "%", (Series("one", values),), 0, 100),),
            moments=(),
            facts=(),
        ),
        tmp_path / "long.html",
    )
    open_page(browser, tmp_path / "long.html")
    path, left, right = browser.execute_script(
        """const rule = document.querySelector("line.rule");
        return [document.querySelector(".plot path").getAttribute("d"),
                rule.x1.baseVal.value, rule.x2.baseVal.value];"""
    )
    parts_drawn = [
        [tuple(map(float, point.split(","))) for point in part.split("L")]
        for part in path.split("M")[1:]
    ]
    assert len(parts_drawn) == 3  # around the two gaps
    place = [[(x - left) / (right - left) * count for x, _ in part] for part in parts_drawn]
    ends = [end for part in place for end in (part[0], part[-1])]
    assert ends == pytest.approx([0, 2000, 3000, 7000, 7000, 9000], abs=12)
    heights = {y for part in parts_drawn for _, y in part}
    assert len(heights) == 3
    assert max(heights) - min(heights) == pytest.approx(0.8 * 148, abs=1)
    assert sum(map(len, parts_drawn)) < 4000
    assert complaints(browser) == []
