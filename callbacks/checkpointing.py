"""Checkpoints from which a training continues bit for bit, and orderly stops."""

import time
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from callbacks.checkpoint_file import is_whole
from callbacks.stopping import STOP_REQUESTS, Stopped


class Checkpointing(Callback):
    """Save a training at regular intervals, and once more when a signal asks to stop.

    All ranks save and stop at the same batch. A checkpoint is saved before a batch, after any validation that was due.

    Args:
        path: The file.
        seconds: Time between two saves.
        identity: Hash of the settings and inputs of this training; a checkpoint with another one is refused.
        between_epochs: Whether to save only before the first batch of an epoch.

    Raises:
        Stopped: In the training, after a signal.
    """

    def __init__(self, path: Path, seconds: float, identity: str, between_epochs: bool = False) -> None:
        self.path, self.seconds, self.identity, self.between_epochs = path, seconds, identity, between_epochs
        self.consumed_batches = 0
        self._saved_at = time.monotonic()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hold signals back from now on; they are checked between batches."""
        STOP_REQUESTS.held_back = True
        self._saved_at = time.monotonic()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Let signals stop the process at once again."""
        STOP_REQUESTS.held_back = False

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Let signals stop the process at once again: Lightning calls no :meth:`teardown` after an exception."""
        STOP_REQUESTS.held_back = False

    # Not on_train_batch_end: pytorch-lightning 2.6 skips, on resuming, a validation that was due after that batch
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save if the interval is over or a signal was received; then stop if it was a signal."""
        if batch_idx % trainer.accumulate_grad_batches:
            return  # accumulated gradients are not in checkpoints
        if batch_idx and self.between_epochs:
            return  # the data cannot continue in the middle of a pass
        wanted = STOP_REQUESTS.received is not None or time.monotonic() - self._saved_at >= self.seconds
        # Clocks of ranks differ and a signal may reach one of them only: all must agree, or one waits for ever
        if not trainer.strategy.reduce_boolean_decision(wanted, all=False):
            return
        stop = trainer.strategy.reduce_boolean_decision(STOP_REQUESTS.received is not None, all=False)
        self.consumed_batches = batch_idx
        self.save(trainer, pl_module)
        self._saved_at = time.monotonic()
        if stop:
            raise Stopped(STOP_REQUESTS.received.name if STOP_REQUESTS.received else "a signal to another rank")

    def save(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the checkpoint, unless a weight is NaN or infinite."""
        # The loss of a step is older than its update: weights that overflowed just now are in no loss yet
        broken = [name for name, weight in pl_module.named_parameters() if not torch.isfinite(weight).all()]
        if broken:
            raise ValueError(
                f"training diverged: {broken[0]} is not finite at step {trainer.global_step}. Lower the learning rate; "
                "the last checkpoint is older and whole"
            )
        trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        """The training's identity, and the batches seen in this pass."""
        return {"identity": self.identity, "consumed_batches": self.consumed_batches}

    def consumed(self) -> int | None:
        """Number of batches that the saved training has seen in its last pass; ``None`` if nothing was saved.

        Raises:
            ValueError: If the file is damaged or of another training; names it.
        """
        if not self.path.exists():
            return None
        damaged = f"{self.path} is damaged: remove it to train from the beginning"
        try:
            if not is_whole(self.path):
                raise ValueError(damaged)
            # Not left to Lightning: the data must know before the training which batches to skip
            state = torch.load(self.path, map_location="cpu", weights_only=True)["callbacks"][self.state_key]
        except (RuntimeError, OSError, KeyError, EOFError, UnpicklingError) as error:
            raise ValueError(damaged) from error
        if state["identity"] != self.identity:
            raise ValueError(
                f"{self.path} is of a training with other settings, images or devices (of shards, also workers): "
                "use these again, another study=<name>, or remove the file"
            )
        return state["consumed_batches"]
