"""Numbers and pictures that loggers get while a training runs."""

import time
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from torchvision.utils import make_grid

from callbacks.loggers import FaultTolerantLogger


class Monitor(Callback):
    """Log the loss of a batch, the learning rate, images per second and GPU memory at regular steps.

    Args:
        every: Optimiser steps between two entries; there is also one before every validation.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._images, self._since = 0, time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start counting images and time."""
        self._images, self._since = 0, time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count images, and log every so many steps."""
        self._images += len(batch[0]) * trainer.world_size
        last_of_step = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if last_of_step and trainer.global_step % self.every == 0:
            self.send(trainer, {"train/batch_loss": float(outputs["loss"])})

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log before a validation, because its time does not count."""
        if trainer.state.fn == TrainerFn.FITTING:
            self.send(trainer, {})

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start counting again."""
        self._images, self._since = 0, time.monotonic()

    def send(self, trainer: pl.Trainer, numbers: dict[str, float]) -> None:
        """Send the numbers to every logger."""
        seconds = max(time.monotonic() - self._since, 1e-9)  # two entries may share a tick of the clock
        if self._images:
            numbers["train/images_per_second"] = self._images / seconds
        if trainer.optimizers:
            numbers["train/learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        if torch.cuda.is_available():
            numbers["gpu/memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        for logger in trainer.loggers:
            logger.log_metrics(numbers, trainer.global_step)
        self._images, self._since = 0, time.monotonic()


class Reconstructions(Callback):
    """Show the same images and their reconstructions at every validation, to loggers that take pictures.

    Args:
        images: In [0, 1], shape ``(N, 3, H, W)``.
    """

    def __init__(self, images: Tensor) -> None:
        self.images = images

    @torch.no_grad()
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the images above their reconstructions."""
        loggers = [
            logger for logger in trainer.loggers if isinstance(logger, FaultTolerantLogger) and logger.shows_pictures
        ]
        if not loggers:
            return
        images = self.images.to(pl_module.device)
        autoencoder = pl_module.get_submodule("autoencoder")
        grid = picture_rows([images, autoencoder(images)])
        for logger in loggers:
            logger.log_picture("val/reconstructions", grid, trainer.global_step)


def picture_rows(rows: Sequence[Tensor]) -> Tensor:
    """Rows of images ``(N, 3, H, W)``, clamped to [0, 1], as one image ``(3, height, width)``."""
    images = torch.cat([row.detach().float().clamp(0, 1).cpu() for row in rows])
    return make_grid(images, nrow=len(rows[0]), padding=2, pad_value=1.0)
