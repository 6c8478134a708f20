"""Settings of the steps that evaluate, and of those that summarise."""

from dataclasses import dataclass
from typing import Any

from study.configuration.names import check_patterns, check_study
from study.settings.fields import Settings, setting
from study.settings.training import Optimized, optimizer, schedule

BATCH = "images of a batch, over all devices"


@dataclass
class CrossEvaluate(Settings):
    """Accuracy of every classifier on the reconstructions of every autoencoder."""

    batch_size: int = setting(64, BATCH, low=1)
    nmi_bins: int = setting(16, "intensity bins of the nMI (docs/ideas.md says why so few)", low=2, high=256)


@dataclass
class NativeAccuracy(Settings):
    """The original images as published evaluations resize and crop them."""

    batch_size: int = setting(64, BATCH, low=1)


@dataclass
class SignalStatistics(Settings):
    """Colours, frequencies and checkerboards of the reconstructions; similarity of the classifiers."""

    batch_size: int = setting(64, BATCH, low=1)
    feature_images: int = setting(1000, "test images on which the features of classifiers are compared", low=1)


@dataclass
class NoiseCurves(Settings):
    """Accuracy under additive noise: of classifiers alone, behind A_S, behind the A_i of each."""

    batch_size: int = setting(64, BATCH, low=1)
    epsilons: list[float] = setting(
        [0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1],
        "noise is uniform in [-epsilon, epsilon], pixels in [0, 1]",
        low=0, high=1, least=1, unique=True,
    )  # fmt: skip
    clamp: bool = setting(False, "whether noisy images are clamped to [0, 1]")


@dataclass
class Probe(Optimized):
    """Readers: what can be learnt from the reconstructions of every autoencoder."""

    epochs: int = setting(12, "passes over the training images", low=1)
    adapted_epochs: int | None = setting(
        None, "passes that adapt the readers of the originals to reconstructions; null: fresh readers", low=1
    )
    batch_size: int = setting(32, BATCH, low=1)
    noise: float = setting(0.1, "standard deviation of noise, pixels in [0, 1]: faint traces cannot be read", low=0)
    schedule: str = schedule()
    reader: Any = setting(None, "network of the readers, without classes; null: the architecture of each classifier")
    optimizer: dict[str, Any] = optimizer("AdamW", 5e-3, weight_decay=0.05)

    @classmethod
    def check(cls, node: Any, key: str) -> None:
        """Check the optimiser and the reader."""
        super().check(node, key)
        if node.reader is not None and not isinstance(getattr(node.reader, "_target_", None), str):
            raise ValueError(f"{key}.reader={node.reader}: give a network, as {{_target_: …}}, or null")


@dataclass
class Disagreement(Settings):
    """Images on which compressed classifiers and their parents disagree."""

    images: int = setting(24, "pictures that are kept, of all parents together", low=1)


@dataclass
class Intervals(Settings):
    """Confidence intervals of the numbers of a study and of its order: other images, other seeds."""

    resamples: int = setting(1000, "bootstrap resamples of the test images", low=2)
    level: float = setting(0.95, "coverage of the intervals", low=0.5, below=1)
    covariates: str | None = setting(None, "CSV with a row per classifier and columns of numbers to correlate")


@dataclass
class Report(Settings):
    """Figures and a page of what the study has measured."""

    test_images: int = setting(6, "rows of the grid of test images", low=1)
    photographs: int = setting(4, "whole images, reconstructed at full size", low=0)
    further_studies: list[str] = setting(
        [], "finished studies of other networks, as [real_networks]: bits, pictures and a link", unique=True
    )

    @classmethod
    def check(cls, node: Any, key: str) -> None:
        """Check the names of studies."""
        for name in node.further_studies:
            check_study(name, f"{key}.further_studies")


@dataclass
class SweepTable(Settings):
    """The jobs of a sweep, or of several studies: a table and a figure."""

    studies: list[str] | None = setting(None, "names or patterns, as [lr_*]; null: this study", least=1, unique=True)
    number: str = setting("objective", "number in the figure: objective, or one that the jobs log, as val/nmi")
    task: str | None = setting(None, "task of the jobs; null: the one that most jobs have")

    @classmethod
    def check(cls, node: Any, key: str) -> None:
        """Check the patterns."""
        check_patterns(node.studies or (), f"{key}.studies")


@dataclass
class CompareObjectives(Settings):
    """How far each objective separates planted cues: several studies in one table."""

    studies: list[str] = setting(["planted_cues_*"], "names or patterns of studies", least=1, unique=True)

    @classmethod
    def check(cls, node: Any, key: str) -> None:
        """Check the patterns."""
        check_patterns(node.studies, f"{key}.studies")
