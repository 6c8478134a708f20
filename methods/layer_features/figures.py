"""Figures of layer features: what was synthesised, for which images, how it came about and how near it came."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.ticker import NullFormatter

from methods.layer_features.files import FeatureFile
from methods.layer_features.numbers import INVERSION, MAXIMIZATION, SYNTHESIS
from report.figures.study import ACCENT, GREY, INK, PAGE, STYLE

NAMES = {
    "start": "start",
    MAXIMIZATION: "activation maximisation",
    INVERSION: "feature inversion",
    SYNTHESIS: "synthesis",
}
COLOURS = {"start": GREY, MAXIMIZATION: "#d08c2f", INVERSION: "#7b6ca8", SYNTHESIS: ACCENT}
MOST_CLUSTERS = 6  # of a layer, in pictures; there may be more in tables
MOST_THUMBNAILS = 24
BESIDE = 3  # nearest real images
Columns = Sequence[int]


def clusters_of(found: FeatureFile, layer: int) -> Columns:
    """The clusters of a layer that pictures show: the largest."""
    return found.clusters(layer)[:MOST_CLUSTERS]


def feature_grid(found: FeatureFile) -> Figure:
    """The layer × cluster grid: each synthesis, and right of it the real images that the layer sees most alike."""
    widest = max(len(clusters_of(found, layer)) for layer in range(len(found.layers)))
    cell = min(2.0, (PAGE - 0.9) / widest)
    height = 0.75 * cell + 0.22
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(0.9 + cell * widest, height * len(found.layers)))
        wide, tall = figure.get_size_inches()
        for layer, name in enumerate(found.layers.tolist()):
            bottom = tall - (layer + 1) * height
            figure.text(
                0.82 / wide,
                (bottom + 0.375 * cell) / tall,
                wrapped(name),
                ha="right",
                va="center",
                fontsize=8,
                color=INK,
            )
            sizes = np.bincount(found.labels[layer])
            for column, cluster in enumerate(clusters_of(found, layer)):
                row, left = found.row(layer, cluster, SYNTHESIS), 0.9 + column * cell
                side, small = 0.69 * cell, 0.23 * cell
                ax = place(figure, left, bottom, side, found.images[row])
                ax.set_title(f"{sizes[cluster]} images", fontsize=7, color=INK, pad=2)
                for number, real in enumerate(found.nearest[row].tolist()[:BESIDE]):
                    place(
                        figure, left + side + 0.02 * cell, bottom + side - (number + 1) * small, small, found.real[real]
                    )
    return figure


def place(figure: Figure, left: float, bottom: float, side: float, image: npt.NDArray) -> Axes:
    """An image ``(3, H, W)``, uint8, at a place of a figure, in inches."""
    wide, tall = figure.get_size_inches()
    gap = 0.015
    ax = figure.add_axes((left / wide, bottom / tall, (side - gap) / wide, (side - gap) / tall))
    show(ax, image)
    return ax


def show(ax: Axes, image: npt.NDArray) -> None:
    """An image ``(3, H, W)``, uint8, over the whole of some axes."""
    ax.imshow(image.transpose(1, 2, 0), interpolation="nearest", aspect="auto")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def wrapped(name: str) -> str:
    """A layer's name, in lines that fit beside a row."""
    lines, line = [], ""
    for part in name.split("."):
        longer = f"{line}.{part}" if line else part
        if len(longer) > 11 and line:
            lines.append(f"{line}.")
            longer = part
        line = longer
    return "\n".join([*lines, line])


def methods_grid(found: FeatureFile, layer: int) -> Figure:
    """What each method made of the same starts: a row for each method, a column for each cluster."""
    columns = clusters_of(found, layer)
    side = min(1.3, (PAGE - 1.4) / len(columns))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.4 + side * len(columns), side * len(NAMES)))
        tall = figure.get_figheight()
        for row, (method, name) in enumerate(NAMES.items()):
            bottom = tall - (row + 1) * side
            for column, cluster in enumerate(columns):
                made = found.row(layer, cluster, SYNTHESIS if method == "start" else method)
                picture = (found.starts if method == "start" else found.images)[made]
                place(figure, 1.4 + column * side, bottom, side, picture)
            middle = (bottom + side / 2) / tall
            text = name.replace(" ", "\n")
            figure.text(1.32 / figure.get_figwidth(), middle, text, ha="right", va="center", fontsize=8, color=INK)
    return figure


