"""ONNX Runtime on the CPU: an independent reference for networks that torch cannot load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from seg_ros.engines.base import EngineInfo, Inference
from seg_ros.errors import SegRosError


class OnnxRuntimeEngine:
    """A network in standard form, in fp32. Implements :class:`seg_ros.engines.Engine`.

    Args:
        path: the ONNX file, see :mod:`seg_ros.models.network`.

    Raises:
        SegRosError: the file cannot be read or run.

    """

    def __init__(self, path: Path) -> None:
        try:
            self._session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common type
            line = str(error).strip().splitlines()[0]
            raise SegRosError(f"{path}: ONNX Runtime cannot load it ({line})") from error
        (source,), (result,) = self._session.get_inputs(), self._session.get_outputs()
        self._name = source.name
        self.input_size = (int(source.shape[1]), int(source.shape[2]))
        self.info = EngineInfo(f"onnxruntime {ort.__version__}", "CPU", "fp32")
        self.class_count = int(result.shape[1])

    def infer(self, image: NDArray[np.uint8]) -> Inference:
        """Run the network; see :meth:`seg_ros.engines.Engine.infer`."""
        (logits,) = self._session.run(None, {self._name: image[None]})
        return Inference(lambda: logits[0], bool(np.isfinite(logits).all()))
