"""Every encoding of sensor_msgs/Image against the picture it was made from."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from seg_ros.drive import images
from seg_ros.drive.image_size import is_whole_png
from seg_ros.drive.images import decode_compressed, decode_image, encode_jpeg
from seg_ros.errors import SegRosError


@dataclass
class Image:
    height: int
    width: int
    encoding: str
    step: int
    data: bytes
    is_bigendian: int = 0


@dataclass
class Compressed:
    format: str
    data: bytes


def picture(height=48, width=64):
    """Smooth colours, so that formats that halve the colour keep them."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 3, y * 4, 255 - x * 2], axis=2).astype(np.uint8)


def to_message(encoding, packed, padding=0):
    rows = packed.reshape(packed.shape[0], -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    height = packed.shape[0] * 2 // 3 if encoding.startswith("nv") else packed.shape[0]
    return Image(height, packed.shape[1], encoding, padded.shape[1], padded.tobytes())


def bayer(bgr, pattern):
    """Keep of each pixel the colour its filter lets through; ``pattern`` is the 2x2 block."""
    channel = {"b": 0, "g": 1, "r": 2}
    mosaic = np.empty(bgr.shape[:2], np.uint8)
    for i, letter in enumerate(pattern):
        y, x = divmod(i, 2)
        mosaic[y::2, x::2] = bgr[y::2, x::2, channel[letter]]
    return mosaic


def yuv422(bgr, order):
    """Pack as 4:2:2: the colour of every second pixel, in uyvy or yuyv order."""
    # BT.601 in studio range, as the decoders expect.
    b, g, r = (bgr[:, :, c].astype(float) for c in range(3))
    y = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    u = 128 - 0.148 * r - 0.291 * g + 0.439 * b
    v = 128 + 0.439 * r - 0.368 * g - 0.071 * b
    packed = np.empty((*bgr.shape[:2], 2))
    luma, chroma = (1, 0) if order == "uyvy" else (0, 1)
    packed[:, :, luma] = y
    packed[:, 0::2, chroma] = u[:, 0::2]
    packed[:, 1::2, chroma] = v[:, 0::2]
    return np.round(packed).astype(np.uint8)


def nv12(bgr, swap=False):
    i420 = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    height, width = bgr.shape[:2]
    u = i420[height : height + height // 4].reshape(height // 2, width // 2)
    v = i420[height + height // 4 :].reshape(height // 2, width // 2)
    pair = np.stack([v, u] if swap else [u, v], axis=2).reshape(height // 2, width)
    return np.vstack([i420[:height], pair])


BGR = picture()
ENCODINGS = {
    # encoding: (packed, tolerance)
    "bgr8": (BGR, 0),
    "8UC3": (BGR, 0),
    "rgb8": (BGR[:, :, ::-1], 0),
    "bgra8": (np.dstack([BGR, np.full(BGR.shape[:2], 7, np.uint8)]), 0),
    "rgba8": (np.dstack([BGR[:, :, ::-1], np.full(BGR.shape[:2], 7, np.uint8)]), 0),
    "bgr16": (BGR.astype("<u2") * 257, 0),
    "rgb16": (BGR[:, :, ::-1].astype("<u2") * 257, 0),
    "bayer_rggb8": (bayer(BGR, "rggb"), 6),
    "bayer_bggr8": (bayer(BGR, "bggr"), 6),
    "bayer_gbrg8": (bayer(BGR, "gbrg"), 6),
    "bayer_grbg8": (bayer(BGR, "grbg"), 6),
    "uyvy": (yuv422(BGR, "uyvy"), 6),
    "yuv422": (yuv422(BGR, "uyvy"), 6),
    "yuyv": (yuv422(BGR, "yuyv"), 6),
    "yuv422_yuy2": (yuv422(BGR, "yuyv"), 6),
    "nv12": (nv12(BGR), 6),
    "nv21": (nv12(BGR, swap=True), 6),
}


@pytest.mark.parametrize("padding", [0, 24])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_decodes_to_the_picture(encoding, padding):
    packed, tolerance = ENCODINGS[encoding]
    decoded = decode_image(to_message(encoding, np.ascontiguousarray(packed), padding))
    assert decoded.shape == BGR.shape
    assert decoded.dtype == np.uint8
    inner = (slice(2, -2), slice(2, -2))  # demosaicing and 4:2:0 guess at the edges
    difference = np.abs(decoded[inner].astype(int) - BGR[inner])
    assert difference.max() <= tolerance


@pytest.mark.parametrize(("encoding", "scale"), [("mono8", 1), ("8UC1", 1), ("mono16", 257)])
def test_grey_becomes_three_equal_channels(encoding, scale):
    grey = BGR[:, :, 0].astype("<u2" if scale > 1 else np.uint8) * scale
    decoded = decode_image(to_message(encoding, grey))
    assert np.abs(decoded.astype(int) - BGR[:, :, :1]).max() == 0


def test_big_endian_16_bit():
    message = to_message("mono16", (BGR[:, :, 0].astype(">u2") * np.uint16(257)).astype(">u2"))
    message.is_bigendian = 1
    assert np.abs(decode_image(message)[:, :, 0].astype(int) - BGR[:, :, 0]).max() <= 1


def test_bgr8_is_not_copied():
    message = to_message("bgr8", BGR, padding=8)
    message.data = bytearray(message.data)
    decoded = decode_image(message)
    message.data[0] = 77
    assert decoded[0, 0, 0] == 77


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"height": 0}, "64x0: it has no pixels"),
        ({"width": 0}, "0x48: it has no pixels"),
        ({"encoding": "32FC1"}, "encoding '32FC1' is not supported; use one of bgr8"),
        ({"encoding": ""}, "encoding '' is not supported"),
        ({"step": 100}, "has step 100; a row needs 192"),
        ({"data": BGR.tobytes()[:-1]}, "has 9215 bytes of data; it needs 9216: it was cut off"),
        ({"data": b""}, "has 0 bytes of data"),
        ({"encoding": "nv12", "height": 47, "step": 64}, "both must be even"),
    ],
)
def test_a_bad_image_says_what_is_wrong(change, said):
    message = to_message("bgr8", BGR)
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(SegRosError) as error:
        decode_image(message)
    assert said in str(error.value)


