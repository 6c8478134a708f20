"""What a classifier says to every test image as it is, and with a trigger in it."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_modules.finiteness import check_finite
from lightning_modules.per_image_results import as_array
from metrics import PerImage
from networks.classifier import Classifier, freeze


class BackdoorAnswers(pl.LightningModule):
    """The answers to clean and to triggered images; ``result`` holds them after the test.

    Args:
        classifier: Images in, logits out; frozen here.
        stamp: Puts the trigger into uint8 images ``(B, 3, H, W)``, given their positions in the split.
        images: Number of images in the test split.
        complete: Whether every image must be seen.

    Attributes:
        result: A row for each image that was seen: its label, the answer to it as it is, and the answer to it with
            the trigger; ``(N, 3)``.
    """

    result: npt.NDArray[np.int64]

    def __init__(
        self, classifier: Classifier, stamp: Callable[[Tensor, list[int]], Tensor], images: int, complete: bool = True
    ) -> None:
        super().__init__()
        self.classifier, self.stamp = freeze(classifier), stamp
        self.answers = PerImage(images, (4,), torch.int64, complete=complete)

    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Keep the answers to one batch."""
        images, labels, index = batch
        if not len(images):
            return  # none of them could be read
        pixels = (images * 255).round().to(torch.uint8)  # as the data holds them
        triggered = self.stamp(pixels, index.tolist()).to(images.dtype) / 255
        found = [labels]
        for shown in (images, triggered):
            logits = self.classifier(shown)
            check_finite(logits, index, "the output of the classifier")
            found.append(logits.argmax(dim=1))
        self.answers.update(torch.stack([*found, torch.ones_like(labels)], dim=1), index)

    def on_test_epoch_end(self) -> None:
        """Put the answers of all ranks together."""
        rows = as_array(self.answers)
        self.result = rows[rows[:, 3] == 1, :3]
