"""How often is a planted backdoor detected? Seeded backdoored and clean networks, and the cheapest class of each.

    python benchmarks/backdoors.py --networks 10     (any key=value of run.py after it, as data.crop=32 or trainer=gpu)

Network k of either kind has seed k; the trigger of a backdoored one has seed k, too, and its target is another class
for each network. Each network is a study of its own under studies/backdoors, trained on the built-in photographs and
searched for patterns with learned colours (task=class_patterns). The same command again continues where it stopped.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hydra
import pandas as pd
from omegaconf import DictConfig

import run
from methods.class_patterns.class_anomaly import CLEAN_RATE, NEURAL_CLEANSE_THRESHOLD, calibrated_threshold
from stats.proportion import wilson_interval
from study.data import make_data
from study.folder import study_folder

STUDIES = "studies/backdoors"  # a study for each network
TARGET_STEP = 4  # prime to the number of photographs, so that the targets of ten networks differ
TRAINING = "train_classifier.epochs=40"  # as experiment=class_patterns
SEARCH = (
    "class_patterns.canvases={own:0,other:0,noise:1,learned:2}",
    "class_patterns.seeds=[0]",
    "class_patterns.budgets=[0.0035,0.007,0.014,0.028,0.05,0.1,0.2]",
    "class_patterns.evaluation_images=150",
)


def compose(overrides: Sequence[str]) -> DictConfig:
    """The configuration of one step."""
    with hydra.initialize_config_dir(str(run.CONF), version_base="1.3"):
        return hydra.compose("config", overrides=[f"studies={STUDIES}", *overrides])


def measure(kind: str, seed: int, overrides: Sequence[str]) -> dict[str, object]:
    """Train a network, backdoored or clean, and search it; returns a row of the table."""
    classes = len(make_data(compose(overrides)).classes)
    name, target = f"{kind}_{seed}", (3 + TARGET_STEP * seed) % classes
    network = ["classifier=vgg_compact", f"classifier.title={name}"]
    if kind == "backdoored":
        network = ["classifier=vgg_backdoored", f"classifier.poison.target={target}", f"classifier.poison.seed={seed}"]
    network += [f"classifier.name={name}", f"classifiers=[{name}]", f"study={name}", f"seed={seed}", *overrides]
    cfg = compose(["task=train_classifier", TRAINING, *network])
    accuracy = run.run(cfg)
    root = study_folder(cfg).root
    run.run(compose(["task=class_patterns", *network, *SEARCH]))
    table = pd.read_csv(root / "class_patterns" / "class_anomaly.csv")
    first = table.iloc[0]
    row = {"network": name, "accuracy": accuracy, "first": first["class"], "index": first["anomaly_index"]}
    row |= {"pixels": first["pixels"]}
    if kind == "clean":
        return row | {"classes": len(table)}
    success = pd.read_csv(root / "backdoors" / f"{name}.csv").set_index("measure")["share"]["attack success"]
    planted = table[table["label"] == target].iloc[0]
    of_target = {"target": planted["class"], "rank": planted["rank"], "index of target": planted["anomaly_index"]}
    of_target |= {"pixels of target": planted["pixels"]}
    return row | {"classes": len(table), "attack success": success} | of_target


def share(hits: pd.Series) -> str:
    """A count of networks, with the 95 % interval of their share."""
    lower, upper = wilson_interval(float(hits.mean()), len(hits))
    return f"{int(hits.sum())} of {len(hits)} (95 % interval {float(lower):.0%} to {float(upper):.0%})"


def summary(rows: pd.DataFrame, threshold: float) -> str:
    """In how many backdoored networks the target ranks first, and how many of either kind are flagged."""
    planted = rows["network"].str.startswith("backdoored")
    lines = [f"the target ranks first in {share(rows.loc[planted, 'rank'] == 1)} backdoored networks"]
    for value, what in (
        (threshold, f"clean ones are flagged at a rate of {CLEAN_RATE:.0%}"),
        (NEURAL_CLEANSE_THRESHOLD, "fixed"),
    ):
        targets = share(rows.loc[planted, "index of target"] > value)
        clean = share(rows.loc[~planted, "index"] > value)
        lines.append(
            f"anomaly index above {value:.2f} ({what}): the target of {targets} backdoored, a class of {clean} clean"
        )
    return "\n".join(f"- {line}" for line in lines)


def main() -> None:
    """Train, search, and print a Markdown table and its summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=10, help="of either kind")
    options, overrides = parser.parse_known_args()
    rows = [measure(kind, seed, overrides) for seed in range(options.networks) for kind in ("backdoored", "clean")]
    table = pd.DataFrame(rows).sort_values("network", ignore_index=True)
    threshold = calibrated_threshold(int(table["classes"].max()), CLEAN_RATE)
    header = ["network", "accuracy", "attack success", "target", "rank", "index of target", "pixels of target"]
    header += ["first", "index", "pixels"]
    sys.stdout.write("\n")
    sys.stdout.write(f"| {' | '.join(header)} |\n|{'---|' * len(header)}\n")
    for row in table[header].itertuples(index=False):
        cells = ["–" if pd.isna(value) else f"{value:.3g}" if isinstance(value, float) else str(value) for value in row]
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.write(f"\n{summary(table, threshold)}\n")


if __name__ == "__main__":
    main()
