"""H.264 and H.265 frame by frame, from foxglove_msgs/CompressedVideo and ffmpeg_image_transport.

A message is one frame in Annex B form and refers to those before it, back to a key frame. A decoder
that misses one of them makes the picture up, so what follows damage or a gap is refused until the
next key frame. (ITU-T H.264 and H.265; https://docs.foxglove.dev/docs/sdk/schemas/compressed-video;
ffmpeg_image_transport_msgs/FFMPEGPacket)
"""

from __future__ import annotations

import re
from typing import Any

import av
from av.codec.context import Flags

from seg_ros.drive.image_size import MAX_PIXELS
from seg_ros.errors import SegRosError

CODECS = {"h264": "h264", "h265": "hevc", "hevc": "hevc"}
"""libavcodec's names of the values of CompressedVideo.format that are read."""

_START_CODE = re.compile(rb"\x00\x00\x01")
_AFTER_DAMAGE = "it refers to a damaged one before it; the next key frame is whole again"
_SLICE, _IDR, _SPS = 1, 5, 7  # nal_unit_type, H.264 table 7-1
_IRAP = range(16, 24)  # H.265 table 7-1
_HIGH_PROFILES = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}


class KeyFrameMissingError(SegRosError):
    """A packet refers to one that was not received or not decoded; it may be as good as any."""


def format_of(message: Any) -> str:
    """Return the codec of a CompressedVideo or FFMPEGPacket as :data:`CODECS` names it.

    The ``encoding`` of the latter begins with the codec or its encoder: ``h264;yuv420p;...``,
    ``hevc``, ``libx264``, ``hevc_nvenc``. One that is not known is returned as it is.
    """
    if hasattr(message, "format"):
        return str(message.format)
    said = str(message.encoding)
    name = said.partition(";")[0]
    if name in CODECS:
        return name
    if "264" in name:
        return "h264"
    return "h265" if "265" in name or "hevc" in name else said


class VideoDecoder:
    """Decodes the messages of one topic, given in their order; no picture beyond ``max_pixels``."""

    def __init__(self, max_pixels: int = MAX_PIXELS) -> None:
        self._max_pixels = max_pixels
        self._codec: Any = None
        self._format = ""
        self._lost = "it comes before the first key frame"
        self._frame_num = _FrameNumbers()
        self._last_ns: int | None = None
        self._last_key_ns: int | None = None
        self._key_interval: int | None = None

    def decode(self, video_format: str, data: bytes, stamp_ns: int) -> av.VideoFrame:
        """Decode the next message.

        Args:
            video_format: the message's ``format``.
            data: its ``data``.
            stamp_ns: its ``timestamp``, nanoseconds.

        Raises:
            KeyFrameMissingError: it refers to a message that was not received or not decoded.
            SegRosError: there is no picture, or none that can be trusted. Call again with the next.

        """
        if video_format != self._format:
            self._open(video_format)
        is_key = is_key_frame(video_format, data)
        gap = self._frame_num.follow(data) if CODECS[video_format] == "h264" else False
        if is_key:
            if self._lost:
                self._codec.flush_buffers()
            self._lost = ""
        elif not self._lost and gap:
            self._lost = "a message is missing before it"
        elif not self._lost and self._paused(stamp_ns):
            self._lost = "the time before it is longer than from one key frame to the next"
        self._note_time(stamp_ns, is_key)
        if not _has_picture(video_format, data):
            self._decode(data)  # parameter sets, which the next message may need
            raise SegRosError(f"video message of {len(data)} bytes is damaged: no picture is in it")
        if self._lost:
            raise KeyFrameMissingError(f"video frame cannot be decoded: {self._lost}")
        frames = self._decode(data)
        if len(frames) != 1 or frames[0].is_corrupt:
            self._lost = _AFTER_DAMAGE
            raise SegRosError(
                f"video message of {len(data)} bytes is not one whole frame: it is damaged, or the "
                "stream has B frames, which CompressedVideo does not allow"
            )
        return frames[0]

    def interrupt(self) -> None:
        """Take note that messages before the next are missing."""
        self._lost = self._lost or "a message is missing before it"

    def _decode(self, data: bytes) -> list[av.VideoFrame]:
        try:
            frames: list[av.VideoFrame] = self._codec.decode(av.Packet(data)) if data else []
        except av.FFmpegError as error:
            self._lost = self._lost or _AFTER_DAMAGE
            raise SegRosError(
                f"video frame of {len(data)} bytes is damaged ({error.strerror})"
            ) from error
        return frames

    def _paused(self, stamp_ns: int) -> bool:
        """Whether a key frame may be missing before a message: then its numbers say nothing."""
        if self._last_ns is None or self._key_interval is None:
            return False
        return abs(stamp_ns - self._last_ns) > self._key_interval

    def _note_time(self, stamp_ns: int, is_key: bool) -> None:
        self._last_ns = stamp_ns
        if is_key:
            if self._last_key_ns is not None:
                self._key_interval = stamp_ns - self._last_key_ns
            self._last_key_ns = stamp_ns

    def _open(self, video_format: str) -> None:
        if video_format not in CODECS:
            raise SegRosError(f"video format {video_format!r} is not read; only h264 and h265 are")
        self._codec = av.CodecContext.create(CODECS[video_format], "r")
        self._codec.thread_count = 1  # with more, a frame comes out some messages later
        self._codec.flags |= Flags.low_delay
        self._codec.options = {
            "err_detect": "explode+bitstream+buffer",
            "max_pixels": str(self._max_pixels),  # judged by the parameter sets, before memory
        }
        self._format = video_format


