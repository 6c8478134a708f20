"""Concepts by coupled non-negative factorisation: an epoch is one exact pass over the images."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from methods.concepts.factorization import CoupledFactorization


class ConceptFactorization(pl.LightningModule):
    """Let Lightning drive a :class:`~methods.concepts.factorization.CoupledFactorization`; nothing is differentiated.

    Batches are ``(numbers of the images, their rows of every block)``, as
    :class:`~methods.concepts.stored_blocks.BlockRows` gives them: each image once in an epoch, always on the same rank.
    Ranks add up ``HᵀH``, ``HᵀX`` and a few scalars;
    the image factor stays where its images are until :meth:`gathered`. Logs ``train/objective`` and the relative
    squared error of each block. Stops when the objective hardly falls any more.

    Checkpoints hold everything, but must be made between two epochs.

    Source: arXiv 2012.12516.

    Args:
        factorization: At its beginning, the same on every rank.
        names: Of the blocks.
        tolerance: Least fall of the objective in a pass, as a share of its first value.
    """

    def __init__(self, factorization: CoupledFactorization, names: Sequence[str], tolerance: float = 1e-6) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.factorization, self.names, self.tolerance = factorization, list(names), tolerance
        self.unused = nn.Parameter(torch.zeros(1))  # DDP wants one

    def configure_optimizers(self) -> list[Any]:
        """None: every step is exact."""
        return []

    def on_train_start(self) -> None:
        """Go where the images will be, and begin: one that is resumed has no start of an epoch."""
        self.factorization.to(self.device)
        self.factorization.begin_pass()

    def on_train_epoch_start(self) -> None:
        """Begin a pass."""
        self.factorization.begin_pass()

    @torch.no_grad()
    def training_step(self, batch: tuple[Tensor, Sequence[Tensor]], batch_idx: int) -> None:
        """Take in some images, in full precision."""
        rows, chunk = batch
        if len(rows):
            with torch.autocast(self.device.type, enabled=False):
                self.factorization.add(rows.cpu(), chunk)

    @torch.no_grad()
    def on_train_epoch_end(self) -> None:
        """Finish the pass, log it, and stop if it changed little."""
        found = self.factorization
        found.end_pass(self.summed)
        if not found.history:
            return
        objective, *errors = found.history[-1]
        numbers = {"train/objective": objective}
        numbers |= {f"train/error {name}": error for name, error in zip(self.names, errors, strict=True)}
        self.log_dict(numbers, prog_bar=True, batch_size=1)
        self.trainer.should_stop = found.converged(self.tolerance)

    def summed(self, part: Tensor) -> Tensor:
        """The sum of a tensor over all ranks."""
        return self.trainer.strategy.reduce(part, reduce_op="sum")

    @torch.no_grad()
    def gathered(self) -> Tensor:
        """Hᵀ of all images, ``(k, N)``, on every rank."""
        if self.factorization.owned is None:  # at the start, and where it went on, every rank has all of it
            return self.factorization.image_factor
        return self.summed(self.factorization.image_factor * self.factorization.owned_mask())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the factorisation; called on every rank."""
        checkpoint["factorization"] = self.factorization.state_dict(self.gathered())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it up again."""
        self.factorization.load_state_dict(checkpoint["factorization"])
