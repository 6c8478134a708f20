"""How the synthesis of layer features goes: the settings of a preset, and the changes of images between steps."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from methods.layer_features.regularizers import brighten, gaussian_blur, jitter, tv_denoise, zoom_crop
from methods.layer_features.schedules import due, linear, period
from methods.layer_features.start_images import Start

PresetName = Literal["stable", "published"]
Ends = tuple[float, float]  # values at the first and at the last iteration


@dataclass(frozen=True)
class Regularization:
    """What keeps images plain; whatever is a pair goes linearly from the first iteration's value to the last one's.

    Attributes:
        blur: σ of a Gaussian, in pixels.
        denoise: Weight of total-variation denoising; large is weak; ``None``: none.
        every: Iterations from one blur and denoising to the next; 0: none.
        until: The share of the iterations in which there are these two; the rest only mends what they did.
        mask: σ of the gradient's radial mask, in parts of the image's side; ``None``: no mask.
        brightness: What is added to every pixel, which is in [0, 1].
        brighten_every: Iterations from one time to the next; 0: never.
        shift: By how many pixels the network's view moves at most, anew in every iteration.
        zoom: The network sees a piece of the image enlarged so much.
        zoom_every: Iterations for which the piece stays.
    """

    blur: Ends = (0.0, 0.0)
    denoise: Ends | None = None
    every: int = 0
    until: float = 1.0
    mask: Ends | None = None
    brightness: float = 0.0
    brighten_every: int = 0
    shift: int = 0
    zoom: float = 1.0
    zoom_every: int = 0


@dataclass(frozen=True)
class Preset:
    """How a synthesis goes.

    Attributes:
        iterations: Steps.
        adam: Adam on pixels in [0, 1]; else SGD with Nesterov momentum 0.9 on normalised pixels.
        lr: Learning rate, first and last.
        comparable: Whether the terms are without unit (:func:`methods.layer_features.objective.comparable_aim`).
        activation: Weight of the first term of the objective.
        distance: Weight of the second.
        sparsity: Weight of the third, first and last.
        start: What images begin as.
        regularization: What keeps images plain.
        nearest: Targets are made of the members nearest to the centre; else of the farthest.
        renewed: The optimiser is made anew in every step, so that there is no momentum.
        rounded: Images are rounded to 256 values after every step.
        swapped: The network gets blue, green, red.
    """

    iterations: int
    adam: bool
    lr: Ends
    comparable: bool
    activation: float
    distance: float
    sparsity: Ends
    start: Start
    regularization: Regularization = field(default_factory=Regularization)
    nearest: bool = True
    renewed: bool = False
    rounded: bool = False
    swapped: bool = False


PRESETS: dict[str, Preset] = {
    "stable": Preset(
        iterations=200,
        adam=True,
        lr=(0.02, 0.004),
        comparable=True,
        activation=0.05,
        distance=1.0,
        sparsity=(0.2, 0.2),
        start="blend",
        regularization=Regularization(blur=(0.5, 0.2), denoise=(20.0, 60.0), every=10, until=0.9, shift=1),
    ),
    "published": Preset(  # arXiv 2101.12447 and its code
        iterations=2001,
        adam=False,
        lr=(0.5, 0.08),
        comparable=False,
        activation=1.0,
        distance=1.0,
        sparsity=(1e-4, 5e-4),
        start="blend",
        regularization=Regularization(
            blur=(0.9, 0.2),
            denoise=(2.0, 8.0),
            every=10,
            mask=(70 / 512, 57 / 512),
            brightness=5 / 255,
            brighten_every=50,
            zoom=1.2,
            zoom_every=400,
        ),
        nearest=False,
        renewed=True,
        rounded=True,
        swapped=True,
    ),
}


def seen(images: Tensor, how: Regularization, iteration: int, seed: int) -> Tensor:
    """What the network sees of images in an iteration: the same piece and shift of all of them.

    Args:
        images: Shape ``(R, 3, H, W)``.
        how: Zoom and shift.
        iteration: From 0 on.
        seed: Of what is drawn, which depends on it and on the iteration alone.
    """
    generator = torch.Generator().manual_seed(hash((seed, 0, period(how.zoom_every, iteration))) % 2**62)
    top, left = torch.rand(2, generator=generator).tolist()
    images = zoom_crop(images, how.zoom, top, left)
    if not how.shift:
        return images
    generator = torch.Generator().manual_seed(hash((seed, 1, iteration)) % 2**62)
    down, right = torch.randint(-how.shift, how.shift + 1, (2,), generator=generator).tolist()
    return jitter(images, int(down), int(right))


def regularized(images: Tensor, how: Regularization, iteration: int, iterations: int) -> Tensor:
    """What is made of images after an iteration's step, in [0, 1].

    Args:
        images: Shape ``(R, 3, H, W)``.
        how: Blur, denoising and brightness.
        iteration: From 0 on.
        iterations: How many there are.
    """
    if due(how.every, iteration) and iteration < how.until * iterations:
        images = gaussian_blur(images, linear(how.blur, iteration, iterations))
        if how.denoise is not None:
            images = tv_denoise(images, linear(how.denoise, iteration, iterations))
    if due(how.brighten_every, iteration):
        images = brighten(images, how.brightness)
    return images.clamp(0, 1)
