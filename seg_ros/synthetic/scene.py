"""The drive along the street: renders frames and answers what is on the ground."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from seg_ros.ground.camera import CameraModel
from seg_ros.ground.mounting import Mounting
from seg_ros.synthetic.basics import Bools, Bytes, Floats, Singles, Triple, check_integer, triple
from seg_ros.synthetic.camera import View, check_camera, optical_rotation, rotation_z
from seg_ros.synthetic.effects import glow, mirrored, wet
from seg_ros.synthetic.ground_truth import classify_ground, hide, measure_ground, project_ground
from seg_ros.synthetic.layout import Layout
from seg_ros.synthetic.layout_open import OpenLayout
from seg_ros.synthetic.lens import Lens
from seg_ros.synthetic.light import Light, draw_sky, light_at, set_sky_shares
from seg_ros.synthetic.meshes import Things, pack
from seg_ros.synthetic.place import Place
from seg_ros.synthetic.plan import Plan
from seg_ros.synthetic.raster import Faces, draw_faces, draw_shadows, empty_faces, project_things
from seg_ros.synthetic.road import STREET
from seg_ros.synthetic.shading import add_noise, empty_buffers, shade, tone_curve
from seg_ros.synthetic.street import EGO_OFFSET, EGO_SPEED, path_pose
from seg_ros.synthetic.textures import make_textures
from seg_ros.synthetic.weather import weather_light

_AHEAD = 400.0
"""Street [m] laid out ahead of the last frame: around the curves, more than the range of view."""
_FAR = 45.0
"""Distance [m] from which things are seen as their `far_mesh`, if they have one."""
_NOISE_MARGIN = 64
"""The noise sheet is larger than the image by this many pixels each way: each frame shifts it."""


@dataclass(frozen=True)
class SyntheticFrame:
    """One camera frame: `image` (H, W, 3) uint8 BGR, `class_mask` (H, W) uint8 camvid class ids."""

    index: int
    stamp_ns: int
    image: Bytes
    class_mask: Bytes


class SyntheticDrive:
    """A drive along the procedural street, rendered frame by frame on demand.

    Parameters
    ----------
    frames: number of frames, at least 1.
    width, height: image size [pixels], at least 16 each; with `camera` they must be its size.
    rate: frames per second, greater than 0; the vehicle moves at `EGO_SPEED`.
    seed: of the street, its traffic and the sensor noise, at least 0. The course of the road and of
        the light is the same for all seeds.
    camera: by default fx = fy = 1000 at a width of 1280, 1.5 m up, looking 0.04 rad down.
    start_ns: stamp of frame 0 [ns], at least 0.
    place: an open road instead of the street; the vehicle moves at its speed.

    A frame depends on these arguments and its index only, never on what was rendered before. Drives
    of the street that differ in `frames` alone begin with the same frames. Threads may share one.

    Raises ValueError for arguments outside these ranges.
    """

    def __init__(
        self,
        frames: int = 150,
        width: int = 1280,
        height: int = 720,
        rate: float = 10.0,
        seed: int = 0,
        camera: CameraModel | None = None,
        start_ns: int = 1_700_000_000_000_000_000,
        place: Place | None = None,
    ) -> None:
        check_integer("frames", frames, 1)
        check_integer("width", width, 16)
        check_integer("height", height, 16)
        check_integer("seed", seed, 0)
        check_integer("start_ns", start_ns, 0)
        if isinstance(rate, bool) or not isinstance(rate, (int, float, np.integer, np.floating)):
            raise ValueError(f"rate must be a number of frames per second, got {rate!r}")
        if not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"rate must be finite and greater than 0, got {rate!r}")
        if camera is None:
            camera = _default_camera(width, height)
        elif (camera.width, camera.height) != (width, height):
            raise ValueError(
                f"camera is {camera.width}x{camera.height}, but width x height is "
                f"{width}x{height}: they must be the same"
            )
        check_camera(camera)
        self.camera = camera
        self._lens = Lens(camera)
        self.rate = float(rate)
        self._frames, self._start_ns = int(frames), int(start_ns)
        duration = self._frames / self.rate
        self._place, self._road = place, STREET if place is None else place.road
        self._speed, self._offset = EGO_SPEED, EGO_OFFSET
        layout: Plan
        if place is None:
            layout = Layout(int(seed), EGO_SPEED * duration + _AHEAD, duration)
        else:
            self._speed, self._offset = place.speed, place.offset
            layout = OpenLayout(place, int(seed), place.speed * duration + _AHEAD, duration)
        self._path, self._placements = layout.path, layout.placements
        self._lamps = layout.lamps
        self._blocks = np.array(layout.blocks).reshape(-1, 4, 2)
        self._block_heights = np.array(layout.block_heights).reshape(-1, 2)
        self._geometry = pack(layout.meshes)
        self._first_poses = [item.pose(self._path, 0.0) for item in self._placements]
        rng = np.random.default_rng([int(seed), 7])
        self._texels, self._curve = make_textures(rng), tone_curve()
        sheet = (height + _NOISE_MARGIN, 3 * (width + _NOISE_MARGIN))
        rough = 1.8 if place is None else place.weather.noise
        self._noise = np.rint(rng.normal(0.0, rough, size=sheet)).astype(np.int8)

    def __len__(self) -> int:
        return self._frames

    def __iter__(self) -> Iterator[SyntheticFrame]:
        return (self[index] for index in range(self._frames))

    def __getitem__(self, index: int) -> SyntheticFrame:
        """Render a frame; negative indices count from the end. Raises IndexError past the ends."""
        index = self._checked(index)
        view, light = self._view(index), self._light(index)
        things = self._things(index, view)
        image, mask, depth = self._draw(view, light, things)
        if self._place is not None:
            self._add_effects(view, light, things, depth, image, mask)
        image, mask = self._lens.bend(image, mask)
        cv2.GaussianBlur(image, (3, 3), 0.6, dst=image)
        shift = np.random.default_rng([index, 8]).integers(0, _NOISE_MARGIN, size=2)
        add_noise(
            image.reshape(self.camera.height, -1), self._noise, int(shift[0]), 3 * int(shift[1])
        )
        stamp = self._start_ns + round(index * 1_000_000_000 / self.rate)
        return SyntheticFrame(index, stamp, image, mask)

    def _draw(self, view: View, light: Light, things: Things) -> tuple[Bytes, Bytes, Singles]:
        """Picture, classes and 1 / depth [1/m] of the faces, as a perfect lens would see them."""
        faces = self._project(view, light, things)
        size = (view.height, view.width)
        buffers = empty_buffers(*size)
        draw_sky(view, light, self._texels, buffers.sky)
        draw_faces(view, faces, buffers.ids, buffers.depth)
        draw_shadows(view, light, self._geometry, things, buffers.shadow, buffers.contact)
        cv2.blur(buffers.shadow, (3, 3), dst=buffers.shadow)
        cv2.blur(buffers.contact, (5, 5), dst=buffers.contact)
        image, mask = np.empty((*size, 3), dtype=np.uint8), np.empty(size, dtype=np.uint8)
        shade(
            view,
            light,
            self._road,
            self._path,
            self._geometry,
            faces,
            self._texels,
            self._curve,
            buffers,
            image,
            mask,
        )
        return image, mask, buffers.depth

    def _add_effects(
        self,
        view: View,
        light: Light,
        things: Things,
        depth: Singles,
        image: Bytes,
        mask: Bytes,
    ) -> None:
        """Add what a wet road mirrors and what glows, in place."""
        assert self._place is not None
        glare = self._place.weather.glare
        lamps = self._lit(things) if light.dusk > 0.0 else np.zeros((0, 6))
        if self._road.wet > 0.0:
            under = mirrored(view)
            mirror, _, near = self._draw(under, light, things)
            glow(under, lamps, near, 0.0, mirror)
            wet(view, self._road, self._path, self._texels, mirror, image, mask)
        if glare > 0.0 or len(lamps):
            glow(view, lamps, depth, glare, image)

    def _lit(self, things: Things) -> Floats:
        """Lamps (N, 6) of all vehicles: world x, y, z, direction, 1 for head and 0 for tail."""
        rows = []
        for mesh, (x, y, z, heading) in zip(things.mesh, things.pose, strict=True):
            c, s = math.cos(heading), math.sin(heading)
            for ahead, left, up, way in self._lamps.get(int(mesh), ()):
                place = (x + c * ahead - s * left, y + s * ahead + c * left, z + up)
                rows.append((*place, way * c, way * s, max(way, 0.0)))
        return np.array(rows).reshape(-1, 6)

    def ground_class(self, index: int, x: npt.ArrayLike, y: npt.ArrayLike) -> Bytes:
        """Class id of what stands on, or is, the ground at points of base_link in frame `index`.

        `x`, `y` [m] are arrays that broadcast together; the result (uint8) has their shape. What
        stands on the ground counts with its outline seen from above (cars, people: all of them,
        trees, poles: the foot); what hangs over it (signs, crowns, the bridge) does not count.
        Raises ValueError for points that are not finite.
        """
        index = self._checked(index)
        view = self._view(index)
        things = self._things(index, view)
        px, py, shape = self._to_world(index, x, y)
        out = np.empty(len(px), dtype=np.uint8)
        classify_ground(view, self._road, self._path, self._geometry, things, px, py, out)
        return out.reshape(shape)

    def ground_height(self, index: int, x: npt.ArrayLike, y: npt.ArrayLike) -> Floats:
        """Height [m] of the ground at points of base_link: 0 on the road, else the kerb's."""
        index = self._checked(index)
        px, py, shape = self._to_world(index, x, y)
        out = np.empty(len(px))
        measure_ground(self._view(index), self._road, self._path, px, py, out)
        return out.reshape(shape)

    def ground_visible(self, index: int, x: npt.ArrayLike, y: npt.ArrayLike) -> Bools:
        """Whether the ground's surface at points of base_link is in the image and in plain sight.

        The point tested lies on the surface, at `ground_height`. It is visible if it projects into
        the image (within half a pixel of its outermost pixel centres) and nothing, the kerb
        included, stands between it and the camera. Arrays as for `ground_class`.
        """
        index = self._checked(index)
        view, light = self._view(index), self._light(index)
        things = self._things(index, view)
        px, py, shape = self._to_world(index, x, y)
        height, pixels = np.empty(len(px)), np.empty((len(px), 3))
        out = np.empty(len(px), dtype=np.bool_)
        measure_ground(view, self._road, self._path, px, py, height)
        project_ground(view, self._road, self._path, px, py, height, pixels, out)
        order = np.argsort(pixels[:, 1], kind="stable")
        hide(self._project(view, light, things), order, pixels[order, 1], pixels, out)
        if self.camera.distortion:
            out &= self._lens.sees(pixels[:, :2])
        return out.reshape(shape)

    def _checked(self, index: int) -> int:
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise TypeError(f"a frame index is an integer, got {index!r}")
        if not -self._frames <= index < self._frames:
            raise IndexError(f"frame {index} of a drive of {self._frames} frames")
        return int(index) % self._frames

    def _to_world(
        self, index: int, x: npt.ArrayLike, y: npt.ArrayLike
    ) -> tuple[Floats, Floats, tuple[int, ...]]:
        px, py = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        if not (np.isfinite(px).all() and np.isfinite(py).all()):
            raise ValueError("ground points must be finite, got NaN or infinity among x, y")
        ego_x, ego_y, heading = self._ego_pose(index)
        c, s = math.cos(heading), math.sin(heading)
        world_x, world_y = ego_x + c * px - s * py, ego_y + s * px + c * py
        return world_x.ravel(), world_y.ravel(), px.shape

    def _ego_pose(self, index: int) -> Triple:
        return path_pose(self._path, self._speed * index / self.rate, self._offset)

    def _view(self, index: int) -> View:
        ego_x, ego_y, heading = self._ego_pose(index)
        turn, camera = rotation_z(heading), self._lens.pinhole
        origin = np.array([ego_x, ego_y, 0.0]) + turn @ camera.mounting.position
        # Three segments make a block: from the straight that begins the block before this one.
        s = self._speed * (index / self.rate)
        segment = int(np.searchsorted(self._path[:, 6], s, side="right")) - 1
        rows = turn @ optical_rotation(camera.mounting)
        return View(
            width=camera.width,
            height=camera.height,
            fx=float(camera.fx),
            fy=float(camera.fy),
            cx=float(camera.cx),
            cy=float(camera.cy),
            origin=triple(origin),
            rotation=(triple(rows[0]), triple(rows[1]), triple(rows[2])),
            first=max(3 * (segment // 3 - 1), 0),
        )

    def _light(self, index: int) -> Light:
        if self._place is None:
            return light_at(EGO_SPEED * (index / self.rate))
        light = weather_light(self._place.weather, *self._ego_pose(index))
        # In a tunnel the camera's exposure rises.
        s = self._speed * (index / self.rate)
        inside = min(s - self._road.roof_start + 4.0, self._road.roof_end - s - 12.0) / 10.0
        dark = self._place.tunnel is not None and inside > 0.0
        return light._replace(gain=light.gain * (1.0 + 1.8 * min(inside, 1.0))) if dark else light

    def _things(self, index: int, view: View) -> Things:
        time = index / self.rate
        x0, y0, _ = view.origin
        poses = [
            item.pose(self._path, time) if item.speed else first
            for item, first in zip(self._placements, self._first_poses, strict=True)
        ]
        meshes = [
            item.far_mesh
            if item.far_mesh is not None and math.hypot(x - x0, y - y0) > _FAR
            else item.meshes[int(time * item.pace) % len(item.meshes)]
            for item, (x, y, _, _) in zip(self._placements, poses, strict=True)
        ]
        roof = 1.0 - self._road.roof_share
        return Things(
            mesh=np.array(meshes, dtype=np.int64),
            pose=np.array(poses),
            paint=np.array([item.paint for item in self._placements]),
            sunlit=np.array([0.0 if item.roofed else 1.0 for item in self._placements]),
            open_sky=np.array([roof if item.roofed else 1.0 for item in self._placements]),
        )

    def _project(self, view: View, light: Light, things: Things) -> Faces:
        set_sky_shares(
            view,
            light,
            self._road,
            self._path,
            self._geometry,
            self._blocks,
            self._block_heights,
            things,
        )
        faces = empty_faces(int(np.diff(self._geometry.face_start)[things.mesh].sum()))
        project_things(view, light, self._geometry, things, faces)
        return faces


def _default_camera(width: int, height: int) -> CameraModel:
    focal = 1000.0 * width / 1280.0
    return CameraModel(
        width,
        height,
        focal,
        focal,
        (width - 1) / 2,
        (height - 1) / 2,
        mounting=Mounting(),
    )
