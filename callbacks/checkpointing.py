"""Checkpoints from which a training goes on bit for bit, and orderly stops."""

import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.io import TorchCheckpointIO

from callbacks.stopping import STOP_REQUESTS, Stopped


class WholeFileCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its place, flush and rename it: a full disk leaves the former one whole.

    Lightning's own goes through ``TMPDIR``, which may be small, and overwrites in place where it cannot rename.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``, whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


class Checkpointing(Callback):
    """Save a training every so many seconds, and once more when a signal asks to stop.

    It saves between two batches, after any validation that was due: a training that is resumed from there goes on with
    the next batch, whatever the schedule. All ranks save and stop at the same batch.

    Args:
        path: The file.
        seconds: Time between two saves.
        identity: What tells this training from others; a checkpoint of another one is refused.
        between_epochs: Whether it saves before the first batch of an epoch only.

    Raises:
        Stopped: In the training, after a signal.
    """

    def __init__(self, path: Path, seconds: float, identity: str, between_epochs: bool = False) -> None:
        self.path, self.seconds, self.identity, self.between_epochs = path, seconds, identity, between_epochs
        self.consumed_batches = 0
        self._saved_at = time.monotonic()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Answer signals between batches from now on."""
        STOP_REQUESTS.held_back = True
        self._saved_at = time.monotonic()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Let signals be answered at once again."""
        STOP_REQUESTS.held_back = False

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Likewise: after an exception there is no :meth:`teardown`."""
        STOP_REQUESTS.held_back = False

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save, when it is time or a stop is wanted, with all that came before this batch complete."""
        if batch_idx % trainer.accumulate_grad_batches:
            return  # gradients are not saved
        if batch_idx and self.between_epochs:
            return
        wanted = STOP_REQUESTS.asked is not None or time.monotonic() - self._saved_at >= self.seconds
        if not trainer.strategy.reduce_boolean_decision(wanted, all=False):
            return
        stop = trainer.strategy.reduce_boolean_decision(STOP_REQUESTS.asked is not None, all=False)
        self.consumed_batches = batch_idx
        self.save(trainer, pl_module)
        self._saved_at = time.monotonic()
        if stop:
            raise Stopped(STOP_REQUESTS.asked.name if STOP_REQUESTS.asked else "a signal to another rank")

    def save(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the checkpoint, unless a weight is broken."""
        broken = [name for name, weight in pl_module.named_parameters() if not torch.isfinite(weight).all()]
        if broken:
            raise ValueError(
                f"training diverged: {broken[0]} is not finite at step {trainer.global_step}. Lower the learning rate; "
                "the last checkpoint is older and whole"
            )
        trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        """How far the pass is."""
        return {"identity": self.identity, "consumed_batches": self.consumed_batches}

    def consumed(self) -> int | None:
        """Batches of the pass that the saved training has seen; ``None`` if nothing was saved.

        Raises:
            ValueError: If the file is damaged or another training's; names it.
        """
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)["callbacks"][self.state_key]
        except (RuntimeError, OSError, KeyError, EOFError, ValueError) as error:
            raise ValueError(f"{self.path} is damaged: remove it to train from the beginning") from error
        if state["identity"] != self.identity:
            raise ValueError(
                f"{self.path} is of a training with other settings, images or devices (of shards, also workers): "
                "use these again, another study=<name>, or remove the file"
            )
        consumed: int = state["consumed_batches"]
        return consumed
