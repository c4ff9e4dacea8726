"""Train the embedded default model on CamVid.

    python train.py --data CAMVID --out RUN [--start MODEL] [--resume] [--finish-by HH:MM]

The network is a SegFormer (Xie et al., NeurIPS 2021) whose decode head is trained folded: every
encoder stage is projected straight to the fused width at its own resolution, then upsampled and
summed. The fuse convolution of the Hugging Face layout stays the identity, so the saved folder
loads anywhere and computes the same logits.

Each sample is drawn from a random generator seeded with (seed, step, index in the batch), and a
checkpoint keeps the rest (weights, average, optimiser, torch's generator), so a resumed run
continues as if it had not stopped.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import torch
import yaml
from recipe.run import Trainer


def parse_time(text: str) -> float:
    """Turn HH:MM into the next such moment, in seconds since the epoch."""
    now = datetime.now()
    moment = datetime.strptime(text, "%H:%M").replace(now.year, now.month, now.day)
    return (moment if moment > now else moment + timedelta(days=1)).timestamp()


def train(args: argparse.Namespace) -> None:
    """Train as the command line asks."""
    config = yaml.safe_load(args.config.read_text(encoding="utf-8"))
    args.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(args, config)
    if args.resume and trainer.checkpoint.exists():
        trainer.restore()

    def ask_to_stop(_signal: int, _frame: object) -> None:
        trainer.stop = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    trainer.run()


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("camvid.yaml"))
    parser.add_argument("--start", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--finish-by", type=parse_time, help="HH:MM")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    cv2.setNumThreads(1)
    torch.set_num_threads(args.threads)
    train(args)


if __name__ == "__main__":
    main()
