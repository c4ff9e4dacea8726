"""Folders of pictures as cameras, phones and file systems leave them."""

import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from seg_ros.drive import open_drive
from seg_ros.drive.images import decode_compressed, encode_jpeg
from seg_ros.drive.orientation import orientation
from seg_ros.drive.pictures import read_picture
from seg_ros.errors import SegRosError

LOSSLESS = [".png", ".bmp", ".tif", ".tiff", ".webp"]
TURNED = {
    # How a camera stores an upright picture that it says is of this orientation.
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, 1),  # held upright: the top is at the right
    7: lambda image: np.rot90(image.swapaxes(0, 1), 2),
    8: lambda image: np.rot90(image, -1),
}


def picture(height=48, width=64):
    """A smooth picture that looks different from every side."""
    y, x = np.mgrid[:height, :width]
    return np.dstack([2 * x, 3 * y, x + y + 60]).astype(np.uint8)


def exif(turn, order="<"):
    head = b"II*\0" if order == "<" else b"MM\0*"
    entries = [(0x0110, 2, 4, b"cam\0"), (0x0112, 3, 1, struct.pack(order + "HH", turn, 0))]
    packed = b"".join(struct.pack(order + "HHI", *e[:3]) + e[3] for e in entries)
    return head + struct.pack(order + "IH", 8, len(entries)) + packed + bytes(4)


def jpeg(image, turn, order="<"):
    data = encode_jpeg(np.ascontiguousarray(image), 95)
    body = b"Exif\0\0" + exif(turn, order)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body + data[2:]


def png(image, turn):
    data = cv2.imencode(".png", image)[1].tobytes()
    body = b"eXIf" + exif(turn)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk + data[33:]


def webp(image, turn):
    plain = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    height, width = image.shape[:2]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + size
    body = exif(turn)
    start = 30 if plain[12:16] == b"VP8X" else 12
    pixels = plain[start : start + 8 + int.from_bytes(plain[start + 4 : start + 8], "little")]
    chunks = extended + pixels + b"\0" * (len(pixels) % 2)
    chunks += b"EXIF" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def tiff(image, turn):
    data = bytearray(cv2.imencode(".tif", image)[1].tobytes())
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry)[0] == 0x0112:
            struct.pack_into("<H", data, entry + 8, turn)
            return bytes(data)
    directory = bytes(data[at + 2 : at + 2 + 12 * count])
    tag = struct.pack("<HHIHH", 0x0112, 3, 1, turn, 0)
    entries = sorted([directory[i : i + 12] for i in range(0, len(directory), 12)] + [tag],
                     key=lambda e: struct.unpack_from("<H", e)[0])  # fmt: skip
    struct.pack_into("<I", data, 4, len(data))
    return bytes(data) + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)


@pytest.mark.parametrize("turn", TURNED)
@pytest.mark.parametrize(
    ("name", "write"), [("a.jpg", jpeg), ("a.png", png), ("a.webp", webp), ("a.tif", tiff)]
)
def test_pictures_are_upright_as_exif_says(tmp_path, name, write, turn):
    upright = picture()
    stored = np.ascontiguousarray(TURNED[turn](upright))
    (tmp_path / name).write_bytes(write(stored, turn))
    (frame,) = open_drive(str(tmp_path)).frames()
    image = frame.decode()
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).max() <= (8 if name == "a.jpg" else 0)
    # Label images are of the pixels as they are stored.
    assert read_picture(tmp_path / name).shape == stored.shape


@pytest.mark.parametrize("turn", TURNED)
def test_turned_as_opencv_does(tmp_path, turn):
    data = jpeg(picture(), turn, ">")
    (tmp_path / "a.jpg").write_bytes(data)
    (frame,) = open_drive(str(tmp_path)).frames()
    other = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert frame.decode().shape == other.shape
    assert np.abs(frame.decode().astype(int) - other).max() <= 4


@pytest.mark.parametrize("cut", range(0, 64, 3))
def test_damaged_exif_costs_no_pixel(cut):
    data = jpeg(picture(), 6)
    assert orientation(data[: 12 + cut]) in (1, 6)
    assert orientation(data.replace(exif(6), exif(9))) == 1


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("upper", [False, True])
def test_every_format(tmp_path, suffix, upper):
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    data = cv2.imencode(suffix, picture(), options)[1].tobytes()
    (tmp_path / f"a{suffix.upper() if upper else suffix}").write_bytes(data)
    (frame,) = open_drive(str(tmp_path)).frames()
    assert np.array_equal(frame.decode(), picture())
    for part in (0.95, 0.5, 0.1):
        (tmp_path / f"a{suffix.upper() if upper else suffix}").write_bytes(
            data[: int(len(data) * part)]
        )
        with pytest.raises(SegRosError, match=r"(?i)a\.\w+: .*(damaged|cut off)"):
            next(open_drive(str(tmp_path)).frames()).decode()


def test_deep_tiff(tmp_path):
    image = picture().astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "a.tif"), image)
    (frame,) = open_drive(str(tmp_path)).frames()
    assert np.array_equal(frame.decode(), picture())
    cv2.imwrite(str(tmp_path / "a.tif"), image.astype(np.float32))
    with pytest.raises(SegRosError, match=r"a.tif: TIFF picture of float32 values; only 8 and 16"):
        next(open_drive(str(tmp_path)).frames()).decode()


def test_hidden_files_are_no_frames(tmp_path):
    """As macOS and file managers leave them on a card."""
    cv2.imwrite(str(tmp_path / "f1.png"), picture())
    for name in ("._f1.png", ".thumbnail.jpg", "._bag_0.mcap", "._bag_0.db3"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert [frame.decode().shape for frame in open_drive(str(tmp_path)).frames()] == [(48, 64, 3)]
    (tmp_path / "f1.png").unlink()
    with pytest.raises(SegRosError, match=r"has neither a bag .* nor pictures \(\.bmp, \.jpeg"):
        open_drive(str(tmp_path))


def test_phones_pictures(real_drives):
    drive = open_drive(str(real_drives.parent / "cases" / "exif_orientation"))
    assert {frame.decode().shape for frame in drive.frames()} == {(512, 1024, 3)}


def test_a_message_is_as_it_is_stored():
    """Its calibration is of the sensor's pixels."""
    stored = np.ascontiguousarray(TURNED[6](picture()))
    message = SimpleNamespace(format="png", data=png(stored, 6))
    assert np.array_equal(decode_compressed(message), stored)


def test_the_rate_of_pictures(tmp_path):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"f{number}.png"), picture())
    drive = open_drive(str(tmp_path))
    assert [f.stamp_ns for f in drive.frames()] == [10**9, 11 * 10**8, 12 * 10**8]
    assert drive.notes == ("pictures have no times: 10 a second are assumed, --fps says otherwise",)
    drive = open_drive(str(tmp_path), fps=30)
    assert [f.stamp_ns for f in drive.frames()] == [10**9, 1_033_333_333, 1_066_666_666]
    assert drive.notes == ()


def test_a_single_picture(tmp_path):
    (tmp_path / "a.JPG").write_bytes(jpeg(TURNED[8](picture()), 8))
    drive = open_drive(str(tmp_path / "a.JPG"))
    assert (drive.frame_count, drive.notes) == (1, ())
    assert next(drive.frames()).decode().shape == (48, 64, 3)
