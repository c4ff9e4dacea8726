"""The attack: whatever can come from outside, sent to a live node, to readers and to replays.

Good frames go beside the hostile messages and must all be answered under their own stamp with the
exact mask; damaged files must be read as far as they are whole, or refused in one line; a replay
that is killed, at any step, must go on to the same bytes. Seeded; bounded in time and in count.
Exits 1 if anything failed. What failed is kept, outside the tree: it may harm other software.

    python bench/attack [--minutes 5] [--seed 1] [--most 0] [--steady] [--only files ...]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "test" / "helpers"))

from domain import own_domain
from tally import Clock, Tally

from seg_ros.ros.transport import use_shared_memory
from seg_ros.support.tables import text_table

SHARES = {"runs": 0.2, "files": 0.3, "messages": 0.3, "restarts": 0.1, "overload": 0.1}
"""Of the time, in this order."""


def main() -> int:
    """Attack; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="for all of it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=int, default=0, help="tries of each kind; 0: no limit")
    parser.add_argument("--steady", action="store_true", help="leave out kills at random moments")
    parser.add_argument("--only", nargs="+", choices=SHARES, default=list(SHARES))
    options = parser.parse_args()
    if "ROS_DOMAIN_ID" not in os.environ:
        domain, _lock = own_domain()  # held as long as it is referred to
        os.environ["ROS_DOMAIN_ID"] = str(domain)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    use_shared_memory()
    keep = Path(tempfile.gettempdir()) / f"seg_ros_attack_{time.strftime('%Y%m%d_%H%M%S')}"
    tally = Tally(options.seed, options.most, keep, options.steady)
    total = sum(SHARES[part] for part in options.only)
    # Runs first: they are forked, and a process that has threads cannot be forked safely.
    for part in [p for p in SHARES if p in options.only]:
        clock = Clock(options.minutes * 60 * SHARES[part] / total)
        with tempfile.TemporaryDirectory(prefix="seg_ros_attack_") as folder:
            _part(part)(tally, clock, Path(folder))
    print(text_table(tally.rows()))
    for note in tally.notes:
        print(note)
    return 1 if tally.failed else 0


def _part(name: str):
    """Import a part when it is needed: ROS only where the node is attacked."""
    if name == "files":
        from reading import attack_files

        return attack_files
    if name == "runs":
        from runs import attack_runs

        return attack_runs
    if name == "restarts":
        from restarts import attack_restarts

        return attack_restarts
    import live

    return live.attack_messages if name == "messages" else live.attack_overload


if __name__ == "__main__":
    sys.exit(main())
