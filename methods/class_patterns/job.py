"""The patterns of one classifier: a search for each seed, and their evaluation; each is kept in a file."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig

from datamodules.base import ImageDataModule, ImageDataset
from datamodules.views.subset import ImageSubset, stratified_indices
from methods.class_patterns.patterns import HARD, PATTERN, Array, Patterns, Planned, plan_evaluation, plan_transfer
from methods.class_patterns.search_images import SearchImages, choose_canvases
from methods.class_patterns.search_module import PatternSearch
from methods.class_patterns.success import PatternPredictions, PatternSuccess
from networks.seeding import seeded_generator
from study.artifact import Artifact, settings_of, without
from study.console import say
from study.data import images_at_once
from study.files import sha256
from study.folder import seeded, study_folder
from study.labels import labels_name
from study.one_classifier import OneClassifier
from study.records import arrays_of, read_arrays, read_record
from study.step import Result, Step
from study.trainer import Length, make_trainer, without_accumulation
from study.training import fitted, guards, identity_of

MOST_AT_ONCE, PIXELS_AT_ONCE = 256, 800_000  # images of a forward pass, and their pixels: 256 at 48 pixels, 15 at 224
EVALUATION = {"seeds", "budgets", "shown", "evaluation_images", "chunk"}  # settings that have no part in a search
NO_METADATA: Any = {"Software": None}  # equal pictures are equal files
ROW = "row_"  # prefix of the columns that describe each pattern


class Searches(OneClassifier):
    """The searches of one classifier."""

    @property
    def folder(self) -> Path:
        """The folder of the patterns of all classifiers."""
        return study_folder(self.cfg).root / "class_patterns"

    @property
    def seeds(self) -> list[int]:
        """The seeds of the searches; the first one's patterns are shown, and shown to other classifiers."""
        return list(self.cfg.class_patterns.seeds)

    @cached_property
    def canvases(self) -> dict[str, Array]:
        """The canvases: the same for all seeds of the search, except for the start of learned colours."""
        options = self.cfg.class_patterns
        split = self.data.split(options.split)
        targets = chosen_classes(options.classes, self.data.classes, split, options.most_frequent)
        canvases = choose_canvases(split, options.split, targets, options.canvases, self.cfg.seed)
        with_own = canvases["targets"][canvases["kinds"] == "own"]
        missing = [self.data.classes[target] for target in targets if target not in with_own]
        if missing and options.canvases.own:
            say(f"[yellow]no image in {options.split}[/yellow] of {', '.join(missing)}: no canvas of their own")
        return canvases

    @property
    def chunk(self) -> int:
        """Images of a forward pass: a number from the settings, or as many as have a number of pixels together."""
        fitting = images_at_once(None, self.data.smallest_side**2, PIXELS_AT_ONCE)
        return self.cfg.class_patterns.chunk or min(MOST_AT_ONCE, fitting)

    def artifact(self, seed: int) -> Artifact:
        """The file of one search."""
        path = self.folder / f"{seeded(self.name, seed)}.npz"
        settings = settings_of(self.cfg, "class_patterns")
        settings |= {"class_patterns": without(settings["class_patterns"], EVALUATION), "order": seed}
        return Artifact([path], path.with_suffix(".json"), settings, self.inputs, precious=False)

    def read(self, seed: int) -> Patterns:
        """The patterns of a search that is done."""
        return read_record(Patterns, self.artifact(seed).files[0])

    def by_seed(self) -> dict[int, Patterns]:
        """The patterns of every search, by its seed; all are done."""
        return {seed: self.read(seed) for seed in self.seeds}

    def search(self, seed: int) -> None:
        """Search with a seed, unless that is done."""
        step = Step(self.artifact(seed), study_folder(self.cfg).job("class_patterns", self.name, seed), self.cfg.seed)
        step.run(lambda: self.fit(step, seed))

    def fit(self, step: Step, seed: int) -> Result:
        """Make the patterns of a search, from the last checkpoint if the search was interrupted."""
        cfg, options, chosen = without_accumulation(self.cfg), self.cfg.class_patterns, self.canvases
        searched = stratified_indices(self.data.split(options.split), options.search_images)
        classes = np.unique(chosen["targets"]).tolist() if options.own_batches else None
        images = SearchImages(self.data, options.split, searched, options.batch_size, seed, classes)
        canvases, targets = torch.from_numpy(chosen["canvases"]), torch.from_numpy(chosen["targets"])
        learned = torch.from_numpy(chosen["kinds"] == "learned")
        generator = seeded_generator(self.cfg.seed, seed)
        noise = torch.randint(256, canvases.shape, generator=generator, dtype=torch.uint8)
        start = torch.where(learned[:, None, None, None], noise, canvases)  # learned colours depend on the seed
        how = {name: options[name] for name in ("optimizer", "step", "averaged", "alpha")}
        how["chunk"] = self.chunk
        module, length = PatternSearch(self.classifier, start, targets, learned, **how), Length(options.epochs)
        identity, callbacks = identity_of(cfg, self.data, step.artifact), guards(cfg, step.job, seed)
        with fitted(cfg, module, images, length=length, job=step.job, identity=identity, callbacks=callbacks):
            masks, colours = (part.numpy() for part in module.patterns())
        names = {"searched": np.array(searched), "classes": np.array(self.data.classes)}
        patterns = Patterns(**chosen | {"masks": masks, "canvases": colours} | names)
        return Result(float(masks.mean()), {step.artifact.files[0].name: arrays_of(patterns)})


