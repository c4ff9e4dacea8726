"""Labels that say only in which set of classes a pixel is, and the loss they stand for.

A label image holds ids of *label sets*. The first ``C`` sets are the classes of the network, one
each; behind them come coarse labels of data sets ("pavement or terrain") and what a teacher is
sure of ("not road"). 255 says nothing. The loss of a pixel known only to be in the set S is
``-log(sum of p(c) for c in S)``: Cour, Sapp, Taskar, "Learning from Partial Labels", JMLR 2011.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg_ros.errors import SegRosError

NOTHING = 255
"""Label of a pixel of which nothing is known."""


@dataclass(frozen=True)
class PartialLabels:
    """The table of label sets: names, and which classes each allows."""

    classes: tuple[str, ...]
    coarse: tuple[tuple[str, tuple[str, ...]], ...]
    """Name and allowed classes of each set behind the classes themselves."""

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names):
            raise SegRosError(f"label sets: a name is used twice in {', '.join(names)}")
        if len(names) > NOTHING:
            raise SegRosError(f"label sets: {len(names)} are more than {NOTHING}")
        for name, allowed in self.coarse:
            unknown = [c for c in allowed if c not in self.classes]
            if unknown or not allowed:
                raise SegRosError(
                    f"label set {name!r}: {', '.join(unknown) or 'an empty list'} is no class; "
                    f"classes are {', '.join(self.classes)}"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all sets, in the order of their ids."""
        return (*self.classes, *(name for name, _ in self.coarse))

    def id_of(self, name: str) -> int:
        """Id of a set. Raises SegRosError for a name that is none."""
        try:
            return self.names.index(name)
        except ValueError:
            raise SegRosError(f"no label set {name!r}; there are {', '.join(self.names)}") from None

    def allowed(self) -> NDArray[np.bool_]:
        """Which classes each set allows: (sets, classes) bool."""
        table = np.zeros((len(self.names), len(self.classes)), np.bool_)
        table[: len(self.classes)] = np.eye(len(self.classes), dtype=np.bool_)
        for row, (_, allowed) in enumerate(self.coarse, len(self.classes)):
            table[row, [self.classes.index(c) for c in allowed]] = True
        return table

    def weights(self, by_name: Mapping[str, float]) -> NDArray[np.float32]:
        """Weight of each set in the loss, (256,) float32: 1 unless named, 0 for no label.

        Raises SegRosError for a name that is no set, or a weight below 0.
        """
        weights = np.zeros(256, np.float32)
        weights[: len(self.names)] = 1.0
        for name, weight in by_name.items():
            if not weight >= 0:
                raise SegRosError(f"weight of {name!r} must be 0 or more, got {weight!r}")
            weights[self.id_of(name)] = weight
        return weights

    def as_dict(self) -> dict[str, object]:
        """Say it in plain values, for a file."""
        coarse = [{"name": name, "classes": list(allowed)} for name, allowed in self.coarse]
        return {"classes": list(self.classes), "coarse": coarse}

    @classmethod
    def from_dict(cls, said: Mapping[str, object]) -> PartialLabels:
        """Read what `as_dict` wrote. Raises SegRosError if it is something else."""
        classes, coarse = said.get("classes"), said.get("coarse")
        if not isinstance(classes, Sequence) or not isinstance(coarse, Sequence):
            raise SegRosError("label sets need 'classes' and 'coarse'")
        try:
            sets = tuple((str(c["name"]), tuple(map(str, c["classes"]))) for c in coarse)
        except (KeyError, TypeError):
            raise SegRosError("each coarse label set needs 'name' and 'classes'") from None
        return cls(tuple(map(str, classes)), sets)


def partial_loss(logits: Tensor, labels: Tensor, allowed: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of ``-log(sum of p over the allowed classes)``.

    Args:
        logits: (N, C, H, W) float32.
        labels: (N, H, W) int64 ids of label sets, 255 for no label.
        allowed: (sets, C) bool.
        weights: (256,) float32, one for each id a label can be.

    Returns:
        A scalar; 0 where no pixel has a label of positive weight.

    """
    closed = torch.zeros(256, allowed.shape[1], device=logits.device)
    closed[: len(allowed)].masked_fill_(~allowed, float("-inf"))
    scores = logits.permute(0, 2, 3, 1).reshape(-1, logits.shape[1])
    picked = labels.reshape(-1)
    weight = weights[picked]
    known = weight > 0
    if not bool(known.any()):
        return logits.sum() * 0.0
    scores, picked, weight = scores[known], picked[known], weight[known]
    loss = scores.logsumexp(1) - (scores + closed[picked]).logsumexp(1)
    return (loss * weight).sum() / weight.sum()
