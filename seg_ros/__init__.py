"""Driveable-area and semantic segmentation for ROS 2 vehicles.

``Segmenter``, ``Pipeline``, ``CameraModel``, ``load_camera``, ``LabelSet`` and ``SegRosError`` are
imported from here and loaded when first used (PEP 562), so that ``import seg_ros`` costs nothing.
Everything outside :mod:`seg_ros.ros` imports without ROS, without torch and without a GPU.
"""

__version__ = "0.1.0"

__all__ = [
    "CameraModel",
    "LabelSet",
    "Pipeline",
    "SegRosError",
    "Segmenter",
    "__version__",
    "load_camera",
]

TYPE_CHECKING = False  # type checkers take it for true; typing itself is not imported for it
if TYPE_CHECKING:
    from seg_ros.errors import SegRosError
    from seg_ros.ground.camera import CameraModel
    from seg_ros.ground.camera_file import load_camera
    from seg_ros.labels import LabelSet
    from seg_ros.segment.pipeline import Pipeline
    from seg_ros.segment.segmenter import Segmenter
else:
    _HOMES = {
        "CameraModel": "seg_ros.ground.camera",
        "LabelSet": "seg_ros.labels",
        "Pipeline": "seg_ros.segment.pipeline",
        "SegRosError": "seg_ros.errors",
        "Segmenter": "seg_ros.segment.segmenter",
        "load_camera": "seg_ros.ground.camera_file",
    }

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
