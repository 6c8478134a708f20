"""Pixels and activations of a classifier's images, collected once and kept for every factorisation."""

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from omegaconf import DictConfig

from datamodules.base import ImageDataModule, Split
from datamodules.subset import ImageSubset, stratified_indices
from methods.concepts.activation_collection import ActivationCollection, Collected, block_shapes, nonnegative_layers
from methods.concepts.blocks import Blocks
from methods.concepts.files import PIXELS
from methods.concepts.stored_blocks import BlockRows, StoredMatrix
from networks.activations import find_layer
from networks.classifier import Classifier
from study.artifact import Artifact, settings_of
from study.console import is_first_rank, say_skipped_images
from study.files import partial
from study.folder import study_folder
from study.trainer import make_trainer, without_accumulation

NOT_IN_NAMES = re.compile(r"[^\w.-]+")
COLLECTION = ("pool", "negative", "storage")
LOOKED_AT = 4  # images that show which layers make no negative number
STATISTICS = 6  # matrices (k, M) of doubles that a factorisation holds at once, beside those of other starts
COPIES = 3  # of all blocks side by side that k-means and PCA hold at once
SPARE = 0.8  # share of what is free that may be used
INSTEAD = "use concepts.pool=avg, fewer layers, fewer concepts.images"


@dataclass(frozen=True)
class Images:
    """Some images of a split.

    Attributes:
        split: Which.
        chosen: Positions, ascending.
    """

    split: Split
    chosen: list[int]


