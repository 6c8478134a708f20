"""Checkpoints to resume from in the middle of a pass."""

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from tasks.study_folder import partial


class PassCheckpoint(Callback):
    """Save a training every so many batches, so that it goes on where it was and sees no image twice.

    The file is written beside its place, flushed and renamed: a full disk leaves the former one whole.

    Args:
        path: The file.
        every: Batches between two saves.
        identity: What tells this training from others; a checkpoint of another one is refused.
    """

    def __init__(self, path: Path, every: int, identity: str) -> None:
        self.path, self.every, self.identity = path, every, identity
        self.consumed_batches = 0

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: tuple[Tensor, ...],
        batch_idx: int,
    ) -> None:
        """Save, when it is time."""
        if (batch_idx + 1) % self.every:
            return
        self.consumed_batches = batch_idx + 1
        temporary = partial(self.path)
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(self.path)

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
                f"{self.path} is of a training with other settings or images (or, of shards, devices or workers): "
                "use these again, another study=<name>, or remove the file"
            )
        consumed: int = state["consumed_batches"]
        return consumed
