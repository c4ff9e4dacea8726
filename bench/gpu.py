"""SegFormer B0 and B3 on an NVIDIA GPU: our engines, and what users would take instead.

A frame goes from host memory to a class mask of the network's input size in host memory. 19
classes, random weights, frames of the synthetic drive. Every contender takes turns, frame by frame,
with the first of ours that runs. Rows come the most telling first, each is printed and written to
the JSON as soon as it is done, and what does not run here gives its reason instead. Needs torch,
transformers and the extra "export"; TensorRT and ultralytics take part where they are installed.

    python bench/gpu.py [B0 B3] [--minutes 20] [--size 512x1024] [--rounds 200] [--json gpu.json]

With --device cpu it only shows that it runs; nothing it prints then is worth anything.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch
from random_segformer import CONFIGS, write_checkpoint
from transformers import SegformerForSemanticSegmentation

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from seg_ros.engines.cuda import find_gpu
from seg_ros.engines.torch import TorchEngine
from seg_ros.errors import SegRosError
from seg_ros.models.catalogue import find_model
from seg_ros.models.network import Network
from seg_ros.synthetic import SyntheticDrive

FRAMES = 20
"""Different frames; they are gone through again and again."""
HEAD = ("", "ms p50", "ms p99", "frames/s", "as fp32", "of the peak", "of the bandwidth", "GPU MB")
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

Run = Callable[[np.ndarray], np.ndarray]
"""(N, H, W, 3) uint8 BGR to (N, H, W) uint8 class ids, both in host memory."""


@dataclass(frozen=True)
class Contender:
    """Something that makes masks of frames."""

    name: str
    batch: int
    open: Callable[[], Run]
    weight_bytes: int = 4
    """Of each parameter, for the least that has to be read for a batch."""
    counted: bool = True
    """Whether the folded network's operations are what it should need."""


def ours(network: Network, runtime: str, precision: str, device: str, folder: Path) -> Run:
    """Open one of the package's engines, for one frame at a time."""
    if runtime == "torch":
        engine = TorchEngine(network.torch(), network.input_size, precision, device=device)
    else:
        from seg_ros.engines.tensorrt import TensorRtEngine
        from seg_ros.engines.tensorrt_build import build_plan
        from seg_ros.models.precision import write_mixed

        mixed = folder / "mixed.onnx"
        write_mixed(network.onnx(), mixed, precision)
        engine = TensorRtEngine(build_plan(mixed, runtime, lambda *_: None), runtime)

    def run(images: np.ndarray) -> np.ndarray:
        inference = engine.infer(images[0])
        if inference.mask is not None:
            return inference.mask[None].copy()
        from seg_ros.segment.upsample import argmax_upsampled

        return argmax_upsampled(inference.logits(), network.input_size)[None]

    return run


def on_tensors(
    logits: Callable[[torch.Tensor], torch.Tensor], size: tuple[int, int], device: str
) -> Run:
    """Upload, network, class decision at full size and download, in torch as people write it."""

    @torch.inference_mode()
    def run(images: np.ndarray) -> np.ndarray:
        answer = logits(torch.from_numpy(images).to(device, non_blocking=True))
        full = torch.nn.functional.interpolate(
            answer.float(), size=size, mode="bilinear", align_corners=False
        )
        return full.argmax(1).to(torch.uint8).cpu().numpy()

    return run


def hugging_face(
    checkpoint: Path, precision: torch.dtype, size: tuple[int, int], device: str, compiled: bool
) -> Run:
    """Open Hugging Face's own network, eager or compiled with CUDA graphs."""
    network = SegformerForSemanticSegmentation.from_pretrained(checkpoint).to(device, precision)
    network.eval()
    mean = torch.tensor(_MEAN, device=device).view(1, 3, 1, 1)
    std = torch.tensor(_STD, device=device).view(1, 3, 1, 1)

    def logits(images: torch.Tensor) -> torch.Tensor:
        pixels = images.permute(0, 3, 1, 2).flip(1).float()
        return network(((pixels - mean) / std).to(precision)).logits

    if compiled:  # this mode records CUDA graphs by itself
        logits = torch.compile(logits, mode="max-autotune", dynamic=False)
    return on_tensors(logits, size, device)


