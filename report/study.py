"""What a study's report shows and says: its tables read, its figures drawn, its findings in words."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from report.figures import study as figures
from report.figures.lattice import lattice
from report.page import Section
from stats.names import ORIGINAL, PRETRAINED
from stats.order import ThresholdInterval, shown_intervals, threshold_intervals, widest_chain

IMAGES = "originals"
START = "A_S"
METHOD = (
    "S. Palacio, J. Folz, J. Hees, F. Raue, D. Borth, A. Dengel, “What do Deep Networks Like to See?”, CVPR 2018 "
    "(arXiv 1803.08337)."
)
NARROW = 0.05  # range of thresholds below which an order is a hint
CONTROLS = {"second_start": "second start", "extra_training": "extra training"}


@dataclass(frozen=True)
class StudyTables:
    """A study's results, with names as people read them: ``originals``, ``A_S``, ``A_<classifier>``.

    Attributes:
        accuracy: Top-1, rows sources of images, columns classifiers; controls among both.
        top5: Top-5, likewise.
        nmi: ``intra_mean``, ``intra_std``, ``inter_mean``, ``inter_std`` of each source of images.
        rrc: Relative rates of change, rows autoencoders, columns classifiers.
        images: Number of test images.
        views: What each classifier does to an image and how much of it it sees.
        native: Accuracy on the originals in each classifier's native view, and as published; or ``None``.
    """

    accuracy: pd.DataFrame
    top5: pd.DataFrame
    nmi: pd.DataFrame
    rrc: pd.DataFrame
    images: int
    views: pd.DataFrame
    native: pd.DataFrame | None

    @cached_property
    def intervals(self) -> list[ThresholdInterval]:
        """The lattice at every threshold."""
        return threshold_intervals(self.rrc.to_numpy(dtype=float))

    @property
    def chain(self) -> ThresholdInterval | None:
        """The widest range of thresholds with a total order."""
        return widest_chain(self.intervals)

    @property
    def own(self) -> pd.DataFrame:
        """Per classifier: accuracy on the originals, through A_S and through its own A_i, and their standard errors."""
        rows = {
            IMAGES: self.accuracy.loc[IMAGES][self.rrc.columns],
            START: self.accuracy.loc[START][self.rrc.columns],
            "own A_i": pd.Series({name: self.accuracy.loc[f"A_{name}", name] for name in self.rrc.columns}),
        }
        table = pd.DataFrame(rows)
        errors = (table * (1 - table) / self.images) ** 0.5
        return table.join(errors.add_suffix(", standard error"))


def row_names(labels: Mapping[str, str]) -> dict[str, str]:
    """The name people read for each row of a study's tables, given the classifiers' labels."""
    return {ORIGINAL: IMAGES, PRETRAINED: START} | CONTROLS | {name: f"A_{label}" for name, label in labels.items()}


def read_study(cross_evaluation: Path, order: Path, labels: Mapping[str, str], views: pd.DataFrame) -> StudyTables:
    """Read a study's tables.

    Args:
        cross_evaluation: Folder of ``accuracy.csv``, ``accuracy_top5.csv``, ``nmi.csv``, ``predictions.npz`` and
            perhaps ``native_accuracy.csv``.
        order: Path of ``order.json``.
        labels: What people call each classifier.
        views: What each classifier does to an image, by name.
    """
    rows = row_names(labels)
    tables = [
        pd.read_csv(cross_evaluation / f"{name}.csv", index_col=0).rename(index=rows, columns=labels)
        for name in ("accuracy", "accuracy_top5", "nmi")
    ]
    rrc = pd.DataFrame(json.loads(order.read_text(encoding="utf-8"))["rrc"]).T
    accuracy, top5, nmi = tables
    with np.load(cross_evaluation / "predictions.npz") as predictions:
        images = len(predictions["labels"])
    path = cross_evaluation / "native_accuracy.csv"
    native = pd.read_csv(path, index_col=0).rename(index=labels) if path.exists() else None
    return StudyTables(
        accuracy, top5, nmi, rrc.rename(index=rows, columns=labels), images, views.rename(index=labels), native
    )


def draw_figures(
    study: StudyTables,
    photographs: Mapping[str, Sequence[Tensor]],
    test_images: Mapping[str, Sequence[Tensor]],
    test_names: Sequence[str],
) -> dict[str, Figure]:
    """Every figure of the report, by the name of its files.

    Args:
        study: The results.
        photographs: Whole images under each source, by its name as people read it; there may be none.
        test_images: Test images, likewise.
        test_names: What each test image shows.
    """
    autoencoders = study.nmi.drop(index=IMAGES)
    drawn = {
        "test_images": figures.image_grid(test_images, test_names, width=1.1),
        "accuracy": figures.accuracy_matrix(study.accuracy, baselines=len(study.accuracy) - len(study.rrc)),
        "rrc": figures.rrc_curve(study.intervals, study.rrc, study.chain),
        "nmi": figures.nmi_bars(autoencoders, study.nmi["inter_mean"].to_dict()[IMAGES]),
    }
    if any(photographs.values()):
        drawn["photographs"] = figures.image_grid(photographs, width=1.75)
    if study.chain is not None:
        drawn["lattice"] = lattice((study.rrc >= (study.chain.lower + study.chain.upper) / 2).T)
    return drawn


def order_in_words(study: StudyTables) -> str:
    """The order at the widest chain, from the classifier served by the fewest autoencoders to the most."""
    if study.chain is None or study.chain.order is None:
        return "no order"
    return " < ".join(" = ".join(study.rrc.columns[j] for j in group) for group in study.chain.order)


def lead(study: StudyTables) -> str:
    """The report's first sentences, as HTML."""
    text = (
        "Each autoencoder A<sub>i</sub> was trained on by one frozen classifier’s own loss, so that its images keep "
        "what that classifier uses. "
    )
    if study.chain is None:
        return text + "At no threshold are the classifiers totally ordered by whose images serve whom."
    width = study.chain.upper - study.chain.lower
    narrow = f" That range is only {width:.3f} wide: take the order as a hint." if width < NARROW else ""
    return text + (
        f"At thresholds between {study.chain.lower:.3f} and {study.chain.upper:.3f}, the widest range with a total "
        f"order, the classifiers rank <strong>{order_in_words(study)}</strong>, from the one that the fewest "
        f"autoencoders serve to the one that the most serve.{narrow}"
    )


