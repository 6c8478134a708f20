"""Patterns, some pixels of a canvas, chosen by a mask: how they are chosen, pasted, drawn, kept and compared."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from networks.classifier import frozen
from networks.seeding import combined_seed

Array = npt.NDArray
PATTERN, NEURAL_CLEANSE, CANVAS = "pattern", "neural_cleanse", "canvas"
SEARCHED = (PATTERN, NEURAL_CLEANSE)
HARD, SOFT = "hard", "soft"
NO_SEED = -1  # of controls that depend on no search
COST_BUDGETS = (0.4, 0.7, 1.0)  # for learned colours only: they extend the curve from which the cost of a class is read


def pixel_count(budget: int | float, pixels: int) -> int:
    """The number of pixels that a budget allows.

    Args:
        budget: A share of the pixels, from 0.0 to 1.0, rounded to the nearest pixel (halves up); or, as an integer,
            the number itself.
        pixels: Number of all pixels.

    Raises:
        ValueError: If the budget is negative, NaN, or more than all pixels.
    """
    whole = isinstance(budget, int)
    most = pixels if whole else 1
    if not 0 <= budget <= most:  # so written, it also refuses NaN
        raise ValueError(f"a budget of {budget} pixels of {pixels}: give a share from 0.0 to 1.0, or 0 to {pixels}")
    return int(budget) if whole else math.floor(budget * pixels + 0.5)


def top_pixels(scores: Tensor, count: int, seed: int) -> Tensor:
    """The ``count`` pixels with the highest scores; ties are broken at random, not by the order of the pixels.

    With the same seed, a smaller count gives a subset of a larger one.

    Args:
        scores: Such as a soft mask, shape ``(H, W)``; no NaN.
        count: From 0 to H·W.
        seed: Seed of the order among equal scores.

    Returns:
        Boolean, shape ``(H, W)``, with exactly ``count`` pixels set; on the CPU.

    Raises:
        ValueError: If the count is out of range or a score is NaN.
    """
    flat = scores.detach().cpu().flatten()
    if not 0 <= count <= len(flat):
        raise ValueError(f"{count} of {len(flat)} pixels: expected 0 to {len(flat)}")
    if torch.isnan(flat).any():
        raise ValueError("a mask has values that are no numbers: the search or the classifier is broken")
    shuffled = torch.randperm(len(flat), generator=torch.Generator().manual_seed(seed))
    order = shuffled[flat[shuffled].argsort(descending=True, stable=True)]
    chosen = torch.zeros(len(flat), dtype=torch.bool)
    chosen[order[:count]] = True
    return chosen.reshape(scores.shape)


def random_pixels(shape: tuple[int, int], count: int, seed: int) -> Tensor:
    """``count`` pixels drawn at random: boolean, of ``shape``."""
    return top_pixels(torch.zeros(shape), count, seed)


def centre_patch(shape: tuple[int, int], count: int, seed: int) -> Tensor:
    """The ``count`` pixels nearest to the centre, a square as far as the count allows: boolean, of ``shape``."""
    rows, columns = (torch.arange(side) - (side - 1) / 2 for side in shape)
    return top_pixels(-torch.maximum(rows.abs()[:, None], columns.abs()[None, :]), count, seed)


def paste(images: Tensor, canvas: Tensor, mask: Tensor) -> Tensor:
    r"""Put a pattern on images: the canvas where the mask is 1, the image where it is 0.

    .. math:: \tilde{x} = m \cdot x_c + (1 - m) \cdot x

    where :math:`m` is the mask, :math:`x_c` the canvas and :math:`x` an image.

    Args:
        images: Shape ``(..., 3, H, W)``.
        canvas: Shape ``(..., 3, H, W)``.
        mask: In [0, 1] or boolean, shape ``(..., H, W)``; one for the three channels.

    Returns:
        Images of the shape that all three broadcast to.

    Raises:
        ValueError: If heights and widths differ.

    Source: arXiv 2101.06898, section 3.
    """
    if not images.shape[-2:] == canvas.shape[-2:] == mask.shape[-2:]:
        sizes = ", ".join(f"{tuple(tensor.shape[-2:])}" for tensor in (images, canvas, mask))
        raise ValueError(f"images, canvas and mask are of sizes {sizes} (height, width): resize the canvas first")
    weight = mask.to(images.dtype).unsqueeze(-3)
    return weight * canvas + (1 - weight) * images


def pattern_image(canvas: Array, mask: Array) -> Array:
    """A pattern as a picture that is transparent outside the mask.

    Args:
        canvas: uint8, shape ``(3, H, W)``.
        mask: Boolean, or soft in [0, 1], shape ``(H, W)``.

    Returns:
        RGBA, uint8, shape ``(H, W, 4)``; fully transparent pixels are black, so that they reveal nothing of the canvas.
    """
    opacity = np.round(255 * mask.astype(np.float64)).astype(np.uint8)
    colours = canvas.transpose(1, 2, 0) * (opacity > 0)[..., None]
    return np.concatenate([colours.astype(np.uint8), opacity[..., None]], axis=-1)


@dataclass(frozen=True)
class Patterns:
    """The P patterns of one search, as its ``.npz`` file holds them; a pair is a class and a canvas.

    Attributes:
        masks: Soft, in [0, 1], float32, shape ``(P, H, W)``.
        canvases: uint8, shape ``(P, 3, H, W)``; for ``learned`` ones, the colours after the search.
        targets: The target class of each, ``(P,)``.
        kinds: Kind of the canvas: ``own``, ``other``, ``noise`` or ``learned``, ``(P,)``.
        numbers: Numbers the canvases of the same class and kind, from 0, ``(P,)``.
        sources: The index of the canvas in its split, ``(P,)``; -1 for noise.
        searched: Indices in that split of the search images.
        classes: Names of all classes, in the order of the labels.
    """

    masks: Array
    canvases: Array
    targets: Array
    kinds: Array
    numbers: Array
    sources: Array
    searched: Array
    classes: Array

    def pixels(self, pair: int, budget: int | float, seed: int) -> Array:
        """The pixels of a pattern.

        Args:
            pair: Index of the pattern.
            budget: Share of all pixels, or, as an integer, their number.
            seed: Seed of the search; breaks ties.

        Returns:
            Boolean, shape ``(H, W)``.
        """
        mask = torch.from_numpy(self.masks[pair])
        return top_pixels(mask, pixel_count(budget, mask.numel()), combined_seed(seed, pair)).numpy()

    def picture(self, pair: int, budget: float, seed: int) -> Array:
        """The pixels of a pattern as :func:`pattern_image` shows them; arguments as for :meth:`pixels`."""
        return pattern_image(self.canvases[pair], self.pixels(pair, budget, seed))

    def table(self, seed: int) -> pd.DataFrame:
        """A row for each pattern: ``class``, ``kind``, ``number`` and the ``seed`` of its search."""
        columns = {"class": self.classes[self.targets], "kind": self.kinds, "number": self.numbers, "seed": seed}
        return pd.DataFrame(columns)


class Planned(NamedTuple):
    """A mask to be pasted, and what it is.

    Attributes:
        mask: Boolean (hard) or in [0, 1] (soft), shape ``(H, W)``.
        canvas: uint8, shape ``(3, H, W)``.
        row: Its ``pair`` of a class and a canvas; its ``method``; ``hard`` or ``soft``; its ``budget`` as a share and
            in ``pixels`` (of a soft mask 1 and all); ``seed`` of the search; ``target``, ``kind``, ``number`` and
            ``source`` as :class:`Patterns` has them for the pair.
    """

    mask: Tensor
    canvas: Tensor
    row: dict[str, Any]


def planned(patterns: Patterns, pair: int, mask: Tensor, method: str, budget: float, seed: int) -> Planned:
    """A mask on the canvas of a pair; a boolean one is hard."""
    hard = mask.dtype == torch.bool
    row = {"pair": pair, "method": method, "mask": HARD if hard else SOFT, "budget": budget, "seed": seed}
    row |= {"pixels": int(mask.sum()) if hard else mask.numel(), "target": patterns.targets[pair]}
    row |= {"kind": patterns.kinds[pair], "number": patterns.numbers[pair], "source": patterns.sources[pair]}
    return Planned(mask, torch.from_numpy(patterns.canvases[pair]), row)


def plan_evaluation(
    by_seed: Mapping[int, Patterns], classifier: nn.Module, budgets: Sequence[float], chunk: int
) -> Iterator[Planned]:
    """The searched patterns of a classifier, and every control with the same numbers of pixels.

    Controls of a pair use its canvas: random pixels, drawn anew for each seed; the patch in its centre; the pixels that
    the logit of the class is most sensitive to; and the whole canvas. Pairs with learned colours have no controls,
    because their canvas was optimised, too.

    Args:
        by_seed: The P patterns of each search, by its seed.
        classifier: From images in [0, 1] to logits, on the CPU; its saliency is a control.
        budgets: Shares of the pixels; patterns with learned colours are evaluated at ``COST_BUDGETS``, too.
        chunk: Canvases of a forward pass.
    """
    first = next(iter(by_seed.values()))
    shape = first.masks.shape[1:]
    canvases, targets = (torch.from_numpy(part).split(chunk) for part in (first.canvases, first.targets))
    saliency = torch.cat([class_saliency(classifier, *part) for part in zip(canvases, targets, strict=True)])
    for pair, learned in enumerate((first.kinds == "learned").tolist()):
        method, further = (NEURAL_CLEANSE, COST_BUDGETS) if learned else (PATTERN, ())
        for seed, patterns in by_seed.items():
            yield planned(patterns, pair, torch.from_numpy(patterns.masks[pair]), method, 1.0, seed)
            for budget in dict.fromkeys([*budgets, *further]):
                mask = torch.from_numpy(patterns.pixels(pair, budget, seed))
                yield planned(patterns, pair, mask, method, budget, seed)
                if not learned:
                    chance = random_pixels(shape, int(mask.sum()), combined_seed(seed, pair))
                    yield planned(patterns, pair, chance, "random", budget, seed)
        if learned:
            continue
        for budget in budgets:
            count = pixel_count(budget, saliency[pair].numel())
            yield planned(first, pair, centre_patch(shape, count, pair), "centre", budget, NO_SEED)
            yield planned(first, pair, top_pixels(saliency[pair], count, pair), "saliency", budget, NO_SEED)
        yield planned(first, pair, torch.ones(shape, dtype=torch.bool), CANVAS, 1.0, NO_SEED)


def plan_transfer(patterns: Patterns, budget: float, seed: int) -> Iterator[Planned]:
    """The patterns of another classifier at one budget, without those with learned colours.

    Args:
        patterns: The patterns.
        budget: Share of the pixels.
        seed: Seed of their search.
    """
    for pair in np.flatnonzero(patterns.kinds != "learned").tolist():
        yield planned(patterns, pair, torch.from_numpy(patterns.pixels(pair, budget, seed)), PATTERN, budget, seed)


def class_saliency(model: nn.Module, canvases: Tensor, targets: Tensor) -> Tensor:
    """The largest absolute gradient over the three channels of each canvas's logit of a class.

    Args:
        model: From images to logits ``(N, classes)``; in eval mode meanwhile.
        canvases: uint8, shape ``(N, 3, H, W)``.
        targets: The classes, shape ``(N,)``.

    Returns:
        Shape ``(N, H, W)``.

    Source: arXiv 1312.6034, section 3.
    """
    with frozen(model), torch.inference_mode(False), torch.enable_grad():
        pixels = (canvases.float() / 255).requires_grad_()
        logits = model(pixels).float()
        [gradient] = torch.autograd.grad(logits.gather(1, targets.clone()[:, None]).sum(), pixels)
    return gradient.abs().amax(dim=1)
