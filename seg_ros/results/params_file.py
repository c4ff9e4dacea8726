"""ROS parameter files: what one sets for the node, by the rules of rcl_yaml_param_parser.

rcl leaves what it does not understand in silence: a section for another node, a parameter that
nobody declares. Here both are errors, with what was probably meant.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seg_ros.errors import SegRosError
from seg_ros.results.parameters import BY_NAME, PARAMETERS, refusal
from seg_ros.support.yaml_file import read_yaml

_OTHERS = re.compile(r"use_sim_time|start_type_description_service|qos_overrides\..*")
"""Parameters that a node of rclpy has besides ours."""


def parameters_for(node: str, file: Path) -> dict[str, Any]:
    """Return what a parameter file sets for a node, by the rules of rcl.

    Raises:
        SegRosError: it is no parameter file, has nothing for this node, or a name that is none.

    """
    data = read_yaml(file, f"params_file {file}")
    sections = dict(_sections(data, "")) if isinstance(data, dict) else {}
    if not sections:
        raise SegRosError(
            f"params_file {file}: no 'ros__parameters' in it; it should read "
            "'/**: {ros__parameters: {model: default}}'"
        )
    found: dict[str, Any] = {}
    matched = [name for name in sections if _matches(name, node)]
    if not matched:
        raise SegRosError(
            f"params_file {file} has nothing for {node}, only for {', '.join(sections)}; "
            "/** is for any node"
        )
    for name in matched:
        for key, value in _flat(sections[name], ""):
            if key not in BY_NAME and not _OTHERS.fullmatch(key):
                near = difflib.get_close_matches(key, BY_NAME, n=1, cutoff=0.8)
                hint = f"; {near[0]}?" if near else ""
                if near or not name.endswith("*"):  # a wildcard may mean other nodes, too
                    raise SegRosError(f"params_file {file}: {node} has no parameter {key}{hint}")
            found[key] = value
    return found


def checked_parameters(
    node: str, file: Path, overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a parameter file sets for a node, and what goes before it, if a node takes it.

    Raises:
        SegRosError: as :func:`parameters_for`, or a value that the node refuses.

    """
    where = f"params_file {file}: {node}"  # what goes before it has been checked when it was read
    given = {**parameters_for(node, file), **(overrides or {})}
    for name, value in given.items():
        spec = BY_NAME.get(name)
        if spec and type(value) is not type(spec.default):
            raise SegRosError(f"{where}: {spec.impossible(value)}")
    reason = refusal({spec.name: spec.default for spec in PARAMETERS}, given, configured=False)
    if reason:
        raise SegRosError(f"{where}: {reason}")
    return given


def only_node(file: Path, name: str) -> str:
    """Return which node of a name a parameter file is for: ``/name`` unless it names one alone.

    Raises:
        SegRosError: the file cannot be read.

    """
    data = read_yaml(file, f"params_file {file}")
    sections = [section for section, _ in _sections(data, "")] if isinstance(data, dict) else []
    named = [s for s in sections if s.endswith(f"/{name}") and "*" not in s]
    anyone = any(_matches(section, f"/{name}") for section in sections)
    return named[0] if len(named) == 1 and not anyone else f"/{name}"


def _sections(data: Mapping[Any, Any], name: str) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    for key, value in data.items():
        if isinstance(value, dict):
            if key == "ros__parameters":
                yield name or "/", value
            else:
                yield from _sections(value, f"{name}/{str(key).strip('/')}")


def _flat(data: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _matches(pattern: str, node: str) -> bool:
    """Whether a name in a parameter file means a node: ``*`` is one part of it, ``**`` any."""
    parts = {"**": r"(/\w+)*", "*": r"/\w+"}
    regex = "".join(parts.get(part, "/" + re.escape(part)) for part in pattern.split("/") if part)
    return re.fullmatch(regex, node) is not None
