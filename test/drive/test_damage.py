"""Bags cut off anywhere, with bytes flipped, or half written: what is whole comes out, then why."""

import random
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from mcap.writer import CompressionType, IndexType
from recordings import (
    IMAGES,
    picture,
    recording,
    stamp,
    write_mcap,
    write_ros1,
    write_rosbag2,
)
from rosbags.rosbag2 import CompressionMode

from seg_ros.drive import open_drive
from seg_ros.drive.sqlite_file import SqliteFile
from seg_ros.errors import SegRosError

COUNT = 12
MESSAGES = recording(COUNT)
NUMBERS = {stamp(i): i for i in range(COUNT)}

FORMS = {
    "mcap": lambda path: write_mcap(path / "a.mcap", MESSAGES),
    "mcap zstd": lambda path: write_mcap(
        path / "a.mcap", MESSAGES, compression=CompressionType.ZSTD
    ),
    "mcap lz4": lambda path: write_mcap(path / "a.mcap", MESSAGES, compression=CompressionType.LZ4),
    "mcap without index": lambda path: write_mcap(path / "a.mcap", MESSAGES, index=IndexType.NONE),
    "mcap without chunks": lambda path: write_mcap(path / "a.mcap", MESSAGES, use_chunking=False),
    "sqlite3": lambda path: write_rosbag2(path / "a", MESSAGES, sqlite=True),
    "sqlite3 file zstd": lambda path: write_rosbag2(
        # Large enough for several blocks, of which each is whole or not there.
        path / "a",
        recording(COUNT, 0, 120, 160),
        sqlite=True,
        compression=CompressionMode.FILE,
    ),
    "ROS 1": lambda path: write_ros1(path / "a.bag", MESSAGES),
}
CHECKED = ["mcap", "mcap zstd", "mcap lz4"]
"""Forms with a checksum over every frame."""


def file_of(bag):
    return bag if bag.is_file() else next(f for f in bag.iterdir() if f.suffix != ".yaml")


def read(bag):
    """Return the frames of a bag and the message that ended it, empty when nothing was wrong."""
    frames = []
    try:
        for frame in open_drive(str(bag), IMAGES).frames():
            frames.append(frame)
    except SegRosError as error:
        assert "\n" not in str(error)
        return frames, str(error)
    return frames, ""


def whole(frames):
    """Return the stamps of the frames that can be decoded; all of them must be right."""
    stamps = []
    for frame in frames:
        try:
            image = frame.decode()
        except SegRosError:
            continue
        expected = picture(NUMBERS[frame.stamp_ns], *image.shape[:2])
        np.testing.assert_array_equal(image, expected)
        stamps.append(frame.stamp_ns)
    return stamps


@pytest.mark.parametrize("form", FORMS)
def test_a_bag_that_was_cut_off_gives_what_is_before_the_cut(tmp_path, form):
    bag = FORMS[form](tmp_path)
    file = file_of(bag)
    data = file.read_bytes()
    assert read(bag)[1] == ""
    positions = [1, 8, 40, *random.Random(4).sample(range(100, len(data)), 26), len(data) - 1]
    before = 0
    for position in sorted(positions):
        file.write_bytes(data[:position])
        frames, problem = read(bag)
        # The first frames of the drive, each once, every pixel right; and it is said why no more.
        assert whole(frames) == [stamp(i) for i in range(len(frames))], position
        assert str(file if bag.is_file() else bag) in problem, position
        assert before <= len(frames), position
        before = len(frames)
    if form != "ROS 1":  # whose index is at its end
        assert before >= COUNT - 2


def test_every_whole_message_before_a_cut_comes_out(tmp_path):
    bag = write_mcap(tmp_path / "a.mcap", MESSAGES, chunk_size=10**6)  # all in one chunk
    data = bag.read_bytes()
    for number in (0, 5, COUNT - 1):
        end = data.index(MESSAGES[3 * number][3]) + len(MESSAGES[3 * number][3])
        bag.write_bytes(data[:end])
        assert len(read(bag)[0]) == number + 1
        bag.write_bytes(data[: end - 1])
        frames, problem = read(bag)
        if number:
            assert len(frames) == number
        assert "it was cut off, or is still being recorded" in problem


@pytest.mark.parametrize("form", FORMS)
def test_flipped_bits_are_no_traceback_and_no_frame_twice(tmp_path, form):
    bag = FORMS[form](tmp_path)
    file = file_of(bag)
    data = file.read_bytes()
    dice = random.Random(5)
    for _ in range(60):
        damaged = bytearray(data)
        position = dice.randrange(len(data))
        damaged[position] ^= 1 << dice.randrange(8)
        file.write_bytes(damaged)
        frames, problem = read(bag)
        logs = [f.raw.log_ns for f in frames if f.raw]
        assert logs == sorted(set(logs)), position
        if form in CHECKED:
            stamps = whole(frames)
            assert problem or stamps == [stamp(i) for i in range(COUNT)], position
        elif form != "ROS 1":
            assert problem or len(frames) == COUNT, position


