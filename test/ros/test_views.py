"""What RViz and Foxglove are told to show is what the node publishes, with matching QoS."""

import json
from pathlib import Path

import pytest
import yaml

from seg_ros.results import topics
from seg_ros.results.parameters import BY_NAME
from seg_ros.ros.launching import NODE
from seg_ros.support.share import share_file

DISPLAYS = {
    "rviz_default_plugins/Image": "sensor_msgs/msg/Image",
    "rviz_default_plugins/Map": "nav_msgs/msg/OccupancyGrid",
    "rviz_default_plugins/LaserScan": "sensor_msgs/msg/LaserScan",
}
"""Displays of rviz_default_plugins and the messages they take."""

PANELS = {
    "Image": {"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"},
    "3D": {"nav_msgs/msg/OccupancyGrid", "sensor_msgs/msg/LaserScan"},
    "DiagnosticSummary": {"diagnostic_msgs/msg/DiagnosticArray"},
    "DiagnosticStatusPanel": {"diagnostic_msgs/msg/DiagnosticArray"},
}
"""Panels of Foxglove and the messages they take."""

BY_TOPIC = {f"/{t.name.lstrip('/')}": t for t in (*topics.PUBLISHED, *topics.SUBSCRIBED)}


@pytest.fixture(scope="module")
def rviz():
    return yaml.safe_load(share_file("rviz/segmentation.rviz").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def foxglove():
    return json.loads(share_file("config/foxglove_layout.json").read_text(encoding="utf-8"))


def test_rviz_shows_image_overlay_grid_and_scan(rviz):
    manager = rviz["Visualization Manager"]
    shown = [d for d in manager["Displays"] if "Topic" in d]
    names = [display["Topic"]["Value"] for display in shown]
    wanted = (topics.IMAGE, topics.OVERLAY, topics.GRID, topics.CONTACTS)
    assert names == [f"/{topic.name}" for topic in wanted]
    for display, topic in zip(shown, wanted, strict=True):
        assert DISPLAYS[display["Class"]] == topic.message_type
        assert display["Enabled"] is True
        assert display["Value"] is True
    assert manager["Global Options"]["Fixed Frame"] == BY_NAME["base_frame"].default


def test_rviz_asks_for_the_qos_that_is_offered(rviz):
    for display in rviz["Visualization Manager"]["Displays"]:
        if "Topic" not in display:
            continue
        asked, offered = display["Topic"], BY_TOPIC[display["Topic"]["Value"]]
        reliability = "Reliable" if offered.reliable else "Best Effort"
        durability = "Transient Local" if offered.transient_local else "Volatile"
        assert asked["Reliability Policy"] == reliability, display["Name"]
        assert asked["Durability Policy"] == durability, display["Name"]
        assert asked["History Policy"] == "Keep Last"
        assert asked["Depth"] == offered.depth


def panel_topics(layout):
    for name, panel in layout["configById"].items():
        kind = name.partition("!")[0]
        mode = panel.get("imageMode", {})
        for key in ("imageTopic", "calibrationTopic"):
            if key in mode:
                yield kind, key, mode[key]
        for topic in panel.get("topics", {}):
            yield kind, "topics", topic
        if "topicToRender" in panel:
            yield kind, "topicToRender", panel["topicToRender"]


def test_foxglove_shows_topics_that_exist_in_panels_that_take_them(foxglove):
    shown = list(panel_topics(foxglove))
    for kind, _, name in shown:
        assert BY_TOPIC[name].message_type in PANELS[kind]
    assert {name for *_, name in shown} == {
        "/image",
        "/segmentation/overlay/compressed",
        "/segmentation/driveable_grid",
        "/segmentation/first_contact",
        "/diagnostics",
    }


def leaves(node):
    if isinstance(node, str):
        return [node]
    assert node["direction"] in {"row", "column"}
    assert 0 < node["splitPercentage"] < 100
    return leaves(node["first"]) + leaves(node["second"])


def test_foxglove_lays_every_panel_out_once(foxglove):
    assert sorted(leaves(foxglove["layout"])) == sorted(foxglove["configById"])
    for panel in foxglove["configById"].values():
        for settings in panel.get("topics", {}).values():
            assert settings["visible"] is True
    scene = foxglove["configById"]["3D!grid"]
    assert scene["followTf"] == BY_NAME["base_frame"].default
    # Without a field of the scan, its colour is replaced by that of intensities, which it has not.
    assert scene["topics"]["/segmentation/first_contact"]["colorField"] == "range"


def test_foxglove_shows_the_figures_of_the_node(foxglove):
    """It finds them by the hardware_id of the status."""
    chosen = foxglove["configById"]["DiagnosticStatusPanel!node"]["selectedHardwareId"]
    assert chosen == f"/{NODE}"


@pytest.mark.parametrize("folder", ["launch", "config", "config/cameras", "rviz"])
def test_everything_is_installed_where_ament_looks(folder):
    """Each file of these folders; a pattern of setup.py that misses one would not say so."""
    import ast

    root = Path(__file__).parents[2]
    setup = ast.parse((root / "setup.py").read_text(encoding="utf-8"))
    shared = {
        call.args[0].value: call.args[1].value
        for call in ast.walk(setup)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "share"
    }
    files = {file for file in (root / folder).iterdir() if file.is_file()}
    assert files == set((root / folder).glob(shared[folder]))
