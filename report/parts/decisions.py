"""Decisions as labels: what the classifiers predict on the originals, and how confident they are."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from report.figures.images import draw_image
from report.figures.style import INK, STYLE, typeset
from report.names import classifier_title, spaced
from report.page import Part
from report.tables import read_table
from report.text import figure_text

TEMPLATE = "report/templates/decisions.html.j2"
MOST_CLASSES = 10  # of each classifier, in the table
LINE = 0.16  # inches


def read(root: Path, titles: Mapping[str, str]) -> Part | None:
    """The part on decisions, if ``task=decisions`` made them."""
    folder = root / "decisions"
    paths = [folder / name for name in ("summary.csv", "classes.csv", "pictures.npz")]
    if not all(path.exists() for path in paths):
        return None
    summary, classes = (read_table(path, "name") for path in paths[:2])
    summary["classifier"] = [classifier_title(name, titles) for name in summary["classifier"]]
    with np.load(paths[2]) as file:
        arrays = dict(file)
    predicted = classes.groupby("classifier", sort=False).head(MOST_CLASSES).copy()
    predicted.index = pd.Index([classifier_title(name, titles) for name in predicted["classifier"]])
    values = {
        "summary": summary.set_index("classifier"),
        "classes": predicted[["name", "images", "confidence"]].rename(columns={"name": "class"}),
        "most": MOST_CLASSES,
        "names": list(summary["classifier"]),
        "images": int(summary["images"].iloc[0]),
        "predicted": int(summary["classes"].iloc[0]),
        "confidence": float(summary["confidence"].iloc[0]),
    }
    return Part(TEMPLATE, values, {"decisions": draw_decisions(arrays, titles)}, paths)


def draw_decisions(arrays: Mapping[str, np.ndarray], titles: Mapping[str, str]) -> Figure:
    """Images in a row, each with the decisions of the classifiers and their confidence below it.

    Args:
        arrays: As ``task=decisions`` writes them: ``image_<k>``, ``classifiers``, ``classes`` and ``confidences``.
        titles: Display name of each classifier.
    """
    names = [classifier_title(str(name), titles) for name in arrays["classifiers"]]
    count, width = len(arrays["classes"]), 1.35
    images = [arrays[f"image_{number}"] for number in range(count)]
    ratio = max(image.shape[-2] / image.shape[-1] for image in images)
    text = LINE * (2 * len(names) + 0.5)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width * count, width * ratio + text))
        axes = figure.subplots(1, count, squeeze=False, gridspec_kw={"wspace": 0.06})[0]
        figure.subplots_adjust(left=0, right=1, top=1, bottom=text / figure.get_figheight())
        for number, (ax, image) in enumerate(zip(axes, images, strict=True)):
            draw_image(ax, image / 255)
            for row, name in enumerate(names):
                what = figure_text(spaced(arrays["classes"][number, row]), 20)
                sure = arrays["confidences"][number, row]
                place = {"xycoords": "axes points", "fontsize": 7, "va": "top", "annotation_clip": False}
                ax.annotate(typeset(name), (0, -72 * LINE * 2 * row - 4), color=INK, alpha=0.6, **place)
                ax.annotate(f"{what}  {sure:.2f}", (0, -72 * LINE * (2 * row + 0.8) - 4), color=INK, **place)
    return figure