def chosen_classes(classes: Any, names: list[str], split: ImageDataset, most_frequent: bool) -> list[int]:
    """The labels of the classes that ``class_patterns.classes`` chooses.

    Args:
        classes: ``None`` for all with images, how many of these (spread evenly), or names of any.
        names: Names of all classes.
        split: The images.
        most_frequent: Whether a number chooses the classes with most images; fewer where there are not as many.

    Raises:
        ValueError: If a name is unknown, or the number is out of range.
    """
    counts = Counter(label for index in range(len(split)) if (label := split.label(index)) >= 0)
    present = sorted(counts)
    if classes is None:
        return present
    if isinstance(classes, int) and most_frequent:
        return sorted(sorted(present, key=lambda label: (-counts[label], label))[:classes])
    if isinstance(classes, int):
        most = len(present)
        if classes > most:
            raise ValueError(f"class_patterns.classes={classes}: there are images of {most} classes; give 1 to {most}")
        return [present[index] for index in np.linspace(0, most - 1, classes).round().astype(int)]
    unknown = ", ".join(str(name) for name in classes if name not in names)
    if unknown:
        raise ValueError(
            f"class_patterns.classes={list(classes)}: {unknown} is no class of the data; "
            f"choose from {', '.join(names[:20])}"
        )
    return [names.index(name) for name in classes]


def check_data(options: DictConfig, data: ImageDataModule) -> None:
    """Refuse images that patterns cannot be searched on, before any work is done.

    Raises:
        ValueError: If images are read from shards, search and test images are the same, a class is unknown, or all
            search images are of one class.
    """
    if data.single_pass:
        raise ValueError("task=class_patterns chooses images by their index: use images in folders, not shards")
    if data.same_images(options.split, "test"):
        raise ValueError(
            f"class_patterns.split={options.split}: these images are those of test, too, and patterns must not be "
            "tested on images that they were searched on: use class_patterns.split=train"
        )
    split = data.split(options.split)
    chosen_classes(options.classes, data.classes, split, options.most_frequent)
    if len({split.label(index) for index in stratified_indices(split, options.search_images)}) < 2:
        raise ValueError(
            "the search images are of one class, and patterns are searched on images of others: raise "
            f"class_patterns.search_images={options.search_images}"
        )


