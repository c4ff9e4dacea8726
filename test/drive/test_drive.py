import itertools
import threading

import av
import cv2
import numpy as np
import pytest
from support import write_bag

from seg_ros.drive import open_drive, read_ahead
from seg_ros.drive.images import encode_jpeg
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import CameraModel

CAMERA = CameraModel(64, 48, 50.0, 51.0, 31.5, 23.5, "plumb_bob", (0.1, -0.05, 0.0, 0.0, 0.01))


def frames(count, height=48, width=64):
    """Frames that differ, with stamps that are not evenly spaced and not whole microseconds."""
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return [(10**18 + i * 100_000_001 + i**2, np.roll(noise, i, axis=1)) for i in range(count)]


@pytest.mark.parametrize("sqlite", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_bag(tmp_path, sqlite, compressed):
    written = frames(5)
    bag = write_bag(tmp_path / "bag", written, camera=CAMERA, compressed=compressed, sqlite=sqlite)
    drive = open_drive(str(bag))
    assert drive.frame_count == 5
    assert drive.camera == CAMERA
    read = list(drive.frames())
    assert [f.stamp_ns for f in read] == [stamp for stamp, _ in written]
    assert [f.index for f in read] == [0, 1, 2, 3, 4]
    assert {f.frame_id for f in read} == {"camera"}
    for frame, (_, image) in zip(read, written, strict=True):
        decoded = frame.decode()
        stored = encode_jpeg(image, 95) if compressed else None
        expected = cv2.imdecode(np.frombuffer(stored, np.uint8), 1) if compressed else image
        assert np.abs(decoded.astype(int) - expected).max() <= (2 if compressed else 0)


def test_a_bag_may_be_named_by_its_file(tmp_path):
    bag = write_bag(tmp_path / "bag", frames(2))
    assert open_drive(str(bag / "bag.mcap")).frame_count == 2


def test_several_cameras_are_listed_and_one_can_be_chosen(tmp_path):
    from rosbags.rosbag2 import StoragePlugin, Writer

    from seg_ros.drive.messages import bag_messages, typestore

    kind = "sensor_msgs/msg/Image"
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic, value in (("/front/image", 1), ("/rear/image", 2)):
            connection = writer.add_connection(topic, kind, typestore=typestore())
            image = bag_messages().image(
                bag_messages().header(5, "c"), np.full((2, 2, 3), value, np.uint8)
            )
            writer.write(connection, 5, typestore().serialize_cdr(image, kind))
    bag = str(tmp_path / "bag")
    with pytest.raises(
        SegRosError, match=r"choose one: /front/image \(Image, 1 message, 2x2\); /rear/image"
    ):
        open_drive(bag)
    (frame,) = open_drive(bag, "/rear/image").frames()
    assert frame.decode()[0, 0, 0] == 2
    with pytest.raises(SegRosError, match=r"no camera topic /left/image; it has /front/image"):
        open_drive(bag, "/left/image")


def test_an_uncalibrated_camera_info_is_no_camera(tmp_path):
    zero = CameraModel(64, 48, 50, 50, 0, 0)
    object.__setattr__(zero, "fx", 0.0)
    bag = write_bag(tmp_path / "bag", frames(1), camera=zero)
    assert open_drive(str(bag)).camera is None


def test_a_cut_bag_is_an_error_that_names_it(tmp_path):
    bag = write_bag(tmp_path / "bag", frames(40, 200, 300))
    file = bag / "bag.mcap"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(SegRosError) as error:
        for _ in open_drive(str(bag)).frames():
            pass
    assert str(bag) in str(error.value)
    assert "is damaged" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_frame_that_is_damaged_does_not_end_the_drive(tmp_path):
    written = frames(3)
    bag = write_bag(tmp_path / "bag", written, compressed=True)
    file = bag / "bag.mcap"
    data = bytearray(file.read_bytes())
    second = data.index(b"\xff\xd8", data.index(b"\xff\xd8") + 2)
    data[second : second + 2] = b"??"
    file.write_bytes(data)
    read = list(open_drive(str(bag)).frames())
    assert len(read) == 3
    read[0].decode()
    read[2].decode()
    with pytest.raises(SegRosError, match=r"neither JPEG nor PNG"):
        read[1].decode()


def test_a_folder_of_images_in_number_order(tmp_path):
    for number in (10, 9, 2):
        cv2.imwrite(str(tmp_path / f"f{number}.png"), np.full((4, 6, 3), number, np.uint8))
    (tmp_path / "notes.txt").write_text("not an image")
    drive = open_drive(str(tmp_path))
    read = list(drive.frames())
    assert [int(f.decode()[0, 0, 0]) for f in read] == [2, 9, 10]
    assert [f.stamp_ns for f in read] == [10**9, 11 * 10**8, 12 * 10**8]
    (tmp_path / "f9.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    with pytest.raises(SegRosError, match=r"f9.png: PNG image of .* damaged"):
        list(drive.frames())[1].decode()


def write_video(path, shades, rate=8):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in shades:
            image = np.full((48, 64, 3), shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))


def test_a_video(tmp_path):
    path = tmp_path / "drive.mp4"
    shades = [20, 60, 100, 140, 180]
    write_video(path, shades)
    drive = open_drive(str(path))
    assert drive.frame_count == 5
    assert drive.camera is None
    for _ in range(2):  # a drive can be read again
        read = list(drive.frames())
        assert [f.stamp_ns for f in read] == [10**9 + i * 125_000_000 for i in range(5)]
        seen = [float(f.decode().mean()) for f in read]
        assert np.abs(np.array(seen) - shades).max() < 4


def test_a_damaged_video_is_no_picture_where_the_decoder_guesses(tmp_path):
    path = tmp_path / "drive.mp4"
    noise = np.random.default_rng(5).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "100"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for shift in range(12):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, shift * 5, axis=1), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 3, len(data) * 2 // 3, 997):
        data[at] ^= 0xFF
    path.write_bytes(data)
    outcomes = []
    try:
        for frame in open_drive(str(path)).frames():
            try:
                frame.decode()
                outcomes.append("whole")
            except SegRosError as error:
                assert "the video is damaged here" in str(error)
                outcomes.append("damaged")
    except SegRosError as error:
        outcomes.append(str(error))
    assert "damaged" in outcomes


