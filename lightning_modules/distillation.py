"""Training of a small classifier by the logits of a larger one."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_modules.classifier_training import ClassifierTraining
from lightning_modules.optimization import OptimizerFactory, Schedule
from networks.classifier import Classifier


def distillation_loss(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, alpha: float) -> Tensor:
    """The student's divergence from the teacher's softened probabilities, and its cross-entropy.

    ``alpha * T² * KL(softmax(teacher / T) || softmax(student / T)) + (1 - alpha) * CE(student, labels)``; the T² keeps
    the gradients of the first part as large as those of the second at any temperature.

    Args:
        student: The student's logits, shape ``(N, classes)``.
        teacher: The teacher's logits, same shape; they get no gradient.
        labels: Right classes, shape ``(N,)``.
        temperature: T; the higher it is, the more the teacher's probabilities of wrong classes count.
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
    """Train a student by its frozen teacher's softened probabilities, on the training images.

    Args:
        teacher: The larger classifier, with its weights.
        student: The network to train.
        make_optimizer: Makes the optimiser.
        schedule: Learning-rate schedule.
        temperature: See :func:`distillation_loss`.
        alpha: See :func:`distillation_loss`.
    """

    def __init__(
        self,
        teacher: Classifier,
        student: Classifier,
        make_optimizer: OptimizerFactory,
        schedule: Schedule,
        *,
        temperature: float,
        alpha: float,
    ) -> None:
        super().__init__(student, make_optimizer, schedule, label_smoothing=0.0)
        if temperature <= 0 or not 0 <= alpha <= 1:
            raise ValueError(
                f"compressed.temperature={temperature} must be above 0, and compressed.alpha={alpha} in [0, 1]: "
                "change them"
            )
        self.teacher, self.temperature, self.alpha = teacher, temperature, alpha
        self.freeze_parts("teacher")

    def training_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """The distillation loss of images ``(B, 3, H, W)`` with labels ``(B,)``."""
        with torch.no_grad():
            teacher = self.teacher(images)
        return distillation_loss(self.classifier(images), teacher, labels, self.temperature, self.alpha)
