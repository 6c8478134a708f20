"""Training of a classifier on attacked images, and its accuracy under attack."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from lightning_modules.classifier_training import ClassifierTraining
from lightning_modules.finiteness import check_finite
from lightning_modules.image_test import ImageTest
from networks.attacks import NotFiniteError, PgdAttack
from networks.classifier import Classifier
from networks.seeding import image_generators

Batch = tuple[Tensor, Tensor, Tensor]


class AdversarialTraining(ClassifierTraining):
    """A classifier trained on attacked images alone; also logs ``val/robust_accuracy``.

    Each batch is attacked with the network in its present state, in eval mode: without dropout, and with the running
    statistics of batch-norm, which the attack does not change (attacks in evaluation do the same, and arXiv 2010.00467
    found it no worse in training). The network then learns from the last iterates, in training mode. Random starts
    come from PyTorch's global generator, as dropout does.

    Source: arXiv 1706.06083, section 2.1.

    Args:
        attack: The attack on the training and validation images.
        *arguments: See :class:`~lightning_modules.classifier_training.ClassifierTraining`.
        seed: Decides the random starts in validation, together with an image's index.
        **options: See :class:`~lightning_modules.classifier_training.ClassifierTraining`.
    """

    def __init__(self, attack: PgdAttack, *arguments: Any, seed: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.attack, self.seed = attack, seed
        self.robust = MeanMetric(nan_strategy="disable")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of one attacked batch."""
        images, labels, index = batch
        kind = images.device.type
        # float16 rounds small gradients of the pixels to zero, and the sign of zero attacks nothing
        rounds_to_zero = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.float16
        with torch.autocast(kind, enabled=False) if rounds_to_zero else nullcontext():
            try:
                attacked = self.attack.run(self.classifier, images, labels, keep="last", index=index)
            except NotFiniteError as error:  # FiniteLoss sees the loss in training mode only, which breaks later
                where = f"step {self.global_step} (epoch {self.current_epoch}, batch {batch_idx})"
                raise ValueError(f"the attack of {where} failed: {error}. Lower the learning rate") from error
        return super().training_step((attacked, labels, index), batch_idx)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Accuracy and cross-entropy on the original images, and accuracy under attack."""
        super().validation_step(batch, batch_idx)
        images, labels, index = batch
        if not len(images):
            return  # none of them could be read
        _, robust = right_under_attack(self.classifier, images, labels, index, self.attack, self.seed)
        self.robust(robust.float())
        self.log("val/robust_accuracy", self.robust, prog_bar=True, batch_size=len(images))


class RobustAccuracy(ImageTest):
    """A test of a classifier on original and on attacked images: ``test/accuracy`` and ``test/robust_accuracy``.

    Args:
        classifier: Images in, logits out.
        attack: The attack.
        seed: Decides random starts together with an image's index, so they are the same for any number of ranks.
    """

    def __init__(self, classifier: Classifier, attack: PgdAttack, seed: int) -> None:
        super().__init__()
        self.classifier, self.attack, self.seed = classifier, attack, seed
        self.accuracy, self.robust = MeanMetric(nan_strategy="disable"), MeanMetric(nan_strategy="disable")

    def measure(self, images: Tensor, labels: Tensor, index: Tensor) -> None:
        """Both predictions on one batch."""
        clean, robust = right_under_attack(self.classifier, images, labels, index, self.attack, self.seed)
        self.accuracy(clean.float())
        self.robust(robust.float())
        self.log("test/accuracy", self.accuracy, batch_size=len(images))
        self.log("test/robust_accuracy", self.robust, batch_size=len(images))


def right_under_attack(
    classifier: nn.Module, images: Tensor, labels: Tensor, index: Tensor, attack: PgdAttack, seed: int
) -> tuple[Tensor, Tensor]:
    """Whether a classifier in eval mode is right on images, and whether it still is on every iterate of an attack.

    Args:
        classifier: Images in, logits out.
        images: In [0, 1], shape ``(B, 3, H, W)``.
        labels: The right class of each image, ``(B,)``.
        index: Positions in the split, ``(B,)``: together with ``seed`` they decide the random starts.
        attack: The attack.
        seed: The study's seed.

    Returns:
        Two booleans for each image, ``(B,)``; where the first is false, the second is.
    """
    with torch.autocast(images.device.type, enabled=False):  # rounding would hide gradients
        clean = is_right(classifier, images, labels, index)
        robust, left = clean.clone(), clean.nonzero().flatten()
        attacked = attack.run(
            classifier,
            images[left],
            labels[left],
            keep="first",
            generator=image_generators(seed, index[left]),
            index=index[left],
        )
        robust[left] = is_right(classifier, attacked, labels[left], index[left])
    return clean, robust


def is_right(model: nn.Module, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
    """Whether a frozen model predicts the label of each image, ``(B,)``."""
    if not len(images):
        return torch.zeros(0, dtype=torch.bool, device=images.device)
    with torch.no_grad():
        logits = model(images)
    check_finite(logits, index, "an output under attack")
    return logits.argmax(dim=1) == labels
