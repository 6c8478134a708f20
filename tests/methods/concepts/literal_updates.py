"""The updates of coupled factorisation, written out entry by entry or as the paper has them."""

from collections.abc import Sequence

import numpy as np

from methods.concepts.hals import Penalties

Matrices = Sequence[np.ndarray]


def literal_hals_update(
    matrices: Matrices, images: np.ndarray, factors: Matrices, penalties: Penalties, groups: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """One pass of HALS: every column of H, then every row of the factors, is the exact minimum of the objective.

    Args:
        matrices: ``√a_b X_b`` of each block, ``(N, m_b)``.
        images: H, ``(N, k)``.
        factors: ``√a_b W_b`` of each block, ``(k, m_b)``; of unit stacked rows if any penalty is on.
        penalties: Penalties on H.
        groups: The group of each image, ``(N,)``.
    """
    whole, stacked, images = np.concatenate(matrices, axis=1), np.concatenate(factors, axis=1), images.copy()
    for r in range(len(stacked)):
        others = [s for s in range(len(stacked)) if s != r]
        rest = whole - images[:, others] @ stacked[others]
        curvature = (stacked[r] ** 2).sum() + penalties.l2
        column = np.zeros(len(whole))
        for n in range(len(whole)):
            slope = rest[n] @ stacked[r] - penalties.l1 - penalties.orthogonality * sum(images[n, others])
            column[n] = max(slope, 0) / curvature
        for group in np.unique(groups):
            norm = np.sqrt((column[groups == group] ** 2).sum())
            column[groups == group] *= max(0, 1 - penalties.group / (curvature * norm)) if norm else 0
        images[:, r] = column
    for r in range(len(stacked)):
        others = [s for s in range(len(stacked)) if s != r]
        row = np.maximum(images[:, r] @ (whole - images[:, others] @ stacked[others]), 0)
        stacked[r] = row / (np.linalg.norm(row) if penalties.any else (images[:, r] ** 2).sum())
    return images, np.split(stacked, np.cumsum([w.shape[1] for w in factors])[:-1], axis=1)


def literal_group_norms(images: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The norm of each column of H ``(N, k)`` within each group, ``(k, groups)``."""
    norms = np.zeros((images.shape[1], max(groups) + 1))
    for n, r in np.ndindex(images.shape):
        norms[r, groups[n]] += images[n, r] ** 2
    return np.sqrt(norms)


def literal_multiplicative_update(
    matrices: Matrices, images: np.ndarray, factors: Matrices, penalties: Penalties
) -> tuple[np.ndarray, list[np.ndarray]]:
    """One pass of the published updates, with l1 and l2: quotients of the gradient's parts, then unit rows in blocks.

    Args:
        matrices: ``√a_b X_b`` of each block, ``(N, m_b)``.
        images: H, ``(N, k)``.
        factors: ``√a_b W_b`` of each block, ``(k, m_b)``.
        penalties: Penalties on H; only l1 and l2 count.
    """
    above = sum(x @ w.T for x, w in zip(matrices, factors, strict=True))
    below = sum(images @ w @ w.T for w in factors) + penalties.l1 + penalties.l2 * images
    images = images * above / below
    factors = [w * (images.T @ x) / (images.T @ images @ w) for x, w in zip(matrices, factors, strict=True)]
    return images, [w / np.linalg.norm(w, axis=1, keepdims=True) for w in factors]
