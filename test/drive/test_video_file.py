"""Video files as cameras, phones and editors leave them: whole ones are not called damaged."""

import av
import numpy as np
import pytest

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
