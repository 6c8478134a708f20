"""Every autoencoder's reconstructions, seen by every classifier."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_modules.finiteness import check_finite
from lightning_modules.reconstruction import reconstructions
from metrics import PerImage, normalized_mutual_information
from networks.classifier import Classifier, freeze
from networks.segnet import SegNet
from stats.names import ORIGINAL


@dataclass(frozen=True)
class CrossEvaluationResult:
    """Per-image results of N images, R rows (the originals, then the autoencoders) and C classifiers.

    Attributes:
        rows: ``original`` and the autoencoders' names.
        columns: The classifiers' names.
        index: Position of each image in its split, ``(N,)``; images that could not be read are left out.
        labels: The right class of each image for each classifier, ``(N, C)``.
        predicted: The class each classifier saw, ``(N, R, C)``.
        top5: Whether the right class was among its five best, ``(N, R, C)``, 0 or 1.
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
        """Whether the best guess was right, ``(N, R, C)``, 0 or 1."""
        return (self.predicted == self.labels[:, None, :]).astype(np.int8)


class CrossEvaluation(pl.LightningModule):
    """One pass over the test images: each reconstructed once per autoencoder, and classified by everyone.

    Autoencoders whose encoders hold the same weights share one encoder pass. After ``trainer.test`` the result is in
    ``result``, the same for any number of ranks.

    Source: arXiv 1803.08337, sections 4 and 5.

    Args:
        autoencoders: By name, in the order of the rows.
        classifiers: By name, in the order of the columns.
        images: Number of test images.
        nmi_bins: Intensity bins of the nMI.
        complete: Whether every image must be seen; else those that were not are left out of the result.
        answers: The right class of each image for each classifier, ``(images, C)``, if they were asked different
            questions; ``None`` takes the images' labels.

    Raises:
        ValueError: In ``test_step``, when a reconstruction or a logit is not finite; names the autoencoder, the
            classifier and the image.
    """

    result: CrossEvaluationResult
    answers: Tensor | None

    def __init__(
        self,
        autoencoders: Mapping[str, SegNet],
        classifiers: Mapping[str, Classifier],
        images: int,
        nmi_bins: int,
        complete: bool = True,
        answers: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.rows, self.columns = [ORIGINAL, *autoencoders], list(classifiers)
        self.autoencoders = nn.ModuleList(freeze(autoencoder) for autoencoder in autoencoders.values())
        self.classifiers = nn.ModuleList(freeze(classifier) for classifier in classifiers.values())
        self.encoder_of = first_equal([autoencoder.encoder for autoencoder in autoencoders.values()])
        self.nmi_bins = nmi_bins
        self.register_buffer("answers", answers, persistent=False)
        shape = (len(self.rows), len(self.columns))
        self.seen = PerImage(images, (), torch.int32, complete=complete)
        self.labels = PerImage(images, shape[1:], torch.long, complete=complete)
        self.predicted = PerImage(images, shape, torch.long, complete=complete)
        self.top5 = PerImage(images, shape, torch.int32, complete=complete)
        self.nmi_intra = PerImage(images, shape[:1], torch.float64, complete=complete)
        self.seen_pairs = PerImage(max(1, images // 2), (), torch.int32, complete=False)
        self.nmi_inter = PerImage(max(1, images // 2), shape[:1], torch.float64, complete=False)

    def reconstruct(self, images: Tensor) -> Iterator[Tensor]:
        """Yield the images themselves, then each autoencoder's reconstruction of them, in the order of the rows."""
        return reconstructions(self.autoencoders, self.encoder_of, images)

    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Reconstruct, classify and compare one batch; neighbours in it are the pairs of the inter nMI."""
        images, labels, index = batch
        if not len(images):
            return  # none of them could be read
        right = labels[:, None].expand(-1, len(self.columns)) if self.answers is None else self.answers[index]
        pairs = torch.nonzero((index[:-1] % 2 == 0) & (index[1:] == index[:-1] + 1)).flatten()
        predicted, top5, intra, inter = [], [], [], []
        for row, seen in zip(self.rows, self.reconstruct(images), strict=True):
            check_finite(seen, index, f"the reconstruction of {row!r}")
            logits = torch.stack([classifier(seen) for classifier in self.classifiers], dim=1)
            for column, name in enumerate(self.columns):
                check_finite(logits[:, column], index, f"the output of classifier {name!r}, fed by {row!r},")
            best = logits.topk(min(5, logits.shape[-1])).indices
            predicted.append(best[..., 0])
            top5.append((best == right[..., None]).any(dim=-1).int())
            visible = seen.float().clamp(0, 1)
            intra.append(normalized_mutual_information(images.float(), visible, bins=self.nmi_bins))
            inter.append(normalized_mutual_information(visible[pairs], visible[pairs + 1], bins=self.nmi_bins))
        self.seen.update(torch.ones_like(index, dtype=torch.int32), index)
        self.labels.update(right, index)
        self.predicted.update(torch.stack(predicted, dim=1), index)
        self.top5.update(torch.stack(top5, dim=1), index)
        self.nmi_intra.update(torch.stack(intra, dim=1), index)
        self.seen_pairs.update(torch.ones_like(pairs, dtype=torch.int32), index[pairs] // 2)
        self.nmi_inter.update(torch.stack(inter, dim=1), index[pairs] // 2)

    def on_test_epoch_end(self) -> None:
        """Put the ranks' results together."""
        index = np.flatnonzero(as_array(self.seen))
        pairs = np.flatnonzero(as_array(self.seen_pairs))
        per_image = (self.labels, self.predicted, self.top5, self.nmi_intra)
        arrays = [as_array(metric)[index] for metric in per_image] + [as_array(self.nmi_inter)[pairs]]
        self.result = CrossEvaluationResult(self.rows, self.columns, index, *arrays)


def as_array(metric: PerImage) -> np.ndarray:
    """A metric's values over all ranks."""
    array: np.ndarray = metric.compute().cpu().numpy()
    return array


def first_equal(modules: list[nn.Module]) -> list[int]:
    """For each module, the position of the first one with exactly the same weights and buffers."""
    states = [module.state_dict() for module in modules]
    return [
        next(
            earlier
            for earlier in range(position + 1)
            if states[earlier].keys() == state.keys()
            and all(torch.equal(states[earlier][key], tensor) for key, tensor in state.items())
        )
        for position, state in enumerate(states)
    ]
