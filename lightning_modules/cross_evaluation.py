"""Every autoencoder's reconstructions, classified by every classifier."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightning_modules.finiteness import check_finite
from lightning_modules.per_image_results import PerImageResults, stacked
from lightning_modules.reconstruction import ReconstructionEvaluation
from metrics.nmi import normalized_mutual_information
from networks.classifier import Classifier
from networks.segnet import SegNet


@dataclass(frozen=True)
class CrossEvaluationResult:
    """Per-image results of N images, R rows (the originals, then the autoencoders) and C classifiers.

    Attributes:
        rows: ``original`` and the autoencoders' names.
        columns: The classifiers' names.
        index: Position of each image in its split, ``(N,)``; images that could not be read are left out.
        labels: The right class of each image for each classifier, ``(N, C)``.
        predicted: Each classifier's prediction, ``(N, R, C)``.
        top5: Whether the right class is among its five best, ``(N, R, C)``, 0 or 1.
        nmi_intra: nMI of each image and its reconstruction, ``(N, R)``; 1 for the originals.
        nmi_inter: nMI of the reconstructions of images 2k and 2k + 1 of the split, ``(pairs, R)``.
    """

    rows: list[str]
    columns: list[str]
    index: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    top5: np.ndarray
    nmi_intra: np.ndarray
    nmi_inter: np.ndarray

    @property
    def top1(self) -> np.ndarray:
        """Whether the prediction is right, ``(N, R, C)``, 0 or 1."""
        return (self.predicted == self.labels[:, None, :]).astype(np.int8)


class CrossEvaluation(ReconstructionEvaluation):
    """One pass over the test images: each is reconstructed by every autoencoder, and classified by every classifier.

    After ``trainer.test`` the result is in ``result``, the same for any number of ranks.

    Source: arXiv 1803.08337, sections 4 and 5.

    Args:
        autoencoders: By name, in the order of the rows.
        classifiers: By name, in the order of the columns.
        images: Number of test images.
        nmi_bins: Intensity bins of the nMI.
        complete: Whether every image must be seen; otherwise images that were not seen are left out of the result.
        targets: The right class of each image for each classifier, ``(images, C)``, if classifiers have labels of
            their own; ``None`` takes the images' labels.

    Raises:
        ValueError: In ``measure``, when a reconstruction or a logit is not finite; names the autoencoder, the
            classifier and the image.
    """

    result: CrossEvaluationResult
    targets: Tensor | None

    def __init__(
        self,
        autoencoders: Mapping[str, SegNet],
        classifiers: Mapping[str, Classifier],
        images: int,
        nmi_bins: int,
        complete: bool = True,
        targets: Tensor | None = None,
    ) -> None:
        super().__init__(autoencoders, classifiers)
        self.nmi_bins = nmi_bins
        self.register_buffer("targets", targets, persistent=False)
        r, c = len(self.rows), len(self.columns)
        self.per_image = PerImageResults(
            images,
            complete,
            labels=((c,), torch.long),
            predicted=((r, c), torch.long),
            top5=((r, c), torch.int32),
            nmi_intra=((r,), torch.float64),
        )
        # Never complete: an image that could not be read leaves its pair out, and an odd last image has none
        self.per_pair = PerImageResults(max(1, images // 2), complete=False, nmi_inter=((r,), torch.float64))

    def measure(self, images: Tensor, labels: Tensor, index: Tensor) -> None:
        """Reconstruct, classify and compare one batch; images 2k and 2k + 1 are the pairs of the inter nMI."""
        targets = labels[:, None].expand(-1, len(self.columns)) if self.targets is None else self.targets[index]
        pairs = torch.nonzero((index[:-1] % 2 == 0) & (index[1:] == index[:-1] + 1)).flatten()
        rows, inter = [], []
        for row, shown in zip(self.rows, self.reconstruct(images), strict=True):
            check_finite(shown, index, f"the reconstruction of {row!r}")
            predicted, among_five = [], []
            for column, (name, classifier) in enumerate(zip(self.columns, self.classifiers, strict=True)):
                logits = classifier(shown)  # as many as this classifier has classes
                check_finite(logits, index, f"the output of classifier {name!r}, fed by {row!r},")
                best = logits.topk(min(5, logits.shape[1])).indices
                predicted.append(best[:, 0])  # not argmax, so that top-1 is among the top-5 also in ties
                among_five.append((best == targets[:, column, None]).any(dim=1).int())
            visible = shown.float().clamp(0, 1)  # for the histograms only; classifiers see it unclamped
            rows.append({
                "predicted": torch.stack(predicted, dim=1),
                "top5": torch.stack(among_five, dim=1),
                "nmi_intra": normalized_mutual_information(images.float(), visible, bins=self.nmi_bins),
            })  # fmt: skip
            inter.append(normalized_mutual_information(visible[pairs], visible[pairs + 1], bins=self.nmi_bins))
        self.per_image.update(index, labels=targets, **stacked(rows))
        self.per_pair.update(index[pairs] // 2, nmi_inter=torch.stack(inter, dim=1))

    def on_test_epoch_end(self) -> None:
        """Put the ranks' results together."""
        index, per_image = self.per_image.compute()
        _, per_pair = self.per_pair.compute()
        self.result = CrossEvaluationResult(self.rows, self.columns, index, **per_image, **per_pair)
