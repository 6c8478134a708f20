"""``task=intervals``: how sure the study's numbers and its order are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from networks.cost import flop_count, parameter_count
from stats.cue_retention import cue_tables
from stats.intervals import Resampling, Sample, accuracy_intervals, nmi_intervals, paired_differences, rrc_intervals
from stats.names import in_measure
from stats.order_certainty import order_certainty
from stats.predictions import ReconstructionPredictions
from stats.tables import mean_gains
from study.accuracy_csv import read_given_table
from study.artifact import Artifact
from study.classifiers import make_classifier, study_classifiers
from study.console import say
from study.data import make_data
from study.files import sha256
from study.folder import study_folder
from study.inputs import verified
from study.predictions import read_predictions
from study.step import Result, Step, Table

ROWS = 40  # at most, in the terminal
COVARIATES = "intervals.covariates"
TABLES = ("accuracy", "accuracy_top5", "differences", "gains", "rrc", "nmi", "cues", "cue_pairs")


def run(cfg: DictConfig) -> float:
    """Write every number with its interval; returns the share of resamples that are a chain at the widest one."""
    folder, options = study_folder(cfg), cfg.intervals
    path = folder.predictions
    inputs, given = {"predictions": verified(path, cfg, "cross_evaluate")}, []
    if options.covariates is not None:
        given = [read_covariates(Path(options.covariates))]
        inputs["covariates"] = sha256(Path(options.covariates))
    root = folder.root / "intervals"
    files = [*(root / f"{in_measure(name, folder.measure)}.csv" for name in TABLES), root / "order.json"]
    resampling = Resampling(int(options.resamples), float(options.level), int(cfg.seed))
    settings = {"resamples": resampling.resamples, "level": resampling.level, "seed": resampling.seed}
    artifact = Artifact(files, root / "provenance.json", settings, inputs, precious=False)

    def make() -> Result:
        predictions = read_predictions(path)
        names = predictions.classifiers
        covariates = pd.concat([costs(cfg, names), *(of_classifiers(table, names) for table in given)], axis=1)
        tables, order = compute(predictions, resampling, covariates)
        share = float(order["widest"]["chain_share"]) if order["widest"] else 0.0
        contents: dict[str, Any] = {f"{in_measure(name, folder.measure)}.csv": table for name, table in tables.items()}
        contents["order.json"] = json.dumps(order, indent=2) + "\n"
        describe_order(order)
        shown = accuracies_and_gains(tables, resampling.level, folder.measure)
        return Result(share, contents, {"share of resamples with a chain": share}, shown)

    return Step(artifact, folder.job("intervals")).run(make)


def costs(cfg: DictConfig, names: list[str]) -> pd.DataFrame:
    """Parameters and floating-point operations of each classifier on one of the study's images.

    Without columns if the predictions are of other classifiers than the configuration's.
    """
    configs = study_classifiers(cfg)
    if not set(names) <= configs.keys():
        return pd.DataFrame(index=pd.Index(names))
    data = make_data(cfg)
    image = data.split("test")[0][0][None].float() / 255
    rows = {}
    for name in names:
        network = make_classifier(configs[name], data).eval()
        rows[name] = (parameter_count(network), flop_count(network, image))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["parameters", "FLOPs"])


def compute(
    predictions: ReconstructionPredictions, resampling: Resampling, covariates: pd.DataFrame | None
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """The tables by the names of their files, and the document about the order."""
    top1, top5 = (Sample(correct, predictions.sources, resampling) for correct in (predictions.top1, predictions.top5))
    differences, (cues, cue_pairs) = paired_differences(predictions, top1), cue_tables(predictions, top1)
    tables = {
        "accuracy": accuracy_intervals(predictions, top1, predictions.top1),
        "accuracy_top5": accuracy_intervals(predictions, top5, predictions.top5),
        "differences": differences,
        "gains": mean_gains(differences),
        "rrc": rrc_intervals(predictions, top1),
        "nmi": nmi_intervals(predictions, resampling),
        "cues": cues,
        "cue_pairs": cue_pairs,
    }
    return tables, order_certainty(predictions, top1, covariates)


def read_covariates(path: Path) -> pd.DataFrame:
    """A table of numbers, with the classifiers' names in its first column."""
    table = read_given_table(path, COVARIATES, "a CSV file, a row per classifier", index_col=0)
    texts = [str(name) for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    if texts:
        raise ValueError(f"{COVARIATES}={path}: {', '.join(texts)} holds other things than numbers")
    if twice := [str(name) for name in table.index[table.index.duplicated()]]:
        raise ValueError(f"{COVARIATES}={path} has more than one row of {twice[0]}: give each classifier one")
    return table


def of_classifiers(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The rows of some classifiers in a table of covariates, which must have a finite number in each cell."""
    if missing := [name for name in names if name not in table.index]:
        raise ValueError(f"{COVARIATES} has no row of {', '.join(missing)}: add it, or correct the names")
    table = table.loc[names]
    for name, values in table.items():
        if broken := [str(row) for row in values.index[~np.isfinite(values.to_numpy(dtype=float))]]:
            raise ValueError(
                f"{COVARIATES}: {name!r} of {broken[0]} is no finite number: fill it in, or leave the column out"
            )
    return table


def accuracies_and_gains(tables: Mapping[str, pd.DataFrame], level: float, measure: str) -> list[Table]:
    """The accuracy of each classifier on its A_i, and its gains, with intervals, for the terminal."""
    own = tables["accuracy"].query("autoencoder == classifier").assign(minus="")
    rows = [
        [row["classifier"], f"A_i{' − ' if row['minus'] else ''}{row['minus']}", interval(row)]
        for row in pd.concat([own, tables["differences"]]).to_dict("records")
    ]
    title = f"{measure}, with {level:.0%} intervals"
    return [Table(title, ["", "on the images of", measure], rows)] if len(rows) <= ROWS else []


def describe_order(order: dict[str, Any]) -> None:
    """Print how sure the order is."""
    if order["left_out"]:
        say(f"{order['left_out']} of {order['resamples']} resamples left out: a classifier was never right in them")
    if widest := order["widest"]:
        groups = " < ".join(" = ".join(group) for group in widest["order"])
        say(f"{groups}: {widest['same_order_share']:.0%} of resamples agree; {widest['chain_share']:.0%} are a chain")


def interval(row: Mapping[Any, Any]) -> str:
    """An estimate with its interval."""
    return f"{row['estimate']:.3f} [{row['lower']:.3f}, {row['upper']:.3f}]"
