"""Turn trained weights into the files that are shipped, and judge them.

    python ship.py balance  --model MODEL --data CAMVID --out FOLDER
    python ship.py export   --model MODEL --out FOLDER
    python ship.py evaluate --model MODEL --data CAMVID
    python ship.py drive    --model MODEL --source VIDEO --out FOLDER
    python ship.py time     --model MODEL

MODEL is a folder in Hugging Face layout, such as `best` of a run; `evaluate`, `drive` and
`time` take an ONNX file as well.
"""

from __future__ import annotations

import argparse
import copy
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper
from recipe.light import make_dusk, make_night
from recipe.network import FoldedSegformer, load_model, save_folder
from recipe.samples import CLASSES, INPUT_SIZE, MEAN, STD, VOID, Sample, load_split
from recipe.scores import evaluate, resize_frame, torch_predictor
from torch import Tensor
from torch.nn.functional import interpolate
from transformers import SegformerForSemanticSegmentation

from seg_ros.labels import load_label_set
from seg_ros.models import folding
from seg_ros.models.checkpoint import Checkpoint
from seg_ros.models.export import export_onnx
from seg_ros.models.options import Normalisation

log = logging.getLogger("ship")

ROAD = CLASSES.index("road")
BALANCE = {
    "frame_stride": 4,
    "pixels": 1500,  # of each frame
    "sweeps": 2,
    "changes": (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0),
}
"""How the classifier's biases are searched for."""
RECIPE = Path(__file__).with_name("camvid.yaml")
NEAR_ROAD = ((0.48, 0.55), (0.53, 0.55), (0.70, 1.0), (0.30, 1.0))
"""Corners (x, y) of the own lane in front of a vehicle, as shares of the frame."""
PALETTE = np.zeros((256, 3), np.uint8)
"""Class colours, BGR: those CamVid is usually shown in."""
PALETTE[: len(CLASSES)] = [
    (128, 128, 128),
    (0, 0, 128),
    (128, 192, 192),
    (128, 64, 128),
    (222, 40, 60),
    (0, 128, 128),
    (128, 128, 192),
    (128, 64, 64),
    (128, 0, 64),
    (0, 64, 64),
    (192, 128, 0),
]
SMALL = 1024
"""Weights with fewer elements than this stay float32: they are no gain to halve."""


# ---------------------------------------------------------------------------------------------
# Balancing


