"""Video files as cameras, phones and editors leave them: whole ones are not called damaged."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.codec.context import Flags

from seg_ros.drive import open_drive
from seg_ros.errors import SegRosError

COUNT = 30
SHADES = [5 + 8 * number for number in range(COUNT)]
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
"""As ``ffmpeg -movflags`` has it: a fragment from each key frame to the next."""


def write_video(path, *, options=None, codec="libx264", skipped=(), noisy=False, setup=None):
    """Write 30 grey pictures of 64x48, each lighter than the one before, a key frame every ten.

    Args:
        path: its suffix says which container.
        options: of the container.
        codec: one of FFmpeg's encoders.
        skipped: numbers of pictures that are left out, their time goes by.
        noisy: with noise, so that a picture takes some kilobytes.
        setup: sets what else there is of the stream.

    """
    noise = np.random.default_rng(2).integers(0, 9 if noisy else 1, (48, 64, 3), np.uint8)
    with av.open(str(path), "w", options=options or {}) as target:
        x264 = {"g": "10", "bf": "2"} if codec == "libx264" else {}
        stream = target.add_stream(codec, rate=10, options=x264)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if setup:
            setup(stream)
        for number in range(COUNT):
            if number not in skipped:
                frame = av.VideoFrame.from_ndarray(noise + np.uint8(SHADES[number]), "bgr24")
                frame.pts = number
                target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def shades(drive):
    """Return the number of the picture that each frame shows, and its stamp in tenths."""
    found = []
    for frame in drive.frames():
        grey = frame.decode().astype(float).mean()
        found.append((int(np.abs(np.array(SHADES) - grey).argmin()), frame.stamp_ns / 1e8 - 10))
    return found


def test_a_clip_that_was_trimmed_without_encoding_it_anew(tmp_path):
    """An edit list hides what lies between the key frame and the cut."""
    whole = write_video(tmp_path / "whole.mp4")
    with (
        av.open(str(whole)) as source,
        av.open(
            str(tmp_path / "clip.mp4"), "w", options={"avoid_negative_ts": "disabled"}
        ) as target,
    ):
        stream = source.streams.video[0]
        out = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            time = packet.time_base and packet.pts is not None and packet.pts * packet.time_base
            if packet.size and time >= 1:  # the key frame is number 10, what is shown begins at 14
                shift = round(1.4 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, out
                target.mux(packet)
    with av.open(str(tmp_path / "clip.mp4")) as clip:
        assert clip.streams.video[0].frames == 20  # so the header says
    drive = open_drive(str(tmp_path / "clip.mp4"))
    assert drive.frame_count == 16
    assert shades(drive) == [(14 + number, number) for number in range(16)]


def test_an_avi_file_with_empty_chunks(tmp_path):
    """As dashcams write it where a picture repeats."""
    skipped = {11, 12, 20}
    drive = open_drive(str(write_video(tmp_path / "a.avi", codec="mjpeg", skipped=skipped)))
    with av.open(drive.name) as video:
        assert video.streams.video[0].frames == COUNT
    assert drive.frame_count == COUNT - len(skipped)
    assert shades(drive) == [(n, n) for n in range(COUNT) if n not in skipped]


@pytest.mark.parametrize(
    ("name", "options", "codec"),
    [
        ("plain.mp4", {}, "libx264"),
        ("fast.mp4", {"movflags": "+faststart"}, "libx264"),
        ("fragments.mp4", FRAGMENTS, "libx264"),
        ("hybrid.mp4", {"movflags": "frag_keyframe"}, "libx264"),
        ("a.mov", {}, "libx264"),
        ("a.mkv", {}, "libx264"),
        ("live.mkv", {"live": "1"}, "libx264"),
        ("a.webm", {}, "libvpx"),
        ("a.avi", {}, "mjpeg"),
        ("a.ts", {}, "libx264"),
    ],
)
def test_a_whole_file_is_whole(tmp_path, name, options, codec):
    drive = open_drive(str(write_video(tmp_path / name, options=options, codec=codec)))
    assert shades(drive) == [(number, number) for number in range(COUNT)]
    assert drive.frame_count in (COUNT, None)


@pytest.mark.parametrize(
    ("name", "options", "codec", "missing"),
    [
        ("fast.mp4", {"movflags": "+faststart"}, "libx264", r"its last box \(mdat\) goes \d+ byte"),
        ("fragments.mp4", FRAGMENTS, "libx264", r"its last box \(m\w+\) goes \d+ bytes beyond"),
        ("a.mkv", {}, "libx264", r"its segment goes \d+ bytes beyond its end"),
        ("a.avi", {}, "mjpeg", r"its RIFF chunk goes \d+ bytes beyond its end"),
        ("a.ts", {}, "libx264", r"its last packet is not whole"),
    ],
)
def test_a_file_that_ends_early_is_noticed(tmp_path, name, options, codec, missing):
    path = write_video(tmp_path / name, options=options, codec=codec, noisy=True)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 8 // 10 + (len(data) * 8 // 10 % 188 == 0)])
    found = []
    drive = open_drive(str(path))
    with pytest.raises(SegRosError, match=rf"{name} was cut off: {missing}"):
        for frame in drive.frames():
            found.append(frame.index)
    assert found == list(range(len(found)))
    assert 10 <= len(found) < COUNT


def test_an_index_that_goes_beyond_the_end_is_noticed(tmp_path):
    """The length of its last box is not known, so only the index tells."""
    path = write_video(tmp_path / "a.mp4", options={"movflags": "+faststart"}, noisy=True)
    data = path.read_bytes()
    at = data.rindex(b"mdat")
    path.write_bytes(data[: at - 4] + bytes(4) + data[at : len(data) * 8 // 10])
    drive = open_drive(str(path))
    found = []
    with pytest.raises(SegRosError, match=r"a.mp4 was cut off: its index has \d+ frames beyond"):
        found.extend(frame.index for frame in drive.frames())
    assert found == list(range(len(found)))
    assert 10 <= len(found) < COUNT


def test_a_fragment_without_its_data(tmp_path):
    path = write_video(tmp_path / "a.mp4", options=FRAGMENTS)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"mdat") - 4])
    with pytest.raises(SegRosError, match=r"the data of its last fragment are missing"):
        for _ in open_drive(str(path)).frames():
            pass


@pytest.mark.parametrize("padding", [b"\0" * 4096, b"\xff" * 7, b"\0\0\0\x10gps \0\0\0\0\0\0\0\0"])
def test_what_cameras_put_behind_the_end_is_no_damage(tmp_path, padding):
    path = write_video(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes() + padding)
    assert len(shades(open_drive(str(path)))) == COUNT


def test_clips_of_the_field(real_drives):
    cases = real_drives.parent / "cases"
    for name, count in (("trimmed_edit_list.mp4", 18), ("mjpeg_empty_chunks.avi", 22)):
        assert len(list(open_drive(str(cases / name)).frames())) == count


def set_aspect(numerator, denominator):
    def setup(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(numerator, denominator)

    return setup


@pytest.mark.parametrize(
    ("aspect", "size"),
    [((4, 3), (85, 48)), ((8, 9), (64, 54)), ((12, 11), (70, 48)), ((1, 1), (64, 48))],
)
def test_pixels_that_are_not_square(tmp_path, aspect, size):
    """As players show them; a camera that is given is one of the pixels as they are stored."""
    path = str(write_video(tmp_path / "a.mp4", setup=set_aspect(*aspect)))
    drive = open_drive(path)
    assert {frame.decode().shape for frame in drive.frames()} == {(size[1], size[0], 3)}
    assert [number for number, _ in shades(drive)] == list(range(COUNT))
    stored = open_drive(path, calibrated=True)
    assert next(stored.frames()).decode().shape == (48, 64, 3)
    if aspect == (1, 1):
        assert drive.notes == stored.notes == ()
        return
    shape = f"its pixels are not square ({aspect[0]}:{aspect[1]})"
    assert drive.notes == (
        f"{shape}: scaled from 64x48 to {size[0]}x{size[1]}; a --camera keeps them as stored",
    )
    assert stored.notes == (f"{shape}: they are kept as stored, 64x48, for the camera given",)


def test_a_shape_of_pixels_that_nobody_has_is_not_believed(tmp_path):
    drive = open_drive(str(write_video(tmp_path / "a.mp4", setup=set_aspect(5, 1))))
    assert next(drive.frames()).decode().shape == (48, 64, 3)
    assert "pixels are not square (5:1): not believed" in drive.notes[0]


def test_pixels_that_are_not_square_in_a_turned_video(tmp_path):
    """They are what is stored: scaled first, then turned."""
    path = write_video(tmp_path / "a.mp4", setup=set_aspect(4, 3))
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.mp4"), "w") as target:
        out = target.add_stream_from_template(source.streams.video[0])
        out.set_display_rotation(90)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = out
                target.mux(packet)
    assert next(open_drive(str(tmp_path / "b.mp4")).frames()).decode().shape == (85, 48, 3)


def interlaced(stream):
    stream.codec_context.flags |= Flags.interlaced_dct
    stream.codec_context.options = {"x264opts": "tff=1"}


def hdr(stream):
    stream.codec_context.color_trc = 18  # ARIB STD-B67, as phones record


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        (interlaced, "its frames are interlaced and taken as they are"),
        (hdr, "its colours are HDR (HLG) and taken as if they were not"),
        (None, None),
    ],
)
def test_what_makes_a_video_look_unlike_a_camera_is_said(tmp_path, setup, said):
    drive = open_drive(str(write_video(tmp_path / "a.mp4", setup=setup)))
    assert len(drive.notes) == (1 if said else 0)
    assert all(note.startswith(said) for note in drive.notes)
    assert [number for number, _ in shades(drive)] == list(range(COUNT))


def raw_stream(path, rate=20, timed=True):
    """Write a raw stream, which has no times but those its parameter sets may speak of."""
    codec = {".h264": "libx264", ".hevc": "libx265"}[path.suffix]
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, rate), rate
    if codec == "libx265":
        encoder.options = {"x265-params": f"log-level=none:vui-timing-info={int(timed)}"}
    with path.open("wb") as file:
        for number, shade in enumerate(SHADES):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), shade, np.uint8), "bgr24")
            frame.pts = number
            file.writelines(bytes(packet) for packet in encoder.encode(frame))
        file.writelines(bytes(packet) for packet in encoder.encode(None))
    return str(path)


@pytest.mark.parametrize("suffix", [".h264", ".hevc"])
@pytest.mark.parametrize("rate", [10, 20, 60])
def test_a_raw_stream_has_its_own_rate(tmp_path, suffix, rate):
    path = raw_stream(tmp_path / f"a{suffix}", rate)
    drive = open_drive(path)
    assert drive.notes == ()
    found = shades(drive)
    assert [number for number, _ in found] == list(range(COUNT))
    assert [time for _, time in found] == pytest.approx([10 * n / rate for n in range(COUNT)])
    other = open_drive(path, fps=12.5)
    assert [f.stamp_ns for f in other.frames()] == [10**9 + 80_000_000 * n for n in range(COUNT)]


def test_a_raw_stream_that_says_nothing_of_its_times(tmp_path):
    path = raw_stream(tmp_path / "a.hevc", timed=False)
    drive = open_drive(path)
    assert [f.stamp_ns for f in drive.frames()] == [10**9 + 40_000_000 * n for n in range(COUNT)]
    assert drive.notes == (
        f"{path} says nothing of its times: 25 frames a second are assumed, --fps says otherwise",
    )
    assert open_drive(path, fps=20).notes == ()


def test_a_rate_for_what_has_times_is_refused(tmp_path):
    for source in (str(write_video(tmp_path / "a.mp4")), "synthetic"):
        with pytest.raises(SegRosError, match=r"has times of its own; --fps is for pictures and"):
            open_drive(source, fps=30)
