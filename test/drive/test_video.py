"""CompressedVideo: each message one frame, and none that had to be guessed."""

import av
import cv2
import numpy as np
import pytest
from recordings import (
    CAMERA,
    CAMERA_INFO,
    VIDEO,
    h264,
    picture,
    recording,
    stamp,
    video_recording,
    write_mcap,
    write_ros1,
    write_rosbag2,
)

from seg_ros.drive import open_drive
from seg_ros.drive.messages import typestore
from seg_ros.errors import SegRosError

COUNT = 17
KEYS = 5
"""A key frame every so many."""


def scene(number):
    """A smooth picture with a block that moves, so that a wrong reference is seen."""
    ramp = np.linspace(40, 200, 128, dtype=np.float32)
    image = np.repeat(np.repeat(ramp[None, :, None], 96, axis=0), 3, axis=2).astype(np.uint8)
    cv2.rectangle(image, (6 * number, 30), (6 * number + 20, 60), (10, 10, 240), -1)
    cv2.putText(image, str(number), (5, 90), cv2.FONT_HERSHEY_PLAIN, 1.5, (255, 255, 255), 2)
    return image


SCENES = [scene(number) for number in range(COUNT)]


@pytest.fixture(scope="module", params=["h264", "h265"])
def video(request):
    """Format and packets of a video, key frames every five."""
    return request.param, h264(SCENES, {"h264": "libx264", "h265": "libx265"}[request.param])


@pytest.fixture(scope="module")
def packets():
    return h264(SCENES)


def outcomes(frames):
    """Return per frame the number of the scene it shows, or why it cannot be decoded."""
    found = []
    for frame in frames:
        try:
            image = frame.decode().astype(int)
        except SegRosError as error:
            found.append(str(error))
            continue
        errors = [np.abs(image - other).mean() for other in SCENES]
        assert min(errors) < 4
        found.append(int(np.argmin(errors)))
    return found


def read(tmp_path, messages):
    return outcomes(open_drive(str(write_mcap(tmp_path / "a.mcap", messages))).frames())


@pytest.mark.parametrize("write", [write_mcap, write_rosbag2, write_ros1])
def test_every_message_is_its_frame(tmp_path, video, write):
    video_format, made = video
    messages = video_recording(made, video_format)
    messages += [("/cam/camera_info", CAMERA_INFO, m[2], m[3]) for m in recording(1)[1:2]]
    bag = write(tmp_path / ("a.bag" if write is write_ros1 else "a.mcap"), messages)
    drive = open_drive(str(bag))
    assert (drive.topics[0].name, drive.topics[0].message_type) == ("/cam/video", VIDEO)
    assert drive.message_type == "sensor_msgs/msg/Image"  # played as that
    assert drive.camera == CAMERA
    assert drive.frame_count == COUNT
    frames = list(drive.frames())
    assert [f.stamp_ns for f in frames] == [stamp(i) for i in range(COUNT)]
    assert {f.frame_id for f in frames} == {"camera"}
    assert [f.raw.data for f in frames] == [m[3] for m in messages[:COUNT]]
    assert outcomes(reversed(frames)) == list(reversed(range(COUNT)))  # in whatever order
    image = frames[7].decode()
    assert (image.shape, image.dtype) == ((96, 128, 3), np.uint8)
    assert np.abs(image.astype(int) - SCENES[7]).mean() < 4
    assert image[45, 6 * 7 + 10, 2] > 200 > 60 > image[45, 6 * 7 + 10, 0]  # red, in BGR


@pytest.mark.parametrize(("start", "stop"), [(0, 2), (5, 6), (7, 12), (16, None), (17, None)])
def test_a_piece_begins_to_decode_at_the_key_frame_before(tmp_path, video, start, stop):
    drive = open_drive(str(write_mcap(tmp_path / "a.mcap", video_recording(video[1], video[0]))))
    whole = [(f.index, f.decode().tobytes()) for f in drive.frames()]
    assert [(f.index, f.decode().tobytes()) for f in drive.frames(start, stop)] == whole[start:stop]


def test_frames_before_the_first_key_frame_are_not_guessed(tmp_path, packets):
    found = read(tmp_path, video_recording(packets)[2:])
    assert all("it comes before the first key frame" in reason for reason in found[:3])
    assert found[3:] == list(range(KEYS, COUNT))


def test_a_frame_that_was_lost_costs_those_that_refer_to_it(tmp_path, video):
    messages = video_recording(video[1], video[0])
    lost = KEYS + 2
    found = read(tmp_path, messages[:lost] + messages[lost + 1 :])
    assert found[:lost] == list(range(lost))
    assert all(isinstance(reason, str) for reason in found[lost : 2 * KEYS - 1])
    assert found[2 * KEYS - 1 :] == list(range(2 * KEYS, COUNT))


def test_a_gap_as_long_as_from_key_frame_to_key_frame(tmp_path, video):
    # The frame after it bears the number of the one that is expected, and refers to another.
    messages = video_recording(video[1], video[0])
    found = read(tmp_path, messages[:6] + messages[6 + KEYS :])
    assert found[:6] == list(range(6))
    assert all("longer than from one key frame to the next" in reason for reason in found[6:10])
    assert found[10:] == [15, 16]


@pytest.mark.parametrize("profile", ["baseline", "main", "high", "high10", "high422", "high444"])
def test_lost_frames_are_told_in_every_profile(tmp_path, profile):
    made = h264(SCENES, profile=profile)
    found = read(tmp_path, video_recording(made[:7] + made[8:]))
    assert found[:7] == list(range(7))
    assert "a message is missing before it" in found[7]
    assert found[9:] == list(range(10, COUNT))


