"""Published networks as teachers: where each is sure that there is road, or that there is none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_ros.errors import SegRosError

Probability = NDArray[np.float32]


class AdasTeacher:
    """road-segmentation-adas-0001 of Intel's Open Model Zoo (Apache-2.0), in OpenVINO.

    Input 1x3x512x896 BGR 0..255; output four probabilities: background, road, curb, lane mark.
    """

    def __init__(self, path: Path) -> None:
        _require(path)
        import openvino

        # Exact arithmetic on every machine, so that a pack made anew is the same.
        exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
        self._network = openvino.Core().compile_model(str(path), "CPU", exact)

    def road(self, image: NDArray[np.uint8]) -> Probability:
        """Probability of road or lane mark for each pixel of a (H, W, 3) uint8 BGR frame."""
        resized = cv2.resize(image, (896, 512), interpolation=cv2.INTER_LINEAR)
        blob = resized.transpose(2, 0, 1)[None].astype(np.float32)
        scores = self._network(blob)[0][0]
        return _to_size(scores[1] + scores[3], image)


class TwinLiteTeacher:
    """TwinLiteNet (Che et al., 2023, MIT), trained on BDD100K, in ONNX Runtime.

    Input 1x3x360x640 RGB / 255; its first output scores background and driveable. Driveable is
    where one may drive now, not all of the road: its "no" counts only beside another's.
    """

    def __init__(self, path: Path) -> None:
        _require(path)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._network = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._network.get_inputs()[0].name

    def road(self, image: NDArray[np.uint8]) -> Probability:
        """Probability of driveable road for each pixel of a (H, W, 3) uint8 BGR frame."""
        resized = cv2.resize(image, (640, 360), interpolation=cv2.INTER_LINEAR)
        blob = resized[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
        scores = self._network.run(["da"], {self._input: np.ascontiguousarray(blob)})[0][0]
        road = 1 / (1 + np.exp(np.clip(scores[0] - scores[1], -50, 50)))
        return _to_size(road, image)


def load_teachers(shared: Path) -> tuple[AdasTeacher, TwinLiteTeacher]:
    """Load both teachers from `models/teachers` of a folder."""
    folder = shared / "models" / "teachers"
    return (
        AdasTeacher(folder / "road-segmentation-adas-0001.xml"),
        TwinLiteTeacher(folder / "twinlitenet-bdd100k.onnx"),
    )


def _require(path: Path) -> None:
    if not path.is_file():
        raise SegRosError(f"teacher {path} does not exist; name its folder in the recipe")


def _to_size(road: Probability, image: NDArray[np.uint8]) -> Probability:
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.resize(road, size, interpolation=cv2.INTER_AREA), np.float32)
