"""Colours, frequencies and checkerboards of every source of images, and features of every classifier on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from lightning_modules.cross_evaluation import first_equal
from lightning_modules.finiteness import check_finite
from lightning_modules.penultimate import penultimate_features
from lightning_modules.reconstruction import reconstructions
from metrics import Checkerboard, LabHistogram, PerImage, RadialSpectrum, lab_edges
from networks.classifier import Classifier, freeze
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


class SignalStatistics(pl.LightningModule):
    """One pass over the test images: each reconstructed once per autoencoder and measured; some classified, too.

    LAB histograms are of images clamped to [0, 1], as people see them; spectra and checkerboards of images as they
    are, as classifiers see them. After ``trainer.test`` the result is in ``result``, the same for any number of ranks.

    Source: arXiv 1803.08337, section 4 (LAB histograms, checkerboards).

    Args:
        autoencoders: By name, in the order of the rows; one of them is A_S, ``pretrained``.
        classifiers: By name.
        own: For each classifier the name of its own autoencoder.
        images: Number of test images.
        size: Their height and width.
        periods: Of the checkerboard scores, in pixels.
        feature_images: How many images' features are kept, spread evenly over the split.
        complete: Whether every image must be seen.
    """

    def __init__(
        self,
        autoencoders: Mapping[str, SegNet],
        classifiers: Mapping[str, Classifier],
        own: Mapping[str, str],
        images: int,
        size: tuple[int, int],
        periods: Sequence[float],
        feature_images: int,
        complete: bool = True,
    ) -> None:
        super().__init__()
        if feature_images < 1:
            raise ValueError(f"feature_images={feature_images}; expected 1 or more, and 4 or more for CKA")
        self.rows, self.columns = [ORIGINAL, *autoencoders], list(classifiers)
        self.autoencoders = nn.ModuleList(freeze(autoencoder) for autoencoder in autoencoders.values())
        self.classifiers = nn.ModuleList(freeze(classifier) for classifier in classifiers.values())
        self.encoder_of = first_equal([autoencoder.encoder for autoencoder in autoencoders.values()])
        self.lab = nn.ModuleList(LabHistogram() for _ in self.rows)
        self.spectra = nn.ModuleList(RadialSpectrum(min(size) // 2) for _ in self.rows)
        self.boards = nn.ModuleList(Checkerboard(periods, size) for _ in self.rows)
        chosen = torch.linspace(0, images - 1, min(feature_images, images), dtype=torch.float64).round().long()
        self.register_buffer("chosen", chosen, persistent=False)
        self.cells = [
            (column, row) for row in self.rows for column in self.columns if row in (ORIGINAL, PRETRAINED, own[column])
        ]
        self.widths = {name: feature_width(classifier, size) for name, classifier in classifiers.items()}
        self.features = nn.ModuleList(
            PerImage(len(chosen), (self.widths[column],), complete=complete) for column, _ in self.cells
        )
        self.seen = PerImage(len(chosen), (), torch.int32, complete=complete)

    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Reconstruct and measure one batch."""
        images, _, index = batch
        if not len(images):
            return  # none of them could be read
        assert isinstance(self.chosen, Tensor)
        slots = torch.searchsorted(self.chosen, index).clamp(max=len(self.chosen) - 1)
        kept = self.chosen[slots] == index
        self.seen.update(torch.ones_like(slots[kept], dtype=torch.int32), slots[kept])
        made = reconstructions(self.autoencoders, self.encoder_of, images)
        for row, name, shown in zip(range(len(self.rows)), self.rows, made, strict=True):
            check_finite(shown, index, f"the reconstruction of {name!r}")
            update(self.lab[row], shown.float().clamp(0, 1))
            update(self.spectra[row], shown.float())
            update(self.boards[row], shown.float())
            for cell, (column, source) in enumerate(self.cells):
                if source == name:
                    update(self.features[cell], self.compute_features(column, shown[kept]), slots[kept])

    def compute_features(self, column: str, images: Tensor) -> Tensor:
        """Penultimate features of a classifier, ``(N, d)``."""
        if not len(images):
            return torch.zeros(0, self.widths[column], device=images.device)
        classifier = self.classifiers[self.columns.index(column)]
        with penultimate_features(classifier) as features:
            classifier(images)
            return features()

    def on_test_epoch_end(self) -> None:
        """Put the ranks' results together."""
        seen = self.seen.compute().cpu().bool()
        lab, power, scores = (np.stack(computed(metrics)) for metrics in (self.lab, self.spectra, self.boards))
        features = [torch.from_numpy(values)[seen] for values in computed(self.features)]
        spectrum, board = self.spectra[0], self.boards[0]
        assert isinstance(spectrum, RadialSpectrum)
        assert isinstance(board, Checkerboard)
        self.result = SignalStatisticsResult(
            self.rows, lab_edges().numpy(), lab, spectrum.frequencies().numpy(), power, board.periods, scores,
            dict(zip(self.cells, features, strict=True)),
        )  # fmt: skip


def update(metric: nn.Module, *values: Tensor) -> None:
    """Add values to a metric of a list."""
    assert isinstance(metric, Metric)
    metric.update(*values)


def computed(metrics: nn.ModuleList) -> list[np.ndarray]:
    """The values of metrics over all ranks."""
    return [metric.compute().cpu().numpy() for metric in metrics if isinstance(metric, Metric)]


@torch.no_grad()
def feature_width(classifier: Classifier, size: tuple[int, int]) -> int:
    """Number of penultimate features of a classifier."""
    with penultimate_features(classifier) as features:
        classifier(torch.zeros(1, 3, *size))
        return features().shape[1]
