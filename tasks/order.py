"""``task=order``: who is served by whose signal."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from stats.accuracy_csv import read_accuracy_table
from stats.order import (
    ThresholdInterval,
    order_document,
    relative_rate_of_change,
    shown_intervals,
    threshold_intervals,
    widest_chain,
)
from stats.predictions import read_predictions
from study.artifact import Artifact, require
from study.console import say, say_made, show_table
from study.files import sha256
from study.folder import study_folder
from study.loggers import open_loggers


def run(cfg: DictConfig) -> float:
    """Write the relative rates of change and the lattice of every threshold; return the width of the widest chain."""
    folder = study_folder(cfg)
    path = require(folder.accuracy, cfg, "cross_evaluate") if cfg.accuracy is None else Path(cfg.accuracy)
    controls = read_predictions(folder.predictions).controls if cfg.accuracy is None else []
    table = read_accuracy_table(path, without=controls)
    document = order_document(table)
    artifact = Artifact(
        [folder.order / "rrc.csv", folder.order / "order.json"],
        folder.order / "provenance.json",
        {},
        {"accuracy": sha256(path)},
        precious=False,
    )
    intervals = threshold_intervals(relative_rate_of_change(table.to_numpy()))
    chain = widest_chain(intervals)
    width = chain.upper - chain.lower if chain else 0.0
    if not artifact.exists():
        with artifact.making(width) as temporary:
            rrc, order = (temporary[file] for file in artifact.files)
            pd.DataFrame(document["rrc"]).T.rename_axis("autoencoder").to_csv(rrc)
            order.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        with open_loggers(cfg, folder.job("order"), artifact.identity) as loggers:
            for board in loggers:
                board.log_table("rrc", pd.DataFrame(document["rrc"]).T.rename_axis("autoencoder"))
                board.log_metrics({"order/width_of_widest_chain": width}, 0)
    show(document, chain, shown_intervals(intervals))
    say_made(folder.order / "order.json")
    return width


def show(document: dict[str, Any], chain: ThresholdInterval | None, shown: list[int]) -> None:
    """Print the intervals at some places and the order read at the widest chain."""
    orders = {entry["from"]: describe(entry["order"]) for entry in document["intervals"]}
    rows = [
        [f"({entry['from']:.3f}, {entry['to']:.3f}]", str(entry["concepts"]), orders[entry["from"]]]
        for entry in (document["intervals"][place] for place in shown)
    ]
    left_out = len(document["intervals"]) - len(shown)
    if left_out:
        rows.append([f"… and {left_out} narrower ones: see order.json", "", ""])
    show_table("order of the classifiers at every threshold", ["threshold", "concepts", "order"], rows)
    if chain is not None:
        say(f"widest chain: ({chain.lower:.3f}, {chain.upper:.3f}]  {orders[chain.lower]}")


def describe(order: list[list[str]] | None) -> str:
    """An order in one line, from the classifier that the fewest autoencoders serve to the one that the most serve."""
    return "not a chain" if order is None else " < ".join(" = ".join(group) for group in order)
