"""Several values for each image of a split, gathered over any number of ranks, each image once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metrics.per_image import PerImage


class PerImageResults(nn.Module):
    """Named values of the images of a split, or of some of them.

    Args:
        images: Number of images in the split; or the indices of the images that have values, ascending.
        complete: Whether every image must be seen; otherwise images that were not seen are left out.
        **values: Shape and dtype of one image's value, by name; ``torch.bool`` is not possible (it has no sum).
    """

    values: Any  # PerImage metrics by name

    def __init__(
        self, images: int | Sequence[int], complete: bool, **values: tuple[Sequence[int], torch.dtype]
    ) -> None:
        super().__init__()
        index = torch.arange(images) if isinstance(images, int) else torch.tensor(images)
        self.register_buffer("index", index, persistent=False)
        # A metric of its own: the states of the others are those of one rank again once they are computed
        self.seen = PerImage(len(index), (), torch.int32, complete=complete)
        self.values = nn.ModuleDict(
            {name: PerImage(len(index), shape, dtype, complete=complete) for name, (shape, dtype) in values.items()}
        )

    def is_wanted(self, index: Tensor) -> Tensor:
        """Whether images have values here, ``(B,)``."""
        wanted = self.get_buffer("index")
        return wanted[torch.searchsorted(wanted, index).clamp(max=len(wanted) - 1)] == index

    def update(self, index: Tensor, **values: Tensor) -> None:
        """Add the values of one batch.

        Args:
            index: Position of each image in the split, ``(B,)``.
            **values: Every named value, ``(B, *shape)``.

        Raises:
            ValueError: If an image is not one of those that have values, or a shape or dtype does not fit.
        """
        foreign = index[~self.is_wanted(index)]
        if len(foreign):
            raise ValueError(f"image {int(foreign[0])} is not one of those that results are wanted of")
        position = torch.searchsorted(self.get_buffer("index"), index)
        self.seen.update(torch.ones_like(index, dtype=torch.int32), position)
        for name, metric in self.values.items():
            metric.update(values[name], position)

    def compute(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Gather the values of all ranks.

        Returns:
            Indices of the N images that were seen, ``(N,)``, and their values by name, ``(N, *shape)``.

        Raises:
            RuntimeError: If an image was seen twice, or is missing where all must be seen.
        """
        seen = self.seen.compute().bool().cpu().numpy()
        values = {name: metric.compute().cpu().numpy()[seen] for name, metric in self.values.items()}
        return self.get_buffer("index").cpu().numpy()[seen], values


def stacked(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Values ``(B, ...)`` of each of several networks by name, joined along a new dimension after the images."""
    return {name: torch.stack([part[name] for part in parts], dim=1) for name in parts[0]}
