#!/usr/bin/env bash
# OpenCV turns a TIFF by its orientation tag with IMREAD_IGNORE_ORIENTATION and UNCHANGED, too; a WebP
# by its Exif data since 5.0.
#
# A picture whose pixels must stay as they are stored (label images, a calibrated camera's) comes out
# of a TIFF turned whatever the flags, of JPEG and PNG it does not. And the same WebP comes out in
# another shape where OpenCV 4 becomes 5.
#
# Seen with opencv-python-headless 4.12.0.88 and 5.0.0.93, pillow 12.2.0, Python 3.11, Linux,
# 2026-11-29; heights of pictures 64 wide and 48 high with orientation 6, from imdecode with
# COLOR | IGNORE_ORIENTATION, UNCHANGED, COLOR:
#   4.12.0: jpg 48 48 64, png 48 48 64, tif 64 64 64, webp 48 48 48
#   5.0.0: jpg 48 48 64, png 48 48 64, tif 64 64 64, webp 48 48 64
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/pillow"
"$work/pillow/bin/pip" install --quiet pillow==12.2.0
"$work/pillow/bin/python" - "$work" <<'PY'
import sys

from PIL import Image

exif = Image.Exif()
exif[0x0112] = 6
for kind in ("jpg", "png", "tif", "webp"):
    Image.new("RGB", (64, 48), (10, 90, 200)).save(f"{sys.argv[1]}/a.{kind}", exif=exif)
PY
for pair in 4.12.0.88:48 5.0.0.93:64; do
    IFS=: read -r version webp <<< "$pair"
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet "opencv-python-headless==$version"
    "$work/$version/bin/python" - "$work" "$webp" <<'PY'
import sys
from pathlib import Path

import cv2
import numpy as np

FLAGS = (cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, cv2.IMREAD_UNCHANGED, cv2.IMREAD_COLOR)
heights = {}
for kind in ("jpg", "png", "tif", "webp"):
    data = np.frombuffer(Path(sys.argv[1], f"a.{kind}").read_bytes(), np.uint8)
    heights[kind] = [cv2.imdecode(data, flags).shape[0] for flags in FLAGS]
said = (f"{kind} {' '.join(map(str, found))}" for kind, found in heights.items())
print(f"{cv2.__version__}: {', '.join(said)}")
assert heights["jpg"] == heights["png"] == [48, 48, 64]
assert heights["tif"] == [64, 64, 64]
assert heights["webp"] == [48, 48, int(sys.argv[2])]
PY
done
