"""The patterns and the controls that a classifier is evaluated on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from methods.class_patterns.patterns import Patterns, centre_patch, pixel_count, random_pixels, top_pixels
from networks.classifier import frozen
from networks.seeding import combined_seed

PATTERN, NEURAL_CLEANSE, CANVAS = "pattern", "neural_cleanse", "canvas"
SEARCHED = (PATTERN, NEURAL_CLEANSE)
HARD, SOFT = "hard", "soft"
NO_SEED = -1  # of controls that depend on no search
COST_BUDGETS = (0.4, 0.7, 1.0)  # for learned colours only: they extend the curve from which the cost of a class is read


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
    row = {
        "pair": pair,
        "method": method,
        "mask": HARD if hard else SOFT,
        "budget": budget,
        "pixels": int(mask.sum()) if hard else mask.numel(),
        "seed": seed,
        "target": patterns.targets[pair],
        "kind": patterns.kinds[pair],
        "number": patterns.numbers[pair],
        "source": patterns.sources[pair],
    }
    return Planned(mask, torch.from_numpy(patterns.canvases[pair]), row)


def plan_evaluation(by_seed: Mapping[int, Patterns], saliency: Tensor, budgets: Sequence[float]) -> Iterator[Planned]:
    """The searched patterns of a classifier, and every control with the same numbers of pixels.

    Controls of a pair use its canvas: random pixels, drawn anew for each seed; the patch in its centre; the pixels that
    the logit of the class is most sensitive to; and the whole canvas. Pairs with learned colours have no controls,
    because their canvas was optimised, too.

    Args:
        by_seed: The P patterns of each search, by its seed.
        saliency: Saliency of each pair's class on its canvas, shape ``(P, H, W)``.
        budgets: Shares of the pixels; patterns with learned colours are evaluated at ``COST_BUDGETS``, too.
    """
    first = next(iter(by_seed.values()))
    shape = (int(saliency.shape[-2]), int(saliency.shape[-1]))
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


def class_saliency(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The largest absolute gradient over the three channels of each image's logit of a class.

    Args:
        model: From images to logits ``(N, classes)``; in eval mode meanwhile.
        images: RGB in [0, 1], shape ``(N, 3, H, W)``.
        targets: The classes, shape ``(N,)``.

    Returns:
        Shape ``(N, H, W)``.

    Source: arXiv 1312.6034, section 3.
    """
    with frozen(model), torch.inference_mode(False), torch.enable_grad():
        pixels = images.clone().requires_grad_()
        logits = model(pixels).float()
        [gradient] = torch.autograd.grad(logits.gather(1, targets.clone()[:, None]).sum(), pixels)
    return gradient.abs().amax(dim=1)
