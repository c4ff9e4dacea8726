"""YAML that may come from anybody: bounded in size, depth and references before it is built.

A reference (``*name``) costs nothing in the file and as much as what it refers to for whoever walks
through the values or prints them, and references to references multiply
(https://yaml.org/spec/1.2.2/#71-alias-nodes). So what the text says is measured written out, on the
parser's nodes, and no value is made of one that says too much.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from seg_ros.errors import SegRosError

MAX_BYTES = 2 * 2**20
"""Of a file: metadata.yaml of a bag in ten thousand files has less."""

MAX_DEPTH = 50
"""Lists and mappings within each other."""

MAX_WRITTEN_OUT = 4 * MAX_BYTES
"""Characters of all values, one more each, with every reference replaced by what it stands for."""


class _GuardedLoader(yaml.SafeLoader):
    """A safe loader that measures nodes while they are composed, before anything is built."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._written_out = 0
        self._costs: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node as the safe loader does; raise where it goes beyond a limit."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if node is not None:
                if node not in self._costs:
                    raise _BeyondError(f"something refers to itself{_at(mark)}")
                self._spend(self._costs[node], mark)
            return node
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _BeyondError(f"more than {MAX_DEPTH} levels within each other{_at(mark)}")
        before = self._written_out
        node = super().compose_node(parent, index)
        self._spend(1 + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0), mark)
        if node is not None:
            self._costs[node] = self._written_out - before
        self._depth -= 1
        return node

    def _spend(self, cost: int, mark: Any) -> None:
        self._written_out += cost
        if self._written_out > MAX_WRITTEN_OUT:
            raise _BeyondError(
                f"its references written out are more than {MAX_WRITTEN_OUT} characters{_at(mark)}"
            )


class _BeyondError(yaml.YAMLError):
    pass


def _at(mark: Any) -> str:
    return f", line {mark.line + 1}"


def read_yaml(path: Path, name: str = "") -> Any:
    """Return what a YAML file says, as plain values.

    Args:
        path: the file.
        name: what it is called in messages, its path unless said.

    Raises:
        SegRosError: it cannot be read, is not YAML or not UTF-8, holds what no plain value can be
            made of, or is beyond one of this module's limits; one line that names the file.

    """
    name = name or str(path)
    try:
        with path.open("rb") as file:  # no more than the limit, whatever kind of file it is
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SegRosError(f"cannot read {name}: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise SegRosError(f"{name}: more than {MAX_BYTES} bytes, which is no such YAML")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SegRosError(f"{name}: not valid YAML (not UTF-8 text: {error})") from error
    try:
        return yaml.load(text, _GuardedLoader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise SegRosError(f"{name}: not valid YAML ({' '.join(str(error).split())})") from error
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        # A 13th month, a number of ten thousand digits, !!bool maybe: PyYAML lets these through.
        said = f"{type(error).__name__}: {error}"
        raise SegRosError(f"{name}: not valid YAML (a value cannot be made, {said})") from error
