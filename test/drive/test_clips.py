"""Folders of clips as dashcams write them: one drive, on one timeline."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from recordings import recording, write_mcap

from seg_ros.drive import open_drive
from seg_ros.drive.clip_names import sort_clips
from seg_ros.errors import SegRosError

RATE = 5
LENGTH = 10
"""Frames of a clip; it lasts two seconds."""


def write_clip(path, shade, *, frames=LENGTH, created="", codec="libx264"):
    """A clip of grey pictures of one shade."""
    with av.open(str(path), "w") as target:
        if created:
            target.metadata["creation_time"] = created
        stream = target.add_stream(codec, rate=RATE, options={"g": "5", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = Fraction(1, RATE)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), shade, np.uint8), "bgr24")
            frame.pts = number
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def told(drive, start=0, stop=None):
    """Per clip: its shade in tens, when it begins and ends in seconds, its frames."""
    clips = []
    for frame in drive.frames(start, stop):
        shade, time = round(frame.decode().mean() / 10), frame.stamp_ns / 1e9 - 1
        if not clips or clips[-1][0] != shade:
            clips.append([shade, time, time, 0])
        clips[-1][2], clips[-1][3] = time, clips[-1][3] + 1
    return [(shade, round(a, 3), round(b, 3), count) for shade, a, b, count in clips]


def write_folder(folder, names, **options):
    for number, name in enumerate(names, 2):
        write_clip(folder / name, number * 10, **options)
    return str(folder)


@pytest.mark.parametrize(
    "names",
    [
        ("2026_0101_120000_001F.MP4", "2026_0101_120002_002F.MP4", "2026_0101_120004_003F.MP4"),
        ("20260101_115958_NF.mp4", "20260101_120000_EF.mp4", "20260101_120002_PF.mp4"),
        ("260101_120000_001_FH.MP4", "260101_120002_002_FH.MP4", "260101_120004_003_FH.MP4"),
        ("NO20260101-120000-000001F.MP4", "EV20260101-120002-000002F.MP4"),
        ("REC_2026_01_01_12_00_00_F.MP4", "REC_2026_01_01_12_00_02_F.MP4"),
        ("2026-01-01_23-59-59-front.mp4", "2026-01-02_00-00-01-front.mp4"),
        ("VID_20260101_120000.mp4", "VID_20260101_120002.mp4"),
        ("PXL_20260101_120000123.mp4", "PXL_20260101_120002123.mp4"),
        ("DJI_20260101120000_0001_D.MP4", "DJI_20260101120002_0002_D.MP4"),
        ("GH010001.MP4", "GH020001.MP4", "GH030001.MP4"),
        ("GOPR0001.MP4", "GP010001.MP4"),
    ],
)
def test_clips_of_one_drive_follow_each_other(tmp_path, names):
    drive = open_drive(write_folder(tmp_path, names))
    assert drive.notes == ()
    assert drive.frame_count == LENGTH * len(names)
    assert told(drive) == [(2 + i, 2.0 * i, 2.0 * i + 1.8, LENGTH) for i in range(len(names))]


def test_a_piece_is_the_same_frames_as_in_the_whole(tmp_path):
    folder = write_folder(tmp_path, [f"2026_0101_1200{s:02}_00{s}F.MP4" for s in (0, 2, 9)])
    drive = open_drive(folder)
    whole = [(f.index, f.stamp_ns, f.decode().tobytes()) for f in drive.frames()]
    assert [index for index, *_ in whole] == list(range(3 * LENGTH))
    for start, stop in ((0, 3), (8, 12), (10, 20), (13, None), (19, 21), (30, None), (5, 5)):
        piece = [(f.index, f.stamp_ns, f.decode().tobytes()) for f in drive.frames(start, stop)]
        assert piece == whole[start:stop]


def test_a_gap_is_noticed_and_a_second_of_rounding_is_none(tmp_path):
    names = [f"2026_0101_12{time}_001F.MP4" for time in ("0000", "0003", "0103")]
    drive = open_drive(write_folder(tmp_path, names))
    assert told(drive) == [(2, 0.0, 1.8, 10), (3, 2.0, 3.8, 10), (4, 63.0, 64.8, 10)]
    assert drive.notes == ("nothing was recorded for 59 seconds before 2026_0101_120103_001F.MP4",)


def test_clips_that_overlap_are_said_to(tmp_path):
    names = ("20260101_120000_NF.mp4", "20260101_120001_EF.mp4")
    for number, name in enumerate(names, 2):
        write_clip(tmp_path / name, 10 * number, frames=25)
    drive = open_drive(str(tmp_path))
    assert told(drive) == [(2, 0.0, 4.8, 25), (3, 5.0, 9.8, 25)]
    (note,) = drive.notes
    assert "follow it directly: 20260101_120001_EF.mp4 by 4 seconds" in note


def tesla(folder):
    """An event folder: four cameras, two minutes, a picture and a description."""
    cameras = ("front", "back", "left_repeater", "right_repeater")
    for number, camera in enumerate(cameras, 2):
        for time in ("12-00-00", "12-00-02"):
            write_clip(folder / f"2026-01-01_{time}-{camera}.mp4", number * 10)
    noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    cv2.imwrite(str(folder / "thumb.png"), noise)
    (folder / "event.json").write_text('{"reason": "sentry_aware_object_detection"}')
    return folder


def test_cameras_are_told_apart_and_chosen(tmp_path):
    folder = str(tesla(tmp_path))
    with pytest.raises(SegRosError) as error:
        open_drive(folder)
    assert "choose one with --topic: back (2 clips); front (2 clips);" in str(error.value)
    with pytest.raises(SegRosError, match=r"has no camera rear; it has back \(2 clips\); front"):
        open_drive(folder, "rear")
    for topic in ("left_repeater", "/left_repeater"):
        drive = open_drive(folder, topic)
        assert told(drive) == [(4, 0.0, 3.8, 2 * LENGTH)]
        (note,) = drive.notes
        assert note == f"left out of {folder}: event.json, thumb.png"


@pytest.mark.parametrize(
    ("names", "cameras"),
    [
        ("2026_0101_120000_001F.MP4 2026_0101_120000_002R.MP4 2026_0101_120100_003PF.MP4", "F R"),
        ("20260101_120000_NF.mp4 20260101_120000_NR.mp4 20260101_120100_EI.mp4", "F I R"),
        ("260101_120000_001_FH.MP4 260101_120000_001_RH.MP4", "FH RH"),
        ("front_20260101_120000.mp4 rear_20260101_120000.mp4", "front rear"),
        ("cam0_20260101_120000.mp4 cam1_20260101_120000.mp4", "cam0 cam1"),
        ("20260101_120000_0.mp4 20260101_120000_1.mp4 20260101_120100_0.mp4", "0 1"),
        ("20260101_120000_0060.mp4 20260101_120100_0060.mp4", "clips"),
        ("2026-01-01_12-00-00-front.mp4 event.mp4", "clips front"),
        ("IMG_0001.MOV IMG_0002.MOV", "clips"),
        ("left.mp4 right.mp4", "left right"),
        ("20261399_120000.mp4 20261399_120100.mp4", "clips"),
    ],
)
def test_which_camera_a_name_is_of(tmp_path, names, cameras):
    assert list(sort_clips(tmp_path / name for name in names.split())) == cameras.split()


def test_names_without_times_are_ordered_by_the_files_own(tmp_path):
    for number, time in ((1, "12:00:09"), (2, "12:00:00")):
        created = f"2026-01-01T{time}.000000Z"
        write_clip(tmp_path / f"IMG_000{number}.MOV", 10 + number * 10, created=created)
    drive = open_drive(str(tmp_path))
    assert told(drive) == [(3, 0.0, 1.8, 10), (2, 9.0, 10.8, 10)]
    assert drive.notes == ("nothing was recorded for 7 seconds before IMG_0001.MOV",)


def test_chapters_have_the_time_of_their_recording(tmp_path):
    for name, shade, time in (
        ("GH010007.MP4", 40, "12:01:00"),
        ("GH010002.MP4", 20, "12:00:00"),
        ("GH020002.MP4", 30, "12:00:00"),
    ):
        write_clip(tmp_path / name, shade, created=f"2026-01-01T{time}.000000Z")
    drive = open_drive(str(tmp_path))
    assert told(drive) == [(2, 0.0, 1.8, 10), (3, 2.0, 3.8, 10), (4, 60.0, 61.8, 10)]
    assert drive.notes == ("nothing was recorded for 56 seconds before GH010007.MP4",)


def test_where_nothing_has_a_time_that_is_said(tmp_path):
    drive = open_drive(write_folder(tmp_path, ("clip9.mp4", "clip10.mp4")))
    assert told(drive) == [(2, 0.0, 1.8, 10), (3, 2.0, 3.8, 10)]
    assert drive.notes[0].startswith("neither names nor metadata say when the 2 clips were")


def test_raw_streams_have_a_length_as_well(tmp_path):
    for second in (0, 2):
        with (tmp_path / f"20260101_12000{second}.h264").open("wb") as file:
            write_clip(tmp_path / "a.mp4", 20 + second * 10)
            with av.open(str(tmp_path / "a.mp4")) as source:
                unpack = av.BitStreamFilterContext("h264_mp4toannexb", source.streams.video[0])
                for packet in source.demux(video=0):
                    for unpacked in unpack.filter(packet):
                        file.write(bytes(unpacked))
    (tmp_path / "a.mp4").unlink()
    drive = open_drive(str(tmp_path), fps=RATE)
    assert drive.frame_count is None
    assert told(drive) == [(2, 0.0, 1.8, 10), (4, 2.0, 3.8, 10)]
    assert told(drive, 9, 11) == [(2, 1.8, 1.8, 1), (4, 2.0, 2.0, 1)]


def test_a_clip_that_its_camera_could_not_finish(tmp_path):
    """The power went off: no index. The clips around it are read, and it is said."""
    folder = write_folder(tmp_path, [f"20260101_12000{s}_NF.mp4" for s in (0, 2, 4)])
    torn = tmp_path / "20260101_120002_NF.mp4"
    torn.write_bytes(torn.read_bytes()[:400])
    drive = open_drive(folder)
    assert drive.frame_count is None
    seen = []
    with pytest.raises(SegRosError, match=r"120002_NF.mp4 cannot be read as a video"):
        seen.extend((f.index, f.stamp_ns) for f in drive.frames())
    assert [index for index, _ in seen] == list(range(2 * LENGTH))
    assert seen[LENGTH][1] == 5 * 10**9  # where its name says
    assert len(list(drive.frames(3, 15))) == 12  # nothing of that piece is missing


def test_a_folder_of_pictures_with_a_video_made_of_them(tmp_path):
    for number in range(LENGTH):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64, 3), 10 + number, np.uint8))
    write_clip(tmp_path / "preview.mp4", 200)
    (tmp_path / "times.txt").write_text("0.0\n")
    drive = open_drive(str(tmp_path))
    assert drive.frame_count == LENGTH
    assert drive.notes[-1] == f"left out of {tmp_path}: preview.mp4, times.txt"


def test_a_bag_beside_clips_is_a_drive_where_it_is_most(tmp_path):
    names = [f"20260101_12000{s}_NF.mp4" for s in (0, 2)]
    folder = write_folder(tmp_path, names)
    write_mcap(tmp_path / "big.mcap", recording(20))
    drive = open_drive(folder)
    assert drive.frame_count == 20
    assert drive.notes == (f"left out of {folder}: 2 .mp4",)
    write_mcap(tmp_path / "big.mcap", recording(1, height=2, width=2)[1:])
    drive = open_drive(folder)
    assert drive.frame_count == 2 * LENGTH
    assert drive.notes == (f"left out of {folder}: big.mcap",)


def test_a_clip_by_itself_is_a_drive_by_itself(tmp_path):
    write_folder(tmp_path, ["20260101_120000_NF.mp4", "20260101_120002_NF.mp4"])
    drive = open_drive(str(tmp_path / "20260101_120002_NF.mp4"))
    assert told(drive) == [(3, 0.0, 1.8, LENGTH)]


def test_a_folder_of_folders_says_so(tmp_path):
    (tmp_path / "Movie").mkdir()
    with pytest.raises(SegRosError, match="is it one of its folders, such as Movie"):
        open_drive(str(tmp_path))
