"""The evaluation of one classifier: its own patterns, their controls, and the patterns of other classifiers."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import torch

from datamodules.subset import ImageSubset, stratified_indices
from methods.class_patterns.evaluation_plan import HARD, PATTERN, EvaluationPlan, class_saliency, plan_evaluation
from methods.class_patterns.patterns import Array, Patterns, pattern_image
from methods.class_patterns.searches import Searches
from methods.class_patterns.success_module import PatternPredictions, PatternSuccess
from study.artifact import Artifact, settings_of, without
from study.files import sha256
from study.folder import study_folder
from study.labels import labels_name
from study.records import arrays_of, read_record
from study.step import Result, Step
from study.trainer import make_trainer

NO_METADATA: Any = {"Software": None}  # equal pictures are equal files
ROW = "row_"  # prefix of the columns that describe each pattern


def evaluate(searches: Searches, everyone: Mapping[str, Searches]) -> Path:
    """Evaluate a classifier, unless that is done; returns the file of its predictions.

    Args:
        searches: The searches of the classifier.
        everyone: The searches of all classifiers, by name; all of them are done.
    """
    step = Step(predictions_artifact(searches, everyone), study_folder(searches.cfg).job("class_patterns"))
    step.run(lambda: predict(step.artifact, searches, everyone))
    return step.artifact.files[0]


def predictions_artifact(searches: Searches, everyone: Mapping[str, Searches]) -> Artifact:
    """The predictions of a classifier, and pictures of its patterns."""
    settings = without(settings_of(searches.cfg, "class_patterns"), {"chunk"})
    seeds = [int(seed) for seed in searches.cfg.class_patterns.seeds]
    inputs = {f"patterns of {name}": sha256(other.artifact(seeds[0]).files[0]) for name, other in everyone.items()}
    inputs |= {f"seed {seed}": sha256(searches.artifact(seed).files[0]) for seed in seeds}
    folder, patterns = searches.folder / "predictions", searches.read(seeds[0])
    pictures = [picture_path(searches, patterns, pair) for pair in range(len(patterns.targets))]
    paths = [folder / f"{searches.name}.npz", *pictures]
    return Artifact(paths, folder / f"{searches.name}.json", settings, searches.inputs | inputs, precious=False)


def picture_path(searches: Searches, patterns: Patterns, pair: int) -> Path:
    """The path of the picture of a pattern."""
    name = re.sub(r"[^\w.-]+", "_", patterns.name(pair))
    return searches.folder / "pictures" / searches.name / f"{patterns.targets[pair]:04d}_{name}.png"


def predict(artifact: Artifact, searches: Searches, everyone: Mapping[str, Searches]) -> Result:
    """Show a classifier test images with every pattern and control on them."""
    options = searches.cfg.class_patterns
    seeds, shown = [int(seed) for seed in options.seeds], float(options.shown)
    by_seed = {seed: searches.read(seed) for seed in seeds}
    first, canvases = by_seed[seeds[0]], [patterns.canvases for patterns in by_seed.values()]
    plan = plan_own(searches, by_seed)
    own = (plan.table["method"] == PATTERN) & (plan.table["mask"] == HARD) & (plan.table["seed"] == seeds[0])
    rows = [described(plan.table, first, searches.name).assign(shown=own & (plan.table["budget"] == shown))]
    for name, other in everyone.items():
        # classes of another set of labels cannot be compared
        if name != searches.name and labels_name(other.config) == labels_name(searches.config):
            theirs, offset = other.read(seeds[0]), sum(map(len, canvases))
            added = add_patterns(plan, theirs, offset, shown, seeds[0])
            rows.append(described(added, theirs, name).assign(shown=True))
            canvases.append(theirs.canvases)
    table = pd.concat(rows, ignore_index=True)
    data = ImageSubset(searches.data, stratified_indices(searches.data.split("test"), options.evaluation_images))
    module = PatternSuccess(
        searches.classifier,
        plan.masks,
        torch.from_numpy(np.concatenate(canvases)),
        torch.tensor(plan.canvas_of),
        torch.tensor(table["target"].tolist()),
        data.chosen,
        complete=data.on_error != "skip",
        chunk=options.chunk,
    )
    make_trainer(searches.cfg).test(module, datamodule=data, verbose=False)
    columns = {f"{ROW}{name}": table[name].to_numpy() for name in table.columns}
    columns = {name: column.astype(str) if column.dtype == object else column for name, column in columns.items()}
    pictures = {
        path.name: partial(save_picture, pattern_image(first.canvases[pair], first.pixels(pair, shown, seeds[0])))
        for pair, path in enumerate(artifact.files[1:])
    }
    files: dict[str, Any] = {artifact.files[0].name: arrays_of(module.result) | columns} | pictures
    return Result(float(module.result.hits.mean()), files, unreadable=data.unreadable())


def plan_own(searches: Searches, by_seed: Mapping[int, Patterns]) -> EvaluationPlan:
    """A classifier's own patterns and their controls."""
    first, options = next(iter(by_seed.values())), searches.cfg.class_patterns
    parts = zip(
        torch.from_numpy(first.canvases).split(options.chunk),
        torch.from_numpy(first.targets).split(options.chunk),
        strict=True,
    )
    classifier = searches.classifier.cpu()  # where the canvases are
    saliency = torch.cat([class_saliency(classifier, canvas.float() / 255, target) for canvas, target in parts])
    masks = {seed: torch.from_numpy(patterns.masks) for seed, patterns in by_seed.items()}
    learned = (first.kinds == "learned").tolist()
    return plan_evaluation(masks, learned, saliency, [float(budget) for budget in options.budgets])


def add_patterns(plan: EvaluationPlan, patterns: Patterns, offset: int, budget: float, seed: int) -> pd.DataFrame:
    """Add the patterns of another classifier at one budget, without learned colours; returns their rows.

    Args:
        plan: The plan that they are added to.
        patterns: The patterns.
        offset: Index of their first canvas among all canvases.
        budget: Share of the pixels.
        seed: Seed of the search.
    """
    before = len(plan.masks)
    for pair in np.flatnonzero(patterns.kinds != "learned").tolist():
        mask = torch.from_numpy(patterns.pixels(pair, budget, seed))
        row = {"pair": pair, "method": PATTERN, "budget": budget, "pixels": int(mask.sum()), "seed": seed}
        plan.add(mask, offset + pair, **row)
    return plan.table.iloc[before:].reset_index(drop=True)


def described(table: pd.DataFrame, patterns: Patterns, origin: str) -> pd.DataFrame:
    """Rows with the target, kind, number and source of their canvas, and the classifier that it was searched on."""
    pairs = table["pair"].to_numpy()
    return table.assign(
        target=patterns.targets[pairs],
        kind=patterns.kinds[pairs],
        number=patterns.numbers[pairs],
        source=patterns.sources[pairs],
        origin=origin,
    )


def save_picture(rgba: Array, path: Path) -> None:
    """Write an RGBA picture as PNG."""
    matplotlib.image.imsave(path, rgba, metadata=NO_METADATA)


def read_predictions(path: Path) -> tuple[PatternPredictions, pd.DataFrame]:
    """Predictions of a classifier, and what each pattern is."""
    with np.load(path, allow_pickle=False) as file:
        rows = {name.removeprefix(ROW): file[name] for name in file.files if name.startswith(ROW)}
    return read_record(PatternPredictions, path), pd.DataFrame(rows)
