"""The decisions of a classifier: what it predicts on original images, and how sure it is."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_modules.finiteness import check_finite
from lightning_modules.image_test import ImageTest
from lightning_modules.per_image_results import PerImageResults
from networks.classifier import Classifier


@dataclass(frozen=True)
class Decisions:
    """The decisions of a classifier on the images of a split.

    Attributes:
        predicted: The class with the largest logit, ``(N,)``; -1 where an image could not be read.
        confidence: Its probability (softmax), in [0, 1], ``(N,)``; 0 where an image could not be read.
        second: The class with the second largest logit, ``(N,)``; -1 as above.
        classes: Name of each class.
    """

    predicted: np.ndarray
    confidence: np.ndarray
    second: np.ndarray
    classes: np.ndarray


class DecisionMaking(ImageTest):
    """Asks a frozen classifier about every image, in its own view; the result is in ``result``.

    Args:
        classifier: The classifier.
        images: Number of images.
        classes: Name of each class.
        complete: Whether every image must be seen.

    Raises:
        ValueError: In ``measure``, if a logit is not finite; names the image.
    """

    result: Decisions

    def __init__(self, classifier: Classifier, images: int, classes: list[str], complete: bool = True) -> None:
        super().__init__()
        self.classifier, self.images, self.classes = classifier, images, classes
        self.freeze_parts("classifier")
        self.per_image = PerImageResults(
            images,
            complete,
            predicted=((), torch.long),
            second=((), torch.long),
            confidence=((), torch.float64),
        )

    def measure(self, images: Tensor, labels: Tensor, index: Tensor) -> None:
        """Decide on one batch."""
        logits = self.classifier(images)
        check_finite(logits, index, "the output of the classifier")
        # as in cross evaluation: among equal logits, argmax may choose another class
        best = logits.topk(min(5, logits.shape[1])).indices
        confidence = logits.double().softmax(dim=1).gather(1, best[:, :1])[:, 0]
        self.per_image.update(
            index, predicted=best[:, 0], second=best[:, min(1, best.shape[1] - 1)], confidence=confidence
        )

    def on_test_epoch_end(self) -> None:
        """Put the ranks' decisions together."""
        index, values = self.per_image.compute()
        whole: dict[str, Any] = {name: np.full(self.images, -1, dtype=np.int64) for name in ("predicted", "second")}
        whole["confidence"] = np.zeros(self.images)
        for name, array in whole.items():
            array[index] = values[name]
        self.result = Decisions(classes=np.array(self.classes), **whole)
