"""Speed that comma2k19, GoPro and Tesla put beside and into their videos, written as they do."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from recordings import h264, picture

from seg_ros.drive import open_drive
from seg_ros.drive.speed import find_speed

FRAMES = 20
RATE = 10


def segment(root, speeds=True):
    """A segment of comma2k19: frames at 20 Hz, the car's bus at 100 Hz, 30 ms after each other."""
    (root / "global_pose").mkdir(parents=True)
    packets = h264([picture(i) for i in range(FRAMES)], "libx265")
    (root / "video.hevc").write_bytes(b"".join(packets))
    frame_times = 500.0 + np.arange(FRAMES) / 20

    def save(name, array):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.save(file, array)

    save("global_pose/frame_times", frame_times)
    velocities = np.tile([3.0, 0.0, 4.0], (FRAMES, 1))
    save("global_pose/frame_velocities", velocities)
    if speeds:
        t = 499.97 + np.arange(120) / 100
        save("processed_log/CAN/speed/t", t)
        save("processed_log/CAN/speed/value", (20 + t - 500)[:, None])
    return root / "video.hevc", save


def test_comma2k19(tmp_path):
    path, _ = segment(tmp_path / "40")
    drive = open_drive(str(path))
    track, notes = find_speed(drive)
    assert notes == ("speed: comma2k19's processed_log/CAN/speed",)
    stamps = [frame.stamp_ns for frame in drive.frames()]
    # Whatever rate the bare stream is taken to have: frame i was taken at i / 20 s.
    assert np.allclose(track.at(stamps), 20 + np.arange(FRAMES) / 20, atol=0.011)
    assert track.stamps_ns[0] >= stamps[0]
    assert track.stamps_ns[-1] <= stamps[-1]


def test_comma2k19_without_the_cars_bus(tmp_path):
    path, save = segment(tmp_path / "40", speeds=False)
    track, notes = find_speed(open_drive(str(path)))
    assert notes == ("speed: comma2k19's global_pose/frame_velocities",)
    assert track.speed.tolist() == [5.0] * FRAMES
    save("global_pose/frame_velocities", np.zeros((3, 2)))
    track, notes = find_speed(open_drive(str(path)))
    assert track is None
    assert "is (3, 2), not a row a frame; not used" in notes[0]
    (tmp_path / "40" / "global_pose" / "frame_times").write_bytes(b"no array")
    track, notes = find_speed(open_drive(str(path)))
    assert track is None
    assert "is no array of numbers" in notes[0]


def item(key, kind, size, count, value):
    return struct.pack(">4sBBH", key, kind, size, count) + value + bytes(-len(value) % 4)


def nested(key, *items):
    value = b"".join(items)
    return item(key, 0, 1, len(value), value)


SCALE5 = (10_000_000, 10_000_000, 1000, 1000, 100)


def gps5(speeds, fix=3):
    rows = [(523_000_000, 134_000_000, 34_000, round(v * 1000), round(v * 100)) for v in speeds]
    return nested(
        b"DEVC",
        item(b"DVNM", ord("c"), 1, 12, b"Hero8 Black\0"),
        nested(b"STRM", item(b"SCAL", ord("s"), 2, 1, struct.pack(">h", 418)),
               item(b"ACCL", ord("s"), 6, 2, bytes(12))),
        nested(
            b"STRM",
            item(b"GPSF", ord("L"), 4, 1, struct.pack(">I", fix)),
            item(b"SCAL", ord("l"), 4, 5, struct.pack(">5i", *SCALE5)),
            item(b"GPS5", ord("l"), 20, len(rows), b"".join(struct.pack(">5i", *r) for r in rows)),
        ),
    )  # fmt: skip


def gps9(rows):
    scale = (*SCALE5, 1, 1000, 100, 1)
    data = b"".join(
        struct.pack(">7i2H", 523_000_000, 134_000_000, 0, round(v * 1000), 0, 8000, 0, 150, fix)
        for v, fix in rows
    )
    return nested(
        b"DEVC",
        nested(
            b"STRM",
            item(b"TYPE", ord("c"), 1, 9, b"lllllllSS"),
            item(b"SCAL", ord("l"), 4, 9, struct.pack(">9i", *scale)),
            item(b"GPS9", ord("?"), 32, len(rows), data),
        ),
    )


