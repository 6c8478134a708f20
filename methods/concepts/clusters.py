"""Which images and which neurons a concept is made of, and in which layers it lives."""

import numpy as np
import numpy.typing as npt

from methods.concepts.files import Array

NOWHERE = -1  # of an image or a neuron that no concept has
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def image_clusters(image_factor: Array) -> Integers:
    """The concept that each image has most of.

    Args:
        image_factor: At least 0, ``(N, k)``; of a factorisation, the scaled one, so that concepts can be compared.

    Returns:
        Concepts ``(N,)``; ``NOWHERE`` for an image that has none. Of equals the first.
    """
    return np.where(image_factor.max(axis=1) > 0, image_factor.argmax(axis=1), NOWHERE)


def neuron_clusters(factor: Array, image_factor: Array) -> tuple[Integers, Floats]:
    """The concept that each neuron of a block gives most to, and how much of the neuron that is.

    What concept r gives to neuron i over all images is ``factor[r, i] * ‖image_factor[:, r]‖``, whatever the scale of
    the concept.

    Args:
        factor: Of the block, at least 0, ``(k, m)``.
        image_factor: At least 0, ``(N, k)``, in the same scale.

    Returns:
        Concepts ``(m,)``, ``NOWHERE`` for a neuron that no concept has; and their selectivity ``(m,)``: the concept's
        share of the neuron's sum over concepts, from 1 / k to 1, NaN for a neuron that no concept has.
    """
    given = factor.astype(float) * np.linalg.norm(image_factor.astype(float), axis=0)[:, None]
    total, largest = given.sum(axis=0), given.max(axis=0)
    some = total > 0
    selectivity = np.divide(largest, total, out=np.full(len(total), np.nan), where=some)
    return np.where(some, given.argmax(axis=0), NOWHERE), selectivity


def layer_profile(stacked: list[Array]) -> Floats:
    """How a concept is spread over the blocks: its share of a_b‖W_b[r]‖² in each.

    Args:
        stacked: Weighted stacked rows by block, ``√a_b W_b``, each ``(k, m_b)``.

    Returns:
        Shares ``(k, B)``; each row sums to 1, or is 0 for a concept that is nowhere.
    """
    energy = np.stack([(part.astype(float) ** 2).sum(axis=1) for part in stacked], axis=1)
    total = energy.sum(axis=1, keepdims=True)
    return np.divide(energy, total, out=np.zeros_like(energy), where=total > 0)
