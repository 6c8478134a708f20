"""Training of a classifier on images that are changed against it, and how often it stays right on such images."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, get_args

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from lightning_modules.classifier_training import ClassifierTraining
from methods.robustness.module import is_right
from networks.attacks import Generators, Keep, Norm, NotFiniteError, image_generators, pgd
from networks.classifier import Classifier

Batch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Adversary:
    """Who changes images against a classifier: projected gradient descent within a budget.

    The defaults are ten steps of 2/255 within an epsilon of 8/255, and in proportion within others.

    Attributes:
        norm: How a change is measured: of any value (``linf``), or as the Euclidean length over all values (``l2``).
        epsilon: Largest change, for pixels in [0, 1]; 0 changes nothing.
        steps: Number of steps.
        relative_step: Length of all steps together, in parts of epsilon.
        random_start: Whether to begin at a random place of the ball around the image.

    Raises:
        ValueError: If a number is out of range or the norm is unknown.

    Source: arXiv 1706.06083, section 2.1.
    """

    norm: Norm
    epsilon: float
    steps: int = 10
    relative_step: float = 2.5
    random_start: bool = True

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise ValueError(f"norm={self.norm!r} is unknown; choose {' or '.join(get_args(Norm))}")
        if not is_number(self.epsilon) or not 0 <= self.epsilon < float("inf"):
            raise ValueError(f"epsilon={self.epsilon!r}; give a number from 0 on, as 0.03137 for 8/255")
        if type(self.steps) is not int or self.steps < 1:
            raise ValueError(f"steps={self.steps!r}; give a whole number from 1 on")
        if not is_number(self.relative_step) or not 0 < self.relative_step < float("inf"):
            raise ValueError(f"relative_step={self.relative_step!r}; give a number above 0, in parts of epsilon")
        if type(self.random_start) is not bool:
            raise ValueError(f"random_start={self.random_start!r}; give true or false")

    def attack(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        keep: Keep,
        generator: Generators = None,
        index: Tensor | None = None,
    ) -> Tensor:
        """What becomes of images ``(N, 3, H, W)``; arguments as for :func:`~networks.attacks.pgd`."""
        if not self.epsilon:
            return images
        return pgd(
            model,
            images,
            labels,
            norm=self.norm,
            epsilon=self.epsilon,
            step=self.relative_step * self.epsilon / self.steps,
            steps=self.steps,
            random_start=self.random_start,
            generator=generator,
            keep=keep,
            index=index,
        )


class AdversarialTraining(ClassifierTraining):
    """A classifier trained on attacked images alone; logs what its base does, and ``val/robust_accuracy``.

    For each batch the adversary attacks the network as it is now, in eval mode: without dropout, and with the running
    statistics of batch-norm, which the attack leaves as they are (so it does in evaluation, and arXiv 2010.00467 found
    it no worse). The network then learns from the last iterates, in training mode. Random starts come from PyTorch's
    global generator, as dropout does.

    Source: arXiv 1706.06083, section 2.1.

    Args:
        adversary: Who changes the images.
        *arguments: As for :class:`~lightning_modules.classifier_training.ClassifierTraining`.
        seed: Decides the random starts in validation, with an image's index.
        **options: As ``arguments``.
    """

    def __init__(self, adversary: Adversary, *arguments: Any, seed: int = 0, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.adversary, self.seed = adversary, seed
        self.robust = MeanMetric(nan_strategy="disable")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of one batch, attacked."""
        images, labels, index = batch
        kind = images.device.type
        rounds_to_zero = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.float16
        with torch.autocast(kind, enabled=False) if rounds_to_zero else nullcontext():
            try:
                attacked = self.adversary.attack(self.classifier, images, labels, keep="last", index=index)
            except NotFiniteError as error:  # in eval mode; in training mode its loss may be finite for some time still
                where = f"step {self.global_step} (epoch {self.current_epoch}, batch {batch_idx})"
                raise ValueError(f"the attack of {where} failed: {error}. Lower the learning rate") from error
        return super().training_step((attacked, labels, index), batch_idx)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Accuracy and cross-entropy on the images as they are, and accuracy under attack."""
        super().validation_step(batch, batch_idx)
        images, labels, index = batch
        if not len(images):
            return  # none of them could be read
        _, robust = right_under_attack(self.classifier, images, labels, index, self.adversary, self.seed)
        self.robust(robust.float())
        self.log("val/robust_accuracy", self.robust, prog_bar=True, batch_size=len(images))


class RobustAccuracy(pl.LightningModule):
    """A test of a classifier on images as they are and attacked: ``test/accuracy`` and ``test/robust_accuracy``.

    Args:
        classifier: Images in, logits out.
        adversary: Who attacks.
        seed: Decides random starts, with an image's index: the same for any number of ranks.
    """

    def __init__(self, classifier: Classifier, adversary: Adversary, seed: int = 0) -> None:
        super().__init__()
        self.classifier, self.adversary, self.seed = classifier, adversary, seed
        self.accuracy, self.robust = MeanMetric(nan_strategy="disable"), MeanMetric(nan_strategy="disable")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Both predictions on one batch."""
        images, labels, index = batch
        if not len(images):
            return  # none of them could be read
        clean, robust = right_under_attack(self.classifier, images, labels, index, self.adversary, self.seed)
        self.accuracy(clean.float())
        self.robust(robust.float())
        self.log("test/accuracy", self.accuracy, batch_size=len(images))
        self.log("test/robust_accuracy", self.robust, batch_size=len(images))


def right_under_attack(
    classifier: nn.Module, images: Tensor, labels: Tensor, index: Tensor, adversary: Adversary, seed: int
) -> tuple[Tensor, Tensor]:
    """Whether a classifier in eval mode is right on images, and whether it still is on every iterate of an attack.

    Args:
        classifier: Images in, logits out.
        images: In [0, 1], shape ``(B, 3, H, W)``.
        labels: The right classes, ``(B,)``.
        index: Positions in the split, ``(B,)``: with ``seed`` they decide the random starts.
        adversary: Who attacks.
        seed: The study's.

    Returns:
        Two predictions for each image, ``(B,)``; where the first is false, the second is.
    """
    with torch.autocast(images.device.type, enabled=False):  # rounding would hide gradients
        clean = is_right(classifier, images, labels, index)
        robust, left = clean.clone(), clean.nonzero().flatten()
        attacked = adversary.attack(
            classifier,
            images[left],
            labels[left],
            keep="first",
            generator=image_generators(seed, index[left]),
            index=index[left],
        )
        robust[left] = is_right(classifier, attacked, labels[left], index[left])
    return clean, robust


def is_number(value: object) -> bool:
    """Whether a setting is a number; a text, as an unquoted fraction gives, and true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
