"""The classes of a picture, drawn over it: python examples/picture.py street.png overlay.png."""

import sys

import cv2

from seg_ros import Segmenter
from seg_ros.segment.paint import overlay

source, target = sys.argv[1:]
segmenter = Segmenter.load()
image = cv2.imread(source)
mask = segmenter.segment(image).class_mask()  # (H, W) uint8 class ids

for class_id, label in enumerate(segmenter.labels.classes):
    share = (mask == class_id).mean()
    if share > 0.001:
        print(f"{label.name:12} {share:6.1%}")
cv2.imwrite(target, overlay(image, mask, segmenter.labels, opacity=0.5))
