"""Every topic of the node once: name, type, quality of service and content.

The node makes its publishers and subscriptions from these and docs/node.md is generated from
them. Importing this needs no ROS.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from seg_ros.segment.output import Output


@dataclass(frozen=True)
class Topic:
    """A topic of the node; names are relative to its namespace unless they begin with a slash."""

    name: str
    message_type: str
    content: str
    reliable: bool = True
    transient_local: bool = False
    """Whether a late subscriber gets the last message."""
    output: Output = Output.NONE
    """What has to be made of a frame to publish it."""
    switch: str = ""
    """The parameter that turns it on and off."""
    depth: int = 1
    """Messages that wait; more than the last only where values between two are asked for."""

    @property
    def qos_text(self) -> str:
        """QoS as docs/node.md says it."""
        words = ["reliable" if self.reliable else "best effort"]
        if self.transient_local:
            words.append("transient local")
        return ", ".join([*words, f"depth {self.depth}"])

    def qos_profile(self) -> Any:
        """QoS as rclpy takes it; no queue of frames can grow."""
        from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

        return QoSProfile(  # type: ignore[no-untyped-call]
            history=HistoryPolicy.KEEP_LAST,
            depth=self.depth,
            reliability=(
                ReliabilityPolicy.RELIABLE if self.reliable else ReliabilityPolicy.BEST_EFFORT
            ),
            durability=(
                DurabilityPolicy.TRANSIENT_LOCAL
                if self.transient_local
                else DurabilityPolicy.VOLATILE
            ),
        )


IMAGE = Topic(
    "image", "sensor_msgs/msg/Image", "camera; with `image_transport` raw", reliable=False
)
IMAGE_COMPRESSED = Topic(
    "image/compressed",
    "sensor_msgs/msg/CompressedImage",
    "camera as JPEG or PNG; with `image_transport` compressed",
    reliable=False,
)
IMAGE_VIDEO = Topic(
    "image/video",
    "foxglove_msgs/msg/CompressedVideo",
    "camera as H.264 or H.265; with `image_transport` video; where foxglove_msgs is installed",
    reliable=False,
    depth=50,
)
IMAGE_FFMPEG = Topic(
    "image/ffmpeg",
    "ffmpeg_image_transport_msgs/msg/FFMPEGPacket",
    "the same of ffmpeg_image_transport; with `image_transport` ffmpeg; where its messages are "
    "installed",
    reliable=False,
    depth=50,
)
CAMERA_INFO = Topic(
    "camera_info",
    "sensor_msgs/msg/CameraInfo",
    "intrinsics for the grid, unless `camera_file` is set; also listened to as reliable, "
    "transient local, for one that was sent before: the newest counts",
    reliable=False,
)
CAMERA_INFO_SENT_BEFORE = replace(CAMERA_INFO, reliable=True, transient_local=True)
"""The same topic, as a driver sends it that says it once: only this QoS gets what was before."""
ODOMETRY = Topic(
    "odometry",
    "nav_msgs/msg/Odometry",
    "poses of `base_frame`, where `grid_frame` is another frame",
    reliable=False,
    depth=50,
)
IMU = Topic(
    "imu",
    "sensor_msgs/msg/Imu",
    "orientation of `base_frame`, or of another frame that TF converts, with `attitude_source` imu",
    reliable=False,
    depth=50,
)
MOTION = (ODOMETRY, IMU)
TRANSPORTS = {
    "raw": IMAGE,
    "compressed": IMAGE_COMPRESSED,
    "video": IMAGE_VIDEO,
    "ffmpeg": IMAGE_FFMPEG,
}
"""The topic that images are expected on, by the parameter ``image_transport``."""
VIDEOS = (IMAGE_VIDEO, IMAGE_FFMPEG)
IMAGES = tuple(TRANSPORTS.values())
SUBSCRIBED = (*IMAGES, CAMERA_INFO, *MOTION)

MASK = Topic(
    "segmentation/mask",
    "sensor_msgs/msg/Image",
    "mono8, class ids at camera resolution, 255 = unlabelled, step = width",
    output=Output.MASK,
    switch="publish_mask",
)
CONFIDENCE = Topic(
    "segmentation/confidence",
    "sensor_msgs/msg/Image",
    "mono8, probability of the winning class, 0 to 255",
    output=Output.CONFIDENCE,
    switch="publish_confidence",
)
COLOR = Topic(
    "segmentation/color",
    "sensor_msgs/msg/Image",
    "bgr8, class colours",
    output=Output.COLOR,
    switch="publish_color",
)
OVERLAY = Topic(
    "segmentation/overlay",
    "sensor_msgs/msg/Image",
    "bgr8, class colours blended over the frame",
    output=Output.OVERLAY,
    switch="publish_overlay",
)
OVERLAY_COMPRESSED = Topic(
    "segmentation/overlay/compressed",
    "sensor_msgs/msg/CompressedImage",
    "the same as JPEG",
    output=Output.OVERLAY,
    switch="publish_overlay",
)
GRID = Topic(
    "segmentation/driveable_grid",
    "nav_msgs/msg/OccupancyGrid",
    "driveable area on the ground, in `grid_frame`",
    transient_local=True,
    output=Output.GRID,
    switch="publish_grid",
)
CONTACTS = Topic(
    "segmentation/first_contact",
    "sensor_msgs/msg/LaserScan",
    "range from `base_frame` to the first thing in the way, by azimuth; inf: free, NaN: not known",
    reliable=False,
    output=Output.CONTACTS,
    switch="publish_contacts",
)
ATTENTION = Topic(
    "segmentation/attention",
    "sensor_msgs/msg/Image",
    "bgr8, what the heads of a SegFormer's stage look at, around the frame",
    switch="publish_attention",
)
LABEL_INFO = Topic(
    "segmentation/label_info",
    "vision_msgs/msg/LabelInfo",
    "names of the class ids, once per model; where vision_msgs is installed",
    transient_local=True,
)
DIAGNOSTICS = Topic(
    "/diagnostics",
    "diagnostic_msgs/msg/DiagnosticArray",
    "1 Hz: counts, rate, latency p50 and p99, age, engine, device",
)
FRAME_OUTPUTS = (MASK, GRID, CONTACTS, CONFIDENCE, COLOR, OVERLAY, OVERLAY_COMPRESSED)
"""Published per frame, in this order: what a planner waits for comes first."""

PUBLISHED = (*FRAME_OUTPUTS, ATTENTION, LABEL_INFO, DIAGNOSTICS)
