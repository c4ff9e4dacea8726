"""A run: its schedule, checkpoints and moving average."""

from __future__ import annotations

import argparse
import copy
import json
import logging
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import torch
from torch import Tensor, nn

from recipe.batches import Sampler
from recipe.network import build_network, save_folder
from recipe.samples import Config, load_split, synthetic_pool
from recipe.scores import class_weights, evaluate, loss_of, torch_predictor

log = logging.getLogger("train")

STEP_HISTORY = 50
"""Steps whose median duration is shown as the pace."""


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Write next to `path` and rename, so that a reader never sees half a file."""
    partial = path.with_name(path.name + ".partial")
    write(partial)
    partial.replace(path)


class Trainer:
    """The state of a run: network, moving average, optimiser, and where in the schedule it is."""

    def __init__(self, args: argparse.Namespace, config: Config) -> None:
        torch.manual_seed(config["seed"])
        self.config = config
        self.out: Path = args.out
        self.finish_by: float | None = args.finish_by
        self.step = 0
        self.progress = 0.0
        self.best = 0.0
        self.stop = False
        self.seconds: deque[float] = deque(maxlen=STEP_HISTORY)
        train = load_split(args.data, "train")
        self.val = load_split(args.data, "val")
        mix = config["synthetic"]
        synthetic = synthetic_pool(mix, config["seed"]) if mix["share"] > 0 else []
        self.sampler = Sampler(train, synthetic, config)
        self.weights = class_weights(self.sampler.frequency, config["loss"])
        self.network = build_network(config, args.start)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        matrices, rest = [], []
        for parameter in self.network.parameters():
            if parameter.requires_grad:
                # Norms and biases are not decayed, as is usual for transformers.
                (matrices if parameter.ndim > 1 else rest).append(parameter)
        schedule = config["schedule"]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": schedule["weight_decay"]},
                {"params": rest, "weight_decay": 0.0},
            ],
            lr=schedule["learning_rate"],
            fused=True,
        )
        log.info("%d training and %d synthetic frames", len(train), len(synthetic))
        log.info("class weights %s", [round(w, 2) for w in self.weights.tolist()])

    @property
    def checkpoint(self) -> Path:
        """Where the run is kept for --resume."""
        return self.out / "checkpoint.pt"

    def save(self) -> None:
        """Write all that --resume needs."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "step": self.step,
            "progress": self.progress,
            "best": self.best,
        }
        write_atomically(self.checkpoint, lambda path: torch.save(state, path))

    def restore(self) -> None:
        """Continue where the checkpoint was written."""
        state = torch.load(self.checkpoint, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["torch_rng"])
        self.step, self.progress, self.best = state["step"], state["progress"], state["best"]
        log.info("resumed at step %d, %.1f %% of the schedule", self.step, 100 * self.progress)

    def learning_rate(self) -> float:
        """Linear warm-up, then polynomial decay to zero."""
        schedule = self.config["schedule"]
        warm = min(1.0, (self.progress + 1e-3) / schedule["warmup"])
        return schedule["learning_rate"] * warm * (1 - self.progress) ** schedule["power"]

    def advance(self, seconds: float) -> None:
        """Move on in the schedule after a step that took `seconds`, by count or by the clock."""
        self.step += 1
        self.seconds.append(seconds)
        if self.finish_by is None:
            self.progress = self.step / self.config["schedule"]["steps"]
        else:
            left = max(self.finish_by - time.time(), 0.0)
            self.progress += (1 - self.progress) * seconds / (seconds + left)

    def minutes_left(self) -> float:
        """Until the schedule ends, at the pace of the last steps."""
        if self.finish_by is not None:
            return (self.finish_by - time.time()) / 60
        steps = self.config["schedule"]["steps"] - self.step
        return steps * statistics.median(self.seconds) / 60

    def train_step(self, images: Tensor, masks: Tensor) -> float:
        """One step of the optimiser and of the moving average; returns the loss."""
        schedule = self.config["schedule"]
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.network.train()
        loss = loss_of(
            self.network(images), masks, self.weights, self.progress, self.config["loss"]
        )
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), schedule["clip_norm"])
        self.optimiser.step()
        # A young average follows quickly, an old one slowly.
        decay = min(schedule["ema"], (self.step + 1) / (self.step + 10))
        for averaged, current in zip(
            self.average.parameters(), self.network.parameters(), strict=True
        ):
            averaged.lerp_(current.detach(), 1 - decay)
        for averaged, current in zip(self.average.buffers(), self.network.buffers(), strict=True):
            averaged.copy_(current)
        return loss.item()

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches from the current step on, the next one drawn while this one is used."""
        with ThreadPoolExecutor(1) as pool:
            drawn = pool.submit(self.sampler.batch, self.step, self.progress)
            while True:
                batch = drawn.result()
                drawn = pool.submit(self.sampler.batch, self.step + 1, self.progress)
                yield batch

    def finish_epoch(self, losses: list[float]) -> None:
        """Score the average on the validation split, log it, keep it if best, checkpoint."""
        scores = evaluate(torch_predictor(self.average), self.val)
        record = {
            "step": self.step,
            "progress": round(self.progress, 4),
            "time": datetime.now().isoformat(timespec="seconds"),
            "loss": round(statistics.fmean(losses), 4),
            "val": scores.as_dict(),
        }
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        log.info("%s", json.dumps(record))
        if scores.mean > self.best:
            self.best = scores.mean
            save_folder(self.average.model, self.out / "best")
        self.save()

    def run(self) -> None:
        """Train to the end of the schedule, or until asked to stop."""
        epoch_steps = self.config["schedule"]["epoch_steps"]
        losses: list[float] = []
        batches = self.batches()
        finished = time.time()
        while not self.stop and self.progress < 1:
            losses.append(self.train_step(*next(batches)))
            started, finished = finished, time.time()
            self.advance(finished - started)
            if self.step % 20 == 0:
                log.info(
                    "step %d  %5.1f %%  loss %.3f  lr %.2e  %.2f s/step  %d min left",
                    self.step,
                    100 * self.progress,
                    statistics.fmean(losses[-20:]),
                    self.learning_rate(),
                    statistics.median(self.seconds),
                    self.minutes_left(),
                )
            if self.step % epoch_steps == 0:
                self.finish_epoch(losses)
                losses = []
        if self.stop:
            self.save()
            log.info("stopped at step %d; --resume continues", self.step)
            return
        if losses:
            self.finish_epoch(losses)
        save_folder(self.average.model, self.out / "last")
