#!/usr/bin/env bash
# rosbags 0.11.9 gives no message of a topic whose QoS differs between metadata.yaml and the MCAP file.
#
# It takes a topic's identity from metadata.yaml, QoS included, and finds none of it in the file; no
# error, no warning, message_count as ever. Whoever edits the QoS overrides in metadata.yaml, or has
# it written anew by another tool, reads an empty topic.
#
# Seen with rosbags 0.11.9, Python 3.11, Linux, 2026-11-29, a bag of 5 messages written by itself:
#   messages read and message_count: (5, 5); with another depth in metadata.yaml: (0, 5)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet rosbags==0.11.9
"$work/env/bin/python" - "$work/bag" <<'PY'
import sys
from pathlib import Path

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

bag, store, never = Path(sys.argv[1]), get_typestore(Stores.ROS2_JAZZY), QosTime(0, 0)
qos = Qos(
    QosHistory.KEEP_LAST, 5, QosReliability.RELIABLE, QosDurability.VOLATILE, never, never,
    QosLiveliness.AUTOMATIC, never, False,
)
kind = "std_msgs/msg/String"
with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
    topic = writer.add_connection("/text", kind, typestore=store, offered_qos_profiles=[qos])
    for number in range(5):
        writer.write(topic, number + 1, store.serialize_cdr(store.types[kind](data="a"), kind))


def read():
    with AnyReader([bag]) as reader:
        return sum(1 for _ in reader.messages()), reader.message_count


before = read()
metadata = bag / "metadata.yaml"
text = metadata.read_text()
assert "depth: 5" in text
metadata.write_text(text.replace("depth: 5", "depth: 10"))
after = read()
print(f"messages read and message_count: {before}; with another depth in metadata.yaml: {after}")
assert before == (5, 5)
assert after == (0, 5)
PY
