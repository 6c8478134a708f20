"""Which patterns and which controls are tested on a classifier."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from methods.class_patterns.masks import centre_patch, pixel_count, random_pixels, tie_seed, top_pixels

PATTERN, NEURAL_CLEANSE, CANVAS = "pattern", "neural_cleanse", "canvas"
LEARNED = (PATTERN, NEURAL_CLEANSE)
CONTROLS = ("random", "centre", "saliency")  # at equal budget
HARD, SOFT = "hard", "soft"
NO_SEED = -1  # of what no search decides
COST_BUDGETS = (0.4, 0.7, 1.0)  # of learned colours only, beyond the others: what a class costs, however much it is
COLUMNS = ("pair", "method", "mask", "budget", "pixels", "seed")


@dataclass
class TestedPatterns:
    """R masks to be pasted, and what each is.

    Attributes:
        masks: Each ``(H, W)``, boolean or soft.
        canvas_of: For each, its canvas among those of all seeds, one seed after the other.
        rows: For each a dictionary of ``COLUMNS``: its pair of a class and a canvas; its method; ``hard`` or ``soft``
            mask; budget as a share, and in pixels (of a soft mask, 1 and all); seed of the search.
    """

    masks: list[Tensor] = field(default_factory=list)
    canvas_of: list[int] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, mask: Tensor, canvas: int, /, **row: Any) -> None:
        """Note one more."""
        self.masks.append(mask)
        self.canvas_of.append(canvas)
        self.rows.append({"mask": HARD, "seed": NO_SEED} | row)

    @property
    def table(self) -> pd.DataFrame:
        """The rows, columns as ``COLUMNS``."""
        return pd.DataFrame(self.rows, columns=list(COLUMNS))


def list_patterns(
    masks: Mapping[int, Tensor], learned: Sequence[bool], saliency: Tensor, budgets: Sequence[float]
) -> TestedPatterns:
    """The patterns found, and every control at the same numbers of pixels.

    Controls of a pair use its canvas: random pixels, new for each seed; the patch in its centre; the pixels that the
    class's logit is most sensitive to; and the whole canvas. Where colours are learned, there are none.

    Args:
        masks: By the seed of the search, in [0, 1], shape ``(P, H, W)``.
        learned: Whether a pair's colours were searched, too.
        saliency: Of each pair's class on its canvas, shape ``(P, H, W)``.
        budgets: Shares of the pixels; learned colours are tested at ``COST_BUDGETS``, too.
    """
    made = TestedPatterns()
    shape = (int(saliency.shape[-2]), int(saliency.shape[-1]))
    everything = shape[0] * shape[1]
    counts = {budget: pixel_count(float(budget), everything) for budget in budgets}
    for pair, free in enumerate(learned):
        for place, (seed, found) in enumerate(masks.items()):
            canvas, ties = place * len(learned) + pair, tie_seed(seed, pair)
            row: dict[str, Any] = {"pair": pair, "method": NEURAL_CLEANSE if free else PATTERN, "seed": seed}
            made.add(found[pair], canvas, **row | {"mask": SOFT, "budget": 1.0, "pixels": everything})
            more = {share: pixel_count(share, everything) for share in COST_BUDGETS if free}
            for budget, count in {**counts, **more}.items():
                size = {"budget": budget, "pixels": count}
                made.add(top_pixels(found[pair], count, ties), canvas, **row | size)
                if not free:
                    made.add(random_pixels(shape, count, ties), canvas, **row | size | {"method": "random"})
        if free:
            continue
        for budget, count in counts.items():
            size = {"budget": budget, "pixels": count}
            made.add(centre_patch(shape, count, pair), pair, pair=pair, method="centre", **size)
            made.add(top_pixels(saliency[pair], count, pair), pair, pair=pair, method="saliency", **size)
        whole = torch.ones(shape, dtype=torch.bool)
        made.add(whole, pair, pair=pair, method=CANVAS, budget=1.0, pixels=everything)
    return made
