"""``task=band_tolerance``: how many bits each classifier lets in, by scale, orientation and colour."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from datamodules.poisoned import without_poison
from datamodules.subset import ImageSubset, stratified_indices
from methods.band_tolerance import cross_reading, measures, rows
from methods.band_tolerance.evaluation import BandEvaluation, Passed
from methods.band_tolerance.job import Fits, Fitted, images_at_once, most_tolerance
from methods.band_tolerance.pictures import passed_pictures
from methods.band_tolerance.transform import check_wavelet, suitable_levels, too_small
from stats.cue_retention import cue_tables
from stats.intervals import Resampling, Sample
from stats.predictions import Predictions
from stats.rate_retention import dominance
from study import classifiers
from study.artifact import Artifact, settings_of
from study.console import say
from study.data import make_data
from study.files import sha256
from study.folder import seeded, study_folder
from study.inputs import verified
from study.labels import labels_name, right_classes, with_labels_of
from study.predictions import read_predictions
from study.records import read_arrays
from study.step import Result, Step, Table
from study.trainer import make_trainer

TABLES = ("curve", "spectrum", "bits", "cross_reading", "cues", "cue_pairs")
RANDOM = "random_weights"
NOT_EVALUATED = {"chunk", "photographs", "retention"}  # settings without a part in the predictions
POWERS = "powers_"


@dataclass(frozen=True)
class BandStudy:
    """The classifiers of a study, with their fits.

    Attributes:
        cfg: The configuration.
        configs: The configuration of each classifier, of controls last.
        controls: Names of the classifiers that are controls.
    """

    cfg: DictConfig
    configs: Mapping[str, DictConfig]
    controls: Sequence[str]

    @property
    def names(self) -> list[str]:
        """All classifiers, in the order of the columns."""
        return list(self.configs)

    @property
    def options(self) -> DictConfig:
        """The settings of the task."""
        return self.cfg.band_tolerance

    @cached_property
    def data(self) -> ImageDataModule:
        """The clean images."""
        chosen = without_poison(make_data(self.cfg))
        return without_poison(make_data(self.cfg, images_at_once(self.options.chunk, chosen.smallest_side**2)))

    @cached_property
    def fits(self) -> dict[str, Fits]:
        """The fits of each classifier."""
        return {name: Fits(name, with_labels_of(self.cfg, config), config) for name, config in self.configs.items()}

    @cached_property
    def fitted(self) -> dict[str, dict[int, Fitted]]:
        """Of each classifier the fit with each seed; made where they are missing."""
        fitted: dict[str, dict[int, Fitted]] = {}
        for name, fits in self.fits.items():
            seeds = list(self.options.seeds)[:1] if name in self.controls else list(self.options.seeds)
            for seed in seeds:
                say(f"[bold]bands[/bold] of {seeded(name, seed)} ({len(fitted) + 1} of {len(self.fits)})")
                fitted.setdefault(name, {})[seed] = fits.fit(seed)
        return fitted

    @cached_property
    def channels(self) -> list[rows.Row]:
        """Every channel that is evaluated."""
        options, names = self.options, self.names
        first = {name: by_seed[next(iter(by_seed))] for name, by_seed in self.fitted.items()}
        studied = {name: fitted for name, fitted in first.items() if name not in self.controls}
        spreads = [kind for kind in rows.SPREADS if kind in options.controls]
        return [
            *rows.rows_of_fits(names, self.fitted, options.compared),
            *rows.rows_of_spreads(names, studied, spreads, options.compared),
            *self.control_fits(list(studied)),
            *rows.rows_of_pairs(names, studied, options.compared),
        ]

    def control_fits(self, studied: Sequence[str]) -> list[rows.Row]:
        """A row for every fit with another seed or another wavelet, at the compared tolerance."""
        options, made = self.options, []
        changes = {
            "second_seed": (max(options.seeds) + 1, None),
            "second_wavelet": (options.seeds[0], options.second_wavelet),
        }
        for control, (seed, wavelet) in changes.items():
            for name in studied if control in options.controls else ():
                fitted = self.fits[name].fit(seed, wavelet, control)
                column = self.names.index(name)
                made.append(
                    rows.Row(name, control, seed, options.compared, fitted.log_ratio[0], fitted, column, (column,))
                )
        return made

    @property
    def inputs(self) -> dict[str, str]:
        """Fingerprints of images and weights."""
        return {"images": self.data.fingerprint()} | classifiers.classifier_inputs(self.cfg, self.configs)


def run(cfg: DictConfig) -> float:
    """Fit the channels of every classifier, evaluate and compare them; returns the mean bits at the retention."""
    check(cfg)
    study = band_study(cfg)
    passed, files = evaluated(study)
    folder = study_folder(cfg).root / "band_tolerance"
    how = Resampling(int(cfg.intervals.resamples), float(cfg.intervals.level), int(cfg.seed))
    inputs = {"predictions": sha256(files[0])} | autoencoders_input(cfg)
    settings = {"retention": cfg.band_tolerance.retention, "resamples": how.resamples, "level": how.level}
    settings |= {"seed": how.seed, "photographs": cfg.band_tolerance.photographs}
    paths = [*(folder / f"{name}.csv" for name in TABLES), folder / "order.json", folder / "pictures.npz"]
    artifact = Artifact(paths, folder / "band_tolerance.json", settings, inputs, precious=False)
    return Step(artifact, study_folder(cfg).job("band_tolerance")).run(lambda: summarised(study, passed, how))


def check(cfg: DictConfig) -> None:
    """Refuse what cannot be measured, before any work is done."""
    check_options(cfg)
    if reason := unsuitable_images(cfg):
        raise ValueError(f"task=band_tolerance: {reason}")


def check_options(cfg: DictConfig) -> None:
    """Refuse settings that are wrong for any images."""
    options, classes = cfg.band_tolerance, len(make_data(cfg).classes)
    for key in wavelets(options):
        check_wavelet(options[key], key)
    if options.compared >= most_tolerance(classes):
        raise ValueError(
            f"band_tolerance.compared={options.compared:g}: among {classes} classes, guessing costs "
            f"{most_tolerance(classes):.3g} nats: give a lower one"
        )


def wavelets(options: DictConfig) -> list[str]:
    """The settings with the wavelets that are used."""
    return ["wavelet", *(["second_wavelet"] if "second_wavelet" in options.controls else [])]


def unsuitable_images(cfg: DictConfig) -> str | None:
    """Why the images of a study are not fit for a measurement, and what to do; ``None`` if they are."""
    options, data = cfg.band_tolerance, without_poison(make_data(cfg))
    if data.single_pass:
        return "it chooses images by their index, and these are read from shards: use images in folders"
    side = data.smallest_side
    for key in wavelets(options):
        levels = options.levels or suitable_levels(side, side, options[key])
        if reason := too_small(levels, side, side, options[key]):
            return reason
    if data.same_images(options.split, "test"):
        return (
            f"the images of band_tolerance.split={options.split} are those of test, too, and channels must not be "
            "tested on images that they were fitted on: use band_tolerance.split=train"
        )
    for name, images in {options.split: data.split(options.split), "test": data.split("test")}.items():
        if len(images) < 2:
            return f"there is {len(images)} image in {name}, and two are needed at least: add images"
    return None


def band_study(cfg: DictConfig) -> BandStudy:
    """The classifiers of a study, then those that are controls, and one with random weights if that is wanted."""
    configs = classifiers.every_classifier(cfg)
    controls = [name for name in configs if name not in classifiers.study_classifiers(cfg)]
    if RANDOM in cfg.band_tolerance.controls and RANDOM not in configs:
        configs = configs | {RANDOM: classifiers.read_config(RANDOM)}
        controls.append(RANDOM)
    return BandStudy(cfg, configs, controls)


def evaluated(study: BandStudy) -> tuple[Passed, list[Path]]:
    """Predictions for what passes every channel, made if they are missing; and their file."""
    cfg, folder = study.cfg, study_folder(study.cfg)
    path = folder.root / "band_tolerance" / "predictions.npz"
    inputs = study.inputs | {f"channel {number}": digest_of(row.log_ratio) for number, row in enumerate(study.channels)}
    settings = settings_of(cfg, "band_tolerance")
    settings["band_tolerance"] = {
        name: value for name, value in settings["band_tolerance"].items() if name not in NOT_EVALUATED
    }
    artifact = Artifact([path], path.with_suffix(".json"), settings, inputs, precious=False)

    def make() -> Result:
        images = stratified_indices(study.data.split("test"), study.options.evaluation_images)
        data = ImageSubset(study.data, images)
        loaded = {name: fits.classifier for name, fits in study.fits.items()}
        channels, complete = [row.channel for row in study.channels], data.on_error != "skip"
        targets = right_classes(cfg, study.configs, study.data)
        module = BandEvaluation(loaded, channels, images, complete=complete, targets=targets, seed=int(cfg.seed))
        make_trainer(cfg).test(module, datamodule=data, verbose=False)
        arrays = dict(vars(module.result))
        powers = arrays.pop("powers")
        arrays |= {f"{POWERS}{wavelet}": values for wavelet, values in powers.items()}
        kept = module.result.predicted == module.result.decisions[:, None]
        return Result(float(kept.mean()), {path.name: arrays}, unreadable=data.unreadable())

    Step(artifact, folder.job("band_tolerance")).run(make)
    arrays = read_arrays(path)
    powers = {name.removeprefix(POWERS): arrays.pop(name) for name in list(arrays) if name.startswith(POWERS)}
    return Passed(**arrays, powers=powers), [path]


def autoencoders_input(cfg: DictConfig) -> dict[str, str]:
    """The fingerprint of the predictions of the study's autoencoders, if there are any."""
    path = study_folder(cfg).predictions
    return {"autoencoders": verified(path, cfg, "cross_evaluate")} if path.exists() else {}


