"""What is to be known of blocks before they are factorised, and what a pass over their rows adds up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Reduce = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Blocks:
    """What is to be known of the blocks ``X_b`` before they are factorised.

    Attributes:
        widths: m_b of each.
        rows: N, the number of images.
        squares: ‖X_b‖² of each.
        sums: The sum of the entries of each.
        weights: a_b of each.
    """

    widths: Sequence[int]
    rows: int
    squares: Sequence[float]
    sums: Sequence[float]
    weights: Sequence[float]

    def __post_init__(self) -> None:
        empty = [place for place, square in enumerate(self.squares) if not 0 < square < float("inf")]
        if empty:
            raise ValueError(f"block number {empty[0]} is all 0 or not finite: leave it out")
        if not all(0 <= weight < float("inf") for weight in self.weights) or not any(self.weights):
            raise ValueError(f"weights={list(self.weights)}: give numbers from 0 on, not all 0")

    @property
    def roots(self) -> list[float]:
        """√a_b of each."""
        return [weight**0.5 for weight in self.weights]

    @property
    def norms(self) -> list[float]:
        """a_b‖X_b‖² of each."""
        return [weight * square for weight, square in zip(self.weights, self.squares, strict=True)]

    @property
    def mean(self) -> float:
        """The mean of the stacked, weighted matrix."""
        total = sum(root * entries for root, entries in zip(self.roots, self.sums, strict=True))
        return total / (self.rows * sum(self.widths))


@dataclass
class Sums:
    """What one pass over the images adds up, all in float64; what ranks add up among each other.

    Attributes:
        gram: HᵀH, ``(k, k)``; before there is an H, that of coordinates in the subspace.
        products: √a_b HᵀX_b of each block, ``(k, m_b)``.
        scalars: Sum of H, sum of the groups' norms, number of rows, sum of their numbers.
    """

    gram: Tensor
    products: list[Tensor]
    scalars: Tensor

    @classmethod
    def zeros(cls, concepts: int, widths: Sequence[int], device: torch.device) -> "Sums":
        """Nothing added up yet."""
        sizes = [(concepts, concepts), *((concepts, width) for width in widths), (4,)]
        gram, *products, scalars = (torch.zeros(size, dtype=torch.float64, device=device) for size in sizes)
        return cls(gram, products, scalars)

    def reduced(self, reduce: Reduce) -> "Sums":
        """The sums over all ranks."""
        return Sums(reduce(self.gram), [reduce(part) for part in self.products], reduce(self.scalars))
