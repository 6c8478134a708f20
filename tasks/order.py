"""``task=order``: who is served by whose signal."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from analysis.order import order_document, read_accuracy_table, widest_chain
from tasks import build
from tasks.study_folder import Artifact, sha256
from tasks.terminal import say, say_made, show_table


def run(cfg: DictConfig) -> float:
    """Write the relative rates of change and the lattice of every threshold; return the width of the widest chain."""
    folder = build.study_folder(cfg)
    if cfg.accuracy is None:
        path, steps = folder.accuracy, "cross_evaluate"
        build.require(path, cfg, steps)
    else:
        path = Path(cfg.accuracy)
    table = read_accuracy_table(path)
    document = order_document(table)
    artifact = Artifact(
        [folder.order / "rrc.csv", folder.order / "order.json"],
        folder.order / "provenance.json",
        {"accuracy": None if cfg.accuracy is None else str(path)},
        {"accuracy": sha256(path)},
        precious=False,
    )
    if not artifact.exists():
        with artifact.making() as temporary:
            rrc, order = (temporary[file] for file in artifact.files)
            pd.DataFrame(document["rrc"]).T.rename_axis("autoencoder").to_csv(rrc)
            order.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    show(document)
    say_made(folder.order / "order.json")
    chain = widest_chain(document["intervals"])
    return chain["to"] - chain["from"] if chain else 0.0


def show(document: dict[str, Any]) -> None:
    """Print the intervals and the order read at the widest chain."""
    rows = [
        [f"({entry['from']:.3f}, {entry['to']:.3f}]", str(entry["concepts"]), describe(entry["order"])]
        for entry in document["intervals"]
    ]
    show_table("order of the classifiers at every threshold", ["threshold", "concepts", "order"], rows)
    chain = widest_chain(document["intervals"])
    if chain is not None:
        say(f"widest chain: ({chain['from']:.3f}, {chain['to']:.3f}]  {describe(chain['order'])}")


def describe(order: list[list[str]] | None) -> str:
    """An order in one line, from the classifier that the fewest autoencoders serve to the one that the most serve."""
    return "not a chain" if order is None else " < ".join(" = ".join(group) for group in order)
