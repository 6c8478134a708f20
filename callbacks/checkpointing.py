"""Checkpoints from which a training goes on bit for bit, and orderly stops."""

import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.io import TorchCheckpointIO

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)


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


class Stopped(Exception):
    """A training was asked to stop, has saved a checkpoint and can go on."""


class Checkpointing(Callback):
    """Save a training every so many seconds, and once more when a signal asks it to stop.

    It saves between two batches, after any validation that was due: a training that is resumed from there goes on with
    the next batch, whatever the schedule. All ranks save and stop at the same batch.

    SIGTERM, SIGUSR1 and SIGUSR2 (clusters send them ahead of a time limit or when another job needs the place) and a
    first Ctrl-C stop a training; a second Ctrl-C stops it at once.

    Args:
        path: The file.
        seconds: Time between two saves.
        identity: What tells this training from others; a checkpoint of another one is refused.

    Raises:
        Stopped: In the training, after a signal.
    """

    def __init__(self, path: Path, seconds: float, identity: str) -> None:
        self.path, self.seconds, self.identity = path, seconds, identity
        self.consumed_batches = 0
        self.asked: signal.Signals | None = None
        self._former: dict[signal.Signals, Any] = {}
        self._saved_at = time.monotonic()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to signals, in place of Lightning's own handlers, which talk to other ranks at any moment."""
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self.ask) for number in STOP_SIGNALS}
        self._saved_at = time.monotonic()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Note that a stop is wanted."""
        if self.asked == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = signal.Signals(number)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save, when it is time or a stop is wanted, with all that came before this batch complete."""
        if batch_idx % trainer.accumulate_grad_batches:
            return  # gradients are not saved
        wanted = self.asked is not None or time.monotonic() - self._saved_at >= self.seconds
        if not trainer.strategy.reduce_boolean_decision(wanted, all=False):
            return
        stop = trainer.strategy.reduce_boolean_decision(self.asked is not None, all=False)
        self.consumed_batches = batch_idx
        self.save(trainer, pl_module)
        self._saved_at = time.monotonic()
        if stop:
            raise Stopped(self.asked.name if self.asked else "another rank was asked to")

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
                f"{self.path} is of a training with other settings or images (or, of shards, devices or workers): "
                "use these again, another study=<name>, or remove the file"
            )
        consumed: int = state["consumed_batches"]
        return consumed
