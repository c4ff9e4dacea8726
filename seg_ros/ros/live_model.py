"""The model in use: loaded, handed the live parameters, exchanged between two frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import Any

from seg_ros.errors import SegRosError
from seg_ros.ground.world_grid import FusedGrid
from seg_ros.results.parameters import RELOADED, grid_rules, grid_spec
from seg_ros.ros.shared_models import SHARED_MODELS
from seg_ros.segment.pipeline import Pipeline, refuse_confidence
from seg_ros.segment.segmenter import Segmenter
from seg_ros.support.pixels import parse_size
from seg_ros.support.progress import BuildLog
from seg_ros.support.turn import Turn


class LiveModel:
    """The pipeline that frames go through now, with the parameters it was made with."""

    def __init__(self) -> None:
        self.pipeline: Pipeline | None = None
        """None while the node is unconfigured."""
        self.loaded: Mapping[str, Any] = {}
        """The values the pipeline was made with."""
        self.building = ""
        """What is being done to an engine while the node is configured, or nothing."""
        self.note = ""
        """What became of the last reload, or nothing."""
        self._build_log = BuildLog()
        self._applying = Lock()  # live parameters reach the pipeline that is in use

    def load(
        self, values: Mapping[str, Any], report: Callable[[str], None], anew: bool = False
    ) -> tuple[Pipeline, str]:
        """Load and warm what the parameters name; return it and what to say about it.

        Another node of this process that has loaded the same shares its engine.

        Args:
            values: of the parameters.
            report: called with a line on how far an engine's build is, now and then.
            anew: load it even where another node has; its file may have changed.

        Raises:
            SegRosError: the model cannot be loaded with these.

        """

        def progress(what: str, share: float) -> None:
            if self._build_log.due(what):
                report(f"engine: {self._build_log.line(what, share)}")

        start = time.monotonic()
        load = partial(
            Segmenter.load,
            values["model"],
            values["labels"],
            values["runtime"],
            values["cpu_threads"],
            precision=values["precision"],
            input_size=parse_size(values["input_size"]),
            mask_size=parse_size(values["mask_size"]),
            build_if_missing=values["build_if_missing"],
            report=progress,
        )
        segmenter, shared = SHARED_MODELS.get(values, load, anew)
        pipeline = self.pipeline_of(segmenter, values)
        pipeline.warm_up()
        info = segmenter.engine_info
        verified = f"; verified: {segmenter.verification}" if segmenter.verification else ""
        if not segmenter.confident:
            verified += "; it gives class ids, so there is no confidence"
        if shared:
            verified += "; it is the engine that another camera of this process has"
        return pipeline, (
            f"model {segmenter.model_name} on {info.runtime} {info.precision}, {info.device}, "
            f"ready in {time.monotonic() - start:.1f} s{verified}"
        )

    @staticmethod
    def pipeline_of(segmenter: Segmenter, values: Mapping[str, Any]) -> Pipeline:
        """Return a pipeline through a segmenter, as the parameters say.

        Raises:
            SegRosError: the segmenter cannot give what they ask for.

        """
        refuse_confidence(segmenter, grid_rules(values))
        pipeline = Pipeline(segmenter)
        pipeline.grid.fusion = FusedGrid() if values["grid_fusion"] else None
        return pipeline

    @property
    def turn(self) -> Turn | None:
        """That of the engine in use."""
        pipeline = self.pipeline
        return pipeline.segmenter.turn if pipeline is not None else None

    def use(self, pipeline: Pipeline, loaded: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Let frames go through a pipeline from now on.

        Args:
            pipeline: as :meth:`load` made it.
            loaded: the values it was made with.
            values: those of now.

        """
        with self._applying:
            _apply(pipeline, values)
            self.pipeline, self.loaded = pipeline, loaded

    def apply(self, values: Mapping[str, Any]) -> None:
        """Hand the live parameters on; each is read once per frame, so a change is never torn."""
        with self._applying:
            if self.pipeline is not None:
                _apply(self.pipeline, values)

    def refusal(self, values: Mapping[str, Any]) -> str:
        """Say why the model in use cannot go on with these values, or nothing."""
        try:
            if self.pipeline is not None:
                refuse_confidence(self.pipeline.segmenter, grid_rules(values))
        except SegRosError as error:
            return str(error)
        return ""

    def reload_needed(self, values: Mapping[str, Any]) -> str:
        """Say which parameters name another model than the one in use, or nothing."""
        if self.pipeline is None:
            return ""
        changed = [name for name in RELOADED if values[name] != self.loaded[name]]
        return f"call ~/reload to use {', '.join(changed)}" if changed else ""

    def release(self) -> None:
        """Give the pipeline back."""
        self.pipeline = None
        self.note = ""


def _apply(pipeline: Pipeline, values: Mapping[str, Any]) -> None:
    pipeline.overlay_opacity = values["overlay_opacity"]
    pipeline.grid.spec = grid_spec(values)
    pipeline.grid.rules = grid_rules(values)
