"""The per-image results of a cross evaluation, read back."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Predictions:
    """What C classifiers made of N test images from R sources, as ``cross_evaluation/predictions.npz`` holds it.

    Attributes:
        rows: The sources of images: ``original``, ``pretrained`` (A_S), controls, and the autoencoders A_i, one for
            each of their seeds.
        sources: For each row its name without the seed: the classifier that an A_i was fine-tuned through.
        columns: The classifiers.
        controls: Rows and columns that are controls: they have no part in the order.
        questions: What each classifier was asked; ``label`` is the images' own.
        index: Position of each image in its split, ``(N,)``.
        labels: The right class of each image for each classifier, ``(N, C)``.
        predicted: The class seen, ``(N, R, C)``.
        top1: Whether it is the right one, ``(N, R, C)``.
        top5: Whether the right class is among the five best, ``(N, R, C)``.
        nmi_intra: nMI of each image and its reconstruction, ``(N, R)``.
        nmi_inter: nMI of the reconstructions of two different images, ``(pairs, R)``.
    """

    rows: list[str]
    sources: list[str]
    columns: list[str]
    controls: list[str]
    questions: list[str]
    index: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    top1: npt.NDArray[np.bool_]
    top5: npt.NDArray[np.bool_]
    nmi_intra: npt.NDArray[np.float64]
    nmi_inter: npt.NDArray[np.float64]

    @property
    def classifiers(self) -> list[str]:
        """The classifiers that the study is about: those of the order."""
        return [name for name in self.columns if name not in self.controls]

    @property
    def baselines(self) -> list[str]:
        """The sources that are no A_i of a classifier of the study: originals, A_S and controls."""
        own = self.classifiers
        return [name for name in dict.fromkeys(self.sources) if name not in own]

    def rows_of(self, source: str) -> list[int]:
        """Positions of the rows of a source, one for each seed."""
        return [position for position, name in enumerate(self.sources) if name == source]


def read_predictions(path: Path) -> Predictions:
    """Read ``predictions.npz``; an older one, without controls and with one label for all classifiers, too."""
    with np.load(path) as file:
        found = {name: file[name] for name in file.files}
    rows = found["rows"].tolist()
    labels = found["labels"]
    columns = found["columns"].tolist()
    return Predictions(
        rows=rows,
        sources=found["sources"].tolist() if "sources" in found else rows,
        columns=columns,
        controls=found["controls"].tolist() if "controls" in found else [],
        questions=found["questions"].tolist() if "questions" in found else ["label"] * len(columns),
        index=found["index"],
        labels=labels if labels.ndim == 2 else np.repeat(labels[:, None], len(columns), axis=1),
        predicted=found["predicted"],
        top1=found["top1"].astype(bool),
        top5=found["top5"].astype(bool),
        nmi_intra=found["nmi_intra"],
        nmi_inter=found["nmi_inter"],
    )
