#!/usr/bin/env bash
# mcap 1.6.0 gives no message of a file whose recorder was killed, and raises nothing but at its end.
#
# SeekingReader looks for the index at the end of the file, which a killed recorder never wrote;
# NonSeekingReader reads the messages before the cut, but sorts them by default, so it reads to the
# cut first and raises before the first of them. Asked for the order of the file it gives them all.
#
# Seen with mcap 1.6.0, Python 3.11, Linux, 2026-11-29; a file of 50 messages in chunks, cut in its
# last chunk (messages of whole chunks: 40 or more):
#   SeekingReader: 0 messages, then RecordLengthLimitExceeded
#   NonSeekingReader: 0 messages, then EndOfFile
#   NonSeekingReader, log_time_order=False: 45 messages, then EndOfFile
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet mcap==1.6.0
"$work/env/bin/python" - "$work/drive.mcap" <<'PY'
import sys
from pathlib import Path

from mcap.reader import NonSeekingReader, SeekingReader
from mcap.writer import Writer

path = Path(sys.argv[1])
with path.open("wb") as file:
    writer = Writer(file, chunk_size=5000)
    writer.start()
    schema = writer.register_schema("bytes", "", b"")
    channel = writer.register_channel("/bytes", "", schema)
    for number in range(50):
        writer.add_message(channel, number, bytes([number]) * 1000, number)
    written = file.tell()
    writer.finish()
data = path.read_bytes()
path.write_bytes(data[: written - 100])  # in the last chunk that was written


def read(reader_type, **options):
    found = 0
    with path.open("rb") as file:
        try:
            for _ in reader_type(file).iter_messages(**options):
                found += 1
        except Exception as error:
            return found, type(error).__name__
    return found, "the end"


results = {
    "SeekingReader": read(SeekingReader),
    "NonSeekingReader": read(NonSeekingReader),
    "NonSeekingReader, log_time_order=False": read(NonSeekingReader, log_time_order=False),
}
for name, (found, end) in results.items():
    print(f"{name}: {found} messages, then {end}")
assert results["SeekingReader"][0] == 0
assert results["NonSeekingReader"][0] == 0
assert results["NonSeekingReader, log_time_order=False"][0] >= 40
PY
