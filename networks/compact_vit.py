"""A vision transformer for images of 32 to 96 pixels, at a size that a laptop trains in a minute or two."""

import math

import torch
from torch import Tensor, nn

from networks.compact_classifiers import convolution


class CompactViT(nn.Module):
    """A small vision transformer: patches as tokens, which are mixed by attention only.

    A convolutional stem makes slightly overlapping patches, which helps with small training sets (arXiv 2106.14881).
    Positions are encoded by fixed sines and cosines (arXiv 1706.03762, section 3.5), so images may have any size.

    Source: A. Dosovitskiy et al., arXiv 2010.11929.

    Args:
        classes: Number of logits.
        patch: Side of a patch in pixels, even; images are padded at their right and bottom to a multiple of it.
        width: Length of a token; a multiple of 4 and of ``heads``.
        depth: Number of transformer blocks.
        heads: Attention heads of each block.
        dropout: Share of activations dropped in training.
    """

    def __init__(
        self, classes: int, patch: int = 6, width: int = 64, depth: int = 4, heads: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if patch % 2 or width % 4 or width % heads:
            raise ValueError(
                f"patch={patch} must be even, and width={width} a multiple of 4 and of heads={heads}: change them"
            )
        self.patch = patch
        self.stem = nn.Sequential(
            convolution(3, width // 4, stride=2), nn.Conv2d(width // 4, width, patch // 2, stride=patch // 2)
        )
        block = nn.TransformerEncoderLayer(
            width, heads, dim_feedforward=2 * width, dropout=dropout, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.encoder = nn.TransformerEncoder(block, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of normalised images ``(N, 3, H, W)``, as large as a patch or more."""
        tokens = self.stem(nn.functional.pad(x, (0, -x.shape[-1] % self.patch, 0, -x.shape[-2] % self.patch)))
        positions = sines_and_cosines(tokens.shape[-2], tokens.shape[-1], tokens.shape[1]).to(tokens)
        return self.head(self.encoder(tokens.flatten(2).mT + positions).mean(dim=1))


def sines_and_cosines(rows: int, columns: int, width: int) -> Tensor:
    """A code for each position of a grid: its first half encodes the row, its second half the column.

    Args:
        rows: Rows of the grid.
        columns: Columns of the grid.
        width: Length of a code, a multiple of 4.

    Returns:
        Codes in [-1, 1], row by row, shape ``(rows * columns, width)``.

    Source: arXiv 1706.03762, section 3.5, for each axis.
    """
    frequencies = torch.exp(-math.log(10_000) * torch.arange(width // 4) / (width // 4))
    axes = [torch.arange(length)[:, None] * frequencies for length in (rows, columns)]
    row, column = (torch.cat([axis.sin(), axis.cos()], dim=1) for axis in axes)
    grid = [row[:, None].expand(-1, columns, -1), column[None].expand(rows, -1, -1)]
    return torch.cat(grid, dim=2).flatten(0, 1)
