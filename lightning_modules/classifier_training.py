"""Training of a classifier by cross-entropy."""

import torch.nn.functional as F
from torch import Tensor

from lightning_modules.optimization import OptimizerFactory, Schedule, TrainedModule
from networks.classifier import Classifier


class ClassifierTraining(TrainedModule):
    """A classifier trained by cross-entropy; logs ``train/loss``, ``val/loss`` and ``val/accuracy``.

    Args:
        classifier: The network to train; images in, logits out.
        make_optimizer: Makes the optimiser.
        schedule: Learning-rate schedule.
        label_smoothing: Share of the target probability that is spread over all classes, in [0, 1].
    """

    def __init__(
        self, classifier: Classifier, make_optimizer: OptimizerFactory, schedule: Schedule, label_smoothing: float
    ) -> None:
        super().__init__(make_optimizer, schedule)
        self.classifier, self.label_smoothing = classifier, label_smoothing

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of one batch."""
        images, labels, _ = batch
        loss = self.training_loss(images, labels)
        self.log("train/loss", loss, on_epoch=True, on_step=False, batch_size=len(images), sync_dist=True)
        return loss

    def training_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of images ``(B, 3, H, W)`` with labels ``(B,)``."""
        return F.cross_entropy(self.classifier(images), labels, label_smoothing=self.label_smoothing)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Accuracy and cross-entropy, over all images of the split."""
        images, labels, _ = batch
        if len(images):  # else none of them could be read
            self.log_predictions(self.classifier(images), labels)
