"""config/sros2_policy.xml, and a node's own topics and services to compare it with."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from support import wait_until

POLICY = Path(__file__).parents[2] / "config" / "sros2_policy.xml"


def allowed() -> dict[tuple[str, str], list[str]]:
    """Names the policy allows, by (topic or service, publish or subscribe or reply)."""
    profile = ElementTree.parse(POLICY).getroot().find("enclaves/enclave/profiles/profile")
    assert profile is not None
    assert profile.attrib == {"ns": "/", "node": "segmentation_node"}
    found = {}
    for group in profile:
        ((use, verdict),) = group.attrib.items()
        assert verdict == "ALLOW"
        found[group.tag.removesuffix("s"), use] = [str(entry.text) for entry in group]
    return found


def check_that_the_policy_allows_what_the_node_does(client: Any) -> None:
    """Ask the graph what segmentation_node publishes, subscribes to and serves."""
    where = ("segmentation_node", "/")
    wait_until(lambda: where[0] in client.get_node_names(), "the node in the graph")
    ask = {
        ("topic", "publish"): client.get_publisher_names_and_types_by_node,
        ("topic", "subscribe"): client.get_subscriber_names_and_types_by_node,
        ("service", "reply"): client.get_service_names_and_types_by_node,
    }
    for use, names in allowed().items():
        full = {f"/{name}".replace("/~", "/segmentation_node").replace("//", "/") for name in names}
        needed = {name for name, _ in wait_until(lambda u=use: ask[u](*where), f"any {use}")}
        assert needed <= full, f"{use}: the policy lacks {sorted(needed - full)}"
