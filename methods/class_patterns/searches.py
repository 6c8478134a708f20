"""The searches of ``task=class_patterns``: one for each classifier and seed, each kept in a file."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from callbacks.checkpointing import Checkpointing
from callbacks.guards import FiniteLoss
from callbacks.monitoring import Monitor
from callbacks.randomness import SeededBatches
from datamodules.base import ImageDataModule, ImageDataset
from datamodules.poisoned import without_poison
from datamodules.subset import stratified_indices
from methods.class_patterns.files import PatternFile
from methods.class_patterns.search_images import KINDS, Canvases, SearchImages, choose_canvases
from methods.class_patterns.search_module import PRESETS, PatternSearch
from networks.classifier import Classifier
from study import classifiers
from study.artifact import Artifact, settings_of
from study.console import say, say_made
from study.data import make_data
from study.folder import seeded, study_folder
from study.labels import with_labels_of
from study.loggers import open_loggers
from study.trainer import Length, accelerate, make_trainer, without_accumulation
from study.training import NOT_FINITE, identity

SEARCH = ("preset", "batch_size", "step", "alpha", "epochs", "split", "search_images", "classes", "canvases")
TESTED_AT_ONCE = 32  # images; how many patterns go with them, the chunk decides


@dataclass(frozen=True)
class PatternJobs:
    """One classifier's searches.

    Attributes:
        cfg: The configuration.
        config: The classifier's.
        place: The folder of all patterns.
    """

    cfg: DictConfig
    config: DictConfig
    place: Path

    @property
    def name(self) -> str:
        """The classifier's."""
        return str(self.config.name)

    @cached_property
    def asked(self) -> DictConfig:
        """The configuration with the labels that this classifier is asked for."""
        return with_labels_of(self.cfg, self.config)

    @cached_property
    def data(self) -> ImageDataModule:
        """The images with these labels; clean ones, whatever the classifier was trained on."""
        return without_poison(make_data(self.asked, TESTED_AT_ONCE))

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier with its weights, frozen."""
        loaded = classifiers.load_classifier(self.cfg, self.config, self.data)
        accelerate(self.cfg, loaded)
        return loaded

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Fingerprints of images and weights."""
        weights = classifiers.weights_fingerprint(self.cfg, self.config)
        return {"images": self.data.fingerprint(), f"classifier {self.name}": weights}

    @cached_property
    def canvases(self) -> Canvases:
        """What patterns are cut out of: the same for all seeds of the search, but for the starts of learned colours."""
        options = self.cfg.class_patterns
        split = self.data.split(options.split)
        targets = chosen_classes(options.classes, self.data.classes, classes_of(split))
        canvases = choose_canvases(split, options.split, targets, dict(options.canvases), self.cfg.seed)
        wanted = options.canvases.get("own", 0)
        without = [t for t in targets if wanted and not ((canvases.targets == t) & owns(canvases)).any()]
        if without:
            names = ", ".join(self.data.classes[target] for target in without)
            say(f"[yellow]no image in {options.split}[/yellow] of {names}: no canvas of their own")
        return canvases

    def artifact(self, seed: int) -> Artifact:
        """The file of one search."""
        path = self.place / f"{seeded(self.name, seed)}.npz"
        options: Any = OmegaConf.to_container(self.cfg.class_patterns, resolve=True)
        settings = settings_of(self.asked) | {"search": {key: options[key] for key in SEARCH}, "order": seed}
        return Artifact([path], path.with_suffix(".json"), settings, self.inputs, precious=False)

    def read(self, seed: int) -> PatternFile:
        """What a search has found."""
        return PatternFile.load(self.artifact(seed).files[0])

    def search(self, seed: int) -> None:
        """Search with a seed, if that was not done; go on with it, if it was interrupted."""
        artifact, options = self.artifact(seed), self.cfg.class_patterns
        if artifact.exists():
            return
        split = self.data.split(options.split)
        chosen = stratified_indices(split, options.search_images)
        batch_size = options.batch_size or PRESETS[options.preset].batch_size
        targets = self.canvases.targets.unique().tolist() if PRESETS[options.preset].own_batches else None
        images = SearchImages(self.data, options.split, chosen, batch_size, seed, targets)
        module = self.module(seed)
        job = study_folder(self.cfg).job("class_patterns", self.name, seed)
        checkpointing = Checkpointing(
            job / "last.ckpt", self.cfg.checkpoint_every, identity(self.cfg, self.data, artifact)
        )
        consumed, resumed = checkpointing.consumed(), None
        if consumed is not None:
            images.consumed_batches, resumed = consumed, checkpointing.path
            say(f"going on from {checkpointing.path}")
        callbacks = [SeededBatches(seed), FiniteLoss(job / NOT_FINITE), Monitor(self.cfg.log_every), checkpointing]
        with open_loggers(self.cfg, job, checkpointing.identity, keep_log=resumed is not None) as loggers:
            trainer = make_trainer(without_accumulation(self.cfg), Length(options.epochs), callbacks, loggers)
            trainer.fit(module, datamodule=images, ckpt_path=resumed, weights_only=True if resumed else None)
        if trainer.is_global_zero:
            self.keep(module, chosen, artifact)
            for left in (checkpointing.path, job / NOT_FINITE):
                left.unlink(missing_ok=True)
        trainer.strategy.barrier()
        say_made(artifact.files[0])

    def module(self, seed: int) -> PatternSearch:
        """The search, at its beginning; learned colours begin as noise that depends on the seed."""
        options, canvases = self.cfg.class_patterns, self.canvases
        generator = torch.Generator().manual_seed(hash((self.cfg.seed, seed)) % 2**62)
        noise = torch.randint(256, canvases.pixels.shape, generator=generator, dtype=torch.uint8)
        return PatternSearch(
            self.classifier,
            torch.where(canvases.learned[:, None, None, None], noise, canvases.pixels),
            canvases.targets,
            canvases.learned,
            preset=options.preset,
            step=options.step,
            alpha=options.alpha,
            chunk=options.chunk,
        )

    def keep(self, module: PatternSearch, chosen: list[int], artifact: Artifact) -> None:
        """Write what a search has found."""
        found, canvases = module.found(), self.canvases
        made = PatternFile(
            masks=found.masks.numpy(),
            canvases=found.canvases.numpy(),
            targets=canvases.targets.numpy(),
            kinds=np.array(canvases.kinds),
            numbers=np.array(canvases.numbers),
            sources=np.array(canvases.sources),
            searched=np.array(chosen),
            classes=np.array(self.data.classes),
        )
        with artifact.making(float(made.masks.mean())) as temporary:
            made.save(temporary[artifact.files[0]])


