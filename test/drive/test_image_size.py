"""Headers before pixels: what is refused, and that nothing is decoded for it."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from seg_ros.drive import images
from seg_ros.drive.image_size import check_size, image_size
from seg_ros.drive.images import decode_compressed, decode_image, decode_message
from seg_ros.errors import SegRosError

PICTURE = np.random.default_rng(0).integers(0, 255, (30, 50, 3), np.uint8)
LOSSY = [cv2.IMWRITE_WEBP_QUALITY, 50]


def encoded(suffix, parameters=()):
    return cv2.imencode(suffix, PICTURE, list(parameters))[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".webp"])
def test_the_size_is_in_the_header(suffix):
    data = encoded(suffix)
    assert image_size(data) == (50, 30)


def test_a_lossy_webp_and_a_big_endian_tiff():
    assert image_size(encoded(".webp", LOSSY)) == (50, 30)
    entries = b"\x01\x00\x00\x03\x00\x00\x00\x01\x00\x32\x00\x00"
    entries += b"\x01\x01\x00\x04\x00\x00\x00\x01\x00\x00\x00\x1e"
    assert image_size(b"MM\x00*\x00\x00\x00\x08\x00\x02" + entries) == (50, 30)


def test_no_picture_has_no_size():
    assert image_size(b"") is None
    assert image_size(b"something else") is None


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".webp"])
@pytest.mark.parametrize("length", [8, 13, 20])
def test_a_header_that_is_cut_off_is_named(suffix, length):
    with pytest.raises(
        SegRosError, match=r"image of \d+ bytes is damaged or cut off in its header"
    ):
        image_size(encoded(suffix)[:length])


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [
        (0, 5, "it has no pixels"),
        (8001, 8000, "8001x8000, 64008000 pixels; at most 64000000 are decoded"),
        (6401, 100, "no side may be more than 64 times the other"),
        (100, 6401, "no side may be more than 64 times the other"),
    ],
)
def test_sizes_that_are_refused(width, height, reason):
    with pytest.raises(SegRosError, match=reason):
        check_size(width, height)


def test_sizes_that_are_taken():
    check_size(8000, 8000)
    check_size(6400, 100)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_nothing_is_decoded_beyond_the_limit(monkeypatch, suffix):
    message = SimpleNamespace(format="", data=encoded(suffix))
    assert decode_compressed(message, 1500).shape == (30, 50, 3)

    def decode(*_, **__):
        raise AssertionError("it was decoded")

    monkeypatch.setattr(images.cv2, "imdecode", decode)
    monkeypatch.setattr(images.simplejpeg, "decode_jpeg", decode)
    with pytest.raises(SegRosError, match="image is 50x30, 1500 pixels; at most 1499 are decoded"):
        decode_message(message, 1499)


def test_a_raw_image_has_the_same_limit():
    raw = SimpleNamespace(
        height=30, width=50, encoding="bgr8", is_bigendian=0, step=150, data=PICTURE.tobytes()
    )
    assert np.array_equal(decode_image(raw, 1500), PICTURE)
    with pytest.raises(SegRosError, match="at most 1499 are decoded"):
        decode_message(raw, 1499)


def test_what_the_decoder_raises_is_that_images_fault(monkeypatch):
    def decode(*_):
        raise cv2.error("Requirement failed")

    monkeypatch.setattr(images.cv2, "imdecode", decode)
    with pytest.raises(SegRosError, match="cannot be decoded: Requirement failed"):
        decode_compressed(SimpleNamespace(format="", data=encoded(".png")))
