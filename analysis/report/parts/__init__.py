"""What further measurements of a study add to its report: one module for each, found by its files in the study."""

from collections.abc import Callable, Mapping
from pathlib import Path

from analysis.report.page import Part
from analysis.report.parts import (
    agreement,
    colour_and_frequency,
    concept_trust,
    concepts,
    cues,
    disagreement,
    features,
    intervals,
    noise,
    pattern_findings,
    patterns,
    robustness,
)

Read = Callable[[Path, Mapping[str, str]], Part | None]
PARTS: tuple[Read, ...] = (
    intervals.read,
    cues.read,
    colour_and_frequency.read,
    noise.read,
    robustness.read,
    patterns.read,
    pattern_findings.read,
    concepts.read,
    concept_trust.read,
    agreement.read,
    disagreement.read,
    features.read,
)


def read_parts(root: Path, labels: Mapping[str, str]) -> list[Part]:
    """The parts whose measurements were made.

    Args:
        root: The study's folder.
        labels: What people call each classifier.
    """
    return [part for read in PARTS if (part := read(root, labels)) is not None]
