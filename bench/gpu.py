"""Build and time SegFormer B0 and B3 on an NVIDIA GPU: TensorRT, TensorRT-RTX and torch.

Each in fp32, fp16 and bf16, with CUDA graphs; 19 classes, random weights, frames of the synthetic
drive. The engines take turns frame by frame. A frame goes from host memory to a class mask of the
network's input size in host memory. What does not build or run here prints its reason instead.
Needs the extras "export" and "tensorrt" or "tensorrt-rtx", and writes a table as in README.md.

    python bench/gpu.py [B0 B3] [--rounds 200] [--size 512x1024]
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from engines import CONFIGS, write_checkpoint

from seg_ros.engines import Engine
from seg_ros.engines.cuda import find_gpu
from seg_ros.engines.tensorrt import TensorRtEngine
from seg_ros.engines.tensorrt_build import build_plan
from seg_ros.engines.torch import TorchEngine
from seg_ros.errors import SegRosError
from seg_ros.models.catalogue import find_model
from seg_ros.models.network import Network
from seg_ros.models.precision import PRECISIONS, write_mixed
from seg_ros.synthetic import SyntheticDrive

FRAMES = 20
"""Different frames; they are gone through again and again."""


def open_engine(network: Network, runtime: str, precision: str, folder: Path) -> Engine:
    if runtime == "torch":
        return TorchEngine(network.torch(), network.input_size, precision, device="cuda")
    mixed = folder / "mixed.onnx"
    write_mixed(network.onnx(), mixed, precision)
    return TensorRtEngine(build_plan(mixed, runtime, lambda *_: None), runtime)


def open_engines(network: Network, folder: Path) -> Iterator[tuple[str, Engine, float]]:
    """Yield name, engine and the seconds that building and opening took; torch in fp32 first."""
    for runtime in ("torch", "tensorrt", "tensorrt_rtx"):
        for precision in PRECISIONS:
            started = time.perf_counter()
            try:
                engine = open_engine(network, runtime, precision, folder)
            except SegRosError as error:
                print(f"{runtime} {precision}: {error}", file=sys.stderr)
                continue
            yield f"{engine.info.runtime} {precision}", engine, time.perf_counter() - started


def measure(name: str, opened: list[tuple[str, Engine, float]], rounds: int) -> None:
    """Print a table row per engine; agreement is with the first one's masks."""
    height, width = opened[0][1].input_size
    drive = SyntheticDrive(frames=FRAMES, width=2 * width, height=2 * height)
    images = [cv2.resize(frame.image, (width, height)) for frame in drive]
    seconds: dict[str, list[float]] = {runtime: [] for runtime, _, _ in opened}
    same = dict.fromkeys(seconds, 0)
    for number in range(rounds + 1):
        expected = None
        for runtime, engine, _ in opened:
            started = time.perf_counter()
            inference = engine.infer(images[number % FRAMES])
            elapsed = time.perf_counter() - started
            assert inference.mask is not None
            assert inference.finite, f"{runtime} answered with NaN or infinity"
            if number == 0:  # the warm-up
                continue
            seconds[runtime].append(elapsed)
            expected = inference.mask.copy() if expected is None else expected
            same[runtime] += int((inference.mask == expected).sum())
    print("| | ms p50 | ms p99 | pixels of the same class | built in s |")
    print("| --- | --- | --- | --- | --- |")
    for runtime, _, built in opened:
        p50, p99 = statistics.median(seconds[runtime]), np.percentile(seconds[runtime], 99)
        share = same[runtime] / (rounds * height * width)
        print(
            f"| {name} {runtime} | {1000 * p50:.2f} | {1000 * p99:.2f} | {share:.4%} | "
            f"{built:.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(CONFIGS))
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--size", default="512x1024", help="HxW")
    options = parser.parse_args()
    height, width = map(int, options.size.split("x"))
    gpu = find_gpu()
    if gpu is None:
        sys.exit("no NVIDIA GPU is visible: nothing to measure")
    print(f"{gpu.name}, compute capability {gpu.compute_capability}, {height}x{width}")
    for name in options.names:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            model = find_model(str(write_checkpoint(name, folder)), labels="cityscapes")
            opened = list(open_engines(Network(model, folder, (height, width)), folder))
            if opened:
                measure(name, opened, options.rounds)


if __name__ == "__main__":
    main()
