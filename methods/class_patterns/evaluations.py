"""The evaluation of one classifier: its own patterns, their controls, and the patterns of other classifiers."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from datamodules.subset import ImageSubset, stratified_indices
from methods.class_patterns.evaluation_plan import (
    HARD,
    PATTERN,
    Planned,
    class_saliency,
    plan_evaluation,
    plan_transfer,
)
from methods.class_patterns.patterns import Patterns
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
    seed, *_ = seeds = searches.seeds
    inputs = {f"patterns of {name}": sha256(other.artifact(seed).files[0]) for name, other in everyone.items()}
    inputs |= {f"seed {seed}": sha256(searches.artifact(seed).files[0]) for seed in seeds}
    patterns, paths = searches.read(seed), [searches.folder / "predictions" / f"{searches.name}.npz"]
    for target, kind, number in zip(patterns.targets, patterns.kinds, patterns.numbers, strict=True):
        name = re.sub(r"[^\w.-]+", "_", f"{patterns.classes[target]} {kind} {number}")
        paths.append(searches.folder / "pictures" / searches.name / f"{target:04d}_{name}.png")
    return Artifact(paths, paths[0].with_suffix(".json"), settings, searches.inputs | inputs, precious=False)


def predict(artifact: Artifact, searches: Searches, everyone: Mapping[str, Searches]) -> Result:
    """Show a classifier test images with every pattern and control on them."""
    options, seed = searches.cfg.class_patterns, searches.seeds[0]
    planned = list(planned_for(searches, everyone))
    table = pd.DataFrame([entry.row for entry in planned])
    of_first_seed = (table["method"] == PATTERN) & (table["mask"] == HARD) & (table["seed"] == seed)
    table["shown"] = of_first_seed & (table["budget"] == options.shown)
    data = ImageSubset(searches.data, stratified_indices(searches.data.split("test"), options.evaluation_images))
    module = PatternSuccess(
        searches.classifier,
        [entry.mask for entry in planned],
        [entry.canvas for entry in planned],
        torch.tensor(table["target"].tolist()),
        data.chosen,
        complete=data.on_error != "skip",
        chunk=options.chunk,
    )
    make_trainer(searches.cfg).test(module, datamodule=data, verbose=False)
    # as text, not as objects, which an npz file holds only in pickled form
    columns = {f"{ROW}{name}": table[name].to_numpy(str if table[name].dtype == "str" else None) for name in table}
    first = searches.read(seed)
    pictures = {
        path.name: partial(matplotlib.image.imsave, arr=first.picture(pair, options.shown, seed), metadata=NO_METADATA)
        for pair, path in enumerate(artifact.files[1:])
    }
    files: dict[str, Any] = {artifact.files[0].name: arrays_of(module.result) | columns} | pictures
    return Result(float(module.result.hits.mean()), files, unreadable=data.unreadable())


def planned_for(searches: Searches, everyone: Mapping[str, Searches]) -> Iterator[Planned]:
    """Every mask that a classifier is evaluated on; ``origin`` is the classifier that it was searched on."""
    options, by_seed = searches.cfg.class_patterns, searches.by_seed()
    plans = {searches.name: plan_evaluation(by_seed, saliency_of(searches, by_seed), options.budgets)}
    for name, other in everyone.items():
        # classes of another set of labels cannot be compared
        if name != searches.name and labels_name(other.config) == labels_name(searches.config):
            plans[name] = plan_transfer(other.read(searches.seeds[0]), options.shown, searches.seeds[0])
    for name, plan in plans.items():
        yield from (entry._replace(row=entry.row | {"origin": name}) for entry in plan)


def saliency_of(searches: Searches, by_seed: Mapping[int, Patterns]) -> Tensor:
    """The saliency of the class of each pattern of the first search on its canvas."""
    first, chunk = by_seed[searches.seeds[0]], searches.cfg.class_patterns.chunk
    parts = zip(
        torch.from_numpy(first.canvases).split(chunk), torch.from_numpy(first.targets).split(chunk), strict=True
    )
    classifier = searches.classifier.cpu()  # where the canvases are
    return torch.cat([class_saliency(classifier, canvas.float() / 255, target) for canvas, target in parts])


def read_predictions(path: Path) -> tuple[PatternPredictions, pd.DataFrame]:
    """Predictions of a classifier, and what each pattern is."""
    with np.load(path, allow_pickle=False) as file:
        rows = {name.removeprefix(ROW): file[name] for name in file.files if name.startswith(ROW)}
    return read_record(PatternPredictions, path), pd.DataFrame(rows)
