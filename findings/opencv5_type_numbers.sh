#!/usr/bin/env bash
# OpenCV 5 gives arrays of several channels other type numbers: CV_8UC3 is 64, in OpenCV 4 it is 16.
#
# The shift between depth and channels grew from 3 bits to 5, for new depths. A number that was
# stored, sent, or compiled into a library that was built for OpenCV 4 (cv_bridge of every ROS 2
# distribution up to 2026) names another type, or none, beside the cv2 that pip brings.
#
# Seen with opencv-python-headless 5.0.0.93 and 4.12.0.88, Python 3.11, Linux, 2026-11-29:
#   4.12.0: CV_8UC1 0, CV_8UC3 16, CV_16UC3 18, CV_32FC1 5
#   5.0.0: CV_8UC1 0, CV_8UC3 64, CV_16UC3 66, CV_32FC1 5
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for pair in opencv-python-headless==4.12.0.88:16:18 opencv-python-headless==5.0.0.93:64:66; do
    IFS=: read -r pinned three deep <<< "$pair"
    python3 -m venv "$work/$pinned"
    "$work/$pinned/bin/python" -m pip install --quiet "$pinned"
    "$work/$pinned/bin/python" - "$three" "$deep" <<'PY'
import sys

import cv2

names = ("CV_8UC1", "CV_8UC3", "CV_16UC3", "CV_32FC1")
print(f"{cv2.__version__}: " + ", ".join(f"{name} {getattr(cv2, name)}" for name in names))
assert [getattr(cv2, name) for name in names] == [0, int(sys.argv[1]), int(sys.argv[2]), 5]
PY
done
