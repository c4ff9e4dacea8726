"""How long reading a drive takes, and how much memory: python bench/drives.py.

Raw 1280x720 frames in MCAP and sqlite3, 100 and 600 of them, each bag read
by a process of its own. The files are made anew and are still in the page cache.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "test" / "helpers"))

from recordings import picture, stamp
from support import write_bag

from seg_ros.drive import open_drive
from seg_ros.support.tables import markdown_table

COUNTS = (100, 600)


def read(bag: str) -> dict[str, float]:
    start = time.perf_counter()
    drive = open_drive(bag)
    opened = time.perf_counter()
    frames = 0
    for frame in drive.frames():
        frame.decode()
        frames += 1
    done = time.perf_counter()
    next(iter(drive.frames(frames - 3)))
    return {
        "open": (opened - start) * 1e3,
        "frame": (done - opened) / frames * 1e3,
        "seek": (time.perf_counter() - done) * 1e3,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    image = picture(0, 720, 1280)
    rows = []
    for sqlite in (False, True):
        for count in COUNTS:
            with TemporaryDirectory() as folder:
                bag = Path(folder, "bag")
                write_bag(bag, [(stamp(n), image) for n in range(count)], sqlite=sqlite)
                command = [sys.executable, __file__, str(bag)]
                said = subprocess.run(command, check=True, capture_output=True).stdout
            found = json.loads(said)
            rows.append(
                (
                    "sqlite3" if sqlite else "MCAP",
                    str(count),
                    f"{found['open']:.0f}",
                    f"{found['frame']:.2f}",
                    f"{found['seek']:.0f}",
                    f"{found['memory']:.0f}",
                )
            )
    heads = ("format", "frames", "open, ms", "a frame, ms", "last frames, ms", "peak memory, MB")
    print(markdown_table(heads, rows))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(read(sys.argv[1])))
    else:
        main()
