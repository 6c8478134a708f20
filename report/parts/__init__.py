"""What further measurements of a study add to its report: one module for each, found by its files in the study."""

from collections.abc import Callable, Mapping
from pathlib import Path

from methods.class_patterns import report as patterns
from methods.class_patterns import report_findings as pattern_findings
from methods.concepts import report as concepts
from methods.layer_features import report as features
from methods.robustness import report as robustness
from report.page import Part
from report.parts import agreement, colour_and_frequency, cues, disagreement, intervals, noise

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
