"""Camera messages to BGR images: raw encodings, JPEG and PNG, and JPEG back.

Works on the fields of sensor_msgs/Image and CompressedImage, whichever library the message came
from.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from seg_ros.drive.colors import convert
from seg_ros.drive.image_size import JPEG, MAX_PIXELS, PNG, check_size, image_size, is_whole_png
from seg_ros.errors import SegRosError

# Bytes per pixel of each encoding (sensor_msgs/image_encodings.hpp); nv12 and nv21 are apart:
# a plane of Y and one of half the height with U and V.
_PIXEL_BYTES = {
    "bgr8": 3, "rgb8": 3, "bgra8": 4, "rgba8": 4, "mono8": 1, "8UC1": 1, "8UC3": 3,
    "bgr16": 6, "rgb16": 6, "bgra16": 8, "rgba16": 8, "mono16": 2,
    "bayer_rggb8": 1, "bayer_bggr8": 1, "bayer_gbrg8": 1, "bayer_grbg8": 1,
    "bayer_rggb16": 2, "bayer_bggr16": 2, "bayer_gbrg16": 2, "bayer_grbg16": 2,
    "uyvy": 2, "yuv422": 2, "yuyv": 2, "yuv422_yuy2": 2,
}  # fmt: skip
_PLANAR = {"nv12": cv2.COLOR_YUV2BGR_NV12, "nv21": cv2.COLOR_YUV2BGR_NV21}
# Many cameras pad before the end marker, which costs no pixel.
_PADDED = re.compile(r"Corrupt JPEG data: \d{1,2} extraneous bytes before marker 0xd9")
# The names that every cv_bridge knows; uyvy and yuyv came with Iron.
_SAME_AS = {"8UC1": "mono8", "8UC3": "bgr8", "uyvy": "yuv422", "yuyv": "yuv422_yuy2"}


class ImageMessage(Protocol):
    """The fields of sensor_msgs/Image."""

    height: int
    width: int
    encoding: str
    is_bigendian: Any
    step: int
    data: Any


class CompressedImageMessage(Protocol):
    """The fields of sensor_msgs/CompressedImage."""

    format: str
    data: Any


def decode_image(message: ImageMessage, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Turn sensor_msgs/Image into (H, W, 3) uint8 BGR.

    A bgr8 image is returned as a view of the message's data, any other is converted.

    Raises:
        SegRosError: a size that :func:`seg_ros.drive.image_size.check_size` refuses, unknown
            encoding, a step or data too short for the size.

    """
    height, width, encoding = message.height, message.width, message.encoding
    check_size(width, height, max_pixels)
    if encoding in _PLANAR:
        rows, row_bytes = height * 3 // 2, width
        if height % 2 or width % 2:
            raise SegRosError(f"{encoding} image is {width}x{height}: both must be even")
    elif encoding in _PIXEL_BYTES:
        rows, row_bytes = height, width * _PIXEL_BYTES[encoding]
    else:
        known = ", ".join([*_PIXEL_BYTES, *_PLANAR])
        raise SegRosError(f"image encoding {encoding!r} is not supported; use one of {known}")
    if message.step < row_bytes:
        raise SegRosError(
            f"{encoding} image of width {width} has step {message.step}; a row needs {row_bytes}"
        )
    data = np.frombuffer(message.data, np.uint8)
    # The last row need not be padded.
    needed = message.step * (rows - 1) + row_bytes
    if len(data) < needed:
        raise SegRosError(
            f"{encoding} image {width}x{height} with step {message.step} has {len(data)} bytes of "
            f"data; it needs {needed}: it was cut off"
        )
    pixels = np.lib.stride_tricks.as_strided(
        data, (rows, row_bytes), (message.step, 1), writeable=False
    )
    if encoding in _PLANAR:
        return _bgr(cv2.cvtColor(np.ascontiguousarray(pixels), _PLANAR[encoding]))
    return _convert(pixels, height, width, encoding, bool(message.is_bigendian))


def _convert(
    pixels: NDArray[np.uint8], height: int, width: int, encoding: str, big_endian: bool
) -> NDArray[np.uint8]:
    encoding = _SAME_AS.get(encoding, encoding)
    if encoding == "bgr8":
        return np.lib.stride_tricks.as_strided(
            pixels, (height, width, 3), (pixels.strides[0], 3, 1), writeable=False
        )
    packed: NDArray[Any] = np.ascontiguousarray(pixels)
    deep = encoding.endswith("16")
    if deep:
        packed = packed.view(">u2" if big_endian else "<u2").astype(np.uint16)
    channels = packed.shape[1] // width
    image = packed.reshape((height, width) if channels == 1 else (height, width, channels))
    converted = convert(image, encoding)
    if deep:  # of the two libraries one rounds and one cuts off, so neither is asked
        converted = cv2.convertScaleAbs(converted, alpha=255 / 65535)
    return _bgr(converted)


def decode_compressed(
    message: CompressedImageMessage, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Turn sensor_msgs/CompressedImage (JPEG or PNG, told by its bytes) into (H, W, 3) uint8 BGR.

    Its size is read from the header and judged before anything is decoded.

    Raises:
        SegRosError: another format, a size that :func:`seg_ros.drive.image_size.check_size`
            refuses, or the data is cut off or damaged.

    """
    data = bytes(message.data)
    if data.startswith((JPEG, PNG)):
        size = image_size(data)
        assert size is not None
        check_size(*size, max_pixels)
    if data.startswith(JPEG):
        try:
            # strict: libjpeg otherwise fills what is missing with grey and calls it an image.
            return _bgr(simplejpeg.decode_jpeg(data, colorspace="BGR", strict=True))
        except ValueError as error:
            if _PADDED.search(str(error)):
                return _bgr(simplejpeg.decode_jpeg(data, colorspace="BGR", strict=False))
            deep = re.search(r"data precision (\d+)", str(error))
            if deep:
                raise SegRosError(
                    f"JPEG image of {deep[1]} bits a value; only 8 are read, convert it"
                ) from error
            raise SegRosError(f"JPEG image of {len(data)} bytes is damaged: {error}") from error
    if data.startswith(PNG):
        image = None
        if is_whole_png(data):
            try:
                flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION  # as it is stored
                image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
            except cv2.error as error:
                reason = " ".join(str(error).split())
                raise SegRosError(
                    f"PNG image of {len(data)} bytes cannot be decoded: {reason}"
                ) from error
        if image is None:
            raise SegRosError(f"PNG image of {len(data)} bytes is damaged or cut off")
        return _bgr(image)
    raise SegRosError(
        f"compressed image of {len(data)} bytes with format {message.format!r} is neither JPEG nor "
        "PNG; only those two are read"
    )


def decode_message(message: Any, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Turn sensor_msgs/Image or CompressedImage into (H, W, 3) uint8 BGR.

    Raises:
        SegRosError: as of :func:`decode_image` and :func:`decode_compressed`.

    """
    decode: Any = decode_image if hasattr(message, "step") else decode_compressed
    image: NDArray[np.uint8] = decode(message, max_pixels)
    return image


def encode_jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """Encode (H, W, 3) uint8 BGR as JPEG with 4:2:0 colour; ``quality`` is 1 to 100."""
    encoded: bytes = simplejpeg.encode_jpeg(
        image, quality=quality, colorspace="BGR", colorsubsampling="420", fastdct=True
    )
    return encoded


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encode (H, W) or (H, W, 3) uint8 BGR as PNG, for speed rather than size."""
    _, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return data.tobytes()


def _bgr(image: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(image, np.uint8)