@dataclass(frozen=True)
class Activations:
    """Blocks of some images of one classifier.

    Attributes:
        names: Of the blocks, pixels first.
        shapes: Channels, height, width of each.
        matrices: Their files.
        rows: Which of their rows are images that could be read, ascending.
        index: Positions of these in their split, ``(N,)``.
        collected: What else is known; its arrays have a value for every row of the files.
    """

    names: list[str]
    shapes: list[tuple[int, int, int]]
    matrices: list[StoredMatrix]
    rows: npt.NDArray[np.int64]
    index: npt.NDArray[np.int64]
    collected: Collected

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Of the images, ``(N,)``."""
        return self.collected.labels[self.rows]

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """What the classifier says of them, ``(N,)``."""
        return self.collected.predicted[self.rows]

    def of(self, names: Sequence[str]) -> "Activations":
        """Some of the blocks."""
        places = [self.names.index(name) for name in names]
        some: dict[str, Any] = {
            key: [getattr(self.collected, key)[place] for place in places] for key in ("sums", "squares")
        }
        known = {key: getattr(self.collected, key) for key in ("seen", "labels", "predicted", "mean_image")}
        matrices, shapes = [self.matrices[place] for place in places], [self.shapes[place] for place in places]
        return Activations(list(names), shapes, matrices, self.rows, self.index, Collected(**known, **some))

    def not_empty(self) -> "Activations":
        """The blocks that are not 0 everywhere, as layers of a network with random weights may be."""
        squares = zip(self.names, self.collected.squares, strict=True)
        return self.of([name for name, square in squares if square > 0])

    def blocks(self, weights: Sequence[float] | None) -> Blocks:
        """What a factorisation has to know of them; weights ``1 / ‖X_b‖²`` by default."""
        widths = [matrix.shape[1] for matrix in self.matrices]
        squares = self.collected.squares
        empty = [name for name, square in zip(self.names, squares, strict=True) if square <= 0]
        if empty:
            raise ValueError(
                f"block {empty[0]} is 0 for every image, so nothing can be found in it: leave it out of concepts.layers"
            )
        return Blocks(widths, len(self.rows), squares, self.collected.sums, weights or [1 / one for one in squares])

    def passes(self, chunk: int, by_class: bool = False) -> BlockRows:
        """Passes over the rows; by class, no class is split among chunks."""
        return BlockRows(self.matrices, chunk, self.rows, self.labels if by_class else None)

    def stacked(self, weights: Sequence[float]) -> npt.NDArray[np.float32]:
        """All blocks side by side, each times √a_b, ``(N, M)``, in memory."""
        parts = [
            float(weight) ** 0.5 * matrix.read(self.rows).float().numpy()
            for weight, matrix in zip(weights, self.matrices, strict=True)
        ]
        return np.concatenate(parts, axis=1)


def choose_images(options: DictConfig, data: ImageDataModule) -> tuple[Images, Images]:
    """The images that are factorised, and others that are held out.

    Raises:
        ValueError: If none would be left to hold out.
    """
    fitted: Split = options.split
    other: Split = "test" if fitted == "val" else "val"
    chosen = stratified_indices(data.split(fitted), options.images)
    if not data.same_images("val", "test"):
        return Images(fitted, chosen), Images(other, stratified_indices(data.split(other), options.heldout_images))
    left = sorted(set(range(len(data.split(fitted)))) - set(chosen))
    if not left:
        raise ValueError(
            "the validation images are the test images, so none is left to hold out: use fewer than "
            f"{len(chosen)} in concepts.images"
        )
    count = len(left) if options.heldout_images is None else min(options.heldout_images, len(left))
    places = np.linspace(0, len(left) - 1, count).round().astype(int)
    return Images(fitted, chosen), Images(fitted, [left[place] for place in places])


def layers_of(options: DictConfig, classifier: Classifier, data: ImageDataModule, images: Images) -> list[str]:
    """The blocks: pixels, then layers by name, or some that make no negative numbers.

    Raises:
        ValueError: If there is no such layer, or one is there twice.
    """
    if options.layers is not None:
        layers = [str(layer) for layer in options.layers]
        for layer in layers:
            if layer != PIXELS:
                find_layer(classifier.network, layer)
    else:
        split = data.split(images.split)
        some = torch.stack([split[place][0] for place in images.chosen[:LOOKED_AT]]).float() / 255
        layers = nonnegative_layers(classifier, some, options.layer_count)
    names = ([PIXELS] if options.pixels else []) + layers
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"concepts.layers={layers}, concepts.pixels={options.pixels}: give one block or more, each once"
        )
    return names


def collect(
    cfg: DictConfig,
    classifier: Classifier,
    data: ImageDataModule,
    images: Images,
    layers: Sequence[str],
    place: Path,
    inputs: dict[str, str],
) -> Activations:
    """Collect blocks, or read those that were collected before.

    Args:
        cfg: The configuration.
        classifier: Whose.
        data: The images.
        images: Which of them.
        layers: Names of the blocks.
        place: The folder of their files.
        inputs: Fingerprints of images and weights.
    """
    options: Any = cfg.concepts
    first = data.split(images.split)[images.chosen[0]][0].float() / 255
    shapes = block_shapes(classifier, first, layers, options.pool, options.negative)
    settings = settings_of(cfg) | {key: options[key] for key in COLLECTION}
    settings |= {"layers": list(layers), "split": images.split, "images": listing(images.chosen)}
    paths = [place / f"{number}_{NOT_IN_NAMES.sub('_', layer)}.npy" for number, layer in enumerate(layers)]
    known = place / "images.npz"
    artifact = Artifact([known, *paths], place / "activations.json", settings, inputs, precious=False)
    if not artifact.exists():
        widths = [int(np.prod(shape)) for shape in shapes]
        measure(cfg, artifact, classifier, data, images, layers, widths)
    with np.load(known) as file:
        found = {name: file[name] for name in file.files}
    sums, squares = found.pop("sums").tolist(), found.pop("squares").tolist()
    collected = Collected(**found, sums=sums, squares=squares)
    rows = np.flatnonzero(collected.seen)
    index = np.array(images.chosen)[rows]
    return Activations(list(layers), shapes, [StoredMatrix.find(path) for path in paths], rows, index, collected)


def measure(
    cfg: DictConfig,
    artifact: Artifact,
    classifier: Classifier,
    data: ImageDataModule,
    images: Images,
    layers: Sequence[str],
    widths: Sequence[int],
) -> None:
    """Pass the images through the classifier and write the files, whole or not at all."""
    chosen = ImageSubset(data, images.chosen, images.split)
    trainer = make_trainer(without_accumulation(cfg, "32-true"))  # sums of rounded numbers would be rough
    known, *paths = artifact.files
    module = ActivationCollection(
        classifier,
        layers,
        [partial(path) for path in paths],
        widths,
        str(cfg.concepts.storage),
        images.chosen,
        cfg.concepts.pool,
        cfg.concepts.negative,
    )
    with artifact.making(0.0) if is_first_rank() else nullcontext():
        trainer.test(module, datamodule=chosen, verbose=False)
        if is_first_rank():
            np.savez_compressed(partial(known), **vars(module.result))
    trainer.strategy.barrier()
    say_skipped_images(chosen.unreadable(), study_folder(cfg).job("concepts"))


def listing(chosen: Sequence[int]) -> str:
    """What tells some positions from others, in few words."""
    return f"{len(chosen)}, {hashlib.sha256(repr(list(chosen)).encode()).hexdigest()[:16]}"


def check_columns(rows: int, columns: int, options: DictConfig) -> None:
    """Refuse, before anything is collected, more concepts than there are columns, or than memory holds.

    Args:
        rows: Images that are factorised.
        columns: Of all blocks.
        options: The settings.

    Raises:
        ValueError: Says how much it would take, and what takes less.
    """
    concepts = max(int(options.k), *map(int, options.ranks or [0]))
    if concepts > columns:
        raise ValueError(f"concepts.k={concepts}: the blocks have {columns} columns, so at most {columns} concepts")
    kept = STATISTICS + len(options.seeds)  # matrices (k, M)
    takes = kept * concepts * columns * 8 + rows * concepts * 8 + 2 * min(rows, options.chunk) * columns * 4
    if options.controls:  # k-means and PCA want all blocks side by side
        takes = max(takes, COPIES * rows * columns * 4)
    limit = memory() if options.memory is None else options.memory * 2**30
    if takes > SPARE * limit:
        more = ", or concepts.controls=false" if options.controls else ""
        raise ValueError(
            f"{concepts} concepts of {rows} images with {columns} numbers each take about {gibibytes(takes)} of "
            f"memory, and there are {gibibytes(limit)}: {INSTEAD}, a smaller concepts.k or concepts.chunk{more}"
        )


def check_disk(rows: int, columns: int, options: DictConfig, place: Path, there: int = 0) -> None:
    """Refuse what the disk would not hold, before it is collected.

    Args:
        rows: Images whose blocks are kept, counted for each network.
        columns: Of all blocks.
        options: The settings.
        place: Where they are kept.
        there: Bytes of them that are there already.

    Raises:
        ValueError: Says how much it would take, and what takes less.
    """
    folder = next(parent for parent in (place, *place.parents) if parent.exists())
    takes, free = rows * columns * np.dtype(options.storage).itemsize - there, shutil.disk_usage(folder).free
    if takes > SPARE * free:
        raise ValueError(
            f"{rows} images with {columns} numbers each take {gibibytes(takes)}, and {folder} has {gibibytes(free)} "
            f"free: {INSTEAD}, or concepts.storage=float16"
        )


def gibibytes(size: float) -> str:
    """A number of bytes, for people."""
    return f"{size / 2**30:.2g} GiB"


def memory() -> float:
    """Memory of this machine, in bytes."""
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