def owns(canvases: Canvases) -> torch.Tensor:
    """Whether each canvas is an image of its class."""
    return torch.tensor([kind == "own" for kind in canvases.kinds])


def classes_of(split: ImageDataset) -> list[int]:
    """The labels that a split has images of."""
    return sorted({split.label(position) for position in range(len(split))})


def chosen_classes(classes: Any, names: list[str], present: list[int]) -> list[int]:
    """The labels of the classes that ``class_patterns.classes`` chooses.

    Args:
        classes: ``None`` for all with images, how many of these (spread evenly), or names of any.
        names: Of all classes.
        present: The labels that there are images of.

    Raises:
        ValueError: If a name is unknown, or the number is out of range.
    """
    if classes is None:
        return present
    if isinstance(classes, int):
        if not 1 <= classes <= len(present):
            raise ValueError(
                f"class_patterns.classes={classes}: there are images of {len(present)} classes; give 1 to so many"
            )
        return [present[place] for place in np.linspace(0, len(present) - 1, classes).round().astype(int)]
    unknown = [name for name in classes if name not in names]
    if unknown or not len(classes) or len(set(classes)) < len(classes):
        what = f"{', '.join(map(str, unknown))} is no class of the data" if unknown else "name some, each once"
        raise ValueError(f"class_patterns.classes={list(classes)}: {what}; choose from {', '.join(names[:20])}")
    return [names.index(name) for name in classes]


def check_options(options: DictConfig, data: ImageDataModule) -> None:
    """Find settings that cannot work before any work is done."""
    budgets = list(options.budgets)
    problems = {
        f"preset={options.preset}: choose {' or '.join(PRESETS)}": options.preset not in PRESETS,
        f"split={options.split}: choose val or train (test is what patterns are tested on)": options.split
        not in ("val", "train"),
        f"budgets={budgets}: give shares of the pixels above 0, up to 1, each once": not budgets
        or len(set(budgets)) < len(budgets)
        or not all(0 < budget <= 1 for budget in budgets),
        f"shown={options.shown}: choose one of budgets={budgets}": options.shown not in budgets,
        f"seeds={list(options.seeds)}: give at least one, each from 0 on and once": not options.seeds
        or len(set(options.seeds)) < len(options.seeds)
        or not all(isinstance(seed, int) and seed >= 0 for seed in options.seeds),
        f"canvases={dict(options.canvases)}: give counts of {', '.join(KINDS)}, one of the first three at least": any(
            kind not in KINDS or count < 0 for kind, count in options.canvases.items()
        )
        or not any(options.canvases.get(kind, 0) for kind in KINDS[:3]),
        f"alpha={options.alpha}: give a number from 0 to 1": not 0 <= options.alpha <= 1,
        f"epochs={options.epochs}, chunk={options.chunk}: give 1 or more": min(options.epochs, options.chunk) < 1,
        f"batch_size={options.batch_size}: give 1 or more, or null": options.batch_size is not None
        and options.batch_size < 1,
    }
    for problem, found in problems.items():
        if found:
            raise ValueError(f"class_patterns.{problem}")
    if data.single_pass:
        raise ValueError("task=class_patterns chooses images by their position: use images in folders, not shards")
    if data.same_images(options.split, "test"):
        raise ValueError(
            f"class_patterns.split={options.split}: these images are those of test, too, and patterns must not be "
            "tested on images that they were searched on: use class_patterns.split=train"
        )
    split = data.split(options.split)
    chosen_classes(options.classes, data.classes, classes_of(split))
    if len({split.label(position) for position in stratified_indices(split, options.search_images)}) < 2:
        raise ValueError(
            "the search images are of one class, and patterns are searched on images of others: raise "
            f"class_patterns.search_images={options.search_images}"
        )
