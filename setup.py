"""Package description for pip and for colcon (ament_python)."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "seg_ros"
HERE = Path(__file__).parent


def share(folder: str, pattern: str) -> tuple[str, list[str]]:
    """Files of a top-level folder, installed under share/seg_ros where ament looks for them."""
    files = sorted(str(f.relative_to(HERE)) for f in (HERE / folder).glob(pattern))
    return f"share/{NAME}/{folder}", files


setup(
    name=NAME,
    version="0.1.0",
    description="Driveable-area and semantic segmentation for ROS 2 vehicles",
    license="Apache-2.0",
    maintainer="The seg_ros authors",
    maintainer_email="seg_ros@users.noreply.github.com",
    python_requires=">=3.10",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        NAME: [
            "py.typed",
            "label_sets/*.yaml",
            "models/*.yaml",
            "models/*/*.onnx",
            "models/*/*.md",
            "report/page/*.html",
            "report/page/*.css",
            "report/page/*.js",
        ]
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        share("launch", "*.launch.py"),
        share("config", "*.*"),
        share("config/cameras", "*.yaml"),
        share("rviz", "*.rviz"),
    ],
    zip_safe=False,
    install_requires=[
        "apsw>=3.46",
        "av>=14",
        "backports.zstd>=1.0; python_version < '3.14'",
        "lz4>=4",
        "mcap>=1.6",
        "mcap-protobuf-support>=0.5",
        "numba>=0.60",
        "numpy>=1.26",
        "opencv-python-headless>=4.9",
        "PyYAML>=6",
        "rosbags>=0.11",
        "rosbags-image>=0.10",
        "setuptools",
        "simplejpeg>=1.7",
        "shtab>=1.7",
        "tqdm>=4.66",
        "zstandard>=0.22",
    ],
    extras_require={
        # rclpy and the messages for a machine without a ROS 2 distribution (Jazzy, x86-64).
        "ros": [
            "ros-rclpy[fastrtps]==7.1.6",
            "ros-diagnostic-msgs==5.3.6",
            "ros-lifecycle-msgs==2.0.3",
            "ros-nav-msgs==5.3.6",
            "ros-sensor-msgs==5.3.6",
            "ros-std-srvs==5.3.6",
        ],
        "cpu": ["openvino>=2025.0"],
        # To build engines from checkpoints, and the torch engine.
        "export": [
            "onnx>=1.17",
            "onnxruntime>=1.20",
            "onnxscript>=0.5",
            "safetensors>=0.4",
            "torch>=2.6",
            "transformers>=5.0",
        ],
        "tensorrt": ["cuda-python>=12.9", "onnx>=1.17", "tensorrt>=10.3"],
        "tensorrt-rtx": ["cuda-python>=12.9", "onnx>=1.17", "tensorrt_rtx_cu13>=1.7"],
        "ray": ["ray>=2.40"],
        "test": ["pytest"],  # has colcon test run pytest
        "dev": [
            "hypothesis>=6.100",  # the attack of bench/attack
            "import-linter>=2.10",  # which room may import which: pyproject.toml
            "mypy>=2.0",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.15",
            "scikit-learn>=1.5",  # the tests check the scores of seg_ros evaluate against it
            "selenium>=4.20",  # and look at reports in a browser, where there is one
            "types-PyYAML",
            "types-tqdm",
        ],
    },
    entry_points={
        "console_scripts": [
            "seg_ros = seg_ros.cli:main",
            "segmentation_node = seg_ros.ros.start:main",
        ]
    },
)
