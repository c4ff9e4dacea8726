"""One clock for all of a recording: that of its stamps, or the recorder's where it has none."""

import pytest
from recordings import (
    IMAGE,
    IMAGES,
    h264,
    picture,
    video_recording,
    write_mcap,
    write_rosbag2,
)

from seg_ros.drive import open_drive
from seg_ros.drive.messages import bag_messages, typestore

S = 10**9
LOGGED = [10**18 + number * S // 10 for number in range(10)]
SIMULATED = [100 * S + number * S // 10 for number in range(10)]


def write(path, stamps, logged=LOGGED, writer=write_mcap):
    library, store, messages = bag_messages(), typestore(), []
    for number, (stamp, log_ns) in enumerate(zip(stamps, logged, strict=True)):
        image = library.image(library.header(stamp, "camera"), picture(number))
        messages.append((IMAGES, IMAGE, log_ns, bytes(store.serialize_cdr(image, IMAGE))))
    return open_drive(str(writer(path / "a.mcap", messages)))


@pytest.mark.parametrize("writer", [write_mcap, write_rosbag2])
def test_no_stamp_at_all(tmp_path, writer):
    drive = write(tmp_path, [0] * 10, writer=writer)
    assert [f.stamp_ns for f in drive.frames()] == LOGGED
    assert drive.notes == (
        "/cam/image_raw has no stamps: the times when it was recorded stand for them",
    )
    assert {f.note for f in drive.frames()} == {""}


def test_no_stamp_at_first_and_for_long(tmp_path):
    """Its driver sets them once its clock is set: the recorder's clock stands for all."""
    drive = write(tmp_path, [0] * 6 + [10**18] * 4)
    assert [f.stamp_ns for f in drive.frames()] == LOGGED
    assert len(drive.notes) == 1


@pytest.mark.parametrize("missing", [{0}, {3, 7}, {9}, {0, 1, 2, 3}])
def test_no_stamp_among_good_ones(tmp_path, missing):
    """Under simulated time the recorder's clock is half a century ahead."""
    stamps = [0 if number in missing else stamp for number, stamp in enumerate(SIMULATED)]
    drive = write(tmp_path, stamps)
    assert drive.notes == ()
    frames = list(drive.frames())
    assert [f.stamp_ns for f in frames] == SIMULATED
    assert {f.index for f in frames if f.note} == missing
    assert {f.note for f in frames if f.note} == {
        "/cam/image_raw has messages without a stamp: each has the time when it was recorded, "
        "moved by -999999900.000000 s, as far as the others' stamps are"
    }
    # And in a piece as in the whole.
    assert [f.stamp_ns for f in drive.frames(3, 8)] == SIMULATED[3:8]


def test_a_negative_stamp_is_none(tmp_path):
    drive = write(tmp_path, [-5 * S] * 10)
    assert [f.stamp_ns for f in drive.frames()] == LOGGED


def test_good_stamps_are_taken_as_they_are(tmp_path):
    stamps = [*SIMULATED[:5], *LOGGED[5:]]  # a clock that is set is a step, and none of ours
    drive = write(tmp_path, stamps)
    assert [f.stamp_ns for f in drive.frames()] == stamps
    assert drive.notes == ()


def test_video_messages_without_stamps(tmp_path):
    messages = [
        (topic, kind, log_ns, data[:4] + bytes(8) + data[12:])
        for topic, kind, log_ns, data in video_recording(h264([picture(n) for n in range(5)]))
    ]
    drive = open_drive(str(write_mcap(tmp_path / "a.mcap", messages)))
    assert [f.stamp_ns for f in drive.frames()] == [m[2] for m in messages]
    assert drive.notes[0].startswith("/cam/video has no stamps")
