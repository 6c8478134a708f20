"""Seeds for the randomness inside training steps, so that a training can be resumed."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from networks.seeding import combined_seed


class SeededBatches(Callback):
    """Make the randomness inside a training step, such as dropout, a function of seed, epoch, batch and rank.

    Lightning's checkpoints hold no state of random generators; with this callback a resumed training does not need it.

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