def facts(study: StudyTables) -> list[tuple[str, str]]:
    """The numbers at the top of the report."""
    own = study.own
    return [("test images", str(study.images))] + [
        (f"accuracy, {name}", f"{100 * own[name].min():.1f} – {100 * own[name].max():.1f} %")
        for name in (IMAGES, START, "own A_i")
    ]


def sections(study: StudyTables) -> list[Section]:
    """The parts of the report, in order."""
    all_of_them = study.intervals
    shown = [all_of_them[place] for place in shown_intervals(all_of_them)]
    intervals = pd.DataFrame(
        [(f"({i.lower:.3f}, {i.upper:.3f}]", i.concepts, "yes" if i.chain else "no") for i in shown],
        columns=["threshold", "concepts", "chain"],
    ).set_index("threshold")
    thresholds = "Every threshold"
    if len(shown) < len(all_of_them):
        thresholds = f"The {len(shown)} widest of {len(all_of_them)} ranges of thresholds (all are in order.json)"
    parts = [
        Section(
            "Whole photographs, as each network likes to see them",
            "The autoencoders are fully convolutional, so they redraw photographs of any size. A<sub>S</sub> learned "
            "to copy; every other one was then pulled by one classifier, and shows what that classifier’s loss "
            "kept, dropped or exaggerated. Some of these pixels may have been trained on: the figure illustrates, it "
            "measures nothing.",
            "photographs",
        ),
        Section("Test images", "Images that no network was trained on, under every autoencoder.", "test_images"),
        Section(
            "Who can read whose images",
            "Accuracy of each classifier (columns) on the originals, on A<sub>S</sub>’s images and on every "
            f"A<sub>i</sub>’s, over {study.images} test images. The diagonal of the lower block is each classifier fed "
            "by its own autoencoder.",
            "accuracy",
            {
                "Own autoencoder, with standard errors": study.own,
                "Top-1 accuracy": study.accuracy,
                "Top-5 accuracy": study.top5,
            },
        ),
        views_section(
            study.views,
            study.native,
            "The autoencoders redraw whole images; each classifier resizes and crops them for itself, and what lies "
            "outside its view has no part in its loss.",
        ),
        Section(
            "Relative rate of change",
            "RRC(A<sub>i</sub> → j) is the accuracy of classifier j on A<sub>i</sub>’s images, divided by the smaller "
            "of the two classifiers’ accuracies on their own images: near 1, A<sub>i</sub>’s images hold all that j "
            "needs, whether i needs it or not. At a threshold t, j is <em>served</em> by A<sub>i</sub> where RRC ≥ t. "
            "Shaded are the thresholds at which the classifiers are totally ordered (the concept lattice is a chain), "
            "darkest the widest range of them.",
            "rrc",
            {"Relative rates of change": study.rrc, thresholds: intervals},
        ),
    ]
    if study.chain is not None:
        parts.append(
            Section(
                "The order",
                f"The concept lattice at a threshold in ({study.chain.lower:.3f}, {study.chain.upper:.3f}]. A "
                "classifier (left) is served by the autoencoders at its node and at every node above it.",
                "lattice",
            )
        )
    parts.append(
        Section(
            "How much of the image is kept",
            "Normalised mutual information between an image and its reconstruction, and between reconstructions of two "
            "different images (mean and standard deviation). The dashed floor is that of two different originals: "
            "unrelated images, too, share statistics, and the estimate is biased upward.",
            "nmi",
            {"Normalised mutual information": study.nmi},
        )
    )
    return parts


def views_section(
    views: pd.DataFrame,
    native: pd.DataFrame | None,
    text: str = "Each classifier resizes and crops images for itself, and what lies outside its view it does not see.",
) -> Section:
    """What each classifier sees of an image, and how good it is in its native view, if that was measured."""
    tables = {"Field of view": views}
    if native is not None:
        caption = "Accuracy on the originals in the native view (resized from the file at once), and published"
        tables[caption] = native.rename(columns=lambda column: column.replace("_", " "))
    return Section("What each classifier looks at", text, tables=tables)
