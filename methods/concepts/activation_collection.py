"""Activations of the layers of a classifier, one row for each image, written to files batch by batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_modules.finiteness import check_finite
from methods.concepts.blocks import StoredMatrix
from methods.concepts.record import PIXELS, Array
from networks.activations import list_layers, recorded
from networks.classifier import freeze
from networks.layouts import channels_first

Pool = Literal["avg", "max", "none"]
Negative = Literal["refuse", "split"]
NETWORK = "network"  # the name of a classifier's network within it: its output are logits
RESHAPING = ("Pool", "Dropout", "Identity", "Flatten", "Pad", "Norm", "Permute")  # kinds of layers without features
POOLS: dict[Pool, Callable[[Tensor], Tensor]] = {
    "avg": lambda values: values.mean(dim=(2, 3), keepdim=True),
    "max": lambda values: values.amax(dim=(2, 3), keepdim=True),
    "none": lambda values: values,
}


@dataclass(frozen=True)
class Collected:
    """What is known of the images collected; rows are those of the files.

    Attributes:
        seen: False for images that could not be read, ``(N,)``.
        labels: Labels of the images, ``(N,)``.
        predicted: Predictions of the classifier, ``(N,)``.
        sums: Sum of the entries of each block, ``(B,)``.
        squares: Sum of the squares of the entries of each block, ``(B,)``.
        mean_image: Mean of the images, in [0, 1], ``(3, H, W)``.
    """

    seen: Array
    labels: Array
    predicted: Array
    sums: Array
    squares: Array
    mean_image: Array


class ActivationCollection(pl.LightningModule):
    """Passes the test images through a classifier and keeps pixels and activations of layers; no negative numbers.

    Every rank writes the rows of its own images; sums are added up over ranks, in float64.

    Args:
        classifier: A :class:`~networks.classifier.Classifier`; frozen here.
        layers: Names within ``classifier.network``; ``pixels`` stands for the images themselves.
        paths: The file of each layer, made by the first rank.
        widths: m_b of each layer.
        dtype: Type of the numbers in the files.
        chosen: Positions of the images in their split, ascending, in the order of the rows.
        pool: What is kept of the positions of a layer: the mean, the maximum, or all of them.
        negative: Whether negative activations are refused, or split: ``[x]₊`` and ``[−x]₊`` become two channels.

    Attributes:
        result: Set after the test.

    Raises:
        ValueError: In the test, if an activation is not finite, or negative where that is refused.
    """

    result: Collected

    def __init__(
        self,
        classifier: nn.Module,
        layers: Sequence[str],
        paths: Sequence[Path],
        widths: Sequence[int],
        dtype: str,
        chosen: Sequence[int],
        pool: Pool,
        negative: Negative,
    ) -> None:
        super().__init__()
        self.classifier = freeze(classifier)
        self.layers, self.pool, self.negative = list(layers), pool, negative
        self.paths, self.widths, self.storage = list(paths), list(widths), dtype
        self.matrices: list[StoredMatrix] = []
        self.chosen = torch.tensor(list(chosen))
        self.known = torch.zeros(3, len(self.chosen), dtype=torch.long)  # seen, labels, predicted
        self.sums = torch.zeros(2, len(self.layers), dtype=torch.float64)  # of entries, of their squares
        self.image_sum = torch.zeros(0)

    def on_test_start(self) -> None:
        """Make the files."""
        if self.trainer.is_global_zero:
            for path, width in zip(self.paths, self.widths, strict=True):
                StoredMatrix.create(path, len(self.chosen), width, self.storage)
        self.trainer.strategy.barrier()
        self.matrices = [StoredMatrix.find(path) for path in self.paths]

    @torch.no_grad()
    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Write the rows of a batch."""
        images, labels, index = batch
        if not len(images):
            return  # no image of the batch could be read
        rows = torch.searchsorted(self.chosen, index.cpu())
        activations = record(self.classifier, images, self.layers)
        for block, layer in enumerate(self.layers):
            values = self.usable(images if layer == PIXELS else activations[layer], index, layer)
            flat = pooled(values, layer, self.pool).flatten(1).cpu().numpy()
            if flat.max(initial=0) > np.finfo(self.storage).max:
                raise ValueError(f"layer {layer} makes numbers too large for {self.storage}: use float32")
            stored = flat.astype(self.storage)
            self.matrices[block].write(rows.numpy(), stored)
            exact = torch.from_numpy(stored).double()
            self.sums[:, block] += torch.stack([exact.sum(), (exact**2).sum()])
        predicted = activations[NETWORK].argmax(dim=1).cpu()
        self.known[:, rows] = torch.stack([torch.ones_like(rows), labels.cpu(), predicted])
        total = images.double().sum(dim=0).cpu()
        self.image_sum = total if not self.image_sum.numel() else self.image_sum + total

    def usable(self, values: Tensor, index: Tensor, layer: str) -> Tensor:
        """Activations ``(N, C, H, W)`` from 0 on."""
        values = channels_first(values.float())
        check_finite(values, index, f"the activation of layer {layer}")
        if layer != PIXELS and self.negative == "split":
            return torch.cat([values.clamp(min=0), (-values).clamp(min=0)], dim=1)
        lowest = values.flatten(1).amin(dim=1)
        if float(lowest.min()) < 0:
            image = int(index[lowest.argmin()])
            raise ValueError(
                f"layer {layer} makes negative numbers ({float(lowest.min()):.3g} for image {image}), and concepts are "
                "sums of parts: name layers behind a ReLU in concepts.layers, or use concepts.negative=split"
            )
        return values

    def on_test_epoch_end(self) -> None:
        """Combine what the ranks have seen."""
        known, sums = self.summed(self.known), self.summed(self.sums)
        if not self.image_sum.numel():  # a rank without images
            image, _, _ = self.trainer.datamodule.split("test")[0]  # type: ignore[attr-defined]
            self.image_sum = torch.zeros(tuple(image.shape), dtype=torch.float64)
        seen, labels, predicted = known.numpy()
        mean = self.summed(self.image_sum) / max(1, int(seen.sum()))
        entries, squares = sums.numpy()
        self.result = Collected(seen.astype(bool), labels, predicted, entries, squares, mean.float().numpy())

    def summed(self, part: Tensor) -> Tensor:
        """The sum over all ranks."""
        return self.trainer.strategy.reduce(part.to(self.device), reduce_op="sum").cpu()


