"""Every service of the node once, beside those that any lifecycle node has.

The node makes its services from these and the table in docs/node.md is generated from them.
Importing this needs no ROS.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Service:
    """A service of the node, under the node's own name."""

    name: str
    service_type: str
    content: str


RELOAD = Service(
    "~/reload",
    "std_srvs/srv/Trigger",
    "load the model that the parameters name now; the old one goes on until the new one is ready, "
    "and stays where it cannot be loaded",
)
SNAPSHOT = Service(
    "~/snapshot",
    "std_srvs/srv/Trigger",
    "write the last frame with its mask, overlay, grid, parameters and diagnostics into a new "
    "folder in `snapshot_folder`, for a bug report",
)
SERVICES = (RELOAD, SNAPSHOT)
