"""The patterns and the controls that a classifier is evaluated on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from methods.class_patterns.patterns import centre_patch, pixel_count, random_pixels, top_pixels
from networks.classifier import frozen
from networks.seeding import combined_seed

PATTERN, NEURAL_CLEANSE, CANVAS = "pattern", "neural_cleanse", "canvas"
SEARCHED = (PATTERN, NEURAL_CLEANSE)
HARD, SOFT = "hard", "soft"
NO_SEED = -1  # of controls that depend on no search
COST_BUDGETS = (0.4, 0.7, 1.0)  # for learned colours only: they extend the curve from which the cost of a class is read
COLUMNS = ("pair", "method", "mask", "budget", "pixels", "seed")


@dataclass
class EvaluationPlan:
    """R masks to be pasted, each with a description.

    Attributes:
        masks: Each ``(H, W)``, boolean or soft.
        canvas_of: The canvas of each mask: its index among the canvases of all seeds, one seed after the other.
        rows: The description of each mask, with the keys ``COLUMNS``: its pair of a class and a canvas; its method;
            ``hard`` or ``soft``; its budget as a share and in pixels (for a soft mask 1 and all); seed of the search.
    """

    masks: list[Tensor] = field(default_factory=list)
    canvas_of: list[int] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, mask: Tensor, canvas: int, /, **row: Any) -> None:
        """Add a mask; it is hard and without a seed unless ``row`` has other values."""
        self.masks.append(mask)
        self.canvas_of.append(canvas)
        self.rows.append({"mask": HARD, "seed": NO_SEED} | row)

    @property
    def table(self) -> pd.DataFrame:
        """The rows, columns as ``COLUMNS``."""
        return pd.DataFrame(self.rows, columns=list(COLUMNS))


def plan_evaluation(
    masks: Mapping[int, Tensor], learned: Sequence[bool], saliency: Tensor, budgets: Sequence[float]
) -> EvaluationPlan:
    """The searched patterns, and every control with the same numbers of pixels.

    Controls of a pair use its canvas: random pixels, drawn anew for each seed; the patch in its centre; the pixels that
    the logit of the class is most sensitive to; and the whole canvas. Pairs with learned colours have no controls,
    because their canvas was optimised, too.

    Args:
        masks: By the seed of the search, in [0, 1], shape ``(P, H, W)``.
        learned: Whether the colours of a pair are learned, P values.
        saliency: Saliency of each pair's class on its canvas, shape ``(P, H, W)``.
        budgets: Shares of the pixels; patterns with learned colours are evaluated at ``COST_BUDGETS``, too.
    """
    plan = EvaluationPlan()
    shape = (int(saliency.shape[-2]), int(saliency.shape[-1]))
    everything = shape[0] * shape[1]
    counts = {budget: pixel_count(float(budget), everything) for budget in budgets}
    cost_counts = counts | {budget: pixel_count(budget, everything) for budget in COST_BUDGETS}
    for pair, is_learned in enumerate(learned):
        for number, (seed, of_seed) in enumerate(masks.items()):
            canvas, ties = number * len(learned) + pair, combined_seed(seed, pair)
            row: dict[str, Any] = {"pair": pair, "method": NEURAL_CLEANSE if is_learned else PATTERN, "seed": seed}
            plan.add(of_seed[pair], canvas, **row | {"mask": SOFT, "budget": 1.0, "pixels": everything})
            for budget, count in (cost_counts if is_learned else counts).items():
                size = {"budget": budget, "pixels": count}
                plan.add(top_pixels(of_seed[pair], count, ties), canvas, **row | size)
                if not is_learned:
                    plan.add(random_pixels(shape, count, ties), canvas, **row | size | {"method": "random"})
        if is_learned:
            continue
        for budget, count in counts.items():
            row = {"pair": pair, "budget": budget, "pixels": count}
            plan.add(centre_patch(shape, count, pair), pair, **row, method="centre")
            plan.add(top_pixels(saliency[pair], count, pair), pair, **row, method="saliency")
        whole = torch.ones(shape, dtype=torch.bool)
        plan.add(whole, pair, pair=pair, method=CANVAS, budget=1.0, pixels=everything)
    return plan


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