def test_a_frame_that_was_lost_and_that_none_refers_to_costs_only_itself(tmp_path, packets):
    found = read(tmp_path, video_recording(packets)[::KEYS])
    assert found == list(range(0, COUNT, KEYS))


@pytest.mark.parametrize("kept", [0.0, 0.05])
def test_a_damaged_frame_is_reported_and_the_next_key_frame_is_whole(tmp_path, video, kept):
    check_damaged(tmp_path, *video, kept)


def test_half_a_frame_is_no_picture(tmp_path, packets):
    check_damaged(tmp_path, "h264", packets, 0.5)  # in H.265 libavcodec takes it for a whole one


def check_damaged(tmp_path, video_format, made, kept):
    at = KEYS + 1
    made = [*made[:at], made[at][: int(len(made[at]) * kept)], *made[at + 1 :]]
    found = read(tmp_path, video_recording(made, video_format))
    assert found[:at] == list(range(at))
    assert "damaged" in found[at]
    assert all("damaged" in reason or "missing" in reason for reason in found[at + 1 : 2 * KEYS])
    assert found[2 * KEYS :] == list(range(2 * KEYS, COUNT))


def test_a_damaged_message_is_reported_and_the_next_key_frame_is_whole(tmp_path, packets):
    messages = video_recording(packets)
    messages[6] = (*messages[6][:3], messages[6][3][:30])
    found = read(tmp_path, messages)
    assert found[:6] == list(range(6))
    assert "its message is damaged" in found[6]
    assert "a message is missing before it" in found[7]
    assert found[10:] == list(range(10, COUNT))


def test_b_frames_are_refused(tmp_path):
    made = h264(SCENES, bf="2", tune="film", g="100", **{"b-adapt": "0"})
    found = read(tmp_path, video_recording(made))
    assert any("has B frames, which CompressedVideo does not allow" in str(r) for r in found)
    # Whatever was shown was the frame of that message.
    assert not [r for r in found if isinstance(r, int)]


def test_parameter_sets_in_a_message_of_their_own(tmp_path, packets):
    start = packets[0].index(b"\0\0\1\x65")  # the IDR slice
    made = [packets[0][:start], packets[0][start:], *packets[1:]]
    found = read(tmp_path, video_recording(made))
    assert isinstance(found[0], str)
    assert found[1:] == list(range(COUNT))


def test_a_video_whose_size_changes_at_a_key_frame(tmp_path, packets):
    small = [cv2.resize(image, (64, 48)) for image in SCENES[5:]]
    messages = video_recording([*packets[:5], *h264(small)])
    drive = open_drive(str(write_mcap(tmp_path / "a.mcap", messages)))
    sizes = [frame.decode().shape[:2] for frame in drive.frames()]
    assert sizes == [(96, 128)] * 5 + [(48, 64)] * 12


def test_other_formats_are_refused_by_name(tmp_path, packets):
    found = read(tmp_path, video_recording(packets[:2], "vp9"))
    assert found == ["video format 'vp9' is not read; only h264 and h265 are"] * 2


def test_it_is_listed_with_its_size(tmp_path, packets):
    bag = write_mcap(tmp_path / "a.mcap", video_recording(packets) + recording(1))
    with pytest.raises(SegRosError, match=r"/cam/video \(CompressedVideo, 17 messages, 128x96\)"):
        open_drive(str(bag))


def test_the_definition_is_that_of_foxglove():
    # The fields of foxglove_msgs, and the hash rosbag2 records for them.
    definition, _ = typestore().generate_msgdef(VIDEO, ros_version=2)
    fields = definition.partition("=" * 80)[0].split()
    assert fields == [
        "builtin_interfaces/Time", "timestamp", "string", "frame_id", "uint8[]", "data",
        "string", "format",
    ]  # fmt: skip


def clip(path, skipped=0):
    """Write 20 pictures as a video file; the first ones may lie before its edit list's start."""
    with av.open(str(path), "w") as container:
        codec = "mjpeg" if path.suffix == ".avi" else "libx264"
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.options = {} if codec == "mjpeg" else {"bf": "0", "g": "30"}
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            frame.pts = number
            for packet in stream.encode(frame):
                container.mux(moved(packet, skipped))
        for packet in stream.encode():
            container.mux(moved(packet, skipped))
    return path


def moved(packet, skipped):
    """Move a packet forward in time, as cutting a clip without encoding it anew does."""
    step = round(1 / (10 * packet.time_base)) * skipped
    packet.pts, packet.dts = packet.pts - step, packet.dts - step
    return packet


def frames_of(path):
    return [frame.decode() for frame in open_drive(str(path)).frames()]


def test_a_clip_that_was_trimmed_is_whole(tmp_path):
    path = clip(tmp_path / "a.mp4", skipped=4)
    with av.open(str(path)) as container:  # such a one it is: it promises more than it shows
        assert container.streams.video[0].frames == 20
        assert len(list(container.decode(video=0))) == 16
    assert len(frames_of(path)) == 16


def test_an_avi_that_counts_empty_chunks_is_whole_and_a_cut_one_is_not(tmp_path):
    path = clip(tmp_path / "a.avi")
    data = bytearray(path.read_bytes())
    for name, behind in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        at = data.index(name) + behind
        assert int.from_bytes(data[at : at + 4], "little") == 20
        data[at : at + 4] = (23).to_bytes(4, "little")
    path.write_bytes(data)
    assert len(frames_of(path)) == 20
    end = data.index(b"movi")
    for _ in range(13):
        end = data.index(b"00dc", end + 1)  # the 13th picture begins here
    path.write_bytes(data[:end])
    with pytest.raises(SegRosError, match="was cut off: its RIFF chunk goes"):
        frames_of(path)
