"""What taking a concept out of a layer does to a classifier's decisions."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from datamodules.base import ImageDataset
from methods.concepts.ablation import Floats, concept_shares, permutations, random_channel_control, strongest
from methods.concepts.activation_collection import NETWORK
from methods.concepts.activations import Activations
from methods.concepts.files import PIXELS
from methods.concepts.fits import Found
from networks.classifier import Classifier
from networks.interventions import count_calls, intervened
from networks.layouts import channels_first, laid_out_like

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
    layers = [(block, name) for block, name in enumerate(activations.names) if name != PIXELS]
    for concept in range(image_factor.shape[1]) if layers else ():
        chosen = strongest(image_factor, concept, count)
        if not len(chosen):
            continue
        images = torch.stack([split[int(activations.index[place])][0] for place in chosen]).to(device).float() / 255
        for block, name in layers:
            shares = concept_shares(image_factor[chosen], found.factors[block], concept)
            kept = activations.matrices[block].read(activations.rows[chosen]).double().numpy()
            control = random_channel_control(shares, kept, shuffled_channels(activations.shapes[block], concept, seed))
            shape = len(chosen), *activations.shapes[block]
            taken = [torch.from_numpy(part.reshape(shape)).to(device) for part in (shares, control)]
            rows.append([name, concept, len(chosen), *effects(classifier, f"{NETWORK}.{name}", images, taken)])
    return pd.DataFrame(rows, columns=COLUMNS)


def shuffled_channels(shape: tuple[int, int, int], concept: int, seed: int) -> npt.NDArray[np.int64]:
    """An order of the neurons of a block of ``shape`` (channels, height, width) in which channels stay together."""
    channels, height, width = shape
    order = permutations([channels], concept, seed)[0]
    places = height * width
    return (order[:, None] * places + np.arange(places)).ravel()


@torch.no_grad()
def effects(classifier: Classifier, layer: str, images: Tensor, taken: Sequence[Tensor]) -> list[float]:
    """The :func:`effect` of each of several shares ``(N, C, H, W)`` that are taken from a layer."""
    before, call = classifier(images), count_calls(classifier, layer, images[:1])
    numbers = []
    for part in taken:
        with intervened(classifier, layer, without(part), call):
            numbers += effect(before, classifier(images))
    return numbers


def without(shares: Tensor) -> Callable[[Tensor], Tensor]:
    """What takes shares ``(N, C, H, W)`` away from an activation of any layout; of one place, at all places alike."""

    def change(activation: Tensor) -> Tensor:
        channels = shares.shape[1]
        if channels_first(activation).shape[1] == channels:
            return activation * laid_out_like(activation, 1 - shares)
        above, below = (laid_out_like(activation, 1 - half) for half in shares.split(channels // 2, dim=1))
        return activation.clamp(min=0) * above + activation.clamp(max=0) * below  # it was split

    return change


def effect(before: Tensor, after: Tensor) -> list[float]:
    """Mean fall of the logit of the class said before, and the share of decisions that changed; ``(n, classes)``."""
    said = before.argmax(dim=1)
    fall = (before - after).gather(1, said[:, None]).mean()
    return [float(fall), float((after.argmax(dim=1) != said).float().mean())]
