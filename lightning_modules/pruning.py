"""Training of the weights that pruning has left."""

from typing import Any

import torch
from torch import Tensor

from lightning_modules.classifier_training import ClassifierTraining
from networks.compression import masks


class PrunedTraining(ClassifierTraining):
    """Train a pruned classifier's remaining weights; those that are 0 stay exactly 0.

    Args:
        *arguments: See :class:`~lightning_modules.classifier_training.ClassifierTraining`.
        **options: See :class:`~lightning_modules.classifier_training.ClassifierTraining`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.kept = masks(self.classifier)  # follow from the weights, so checkpoints need not hold them

    @torch.no_grad()
    def on_train_batch_end(self, outputs: Any, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Set pruned weights back to 0: momentum and weight decay may have moved them."""
        for name, mask in self.kept.items():
            weight = self.classifier.get_parameter(name)
            self.kept[name] = mask = mask.to(weight.device)
            weight.mul_(mask)
