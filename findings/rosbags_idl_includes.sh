#!/usr/bin/env bash
# rosbags 0.11.6 to 0.11.9 opens no bag with a ros2idl definition that has #include lines; 0.11.5 does.
#
# rosbag2 embeds the .idl file of a type whose package has no .msg of it, #include lines and all (as
# px4, Autoware and vendors' packages have). One such topic and AnyReader raises while it opens the
# bag, whatever topic is asked for. Version 0.11.5 reads the other topics and that one.
#
# Seen with rosbags 0.11.9 and 0.11.5, mcap 1.6.0, Python 3.11, Linux, 2026-11-29:
#   0.11.5: /speed 12.5, /text hi
#   0.11.9: AnyReaderError: Could not parse: '#include "std_msgs/msg/Header.idl"...
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 0.11.5 0.11.9; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet "rosbags==$version" mcap==1.6.0
done
"$work/0.11.9/bin/python" - "$work" <<'PY'
import struct
import sys
from pathlib import Path

from mcap.writer import Writer

RULE = "=" * 80
SPEED = f"""{RULE}
IDL: vehicle_msgs/msg/Speed
#include "std_msgs/msg/Header.idl"

module vehicle_msgs {{
  module msg {{
    struct Speed {{
      std_msgs::msg::Header header;
      double speed;
    }};
  }};
}};

{RULE}
IDL: std_msgs/msg/Header
#include "builtin_interfaces/msg/Time.idl"

module std_msgs {{
  module msg {{
    struct Header {{
      builtin_interfaces::msg::Time stamp;
      string frame_id;
    }};
  }};
}};

{RULE}
IDL: builtin_interfaces/msg/Time
module builtin_interfaces {{
  module msg {{
    struct Time {{
      int32 sec;
      uint32 nanosec;
    }};
  }};
}};
"""
with Path(sys.argv[1], "drive.mcap").open("wb") as file:
    writer = Writer(file)
    writer.start(profile="ros2")
    speed = writer.register_schema("vehicle_msgs/msg/Speed", "ros2idl", SPEED.encode())
    text = writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data\n")
    data = struct.pack("<4siII1s3xd", b"\0\1\0\0", 5, 6, 1, b"\0", 12.5)
    channel = writer.register_channel("/speed", "cdr", speed)
    writer.add_message(channel, 1, data, 1)
    channel = writer.register_channel("/text", "cdr", text)
    writer.add_message(channel, 2, struct.pack("<4sI3s", b"\0\1\0\0", 3, b"hi\0"), 2)
    writer.finish()
PY
for version in 0.11.5 0.11.9; do
    "$work/$version/bin/python" - "$work/drive.mcap" "$version" <<'PY'
import sys
from pathlib import Path

from rosbags.highlevel import AnyReader

try:
    with AnyReader([Path(sys.argv[1])]) as reader:
        found = {c.topic: reader.deserialize(data, c.msgtype) for c, _, data in reader.messages()}
    seen = f"/speed {found['/speed'].speed}, /text {found['/text'].data}"
except Exception as error:
    seen = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
print(f"{sys.argv[2]}: {seen}")
assert ("12.5" in seen) == (sys.argv[2] == "0.11.5")
assert ("#include" in seen) == (sys.argv[2] == "0.11.9")
PY
done
