"""All classifiers of a study with their channels: what is evaluated, and the tables, order and pictures of it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf, open_dict

from datamodules.base import ImageDataModule
from datamodules.views.poisoned import without_poison
from datamodules.views.subset import ImageSubset, stratified_indices
from methods.band_tolerance import cross_reading, measures, rows
from methods.band_tolerance.evaluation import BandEvaluation, Passed
from methods.band_tolerance.job import PIXELS_AT_ONCE, Fits, Fitted
from methods.band_tolerance.pictures import passed_pictures
from stats.cue_retention import cue_tables
from stats.intervals import Resampling, Sample
from stats.predictions import Predictions
from stats.rate_retention import dominance
from study import classifiers
from study.artifact import Artifact, settings_of, without
from study.console import say
from study.data import images_at_once, make_data
from study.folder import seeded, study_folder
from study.labels import labels_name, right_classes, with_labels_of
from study.predictions import read_predictions
from study.records import read_arrays
from study.step import Result, Step, Table
from study.trainer import make_trainer

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
        data = without_poison(make_data(self.cfg))
        data.batch_size = images_at_once(self.options.chunk, data.smallest_side**2, PIXELS_AT_ONCE)
        return data

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


def band_study(cfg: DictConfig) -> BandStudy:
    """The classifiers of a study, then those that are controls, and one with random weights if that is wanted."""
    configs, studied = classifiers.every_classifier(cfg), classifiers.study_classifiers(cfg)
    controls = [name for name in configs if name not in studied]
    if RANDOM in cfg.band_tolerance.controls and RANDOM not in configs:
        configs = configs | {RANDOM: random_control(studied)}
        controls.append(RANDOM)
    return BandStudy(cfg, configs, controls)


def random_control(studied: Mapping[str, DictConfig]) -> DictConfig:
    """The config of a network with random weights: of the architecture of the study's only classifier, if it has one.

    A program of ``torch.export`` is its weights; the control is then the compact network that studies of several
    classifiers have.
    """
    compact = classifiers.read_config(RANDOM)
    only = next(iter(studied.values()))
    if len(studied) > 1 or only.network.get("_target_") == classifiers.EXPORTED:
        return compact
    changes = {"name": RANDOM, "title": f"{only.title}, random weights", "weights": "random", "decisions": False}
    twin: DictConfig = OmegaConf.merge(only, {})  # type: ignore[assignment]
    with open_dict(twin):
        twin.merge_with(changes)
    return twin


def evaluated(study: BandStudy) -> tuple[Passed, Path]:
    """Predictions for what passes every channel, made if they are missing; and their file."""
    cfg, folder = study.cfg, study_folder(study.cfg)
    path = folder.root / "band_tolerance" / "predictions.npz"
    inputs = study.inputs | {f"channel {number}": digest_of(row.log_ratio) for number, row in enumerate(study.channels)}
    settings = settings_of(cfg, "band_tolerance")
    settings |= {"band_tolerance": without(settings["band_tolerance"], NOT_EVALUATED)}
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
    return Passed(**arrays, powers=powers), path


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
    document |= {
        "pixels": int(np.prod(study.channels[0].fitted.size)),
        "constant": constant_classifiers(passed, study.names),
    }
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
