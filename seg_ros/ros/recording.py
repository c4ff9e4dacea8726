"""A bag that ``replay.launch.py`` plays into the node: its camera, and what of it to play."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seg_ros.drive.bag import METADATA, Bag
from seg_ros.errors import SegRosError
from seg_ros.results import topics

RECORDED = (
    topics.MASK,
    topics.GRID,
    topics.CONTACTS,
    topics.OVERLAY_COMPRESSED,
    topics.LABEL_INFO,
    topics.DIAGNOSTICS,
)
"""What of the node's a replay records; pictures that can be made of the mask are left out."""


_COMPRESSED = "/compressed"
"""How image_transport ends the topic of compressed images; not every recorder does."""


@dataclass(frozen=True)
class Recording:
    """A bag to play into the node."""

    path: Path
    types: dict[str, str]
    """Topic -> message type."""

    @property
    def inputs(self) -> list[str]:
        """Topics to play: all but a clock and what a node of this package once published."""
        results = tuple(f"/{t.name}" for t in topics.PUBLISHED if t is not topics.DIAGNOSTICS)
        return [t for t in self.types if t != "/clock" and not t.endswith(results)]

    @property
    def remappings(self) -> list[str]:
        """What ``ros2 bag play --remap`` needs: the node finds compressed images by their name."""
        return [
            f"{topic}:={topic}{_COMPRESSED}"
            for topic in self.inputs
            if self.types[topic] == topics.IMAGE_COMPRESSED.message_type
            and not topic.endswith(_COMPRESSED)
        ]

    def camera_arguments(self, image: str = "", transport: str = "") -> dict[str, str]:
        """Return the arguments ``image``, ``camera_info`` and ``image_transport`` for a camera.

        Args:
            image: camera topic; empty for the only one of the bag.
            transport: how its images are to come; empty for what is there.

        Raises:
            SegRosError: there is no such camera, or several and none chosen, or not so.

        """
        transports: dict[str, list[str]] = {}
        for topic in self.inputs:
            if self.types[topic] == topics.IMAGE.message_type:
                transports.setdefault(topic, []).insert(0, "raw")
            elif self.types[topic] == topics.IMAGE_COMPRESSED.message_type:
                transports.setdefault(topic.removesuffix(_COMPRESSED), []).append("compressed")
        listing = ", ".join(transports) or "none"
        if image and image not in transports:
            raise SegRosError(f"image:={image} is not a camera of {self.path}; it has {listing}")
        if not image and len(transports) != 1:
            raise SegRosError(f"choose a camera of {self.path} with image:=; it has {listing}")
        image = image or next(iter(transports))
        if transport and transport not in transports[image]:
            raise SegRosError(
                f"image_transport:={transport}: {image} is {transports[image][0]} in {self.path}"
            )
        return {
            "image": image,
            "camera_info": info_beside(image),
            "image_transport": transport or transports[image][0],
        }


def info_beside(image: str) -> str:
    """Return the CameraInfo's topic that belongs to an image's, as image_transport has it."""
    return f"{image.rpartition('/')[0]}/{topics.CAMERA_INFO.name}"


def open_recording(bag: str) -> Recording:
    """Look into a bag that ``replay.launch.py`` is to play.

    Args:
        bag: folder with a metadata.yaml, or a file in it.

    Raises:
        SegRosError: there is no bag, or it is damaged.

    """
    if not bag:
        raise SegRosError("which bag? Add bag:=FOLDER")
    path = Path(bag).expanduser()
    if not path.exists():
        raise SegRosError(f"bag:={bag} does not exist")
    if path.is_file():
        path = path.parent
    if not (path / METADATA).is_file():
        raise SegRosError(
            f"bag:={bag} is no rosbag2: {path} has no {METADATA}; 'ros2 bag reindex' may write it, "
            "and 'seg_ros play' plays other drives"
        )
    recorded = Bag(path)
    if recorded.damage:
        raise SegRosError(f"{recorded.damage}; 'seg_ros replay' and 'play' read what is there")
    return Recording(path, {topic.name: topic.message_type for topic in recorded.topics})
