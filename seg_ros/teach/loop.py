"""The training loop: any network of logits at a fraction of its input, on a packed file.

The learning rate warms up, stays, and falls to zero only when a run is asked to finish (a
trapezoid: Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training
Durations", NeurIPS 2024). So a run can be stopped and resumed as often as one likes without
knowing beforehand how long it will be. A sample depends on (seed, step, index) alone; the
checkpoint holds the rest.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import statistics
import time
from collections import deque
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seg_ros.errors import SegRosError
from seg_ros.teach.augment import Sampler
from seg_ros.teach.packed import Pack
from seg_ros.teach.partial import partial_loss
from seg_ros.teach.validate import class_scores

log = logging.getLogger(__name__)
_SAID_EVERY = 20
"""Steps between lines of the log."""


class Trainer:
    """A run: network, average of its weights, optimiser, and where in the schedule it is.

    Args:
        network: takes (N, H, W, 3) uint8 BGR and gives logits (N, C, h, w).
        pack: what to train on; frames of its split `val` choose the best weights.
        config: the recipe.
        out: folder of the checkpoint, the weights and the log.
        device: where to compute.

    """

    def __init__(
        self, network: nn.Module, pack: Pack, config: Mapping[str, Any], out: Path, device: str
    ) -> None:
        self._config, self._schedule = config, config["schedule"]
        self._out, self._pack, self._device = out, pack, torch.device(device)
        out.mkdir(parents=True, exist_ok=True)
        self.network = network.to(self._device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self._sampler = Sampler(pack, config)
        self._allowed = torch.from_numpy(pack.labels.allowed()).to(self._device)
        weights = pack.labels.weights(config["loss"]["weights"])
        self._weights = torch.from_numpy(weights).to(self._device)
        self._validation = [frame for frame in pack.frames if frame.split == "val"]
        matrices: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for parameter in self.network.parameters():
            (matrices if parameter.ndim > 1 else rest).append(parameter)
        self._optimiser = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": self._schedule["weight_decay"]},
                {"params": rest, "weight_decay": 0.0},
            ],
            lr=self._schedule["learning_rate"],
        )
        self.step = 0
        self.decayed = 0.0
        """How far the learning rate has fallen at the end of the run: 0 not yet, 1 to nothing."""
        self.best = 0.0
        self.stop = False
        """Set it to end the run after the step that is being made."""
        self._seconds: deque[float] = deque(maxlen=50)
        if self.checkpoint.exists():
            self._restore()

    @property
    def checkpoint(self) -> Path:
        """File the run goes on from."""
        return self._out / "checkpoint.pt"

    def save(self) -> None:
        """Write all that going on needs; a reader never sees half a file."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "decayed": self.decayed,
            "best": self.best,
        }
        _write(self.checkpoint, state)

    def _restore(self) -> None:
        try:
            state = torch.load(self.checkpoint, weights_only=True, map_location=self._device)
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self._optimiser.load_state_dict(state["optimiser"])
            self.step, self.decayed = int(state["step"]), float(state["decayed"])
            self.best = float(state["best"])
        except (KeyError, RuntimeError, ValueError, EOFError, OSError) as error:
            line = str(error).splitlines()[0]
            raise SegRosError(
                f"{self.checkpoint}: not a checkpoint of this network ({line}); train into another "
                "folder, or with the recipe it was begun with"
            ) from error
        log.info("resumed at step %d", self.step)

    def _learning_rate(self) -> float:
        warm = min(1.0, (self.step + 1) / self._schedule["warmup"])
        return float(self._schedule["learning_rate"] * warm * (1 - self.decayed))

    def _size(self) -> tuple[int, int]:
        """Height and width of the frames of this step: small ones first, as the recipe says."""
        begun = [stage for stage in self._schedule["sizes"] if stage["from"] <= self.step]
        height, width = begun[-1]["size"]
        return height, width

    def train_step(self, images: Tensor, labels: Tensor) -> float:
        """Make one step with images (N, H, W, 3) uint8, label sets (N, H, W) uint8; the loss."""
        rate = self._learning_rate()
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        logits = self.network(images.to(self._device))
        every = 2  # labels are compared at half the input's size: the logits have a quarter
        picked = labels[:, ::every, ::every].to(self._device, torch.int64)
        full = nn.functional.interpolate(
            logits, size=picked.shape[1:], mode="bilinear", align_corners=False
        )
        loss = partial_loss(full, picked, self._allowed, self._weights)
        if not math.isfinite(float(loss.detach())):
            raise SegRosError(f"step {self.step}: the loss is {float(loss)}; lower learning_rate")
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self._schedule["clip_norm"])
        self._optimiser.step()
        # A young average follows quickly, an old one slowly.
        keep = min(self._schedule["average"], (self.step + 1) / (self.step + 10))
        for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now.detach(), 1 - keep)
        for kept, new in zip(self.average.buffers(), self.network.buffers(), strict=True):
            kept.copy_(new)
        return float(loss.detach())

    def _batches(self) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Batches from this step on, the next one drawn while this one is used."""
        with ThreadPoolExecutor(1) as pool:
            drawn = pool.submit(self._sampler.batch, self.step, self._size())
            while True:
                batch = drawn.result()
                self.step += 1
                size = self._size()
                self.step -= 1
                drawn = pool.submit(self._sampler.batch, self.step + 1, size)
                yield batch

    def validate(self) -> dict[str, float]:
        """Score the average on the validation frames, log it, keep it if it is the best."""
        classes = self._pack.labels.classes
        scores = class_scores(self.average, self._validation, classes, self._config["input"])
        record = {
            "step": self.step,
            "time": datetime.now().isoformat(timespec="seconds"),
            "mIoU": round(scores.mean, 4),
            "iou": {name: round(value, 4) for name, value in scores.iou.items()},
        }
        with (self._out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        log.info("%s", json.dumps(record))
        if scores.mean > self.best:
            self.best = scores.mean
            _write(self._out / "best.pt", self.average.state_dict())
        return scores.iou

    def run(self, minutes: float | None, finish: bool) -> None:
        """Train until the recipe's steps are made, the minutes are over, or `stop` is set.

        Args:
            minutes: of the clock; None for no limit.
            finish: let the learning rate fall to zero over these minutes (or, without, over the
                last part of the steps), and write `last.pt`.

        """
        ends = math.inf if minutes is None else time.monotonic() + 60 * minutes
        losses: list[float] = []
        batches = self._batches()
        before = time.monotonic()
        while not self.stop and time.monotonic() < ends and self.decayed < 1:
            losses.append(self.train_step(*next(batches)))
            self.step += 1
            now = time.monotonic()
            self._seconds.append(now - before)
            self._advance(now - before, ends - now, finish)
            before = now
            if self.step % _SAID_EVERY == 0:
                said = statistics.fmean(losses[-_SAID_EVERY:])
                pace, rate = statistics.median(self._seconds), self._learning_rate()
                log.info("step %d  loss %.3f  lr %.1e  %.2f s", self.step, said, rate, pace)
            if self.step % self._schedule["checkpoint_steps"] == 0:
                self.save()
            if self.step % self._schedule["validation_steps"] == 0:
                self.validate()
        self.save()
        batches.close()
        if self.decayed >= 1 or (finish and not self.stop):
            self.validate()
            _write(self._out / "last.pt", self.average.state_dict())
            log.info("finished at step %d", self.step)
        else:
            log.info("stopped at step %d; the same command goes on from there", self.step)

    def _advance(self, seconds: float, left: float, finish: bool) -> None:
        """Let the learning rate fall, by the clock or by the recipe's number of steps."""
        if finish and math.isfinite(left):
            self.decayed += (1 - self.decayed) * seconds / (seconds + max(left, 0.0))
        steps, falls = self._schedule["steps"], self._schedule["decay_steps"]
        self.decayed = max(self.decayed, min(1.0, (self.step - steps + falls) / falls))


def _write(path: Path, state: Mapping[str, Any]) -> None:
    partial = path.with_name(path.name + ".partial")
    torch.save(state, partial)
    partial.replace(path)
