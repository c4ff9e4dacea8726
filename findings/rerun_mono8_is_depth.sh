#!/usr/bin/env bash
# Rerun's MCAP importer takes a sensor_msgs/Image in mono8 for depth: DepthImage, where bgr8 is an Image.
#
# A grey camera, or a mask of class ids, is then shown as a point cloud in 3D and with a colour map in
# 2D; nothing in the message or its topic says depth, and the encoding is one of grey values
# (sensor_msgs/image_encodings.hpp; depth is 16UC1 or 32FC1, REP 118).
#
# Seen with rerun-sdk 0.41.0, mcap 1.6.0, Python 3.11, Linux, 2026-11-29:
#   /bgr8: Image
#   /mono8: DepthImage
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet rerun-sdk==0.41.0 mcap==1.6.0
"$work/env/bin/python" - "$work/drive.mcap" <<'PY'
import struct
import sys

from mcap.writer import Writer
IMAGE = """std_msgs/Header header
uint32 height
uint32 width
string encoding
uint8 is_bigendian
uint32 step
uint8[] data
================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
================================================================================
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
"""


def cdr(encoding, channels):
    """An image of 8x4 pixels."""
    out = bytearray(b"\0\1\0\0")

    def number(value):
        out.extend(b"\0" * (-len(out) % 4) + struct.pack("<I", value))

    def text(value):
        number(len(value) + 1)
        out.extend(value.encode() + b"\0")

    number(5)
    number(6)
    text("camera")
    number(4)
    number(8)
    text(encoding)
    out.append(0)
    number(8 * channels)
    number(32 * channels)
    return bytes(out) + bytes(range(32 * channels))


with open(sys.argv[1], "wb") as file:
    writer = Writer(file)
    writer.start(profile="ros2")
    schema = writer.register_schema("sensor_msgs/msg/Image", "ros2msg", IMAGE.encode())
    for encoding, channels in (("mono8", 1), ("bgr8", 3)):
        channel = writer.register_channel(f"/{encoding}", "cdr", schema)
        writer.add_message(channel, 5, cdr(encoding, channels), 5)
    writer.finish()
PY
cd "$work"
env/bin/rerun mcap convert drive.mcap -o drive.rrd > /dev/null 2>&1
kind() { env/bin/rerun rrd print -v drive.rrd 2> /dev/null | grep -oE "/$1@(Depth)?Image:buffer" | sed -E 's/.*@(.*):.*/\1/'; }
seen=$(for topic in bgr8 mono8; do echo "/$topic: $(kind $topic)"; done)
echo "$seen"
[ "$seen" = $'/bgr8: Image\n/mono8: DepthImage' ]
