"""Accuracy of a classifier on the original images, with the preprocessing of its published evaluation."""

from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from lightning_modules.finiteness import check_finite
from lightning_modules.image_test import ImageTest
from networks.classifier import Classifier


class NativeAccuracy(ImageTest):
    """A classifier's accuracy on images already resized and cropped for it; logs ``test/top1`` and ``test/top5``.

    Args:
        classifier: The classifier; its own resizing and cropping are left out.
        classes: Number of classes.
    """

    def __init__(self, classifier: Classifier, classes: int) -> None:
        super().__init__()
        self.network = nn.Sequential(classifier.normalization, classifier.network)
        self.freeze_parts("network")
        self.top1 = MulticlassAccuracy(classes, average="micro")
        self.top5 = MulticlassAccuracy(classes, average="micro", top_k=min(5, classes))

    def measure(self, images: Tensor, labels: Tensor, index: Tensor) -> None:
        """Count right predictions, over all ranks."""
        logits = self.network(images)
        check_finite(logits, index, "the output of the classifier")
        self.top1.update(logits, labels)
        self.top5.update(logits, labels)

    def on_test_epoch_end(self) -> None:
        """Log both accuracies."""
        self.log("test/top1", self.top1)
        self.log("test/top5", self.top5)
