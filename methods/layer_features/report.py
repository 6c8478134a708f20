"""Part of the report: images that show what layers find in a set of images."""

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from methods.layer_features.figures import (
    NAMES,
    cosine_pairs,
    feature_grid,
    image_map,
    iteration_strip,
    methods_grid,
    progress,
)
from methods.layer_features.files import FeatureFile
from methods.layer_features.numbers import BASELINES, INVERSION, KEYS, MAXIMIZATION, START, SYNTHESIS, wins
from report.page import Part, Section

FOLDER = "layer_features"
FILES = ("numbers.csv", "diversity.csv", "costs.csv")
HISTORY = {"loss": 0, "cosine": 4}  # columns of the history that are drawn
COLUMNS = {
    "cosine": "cosine", "l2": "L2 distance", "activation": "activation", "gain": "gain", "overlap": "top channels kept",
    "rank": "rank of nearest", "nearer_images": "real images nearer", "pixel_variation": "pixel TV",
}  # fmt: skip


def read(root: Path, labels: Mapping[str, str]) -> Part | None:
    """The part, or ``None`` where nothing was synthesised.

    Args:
        root: The study's folder.
        labels: What people call each classifier.
    """
    files = [root / FOLDER / name for name in FILES]
    if not all(path.exists() for path in files):
        return None
    numbers, apart, costs = (pd.read_csv(path) for path in files)
    sections: list[Section] = []
    figures: dict[str, Figure] = {}
    shown = list(files)
    for network in numbers["network"].unique().tolist():
        own, seed = numbers[numbers["network"] == network], int(numbers["seed"].iloc[0])
        path = root / FOLDER / (f"{network}-seed{seed}.npz" if seed else f"{network}.npz")
        name = labels.get(network, network)
        key = f"features_{re.sub(r'[^A-Za-z0-9_.-]', '_', network)}"
        parts = [table[table["network"] == network] for table in (apart, costs)]
        if path.exists():
            drawn = draw(FeatureFile.load(path), own, key)
            figures |= drawn
            sections += network_sections(name, key, own, *parts)
            shown.append(path)
    if not sections:
        return None
    return Part(sections, figures, shown, method="Class-agnostic layer features: arXiv 2101.12447.")


def draw(found: FeatureFile, table: pd.DataFrame, key: str) -> dict[str, Figure]:
    """Every figure of a network; strips and methods of its last layer."""
    last = len(found.layers) - 1
    return {
        f"{key}_grid": feature_grid(found),
        f"{key}_map": image_map(found),
        f"{key}_methods": methods_grid(found, last),
        f"{key}_cosine": cosine_pairs(table),
        f"{key}_strip": iteration_strip(found, last),
        f"{key}_progress": progress(found, HISTORY),
    }


WHAT = (
    "Images were grouped by what each layer sees in them (k-means on the principal components of its activations, "
    "averaged over places). For each group an image was synthesised whose activations come near to the mean of the "
    "group’s central images: it shows what the layer finds in them, without any class and any generator. Each row is "
    "a layer, each column a group, the largest first; right of each synthesis are the real images that the layer sees"
    " most like it. Compare the two: what they share, the layer sees; what the photographs have beyond it, the layer "
    "does not see or averages away. Columns of different rows are different groups."
)
CANNOT = (
    "<strong>What this cannot show.</strong> The target is a mean over places: where something is in the image, and "
    "how often, is left open. Many images have the same means; the regularisers choose a plain one, so that a smooth "
    "area may be theirs rather than the layer’s. That an image comes near its target does not say that the network "
    "uses these channels for its decision."
)
MAP = (
    "Each point is an image of the set, placed so that images that the layer sees alike are near each other (t-SNE of"
    " the principal components; distances between far groups mean nothing). Colours are the groups."
)
METHODS = (
    "The last layer’s groups, from the same start, in the same number of steps, with the same regularisers and draws:"
    " the synthesis, without its distance to the target (activation maximisation), and without its pull on the "
    "strongest channels (feature inversion)."
)
STRIP = "The synthesis of the last layer’s groups after some iterations, denser at the beginning."
PROGRESS = (
    "Mean over the groups of a layer. Losses are each method’s own, so only their course can be compared; the cosine "
    "is the same for all. Both are taken on what the network sees while it moves; steps are from blurring and "
    "denoising. A curve that still falls at the end asks for more <code>layer_features.iterations</code>."
)