def test_jpeg_and_png():
    jpeg = Compressed("bgr8; jpeg compressed bgr8", encode_jpeg(BGR, 95))
    assert np.abs(decode_compressed(jpeg).astype(int) - BGR).max() <= 12
    png = Compressed("png", cv2.imencode(".png", BGR)[1].tobytes())
    assert np.array_equal(decode_compressed(png), BGR)


def noisy():
    return np.random.default_rng(1).integers(0, 256, (200, 300, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-2],
        lambda data: data[:3],
        lambda data: data[:4000] + b"\xff\xd9" + data[4002:],
    ],
)
def test_a_damaged_jpeg_is_an_error_and_no_grey_picture(damage):
    data = encode_jpeg(noisy(), 90)
    with pytest.raises(SegRosError, match=r"JPEG image of .* is damaged"):
        decode_compressed(Compressed("jpeg", damage(data)))


def test_a_cut_png_is_an_error():
    data = cv2.imencode(".png", noisy())[1].tobytes()
    for cut in (len(data) // 2, len(data) - 12, 20):
        with pytest.raises(SegRosError, match=r"PNG image of .* is damaged or cut off"):
            decode_compressed(Compressed("png", data[:cut]))


def test_a_png_of_which_a_bit_is_wrong_is_an_error():
    _, png = cv2.imencode(".png", np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3))
    data = png.tobytes()
    assert is_whole_png(data)
    assert is_whole_png(data + b"what some cameras append")
    for place in (30, len(data) // 2, len(data) - 14):  # checksum of the header, pixels, theirs
        wrong = bytearray(data)
        wrong[place] ^= 1
        assert not is_whole_png(bytes(wrong))
        with pytest.raises(SegRosError, match="is damaged or cut off"):
            decode_compressed(Compressed("png", bytes(wrong)))


def test_other_formats_are_named():
    with pytest.raises(SegRosError, match=r"'h264' is neither JPEG nor PNG"):
        decode_compressed(Compressed("h264", b"\x00\x00\x00\x01rest"))
    with pytest.raises(SegRosError, match=r"of 0 bytes"):
        decode_compressed(Compressed("jpeg", b""))


def test_what_neither_can_convert_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(images._PIXEL_BYTES, "hsv8", 3)
    with pytest.raises(SegRosError, match="hsv8 image cannot be converted: "):
        decode_image(to_message("hsv8", BGR))
