"""Time SegFormer B0 and B3 at 512x1024 on the CPU, and compare each answer with Hugging Face's.

Random weights, batch norm statistics included; frames of the synthetic drive. The runtimes take
turns frame by frame, so that what else the machine does falls on all of them. Needs the extras
"export" and "dev".

    python bench/engines.py [B0 B3] [--rounds 7] [--size 512x1024]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from random_segformer import write_checkpoint

from seg_ros.engines.openvino import OpenVinoEngine
from seg_ros.models.catalogue import find_model
from seg_ros.models.checkpoint import load_checkpoint
from seg_ros.models.network import Network
from seg_ros.synthetic import SyntheticDrive


def measure(name: str, folder: Path, size: tuple[int, int], rounds: int) -> None:
    model = find_model(str(write_checkpoint(name, folder)), labels="cityscapes")
    network = Network(model, folder, size)
    before, after = network.flops
    print(
        f"\n{name}: {before / 1e9:.1f} GFLOP unfolded, {after / 1e9:.1f} GFLOP folded", flush=True
    )
    unfolded, folded = load_checkpoint(model).network, network.torch()
    openvino = OpenVinoEngine(network.onnx())
    session = onnxruntime.InferenceSession(network.onnx(), providers=["CPUExecutionProvider"])

    def as_tensor(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(image[None])

    runtimes = {
        "torch, unfolded": lambda i: unfolded(folded.normalise(as_tensor(i))).logits[0].numpy(),
        "torch, folded": lambda i: folded(as_tensor(i))[0].numpy(),
        "ONNX Runtime, folded": lambda i: session.run(None, {"image": i[None]})[0][0],
        "OpenVINO, folded": lambda i: openvino.infer(i).logits(),
    }
    seconds: dict[str, list[float]] = {runtime: [] for runtime in runtimes}
    furthest = dict.fromkeys(runtimes, 0.0)
    differing = dict.fromkeys(runtimes, 0)
    pixels = 0
    drive = SyntheticDrive(frames=rounds + 1, width=2 * size[1], height=2 * size[0])
    with torch.inference_mode():
        for number, frame in enumerate(drive):
            image = cv2.resize(frame.image, (size[1], size[0]))
            answers = {}
            for runtime, run in runtimes.items():
                started = time.perf_counter()
                answers[runtime] = run(image).copy()
                if number:  # the first frame is the warm-up
                    seconds[runtime].append(time.perf_counter() - started)
            expected = answers["torch, unfolded"]
            pixels += expected[0].size
            for runtime, answer in answers.items():
                furthest[runtime] = max(furthest[runtime], float(np.abs(answer - expected).max()))
                differing[runtime] += int((answer.argmax(0) != expected.argmax(0)).sum())
    print(
        "| | ms | largest logit difference | pixels of another class |\n| --- | --- | --- | --- |"
    )
    for runtime in runtimes:
        print(
            f"| {name} {runtime} | {1000 * statistics.median(seconds[runtime]):.0f} | "
            f"{furthest[runtime]:.1e} | {differing[runtime]} of {pixels} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=["B0", "B3"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", default="512x1024", help="HxW")
    options = parser.parse_args()
    height, width = map(int, options.size.split("x"))
    for name in options.names:
        with tempfile.TemporaryDirectory() as folder:
            measure(name, Path(folder), (height, width), options.rounds)


if __name__ == "__main__":
    main()