def test_a_damaged_chunk_ends_the_drive_before_it(tmp_path):
    bag = write_mcap(tmp_path / "a.mcap", MESSAGES)
    data = bytearray(bag.read_bytes())
    data[data.index(MESSAGES[3 * 7][3]) + 5000] ^= 1
    bag.write_bytes(data)
    frames, problem = read(bag)
    assert 4 <= len(frames) <= 7
    assert whole(frames) == [stamp(i) for i in range(len(frames))]
    assert "its checksum differs" in problem
    # A piece that ends before it knows nothing of it, one behind it can be read.
    drive = open_drive(str(bag))
    assert len(list(drive.frames(0, 4))) == 4
    assert whole(drive.frames(10)) == [stamp(10), stamp(11)]


def test_damage_in_one_file_of_a_split_bag_ends_the_drive_there(tmp_path):
    for number in range(3):
        write_mcap(tmp_path / f"a_{number}.mcap", MESSAGES[12 * number : 12 * (number + 1)])
    cut = tmp_path / "a_1.mcap"
    cut.write_bytes(cut.read_bytes()[:30_000])
    frames, problem = read(tmp_path)
    assert 4 < len(frames) < 8
    assert whole(frames) == [stamp(i) for i in range(len(frames))]
    assert str(cut) in problem
    # What is behind it has no number, so a piece cannot begin there.
    with pytest.raises(SegRosError, match=r"a_1.mcap"):
        list(open_drive(str(tmp_path)).frames(9))


def test_a_recording_that_goes_on(tmp_path):
    bag = write_mcap(tmp_path / "a.mcap", MESSAGES, finish=False)
    frames, problem = read(bag)
    assert COUNT - 4 <= len(frames) < COUNT
    assert whole(frames) == [stamp(i) for i in range(len(frames))]
    assert "it was cut off, or is still being recorded" in problem


WRITE_AND_DIE = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute(f"PRAGMA journal_mode = {sys.argv[2]}")
database.execute("BEGIN")
database.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (1, 1, zeroblob(9000))")
if sys.argv[2] == "WAL":
    database.execute("COMMIT")
else:
    database.execute("PRAGMA cache_size = 1")
    for _ in range(50):
        database.execute(
            "INSERT INTO messages (topic_id, timestamp, data) VALUES (1, 1, zeroblob(9000))"
        )
os._exit(1)
"""


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_a_sqlite3_recorder_that_was_killed(tmp_path, journal):
    bag = write_rosbag2(tmp_path / "a", MESSAGES, sqlite=True)
    (bag / "metadata.yaml").unlink()  # written last, so it is not there
    arguments = [sys.executable, "-c", WRITE_AND_DIE, str(bag / "a.db3"), journal]
    assert subprocess.run(arguments, check=False).returncode == 1
    left = sorted(bag.iterdir())
    assert len(left) > 1
    frames, problem = read(bag)
    if journal == "WAL":
        # What was committed is there, with the message that is only in the log of changes.
        assert problem == ""
        assert len(frames) == COUNT + 1
        assert whole(frames) == [stamp(i) for i in range(COUNT)]
    else:
        assert "still being recorded, or its recorder was killed" in problem
    assert sorted(bag.iterdir()) == left  # and nothing was cleaned up


@pytest.mark.parametrize("left", [{"-wal", "-shm"}, {"-wal"}, set()])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_sqlite3_file_with_a_log_of_changes(tmp_path, left, read_only):
    """As rosbag2 records with the storage preset "resilient", on a card that may be read-only."""
    bag = write_rosbag2(tmp_path / "a", MESSAGES, sqlite=True)
    (bag / "metadata.yaml").unlink()
    with sqlite3.connect(bag / "a.db3") as source:
        script = "\n".join(source.iterdump())
    source.close()
    (tmp_path / "b").mkdir()
    file = tmp_path / "b" / "b.db3"
    code = "import os, sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None); "
    code += "[d.execute(f'PRAGMA {p}') for p in ('journal_mode = WAL', 'wal_autocheckpoint = 0')]; "
    code += "d.executescript(sys.stdin.read()); os._exit(0)"
    subprocess.run([sys.executable, "-c", code, str(file)], input=script, text=True, check=True)
    assert file.stat().st_size == 4096  # all of it is in the log
    if not left:
        with sqlite3.connect(file) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
    for suffix in {"-wal", "-shm"} - left:
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    before = {f.name: f.read_bytes() for f in file.parent.iterdir() if not f.name.endswith("-shm")}
    read_it = [sys.executable, "-c", READ_IT, str(file.parent)]
    if read_only:
        read_it = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", BIND, *read_it]
        read_it.insert(7, str(file.parent))
    done = subprocess.run(read_it, capture_output=True, text=True, check=False)
    if read_only and "mounting" not in done.stdout:
        pytest.skip(f"no read-only mount here: {done.stderr.strip()}")
    assert done.stdout.split()[-COUNT:] == [str(stamp(i)) for i in range(COUNT)], done.stderr
    assert done.returncode == 0
    after = {f.name: f.read_bytes() for f in file.parent.iterdir() if not f.name.endswith("-shm")}
    assert after == before
    assert file.with_name("b.db3-shm").exists() == ("-shm" in left)


READ_IT = """
import sys
from seg_ros.drive import open_drive
for frame in open_drive(sys.argv[1]).frames():
    frame.decode()
    print(frame.stamp_ns)
