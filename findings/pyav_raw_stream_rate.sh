#!/usr/bin/env bash
# A raw H.264 stream at 20 frames a second has average_rate 25 in PyAV; guessed_rate is the stream's.
#
# FFmpeg's demuxer for raw streams assumes 25 frames a second. The stream itself says its rate (VUI
# timing), and only guessed_rate and codec_context.framerate have it: 4 s become 3.2 for whoever
# divides by average_rate.
#
# Seen with av 18.1.0 (FFmpeg 8), Python 3.11, Linux, 2026-11-29:
#   average_rate 25, guessed_rate 20, codec_context.framerate 20, first pts None
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
"$work/env/bin/python" - "$work/stream.h264" <<'PY'
import sys
from fractions import Fraction

import av
import numpy as np

encoder = av.CodecContext.create("libx264", "w")
encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
encoder.framerate, encoder.time_base = 20, Fraction(1, 20)
with open(sys.argv[1], "wb") as file:
    for number in range(80):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number, np.uint8), "bgr24")
        file.writelines(bytes(packet) for packet in encoder.encode(frame))
    file.writelines(bytes(packet) for packet in encoder.encode(None))

with av.open(sys.argv[1]) as container:
    stream = container.streams.video[0]
    pts = next(container.decode(stream)).pts
    print(
        f"average_rate {stream.average_rate}, guessed_rate {stream.guessed_rate}, "
        f"codec_context.framerate {stream.codec_context.framerate}, first pts {pts}"
    )
    assert stream.average_rate == 25
    assert stream.guessed_rate == stream.codec_context.framerate == 20
    assert pts is None
PY