def gopro(path, packets):
    """A video of two seconds with a GPMF packet a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        data = container.add_data_stream("bin_data")
        data.time_base = Fraction(1, 1000)
        data.metadata["handler_name"] = "GoPro MET"
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            frame.pts = number
            container.mux(stream.encode(frame))
            if number % RATE == 0:
                packet = av.Packet(packets[number // RATE])
                packet.stream, packet.time_base = data, Fraction(1, 1000)
                packet.pts = packet.dts = number * 100
                packet.duration = 1000
                container.mux(packet)
        container.mux(stream.encode(None))
    return open_drive(str(path))


def test_gopro(tmp_path):
    drive = gopro(tmp_path / "GX010001.MP4", [gps5([10, 11, 12, 13]), gps5([14, 15])])
    track, notes = find_speed(drive)
    assert notes == ("speed: GoPro's GPMF, GX010001.MP4",)
    assert track.speed.tolist() == [10, 11, 12, 13, 14, 15]
    seconds = (track.stamps_ns - 1_000_000_000) / 1e9
    assert np.allclose(seconds, [0, 0.25, 0.5, 0.75, 1.0, 1.5], atol=1e-6)


def test_gopro_without_a_fix_and_the_newer_kind(tmp_path):
    drive = gopro(tmp_path / "a.mp4", [gps5([99, 99], fix=0), gps9([(5, 3), (6, 0), (7, 2)])])
    track, _ = find_speed(drive)
    assert track.speed.tolist() == [5, 7]
    drive = gopro(tmp_path / "b.mp4", [gps5([99, 99], fix=0)] * 2)
    assert "has 0 usable values of speed" in find_speed(drive)[1][0]
    cut = gps5([1, 2])
    drive = gopro(tmp_path / "c.mp4", [cut[:-12], cut])
    track, notes = find_speed(drive)
    assert track is None
    assert "its GPMF track is damaged" in notes[0]


def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def metadata(number, speed, heading, gear=1):
    """A SeiMetadata of dashcam.proto; proto3 leaves out zeros."""
    message = b"\x08\x01" + (b"\x10" + varint(gear) if gear else b"") + b"\x18" + varint(number)
    if speed:
        message += b"\x25" + struct.pack("<f", speed)
    message += b"\x2d" + struct.pack("<f", 12.5)
    return message + b"\x69" + struct.pack("<d", heading)


def sei(message):
    payload = b"\x42\x42\x42\x69" + message
    sizes = b"\xff" * (len(payload) // 255) + bytes([len(payload) % 255])
    rbsp = b"\x06\x05" + sizes + payload + b"\x80"
    escaped, zeros = bytearray(), 0
    for byte in rbsp:
        if zeros >= 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(escaped)


def tesla(path, messages):
    """An H.264 clip whose frames have these messages; None: none."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"bf": "0"}
        number = 0

        def put(packets):
            nonlocal number
            for packet in packets:
                message = messages[number]
                number += 1
                if message is not None:
                    data = b"\x00\x00\x00\x01" + sei(message) + bytes(packet)
                    made = av.Packet(data)
                    made.stream, made.time_base = packet.stream, packet.time_base
                    made.pts, made.dts = packet.pts, packet.dts
                    made.is_keyframe = packet.is_keyframe
                    packet = made
                container.mux(packet)

        for index in range(len(messages)):
            frame = av.VideoFrame.from_ndarray(picture(index), format="bgr24")
            frame.pts = index
            put(stream.encode(frame))
        put(stream.encode(None))
    return path


def test_tesla(tmp_path):
    messages = [metadata(i, 10.0 + i, 90.0 + i) for i in range(6)]
    messages[2] = None
    messages[4] = metadata(4, 1.5, 0.0, gear=2)
    messages[5] = metadata(300, 0.0, 0.0, gear=0)
    drive = open_drive(str(tesla(tmp_path / "2026-05-04_16-05-52-front.mp4", messages)))
    assert drive.frame_count == 6
    track, notes = find_speed(drive)
    assert notes == ("speed: Tesla's SEI, 2026-05-04_16-05-52-front.mp4",)
    assert track.speed.tolist() == [10.0, 11.0, 13.0, -1.5, 0.0]
    stamps = [f.stamp_ns for f in drive.frames()]
    assert track.stamps_ns.tolist() == [stamps[i] for i in (0, 1, 3, 4, 5)]
    assert np.allclose(np.degrees(track.heading), [0, -1, -3, 90, 90])


def test_a_damaged_message_of_teslas_is_said_and_other_videos_have_none(tmp_path):
    messages = [metadata(i, 10.0, 90.0) for i in range(4)]
    messages[2] = messages[2][:-3]
    track, notes = find_speed(open_drive(str(tesla(tmp_path / "a.mp4", messages))))
    assert track is None
    assert "a SEI message of Tesla's is damaged (it is cut off); not used" in notes[0]
    assert find_speed(open_drive(str(tesla(tmp_path / "b.mp4", [None] * 4)))) == (None, ())


def test_clips_of_one_drive_are_joined_on_its_timeline(tmp_path):
    for second, speed in ((0, 10.0), (1, 20.0)):
        name = f"2026-05-04_16-05-0{second}-front.mp4"
        tesla(tmp_path / name, [metadata(i, speed + i, 90.0) for i in range(RATE)])
    drive = open_drive(str(tmp_path))
    stamps = [f.stamp_ns for f in drive.frames()]
    track, notes = find_speed(drive)
    assert notes == ("speed: Tesla's SEI, 2026-05-04_16-05-00-front.mp4 and 1 more",)
    assert track.stamps_ns.tolist() == stamps
    assert track.speed.tolist() == [*(10.0 + np.arange(10)), *(20.0 + np.arange(10))]


@pytest.mark.parametrize("data", [b"", b"\x00" * 200, b"\xff" * 200])
def test_bytes_that_are_none_of_these_are_no_message(data):
    from seg_ros.drive.speed.gopro import _items
    from seg_ros.drive.speed.tesla import _user_data

    assert _user_data(memoryview(data)) is None
    if data[:1] == b"\xff":
        with pytest.raises(ValueError, match="longer than"):
            list(_items(data))
