"""What the node is made of at a moment; its lifecycle puts the parts in and takes them out."""

from __future__ import annotations

from dataclasses import dataclass, field

from seg_ros.ros.background import Background
from seg_ros.ros.frames import Frames
from seg_ros.ros.listening import Listener
from seg_ros.ros.live_model import LiveModel
from seg_ros.ros.publishing import FramePublishers
from seg_ros.ros.settings import Settings
from seg_ros.ros.viewpoint import Viewpoint
from seg_ros.support.statistics import FrameStatistics


@dataclass
class Parts:
    """Changed on the executor's thread alone."""

    settings: Settings
    statistics: FrameStatistics
    model: LiveModel
    background: Background
    outputs: FramePublishers = field(default_factory=FramePublishers)
    """Empty while the node is unconfigured."""
    viewpoint: Viewpoint | None = None
    """While the node is configured."""
    frames: Frames | None = None
    """While the node is active."""
    given_up: bool = False
    """Whether a thread that did not come back is still somewhere in what was configured."""
    listener: Listener | None = None
    """While the node is active."""
