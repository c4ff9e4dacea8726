"""The node's parameters as they are now: declared, checked, and what of them was refused."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException

from seg_ros.results.parameters import BY_NAME, MOUNTING_NAMES, PARAMETERS, ParameterSpec, refusal


class Settings:
    """Declares every parameter on a node; what was given and cannot be is said and left out.

    A node that was started with a mistake lives on, with the default in its place, and cannot be
    configured until the parameter has been set.

    Args:
        node: to declare them on; its logger says what is wrong.

    """

    def __init__(self, node: Any) -> None:
        self.values: Mapping[str, Any] = {}
        """Name -> value. Replaced as a whole, so who holds it sees no half change."""
        self._given = set(node._parameter_overrides)
        self._refused: dict[str, str] = {}
        self._declare(node)
        self._warn_of_unknown(node)

    @property
    def refused(self) -> str:
        """What was given on start and cannot be, or nothing."""
        return "; ".join(self._refused.values())

    @property
    def problem(self) -> str:
        """Why the node cannot be configured with these, or nothing."""
        reason = refusal(self.values, {}, configured=False)
        return "; ".join(filter(None, (self.refused, reason)))

    @property
    def mounting_assumed(self) -> bool:
        """Whether nobody has said where the camera is mounted."""
        return (
            self.values["mounting_source"] == "parameters"
            and not self.values["camera_file"]
            and self._given.isdisjoint(MOUNTING_NAMES)
        )

    def change(self, changes: Mapping[str, Any], configured: bool) -> str:
        """Take changes over, all or none; return why not, or nothing."""
        reason = refusal(self.values, changes, configured)
        if not reason:
            self.values = {**self.values, **{k: v for k, v in changes.items() if k in BY_NAME}}
            self._given.update(changes)
            for name in changes:
                self._refused.pop(name, None)
        return reason

    def _declare(self, node: Any) -> None:
        values: dict[str, Any] = {}
        for spec in PARAMETERS:
            descriptor = _descriptor(spec)
            try:
                value = node.declare_parameter(spec.name, spec.default, descriptor).value
                problem = spec.check(value)
            except ParameterException:
                problem = spec.impossible(node._parameter_overrides[spec.name].value)
                value = node.declare_parameter(
                    spec.name, spec.default, descriptor, ignore_override=True
                ).value
            if problem:
                self._refused[spec.name] = problem
                node.get_logger().error(f"{problem}; set it, then configure the node")
            values[spec.name] = value
        self.values = values

    def _warn_of_unknown(self, node: Any) -> None:
        """Name what was given on the command line or in a file and means nothing here."""
        hints = []
        for name in sorted(self._given):
            if node.has_parameter(name) or name.startswith("qos_overrides."):
                continue
            near = get_close_matches(name, BY_NAME, n=1)
            hints.append(f"{name} (did you mean {near[0]}?)" if near else name)
        if hints:
            node.get_logger().warning(f"unknown parameters are ignored: {', '.join(hints)}")


def _descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=spec.description, read_only=spec.fixed)
    if spec.choices:
        descriptor.additional_constraints = f"one of {spec.allowed}"
    if spec.low is not None and spec.high is not None:
        if isinstance(spec.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(spec.low), to_value=float(spec.high))
            ]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(spec.low), to_value=int(spec.high), step=1)
            ]
    return descriptor
