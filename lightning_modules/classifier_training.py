"""Training of a classifier by cross-entropy."""

import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from lightning_modules.optimization import OptimizerFactory, Schedule, TrainedModule
from networks.classifier import Classifier


class ClassifierTraining(TrainedModule):
    """A classifier trained by cross-entropy; logs ``train/loss``, ``val/loss`` and ``val/accuracy``.

    Args:
        classifier: The network to train; images in, logits out.
        classes: Number of classes.
        make_optimizer: Makes the optimiser.
        schedule: Learning-rate schedule.
        label_smoothing: Share of the target probability that is spread over all classes, in [0, 1].
    """

    def __init__(
        self,
        classifier: Classifier,
        classes: int,
        make_optimizer: OptimizerFactory,
        schedule: Schedule,
        label_smoothing: float,
    ) -> None:
        super().__init__(make_optimizer, schedule)
        self.classifier = classifier
        self.label_smoothing = label_smoothing
        # torchmetrics would average accuracy over classes, and leave NaN losses out of a mean
        self.accuracy, self.loss = MulticlassAccuracy(classes, average="micro"), MeanMetric(nan_strategy="disable")

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        """Cross-entropy of one batch."""
        images, labels, _ = batch
        loss = F.cross_entropy(self.classifier(images), labels, label_smoothing=self.label_smoothing)
        self.log("train/loss", loss, on_epoch=True, on_step=False, batch_size=len(images), sync_dist=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Accuracy and cross-entropy, over all images of the split."""
        images, labels, _ = batch
        if not len(images):
            return  # none of them could be read
        logits = self.classifier(images)
        self.accuracy(logits, labels)
        self.log("val/accuracy", self.accuracy, prog_bar=True, batch_size=len(images))
        self.loss(F.cross_entropy(logits, labels, reduction="none"))
        self.log("val/loss", self.loss, batch_size=len(images))