def yolo(name: str, size: tuple[int, int], device: str) -> Run:
    """Open a semantic network of ultralytics with random weights, fp16."""
    import ultralytics

    network = ultralytics.YOLO(f"{name}.yaml").model.to(device).half().eval()

    def logits(images: torch.Tensor) -> torch.Tensor:
        answer = network(images.permute(0, 3, 1, 2).flip(1).half() / 255)
        return answer[0] if isinstance(answer, (tuple, list)) else answer

    return on_tensors(logits, size, device)


def contenders(network: Network, checkpoint: Path, device: str, folder: Path) -> list[Contender]:
    """List all, the most telling first."""
    size, half, full = network.input_size, torch.float16, torch.float32

    def engine(runtime: str, precision: str) -> Contender:
        width = 4 if precision == "fp32" else 2
        return Contender(
            f"ours, {runtime} {precision}", 1,
            lambda: ours(network, runtime, precision, device, folder), width,
        )  # fmt: skip

    def theirs(name: str, batch: int, precision: torch.dtype, compiled: bool = False) -> Contender:
        return Contender(
            name, batch, lambda: hugging_face(checkpoint, precision, size, device, compiled),
            precision.itemsize,
        )  # fmt: skip

    def folded(batch: int) -> Contender:
        def open_it() -> Run:
            module = network.torch().to(device).eval()
            module.stages.to(half)
            return on_tensors(module, size, device)

        return Contender("ours, folded, torch fp16 eager", batch, open_it, 2)

    def other(name: str, batch: int) -> Contender:
        return Contender(f"{name} fp16", batch, lambda: yolo(name, size, device), 2, counted=False)

    half_ours = "fp32" if device == "cpu" else "fp16"
    rows = [engine("torch", half_ours)]
    if device == "cuda":
        rows += [engine(runtime, "fp16") for runtime in ("tensorrt", "tensorrt_rtx")]
    rows += [
        theirs("Hugging Face eager fp16", 1, half),
        theirs("torch.compile max-autotune fp16", 1, half, compiled=True),
        other("yolo26n-sem", 1),
        other("yolo26s-sem", 1),
        theirs("Hugging Face eager fp32", 1, full),
    ]
    for batch in (4, 8):
        rows += [folded(batch), theirs("Hugging Face eager fp16", batch, half)]
    if device == "cuda":
        for runtime in ("torch", "tensorrt", "tensorrt_rtx"):
            rows += [engine(runtime, precision) for precision in ("fp32", "bf16")]
    return rows


class Bench:
    """Measures one network's contenders against the first of them, until the time is over."""

    def __init__(self, options: argparse.Namespace, network: Network, end: float) -> None:
        self._options = options
        self._end = end
        self._network = network
        height, width = network.input_size
        drive = SyntheticDrive(frames=FRAMES, width=2 * width, height=2 * height)
        self._images = np.stack([cv2.resize(frame.image, (width, height)) for frame in drive])
        self._parameters = sum(p.numel() for p in network.torch().parameters())
        self._expected = np.empty(0)
        self._first: Run | None = None
        self._first_name = ""
        self._peak, self._bandwidth = limits(options.device)

    def expect(self, run: Run) -> None:
        """Take the masks that the others are compared with."""
        self._expected = np.concatenate([run(image[None]) for image in self._images])

    def measure(self, contender: Contender) -> dict:
        """Open a contender and measure it in turns with the first; return its row."""
        cuda = self._options.device == "cuda"
        if cuda:
            torch.cuda.empty_cache()
            free = torch.cuda.mem_get_info()[0]
        started = time.perf_counter()
        run = contender.open()
        batch = contender.batch
        indices = [np.arange(k, k + batch) % FRAMES for k in range(0, FRAMES, batch)]
        for some in indices[:2]:
            run(self._images[some])
        row: dict = {
            "name": f"{contender.name}{f', batch {batch}' if batch > 1 else ''}",
            "ready_s": round(time.perf_counter() - started, 1),
        }
        if cuda:
            row["gpu_mb"] = round((free - torch.cuda.mem_get_info()[0]) / 2**20)
        times, beside, same, pixels = [], [], 0, 0
        for number in range(self._options.rounds):
            if number > 5 and time.monotonic() > self._end:
                break
            some = indices[number % len(indices)]
            images = self._images[some]
            if self._first is not None:
                start = time.perf_counter()
                self._first(images[:1])
                beside.append(time.perf_counter() - start)
            start = time.perf_counter()
            masks = run(images)
            times.append(time.perf_counter() - start)
            if contender.counted:
                same += int((masks == self._expected[some]).sum())
                pixels += masks.size
        p50, p99 = np.percentile(times, [50, 99])
        row |= {"p50_ms": p50 * 1e3, "p99_ms": p99 * 1e3, "frames_s": batch / p50}
        row["rounds"] = len(times)
        if beside:
            row["beside_ms"] = {self._first_name: float(np.median(beside)) * 1e3}
        if contender.counted:
            row["agreement"] = same / pixels
            row["of_peak"] = self._network.flops[1] * batch / p50 / self._peak
        moved = self._parameters * contender.weight_bytes + 2 * batch * self._images[0].size
        row["of_bandwidth"] = moved / p50 / self._bandwidth
        if cuda:
            row["kernels"] = kernels(lambda: run(self._images[indices[0]]))
        if self._first is None:
            self._first, self._first_name = run, contender.name
        return row