def summarised(study: BandStudy, passed: Passed, how: Resampling) -> Result:
    """The tables, the document about the order, and the pictures."""
    options = study.options
    measured = measures.measure(passed, study.channels, how)
    predictions = cross_reading.cross_predictions(
        passed,
        study.channels,
        options.compared,
        study.names,
        study.controls,
        [labels_name(config) for config in study.configs.values()],
        options.labels == "labels",
    )
    sample = Sample(predictions.top1, predictions.sources, how)
    names = predictions.classifiers
    dominances = dominance(cross_reading.band_matrix(measured, names, options.compared))
    law = cross_reading.law_table(passed, study.channels, predictions, dominances)
    document = cross_reading.cross_document(predictions, sample, law, autoencoders_of(study, passed), how)
    ordered = document["no_order"] is None
    at_target = measures.bits_table(measured, options.retention)
    cues, pairs = (
        cue_tables(predictions, sample) if ordered else (pd.DataFrame({"number": []}), pd.DataFrame({"rrc": []}))
    )
    tables = {
        "curve": measures.curve_table(measured),
        "spectrum": measures.spectrum_table(measured),
        "bits": at_target,
        "cross_reading": cross_reading.cross_reading_table(predictions, sample, law if ordered else law.iloc[:0]),
        "cues": cues,
        "cue_pairs": pairs,
    }
    document |= {"level": how.level, "images": len(passed.index), "compared": float(options.compared)}
    document |= {"retention": float(options.retention), "labels": str(options.labels), "controls": list(study.controls)}
    document |= {"pixels": pixels_of(study.channels), "constant": constant_classifiers(passed, study.names)}
    contents: dict[str, Any] = {f"{name}.csv": table for name, table in tables.items()}
    contents["order.json"] = json.dumps(document, indent=2) + "\n"
    contents["pictures.npz"] = passed_pictures(study.data, measured, names, options.photographs, int(study.cfg.seed))
    own = at_target[(at_target["kind"] == rows.FIT) & at_target["classifier"].isin(names)]["bits"]
    finite = own[np.isfinite(own)]
    return Result(float(finite.mean()) if len(finite) else 0.0, contents, tables=[shown(at_target, options.retention)])


