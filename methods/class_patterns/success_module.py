"""The predictions of a classifier on images with patterns pasted on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_modules.finiteness import check_finite
from lightning_modules.per_image_results import PerImageResults
from methods.class_patterns.patterns import paste
from methods.class_patterns.search_module import check_targets
from networks.classifier import freeze


@dataclass(frozen=True)
class PatternPredictions:
    """Results of N images for R patterns.

    Attributes:
        index: Index of each image in its split, ``(N,)``.
        labels: The label of each image, ``(N,)``.
        clean: The prediction on each image without a pattern, ``(N,)``.
        hits: 1 where the prediction on the image with the pattern is the pattern's target class, uint8 ``(N, R)``.
    """

    index: np.ndarray
    labels: np.ndarray
    clean: np.ndarray
    hits: np.ndarray


class PatternSuccess(pl.LightningModule):
    """One pass over test images, each with every pattern pasted on it in turn.

    After ``trainer.test`` the predictions are in ``result``, the same for any number of ranks.

    Args:
        classifier: From images in [0, 1] to logits.
        masks: One for each pattern, in [0, 1] or boolean, each ``(H, W)``.
        canvases: One for each pattern, uint8, each ``(3, H, W)``; patterns may share one without a copy.
        targets: Target class of each pattern, ``(R,)``.
        index: Indices of the test images in their split, ascending.
        complete: Whether every image must be seen; otherwise missing images are left out of the result.
        chunk: Images of a forward pass.

    Raises:
        ValueError: If the classifier has no logit for a target; in ``test_step`` when an output is not finite.
    """

    result: PatternPredictions

    def __init__(
        self,
        classifier: nn.Module,
        masks: Sequence[Tensor],
        canvases: Sequence[Tensor],
        targets: Tensor,
        index: Sequence[int],
        *,
        complete: bool,
        chunk: int,
    ) -> None:
        super().__init__()
        if not len(masks) == len(canvases) == len(targets) or not len(masks):
            raise ValueError(f"{len(masks)} masks, {len(canvases)} canvases, {len(targets)} targets: expected as many")
        self.classifier, self.chunk = freeze(classifier), chunk
        check_targets(classifier, targets, canvases[0].shape[-2:])
        self.masks, self.canvases, self.targets = masks, canvases, targets
        self.results = PerImageResults(
            index, complete, labels=((), torch.long), clean=((), torch.long), hits=((len(masks),), torch.uint8)
        )

    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Predict one batch without a pattern and with every pattern."""
        images, labels, index = batch
        if not len(images):
            return  # none of them could be read
        clean = self.predictions(images, index)
        together = max(1, self.chunk // len(images))
        starts = range(0, len(self.masks), together)
        hits = [self.hits_of(slice(start, start + together), images, index) for start in starts]
        self.results.update(index, labels=labels, clean=clean, hits=torch.cat(hits, dim=1))

    def hits_of(self, patterns: slice, images: Tensor, index: Tensor) -> Tensor:
        """1 where the prediction on an image with a pattern is its target, uint8 ``(B, patterns)``."""
        masks = torch.stack([mask.to(images) for mask in self.masks[patterns]])
        canvases = torch.stack(list(self.canvases[patterns])).to(images) / 255
        pasted = paste(images[:, None], canvases[None], masks[None]).flatten(0, 1)
        predictions = self.predictions(pasted, index.repeat_interleave(len(masks))).reshape(len(images), -1)
        return (predictions == self.targets[patterns].to(predictions.device)).to(torch.uint8)

    def predictions(self, images: Tensor, index: Tensor) -> Tensor:
        """The prediction on each image, ``(B,)``."""
        logits = torch.cat([self.classifier(part) for part in images.split(self.chunk)])
        check_finite(logits, index, "the output of a classifier, shown patterns,")
        return logits.argmax(dim=1)

    def on_test_epoch_end(self) -> None:
        """Put the predictions of all ranks together."""
        index, values = self.results.compute()
        self.result = PatternPredictions(index, **values)