def iteration_strip(found: FeatureFile, layer: int) -> Figure:
    """How the syntheses of a layer came about: a row for each cluster, a column for each iteration kept."""
    rows, moments = clusters_of(found, layer), found.iterations.tolist()
    side = PAGE / len(moments)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, side * len(rows) + 0.2))
        bottom = figure.get_figheight() - 0.2
        for row, cluster in enumerate(rows):
            made = found.row(layer, cluster, SYNTHESIS)
            for column, moment in enumerate(moments):
                ax = place(figure, column * side, bottom - (row + 1) * side, side, found.strip[column, made])
                if row == 0:
                    ax.set_title("start" if moment == 0 else f"{moment}", fontsize=8, color=INK, pad=2)
    return figure


def image_map(found: FeatureFile) -> Figure:
    """The real images as each layer sees them, in the plane, coloured by cluster, some as thumbnails."""
    panels = len(found.layers)
    side = min(4.0, PAGE / panels)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(side * panels, side + 0.25), layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False)[0]
        colours = mpl.colormaps["tab10"]
        for layer, ax in enumerate(axes):
            labels, points = found.labels[layer], found.places[layer]
            ax.scatter(points[:, 0], points[:, 1], s=10, c=[colours(label % 10) for label in labels], linewidth=0)
            for image in spread(points, MOST_THUMBNAILS):
                picture = OffsetImage(
                    found.real[image].transpose(1, 2, 0), zoom=0.055 * side * 72 / found.real.shape[-1]
                )
                frame = {"edgecolor": colours(labels[image] % 10), "linewidth": 1.0, "boxstyle": "square,pad=0.06"}
                ax.add_artist(AnnotationBbox(picture, points[image], pad=0, bboxprops=frame))
            ax.set_title(str(found.layers[layer]), color=INK)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            ax.margins(0.08)
    return figure


def spread(points: npt.NDArray, count: int) -> list[int]:
    """Points ``(N, 2)`` that are far from each other: each further one is the farthest from those chosen."""
    chosen = [int(np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1)))]
    distances = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(np.argmax(distances)))
        distances = np.minimum(distances, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


def progress(found: FeatureFile, columns: Mapping[str, int]) -> Figure:
    """The loss and the cosine against the iteration, mean over clusters, a column for each layer.

    Args:
        found: What was made.
        columns: Where ``loss`` and ``cosine`` are in the history.
    """
    panels = len(found.layers)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(4.6, min(PAGE, 2.7 * panels)), 3.6), layout="constrained")
        axes = figure.subplots(2, panels, squeeze=False, sharex=True)
        iterations = np.arange(1, len(found.history) + 1)
        for layer in range(panels):
            for method in COLOURS:
                own = (found.layer == layer) & (found.method == method)
                if not own.any():
                    continue
                loss = found.history[:, own, columns["loss"]].mean(axis=1)
                away = 1 - found.history[:, own, columns["cosine"]].mean(axis=1)
                line = {"color": COLOURS[method], "linewidth": 1.3, "label": NAMES[method]}
                axes[0, layer].plot(iterations, loss, **line)
                axes[1, layer].plot(iterations, np.maximum(away, 1e-6), **line)
            axes[0, layer].set_title(str(found.layers[layer]), color=INK)
            axes[1, layer].set_yscale("log")
            axes[1, layer].yaxis.set_minor_formatter(NullFormatter())
        axes[0, 0].set_ylabel("loss")
        axes[1, 0].set_ylabel("1 − cosine")
        figure.supxlabel("iteration", fontsize=9)
        handles, texts = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, texts, frameon=False, fontsize=8, loc="outside upper center", ncols=3)
    return figure


def cosine_pairs(table: pd.DataFrame) -> Figure:
    """How near each method came: a line for each cluster and seed, a panel for each layer.

    Args:
        table: ``layer``, ``seed``, ``cluster``, ``method`` and ``cosine`` of one network.
    """
    layers = table["layer"].unique().tolist()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(4.6, min(PAGE, 2.7 * len(layers))), 2.8), layout="constrained")
        axes = figure.subplots(1, len(layers), squeeze=False, sharey=True)[0]
        for ax, layer in zip(axes, layers, strict=True):
            part = table[table["layer"] == layer]
            wide = part.pivot(index=["seed", "cluster"], columns="method", values="cosine")[list(NAMES)]
            away = np.maximum(1 - wide.to_numpy(dtype=float), 1e-6)
            ax.plot(range(len(NAMES)), away.T, color=GREY, linewidth=0.6, alpha=0.7)
            for place_of, method in enumerate(NAMES):
                ax.plot([place_of] * len(away), away[:, place_of], "o", color=COLOURS[method], markersize=3.5)
            ax.set_yscale("log")
            ax.yaxis.set_minor_formatter(NullFormatter())
            texts = [name.replace(" ", "\n") for name in NAMES.values()]
            ax.set_xticks(range(len(NAMES)), texts, fontsize=7, rotation=90 if len(layers) > 3 else 0)
            ax.set_title(str(layer), color=INK)
        axes[0].set_ylabel("1 − cosine to target")
    return figure
