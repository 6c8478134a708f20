"""Colours, frequencies and checkerboards of every source of images, and features of every classifier on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightning_modules.finiteness import check_finite
from lightning_modules.penultimate import penultimate_features
from lightning_modules.per_image_results import PerImageResults
from lightning_modules.reconstruction import ReconstructionEvaluation
from metrics.lab import LabHistogram, lab_edges
from metrics.spectrum import Checkerboard, RadialSpectrum
from networks.classifier import Classifier
from networks.segnet import SegNet
from stats.names import ORIGINAL, PRETRAINED


@dataclass(frozen=True)
class SignalStatisticsResult:
    """Statistics of R rows (the originals, then the autoencoders), summed over all images.

    Attributes:
        rows: ``original`` and the autoencoders' names.
        lab_edges: Edges of the histograms' bins, ``(3, bins + 1)``, LAB units.
        lab_counts: Pixels by L, a and b, ``(R, 3, bins)``.
        frequencies: Of the spectra, cycles per pixel, ``(K,)``.
        power: Mean power per frequency, ``(R, K)``.
        periods: In pixels, P of them.
        checkerboard: Scores in decibel, ``(R, P, 3)``: horizontal, vertical, diagonal.
        features: Penultimate features ``(M, d)`` of M images by classifier and row: of the originals, A_S and the
            classifier's own A_i.
    """

    rows: list[str]
    lab_edges: np.ndarray
    lab_counts: np.ndarray
    frequencies: np.ndarray
    power: np.ndarray
    periods: list[float]
    checkerboard: np.ndarray
    features: dict[tuple[str, str], Tensor]


class SignalStatistics(ReconstructionEvaluation):
    """One pass over the test images: reconstructions are measured, and classifiers compute features of some of them.

    LAB histograms are computed from images clamped to [0, 1], as people see them; spectra and checkerboards from
    unclamped images, as classifiers see them. After ``trainer.test`` the result is in ``result``, the same for any
    number of ranks.

    Source: arXiv 1803.08337, section 4 (LAB histograms, checkerboards).

    Args:
        autoencoders: By name, in the order of the rows; one of them is A_S, ``pretrained``.
        classifiers: By name.
        fine_tuned: For each classifier the name of its A_i.
        images: Number of test images.
        size: Their height and width.
        periods: Of the checkerboard scores, in pixels.
        feature_images: Number of images with features, spread evenly over the split; 4 or more for CKA.
        complete: Whether every image must be seen.
    """

    lab: Any  # a metric for each row, as the next two
    spectra: Any
    checkerboards: Any

    def __init__(
        self,
        autoencoders: Mapping[str, SegNet],
        classifiers: Mapping[str, Classifier],
        fine_tuned: Mapping[str, str],
        images: int,
        size: tuple[int, int],
        periods: Sequence[float],
        feature_images: int,
        complete: bool = True,
    ) -> None:
        super().__init__(autoencoders, classifiers)
        self.lab = nn.ModuleList(LabHistogram() for _ in self.rows)
        self.spectra = nn.ModuleList(RadialSpectrum(min(size) // 2) for _ in self.rows)
        self.checkerboards = nn.ModuleList(Checkerboard(periods, size) for _ in self.rows)
        chosen = torch.linspace(0, images - 1, min(feature_images, images), dtype=torch.float64).round().long()
        rows_of = {column: (ORIGINAL, PRETRAINED, fine_tuned[column]) for column in self.columns}
        self.cells = [(column, row) for row in self.rows for column in self.columns if row in rows_of[column]]
        self.widths = {name: feature_width(classifier, size) for name, classifier in classifiers.items()}
        shapes = {str(cell): ((self.widths[column],), torch.float32) for cell, (column, _) in enumerate(self.cells)}
        self.features = PerImageResults(chosen.tolist(), complete, **shapes)

    def measure(self, images: Tensor, labels: Tensor, index: Tensor) -> None:
        """Reconstruct and measure one batch."""
        with_features, features = self.features.is_wanted(index), {}
        for row, (name, shown) in enumerate(zip(self.rows, self.reconstruct(images), strict=True)):
            check_finite(shown, index, f"the reconstruction of {name!r}")
            self.lab[row].update(shown.float().clamp(0, 1))  # float: bf16 has too few levels for histograms
            self.spectra[row].update(shown.float())
            self.checkerboards[row].update(shown.float())
            for cell, (column, source) in enumerate(self.cells):
                if source == name:
                    features[str(cell)] = self.compute_features(column, shown[with_features])
        self.features.update(index[with_features], **features)

    def compute_features(self, column: str, images: Tensor) -> Tensor:
        """Penultimate features of a classifier, ``(N, d)``."""
        if not len(images):
            return torch.zeros(0, self.widths[column], device=images.device)
        return features_of(self.classifier(column), images)

    def on_test_epoch_end(self) -> None:
        """Put the ranks' results together."""
        lab, power, scores = (
            np.stack([metric.compute().cpu().numpy() for metric in metrics])
            for metrics in (self.lab, self.spectra, self.checkerboards)
        )
        _, features = self.features.compute()
        frequencies, periods = self.spectra[0].frequencies().numpy(), self.checkerboards[0].periods
        self.result = SignalStatisticsResult(
            self.rows, lab_edges().numpy(), lab, frequencies, power, periods, scores,
            {cell: torch.from_numpy(features[str(number)]) for number, cell in enumerate(self.cells)},
        )  # fmt: skip


@torch.no_grad()
def feature_width(classifier: Classifier, size: tuple[int, int]) -> int:
    """Number of penultimate features of a classifier."""
    return features_of(classifier, torch.zeros(1, 3, *size)).shape[1]


def features_of(classifier: nn.Module, images: Tensor) -> Tensor:
    """Penultimate features of a classifier for images ``(N, 3, H, W)``, ``(N, d)``."""
    with penultimate_features(classifier) as features:
        classifier(images)
        return features()
