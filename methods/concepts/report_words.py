"""What concepts are, in words and tables, for the report."""

import html
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control  # type: ignore[import-untyped]

from methods.concepts.controls import OWN, PERMUTED, UNTRAINED, control_name

SUREST = 0.05  # p below which something is called no chance
NOT_TRAINED = "so training did not make concepts keep to classes"
NUMBERS = {
    "cluster_entropy": "within clusters",
    "superclass_entropy": "super-class entropy",
    "purity": "purity",
    "nmi": "NMI",
    "ari": "ARI",
    "superclass_nmi": "NMI, super-classes",
    "knn_impurity_auroc": "AUROC of impurity for errors",
    "knn_accuracy": "accuracy of neighbours",
    "error": "relative squared error",
}


def finding(concepts: pd.DataFrame, controls: pd.DataFrame, name: str) -> str:
    """What one classifier's concepts keep to, and beside what, in words."""
    rows = controls.set_index("control")
    own = rows.loc[OWN] if OWN in rows.index else rows.iloc[0]
    alive = concepts[~concepts["dead"].astype(bool)]
    surely = int((false_discovery_control(alive["p"]) < SUREST).sum()) if alive["p"].notna().all() else 0
    sure = "" if own["p"] < SUREST else ", which may be chance"
    text = (
        f"<strong>{html.escape(name)}</strong>: {len(alive)} concepts with a mean class entropy of "
        f"{own['class_entropy']:.3f}; with permuted labels {own['null_mean']:.3f} "
        f"[{own['null_lower']:.3f}, {own['null_upper']:.3f}] (p = {own['p']:.2g}{sure}). {surely} of them keep "
        "to classes each by itself (of these one in twenty may be chance)."
    )
    untrained = controls[controls["control"] == UNTRAINED]
    text += "".join(f" {beside(row)}" for row in untrained.to_dict("records"))
    dead = len(concepts) - len(alive)
    return text + (f" Died out, and not counted: {dead}." if dead else "")


def beside(untrained: Mapping[Hashable, Any]) -> str:
    """The difference to the untrained network, in words."""
    lower, upper = float(untrained["difference_lower"]), float(untrained["difference_upper"])
    verdict = (
        "so training made concepts keep to classes"
        if lower > 0
        else NOT_TRAINED
        if upper < 0
        else "which may be chance"
    )
    return (
        f"The same network untrained has {untrained['class_entropy']:.3f} "
        f"({untrained['difference']:+.3f} [{lower:.3f}, {upper:.3f}]: {verdict})."
    )


def control_table(controls: pd.DataFrame) -> pd.DataFrame:
    """All numbers of the concepts and controls of a classifier, a row for each."""
    shown = pd.DataFrame(index=[control_name(str(control)) for control in controls["control"]])
    shown["concepts"] = controls["concepts"].to_numpy()
    shown["class entropy"] = controls["class_entropy"].map(number).to_numpy()
    shown["permuted labels"] = intervals(controls, "null_mean", "null_lower", "null_upper")
    shown["p"] = controls["p"].map("{:.2g}".format).to_numpy()
    for title, column in (("entropy − own", "difference"), ("within clusters − own", "cluster_difference")):
        if column in controls:
            others = controls.assign(**{column: controls[column].mask(controls["control"].isin([OWN, PERMUTED]))})
            shown[title] = intervals(others, column, f"{column}_lower", f"{column}_upper", "+")
    for column, title in NUMBERS.items():
        if column in controls and controls[column].notna().any():
            shown[title] = controls[column].map(number).to_numpy()
    return shown


def intervals(table: pd.DataFrame, value: str, lower: str, upper: str, sign: str = "") -> list[str]:
    """Numbers with their ends, a dash where there is none."""
    columns = table[[value, lower, upper]].itertuples(index=False)
    return ["–" if pd.isna(middle) else f"{middle:{sign}.3f} [{low:.3f}, {high:.3f}]" for middle, low, high in columns]


def card_table(concepts: pd.DataFrame) -> pd.DataFrame:
    """What each concept is, in numbers."""
    table = pd.DataFrame({
        "top class": concepts["top_class"].fillna("–").map(called), "of the concept": concepts["top_class_mass"],
        "class entropy": concepts["class_entropy"], "with permuted labels": concepts["null_mean"], "p": concepts["p"],
        "share of all concepts": concepts["mass"], "images": concepts["images"],
    })  # fmt: skip
    if concepts["superclass_entropy"].notna().any():
        table.insert(5, "top super-class", concepts["top_superclass"].fillna("–").map(called))
        table.insert(6, "super-class entropy", concepts["superclass_entropy"])
    for column in table.select_dtypes("float"):
        table[column] = table[column].map(number)
    return table.set_index(concepts["concept"].astype(str) + concepts["dead"].map({True: " (dead)", False: ""}))


def deepest(layers: pd.DataFrame) -> str:
    """The layer with the lowest entropy of each classifier, in words."""
    told = []
    for name, part in layers.groupby("classifier", sort=False):
        best = part.to_dict("records")[int(np.argmin(part["class_entropy"]))]
        told.append(f"{html.escape(str(name))}: lowest in {html.escape(best['layer'])} ({best['class_entropy']:.3f})")
    return f"{'; '.join(told)}."


def number(value: float) -> str:
    """Three digits, or a dash."""
    return "–" if pd.isna(value) else f"{value:.3f}"


def called(name: object) -> str:
    """A class as people read it."""
    return str(name).replace("_", " ")
