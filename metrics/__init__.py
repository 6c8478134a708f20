"""What is counted on images: torchmetrics metrics, each a pure function with a thin class around it."""

from metrics.nmi import (
    NormalizedMutualInformation,
    joint_histogram,
    mutual_information_ratio,
    normalized_mutual_information,
    quantise,
)
from metrics.per_image import PerImage

__all__ = [
    "NormalizedMutualInformation",
    "PerImage",
    "joint_histogram",
    "mutual_information_ratio",
    "normalized_mutual_information",
    "quantise",
]
