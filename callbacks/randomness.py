"""Randomness that a training can be resumed with."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from networks.seeding import combined_seed


class SeededBatches(Callback):
    """Make the randomness inside a training step, such as dropout, a function of seed, epoch, batch and rank.

    A training that goes on after an interruption then draws what it would have drawn, with no state to be kept.

    Args:
        seed: The study's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed PyTorch's generators, those of accelerators too."""
        torch.manual_seed(combined_seed(self.seed, trainer.current_epoch, batch_idx, trainer.global_rank))
