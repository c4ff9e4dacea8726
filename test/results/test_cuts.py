"""Two trips in one bag, a clock that was set, a recorder that paused: cuts, not hours."""

import av
import numpy as np
import pytest

from seg_ros.report.page import Timeline
from seg_ros.results.video import OverlayVideo
from seg_ros.support.timeline import cut_notes, cuts, say_step, shown_times_ns

S = 10**9
START = 1_700_000_000 * S


def trip(start, count=4, step=S // 5):
    return [start + number * step for number in range(count)]


STEPS = {
    "two trips": (trip(START) + trip(START + 86_400 * S), 86_400 * S - 3 * S // 5, "24 hours"),
    "more than a year": (trip(5 * S) + trip(START), START - 5 * S - 3 * S // 5, "53.9 years"),
    "over 2^31 ticks of 90 kHz": (trip(START) + trip(START + 24_000 * S), 23_999_400_000_000,
                                  "6.7 hours"),
    "a pause": (trip(START) + trip(START + 61 * S + 3 * S // 5), 61 * S, "1 minute"),
    "back": (trip(START) + trip(START - 600 * S), -600 * S - 3 * S // 5, "10 minutes back"),
    "back by seconds": (trip(START) + trip(START - 2 * S), -2 * S - 3 * S // 5,
                        "2.6 seconds back"),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_is_no_driving_is_a_cut(tmp_path, name):
    stamps, step, said = STEPS[name]
    assert cuts(stamps) == {4: step}
    even = [number * S // 5 for number in range(8)]
    assert shown_times_ns(stamps) == even
    assert cut_notes(range(10, 18), stamps) == [
        f"stamps step by {said} before frame 14: shown as a cut"
    ]
    line = Timeline(tuple(range(8)), tuple(stamps))
    assert line.timed
    assert line.x == [time / S for time in even]
    with OverlayVideo(tmp_path / "a.mp4") as video:
        for number, stamp in enumerate(stamps):
            video.add(stamp, np.full((48, 64, 3), 30 * number, np.uint8))
    with av.open(str(tmp_path / "a.mp4")) as container:
        frames = list(container.decode(video=0))
    assert [float(f.pts * f.time_base) for f in frames] == pytest.approx(line.x)
    shades = [float(f.to_ndarray(format="gray").mean()) for f in frames]
    assert shades == sorted(shades)


def test_what_is_driving_is_no_cut():
    for stamps in (
        trip(START, 50),
        [START, START + 59 * S, START + 60 * S],  # a slow recorder
        [START, START + S // 10, START + S // 20, START + S // 5],  # frames overtook each other
        [START, START, START + 1],
    ):
        assert cuts(stamps) == {}
        assert shown_times_ns(stamps) == [stamp - START for stamp in stamps]
        assert cut_notes(range(len(stamps)), stamps) == []


def test_many_cuts_are_few_lines():
    stamps = [START + number * 3600 * S for number in range(6)]
    notes = cut_notes(range(6), stamps)
    assert len(notes) == 3
    assert notes[2] == (
        "stamps step by 1 hour before frame 3: shown as a cut, as are 2 more such steps"
    )
    # Where nothing says how long a frame lasts, it is a tenth of a second.
    assert shown_times_ns(stamps) == [number * S // 10 for number in range(6)]


def test_how_a_step_is_said():
    assert [say_step(s * S) for s in (-1, 90, 3600, 86_400 * 3, 31_557_600)] == [
        "1 second back", "1.5 minutes", "1 hour", "3 days", "1 year",
    ]  # fmt: skip
