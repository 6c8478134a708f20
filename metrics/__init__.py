"""What is counted on images: torchmetrics metrics, each a pure function with a thin class around it."""

from metrics.agreement import cka_matrix, cohen_kappa, linear_cka, observed_agreement
from metrics.lab import LabHistogram, histogram_distance, lab_edges, lab_histogram, rgb_to_lab
from metrics.nmi import (
    NormalizedMutualInformation,
    joint_histogram,
    mutual_information_ratio,
    normalized_mutual_information,
    quantise,
)
from metrics.per_image import PerImage
from metrics.spectrum import Checkerboard, RadialSpectrum, power_at, power_spectrum, radial_sums

__all__ = [
    "Checkerboard",
    "LabHistogram",
    "NormalizedMutualInformation",
    "PerImage",
    "RadialSpectrum",
    "cka_matrix",
    "cohen_kappa",
    "histogram_distance",
    "joint_histogram",
    "lab_edges",
    "lab_histogram",
    "linear_cka",
    "mutual_information_ratio",
    "normalized_mutual_information",
    "observed_agreement",
    "power_at",
    "power_spectrum",
    "quantise",
    "radial_sums",
    "rgb_to_lab",
]