def record(classifier: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Activations of layers by name, and logits by the name ``network``.

    Args:
        classifier: The classifier.
        images: In [0, 1], ``(N, 3, H, W)``.
        layers: Names within ``classifier.network``; ``pixels`` is left out.
    """
    names = [f"{NETWORK}.{layer}" for layer in layers if layer != PIXELS]
    with recorded(classifier, [*names, NETWORK]) as read:
        classifier(images)
        activations = read()
    return {name.removeprefix(f"{NETWORK}."): values for name, values in activations.items()}


def pooled(values: Tensor, layer: str, pool: Pool) -> Tensor:
    """Activations ``(N, C, H, W)`` with one position or, where nothing is pooled, all of them; pixels never are."""
    return POOLS["none" if layer == PIXELS else pool](values)


def nonnegative_layers(classifier: nn.Module, images: Tensor, count: int) -> list[str]:
    """Layers without negative activations for some images, spread evenly; the last one is among them.

    Layers that only pass on, pool or reshape the activation of another layer are left out.

    Args:
        classifier: As for :class:`ActivationCollection`.
        images: Some images, ``(N, 3, H, W)``.
        count: Number of layers; all if there are fewer.

    Raises:
        ValueError: If there is none.
    """
    prefix = f"{NETWORK}."
    kinds = {layer.name: layer.kind for layer in list_layers(classifier, images) if layer.name.startswith(prefix)}
    with torch.no_grad(), recorded(classifier, list(kinds)) as read:
        classifier(images)
        activations = read()
    distinct: dict[str, Tensor] = {}
    for name in kinds:
        values = activations[name].flatten()
        repeated = any(torch.equal(values, other) for other in distinct.values())
        if values.min() >= 0 and values.any() and not repeated:
            distinct[name] = values  # of reshaping layers, too: a block that ends with one repeats its activation
    kept = [name for name in distinct if not any(word in kinds[name] for word in RESHAPING)]
    if not kept:
        raise ValueError(
            "no layer of this network makes numbers from 0 on only: name layers in concepts.layers, and use "
            "concepts.negative=split"
        )
    if count < len(kept):
        kept = [kept[index] for index in np.linspace(0, len(kept) - 1, count + 1).round().astype(int)[1:]]
    return [name.removeprefix(prefix) for name in kept]


def block_shapes(
    classifier: nn.Module, image: Tensor, layers: Sequence[str], pool: Pool, negative: Negative
) -> list[tuple[int, int, int]]:
    """Channels, height and width of each block, known from one image ``(3, H, W)``."""
    with torch.no_grad():
        activations = record(classifier, image[None], layers)
    shapes = []
    for layer in layers:
        values = pooled(channels_first(image[None] if layer == PIXELS else activations[layer]), layer, pool)
        channels, height, width = values.shape[1:]
        shapes.append((channels * 2 if negative == "split" and layer != PIXELS else channels, height, width))
    return shapes
