"""Ablation: how the decisions of a classifier change when a concept is removed from a layer."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from datamodules.base import ImageDataset
from methods.concepts.activation_collection import NETWORK
from methods.concepts.activations import Activations
from methods.concepts.fits import FittedConcepts
from methods.concepts.record import PIXELS, Floats, Integers
from networks.classifier import Classifier
from networks.interventions import count_calls, intervened
from networks.layouts import channels_first, laid_out_like

COLUMNS = ["block", "concept", "images", "logit_drop", "changed", "control_logit_drop", "control_changed"]
ROUNDS = 20  # of scaling the control, until it removes as much as the concept


def importance_table(
    classifier: Classifier,
    split: ImageDataset,
    activations: Activations,
    concepts: FittedConcepts,
    image_factor: Floats,
    count: int,
    seed: int,
) -> pd.DataFrame:
    """Remove each concept from each layer, for the images that have most of it, and run the rest of the network.

    From every neuron the share that the concept explains is removed, at all positions alike where the layer was pooled.
    The control removes as much activation from channels drawn at random.

    Args:
        classifier: The classifier.
        split: Its images.
        activations: Blocks of some of them.
        concepts: The factorisation.
        image_factor: H of these images, ``(N, k)``.
        count: Images for each concept; 0 gives an empty table.
        seed: Decides the channels of the control.

    Returns:
        ``block``, ``concept``, ``images``, ``logit_drop`` (mean decrease of the logit of the decision), ``changed``
        (share of decisions that change), and both for the control.
    """
    rows = []
    device = next(classifier.parameters()).device
    layers = [(block, name) for block, name in enumerate(activations.names) if name != PIXELS]
    for concept in range(image_factor.shape[1]) if layers else ():
        chosen = strongest(image_factor, concept, count)
        if not len(chosen):
            continue
        images = torch.stack([split[int(activations.index[row])][0] for row in chosen]).to(device).float() / 255
        for block, name in layers:
            shares = concept_shares(image_factor[chosen], concepts.factors[block], concept)
            kept = activations.matrices[block].read(activations.rows[chosen]).double().numpy()
            control = random_channel_control(shares, kept, channel_order(activations.shapes[block], concept, seed))
            shape = len(chosen), *activations.shapes[block]
            removed = [torch.from_numpy(part.reshape(shape)).to(device) for part in (shares, control)]
            rows.append([name, concept, len(chosen), *effects(classifier, f"{NETWORK}.{name}", images, removed)])
    return pd.DataFrame(rows, columns=COLUMNS)


def strongest(image_factor: Floats, concept: int, count: int) -> Integers:
    """Rows of the images with most of a concept, in descending order; images without any of it are left out.

    Args:
        image_factor: ``(N, k)``.
        concept: Number of the concept.
        count: Most images.
    """
    order = np.argsort(-image_factor[:, concept], kind="stable")[:count]
    return order[image_factor[order, concept] > 0]


def concept_shares(image_factor: Floats, factor: Floats, concept: int) -> Floats:
    """The share of every neuron that a concept explains, of all that the concepts together explain of it.

    Args:
        image_factor: H of some images, ``(n, k)``.
        factor: W_b, ``(k, m)``.
        concept: r.

    Returns:
        ``H[n, r] W_b[r, i] / (H W_b)[n, i]``, in [0, 1], ``(n, m)``; 0 where nothing is explained.
    """
    part = image_factor[:, concept, None] * factor[concept]
    whole = image_factor @ factor
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def random_channel_control(shares: Floats, activation: Floats, order: Integers) -> Floats:
    """The control of a removal: as much activation is removed, but from channels drawn at random.

    Args:
        shares: Share of every neuron that the concept explains, ``(n, m)``.
        activation: The neurons, ``(n, m)``.
        order: A permutation of the neurons, ``(m,)``.

    Returns:
        Permuted shares, scaled so that each image loses as much activation, at most 1 each, ``(n, m)``.
    """
    moved = shares[:, order]
    wanted = (shares * activation).sum(axis=1, keepdims=True)
    for _ in range(ROUNDS):  # what a neuron cannot lose, because its share is 1, is removed from the others
        lost = (moved * activation).sum(axis=1, keepdims=True)
        scale = np.divide(wanted, lost, out=np.ones_like(lost), where=lost > 0)
        moved = np.minimum(moved * scale, 1.0)
    return moved


def channel_order(shape: tuple[int, int, int], concept: int, seed: int) -> Integers:
    """A random order of the neurons of a block of ``shape`` (channels, height, width) in which channels stay whole."""
    channels, height, width = shape
    order = np.random.default_rng((seed, concept, channels)).permutation(channels)
    positions = height * width
    return (order[:, None] * positions + np.arange(positions)).ravel()


@torch.no_grad()
def effects(classifier: Classifier, layer: str, images: Tensor, removed: Sequence[Tensor]) -> list[float]:
    """The :func:`effect` of removing each of several shares ``(N, C, H, W)`` from a layer."""
    before, call = classifier(images), count_calls(classifier, layer, images[:1])
    numbers = []
    for shares in removed:
        with intervened(classifier, layer, without(shares), call):
            numbers += effect(before, classifier(images))
    return numbers


def without(shares: Tensor) -> Callable[[Tensor], Tensor]:
    """Removes shares ``(N, C, H, W)`` from an activation of any layout; shares of one position count for all."""

    def change(activation: Tensor) -> Tensor:
        channels = shares.shape[1]
        if channels_first(activation).shape[1] == channels:
            return activation * laid_out_like(activation, 1 - shares)
        # the activation was split (negative=split): half of the channels are its negative part
        above, below = (laid_out_like(activation, 1 - half) for half in shares.split(channels // 2, dim=1))
        return activation.clamp(min=0) * above + activation.clamp(max=0) * below

    return change


def effect(before: Tensor, after: Tensor) -> list[float]:
    """Mean decrease of the logit of the decision, and share of decisions that change; of logits ``(n, classes)``."""
    decision = before.argmax(dim=1)
    decrease = (before - after).gather(1, decision[:, None]).mean()
    return [float(decrease), float((after.argmax(dim=1) != decision).float().mean())]
