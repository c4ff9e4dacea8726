"""A procedural road scene: camera frames with exact classes and exact ground truth.

A street with two lanes, parking bays, kerbs, pavements, buildings, trees and traffic is laid out
along a path of straights and curves. One analytic description of it gives the picture, the class of
every pixel and the truth in the ground plane, so the three agree by construction:

* solids are meshes of convex planar faces, drawn into one depth and face-id buffer that is sampled
  at pixel centres;
* the road surface is the plane z = 0, the pavement the plane z = `KERB_HEIGHT`; both are
  intersected per pixel;
* picture and class mask are read from the same buffers, and `ground_visible` tests the same
  projected faces.

Frames follow REP 103: base_link is x forward, y left, z up with its origin on the road surface; the
camera's optical frame is z forward, x right, y down. Pixel centres lie at integers; a camera with
distortion is drawn as a pinhole and bent. Class ids are those of the `camvid` label set, on open
roads those of `streets`, which adds terrain and the own vehicle.

An open road (`Place`, drawn by `draw_place`) takes the street's place: a highway or a country road
through fields and woods, by day or night, dry, wet or in snow, all of its ground at z = 0 (banks
are faces of class terrain). Where it is paved is one function of path coordinates
(`road.is_paved`), which picture, mask and truth share.

Where to look, each importing from those above it only:

* `basics`: array types, class and material ids, compilation;
* `street`: dimensions, the path, the ground's surface;
* `road`: what a road is like across;
* `camera`: the camera and its projection;
* `meshes`: faces and what they are packed into;
* `cars`, `people`, `trees`, `objects`: what stands there, as meshes;
* `roadside`, `ego`: what stands along open roads, and the own bonnet, as meshes;
* `plan`, `layout`: where all of them are in the street;
* `weather`, `place`, `landscape`, `layout_open`: the same for open roads;
* `textures`, `light`, `materials`, `terrain`: how things look;
* `raster`: which face is seen at a pixel, and where shadows fall;
* `shading`: the pixel's colour and class;
* `effects`: what a wet road mirrors, what glows;
* `lens`: distortion;
* `ground_truth`: class, height and visibility of points on the ground;
* `scene`: the drive, which puts it together.
"""

from seg_ros.synthetic.place import Place, draw_camera, draw_place
from seg_ros.synthetic.scene import SyntheticDrive, SyntheticFrame
from seg_ros.synthetic.street import EGO_OFFSET, EGO_SPEED, KERB_HEIGHT, ROAD_HALF_WIDTH

__all__ = [
    "EGO_OFFSET",
    "EGO_SPEED",
    "KERB_HEIGHT",
    "ROAD_HALF_WIDTH",
    "Place",
    "SyntheticDrive",
    "SyntheticFrame",
    "draw_camera",
    "draw_place",
]
