"""Accuracy under additive noise: of classifiers alone, behind A_S, and each behind its own A_i."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_modules.cross_evaluation import as_array, first_equal
from lightning_modules.finiteness import check_finite
from lightning_modules.reconstruction import reconstructions
from metrics import PerImage
from networks.classifier import Classifier, freeze
from networks.segnet import SegNet
from stats.names import ORIGINAL, PRETRAINED


@dataclass(frozen=True)
class NoiseCurvesResult:
    """Per-image results of N images at E strengths of noise, for K curves.

    Attributes:
        curves: For each curve the row that it is fed by (``original`` is the noisy image itself) and its classifier.
        epsilons: Strengths of the noise.
        index: Position of each image in its split, ``(N,)``.
        labels: The right class of each image, ``(N,)``.
        predicted: The class seen, ``(N, E, K)``.
    """

    curves: list[tuple[str, str]]
    epsilons: list[float]
    index: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray


def unit_noise(index: Tensor, shape: Sequence[int], seed: int) -> Tensor:
    """Uniform noise in [-1, 1) for each image, decided by the seed and the image's position in its split alone.

    Args:
        index: Position of each image, ``(N,)``.
        shape: Shape of one image.
        seed: Decides all noise.

    Returns:
        Float32 on the CPU, shape ``(N, *shape)``.
    """
    drawn = []
    for image in index.tolist():
        generator = torch.Generator().manual_seed(hash((seed, image)) % 2**62)
        drawn.append(2 * torch.rand(*shape, generator=generator) - 1)
    return torch.stack(drawn)


class NoiseCurves(pl.LightningModule):
    """One pass over the test images: every strength of noise, added to the image before any autoencoder.

    Each image gets one noise, scaled: at ε it is uniform in [-ε, ε], independent for each pixel and channel. After
    ``trainer.test`` the result is in ``result``, the same for any number of ranks.

    Source: arXiv 1803.08337, section 4 (additive uniform noise, ε in [0, 1]).

    Args:
        autoencoders: By name, ``pretrained`` (A_S) and those that ``own`` names.
        classifiers: By name.
        own: For each classifier the names of its own autoencoders, one for each seed.
        images: Number of test images.
        epsilons: Strengths of the noise, each in [0, 1], none twice.
        seed: Decides the noise.
        clamp: Whether noisy images are cut to [0, 1]. Off by default: the paper does not say that it did, and cutting
            makes strong noise weaker and darker or brighter where the image is.
        complete: Whether every image must be seen.
    """

    def __init__(
        self,
        autoencoders: Mapping[str, SegNet],
        classifiers: Mapping[str, Classifier],
        own: Mapping[str, Sequence[str]],
        images: int,
        epsilons: Sequence[float],
        seed: int = 0,
        clamp: bool = False,
        complete: bool = True,
    ) -> None:
        super().__init__()
        check_epsilons(epsilons)
        self.rows, self.columns = [ORIGINAL, *autoencoders], list(classifiers)
        self.autoencoders = nn.ModuleList(freeze(autoencoder) for autoencoder in autoencoders.values())
        self.classifiers = nn.ModuleList(freeze(classifier) for classifier in classifiers.values())
        self.encoder_of = first_equal([autoencoder.encoder for autoencoder in autoencoders.values()])
        self.curves = [(row, column) for column in self.columns for row in (ORIGINAL, PRETRAINED, *own[column])]
        self.epsilons, self.seed, self.clamp = [float(epsilon) for epsilon in epsilons], seed, clamp
        self.seen = PerImage(images, (), torch.int32, complete=complete)
        self.labels = PerImage(images, (), torch.long, complete=complete)
        self.predicted = PerImage(images, (len(self.epsilons), len(self.curves)), torch.long, complete=complete)

    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Classify one batch at every strength of noise."""
        images, labels, index = batch
        if not len(images):
            return  # none of them could be read
        noise = unit_noise(index, images.shape[1:], self.seed).to(images)
        answers = [self.answers(self.noisy(images, epsilon * noise), index, epsilon) for epsilon in self.epsilons]
        self.seen.update(torch.ones_like(index, dtype=torch.int32), index)
        self.labels.update(labels, index)
        self.predicted.update(torch.stack(answers, dim=1), index)

    def noisy(self, images: Tensor, noise: Tensor) -> Tensor:
        """Images with noise, cut to [0, 1] if so wanted."""
        return (images + noise).clamp(0, 1) if self.clamp else images + noise

    def answers(self, images: Tensor, index: Tensor, epsilon: float) -> Tensor:
        """The class seen in each image along each curve, ``(N, K)``."""
        found = torch.zeros(len(images), len(self.curves), dtype=torch.long, device=images.device)
        made = reconstructions(self.autoencoders, self.encoder_of, images)
        for row, shown in zip(self.rows, made, strict=True):
            check_finite(shown, index, f"the reconstruction of {row!r} at epsilon {epsilon}")
            for position, (source, column) in enumerate(self.curves):
                if source == row:
                    logits = self.classifiers[self.columns.index(column)](shown)
                    check_finite(logits, index, f"the output of classifier {column!r}, fed by {row!r},")
                    found[:, position] = logits.topk(min(5, logits.shape[1])).indices[
                        :, 0
                    ]  # as CrossEvaluation, ties too
        return found

    def on_test_epoch_end(self) -> None:
        """Put the ranks' results together."""
        index = np.flatnonzero(as_array(self.seen))
        self.result = NoiseCurvesResult(
            self.curves, self.epsilons, index, as_array(self.labels)[index], as_array(self.predicted)[index]
        )


def check_epsilons(epsilons: Sequence[float]) -> None:
    """Refuse strengths of noise that make no curve."""
    outside = [epsilon for epsilon in epsilons if not (math.isfinite(epsilon) and 0 <= epsilon <= 1)]
    if outside or not epsilons or len(set(epsilons)) < len(epsilons):
        raise ValueError(
            f"noise_curves.epsilons={list(epsilons)}: name at least one strength of noise, each from 0 to 1 and once"
        )
