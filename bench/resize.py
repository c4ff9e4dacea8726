"""How should a frame be shrunk to the network's input? Time and accuracy on the synthetic drive.

python bench/resize.py
"""

import time

import cv2
import numpy as np

from seg_ros.segment.segmenter import Segmenter
from seg_ros.synthetic import SyntheticDrive

METHODS = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}


def main() -> None:
    segmenter = Segmenter.load()
    height, width = segmenter.input_size
    drive = SyntheticDrive()
    for name, method in METHODS.items():
        right = total = 0
        seconds = []
        for index in range(0, len(drive), 15):
            frame = drive[index]
            start = time.perf_counter()
            small = cv2.resize(frame.image, (width, height), interpolation=method)
            seconds.append(time.perf_counter() - start)
            mask = segmenter.segment(small, frame.class_mask.shape).class_mask()
            labelled = frame.class_mask != 255
            right += np.count_nonzero((mask == frame.class_mask) & labelled)
            total += np.count_nonzero(labelled)
        print(f"{name:9s} {np.median(seconds) * 1e3:6.2f} ms  pixel accuracy {right / total:.4f}")


if __name__ == "__main__":
    main()