def network_sections(
    name: str, key: str, table: pd.DataFrame, apart: pd.DataFrame, costs: pd.DataFrame
) -> list[Section]:
    """The sections of one network."""
    return [
        Section(f"What the layers of {name} find", f"{WHAT} {CANNOT}", f"{key}_grid"),
        Section(f"The images, as the layers of {name} see them", MAP, f"{key}_map"),
        Section(
            f"How near the syntheses of {name} came",
            finding(table, costs),
            f"{key}_cosine",
            {
                "Means over clusters and seeds": means(table),
                "Of the synthesis, cluster by cluster": by_cluster(table),
                "Difference between clusters": different(apart),
                "Floating-point operations of a step, for each image": operations(costs),
            },
        ),
        Section(f"Beside plain methods: {name}", METHODS, f"{key}_methods"),
        Section(f"How the syntheses of {name} came about", STRIP, f"{key}_strip"),
        Section(f"Losses of {name}", PROGRESS, f"{key}_progress"),
    ]


def finding(table: pd.DataFrame, costs: pd.DataFrame) -> str:
    """How near the synthesis came, and what a step costs, in words."""
    won, mean = wins(table).iloc[0], table.groupby("method")["cosine"].mean()
    clusters, wide = int(won["clusters"]), table.pivot(index=KEYS, columns="method", values="cosine")
    above = int((wide[SYNTHESIS] > wide[START]).sum())
    last = costs[costs["layer"] == "all"].iloc[0]
    steps = last["forward"] + last["backward"]
    return (
        f"Cosine between what a layer sees in an image and its target, mean over {clusters} clusters (of all layers "
        f"and seeds): {mean[SYNTHESIS]:.4f}; activation maximisation {mean[MAXIMIZATION]:.4f}, which it beats in "
        f"{int(won[MAXIMIZATION])} of {clusters}; feature inversion {mean[INVERSION]:.4f}, beaten in "
        f"{int(won[INVERSION])}; the start {mean[START]:.4f}, beaten in {above}: where the images of a group are "
        "nearly the same, their blend is near the target already. Groups of several seeds are often the same, so "
        "these are no independent trials. Lower in the figure is nearer; grey lines join what belongs to the same "
        "cluster. A step "
        f"costs {1e-9 * steps:.3g} GFLOP for each image, forward and back, counted; one forward pass through the whole "
        f"network {1e-9 * last['network_forward']:.3g}; and {table['seconds'].mean():.2g} s for each image were needed "
        "in all."
    )


def means(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each layer and method: the mean of every number."""
    found = table.groupby(["layer", "method"], sort=False)[list(COLUMNS)].mean()
    order = [(layer, method) for layer in table["layer"].unique() for method in NAMES]
    found = found.loc[order]
    found.index = pd.Index([f"{layer}, {NAMES[method]}" for layer, method in order])
    return found.rename(columns=COLUMNS).map("{:.4g}".format)


def by_cluster(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each cluster of each seed: the synthesis's cosine beside those of the baselines."""
    wide = table.pivot(index=["layer", "seed", "cluster"], columns="method", values="cosine")
    wide = wide[[SYNTHESIS, *BASELINES, "start"]].rename(columns=NAMES).map("{:.4f}".format)
    wide.insert(0, "images", table.groupby(["layer", "seed", "cluster"])["members"].first().reindex(wide.index))
    wide.index = pd.Index([f"{layer}, seed {seed}, cluster {cluster + 1}" for layer, seed, cluster in wide.index])
    return wide.rename_axis(columns=None)


def different(apart: pd.DataFrame) -> pd.DataFrame:
    """A row for each layer and method: how far apart the clusters' images are, mean over seeds."""
    found = apart.groupby(["layer", "method"], sort=False)[["features", "pixels"]].mean()
    found.index = pd.Index([f"{layer}, {NAMES[method]}" for layer, method in found.index])
    columns = {"features": "features, 1 as far as targets", "pixels": "pixels, root mean square"}
    return found.rename(columns=columns).map("{:.3f}".format)


def operations(costs: pd.DataFrame) -> pd.DataFrame:
    """A row for each layer: MFLOP to it and back, beside a forward pass through the network."""
    found = costs.set_index("layer")[["forward", "backward", "network_forward"]] / 1e6
    names = {"forward": "forward, MFLOP", "backward": "backward", "network_forward": "whole network, forward"}
    return found.rename(columns=names).map("{:.2f}".format)
