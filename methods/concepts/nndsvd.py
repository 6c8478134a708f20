"""The start of a factorisation: NNDSVDa of the stacked matrix, from passes over its rows, or random numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

OVERSAMPLING = 10  # columns of the subspace beyond k, so that the last singular vector is as exact as the first
SMALL = 1e-6  # entries below it count as 0, as in scikit-learn


@dataclass(frozen=True)
class SignedStart:
    """The halves of the singular vectors, positive or negative, from which a non-negative start is made.

    Attributes:
        rotation: From an image's coordinates in the subspace to left singular vectors times values, ``(l, k)``.
        signs: Whether a component's positive (1) or negative (-1) half is taken, ``(k,)``.
        scales: Factor of the half of each left singular vector, ``(k,)``.
        factors: The stacked rows, without the filling of zeros, ``(k, M)``.
    """

    rotation: Tensor
    signs: Tensor
    scales: Tensor
    factors: Tensor


def random_subspace(width: int, columns: int, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """An orthonormal basis ``(width, columns)`` that a seed decides."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(width, columns, generator=generator, dtype=dtype)
    return torch.linalg.qr(drawn.to(device))[0]


def singular_values(coordinates_gram: Tensor, concepts: int) -> tuple[Tensor, Tensor]:
    """The largest singular values of a matrix, from the coordinates of its rows in a subspace that holds them.

    Args:
        coordinates_gram: ``YᵀY`` of the coordinates Y, ``(l, l)``.
        concepts: k, the number of singular values.

    Returns:
        Descending values ``(k,)``, and the rotation ``(l, k)`` from Y to left singular vectors times values.
    """
    values, vectors = torch.linalg.eigh(coordinates_gram)
    return values.flip(0)[:concepts].clamp(min=0).sqrt(), vectors.flip(1)[:, :concepts]


def halves(vectors: Tensor) -> Tensor:
    """Sums of squares of the positive and the negative entries of each column: ``(2, k)`` of ``(n, k)``."""
    return torch.stack([(vectors.clamp(min=0) ** 2).sum(dim=0), (vectors.clamp(max=0) ** 2).sum(dim=0)])


def signed_start(values: Tensor, rotation: Tensor, left: Tensor, right: Tensor) -> SignedStart:
    """NNDSVD: of each pair of singular vectors, the halves of that sign which has the larger product of norms.

    Source: C. Boutsidis and E. Gallopoulos, Pattern Recognition 41, 2008.

    Args:
        values: Singular values, ``(k,)``.
        rotation: As for :class:`SignedStart`.
        left: :func:`halves` of left singular vectors times values, over all images, ``(2, k)``.
        right: Right singular vectors, ``(M, k)``.
    """
    tiny = torch.finfo(values.dtype).tiny
    safe = values.clamp(min=tiny)
    left_norms, right_norms = (left / safe**2).sqrt(), halves(right).sqrt()
    products = left_norms * right_norms
    signs = torch.where(products[0] > products[1], 1.0, -1.0).to(values)
    # vectors of one sign, such as the first pair of a non-negative matrix, are taken whole
    chosen = (signs < 0).long()[None]
    left_norm, right_norm = left_norms.gather(0, chosen)[0], right_norms.gather(0, chosen)[0]
    sigma = left_norm * right_norm
    scale = (values * sigma).sqrt()
    parts = (right * signs).clamp(min=0) / right_norm.clamp(min=tiny) * scale
    return SignedStart(rotation, signs, scale / (left_norm.clamp(min=tiny) * safe), parts.T.contiguous())


def start_of_images(coordinates: Tensor, start: SignedStart, filling: float) -> Tensor:
    """Hᵀ of some images at the start, ``(k, n)``, zeros filled with the mean of the matrix (NNDSVDa).

    Args:
        coordinates: Of the images in the subspace, ``(n, l)``.
        start: The halves.
        filling: The mean of the stacked, weighted matrix.
    """
    images = (coordinates @ start.rotation * start.signs).clamp(min=0) * start.scales
    return filled(images.T.contiguous(), filling)


def filled(values: Tensor, filling: float) -> Tensor:
    """Values with ``filling`` in place of those below :data:`SMALL`."""
    return torch.where(values < SMALL, torch.full_like(values, filling), values)


def random_images(rows: Sequence[int], concepts: int, scale: float, seed: int) -> Tensor:
    """A random Hᵀ ``(k, n)``; the column of an image depends only on the seed and its row, however ranks share them."""
    drawn = torch.empty(concepts, len(rows), dtype=torch.float64)
    for column, row in enumerate(rows):
        generator = torch.Generator().manual_seed(hash((seed, row)) % 2**62)
        drawn[:, column] = torch.randn(concepts, generator=generator, dtype=torch.float64)
    return drawn.abs() * scale