def is_key_frame(video_format: str, data: bytes) -> bool:
    """Whether decoding can begin with a message: H.264 IDR, H.265 IRAP."""
    if CODECS.get(video_format) == "h264":
        return any(unit[0] & 0x1F == _IDR for unit in _units(data))
    return any(unit[0] >> 1 & 0x3F in _IRAP for unit in _units(data))


def _has_picture(video_format: str, data: bytes) -> bool:
    """Whether a message has slices, rather than only what describes them."""
    if CODECS[video_format] == "h264":
        return any(_SLICE <= unit[0] & 0x1F <= _IDR for unit in _units(data))
    return any(unit[0] >> 1 & 0x3F < 32 for unit in _units(data))


def _units(data: bytes) -> list[bytes]:
    """Return the first bytes of the NAL units of an Annex B stream, headers first."""
    starts = [match.end() for match in _START_CODE.finditer(data)]
    return [unit for start in starts if (unit := data[start : start + 256])]


class _FrameNumbers:
    """Tells missing frames by ``frame_num`` (H.264, 7.4.3), which libavcodec conceals."""

    def __init__(self) -> None:
        self._bits = 0
        """Length of frame_num; 0 while no parameter set has said so."""
        self._colour_plane = False
        self._gaps_allowed = False
        self._last = 0
        """frame_num of the last frame that others may refer to."""

    def follow(self, data: bytes) -> bool:
        """Return whether reference frames are missing between the last message and this one."""
        for unit in _units(data):
            kind, is_reference = unit[0] & 0x1F, bool(unit[0] >> 5 & 3)
            try:
                if kind == _SPS:
                    self._read_parameters(_Bits(unit[1:]))
                elif kind in (_SLICE, _IDR) and self._bits:
                    number = self._read_number(_Bits(unit[1:]))
                    follows = (
                        kind == _IDR
                        or self._gaps_allowed
                        or number
                        in (
                            self._last,
                            (self._last + 1) % (1 << self._bits),
                        )
                    )
                    if is_reference:
                        self._last = number
                    return not follows
            except IndexError:  # cut off: the decoder will say so
                return False
        return False

    def _read_number(self, bits: _Bits) -> int:
        for _ in range(3):  # first_mb_in_slice, slice_type, pic_parameter_set_id
            bits.unsigned()
        if self._colour_plane:
            bits.take(2)
        return bits.take(self._bits)

    def _read_parameters(self, bits: _Bits) -> None:
        profile = bits.take(8)
        bits.take(16)  # constraints, level
        bits.unsigned()  # seq_parameter_set_id
        self._colour_plane = False
        if profile in _HIGH_PROFILES:
            chroma = bits.unsigned()
            self._colour_plane = chroma == 3 and bool(bits.take(1))
            bits.unsigned()  # bit_depth_luma_minus8
            bits.unsigned()  # bit_depth_chroma_minus8
            bits.take(1)  # qpprime_y_zero_transform_bypass_flag
            if bits.take(1):  # seq_scaling_matrix_present_flag
                for number in range(12 if chroma == 3 else 8):
                    if bits.take(1):
                        _skip_scaling_list(bits, 16 if number < 6 else 64)
        self._bits = bits.unsigned() + 4
        order = bits.unsigned()  # pic_order_cnt_type
        if order == 0:
            bits.unsigned()
        elif order == 1:
            bits.take(1)
            bits.signed()
            bits.signed()
            for _ in range(bits.unsigned()):
                bits.signed()
        bits.unsigned()  # max_num_ref_frames
        self._gaps_allowed = bool(bits.take(1))


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


class _Bits:
    """Bits of a NAL unit, without its emulation prevention bytes (H.264, 7.3.1 and 9.1)."""

    def __init__(self, unit: bytes) -> None:
        self._data = unit.replace(b"\x00\x00\x03", b"\x00\x00")
        self._at = 0

    def take(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self._data[self._at >> 3] >> (7 - self._at % 8) & 1
            self._at += 1
        return value

    def unsigned(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        value = self.unsigned()
        return (value + 1) // 2 if value % 2 else -(value // 2)
