"""Figures of layer features: synthesised images, real images, and how near each synthesis came to its target.

The functions are called with the style of the page's figures in effect (``matplotlib.rc_context``).
"""

import textwrap

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.ticker import NullFormatter

from methods.layer_features.results import INVERSION, MAXIMIZATION, METHODS, START, SYNTHESIS, FeatureRecord
from report.figures.style import ACCENT, GREY, INK, PAGE
from report.text import figure_text, visible

NAMES = {
    START: "start",
    MAXIMIZATION: "activation maximisation",
    INVERSION: "feature inversion",
    SYNTHESIS: "synthesis",
}
COLOURS = {START: GREY, MAXIMIZATION: "#d08c2f", INVERSION: "#7b6ca8", SYNTHESIS: ACCENT}
MOST_CLUSTERS = 6  # of a layer, in figures; tables have all
MOST_THUMBNAILS = 24
BESIDE = 3  # nearest real images
NEAREST_TO_ZERO = 1e-6  # smallest 1 − cosine of the logarithmic axes


def feature_grid(record: FeatureRecord) -> Figure:
    """The layer × cluster grid: each synthesis, and right of it the real images with the most similar activations."""
    columns = max(len(record.clusters(layer)[:MOST_CLUSTERS]) for layer in range(len(record.layers)))
    margin = 0.9
    cell = min(2.0, (PAGE - margin) / columns)
    height, side, small = 0.75 * cell + 0.22, 0.69 * cell, 0.23 * cell
    figure = Figure(figsize=(margin + cell * columns, height * len(record.layers)))
    for layer, name in enumerate(record.layers.tolist()):
        bottom = figure.get_figheight() - (layer + 1) * height
        add_row_name(figure, wrapped(name), margin - 0.08, bottom + 0.375 * cell)
        sizes = np.bincount(record.assignment[layer])
        for column, cluster in enumerate(record.clusters(layer)[:MOST_CLUSTERS]):
            row, left = record.row(layer, cluster, SYNTHESIS), margin + column * cell
            ax = add_image(figure, left, bottom, side, record.images[row])
            ax.set_title(f"{sizes[cluster]} images", fontsize=7, color=INK, pad=2)
            for number, real in enumerate(record.nearest[row].tolist()[:BESIDE], start=1):
                top = bottom + side - number * small
                add_image(figure, left + side + 0.02 * cell, top, small, record.real[real])
    return figure


def add_image(figure: Figure, left: float, bottom: float, side: float, image: npt.NDArray) -> Axes:
    """Draw an image ``(3, H, W)``, uint8, as a square; positions and side in inches."""
    wide, tall = figure.get_size_inches()
    gap = 0.015
    ax = figure.add_axes((left / wide, bottom / tall, (side - gap) / wide, (side - gap) / tall))
    ax.imshow(image.transpose(1, 2, 0), interpolation="nearest", aspect="auto")
    ax.set_axis_off()
    return ax


def add_row_name(figure: Figure, text: str, right: float, middle: float) -> None:
    """Write the name of a row of images left of it; positions in inches."""
    wide, tall = figure.get_size_inches()
    figure.text(right / wide, middle / tall, text, ha="right", va="center", fontsize=8, color=INK)


def wrapped(name: str) -> str:
    """A layer's name as text of a figure, broken at dots into lines that fit beside a row."""
    lines = textwrap.wrap(visible(name).replace(".", ". "), 12, break_long_words=False)
    return "\n".join(figure_text(line.replace(" ", "")) for line in lines)


def methods_grid(record: FeatureRecord, layer: int) -> Figure:
    """Start images and what each method made of them: a row for each method, a column for each cluster."""
    clusters, margin = record.clusters(layer)[:MOST_CLUSTERS], 1.4
    side = min(1.3, (PAGE - margin) / len(clusters))
    figure = Figure(figsize=(margin + side * len(clusters), side * len(NAMES)))
    for row, (method, name) in enumerate(NAMES.items()):
        bottom = figure.get_figheight() - (row + 1) * side
        add_row_name(figure, name.replace(" ", "\n"), margin - 0.08, bottom + side / 2)
        images = record.starts if method == START else record.images
        for column, cluster in enumerate(clusters):
            image = images[record.row(layer, cluster, SYNTHESIS if method == START else method)]
            add_image(figure, margin + column * side, bottom, side, image)
    return figure


def iteration_strip(record: FeatureRecord, layer: int) -> Figure:
    """The syntheses of a layer after some iterations: a row for each cluster, a column for each iteration."""
    clusters = record.clusters(layer)[:MOST_CLUSTERS]
    side = PAGE / len(record.iterations)
    figure = Figure(figsize=(PAGE, side * len(clusters) + 0.2))
    for row, cluster in enumerate(clusters):
        index, bottom = record.row(layer, cluster, SYNTHESIS), side * (len(clusters) - row - 1)
        for column, iteration in enumerate(record.iterations.tolist()):
            ax = add_image(figure, column * side, bottom, side, record.strip[column, index])
            if row == 0:
                ax.set_title(f"{iteration}" if iteration else "start", fontsize=8, color=INK, pad=2)
    return figure


