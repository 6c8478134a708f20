"""Names that try to be HTML, scripts, mathematics, templates, formulas or several lines, in the files of a study."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from methods.concepts.controls import CONCEPTS
from methods.layer_features.results import (
    KEYS,
    METHODS,
    NUMBERS,
    START,
    FeatureRecord,
    means_table,
    summary_table,
)
from report.tables import read_table
from stats.csv_text import csv_bytes
from study.records import arrays_of

MARK = "stolen"
SCRIPT = f"document.title='{MARK}'"
PAYLOADS = (
    f'<img src=x onerror="{SCRIPT}">',
    f"<script>{SCRIPT}</script>",
    f"\"><svg onload={SCRIPT}>",
    f"' autofocus onfocus={SCRIPT} x='",
    f"</style></title></script><script>{SCRIPT}</script>",
    f"javascript:{SCRIPT}",
    f"<iframe srcdoc=\"<script>parent.{SCRIPT}</script>\">",
    "<meta http-equiv=refresh content=0;url=https://example.org>",
    "<style>body{display:none}</style>",
    "<!-- ",
    "]]>",
    r"$\frac{$",
    r"$A_{\mathrm{",
    r"\$x\$ $$ ^_{}~#%&",
    "A_{}$^",
    "\\",
    "{{ 7 * 7 }}{% raw %}",
    "{0} %s %(x)d",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "+1+1",
    "-1+1",
    "\tTab",
    "'=quoted",
    "two\nlines",
    "car\rriage",
    "nul\x00character",
    "\u202egnp.exe",
    "\u2066isolated",
    "bytes\udcff\udce9",
    "😀👩‍🚀",
    "漢字 العربية",
    "_underscore",
    " leading",
    "&lt;b&gt; &amp; &#60;",
    "007",
    "null",
    "NaN",
    "x" * 300,
)  # fmt: skip
TEXTS = ("class", "superclass", "top_class", "top_superclass", "name", "block", "layer")
ARRAYS = {"classes", "label", "parent_sees", "children_see", "blocks", "layers", "titles"}
INDEXES = ("autoencoder", "class", "parent", "number")
CONTROLS = {"all", "pixels", "untrained", "untrained network", "kmeans", CONCEPTS}  # names of the project
Rename = Callable[[str], str]


def hostile() -> Rename:
    """A renaming in which every name gets one payload, and no two names become the same."""
    known: dict[str, str] = {}
    payloads = itertools.cycle(PAYLOADS)

    def rename(name: str) -> str:
        if name not in known:
            known[name] = f"{next(payloads)}{len(known) if len(known) >= len(PAYLOADS) else ''}"
        return known[name]

    return rename


def rename_texts(root: Path, rename: Rename) -> None:
    """Rename the classes and layers in the files of a study."""
    for path in sorted(root.rglob("*.csv")):
        table = read_table(path)
        if str(table.columns[0]) in INDEXES or str(table.columns[0]).startswith("Unnamed: "):
            table = read_table(path, index=0).rename_axis(str(table.columns[0]))
        table = table.rename(index=rename) if table.index.name == "class" else table
        for column in table.columns.intersection(["control", *TEXTS]):
            table[column] = [renamed(cell, rename) for cell in table[column]]
        path.write_bytes(csv_bytes(table))
    for path in sorted(root.rglob("*.npz")):
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        for name in ARRAYS & arrays.keys():
            arrays[name] = np.array([renamed(text, rename) for text in arrays[name].tolist()])
        np.savez(path, allow_pickle=False, **arrays)


def renamed(cell: Any, rename: Rename) -> Any:
    """The new name of a cell; the name of a layer may stand in that of a control."""
    if not isinstance(cell, str) or cell in CONTROLS:
        return cell
    before, colon, layer = cell.partition("layer:")
    return before + colon + rename(layer) if colon else rename(cell)


def write_features(root: Path, networks: Sequence[str], layers: Sequence[str]) -> None:
    """The files of layer features, with random numbers."""
    draw, folder = np.random.default_rng(0), root / "layer_features"
    folder.mkdir()
    methods = [*METHODS, START]
    keys = [(network, layer, 0, cluster) for network in networks for layer in layers for cluster in range(2)]
    numbers = pd.DataFrame(
        [(*key, 4, method) for key in keys for method in methods], columns=[*KEYS, "members", "method"]
    )
    numbers[[*NUMBERS, "seconds"]] = draw.random((len(numbers), len(NUMBERS) + 1))
    pairs = numbers.drop_duplicates(["network", "layer", "method"])[["network", "layer", "method"]]
    differences = pairs.assign(features=0.5, pixels=0.1)
    costs = [(network, layer, 1e6, 2e6, 3e6) for network in networks for layer in [*layers, "all"]]
    tables = {
        "numbers": numbers,
        "diversity": differences,
        "means": means_table(numbers, differences),
        "costs": pd.DataFrame(costs, columns=["network", "layer", "forward", "backward", "network_forward"]),
        "summary": summary_table(numbers),
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    places = list(itertools.product(range(len(layers)), range(2), METHODS))
    layer, cluster, method = (np.array(part) for part in zip(*places, strict=True))
    images = draw.integers(0, 256, (len(places), 3, 8, 8), dtype=np.uint8)
    record = FeatureRecord(
        layers=np.array(layers), layer=layer, cluster=cluster, method=method, images=images, starts=images,
        nearest=np.zeros((len(places), 3), int), assignment=np.tile(np.arange(8) % 2, (len(layers), 1)),
        positions=draw.random((len(layers), 8, 2)), real=images[:8], names=np.array(list("abcdefgh")),
        history=np.zeros((4, len(places), 5), np.float32), curves=draw.random((len(layers), 3, 2, 4)),
        strip=np.stack([images] * 2), iterations=np.array([0, 4]),
    )  # fmt: skip
    for network in networks:
        np.savez(folder / f"{network}.npz", **arrays_of(record))