def evaluate(searches: Searches, everyone: Mapping[str, Searches]) -> tuple[PatternPredictions, pd.DataFrame]:
    """Evaluate a classifier, unless that is done; returns its predictions, and a row that tells what each pattern is.

    Args:
        searches: The searches of the classifier.
        everyone: The searches of all classifiers, by name; all of them are done.
    """
    settings = without(settings_of(searches.cfg, "class_patterns"), {"chunk"})
    seed, *_ = seeds = searches.seeds
    inputs = {f"patterns of {name}": sha256(other.artifact(seed).files[0]) for name, other in everyone.items()}
    inputs |= {f"seed {seed}": sha256(searches.artifact(seed).files[0]) for seed in seeds}
    path, patterns = searches.folder / "predictions" / f"{searches.name}.npz", searches.read(seed)
    pictures = []
    for target, kind, number in zip(patterns.targets, patterns.kinds, patterns.numbers, strict=True):
        name = re.sub(r"[^\w.-]+", "_", f"{str(patterns.classes[target])[:40]} {kind} {number}")
        pictures.append(searches.folder / "pictures" / searches.name / f"{target:04d}_{name}.png")
    provenance, job = path.with_suffix(".json"), study_folder(searches.cfg).job("class_patterns")
    artifact = Artifact([path, *pictures], provenance, settings, searches.inputs | inputs, precious=False)
    Step(artifact, job).run(lambda: predict(pictures, searches, everyone))
    rows = {name.removeprefix(ROW): array for name, array in read_arrays(path).items() if name.startswith(ROW)}
    return read_record(PatternPredictions, path), pd.DataFrame(rows)


def predict(paths: Sequence[Path], searches: Searches, everyone: Mapping[str, Searches]) -> Result:
    """Show a classifier test images with every pattern and control on them.

    Args:
        paths: Where the picture of each pattern is to be kept.
        searches: The searches of the classifier.
        everyone: The searches of all classifiers, by name.
    """
    options, seed = searches.cfg.class_patterns, searches.seeds[0]
    planned = list(planned_for(searches, everyone))
    table = pd.DataFrame([entry.row for entry in planned])
    of_first_seed = (table["method"] == PATTERN) & (table["mask"] == HARD) & (table["seed"] == seed)
    table["shown"] = of_first_seed & (table["budget"] == options.shown)
    data = ImageSubset(searches.data, stratified_indices(searches.data.split("test"), options.evaluation_images))
    complete = data.on_error != "skip"
    module = PatternSuccess(searches.classifier, planned, data.chosen, complete=complete, chunk=searches.chunk)
    make_trainer(searches.cfg).test(module, datamodule=data, verbose=False)
    # arrays of lists have texts as text, not as objects, which npz files hold only in pickled form
    columns = {f"{ROW}{name}": np.array(table[name].tolist()) for name in table}
    first = searches.read(seed)
    pictures = {
        path.name: partial(matplotlib.image.imsave, arr=first.picture(pair, options.shown, seed), metadata=NO_METADATA)
        for pair, path in enumerate(paths)
    }
    files: dict[str, Any] = {f"{searches.name}.npz": arrays_of(module.result) | columns} | pictures
    return Result(float(module.result.hits.mean()), files, unreadable=data.unreadable())


def planned_for(searches: Searches, everyone: Mapping[str, Searches]) -> Iterator[Planned]:
    """Every mask that a classifier is evaluated on; ``origin`` is the classifier that it was searched on."""
    options, by_seed = searches.cfg.class_patterns, searches.by_seed()
    classifier = searches.classifier.cpu()  # where the canvases are
    plans = {searches.name: plan_evaluation(by_seed, classifier, options.budgets, searches.chunk)}
    for name, other in everyone.items():
        # classes of another set of labels cannot be compared
        alike = labels_name(other.config) == labels_name(searches.config)
        if name != searches.name and alike and other.data.classes == searches.data.classes:
            plans[name] = plan_transfer(other.read(searches.seeds[0]), options.shown, searches.seeds[0])
    for name, plan in plans.items():
        yield from (entry._replace(row=entry.row | {"origin": name}) for entry in plan)
