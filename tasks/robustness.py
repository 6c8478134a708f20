"""``task=robustness``: accuracy under attack, of classifiers alone, and behind A_S and the A_i of each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from datamodules.views.poisoned import without_poison
from datamodules.views.subset import ImageSubset, stratified_indices
from lightning_modules.adversarial_training import RobustAccuracy
from methods.robustness.module import DEFENCES, OWN, Robustness, pgd_attacks
from methods.robustness.tables import FILES, tables
from networks.attacks import PgdAttack
from stats.names import PRETRAINED, in_measure
from stats.proportion import wilson_interval
from study.artifact import Artifact, settings_of
from study.autoencoders import has_autoencoders
from study.classifiers import classifier_inputs, load_classifier, study_classifiers
from study.data import make_data
from study.distributed import union_over_ranks
from study.folder import study_folder
from study.labels import right_classes, with_labels_of
from study.networks import study_networks
from study.step import Result, Step, Table
from study.trainer import accelerate, make_trainer


def run(cfg: DictConfig) -> float:
    """Attack classifiers alone and, in a study with autoencoders that are trained, behind these.

    Returns:
        The mean worst-case accuracy of classifiers behind their A_i; without autoencoders, of classifiers alone.
    """
    accuracy = alone(cfg)
    if has_autoencoders(cfg) and study_folder(cfg).pretrained.exists():
        return behind_autoencoders(cfg)
    return accuracy


def alone(cfg: DictConfig) -> float:
    """Write the accuracy of every classifier on the test images, plain and attacked; returns the mean attacked."""
    folder, configs, options = study_folder(cfg), study_classifiers(cfg), cfg.robustness.alone
    attack: Any = OmegaConf.to_container(options.attack, resolve=True)
    attacker, path = PgdAttack(**attack), folder.robust_accuracy
    data = without_poison(make_data(cfg, options.batch_size))
    settings = settings_of(cfg) | {"attack": attack, "classifiers": list(configs)}
    inputs = {"images": data.fingerprint()} | classifier_inputs(cfg, configs)
    artifact = Artifact([path], path.with_suffix(".json"), settings, inputs, precious=False)

    def make() -> Result:
        rows, unreadable = {}, set[Path]()
        for name, config in configs.items():
            rows[name], skipped = accuracies_alone(cfg, config, attacker)
            unreadable.update(skipped)
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("classifier")
        columns = ("{accuracy:.1%}", "{robust_accuracy:.1%}", "{lower:.1%} – {upper:.1%}")
        cells = [[name, *(column.format(**row) for column in columns)] for name, row in rows.items()]
        title = f"test images under attack, {attacker.norm} {attacker.epsilon:g}"
        shown = Table(title, ["", "as they are", "attacked", "95 % interval"], cells)
        mean = float(table["robust_accuracy"].mean())
        named = table.rename(columns=lambda name: in_measure(str(name), folder.measure))
        return Result(mean, {path.name: named}, tables=[shown], unreadable=sorted(unreadable))

    return Step(artifact, folder.job("robustness")).run(make)


def accuracies_alone(
    cfg: DictConfig, config: DictConfig, attacker: PgdAttack
) -> tuple[dict[str, float], Sequence[Path]]:
    """Both accuracies of one classifier, the 95 % interval of the one under attack, and the images of the accuracies.

    Returns:
        The row of the table, and the images that this rank could not read.
    """
    data = without_poison(make_data(with_labels_of(cfg, config), cfg.robustness.alone.batch_size))
    classifier = load_classifier(cfg, config, data)
    accelerate(cfg, classifier)
    module = RobustAccuracy(classifier, attacker, cfg.seed)
    [measured] = make_trainer(cfg).test(module, datamodule=data, verbose=False)
    accuracies = {name: measured[f"test/{name}"] for name in ("accuracy", "robust_accuracy")}
    images = len(data.split("test")) - len(union_over_ranks(data.unreadable()))
    lower, upper = map(float, wilson_interval(accuracies["robust_accuracy"], images))
    return accuracies | {"lower": lower, "upper": upper, "images": images}, data.unreadable()


def behind_autoencoders(cfg: DictConfig) -> float:
    """Write the accuracies of classifiers alone and behind autoencoders; returns the mean worst case behind A_i."""
    folder, options = study_folder(cfg), cfg.robustness
    images = make_data(cfg, options.batch_size)
    networks = study_networks(cfg).without_controls().with_first_seeds()
    root, settings = folder.root / "robustness", settings_of(cfg, "robustness")
    del settings["robustness"]["alone"]
    files = [root / in_measure(name, folder.measure) for name in FILES]
    inputs = networks.inputs(cfg, images)
    artifact = Artifact(files, root / "robustness.json", settings, inputs, precious=False)

    def make() -> Result:
        autoencoders, classifiers = networks.load(cfg, images)
        data = ImageSubset(images, stratified_indices(images.split("test"), options.images))
        module = Robustness(
            classifiers,
            autoencoders[PRETRAINED],
            {name: autoencoders[rows[0]] for name, rows in networks.own.items()},
            pgd_attacks(options.epsilons, options.steps, options.relative_step, options.random_start),
            data.chosen,
            seed=cfg.seed,
            complete=data.on_error != "skip",
            targets=right_classes(cfg, networks.configs, images),
        )
        make_trainer(cfg).test(module, datamodule=data, verbose=False)
        contents, mean = tables(module.result), float(module.result.worst[..., DEFENCES.index(OWN)].mean())
        shown = summary(contents["accuracy.csv"], folder.measure)
        numbers = {f"mean worst-case {folder.measure} behind A_i": mean}
        named = {in_measure(name, folder.measure): in_words(made, folder.measure) for name, made in contents.items()}
        return Result(mean, named, numbers, [shown], data.unreadable())

    return Step(artifact, folder.job("robustness"), cfg.seed).run(make)


def in_words(content: Any, measure: str) -> Any:
    """A table with columns on accuracy under the name that the study gives it; other contents as they are."""
    if not isinstance(content, pd.DataFrame):
        return content
    return content.rename(columns=lambda name: in_measure(str(name), measure))


def summary(table: pd.DataFrame, measure: str) -> Table:
    """The means over classifiers for the terminal: a row for each defence and attack, a column for each threat."""
    means = table.groupby(["defence", "attack", "norm", "epsilon"], sort=False)["accuracy"].mean().reset_index()
    means["row"] = means["defence"] + ", " + means["attack"]
    means["column"] = means["norm"] + " " + means["epsilon"].map("{:.3g}".format)
    wide = means.pivot(index="row", columns="column", values="accuracy")
    wide = wide.loc[means["row"].unique(), means["column"].unique()]
    rows = [[str(name), *(f"{value:.1%}" for value in wide.loc[name])] for name in wide.index]
    title = f"{measure} under attack, mean over classifiers, {table['images'].iloc[0]} images"
    return Table(title, ["", *wide.columns], rows)
