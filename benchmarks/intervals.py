"""Seconds and peak memory of the intervals of a study of 50,000 images: bootstrap, order, everything.

python benchmarks/intervals.py     (1,000 resamples; 9 sources x 8 classifiers, then 26 x 24; drawn predictions)
"""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stats import intervals
from stats.intervals import Resampling, Sample
from stats.names import ORIGINAL, PRETRAINED
from stats.order_certainty import order_certainty
from stats.predictions import ReconstructionPredictions

IMAGES = 50_000


def drawn_predictions(classifiers: int, baselines: list[str]) -> ReconstructionPredictions:
    """A study in which classifier j needs what A_i keeps if j comes before i, less and less else."""
    generator = np.random.default_rng(0)
    names = [f"network {number}" for number in range(classifiers)]
    rows = [*baselines, *names]
    need = np.linspace(0.2, 1, classifiers)
    chance = 0.8 - 0.5 * np.maximum(need[None] - need[:, None], 0) + generator.normal(0, 0.02, (classifiers,) * 2)
    chance = np.concatenate([np.full((len(baselines), classifiers), 0.6), chance])
    top1 = np.stack([generator.random(chance.shape, dtype=np.float32) < chance for _ in range(IMAGES)])
    return ReconstructionPredictions(
        rows=rows,
        sources=rows,
        columns=names,
        controls=[],
        label_sets=["label"] * len(names),
        index=np.arange(IMAGES),
        labels=np.zeros((IMAGES, classifiers), dtype=np.int64),
        predicted=np.zeros((1, 1, 1), dtype=np.int64),
        top1=top1,
        top5=top1,
        nmi_intra=generator.random((IMAGES, len(rows))),
        nmi_inter=generator.random((IMAGES // 2, len(rows))),
    )


def timed(name: str, function: Callable[[], Any]) -> Any:
    """Run a step, and print its seconds and the process's peak memory so far."""
    start = time.perf_counter()
    result = function()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # kibibytes on Linux
    sys.stdout.write(f"| {name} | {time.perf_counter() - start:.2f} | {peak:.2f} |\n")
    sys.stdout.flush()
    return result


def main() -> None:
    """Print a Markdown table for each size of study."""
    how = Resampling(1000, 0.95, seed=0)
    for classifiers, baselines in ((8, [PRETRAINED]), (24, [ORIGINAL, PRETRAINED])):
        predictions = drawn_predictions(classifiers, baselines)
        sources = len(predictions.rows)
        sys.stdout.write(f"\n{sources} × {classifiers} × {IMAGES:,}, {how.resamples:,} resamples\n\n")
        sys.stdout.write("| step | seconds | peak, GiB |\n|---|---|---|\n")
        timed("predictions drawn", lambda: None)
        sample = timed("accuracies of all resamples", lambda: Sample(predictions.top1, predictions.sources, how))  # noqa: B023
        timed("intervals of accuracies", lambda: intervals.accuracy_intervals(predictions, sample, predictions.top1))  # noqa: B023
        timed("intervals of RRC", lambda: intervals.rrc_intervals(predictions, sample))  # noqa: B023
        timed("intervals of differences", lambda: intervals.paired_differences(predictions, sample))  # noqa: B023
        timed("intervals of nMI", lambda: intervals.nmi_intervals(predictions, how))  # noqa: B023
        found = timed("order", lambda: order_certainty(predictions, sample))  # noqa: B023
        sys.stdout.write(f"\n{len(found['thresholds'])} ranges of thresholds\n")


if __name__ == "__main__":
    main()
