"""The images that are factorised, and their blocks: collected once, and kept for every factorisation."""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from omegaconf import DictConfig

from datamodules.base import ImageDataModule, Split
from datamodules.views.subset import ImageSubset, stratified_indices
from methods.concepts.activation_collection import ActivationCollection, Collected, block_shapes, nonnegative_layers
from methods.concepts.blocks import BlockRows, Blocks, StoredMatrix
from methods.concepts.record import PIXELS, Integers
from networks.activations import find_layer
from networks.classifier import Classifier
from study.artifact import Artifact, settings_of
from study.folder import study_folder
from study.records import arrays_of, read_record
from study.step import Result, Step
from study.trainer import make_trainer, without_accumulation

NOT_IN_NAMES = re.compile(r"[^\w.-]+")
COLLECTION = ("pool", "negative", "storage")  # settings that decide the content of the files
PROBED = 4  # images that show which layers make no negative number
STATISTICS = 6  # matrices (k, M) of doubles that a factorisation holds at once, besides those of other starts
COPIES = 3  # of all blocks side by side that k-means and PCA hold at once
SPARE = 0.8  # share of the free memory or disk that may be used
INSTEAD = "use concepts.pool=avg, fewer layers, fewer concepts.images"


@dataclass(frozen=True)
class Images:
    """Some images of a split, by their positions in ascending order."""

    split: Split
    chosen: list[int]


@dataclass(frozen=True)
class Activations:
    """Blocks of some images of one classifier.

    Attributes:
        names: Names of the blocks, pixels first.
        shapes: Channels, height and width of each block.
        matrices: Their files.
        rows: Rows of the files whose images could be read, ascending.
        index: Positions of these images in their split, ``(N,)``.
        collected: What else is known; its arrays have a value for every row of the files.
    """

    names: list[str]
    shapes: list[tuple[int, int, int]]
    matrices: list[StoredMatrix]
    rows: Integers
    index: Integers
    collected: Collected

    @property
    def labels(self) -> Integers:
        """Labels of the images, ``(N,)``."""
        return self.collected.labels[self.rows]

    @property
    def predicted(self) -> Integers:
        """Predictions of the classifier, ``(N,)``."""
        return self.collected.predicted[self.rows]

    def of(self, names: Sequence[str]) -> "Activations":
        """Some of the blocks."""
        kept = [self.names.index(name) for name in names]
        collected = replace(self.collected, sums=self.collected.sums[kept], squares=self.collected.squares[kept])
        matrices, shapes = [self.matrices[block] for block in kept], [self.shapes[block] for block in kept]
        return replace(self, names=list(names), shapes=shapes, matrices=matrices, collected=collected)

    def not_empty(self) -> "Activations":
        """The blocks that are not 0 everywhere, as layers of a network with random weights may be."""
        squares = zip(self.names, self.collected.squares, strict=True)
        return self.of([name for name, square in squares if square > 0])

    def blocks(self, weights: Sequence[float] | None) -> Blocks:
        """What a factorisation has to know of them; ``None`` stands for the weights ``1 / ‖X_b‖²``."""
        widths = [matrix.shape[1] for matrix in self.matrices]
        squares = self.collected.squares.tolist()
        empty = [name for name, square in zip(self.names, squares, strict=True) if square <= 0]
        if empty:
            raise ValueError(f"block {empty[0]} is 0 for every image: leave it out of concepts.layers")
        weights = weights or [1 / square for square in squares]
        return Blocks(widths, len(self.rows), squares, self.collected.sums.tolist(), weights)

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


def choose_images(settings: DictConfig, data: ImageDataModule) -> tuple[Images, Images]:
    """The images that are factorised, and other images that are held out.

    Raises:
        ValueError: If no image would be left to hold out.
    """
    fitted: Split = settings.split
    other: Split = "test" if fitted == "val" else "val"
    chosen = stratified_indices(data.split(fitted), settings.images)
    if not data.same_images("val", "test"):
        return Images(fitted, chosen), Images(other, stratified_indices(data.split(other), settings.heldout_images))
    left = sorted(set(range(len(data.split(fitted)))) - set(chosen))
    if not left:
        raise ValueError(
            "the validation images are the test images, so none is left to hold out: use fewer than "
            f"{len(chosen)} in concepts.images"
        )
    count = len(left) if settings.heldout_images is None else min(settings.heldout_images, len(left))
    spread = np.linspace(0, len(left) - 1, count).round().astype(int)
    return Images(fitted, chosen), Images(fitted, [left[index] for index in spread])


def check_images(settings: DictConfig, data: ImageDataModule) -> None:
    """Refuse images that cannot be chosen by position, and more concepts than images."""
    if data.single_pass:
        raise ValueError("task=concepts chooses images by their position: use images in folders, not shards")
    images = len(choose_images(settings, data)[0].chosen)
    most = max(settings.k, *settings.ranks, 0)
    if most > images:
        raise ValueError(f"concepts.k={most}: there are {images} images, so at most {images} concepts")


def layers_of(settings: DictConfig, classifier: Classifier, data: ImageDataModule, images: Images) -> list[str]:
    """Names of the blocks: pixels, then the layers that are named, or some without negative activations.

    Raises:
        ValueError: If there is no such layer, or one is named twice.
    """
    if settings.layers is not None:
        layers = [str(layer) for layer in settings.layers]
        for layer in layers:
            if layer != PIXELS:
                find_layer(classifier.network, layer)
    else:
        split = data.split(images.split)
        some = torch.stack([split[position][0] for position in images.chosen[:PROBED]]).float() / 255
        layers = nonnegative_layers(classifier, some, settings.layer_count)
    names = ([PIXELS] if settings.pixels else []) + layers
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"concepts.layers={layers}, concepts.pixels={settings.pixels}: give one block or more, each once"
        )
    return names


