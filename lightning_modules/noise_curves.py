"""Accuracy under additive noise: of classifiers alone, behind A_S, and each behind its A_i."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightning_modules.finiteness import check_finite
from lightning_modules.per_image_results import PerImageResults
from lightning_modules.reconstruction import ReconstructionEvaluation
from networks.classifier import Classifier
from networks.seeding import image_noise
from networks.segnet import SegNet
from stats.names import ORIGINAL, PRETRAINED


@dataclass(frozen=True)
class NoiseCurvesResult:
    """Per-image results of N images at E strengths of noise, for K curves.

    Attributes:
        curves: For each curve the row that the classifier is shown (``original``: the noisy image itself) and the
            classifier's name.
        epsilons: Strengths of the noise.
        index: Position of each image in its split, ``(N,)``.
        labels: The right class of each image, ``(N,)``.
        predicted: The prediction, ``(N, E, K)``.
    """

    curves: list[tuple[str, str]]
    epsilons: list[float]
    index: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray


class NoiseCurves(ReconstructionEvaluation):
    """One pass over the test images at every strength of noise, which is added before any autoencoder.

    Each image has one noise image, scaled: at ε it is uniform in [-ε, ε], independent for each pixel and channel.
    After ``trainer.test`` the result is in ``result``, the same for any number of ranks.

    Source: arXiv 1803.08337, section 4 (additive uniform noise, ε in [0, 1]).

    Args:
        autoencoders: By name: ``pretrained`` (A_S) and those in ``fine_tuned``.
        classifiers: By name.
        fine_tuned: For each classifier the names of its A_i, one for each seed.
        images: Number of test images.
        epsilons: Strengths of the noise, each in [0, 1], none twice.
        seed: Decides the noise.
        clamp: Whether noisy images are clamped to [0, 1]. The paper does not say that it did; clamping weakens strong
            noise where the image is dark or bright.
        complete: Whether every image must be seen.
    """

    def __init__(
        self,
        autoencoders: Mapping[str, SegNet],
        classifiers: Mapping[str, Classifier],
        fine_tuned: Mapping[str, Sequence[str]],
        images: int,
        epsilons: Sequence[float],
        *,
        seed: int,
        clamp: bool,
        complete: bool = True,
    ) -> None:
        super().__init__(autoencoders, classifiers)
        self.curves = [(row, column) for column in self.columns for row in (ORIGINAL, PRETRAINED, *fine_tuned[column])]
        self.epsilons, self.seed, self.clamp = [float(epsilon) for epsilon in epsilons], seed, clamp
        shape = (len(self.epsilons), len(self.curves))
        self.results = PerImageResults(images, complete, labels=((), torch.long), predicted=(shape, torch.long))

    def measure(self, images: Tensor, labels: Tensor, index: Tensor) -> None:
        """Classify one batch at every strength of noise."""
        noise = image_noise("uniform", index, images.shape[1:], self.seed).to(images)
        predicted = []
        for epsilon in self.epsilons:
            noisy = images + epsilon * noise
            predicted.append(self.predict(noisy.clamp(0, 1) if self.clamp else noisy, index, epsilon))
        self.results.update(index, labels=labels, predicted=torch.stack(predicted, dim=1))

    def predict(self, images: Tensor, index: Tensor, epsilon: float) -> Tensor:
        """The prediction for each noisy image along each curve, ``(N, K)``."""
        predicted = torch.zeros(len(images), len(self.curves), dtype=torch.long, device=images.device)
        for row, shown in zip(self.rows, self.reconstruct(images), strict=True):
            check_finite(shown, index, f"the reconstruction of {row!r} at epsilon {epsilon}")
            for position, (source, column) in enumerate(self.curves):
                if source == row:
                    logits = self.classifier(column)(shown)
                    check_finite(logits, index, f"the output of classifier {column!r}, fed by {row!r},")
                    # Not argmax: among equal logits topk may choose another class, and CrossEvaluation uses topk
                    predicted[:, position] = logits.topk(min(5, logits.shape[1])).indices[:, 0]
        return predicted

    def on_test_epoch_end(self) -> None:
        """Put the ranks' results together."""
        index, values = self.results.compute()
        self.result = NoiseCurvesResult(self.curves, self.epsilons, index, **values)
