"""The tests of ``task=class_patterns``: each classifier with its own patterns, controls, and those of others."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import torch
from omegaconf import OmegaConf

from datamodules.subset import ImageSubset, stratified_indices
from methods.class_patterns.evaluation_plan import HARD, PATTERN, TestedPatterns, list_patterns
from methods.class_patterns.files import PatternFile
from methods.class_patterns.masks import pattern_image
from methods.class_patterns.saliency import class_saliency
from methods.class_patterns.searches import SEARCH, PatternJobs
from methods.class_patterns.success_module import PatternPredictions, PatternSuccess
from study.artifact import Artifact, settings_of
from study.console import say_made, say_skipped_images
from study.files import sha256
from study.folder import study_folder
from study.labels import labels_name
from study.trainer import make_trainer

NO_METADATA: Any = {"Software": None}  # equal pictures are equal files
VERDICTS = ("index", "labels", "clean", "hits")
EVALUATION = ("budgets", "shown", "evaluation_images", "seeds")


def predictions_artifact(job: PatternJobs, jobs: Mapping[str, PatternJobs]) -> Artifact:
    """The predictions on a classifier, and pictures of its patterns.

    Args:
        job: The classifier's.
        jobs: Those of all classifiers, whose searches are done.
    """
    options: Any = OmegaConf.to_container(job.cfg.class_patterns, resolve=True)
    settings = settings_of(job.asked) | {key: options[key] for key in (*SEARCH, *EVALUATION)}
    first = int(options["seeds"][0])
    files = {f"patterns of {name}": sha256(other.artifact(first).files[0]) for name, other in jobs.items()}
    files |= {f"seed {seed}": sha256(job.artifact(int(seed)).files[0]) for seed in options["seeds"]}
    place = job.place / "predictions"
    found = job.read(first)
    pictures = [picture_path(job, found, pair) for pair in range(len(found.targets))]
    paths = [place / f"{job.name}.npz", *pictures]
    return Artifact(paths, place / f"{job.name}.json", settings, job.inputs | files, precious=False)


def picture_path(job: PatternJobs, found: PatternFile, pair: int) -> Path:
    """Where the picture of a pattern is kept."""
    name = re.sub(r"[^\w.-]+", "_", found.name(pair))
    return job.place / "pictures" / job.name / f"{found.targets[pair]:04d}_{name}.png"


def evaluate(job: PatternJobs, jobs: Mapping[str, PatternJobs], artifact: Artifact) -> None:
    """Show a classifier test images with every pattern and control on them, and keep its predictions and pictures."""
    options, cfg = job.cfg.class_patterns, job.cfg
    found = {int(seed): job.read(int(seed)) for seed in options.seeds}
    first = next(iter(found.values()))
    tested, rows = own_patterns(job, found)
    canvases = [part.canvases for part in found.values()]
    for name, other in jobs.items():
        if name != job.name and labels_name(other.config) == labels_name(job.config):
            theirs = other.read(int(options.seeds[0]))
            offset = sum(map(len, canvases))
            rows.append(others_patterns(tested, theirs, name, offset, float(options.shown), int(options.seeds[0])))
            canvases.append(theirs.canvases)
    table = pd.concat(rows, ignore_index=True)
    data = ImageSubset(job.data, stratified_indices(job.data.split("test"), options.evaluation_images))
    module = PatternSuccess(
        job.classifier,
        tested.masks,
        torch.from_numpy(np.concatenate(canvases)),
        torch.tensor(tested.canvas_of),
        torch.tensor(table["target"].tolist()),
        data.chosen,
        complete=data.on_error != "skip",
        chunk=options.chunk,
    )
    trainer = make_trainer(cfg)
    trainer.test(module, datamodule=data, verbose=False)
    if trainer.is_global_zero:
        with artifact.making(float(module.result.hits.mean())) as temporary:
            save_predictions(temporary[artifact.files[0]], module.result, table)
            for pair, path in enumerate(artifact.files[1:]):
                mask = first.pixels(pair, float(options.shown), int(options.seeds[0]))
                rgba = pattern_image(first.canvases[pair], mask)
                matplotlib.image.imsave(temporary[path], rgba, metadata=NO_METADATA)
    trainer.strategy.barrier()
    say_skipped_images(data.unreadable(), study_folder(cfg).job("class_patterns"))
    say_made(artifact.files[0])


def own_patterns(job: PatternJobs, found: Mapping[int, PatternFile]) -> tuple[TestedPatterns, list[pd.DataFrame]]:
    """A classifier's own patterns and controls, and what each is."""
    first, options = next(iter(found.values())), job.cfg.class_patterns
    learned = (first.kinds == "learned").tolist()
    targets = torch.from_numpy(first.targets)
    parts = zip(torch.from_numpy(first.canvases).split(options.chunk), targets.split(options.chunk), strict=True)
    classifier = job.classifier.cpu()
    saliency = torch.cat([class_saliency(classifier, canvas.float() / 255, target) for canvas, target in parts])
    masks = {seed: torch.from_numpy(part.masks) for seed, part in found.items()}
    tested = list_patterns(masks, learned, saliency, [float(budget) for budget in options.budgets])
    table = described(tested.table, first).assign(origin=job.name)
    searched = (table["method"] == PATTERN) & (table["mask"] == HARD) & (table["seed"] == int(options.seeds[0]))
    return tested, [table.assign(shown=searched & (table["budget"] == float(options.shown)))]


def others_patterns(
    tested: TestedPatterns, found: PatternFile, name: str, offset: int, budget: float, seed: int
) -> pd.DataFrame:
    """Add another classifier's patterns at one budget, and say what each is.

    Args:
        tested: What they are added to.
        found: The other's patterns.
        name: Of the other.
        offset: Where its canvases begin among all.
        budget: Share of the pixels.
        seed: Of the search.
    """
    before = len(tested.masks)
    for pair in np.flatnonzero(found.kinds != "learned").tolist():
        mask = torch.from_numpy(found.pixels(pair, budget, seed))
        row = {"pair": pair, "method": PATTERN, "budget": budget, "pixels": int(mask.sum()), "seed": seed}
        tested.add(mask, offset + pair, **row)
    added = tested.table.iloc[before:].reset_index(drop=True)
    return described(added, found).assign(origin=name, shown=True)


def described(table: pd.DataFrame, found: PatternFile) -> pd.DataFrame:
    """Rows with the class, kind, number and source of their canvas."""
    pairs = table["pair"].to_numpy()
    return table.assign(
        target=found.targets[pairs], kind=found.kinds[pairs], number=found.numbers[pairs], source=found.sources[pairs]
    )


def save_predictions(path: Path, predictions: PatternPredictions, rows: pd.DataFrame) -> None:
    """Write predictions and what each pattern is."""
    columns: dict[str, Any] = {f"row_{name}": rows[name].to_numpy() for name in rows.columns}
    columns = {name: column.astype(str) if column.dtype == object else column for name, column in columns.items()}
    arrays: dict[str, Any] = {name: getattr(predictions, name) for name in VERDICTS}
    np.savez_compressed(path, **arrays, **columns)


def read_predictions(path: Path) -> tuple[PatternPredictions, pd.DataFrame]:
    """What :func:`save_predictions` wrote."""
    with np.load(path) as file:
        predictions = PatternPredictions(**{name: file[name] for name in VERDICTS})
        rows = pd.DataFrame({name.removeprefix("row_"): file[name] for name in file.files if name.startswith("row_")})
    return predictions, rows
