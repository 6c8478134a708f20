"""What taking a concept out of a layer does to a classifier's decisions."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analysis.concepts.files import PIXELS
from analysis.concepts.removal import Floats, concept_shares, elsewhere, permutations, strongest
from datamodules.base import ImageDataset
from lightning_modules.activation_collection import NETWORK
from networks.classifier import Classifier
from networks.interventions import count_calls, intervened
from tasks.concept_activations import Activations
from tasks.concept_fits import Found

COLUMNS = ["block", "concept", "images", "logit_drop", "changed", "control_logit_drop", "control_changed"]


def importance_table(
    classifier: Classifier,
    split: ImageDataset,
    activations: Activations,
    found: Found,
    image_factor: Floats,
    count: int,
    seed: int,
) -> pd.DataFrame:
    """Take each concept out of each layer, for the images that have most of it, and run the rest of the network.

    Of every neuron the share that the concept explains is taken away, at all places alike where the layer was pooled.
    The control takes as much away from channels drawn at random.

    Args:
        classifier: The classifier.
        split: Its images.
        activations: Blocks of some of them.
        found: The factorisation.
        image_factor: H of these images, ``(N, k)``.
        count: Images for each concept.
        seed: Of the controls.

    Returns:
        ``block``, ``concept``, ``images``, ``logit_drop`` (mean fall of the logit of the class that the classifier
        says), ``changed`` (share of decisions that change), and both of the control.
    """
    rows = []
    device = next(classifier.parameters()).device
    for concept in range(image_factor.shape[1]):
        chosen = strongest(image_factor, concept, count)
        if not len(chosen):
            continue
        images = torch.stack([split[int(activations.index[place])][0] for place in chosen]).to(device).float() / 255
        with torch.no_grad():
            before = classifier(images)
        for block, name in enumerate(activations.names):
            if name == PIXELS:
                continue
            channels, height, width = activations.shapes[block]
            factor = found.factors[block]
            shares = concept_shares(image_factor[chosen], factor, concept)
            kept = activations.matrices[block].read(activations.rows[chosen]).double().numpy()
            places = height * width
            order = permutations([channels], concept, seed)[0]
            everywhere = (order[:, None] * places + np.arange(places)).ravel()
            control = elsewhere(shares, kept, everywhere)
            layer = f"{NETWORK}.{name}"
            call = count_calls(classifier, layer, images[:1])
            numbers = []
            for taken in (shares, control):
                part = torch.from_numpy(taken.reshape(len(chosen), channels, height, width)).to(device)
                with intervened(classifier, layer, without(part), call), torch.no_grad():
                    numbers += effect(before, classifier(images))
            rows.append([name, concept, len(chosen), *numbers])
    return pd.DataFrame(rows, columns=COLUMNS)


def without(shares: Tensor) -> Callable[[Tensor], Tensor]:
    """What takes shares ``(N, C, H, W)`` away from an activation of any layout; of one place, at all places alike."""

    def change(activation: Tensor) -> Tensor:
        channels = shares.shape[1]
        if activation.shape[1] != channels and activation.shape[-1] != channels:  # split into positive and negative
            half = channels // 2
            return activation.clamp(min=0) * fitted(1 - shares[:, :half], activation) + activation.clamp(
                max=0
            ) * fitted(1 - shares[:, half:], activation)
        return activation * fitted(1 - shares, activation)

    return change


def fitted(kept: Tensor, activation: Tensor) -> Tensor:
    """Factors ``(N, C, H, W)`` in the layout of an activation, as :func:`channels_first` read it."""
    kept = kept.to(activation)
    if activation.ndim == 2:
        return kept[:, :, 0, 0]
    if activation.ndim == 3:
        return kept[..., 0].transpose(1, 2)
    _, first, second, third = activation.shape
    return kept.permute(0, 2, 3, 1) if first == second != third else kept


def effect(before: Tensor, after: Tensor) -> list[float]:
    """Mean fall of the logit of the class said before, and the share of decisions that changed; ``(n, classes)``."""
    said = before.argmax(dim=1)
    fall = (before - after).gather(1, said[:, None]).mean()
    return [float(fall), float((after.argmax(dim=1) != said).float().mean())]
