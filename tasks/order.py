"""``task=order``: relative rates of change, the lattice at every threshold, and the order of the classifiers."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from stats.concept_lattice import lattice_document
from stats.order import order_document
from study.accuracy_csv import read_accuracy_table
from study.artifact import Artifact
from study.console import say, show_table
from study.files import sha256
from study.folder import study_folder
from study.inputs import verified
from study.loggers import open_loggers
from study.predictions import read_predictions
from study.step import Result, Step


def run(cfg: DictConfig) -> float:
    """Write the relative rates of change and the lattice of every threshold; return the width of the widest chain."""
    folder = study_folder(cfg)
    path, controls = folder.accuracy, []
    if cfg.accuracy is None:
        inputs = {"accuracy": verified(path, cfg, "cross_evaluate")}
        verified(folder.predictions, cfg, "cross_evaluate")
        controls = read_predictions(folder.predictions).controls
    else:
        path = Path(cfg.accuracy)
    document = order_document(read_accuracy_table(path, without=controls))
    if cfg.accuracy is not None:
        inputs = {"accuracy": sha256(path)}
    rates = pd.DataFrame(document["rrc"]).T.rename_axis("autoencoder")
    width = document["widest"]["to"] - document["widest"]["from"] if document["widest"] else 0.0
    files = [folder.order / name for name in ("rrc.csv", "order.json", "lattice.json")]
    step = Step(Artifact(files, folder.order / "provenance.json", {}, inputs, precious=False), folder.job("order"))

    def make() -> Result:
        with open_loggers(cfg, step.job, step.artifact.identity) as loggers:
            for logger in loggers:
                logger.log_table("rrc", rates)
                logger.log_metrics({"order/width_of_widest_chain": width}, 0)
        texts = {"order.json": document, "lattice.json": lattice_of(rates, document["widest"])}
        contents = {name: json.dumps(content, indent=2) + "\n" for name, content in texts.items()}
        return Result(width, {"rrc.csv": rates} | contents)

    step.run(make)
    show(document)
    return width


def lattice_of(rates: pd.DataFrame, widest: dict[str, Any] | None) -> dict[str, Any] | None:
    """The concept lattice in the middle of the widest chain, for the page; ``None`` if there is no chain."""
    if widest is None:
        return None
    return lattice_document(rates.to_numpy(), list(rates.columns), (widest["from"] + widest["to"]) / 2)


def show(document: dict[str, Any]) -> None:
    """Print the widest ranges of thresholds, and the order read at the widest chain."""
    intervals = document["intervals"]
    rows = [
        [f"({entry['from']:.3f}, {entry['to']:.3f}]", count_text(entry["concepts"]), describe(entry["order"])]
        for entry in (intervals[number] for number in document["shown"])
    ]
    left_out = len(intervals) - len(rows)
    if left_out:
        rows.append([f"… and {left_out} narrower ones: see order.json", "", ""])
    show_table("order of the classifiers at every threshold", ["threshold", "concepts", "order"], rows)
    if widest := document["widest"]:
        say(f"widest chain: ({widest['from']:.3f}, {widest['to']:.3f}]  {describe(widest['order'])}")


def count_text(concepts: int | str | None) -> str:
    """The number of concepts at a threshold, as text."""
    return "not counted" if concepts is None else str(concepts)


def describe(order: list[list[str]] | None) -> str:
    """An order in one line, from the classifier accurate on the fewest autoencoders to that on the most."""
    return "not a chain" if order is None else " < ".join(" = ".join(group) for group in order)
