"""``task=intervals``: how sure the study's numbers and its order are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from networks.cost import flop_count, parameter_count
from stats.intervals import Resampling, Sample, accuracy_intervals, nmi_intervals, paired_differences, rrc_intervals
from stats.order_certainty import order_certainty
from stats.predictions import Predictions, read_predictions
from study import classifiers
from study.artifact import Artifact, require
from study.console import say, say_made, say_skipped, show_table
from study.data import make_data
from study.files import sha256
from study.folder import study_folder
from study.results import write_results

TABLES = ("accuracy", "accuracy_top5", "differences", "rrc", "nmi")


def run(cfg: DictConfig) -> float:
    """Write every number with its interval; returns the share of resamples that are a chain at the widest one."""
    folder, options = study_folder(cfg), cfg.intervals
    predictions = require(folder.cross_evaluation / "predictions.npz", cfg, "cross_evaluate")
    inputs = {"predictions": sha256(predictions)}
    given = []
    if options.covariates is not None:
        given = [read_covariates(Path(options.covariates))]
        inputs["covariates"] = sha256(Path(options.covariates))
    place = folder.root / "intervals"
    files = [*(place / f"{name}.csv" for name in TABLES), place / "order.json"]
    how = Resampling(int(options.resamples), float(options.level), int(cfg.seed))
    settings = {"resamples": how.resamples, "level": how.level, "seed": how.seed}
    artifact = Artifact(files, place / "provenance.json", settings, inputs, precious=False)
    if artifact.exists():
        return say_skipped(place, artifact.objective())
    read = read_predictions(predictions)
    covariates = pd.concat([costs(cfg, read.classifiers), *given], axis=1)
    tables, order = compute(read, how, covariates)
    share = order["widest"]["chain_share"] if order["widest"] else 0.0
    with artifact.making(share) as temporary:
        for name, table in tables.items():
            table.to_csv(temporary[place / f"{name}.csv"], index=False)
        temporary[place / "order.json"].write_text(json.dumps(order, indent=2) + "\n", encoding="utf-8")
    write_results(folder.job("intervals"), {"share of resamples with a chain": share})
    show(tables, order, how.level)
    say_made(place)
    return float(share)


def costs(cfg: DictConfig, names: list[str]) -> pd.DataFrame:
    """Parameters and floating-point operations of each classifier on one of the study's images.

    Without columns if the predictions are of other classifiers than the configuration's.
    """
    configs = classifiers.study_classifiers(cfg)
    if not set(names) <= configs.keys():
        return pd.DataFrame(index=pd.Index(names))
    data = make_data(cfg)
    image = data.split("test")[0][0][None].float() / 255
    rows = {}
    for name in names:
        network = classifiers.make_classifier(configs[name], data).eval()
        rows[name] = (parameter_count(network), flop_count(network, image))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["parameters", "FLOPs"])


def compute(
    predictions: Predictions, how: Resampling, covariates: pd.DataFrame | None
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """The tables by the names of their files, and the document about the order."""
    top1, top5 = (Sample(correct, predictions.sources, how) for correct in (predictions.top1, predictions.top5))
    tables = {
        "accuracy": accuracy_intervals(predictions, top1, predictions.top1),
        "accuracy_top5": accuracy_intervals(predictions, top5, predictions.top5),
        "differences": paired_differences(predictions, top1),
        "rrc": rrc_intervals(predictions, top1),
        "nmi": nmi_intervals(predictions, how),
    }
    return tables, order_certainty(predictions, top1, covariates)


def read_covariates(path: Path) -> pd.DataFrame:
    """A table of numbers, with the classifiers' names in its first column."""
    if not path.is_file():
        raise FileNotFoundError(f"intervals.covariates={path} does not exist: give a CSV file, a row per classifier")
    table = pd.read_csv(path, index_col=0)
    texts = [str(name) for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    if texts:
        raise ValueError(f"intervals.covariates={path}: {', '.join(texts)} holds other things than numbers")
    return table


def show(tables: dict[str, pd.DataFrame], order: dict[str, Any], level: float) -> None:
    """Print each classifier's own accuracy and its gains, with intervals, and how sure the order is."""
    own = tables["accuracy"].query("autoencoder == classifier").assign(minus="")
    rows = [
        [row["classifier"], f"A_i{' − ' if row['minus'] else ''}{row['minus']}", described(row)]
        for row in pd.concat([own, tables["differences"]]).to_dict("records")
    ]
    if len(rows) <= 40:
        show_table(f"accuracy, with {level:.0%} intervals", ["", "on the images of", "accuracy"], rows)
    if order["left_out"]:
        say(f"{order['left_out']} of {order['resamples']} resamples left out: a classifier was never right in them")
    if order["widest"]:
        found = order["widest"]
        groups = " < ".join(" = ".join(group) for group in found["order"])
        say(f"{groups}: {found['same_order_share']:.0%} of resamples agree; {found['chain_share']:.0%} are a chain")


def described(row: Mapping[Any, Any]) -> str:
    """An estimate with its interval."""
    return f"{row['estimate']:.3f} [{row['lower']:.3f}, {row['upper']:.3f}]"
