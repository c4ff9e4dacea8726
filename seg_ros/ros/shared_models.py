"""The networks of this process: the nodes in it that name the same one share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

from seg_ros.results.parameters import RELOADED
from seg_ros.segment.segmenter import Segmenter


class SharedModels:
    """Segmenters by the parameters that they were loaded with; each lives as long as it is used."""

    def __init__(self) -> None:
        self._loading = Lock()
        self._loaded: WeakValueDictionary[tuple[Any, ...], Segmenter] = WeakValueDictionary()

    def get(
        self, values: Mapping[str, Any], load: Callable[[], Segmenter], anew: bool = False
    ) -> tuple[Segmenter, bool]:
        """Return the segmenter for these parameters, and whether another node has it, too.

        Args:
            values: of the parameters.
            load: loads it, where nobody has.
            anew: load it even so; its file may have changed. Whoever has the old one keeps it.

        Raises:
            SegRosError: as ``load``.

        """
        key = tuple(values[name] for name in RELOADED)
        with self._loading:
            found = None if anew else self._loaded.get(key)
            # One whose caller does not come back would never let anybody else have it.
            if found is not None and found.turn.held_s < values["stall_timeout"]:
                return found, True
            segmenter = self._loaded[key] = load()
            return segmenter, False


SHARED_MODELS = SharedModels()
"""Of this process."""
