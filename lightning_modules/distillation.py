"""Training of a small classifier by what a larger one says."""

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_modules.classifier_training import ClassifierTraining
from networks.classifier import Classifier, freeze


def distillation_loss(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, alpha: float) -> Tensor:
    """The student's distance from the teacher's softened probabilities, and from the right classes.

    ``alpha * T² * KL(softmax(teacher / T) || softmax(student / T)) + (1 - alpha) * CE(student, labels)``; the T² keeps
    the gradients of the first part as large as those of the second at any temperature.

    Args:
        student: Its logits, shape ``(N, classes)``.
        teacher: The teacher's, same shape; no gradient goes there.
        labels: Right classes, shape ``(N,)``.
        temperature: T; higher shows more of what the teacher thinks of the wrong classes.
        alpha: Weight of the teacher, in [0, 1].

    Returns:
        Mean loss, a scalar.

    Source: G. Hinton, O. Vinyals, J. Dean, arXiv 1503.02531, section 2.
    """
    soft = F.kl_div(
        F.log_softmax(student / temperature, dim=1),
        F.log_softmax(teacher.detach() / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return alpha * temperature**2 * soft + (1 - alpha) * F.cross_entropy(student, labels)


class Distillation(ClassifierTraining):
    """Train a student by its teacher's soft answers, on the student's own training images.

    The teacher is frozen and not in checkpoints.

    Args:
        teacher: The larger classifier, with its weights.
        *arguments: As for :class:`~lightning_modules.classifier_training.ClassifierTraining`: the student first.
        temperature: See :func:`distillation_loss`.
        alpha: Likewise.
        **options: As ``arguments``.
    """

    strict_loading = False  # the teacher comes from its own weights

    def __init__(
        self, teacher: Classifier, *arguments: Any, temperature: float = 4, alpha: float = 0.9, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        if temperature <= 0 or not 0 <= alpha <= 1:
            raise ValueError(f"temperature={temperature} must be above 0, and alpha={alpha} in [0, 1]: change them")
        self.teacher, self.temperature, self.alpha = freeze(teacher), temperature, alpha

    def train(self, mode: bool = True) -> Self:
        """Set the student's mode; the teacher stays in eval mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Weights of the student."""
        state = super().state_dict(*args, **kwargs)
        return {key: value for key, value in state.items() if not key.startswith("teacher.")}

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        """The distillation loss of one batch."""
        images, labels, _ = batch
        with torch.no_grad():
            answers = self.teacher(images)
        loss = distillation_loss(self.classifier(images), answers, labels, self.temperature, self.alpha)
        self.log("train/loss", loss, on_epoch=True, on_step=False, batch_size=len(images), sync_dist=True)
        return loss