"""

BIND = """
mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && ! touch "$0/x" 2>/dev/null || exit 1
echo mounting
exec "$@"
"""


def test_a_page_that_is_only_partly_there_is_not_read(tmp_path):
    # sqlite 3.40 takes the missing part of the last page for zeros, a picture's end for black; 3.54
    # tells most of it. Neither is to see that page.
    bag = write_rosbag2(tmp_path / "a", MESSAGES, sqlite=True)
    data = (bag / "a.db3").read_bytes()
    for page in range(8, len(data) // 4096):
        (bag / "a.db3").write_bytes(data[: page * 4096 + 300])
        with SqliteFile(bag / "a.db3", "a")._connect() as database:
            assert list(database.execute("PRAGMA page_count")) == [(page,)]
        frames, problem = read(bag)
        assert whole(frames) == [stamp(i) for i in range(len(frames))], page
        assert "it was cut off" in problem


def test_index_and_messages_of_a_sqlite3_file_that_disagree(tmp_path):
    bag = write_rosbag2(tmp_path / "a", MESSAGES, sqlite=True)
    database = sqlite3.connect(bag / "a.db3")
    query = "SELECT rootpage FROM sqlite_master WHERE name = 'timestamp_idx'"
    ((root,),) = database.execute(query)
    database.close()
    # The entry of the fourth image, in the index, points to another message.
    data = bytearray((bag / "a.db3").read_bytes())
    page = data[(root - 1) * 4096 : root * 4096]
    at = page.index((stamp(3) + 5).to_bytes(8, "big")) + 8
    data[(root - 1) * 4096 + at] += 3
    (bag / "a.db3").write_bytes(data)
    frames, problem = read(bag)
    assert whole(frames) == [stamp(0), stamp(1), stamp(2)]
    assert "its index and its messages disagree" in problem


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("type = NULL", "a topic in it has no name or no type"),
        ("name = CAST(x'ff' AS TEXT)", "a text in it is not UTF-8"),
    ],
)
def test_topics_of_a_sqlite3_file_that_are_no_text(tmp_path, change, said):
    bag = write_rosbag2(tmp_path / "a", MESSAGES, sqlite=True)
    with sqlite3.connect(bag / "a.db3") as database:
        database.execute("CREATE TABLE loose AS SELECT * FROM topics")  # without NOT NULL
        database.execute("DROP TABLE topics")
        database.execute("ALTER TABLE loose RENAME TO topics")
        database.execute(f"UPDATE topics SET {change}")
    database.close()
    with pytest.raises(SegRosError, match=said):
        open_drive(str(bag))


def test_an_index_that_is_said_to_be_behind_the_end(tmp_path):
    bag = write_mcap(tmp_path / "a.mcap", MESSAGES)
    data = bytearray(bag.read_bytes())
    data[-28:-20] = (2**63).to_bytes(8, "little")
    bag.write_bytes(data)
    frames, problem = read(bag)
    assert whole(frames) == [stamp(i) for i in range(COUNT)]
    assert "its index is said to be behind its end" in problem


def test_nothing_in_it(tmp_path):
    (tmp_path / "a.mcap").write_bytes(b"")
    with pytest.raises(SegRosError, match=r"a.mcap is damaged: it does not begin as an MCAP"):
        open_drive(str(tmp_path / "a.mcap"))
    (tmp_path / "a.db3").write_bytes(b"")
    with pytest.raises(SegRosError, match=r"a.db3 is damaged: it does not begin as a sqlite3"):
        open_drive(str(tmp_path / "a.db3"))
    sqlite3.connect(tmp_path / "b.db3").execute("CREATE TABLE t (x)").connection.close()
    with pytest.raises(SegRosError, match=r"b.db3 is damaged: it has no tables of topics"):
        open_drive(str(tmp_path / "b.db3"))
    empty = write_mcap(tmp_path / "c.mcap", [])
    with pytest.raises(SegRosError, match=r"has no camera topic; it has nothing"):
        open_drive(str(empty))
    none = write_rosbag2(tmp_path / "d", [], empty={IMAGES: "sensor_msgs/msg/Image"})
    assert open_drive(str(none)).frame_count == 0
    assert list(open_drive(str(none)).frames()) == []
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "metadata.yaml").write_text("rosbag2_bagfile_information: 3")
    with pytest.raises(SegRosError, match=r"e is damaged: its metadata.yaml cannot be read"):
        open_drive(str(tmp_path / "e"))
