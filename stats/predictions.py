"""The per-image results of classifiers on several sources of images, as arrays."""

from dataclasses import dataclass

from stats.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Predictions:
    """What C classifiers predict for N test images from R sources of images.

    Attributes:
        rows: The sources of images: ``original``, ``pretrained`` (A_S), controls, and the autoencoders A_i, one for
            each of their seeds.
        sources: For each row its name without the seed: the classifier that an A_i was fine-tuned through, or that a
            band channel was fitted to.
        columns: The classifiers.
        controls: Rows and columns that are controls: they have no part in the order.
        label_sets: Which labels each classifier predicts, a name for each column; ``label`` are the images' usual ones.
        index: Position of each image in its split, ``(N,)``.
        labels: The right class of each image for each classifier, ``(N, C)``.
        predicted: The predicted class, ``(N, R, C)``.
        top1: Whether the predicted class is the right one, ``(N, R, C)``.

    Example:
        >>> from tests.stats.example import example_predictions
        >>> predictions = example_predictions()
        >>> predictions.baselines, predictions.rows_of("b"), predictions.column("b")
        (['original'], [2], 1)
    """

    rows: list[str]
    sources: list[str]
    columns: list[str]
    controls: list[str]
    label_sets: list[str]
    index: IntArray
    labels: IntArray
    predicted: IntArray
    top1: BoolArray

    @property
    def classifiers(self) -> list[str]:
        """The classifiers that the study compares: all columns but the controls."""
        return [name for name in self.columns if name not in self.controls]

    @property
    def classifier_columns(self) -> list[int]:
        """Positions of ``classifiers`` among the columns."""
        return [self.column(name) for name in self.classifiers]

    @property
    def baselines(self) -> list[str]:
        """The sources that are no A_i of a classifier of the study: originals, A_S and controls."""
        return [name for name in dict.fromkeys(self.sources) if name not in self.classifiers]

    def rows_of(self, source: str) -> list[int]:
        """Positions of the rows of a source, one for each seed."""
        return [position for position, name in enumerate(self.sources) if name == source]

    def column(self, name: str) -> int:
        """Position of a classifier among the columns."""
        return self.columns.index(name)


@dataclass(frozen=True)
class ReconstructionPredictions(Predictions):
    """Predictions from reconstructions, and how much these have in common with the images.

    Attributes:
        top5: Whether the right class is among the five with the largest logits, ``(N, R, C)``.
        nmi_intra: nMI of each image and its reconstruction, ``(N, R)``.
        nmi_inter: nMI of the reconstructions of two different images, ``(pairs, R)``.

    Example:
        >>> from tests.stats.example import example_predictions
        >>> example_predictions().nmi_inter.shape
        (3, 4)
    """

    top5: BoolArray
    nmi_intra: FloatArray
    nmi_inter: FloatArray
