"""How far the road ahead is free in each frame of a drive.

    python examples/free_distance.py drive.mp4 camera.yaml

A drive is whatever `seg_ros replay` takes; the camera YAML has its mounting (docs/replay.md).
"""

import sys

from seg_ros import Pipeline, Segmenter, SegRosError, load_camera
from seg_ros.drive import open_drive
from seg_ros.results.figures import contact_ahead
from seg_ros.segment.output import Output

pipeline = Pipeline(Segmenter.load())
camera = load_camera(sys.argv[2])
for frame in open_drive(sys.argv[1]).frames():
    try:
        image = frame.decode()
    except SegRosError as error:
        print(f"{frame.stamp_ns} not decoded: {error}")
        continue
    fitted = camera.fitted(image.shape[1], image.shape[0])
    done = pipeline.process(image, Output.GRID | Output.CONTACTS, fitted)
    ahead = contact_ahead(done.contacts)  # metres; inf: free as far as is seen, None: not known
    print(f"{frame.stamp_ns} {'unknown' if ahead is None else f'{ahead:.1f} m'}")