def shapes_of(
    settings: DictConfig, classifier: Classifier, data: ImageDataModule, images: Images, layers: Sequence[str]
) -> list[tuple[int, int, int]]:
    """Channels, height and width of each block."""
    first = data.split(images.split)[images.chosen[0]][0].float() / 255
    return block_shapes(classifier, first, layers, settings.pool, settings.negative)


def collect(
    cfg: DictConfig,
    classifier: Classifier,
    data: ImageDataModule,
    images: Images,
    layers: Sequence[str],
    folder: Path,
    inputs: dict[str, str],
) -> Activations:
    """Collect blocks, or read those that were collected before.

    Args:
        cfg: The configuration.
        classifier: The classifier.
        data: The images.
        images: Those that are passed through the classifier.
        layers: Names of the blocks.
        folder: Folder of the files.
        inputs: Fingerprints of images and weights.
    """
    settings = cfg.concepts
    shapes = shapes_of(settings, classifier, data, images, layers)
    digest = hashlib.sha256(repr(images.chosen).encode()).hexdigest()[:16]
    described = {"layers": list(layers), "split": images.split, "images": f"{len(images.chosen)}, {digest}"}
    decisive = settings_of(cfg) | {key: settings[key] for key in COLLECTION} | described
    paths = [folder / f"{number}_{NOT_IN_NAMES.sub('_', layer)}.npy" for number, layer in enumerate(layers)]
    known = folder / "images.npz"
    artifact = Artifact([known, *paths], folder / "activations.json", decisive, inputs, precious=False)

    widths = [int(np.prod(shape)) for shape in shapes]
    working = [path.with_name(f".{path.stem}.working{path.suffix}") for path in paths]  # known to every rank
    module = ActivationCollection(
        classifier, layers, working, widths, settings.storage, images.chosen, settings.pool, settings.negative
    )
    subset = ImageSubset(data, images.chosen, images.split)
    Step(artifact, study_folder(cfg).job("concepts")).run(
        lambda: measure(cfg, module, subset, known, dict(zip(paths, working, strict=True)))
    )
    collected = read_record(Collected, known)
    rows = np.flatnonzero(collected.seen)
    matrices = [StoredMatrix.find(path) for path in paths]
    return Activations(list(layers), shapes, matrices, rows, np.array(images.chosen)[rows], collected)


def measure(
    cfg: DictConfig, module: ActivationCollection, subset: ImageSubset, known: Path, working: Mapping[Path, Path]
) -> Result:
    """Pass the images through the classifier; the module writes the blocks to working files as batches come."""
    trainer = make_trainer(without_accumulation(cfg, "32-true"))  # sums of rounded numbers would be rough
    try:
        trainer.test(module, datamodule=subset, verbose=False)
    except BaseException:
        for path in working.values():  # large, and useless when incomplete
            path.unlink(missing_ok=True)
        raise
    blocks: dict[str, Any] = {path.name: working[path].replace for path in working}
    return Result(0.0, blocks | {known.name: arrays_of(module.result)}, unreadable=subset.unreadable())


def check_columns(rows: int, columns: int, settings: DictConfig) -> None:
    """Refuse, before anything is collected, more concepts than columns, or than memory holds.

    Args:
        rows: Images that are factorised.
        columns: Columns of all blocks.
        settings: The settings.

    Raises:
        ValueError: Says how much memory it would take, and what takes less.
    """
    concepts = max(settings.k, *settings.ranks, 0)
    if concepts > columns:
        raise ValueError(f"concepts.k={concepts}: the blocks have {columns} columns, so at most {columns} concepts")
    matrices = STATISTICS + len(settings.seeds)  # of size (k, M)
    size = matrices * concepts * columns * 8 + rows * concepts * 8 + 2 * min(rows, settings.chunk) * columns * 4
    if settings.controls:  # k-means and PCA need all blocks side by side
        size = max(size, COPIES * rows * columns * 4)
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # memory of this machine, in bytes
    limit = whole if settings.memory is None else settings.memory * 2**30
    if size > SPARE * limit:
        more = ", or concepts.controls=false" if settings.controls else ""
        raise ValueError(
            f"{concepts} concepts of {rows} images with {columns} numbers each take about {gibibytes(size)} of "
            f"memory, and there are {gibibytes(limit)}: {INSTEAD}, a smaller concepts.k or concepts.chunk{more}"
        )


def check_disk(rows: int, columns: int, settings: DictConfig, folder: Path, present: int = 0) -> None:
    """Refuse activations that the disk would not hold, before they are collected.

    Args:
        rows: Images whose blocks are kept, counted once for each network.
        columns: Columns of all blocks.
        settings: The settings.
        folder: Folder of the files.
        present: Bytes of them that exist already.

    Raises:
        ValueError: Says how much space it would take, and what takes less.
    """
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    size, free = rows * columns * np.dtype(settings.storage).itemsize - present, shutil.disk_usage(existing).free
    if size > SPARE * free:
        raise ValueError(
            f"{rows} images with {columns} numbers each take {gibibytes(size)}, and {existing} has {gibibytes(free)} "
            f"free: {INSTEAD}, or concepts.storage=float16"
        )


def gibibytes(size: float) -> str:
    """A number of bytes, for people."""
    return f"{size / 2**30:.2g} GiB"
