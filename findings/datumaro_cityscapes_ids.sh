#!/bin/bash
# datumaro 1.13.12: a Cityscapes data set that it writes has ids of its own under the official names.
#
# `..._labelIds.png` hold neither Cityscapes' ids (road 7, car 26, sky 23) nor train ids (0, 13, 10): the labels of the data set are
# counted from 1. label_colors.txt lists the labels from its first line on, so that the line's number is not the id either, and
# where the data set had no colours the lines have none, although `..._color.png` beside it does. Whoever reads such a folder by
# the official ids scores one class as another, and says nothing.
#
# Seen: labels road, car, sky, two columns each: labelIds 1 1 2 2 3 3; label_colors.txt " road", " car", " sky"; colours of
# color.png (128, 0, 0), (0, 128, 0), (128, 128, 0).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet datumaro==1.13.12
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from pathlib import Path

import cv2
import numpy as np
from datumaro.components.annotation import Mask
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image

left = np.zeros((4, 6), bool)
left[:, :2] = True
masks = [
    Mask(np.roll(left, 2 * label, 1), label=label, attributes={"is_crowd": True}) for label in range(3)
]
picture = Image.from_numpy(np.zeros((4, 6, 3), np.uint8))
item = DatasetItem("a", subset="val", media=picture, annotations=masks)
data = Dataset.from_iterable([item], categories=["road", "car", "sky"])
data.export("out", "cityscapes", save_media=True)
truth = Path("out", "gtFine", "val")
ids = cv2.imread(str(truth / "a_gtFine_labelIds.png"), cv2.IMREAD_UNCHANGED)[0].tolist()
colours = cv2.imread(str(truth / "a_gtFine_color.png"))[0, ::2, ::-1].tolist()
lines = Path("out", "label_colors.txt").read_text().splitlines()
print(ids, colours, lines)
same = (
    ids == [1, 1, 2, 2, 3, 3]
    and colours == [[128, 0, 0], [0, 128, 0], [128, 128, 0]]
    and [line for line in lines if line.strip()] == [" road", " car", " sky"]
)
raise SystemExit(not same)
PYTHON
