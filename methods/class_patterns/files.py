"""The file of the patterns that one search has found."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from methods.class_patterns.masks import pixel_count, tie_seed, top_pixels

Array = npt.NDArray


@dataclass(frozen=True)
class PatternFile:
    """P patterns of one classifier, as they are kept in an ``.npz``.

    Attributes:
        masks: Soft, in [0, 1], float32, shape ``(P, H, W)``.
        canvases: uint8, shape ``(P, 3, H, W)``; where the kind is ``learned``, the colours found.
        targets: The class of each, ``(P,)``.
        kinds: ``own``, ``other``, ``noise`` or ``learned``, ``(P,)``.
        numbers: Counts canvases of the same class and kind, from 0, ``(P,)``.
        sources: The canvas's position in its split, ``(P,)``; -1 for noise.
        searched: Positions in that split of the images searched on.
        classes: Names of all classes, in the order of the labels.
    """

    masks: Array
    canvases: Array
    targets: Array
    kinds: Array
    numbers: Array
    sources: Array
    searched: Array
    classes: Array

    def save(self, path: Path) -> None:
        """Write the file."""
        np.savez_compressed(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> "PatternFile":
        """Read the file."""
        with np.load(path) as file:
            return cls(**{field.name: file[field.name] for field in fields(cls)})

    def pixels(self, pair: int, budget: int | float, seed: int) -> Array:
        """The pixels of a pattern.

        Args:
            pair: Which.
            budget: Share of all pixels, or, as an integer, their number.
            seed: Of the search; decides ties.

        Returns:
            Boolean, shape ``(H, W)``.
        """
        mask = torch.from_numpy(self.masks[pair])
        return top_pixels(mask, pixel_count(budget, mask.numel()), tie_seed(seed, pair)).numpy()

    def name(self, pair: int) -> str:
        """What a pattern is called: its class, the kind of its canvas, and a number."""
        return f"{self.classes[self.targets[pair]]} {self.kinds[pair]} {self.numbers[pair]}"