def autoencoders_of(study: BandStudy, passed: Passed) -> Predictions | None:
    """The predictions of the study's autoencoders for the same images, if there are any."""
    path = study_folder(study.cfg).predictions
    return cross_reading.of_images(read_predictions(path), passed.index) if path.exists() else None


def pixels_of(channels: Sequence[rows.Row]) -> int:
    """The pixels of an image."""
    return int(np.prod(channels[0].fitted.size))


def constant_classifiers(passed: Passed, names: Sequence[str]) -> list[str]:
    """The classifiers that decide alike on all test images; says so."""
    constant = [name for column, name in enumerate(names) if len(np.unique(passed.decisions[:, column])) == 1]
    for name in constant:
        say(
            f"[yellow]{name} decides for one class on every test image[/yellow], so it keeps all decisions at 0 bits: "
            "give it weights that fit these images, or leave it out"
        )
    return constant


def digest_of(log_ratio: np.ndarray) -> str:
    """A short text that tells one channel from another."""
    return hashlib.sha256(np.ascontiguousarray(log_ratio).tobytes()).hexdigest()[:16]


def shown(table: pd.DataFrame, retention: float) -> Table:
    """The bits of every fit and of its controls, for the terminal."""
    cells = [
        [
            str(row["classifier"]),
            str(row["kind"]),
            *(f"{row[name]:,.0f}" for name in ("bits", "lower", "upper")),
            f"{row['bits_per_pixel']:.3f}",
            "" if np.isnan(row["ratio"]) else f"{row['ratio']:.2f}",
        ]
        for row in table.to_dict("records")
    ]
    header = ["", "", "bits", "from", "to", "per pixel", "× fit"]
    return Table(f"bits per image at {retention:.0%} of decisions kept", header, cells)
