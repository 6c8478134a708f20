"""What a classifier sees in images with patterns pasted on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_modules.finiteness import check_finite
from lightning_modules.per_image_results import as_array
from methods.class_patterns.masks import paste
from methods.class_patterns.search_module import check_targets
from metrics import PerImage
from networks.classifier import freeze


@dataclass(frozen=True)
class PatternPredictions:
    """Per-image results of N images for R patterns.

    Attributes:
        index: Position of each image in its split, ``(N,)``.
        labels: The images' classes, ``(N,)``.
        clean: The class seen in the image as it is, ``(N,)``.
        hits: 1 where the image with the pattern is seen as the pattern's class, uint8 ``(N, R)``.
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
        masks: Of each pattern, in [0, 1] or boolean, each ``(H, W)``.
        canvases: uint8, shape ``(C, 3, H, W)``.
        canvas_of: For each pattern the canvas that it is cut out of, ``(R,)``.
        targets: For each pattern the class that it shall stand for, ``(R,)``.
        index: Positions of the test images in their split, ascending.
        complete: Whether every image must be seen; else those that were not are left out of the result.
        chunk: Images of a forward pass.

    Raises:
        ValueError: If the classifier has no logit for a target; in ``test_step`` when an output is not finite.
    """

    result: PatternPredictions

    def __init__(
        self,
        classifier: nn.Module,
        masks: Sequence[Tensor],
        canvases: Tensor,
        canvas_of: Tensor,
        targets: Tensor,
        index: Sequence[int],
        complete: bool = True,
        chunk: int = 256,
    ) -> None:
        super().__init__()
        if not len(masks) == len(canvas_of) == len(targets) or not len(masks):
            raise ValueError(f"{len(masks)} masks, {len(canvas_of)} canvases, {len(targets)} targets: expected as many")
        self.classifier, self.chunk = freeze(classifier), chunk
        check_targets(classifier, targets, canvases.shape[-2:])
        self.masks, self.canvases, self.canvas_of, self.targets = list(masks), canvases, canvas_of, targets
        self.register_buffer("chosen", torch.tensor(index), persistent=False)
        self.seen = PerImage(len(index), (), torch.uint8, complete=complete)
        self.labels = PerImage(len(index), (), torch.long, complete=complete)
        self.clean = PerImage(len(index), (), torch.long, complete=complete)
        self.hits = PerImage(len(index), (len(masks),), torch.uint8, complete=complete)

    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Show the classifier one batch, as it is and with every pattern."""
        images, labels, index = batch
        if not len(images):
            return  # none of them could be read
        place = torch.searchsorted(self.get_buffer("chosen"), index)
        self.seen.update(torch.ones_like(index, dtype=torch.uint8), place)
        self.labels.update(labels, place)
        self.clean.update(self.answers(images, index), place)
        together = max(1, self.chunk // len(images))
        hits = [self.hits_of(rows, images, index) for rows in torch.arange(len(self.masks)).split(together)]
        self.hits.update(torch.cat(hits, dim=1), place)

    def hits_of(self, rows: Tensor, images: Tensor, index: Tensor) -> Tensor:
        """1 where an image ``(B, 3, H, W)`` with a pattern is seen as its class, uint8 ``(B, len(rows))``."""
        masks = torch.stack([self.masks[row].to(images) for row in rows.tolist()])
        canvases = self.canvases[self.canvas_of[rows]].to(images) / 255
        pasted = paste(images[:, None], canvases[None], masks[None]).flatten(0, 1)
        seen = self.answers(pasted, index.repeat_interleave(len(rows))).reshape(len(images), -1)
        return (seen == self.targets[rows].to(seen.device)).to(torch.uint8)

    def answers(self, images: Tensor, index: Tensor) -> Tensor:
        """The class seen in each image, ``(B,)``."""
        logits = torch.cat([self.classifier(part) for part in images.split(self.chunk)])
        check_finite(logits, index, "the output of a classifier, shown patterns,")
        return logits.argmax(dim=1)

    def on_test_epoch_end(self) -> None:
        """Put the ranks' predictions together."""
        seen = as_array(self.seen).astype(bool)
        index = self.get_buffer("chosen").cpu().numpy()
        labels, clean, hits = (as_array(metric)[seen] for metric in (self.labels, self.clean, self.hits))
        self.result = PatternPredictions(index[seen], labels, clean, hits)