def limits(device: str) -> tuple[float, float]:
    """Measure FLOP/s of a matrix product in the lower precision and bytes/s of a copy."""
    side, kind = (8192, torch.float16) if device == "cuda" else (512, torch.float32)
    a = torch.ones((side, side), dtype=kind, device=device)
    big = torch.empty(2**30 if device == "cuda" else 2**24, dtype=torch.uint8, device=device)

    def best(step: Callable[[], object]) -> float:
        times = []
        for _ in range(12):
            start = time.perf_counter()
            step()
            if device == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        return min(times)

    return 2 * side**3 / best(lambda: a @ a), 2 * big.numel() / best(lambda: big.clone())


def kernels(step: Callable[[], object]) -> list[list]:
    """Name the five kernels that take the most time of the GPU, with their share of it."""
    activity = torch.profiler.ProfilerActivity.CUDA
    with torch.profiler.profile(activities=[activity]) as profile:
        for _ in range(5):
            step()
    times = {event.key: event.self_device_time_total for event in profile.key_averages()}
    total = sum(times.values()) or 1
    first = sorted(times, key=lambda name: -times[name])[:5]
    return [[name[:80], round(times[name] / total, 3)] for name in first]


def line(row: dict) -> str:
    """Write a row of the table."""
    if "reason" in row:
        return f"| {row['network']} {row['name']} | {row['reason']} |" + " |" * (len(HEAD) - 2)

    def percent(name: str) -> str:
        return f"{row[name]:.2%}" if name in row else ""

    cells = (
        f"{row['network']} {row['name']}", f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}",
        f"{row['frames_s']:.0f}", percent("agreement"), percent("of_peak"),
        percent("of_bandwidth"), str(row.get("gpu_mb", "")),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(CONFIGS))
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--size", default="512x1024", help="HxW")
    parser.add_argument("--json", type=Path, default=Path("gpu.json"))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args()
    height, width = map(int, options.size.split("x"))
    said: dict = {"torch": torch.__version__, "size": options.size, "rows": []}
    if options.device == "cuda":
        try:
            gpu = find_gpu()
        except SegRosError as error:
            sys.exit(str(error))
        if gpu is None:
            sys.exit("no NVIDIA GPU is visible: nothing to measure")
        said["gpu"] = f"{gpu.name}, compute capability {gpu.compute_capability}"
        print(said["gpu"])
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}", flush=True)
    end = time.monotonic() + 60 * options.minutes

    def add(row: dict) -> None:
        said["rows"].append(row)
        print(line(row), flush=True)
        part = options.json.with_suffix(".part")
        part.write_text(json.dumps(said, indent=1), encoding="utf-8")
        part.replace(options.json)

    for name in options.names:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            checkpoint = write_checkpoint(name, folder)
            model = find_model(str(checkpoint), labels="cityscapes")
            network = Network(model, folder, (height, width))
            bench = Bench(options, network, end)
            bench.expect(
                hugging_face(checkpoint, torch.float32, (height, width), options.device, False)
            )
            for contender in contenders(network, checkpoint, options.device, folder):
                row = {"network": name}
                if time.monotonic() > end:
                    row |= {"name": contender.name, "reason": "no time left"}
                elif "yolo" in contender.name and find_spec("ultralytics") is None:
                    row |= {"name": contender.name, "reason": "ultralytics is not installed"}
                else:
                    try:
                        row |= bench.measure(contender)
                    except Exception as error:  # of one contender; the next is another's
                        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                        row |= {"name": contender.name, "reason": reason[:200]}
                add(row)


if __name__ == "__main__":
    main()