def test_a_cut_video_says_so_after_its_frames(tmp_path):
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    noise = np.random.default_rng(5).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    with av.open(str(whole), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="bgr24")))
        container.mux(stream.encode(None))
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) * 6 // 10])
    drive = open_drive(str(cut))
    got = 0
    with pytest.raises(SegRosError, match=r"cut.mp4"):
        for _ in drive.frames():
            got += 1
    assert 0 <= got < 20


def test_stamps_that_the_driver_did_not_set_are_the_recorders(tmp_path):
    bag = write_bag(tmp_path / "bag", [(0, frames(1)[0][1])], log_ns=[5_000])
    assert [f.stamp_ns for f in open_drive(str(bag)).frames()] == [5_000]


@pytest.mark.parametrize("name", ["drive.mp4", "drive.avi"])
def test_a_file_that_is_no_video(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"no video at all" * 100)
    with pytest.raises(SegRosError, match=r"cannot be read as a video"):
        open_drive(str(path))


def test_what_is_no_drive(tmp_path):
    with pytest.raises(SegRosError, match=r"does not exist; give a bag, a video"):
        open_drive(str(tmp_path / "nothing"))
    with pytest.raises(
        SegRosError, match=r"has neither a bag \(metadata.yaml, .mcap or .db3\), nor videos, nor"
    ):
        open_drive(str(tmp_path))
    (tmp_path / "x.mcap").write_bytes(b"")
    with pytest.raises(SegRosError, match=r"does not begin as an MCAP file"):
        open_drive(str(tmp_path / "x.mcap"))
    (tmp_path / "metadata.yaml").write_text("rosbag2_bagfile_information: {")
    with pytest.raises(SegRosError, match=r"is damaged"):
        open_drive(str(tmp_path))


def test_the_synthetic_drive():
    drive = open_drive("synthetic")
    assert drive.frame_count == 150
    first = next(drive.frames())
    assert first.decode().shape == (drive.camera.height, drive.camera.width, 3)
    assert drive.camera.mounting.z == 1.5


def test_real_drives(real_drives):
    drive = open_drive(str(real_drives / "highway"))
    assert drive.frame_count == 199
    assert (drive.camera.width, drive.camera.height, drive.camera.fx) == (1024, 512, 887.0)
    stamps = [f.stamp_ns for f in drive.frames()]
    assert len(set(stamps)) == 199
    assert stamps == sorted(stamps)
    assert open_drive(str(real_drives / "highway.mp4")).frame_count == 199
    assert open_drive(str(real_drives / "cambridge")).frame_count == 101


def test_read_ahead_keeps_order_and_passes_the_error_on():
    def items():
        yield from range(5)
        raise SegRosError("damaged")

    got = []
    with pytest.raises(SegRosError, match=r"damaged"):
        got.extend(read_ahead(items(), 2))  # extend keeps what came before the error
    assert got == [0, 1, 2, 3, 4]


def test_read_ahead_reads_no_further_than_its_depth_and_stops_when_closed():
    taken = itertools.count()
    last = 0

    def items():
        nonlocal last
        while True:
            last = next(taken)
            yield last

    reader = read_ahead(items(), 3)
    assert [next(reader) for _ in range(4)] == [0, 1, 2, 3]
    reader.close()
    assert last <= 3 + 3 + 2
    assert not [t for t in threading.enumerate() if t.name == "read_ahead"]


def test_a_tag_that_is_not_utf8_costs_nothing(tmp_path):
    """As older editors and phones write it."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as target:
        target.metadata["title"] = "Zürich"
        stream = target.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(3):
            image = np.full((48, 64, 3), 80 * number, np.uint8)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        target.mux(stream.encode(None))
    data = path.read_bytes()
    assert data.count("ü".encode()) == 1
    path.write_bytes(data.replace("ü".encode(), b"\xfc."))
    frames = list(open_drive(str(path)).frames())
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert abs(int(frames[2].decode().mean()) - 160) < 4
