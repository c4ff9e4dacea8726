"""docs/troubleshooting.md quotes what the node says and names what there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from support import shipped

from seg_ros.results.parameters import BY_NAME
from seg_ros.results.topics import PUBLISHED, SUBSCRIBED
from seg_ros.ros.services import SERVICES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def said_by_the_code() -> str:
    """Every text in the source, with a gap where a value goes in."""
    texts = []
    for file in (ROOT / "seg_ros").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "…" for p in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def test_what_is_quoted_is_said():
    code = said_by_the_code()
    quotes = [" ".join(quote.split()) for quote in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", TEXT)]
    assert len(quotes) > 20
    missing = [quote for quote in quotes if quote not in code]
    assert not missing, "nobody says this"


def test_parameters_topics_and_services_exist():
    named = set(re.findall(r"`([a-z_~/]+)`", TEXT))
    topics = {topic.name for topic in (*PUBLISHED, *SUBSCRIBED)}
    known = {*BY_NAME, *topics, *(service.name for service in SERVICES)}
    others = {
        "image_rect",
        "frame_id",
        "unwanted",
        "lost",
        "motion_rejected",
        "time_jumps",
        "use_sim_time",
        "cv_bridge",
    }
    assert named - others <= known
    assert {"mounting_source", "grid_frame", "grid_fusion", "~/reload"} <= named


@pytest.mark.parametrize("name", ["track_unknown_space", "map_subscribe_transient_local"])
def test_nav2_settings_are_those_of_the_ready_made_file(name):
    assert f"`{name}: true`" in TEXT
    assert f"'{name}': True" in str(shipped("nav2_costmap.yaml"))


def test_the_headings_others_point_to_are_there():
    assert "\n## No image appears\n" in TEXT
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "docs/troubleshooting.md" in readme