def sample_pixels(
    predict: Callable[[np.ndarray], Tensor], split: list[Sample]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw labelled pixels of a split: log probabilities (P, 11) and labels (P,)."""
    scores, labels = [], []
    for number, sample in enumerate(split[:: BALANCE["frame_stride"]]):
        logits = interpolate(
            predict(resize_frame(sample.image)[None]), size=sample.mask.shape, mode="bilinear"
        )
        label = torch.from_numpy(sample.mask.reshape(-1))
        known = (label != VOID).nonzero()[:, 0]
        generator = torch.Generator().manual_seed(number)
        picked = known[torch.randperm(len(known), generator=generator)[: BALANCE["pixels"]]]
        scores.append(logits[0].flatten(1).T[picked].log_softmax(1).numpy())
        labels.append(label[picked].numpy().astype(np.int64))
    return np.concatenate(scores), np.concatenate(labels)


def mean_iou(scores: np.ndarray, labels: np.ndarray) -> float:
    """Score the largest of `scores` (P, 11) against labels (P,)."""
    pairs = labels * len(CLASSES) + scores.argmax(1)
    confusion = np.bincount(pairs, minlength=len(CLASSES) ** 2).reshape(len(CLASSES), -1)
    hit = np.diag(confusion)
    return float((hit / (confusion.sum(0) + confusion.sum(1) - hit)).mean())


def choose_offsets(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Find one offset per class that raises the mean IoU, class after class.

    The loss weighs rare classes up, so that they are learned at all, and the network then sees
    them too often. The offsets take back as much of that as pays.
    """
    offsets = np.zeros(len(CLASSES), np.float32)
    best = mean_iou(scores, labels)
    for _ in range(BALANCE["sweeps"]):
        for label in range(len(CLASSES)):
            for change in BALANCE["changes"]:
                tried = offsets.copy()
                tried[label] += change
                reached = mean_iou(scores + tried, labels)
                if reached > best:
                    best, offsets = reached, tried
                    break
    return offsets


def balance(args: argparse.Namespace) -> None:
    """Run the `balance` command: settle the classifier's biases on the training split."""
    model = load_model(args.model)
    predict = torch_predictor(FoldedSegformer(model))
    offsets = choose_offsets(*sample_pixels(predict, load_split(args.data, "train")))
    with torch.no_grad():
        model.decode_head.classifier.bias.add_(torch.from_numpy(offsets))
    save_folder(model, args.out)
    log.info("offsets %s", dict(zip(CLASSES, offsets.tolist(), strict=True)))


# ---------------------------------------------------------------------------------------------
# Shipping


def round_weights(model: SegformerForSemanticSegmentation) -> None:
    """Round the large weights of the encoder to values that float16 holds."""
    with torch.no_grad():
        for parameter in model.segformer.parameters():
            if parameter.numel() >= SMALL:
                parameter.copy_(parameter.half().float())


def store_as_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Halve the file: keep large weights as float16, cast to float32 where they are used.

    Only weights that float16 holds exactly are stored so (`round_weights` makes them such), and
    runtimes cast constants once, when they load the file: the network computes what it did.
    """
    model = copy.deepcopy(model)
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALL:
            continue
        name, rounded = tensor.name, values.astype(np.float16)
        if not np.array_equal(rounded.astype(np.float32), values):
            continue
        half = numpy_helper.from_array(rounded, f"{name}.half")
        tensor.CopyFrom(half)
        casts.append(helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def fold(model: SegformerForSemanticSegmentation) -> folding.FoldedSegformer:
    """Fold a model the way the package folds every checkpoint; its batch norm goes too."""
    labels, normalisation = load_label_set("camvid"), Normalisation(tuple(MEAN), tuple(STD))
    return folding.FoldedSegformer(Checkpoint(model.eval(), labels, normalisation, "Hugging Face"))


def largest_difference(model: SegformerForSemanticSegmentation, path: Path) -> float:
    """Find how far a file's logits are from those of Hugging Face's own model at most."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (1, 9, 16, 3), dtype=np.uint8)
    image = cv2.resize(coarse[0], (INPUT_SIZE[1], INPUT_SIZE[0]))[None]
    pixels = torch.from_numpy(image[..., ::-1].copy()).permute(0, 3, 1, 2) / 255
    pixels = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.inference_mode():
        expected = model.eval()(pixels).logits
    return float((onnx_predictor(path)(image) - expected).abs().max())


def export(args: argparse.Namespace) -> None:
    """Run the `export` command."""
    model = load_model(args.model)
    round_weights(model)
    args.out.mkdir(parents=True, exist_ok=True)
    save_folder(model, args.out)
    path = args.out / f"{args.name}.onnx"
    onnx.save(store_as_float16(export_onnx(fold(model), INPUT_SIZE)), path)
    log.info(
        "%s: %.2f MB, logits within %.1e of the Hugging Face model's",
        path,
        path.stat().st_size / 1e6,
        largest_difference(model, path),
    )


# ---------------------------------------------------------------------------------------------
# Judging


def onnx_predictor(path: Path) -> Callable[[np.ndarray], Tensor]:
    """Predict with an exported file in OpenVINO on the CPU, in float32."""
    import openvino

    compiled = openvino.Core().compile_model(
        str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    )
    return lambda image: torch.from_numpy(compiled(image)[0].copy())


def predictor(path: Path) -> Callable[[np.ndarray], Tensor]:
    """Make a predictor of an ONNX file or a Hugging Face folder."""
    if path.suffix == ".onnx":
        return onnx_predictor(path)
    return torch_predictor(FoldedSegformer(load_model(path)))


def relight(split: list[Sample], light: str) -> list[Sample]:
    """Turn day into the recipe's night or dusk, each frame the same way every time."""
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["photometry"]["night"]
    lit = []
    for number, sample in enumerate(split):
        rng = np.random.default_rng([0, number])
        image = sample.image.astype(np.float32)
        image = make_night(image, recipe, rng) if light == "night" else make_dusk(image, rng)
        lit.append(Sample(np.clip(image, 0, 255).astype(np.uint8), sample.mask))
    return lit


def score(args: argparse.Namespace) -> None:
    """Run the `evaluate` command."""
    split = load_split(args.data, "val")
    if args.light != "day":
        split = relight(split, args.light)
    scores = evaluate(predictor(args.model), split)
    for name, value in scores.as_dict().items():
        print(f"{name:12s} {100 * value:5.1f}")


def time_frames(args: argparse.Namespace) -> None:
    """Run the `time` command: milliseconds per frame."""
    predict = predictor(args.model)
    image = np.random.default_rng(0).integers(0, 256, (1, *INPUT_SIZE, 3), dtype=np.uint8)
    milliseconds = []
    for _ in range(args.frames + 10):
        started = time.perf_counter()
        predict(image)
        milliseconds.append(1000 * (time.perf_counter() - started))
    milliseconds = sorted(milliseconds[10:])
    print(
        f"median {statistics.median(milliseconds):.1f} ms, fastest {milliseconds[0]:.1f} ms, "
        f"slowest {milliseconds[-1]:.1f} ms of {args.frames} frames"
    )


def read_frames(source: Path) -> Iterator[np.ndarray]:
    """Read the frames of a video file, or the pictures of a folder in the order of names."""
    if source.is_dir():
        for path in sorted(source.iterdir()):
            frame = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if frame is not None:
                yield frame
        return
    video = cv2.VideoCapture(str(source))
    while True:
        more, frame = video.read()
        if not more:
            return
        yield frame


def near_road(shape: tuple[int, int]) -> np.ndarray:
    """Mark what a forward camera's own lane fills of a frame: a (H, W) bool trapezoid."""
    height, width = shape
    corners = np.array(NEAR_ROAD) * [width, height]
    zone = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(zone, np.round(corners).astype(np.int32), 1)
    return zone.astype(bool)


def watch(args: argparse.Namespace) -> None:
    """Run the `drive` command: is the near road one solid region? Writes overlays too."""
    predict = predictor(args.model)
    verges = yaml.safe_load(args.verges.read_text(encoding="utf-8")) if args.verges else {}
    verge_pixels = verge_road = 0
    args.out.mkdir(parents=True, exist_ok=True)
    shares = []
    for number, frame in enumerate(read_frames(args.source)):
        size = frame.shape[:2]
        logits = interpolate(
            predict(resize_frame(frame)[None]), size=size, mode="bilinear", align_corners=False
        )
        mask = logits.argmax(1)[0].numpy().astype(np.uint8)
        _, regions = cv2.connectedComponents((mask == ROAD).astype(np.uint8), connectivity=4)
        zone = near_road(size)
        # The share of the zone that its largest single region of road covers.
        shares.append(np.bincount(regions[zone], minlength=2)[1:].max() / zone.sum())
        if number in verges:
            verge = np.zeros(size, np.uint8)
            cv2.fillPoly(verge, [np.array(polygon) for polygon in verges[number]], 1)
            verge_pixels += int(verge.sum())
            verge_road += int((verge.astype(bool) & (mask == ROAD)).sum())
        if number % args.every == 0:
            overlay = (0.5 * frame + 0.5 * PALETTE[mask]).astype(np.uint8)
            cv2.polylines(
                overlay,
                [np.round(np.array(NEAR_ROAD) * size[::-1]).astype(np.int32)],
                True,
                (255, 255, 255),
            )
            cv2.imwrite(str(args.out / f"{number:04d}.png"), overlay)
    covered = np.array(shares)
    print(f"{len(covered)} frames; the near road is one region of road over")
    for floor in (0.95, 0.99, 1.0):
        print(
            f"  {100 * floor:3.0f} % of the zone or more in {100 * (covered >= floor).mean():.1f} %"
        )
    print(f"  lowest {100 * covered.min():.1f} % (frame {covered.argmin()})")
    if verge_pixels:
        print(f"{100 * verge_road / verge_pixels:.1f} % of the verges' pixels are taken for road")


# ---------------------------------------------------------------------------------------------
# Command line


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("balance", help="settle the classifier's biases")
    command.add_argument("--model", type=Path, required=True)
    command.add_argument("--data", type=Path, required=True)
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(run=balance)
    command = commands.add_parser("export", help="write the files that are shipped")
    command.add_argument("--model", type=Path, required=True)
    command.add_argument("--out", type=Path, required=True)
    command.add_argument("--name", default="camvid-b0")
    command.set_defaults(run=export)
    command = commands.add_parser("evaluate", help="score a model on the validation split")
    command.add_argument("--data", type=Path, required=True)
    command.add_argument("--model", type=Path, required=True)
    command.add_argument("--light", choices=("day", "night", "dusk"), default="day")
    command.set_defaults(run=score)
    command = commands.add_parser("time", help="measure the milliseconds a frame takes")
    command.add_argument("--model", type=Path, required=True)
    command.add_argument("--frames", type=int, default=100)
    command.set_defaults(run=time_frames)
    command = commands.add_parser("drive", help="measure the near road on unlabelled footage")
    command.add_argument("--source", type=Path, required=True, help="video or folder of pictures")
    command.add_argument("--model", type=Path, required=True)
    command.add_argument("--out", type=Path, required=True, help="folder for overlays")
    command.add_argument("--every", type=int, default=20, help="write every n-th overlay")
    command.add_argument("--verges", type=Path, help="polygons that are no road, as YAML")
    command.set_defaults(run=watch)
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    torch.set_num_threads(args.threads)
    args.run(args)


if __name__ == "__main__":
    main()
