"""``python -m seg_ros.cli`` is the command ``seg_ros``."""

import sys

from seg_ros.cli import main

if __name__ == "__main__":
    sys.exit(main())
