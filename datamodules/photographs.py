"""The photographs that come inside the scikit-image wheel: one class each, cut into disjoint tiles."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import skimage.data
import torch
from torch import Tensor

from datamodules.base import ImageDataModule, ImageDataset, Item, LabelledSplit, Split, TensorSplit, crop_at

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "hubble_deep_field",
    "immunohistochemistry", "moon", "page", "retina", "rocket", "text",
)  # fmt: skip


def photograph(name: str) -> Tensor:
    """Load one photograph from the scikit-image wheel, without network.

    Args:
        name: One of ``PHOTOGRAPHS``.

    Returns:
        RGB, uint8, shape ``(3, H, W)``; grey photographs have three equal channels.

    Raises:
        ValueError: If the wheel carries no photograph of that name.
    """
    if name not in PHOTOGRAPHS:
        raise ValueError(f"data.names: no photograph {name!r}; choose from {', '.join(PHOTOGRAPHS)}")
    pixels = np.asarray(getattr(skimage.data, name)())
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, axis=-1)
    return torch.from_numpy(np.ascontiguousarray(pixels[..., :3].transpose(2, 0, 1)))


def cut_tiles(image: Tensor, tile: int) -> Tensor:
    """Cut an image ``(3, H, W)`` into the grid of disjoint squares that fit: ``(tiles, 3, tile, tile)``."""
    rows = image.unfold(1, tile, tile).unfold(2, tile, tile)
    return rows.permute(1, 2, 0, 3, 4).reshape(-1, 3, tile, tile).contiguous()


class Photographs(ImageDataModule):
    """Small real images, with no download: crops of tiles of the photographs in the scikit-image wheel.

    Tiles are split, not crops, so no pixel is in two splits.

    Args:
        names: Photographs to use, one class each.
        tile: Side of a tile, in pixels.
        crop: Side of an image, in pixels, at most ``tile``.
        tiles_per_class: Most tiles kept of one photograph, so that no class outweighs the others.
        held_out: Share of a photograph's tiles in ``val``, and again in ``test``.
        grid: Fixed crops per side of an evaluation tile: ``grid``² images of every tile.
        **options: See :class:`~datamodules.base.ImageDataModule`.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        tile: int,
        crop: int,
        tiles_per_class: int,
        held_out: float,
        grid: int,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not 0 < crop <= tile:
            raise ValueError(f"data.crop={crop} must be at least 1 and at most data.tile={tile}")
        if not names:
            raise ValueError("data.names is empty: name at least one photograph")
        if grid < 1 or not 0 < held_out < 0.5 or tiles_per_class < 1:
            raise ValueError(
                f"data.grid={grid} and data.tiles_per_class={tiles_per_class} must be at least 1, and "
                f"data.held_out={held_out} between 0 and 0.5"
            )
        self.classes = list(names)
        self.smallest_side, self.crop, self.grid = crop, crop, grid
        self._tiles = self._split_tiles(tile, tiles_per_class, held_out)

    def split(self, name: Split) -> ImageDataset:
        """Random crops of the training tiles, or a fixed grid of crops of the held-out tiles."""
        tiles, labels = self._tiles[name]
        if name == "train":
            return TensorSplit(tiles, labels, self.crop)
        return EvaluationTiles(tiles, labels, self.crop, self.grid)

    def showcase(self, count: int) -> dict[str, Tensor]:
        """The first whole photographs, those in colour first; most of their tiles were trained on."""
        images = {name: photograph(name) for name in self.classes}
        colour_first = sorted(images, key=lambda name: bool((images[name][0] == images[name][1]).all()))
        return {name: images[name].float() / 255 for name in colour_first[:count]}

    def _split_tiles(self, tile: int, most: int, held_out: float) -> dict[Split, tuple[Tensor, Tensor]]:
        """Tiles and labels of each split; the tiles of a photograph are shuffled alike for every seed of the study."""
        parts: dict[Split, list[Tensor]] = {"train": [], "val": [], "test": []}
        for name in self.classes:
            tiles = cut_tiles(photograph(name), tile)
            count = min(most, len(tiles))
            held = max(1, round(held_out * count))
            if count < 2 * held + 1:
                raise ValueError(
                    f"photograph {name!r} gives {len(tiles)} tiles of {tile} pixels, too few for three splits: "
                    "use a smaller data.tile, or leave it out of data.names"
                )
            tiles = tiles[torch.randperm(len(tiles), generator=torch.Generator().manual_seed(0))[:count]]
            parts["val"].append(tiles[:held])
            parts["test"].append(tiles[held : 2 * held])
            parts["train"].append(tiles[2 * held :])
        splits: dict[Split, tuple[Tensor, Tensor]] = {}
        for split, of_class in parts.items():
            counts = torch.tensor([len(tiles) for tiles in of_class])
            splits[split] = torch.cat(of_class), torch.repeat_interleave(torch.arange(len(of_class)), counts)
        return splits


class EvaluationTiles(LabelledSplit):
    """A fixed grid of crops of every tile.

    The tiles are in a fixed random order: all of them at the first position of the grid, then all at the second. So
    neighbours never share a pixel, as the nMI floor between different images requires.

    Args:
        tiles: uint8, shape ``(T, 3, tile, tile)``.
        labels: Shape ``(T,)``.
        crop: Side of an image, in pixels.
        grid: Crops per side of a tile.
    """

    def __init__(self, tiles: Tensor, labels: Tensor, crop: int, grid: int) -> None:
        order = torch.randperm(len(tiles), generator=torch.Generator().manual_seed(1))
        self.tiles, self.crop = tiles[order], crop
        slack = tiles.shape[-1] - crop
        offsets = [round(slack * step / (grid - 1)) for step in range(grid)] if grid > 1 else [slack // 2]
        self.corners = [(top, left) for top in offsets for left in offsets]
        super().__init__(labels[order].repeat(len(self.corners)))

    def __getitem__(self, index: int) -> Item:
        position, tile = divmod(index, len(self.tiles))
        top, left = self.corners[position]
        return crop_at(self.tiles[tile], top, left, self.crop), self.label(index), index
