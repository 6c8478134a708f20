"""What layers of a classifier make of images, one row for each image, written to files as they come."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_modules.finiteness import check_finite
from methods.concepts.files import PIXELS
from methods.concepts.stored_blocks import StoredMatrix
from methods.layer_features.layer_inputs import PASSING
from networks.activations import list_layers, recorded
from networks.classifier import freeze
from networks.layouts import channels_first

Pool = Literal["avg", "max", "none"]
Negative = Literal["refuse", "split"]
NETWORK = "network"  # the name of a classifier's network within it: what it makes are logits


@dataclass(frozen=True)
class Collected:
    """What is known of the images collected; rows are those of the files.

    Attributes:
        seen: Which rows are there: not those of images that could not be read, ``(N,)``.
        labels: ``(N,)``.
        predicted: What the classifier says, ``(N,)``.
        sums: Of each block's entries.
        squares: Sum of the squares of each block's entries.
        mean_image: In [0, 1], ``(3, H, W)``.
    """

    seen: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    sums: list[float]
    squares: list[float]
    mean_image: npt.NDArray[np.float32]


class ActivationCollection(pl.LightningModule):
    """Pass the test images through a classifier and keep pixels and activations of layers; no negative numbers.

    Every rank writes the rows of its own images; sums are added up over ranks, in float64.

    Args:
        classifier: A :class:`~networks.classifier.Classifier`; frozen here.
        layers: Names within ``classifier.network``; ``pixels`` are the images as they come.
        paths: The file of each layer, made by the first rank.
        widths: m_b of each layer.
        dtype: Of the files.
        chosen: Positions of the images in their split, ascending, in the order of the rows.
        pool: What is kept of a layer with places: the mean, the largest, or all of it.
        negative: Whether negative activations are refused, or split: ``[x]₊`` and ``[−x]₊`` become two channels.

    Attributes:
        result: After the test.

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
        pool: Pool = "avg",
        negative: Negative = "refuse",
    ) -> None:
        super().__init__()
        self.classifier = freeze(classifier)
        self.layers, self.pool, self.negative = list(layers), pool, negative
        self.paths, self.widths, self.dtype_at_rest = list(paths), list(widths), dtype
        self.matrices: list[StoredMatrix] = []
        self.chosen = torch.tensor(list(chosen))
        count = len(self.chosen)
        self.known = torch.zeros(3, count, dtype=torch.long)  # seen, labels, predicted
        self.sums = torch.zeros(2, len(self.layers), dtype=torch.float64)
        self.image_sum = torch.zeros(0)

    def on_test_start(self) -> None:
        """Make the files."""
        if self.trainer.is_global_zero:
            for path, width in zip(self.paths, self.widths, strict=True):
                StoredMatrix.create(path, len(self.chosen), width, self.dtype_at_rest)
        self.trainer.strategy.barrier()
        self.matrices = [StoredMatrix.find(path) for path in self.paths]

    @torch.no_grad()
    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Keep a batch."""
        images, labels, index = batch
        if not len(images):
            return  # none of them could be read
        rows = torch.searchsorted(self.chosen, index.cpu())
        activations = record(self.classifier, images, self.layers)
        for place, layer in enumerate(self.layers):
            values = images if layer == PIXELS else activations[layer]
            kept = self.usable(values, index, layer)
            flat = pooled(kept, "none" if layer == PIXELS else self.pool).flatten(1).cpu().numpy()
            if flat.max(initial=0) > np.finfo(self.dtype_at_rest).max:
                raise ValueError(f"layer {layer} makes numbers too large for {self.dtype_at_rest}: use float32")
            stored = flat.astype(self.dtype_at_rest)
            self.matrices[place].write(rows.numpy(), stored)
            exact = torch.from_numpy(stored).double()
            self.sums[:, place] += torch.stack([exact.sum(), (exact**2).sum()])
        predicted = activations[NETWORK].argmax(dim=1).cpu()
        self.known[:, rows] = torch.stack([torch.ones_like(rows), labels.cpu(), predicted])
        total = images.double().sum(dim=0).cpu()
        self.image_sum = total if not self.image_sum.numel() else self.image_sum + total

    def usable(self, values: Tensor, index: Tensor, layer: str) -> Tensor:
        """Activations ``(N, C, H, W)`` from 0 on."""
        values = channels_first(values.float())
        check_finite(values, index, f"what layer {layer} makes")
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
        """Put together what ranks have seen."""
        known, sums = self.summed(self.known), self.summed(self.sums)
        if not self.image_sum.numel():
            self.image_sum = torch.zeros(self.matrices_shape(), dtype=torch.float64)
        seen, labels, predicted = known.numpy()
        mean = self.summed(self.image_sum) / max(1, int(seen.sum()))
        entries, squares = sums.tolist()
        self.result = Collected(seen.astype(bool), labels, predicted, entries, squares, mean.float().numpy())

    def matrices_shape(self) -> tuple[int, ...]:
        """Of the images, for a rank that has seen none."""
        image, _, _ = self.trainer.datamodule.split("test")[0]  # type: ignore[attr-defined]
        return tuple(image.shape)

    def summed(self, part: Tensor) -> Tensor:
        """The sum over all ranks."""
        return self.trainer.strategy.reduce(part.to(self.device), reduce_op="sum").cpu()


def record(classifier: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """What layers make of images, by name, and ``network``: logits.

    Args:
        classifier: The classifier.
        images: In [0, 1], ``(N, 3, H, W)``.
        layers: Names within ``classifier.network``; ``pixels`` is left out.
    """
    names = [f"{NETWORK}.{layer}" for layer in layers if layer != PIXELS]
    with recorded(classifier, [*names, NETWORK]) as read:
        classifier(images)
        found = read()
    return {name.removeprefix(f"{NETWORK}."): values for name, values in found.items()}


def pooled(values: Tensor, pool: Pool) -> Tensor:
    """``(N, C, H, W)`` with one place, or all of them."""
    if pool not in get_args(Pool):
        raise ValueError(f"concepts.pool={pool!r} is unknown; choose {', '.join(get_args(Pool))}")
    if pool == "none":
        return values
    return values.mean(dim=(2, 3), keepdim=True) if pool == "avg" else values.amax(dim=(2, 3), keepdim=True)


def nonnegative_layers(classifier: nn.Module, images: Tensor, count: int) -> list[str]:
    """Layers that make no negative number of some images, spread evenly; the last one is among them.

    Those that only hand on, pool or reshape what another one makes are left out.

    Args:
        classifier: As for :class:`ActivationCollection`.
        images: Some, ``(N, 3, H, W)``.
        count: How many, or all if there are fewer.

    Raises:
        ValueError: If there is none.
    """
    prefix = f"{NETWORK}."
    names = [layer.name for layer in list_layers(classifier, images) if layer.name.startswith(prefix)]
    kinds = {name: type(classifier.get_submodule(name)).__name__ for name in names}
    passing = {name for name in names if any(word in kinds[name] for word in PASSING)}
    with torch.no_grad(), recorded(classifier, names) as read:
        classifier(images)
        made = read()
    found: dict[str, Tensor] = {}
    for name in names:
        values = made[name].flatten()
        if values.min() < 0 or not values.any() or any(torch.equal(values, other) for other in found.values()):
            continue
        found[name] = values  # of one that hands on, too: a block that ends with it makes the same
    kept = [name for name in found if name not in passing]
    if not kept:
        raise ValueError(
            "no layer of this network makes numbers from 0 on only: name layers in concepts.layers, and use "
            "concepts.negative=split"
        )
    if count < len(kept):
        kept = [kept[place] for place in np.linspace(0, len(kept) - 1, count + 1).round().astype(int)[1:]]
    return [name.removeprefix(prefix) for name in kept]


def block_shapes(
    classifier: nn.Module, image: Tensor, layers: Sequence[str], pool: Pool, negative: Negative
) -> list[tuple[int, int, int]]:
    """Channels, height and width of each block, found by passing one image ``(3, H, W)``."""
    with torch.no_grad():
        found = record(classifier, image[None], layers)
    shapes = []
    for layer in layers:
        values = channels_first(image[None] if layer == PIXELS else found[layer])
        values = pooled(values, "none" if layer == PIXELS else pool)
        channels, height, width = values.shape[1:]
        shapes.append((channels * 2 if negative == "split" and layer != PIXELS else channels, height, width))
    return shapes
