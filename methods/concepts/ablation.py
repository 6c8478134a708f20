"""A concept taken out of an activation."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def concept_shares(image_factor: Floats, factor: Floats, concept: int) -> Floats:
    """What share of every neuron a concept explains, of all that the concepts explain of it.

    Args:
        image_factor: H of some images, ``(n, k)``.
        factor: W_b, ``(k, m)``.
        concept: r.

    Returns:
        ``H[n, r] W_b[r, i] / (H W_b)[n, i]``, in [0, 1], ``(n, m)``; 0 where nothing is explained.
    """
    part = image_factor[:, concept, None] * factor[concept]
    whole = image_factor @ factor
    shares: Floats = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return shares


def random_channel_control(shares: Floats, activation: Floats, order: npt.NDArray[np.int64]) -> Floats:
    """The control of a removal: as much taken away, from channels drawn at random.

    Args:
        shares: What a concept takes of every neuron, ``(n, m)``.
        activation: The neurons, ``(n, m)``.
        order: A permutation of the neurons, ``(m,)``.

    Returns:
        Permuted shares, scaled so that each image loses as much activation, at most 1 each, ``(n, m)``.
    """
    moved = shares[:, order]
    wanted = (shares * activation).sum(axis=1, keepdims=True)
    for _ in range(20):  # what is cut off at 1 is taken from the others
        lost = (moved * activation).sum(axis=1, keepdims=True)
        scale = np.divide(wanted, lost, out=np.ones_like(lost), where=lost > 0)
        moved = np.minimum(moved * scale, 1.0)
    return moved


def strongest(image_factor: Floats, concept: int, count: int) -> npt.NDArray[np.int64]:
    """The images with most of a concept, most first; none that has nothing of it.

    Args:
        image_factor: ``(N, k)``.
        concept: Which.
        count: At most.
    """
    order = np.argsort(-image_factor[:, concept], kind="stable")[:count]
    return order[image_factor[order, concept] > 0]


def permutations(blocks: Sequence[int], concept: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """A permutation of each block's channels, for one concept."""
    return [np.random.default_rng((seed, concept, width)).permutation(width) for width in blocks]
