"""Random patterns, and classes with names that pandas would read as something else."""

import numpy as np

from methods.class_patterns.patterns import Patterns

CLASSES = [f"0{number}" for number in range(7)] + ["null"]


def made_patterns(side: int = 12) -> Patterns:
    """One random pattern for every class, on canvases of two kinds in turn."""
    generator = np.random.default_rng(3)
    count = len(CLASSES)
    return Patterns(
        masks=generator.random((count, side, side), dtype=np.float32) * 0.5,
        canvases=generator.integers(256, size=(count, 3, side, side), dtype=np.uint8),
        targets=np.arange(count),
        kinds=np.array(["own", "other"] * (count // 2)),
        numbers=np.zeros(count, int),
        sources=np.zeros(count, int),
        searched=np.arange(4),
        classes=np.array(CLASSES),
    )