def image_map(record: FeatureRecord) -> Figure:
    """The real images in the plane, for each layer, coloured by cluster, some as thumbnails."""
    panels = len(record.layers)
    side = min(4.0, PAGE / panels)
    zoom = 0.055 * side * 72 / record.real.shape[-1]
    figure = Figure(figsize=(side * panels, side + 0.25), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for layer, ax in enumerate(axes):
        points = record.positions[layer]
        colours = [mpl.colormaps["tab10"](cluster % 10) for cluster in record.assignment[layer]]
        ax.scatter(points[:, 0], points[:, 1], s=10, c=colours, linewidth=0)
        for image in distant_points(points, MOST_THUMBNAILS):
            picture = OffsetImage(record.real[image].transpose(1, 2, 0), zoom=zoom)
            frame = {"edgecolor": colours[image], "linewidth": 1.0, "boxstyle": "square,pad=0.06"}
            ax.add_artist(AnnotationBbox(picture, points[image], pad=0, bboxprops=frame))
        ax.set_title(figure_text(record.layers[layer]), color=INK)
        ax.set_axis_off()
        ax.margins(0.08)
    return figure


def distant_points(points: npt.NDArray, count: int) -> list[int]:
    """Indices of points ``(N, 2)`` that are far from each other: each is the farthest from the ones before it."""
    indices = [int(np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1)))]
    distances = np.linalg.norm(points - points[indices[0]], axis=1)
    while len(indices) < min(count, len(points)):
        indices.append(int(np.argmax(distances)))
        distances = np.minimum(distances, np.linalg.norm(points - points[indices[-1]], axis=1))
    return indices


def progress(record: FeatureRecord) -> Figure:
    """Loss and cosine against the iteration, mean over clusters, a column for each layer."""
    panels = len(record.layers)
    figure = Figure(figsize=(max(4.6, min(PAGE, 2.7 * panels)), 3.6), layout="constrained")
    axes = figure.subplots(2, panels, squeeze=False, sharex=True)
    for layer, name in enumerate(record.layers.tolist()):
        for method in (MAXIMIZATION, INVERSION, SYNTHESIS):
            loss, cosine = record.curves[layer, METHODS.index(method)]
            line = {"color": COLOURS[method], "linewidth": 1.3, "label": NAMES[method]}
            iterations = np.arange(1, len(loss) + 1)
            axes[0, layer].plot(iterations, loss, **line)
            axes[1, layer].plot(iterations, np.maximum(1 - cosine, NEAREST_TO_ZERO), **line)
        axes[0, layer].set_title(figure_text(name), color=INK)
        set_logarithmic(axes[1, layer])
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("1 − cosine")
    figure.supxlabel("iteration", fontsize=9)
    handles, texts = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, frameon=False, fontsize=8, loc="outside upper center", ncols=3)
    return figure


def set_logarithmic(ax: Axes) -> None:
    """Give an axis a logarithmic scale with labels at powers of ten only."""
    ax.set_yscale("log")
    ax.yaxis.set_minor_formatter(NullFormatter())


def cosine_pairs(numbers: pd.DataFrame) -> Figure:
    """1 − cosine of each method: a line for each cluster and seed, a panel for each layer.

    Args:
        numbers: ``layer``, ``seed``, ``cluster``, ``method`` and ``cosine`` of one network.
    """
    layers = numbers["layer"].unique().tolist()
    texts = [name.replace(" ", "\n") for name in NAMES.values()]
    figure = Figure(figsize=(max(4.6, min(PAGE, 2.7 * len(layers))), 2.8), layout="constrained")
    axes = figure.subplots(1, len(layers), squeeze=False, sharey=True)[0]
    for ax, layer in zip(axes, layers, strict=True):
        part = numbers[numbers["layer"] == layer]
        wide = part.pivot(index=["seed", "cluster"], columns="method", values="cosine")[list(NAMES)]
        differences = np.maximum(1 - wide.to_numpy(dtype=float), NEAREST_TO_ZERO)
        ax.plot(range(len(NAMES)), differences.T, color=GREY, linewidth=0.6, alpha=0.7)
        for column, method in enumerate(NAMES):
            ax.plot([column] * len(wide), differences[:, column], "o", color=COLOURS[method], markersize=3.5)
        set_logarithmic(ax)
        ax.set_xticks(range(len(NAMES)), texts, fontsize=7, rotation=90 if len(layers) > 3 else 0)
        ax.set_title(figure_text(layer), color=INK)
    axes[0].set_ylabel("1 − cosine to target")
    return figure
