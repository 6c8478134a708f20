"""Stop a training with a loss that is not finite."""

import json
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback


class FiniteLoss(Callback):
    """Stop all ranks in the first step in which the loss of one of them is NaN or infinite, and record the images.

    Args:
        report: The JSON file that gets the epoch, the batch, the step and the images of each rank concerned.
    """

    def __init__(self, report: Path) -> None:
        self.report = report

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check the loss of this step.

        Raises:
            ValueError: On all ranks, when a rank's loss is NaN or infinite; names the step and the images.
        """
        broken = not bool(torch.isfinite(outputs["loss"]))
        if not trainer.strategy.reduce_boolean_decision(broken, all=False):
            return
        images = batch[2].tolist() if broken else []
        # Objects, not tensors: the ranks that are well have no images, and the last batches differ in length
        of_ranks = [images]
        if trainer.world_size > 1:
            of_ranks = [[] for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(of_ranks, images)
        position = {"epoch": trainer.current_epoch, "batch": batch_idx, "step": trainer.global_step}
        by_rank = {str(rank): indices for rank, indices in enumerate(of_ranks) if indices}
        if trainer.is_global_zero:
            self.report.parent.mkdir(parents=True, exist_ok=True)
            self.report.unlink(missing_ok=True)  # a link of this name is not written through
            self.report.write_text(json.dumps(position | {"images": by_rank}) + "\n", encoding="utf-8")
        raise ValueError(
            f"the loss of step {trainer.global_step} (epoch {trainer.current_epoch}, batch {batch_idx}) is not finite. "
            f"The indices of its images are in {self.report}; nothing was saved after it. "
            "Lower the learning rate, or look at these images"
        )
