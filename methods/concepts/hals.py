"""One step of coupled non-negative factorisation: blocks ``X_b ≈ H W_b`` that share the image factor H, all at least 0.

    f = ½ Σ_b a_b‖X_b − H W_b‖² + l1‖H‖₁ + ½ l2‖H‖² + lo Σ_{r<s} h_r·h_s + lg Σ_{g,r}‖H[g,r]‖₂

Here factors are stacked: a row is ``[√a_1 W_1[r] | √a_2 W_2[r] | …]``, so the problem is that of one weighted matrix.
Source: arXiv 2012.12516 (the objective); A. Cichocki and A.-H. Phan, IEICE Transactions E92-A, 2009 (HALS).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Penalties:
    """Weights of the penalties on the image factor.

    Attributes:
        l1: Of its sum.
        l2: Of half its sum of squares.
        orthogonality: lo, of the inner products of its columns.
        group: lg, of the norms of a column within each group of images.

    Raises:
        ValueError: If one is negative or not finite.
    """

    l1: float = 0.0
    l2: float = 0.0
    orthogonality: float = 0.0
    group: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"penalties.{name}={value}: give a number from 0 on")

    @property
    def any(self) -> bool:
        """Whether any is on; then stacked rows must have unit length, or the scale would escape into them."""
        return any(vars(self).values())


def descend_image_factor(
    image_factor: Tensor, products: Tensor, gram: Tensor, penalties: Penalties, groups: Tensor | None = None
) -> None:
    """One sweep of exact coordinate descent over the columns of H, for some images, in place.

    Args:
        image_factor: Hᵀ of these images, ``(k, n)``.
        products: ``Σ_b a_b W_b X_bᵀ``, ``(k, n)``.
        gram: ``Σ_b a_b W_b W_bᵀ``, ``(k, k)``.
        penalties: On H.
        groups: The group of each image, ``(n,)``; every group must be here with all of its images.
    """
    members = None if groups is None or not penalties.group else groups.unique(return_inverse=True)[1]
    total = image_factor.sum(dim=0) if penalties.orthogonality else None
    for row in range(len(gram)):
        curvature = float(gram[row, row]) + penalties.l2
        if curvature <= 0:
            continue  # nothing is there to be had more of
        old = image_factor[row]
        wanted = products[row] - gram[row] @ image_factor + gram[row, row] * old - penalties.l1
        if total is not None:
            wanted -= penalties.orthogonality * (total - old)
        new = wanted.clamp_(min=0) / curvature
        if members is not None:
            new = shrink_groups(new, members, penalties.group / curvature)
        if total is not None:
            total += new - old
        image_factor[row] = new


def shrink_groups(values: Tensor, members: Tensor, amount: float) -> Tensor:
    """Shorten each group's vector by ``amount``, to 0 if it is shorter.

    Args:
        values: ``(n,)``.
        members: The group of each, numbered from 0, ``(n,)``.
        amount: At least 0.
    """
    norms = values.new_zeros(int(members.max()) + 1).index_add_(0, members, values**2).sqrt_()
    kept = torch.where(norms > amount, 1 - amount / norms, torch.zeros_like(norms))
    return values * kept[members]


def descend_factors(factors: Sequence[Tensor], gram: Tensor, products: Sequence[Tensor], unit_rows: bool) -> None:
    """One sweep of exact coordinate descent over the stacked rows, in place.

    A row whose concept is in no image stays as it is.

    Args:
        factors: ``√a_b W_b`` of each block, ``(k, m_b)``.
        gram: ``HᵀH``, ``(k, k)``.
        products: ``√a_b HᵀX_b`` of each block, ``(k, m_b)``.
        unit_rows: Whether stacked rows have unit length.
    """
    for row in range(len(gram)):
        weight = gram[row, row]
        if weight <= 0:
            continue
        wanted = [c[row] - gram[row] @ w + weight * w[row] for c, w in zip(products, factors, strict=True)]
        scale = 1 / weight
        if unit_rows:
            norm = torch.stack([(part.clamp(min=0) ** 2).sum() for part in wanted]).sum().sqrt()
            if norm <= 0:
                wanted, norm = unit_vector(wanted), torch.ones_like(norm)
            scale = 1 / norm
        for factor, part in zip(factors, wanted, strict=True):
            factor[row] = part.clamp_(min=0) * scale


def unit_vector(parts: Sequence[Tensor]) -> list[Tensor]:
    """The unit vector at the largest entry of a stacked row, by block."""
    best = max(range(len(parts)), key=lambda place: float(parts[place].max()))
    made = [torch.zeros_like(part) for part in parts]
    made[best][parts[best].argmax()] = 1
    return made


def multiply_image_factor(
    image_factor: Tensor, products: Tensor, gram: Tensor, penalties: Penalties, groups: Tensor | None = None
) -> None:
    """The published step for H: each entry times a quotient that is 1 at a stationary point; zeros stay zeros.

    Args:
        image_factor: Hᵀ of some images, ``(k, n)``; changed in place.
        products: ``Σ_b a_b W_b X_bᵀ``, ``(k, n)``.
        gram: ``Σ_b a_b W_b W_bᵀ``, ``(k, k)``.
        penalties: On H.
        groups: The group of each image, ``(n,)``.
    """
    divisor = gram @ image_factor + penalties.l1 + penalties.l2 * image_factor
    divisor += penalties.orthogonality * (image_factor.sum(dim=0) - image_factor)
    if groups is not None and penalties.group:
        members = groups.unique(return_inverse=True)[1]
        norms = image_factor.new_zeros(len(image_factor), int(members.max()) + 1)
        norms = norms.index_add_(1, members, image_factor**2).sqrt_()[:, members]
        divisor += penalties.group * image_factor / norms.clamp(min=torch.finfo(norms.dtype).tiny)
    image_factor *= products / divisor.clamp(min=torch.finfo(divisor.dtype).tiny)


def multiply_factors(factors: Sequence[Tensor], gram: Tensor, products: Sequence[Tensor]) -> None:
    """The published step for W: multiplied likewise, then every row of every block scaled to unit length, in place.

    Args:
        factors: ``√a_b W_b`` of each block, ``(k, m_b)``; the published weights are 1.
        gram: ``HᵀH``, ``(k, k)``.
        products: ``√a_b HᵀX_b`` of each block, ``(k, m_b)``.
    """
    for factor, product in zip(factors, products, strict=True):
        tiny = torch.finfo(factor.dtype).tiny
        factor *= product / (gram @ factor).clamp(min=tiny)
        factor /= factor.norm(dim=1, keepdim=True).clamp(min=tiny)


def squared_errors(
    factors: Sequence[Tensor], gram: Tensor, products: Sequence[Tensor], norms: Sequence[float]
) -> list[float]:
    """``a_b‖X_b − H W_b‖²`` of each block, from what one pass over the images has summed up.

    Args:
        factors: ``√a_b W_b``, ``(k, m_b)``.
        gram: ``HᵀH``, ``(k, k)``.
        products: ``√a_b HᵀX_b``, ``(k, m_b)``.
        norms: ``a_b‖X_b‖²``.
    """
    return [
        norm - 2 * float((c * w).sum()) + float((gram * (w @ w.T)).sum())
        for w, c, norm in zip(factors, products, norms, strict=True)
    ]


def penalty(gram: Tensor, total: float, group_norms: float, penalties: Penalties) -> float:
    """What the penalties add to the objective.

    Args:
        gram: ``HᵀH``, ``(k, k)``.
        total: Sum of H.
        group_norms: Sum over groups and columns of their norms.
        penalties: Their weights.
    """
    squares, all_products = float(gram.trace()), float(gram.sum())
    return (
        penalties.l1 * total
        + penalties.l2 * squares / 2
        + penalties.orthogonality * (all_products - squares) / 2
        + penalties.group * group_norms
    )


def project(
    products: Tensor, gram: Tensor, penalties: Penalties, sweeps: int = 2000, tolerance: float = 1e-8
) -> Tensor:
    """The image factor of new images, factors fixed; without the group penalty, for new images have no groups.

    Args:
        products: ``Σ_b a_b W_b X_bᵀ``, ``(k, n)``.
        gram: ``Σ_b a_b W_b W_bᵀ``, ``(k, k)``.
        penalties: On H.
        sweeps: Most of them.
        tolerance: Stops when no entry changes by more than this share of the largest.

    Returns:
        Hᵀ, ``(k, n)``.
    """
    found = torch.zeros_like(products)
    for _ in range(sweeps):
        before = found.clone()
        descend_image_factor(found, products, gram, penalties)
        if float((found - before).abs().max()) <= tolerance * float(found.abs().max()):
            break
    return found
