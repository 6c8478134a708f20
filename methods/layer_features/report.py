"""Part of the report: images that show the features of layers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from methods.layer_features import figures
from methods.layer_features.results import BASELINES, START, SYNTHESIS, FeatureRecord
from report.figures.style import STYLE
from report.page import Part
from report.tables import read_table
from report.text import file_key
from study.folder import seeded
from study.records import read_record

TEMPLATE = "methods/layer_features/report.html.j2"
TABLES = ("numbers", "means", "costs", "summary")
MEANS = {
    "cosine": "cosine", "l2": "L2 distance", "activation": "activation", "gain": "gain", "overlap": "top channels kept",
    "rank": "rank of nearest", "nearer_images": "real images nearer", "pixel_variation": "pixel TV",
}  # fmt: skip
DIFFERENCES = {"features": "features, 1 as far as targets", "pixels": "pixels, root mean square"}
COSTS = {"forward": "forward, MFLOP", "backward": "backward", "network_forward": "whole network, forward"}


def read(root: Path, titles: Mapping[str, str]) -> Part | None:
    """The part, or ``None`` if nothing was synthesised.

    Args:
        root: The study's folder.
        titles: Display names of the classifiers.
    """
    folder = root / "layer_features"
    files = [folder / f"{name}.csv" for name in (*TABLES, "diversity")]
    if not all(path.exists() for path in files):
        return None
    tables = {name: read_table(folder / f"{name}.csv") for name in TABLES}
    drawn: dict[str, Figure] = {}
    networks = []
    for network in tables["summary"]["network"]:
        rows = {name: table[table["network"] == network] for name, table in tables.items()}
        path = folder / f"{seeded(network, int(rows['numbers']['seed'].iloc[0]))}.npz"
        if path.exists():
            key = f"features_{file_key(network)}"
            drawn |= draw(read_record(FeatureRecord, path), rows["numbers"], key)
            networks.append(values_of(rows) | {"title": titles.get(network, network), "key": key})
            files.append(path)
    if not networks:
        return None
    method = "Class-agnostic layer features: arXiv 2101.12447."
    return Part(TEMPLATE, {"networks": networks}, drawn, files, method=method)


def draw(record: FeatureRecord, numbers: pd.DataFrame, key: str) -> dict[str, Figure]:
    """Every figure of a network; grid of methods and iteration strip are of its last layer."""
    last = len(record.layers) - 1
    with mpl.rc_context(STYLE):
        return {
            f"{key}_grid": figures.feature_grid(record),
            f"{key}_map": figures.image_map(record),
            f"{key}_methods": figures.methods_grid(record, last),
            f"{key}_cosine": figures.cosine_pairs(numbers),
            f"{key}_strip": figures.iteration_strip(record, last),
            f"{key}_progress": figures.progress(record),
        }


def values_of(rows: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The numbers and tables of one network, for the template."""
    costs = rows["costs"].set_index("layer")[list(COSTS)]
    names = rows["means"]["layer"] + ", " + rows["means"]["method"].map(figures.NAMES)
    order = [f"{layer}, {name}" for layer in rows["means"]["layer"].unique() for name in figures.NAMES.values()]
    means = rows["means"].set_index(names).loc[order]
    return {
        "summary": rows["summary"].iloc[0].to_dict(),
        "pass": costs.loc["all"].to_dict(),
        "means": means[list(MEANS)].rename(columns=MEANS).map("{:.4g}".format),
        "differences": means[list(DIFFERENCES)].rename(columns=DIFFERENCES).map("{:.3f}".format),
        "clusters": clusters_table(rows["numbers"]),
        "costs": (costs / 1e6).rename(columns=COSTS).map("{:.2f}".format),
    }


def clusters_table(numbers: pd.DataFrame) -> pd.DataFrame:
    """A row for each cluster of each layer and seed: its size, and the cosine of each method."""
    wide = numbers.pivot(index=["layer", "seed", "cluster", "members"], columns="method", values="cosine")
    wide = wide[[SYNTHESIS, *BASELINES, START]].rename(columns=figures.NAMES).map("{:.4f}".format)
    wide.insert(0, "images", wide.index.get_level_values("members"))
    wide.index = pd.Index([f"{layer}, seed {seed}, cluster {cluster + 1}" for layer, seed, cluster, _ in wide.index])
    return wide.rename_axis(columns=None)
