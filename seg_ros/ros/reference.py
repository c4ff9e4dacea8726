"""Writes the tables of docs/node.md from the code: python -m seg_ros.ros.reference docs/node.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from seg_ros.results.parameters import PARAMETERS
from seg_ros.results.topics import PUBLISHED, SUBSCRIBED, Topic
from seg_ros.ros.services import SERVICES
from seg_ros.support.tables import markdown_table


def topics_table() -> str:
    """Markdown table of the node's topics."""

    def row(topic: Topic, direction: str) -> list[str]:
        return [f"`{topic.name}`", direction, topic.message_type, topic.qos_text, topic.content]

    rows = [row(t, "in") for t in SUBSCRIBED] + [row(t, "out") for t in PUBLISHED]
    return markdown_table(["topic", "", "type", "QoS", "content"], rows)


def parameters_table() -> str:
    """Markdown table of the node's parameters."""
    rows = [
        [
            f"`{spec.name}`",
            f"`{spec.default}`" if spec.default != "" else "empty",
            spec.allowed,
            spec.change,
            spec.description,
        ]
        for spec in PARAMETERS
    ]
    return markdown_table(["parameter", "default", "allowed", "change", "meaning"], rows)


def services_table() -> str:
    """Markdown table of the node's services."""
    rows = [[f"`{s.name}`", s.service_type, s.content] for s in SERVICES]
    return markdown_table(["service", "type", "what it does"], rows)


def with_tables(page: str) -> str:
    """Return the text with what is between its table marks made anew."""
    tables = {
        "topics": topics_table(),
        "services": services_table(),
        "parameters": parameters_table(),
    }
    for name, table in tables.items():
        begin, end = f"<!-- {name}: made by `make tables` -->", f"<!-- end of {name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        parts = pattern.split(page)
        if len(parts) != 2:
            raise ValueError(f"the page needs the marks {begin} and {end} exactly once")
        page = f"{parts[0]}{begin}\n\n{table}\n\n{end}{parts[1]}"
    return page


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
