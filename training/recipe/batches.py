"""Which crops make a batch: drawn from (seed, step, index) alone, so that a resumed run goes on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recipe.light import photometric
from recipe.samples import RARE, THINGS, Config, Sample, random_crop, repaint_pavement


class Sampler:
    """Draws augmented crops; the same (step, index, progress) always draws the same one."""

    def __init__(self, real: list[Sample], synthetic: list[Sample], config: Config) -> None:
        self._real = real
        self._synthetic = synthetic
        self._config = config
        counts = np.stack([np.bincount(s.mask.ravel(), minlength=256)[:11] for s in real])
        self.frequency = counts.sum(0) / counts.sum()
        # A frame is worth visiting for a class if it shows more than a speck of it.
        self._frames_with = {c: np.flatnonzero(counts[:, c] > 150) for c in RARE}

    def _crop(self, rng: np.random.Generator) -> Sample:
        """Draw a real crop, often one centred on a rare class."""
        if rng.random() >= self._config["geometry"]["rare_centre"]:
            return random_crop(self._real[rng.integers(len(self._real))], None, self._config, rng)
        wanted = RARE[rng.integers(len(RARE))]
        sample = self._real[rng.choice(self._frames_with[wanted])]
        pixel = int(rng.choice(np.flatnonzero(sample.mask == wanted)))
        y, x = divmod(pixel, sample.mask.shape[1])
        return random_crop(sample, (x, y), self._config, rng)

    def draw(self, step: int, index: int, progress: float) -> Sample:
        """Draw sample `index` of the batch of `step`, `progress` (0..1) through the schedule."""
        config = self._config
        rng = np.random.default_rng([config["seed"], step, index])
        share = config["synthetic"]["share"] if progress >= config["synthetic"]["from"] else 0.0
        if rng.random() < share:
            rendered = self._synthetic[rng.integers(len(self._synthetic))]
            crop = random_crop(rendered, None, config, rng)
        else:
            crop = self._crop(rng)
            if rng.random() < config["geometry"]["paste"]:
                donor = self._crop(rng)
                pasted = np.isin(donor.mask, THINGS)
                crop = Sample(
                    np.where(pasted[..., None], donor.image, crop.image),
                    np.where(pasted, donor.mask, crop.mask),
                )
        if rng.random() < config["pavement"]["p"]:
            crop = repaint_pavement(crop, config["pavement"], rng)
        return Sample(photometric(crop.image, config["photometry"], rng), crop.mask)

    def batch(self, step: int, progress: float) -> tuple[Tensor, Tensor]:
        """Draw a batch: images (N, H, W, 3) uint8 BGR, class masks (N, H, W) int64."""
        samples = [self.draw(step, i, progress) for i in range(self._config["batch"])]
        images = torch.from_numpy(np.stack([s.image for s in samples]))
        masks = torch.from_numpy(np.stack([s.mask for s in samples]).astype(np.int64))
        return images, masks
