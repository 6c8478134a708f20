"""Training of what pruning has left."""

from typing import Any

import torch
from torch import Tensor

from lightning_modules.classifier_training import ClassifierTraining
from networks.compression import masks


class PrunedTraining(ClassifierTraining):
    """Train a pruned classifier's remaining weights; those that are 0 stay exactly 0.

    Args:
        *arguments: As for :class:`~lightning_modules.classifier_training.ClassifierTraining`.
        **options: Likewise.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.kept = masks(self.classifier)  # of the same weights after a resumption: no need to be in checkpoints

    @torch.no_grad()
    def on_train_batch_end(self, outputs: Any, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Undo what the optimiser did to the weights that were pruned."""
        for name, mask in self.kept.items():
            weight = self.classifier.get_parameter(name)
            self.kept[name] = mask = mask.to(weight.device)
            weight.mul_(mask)
