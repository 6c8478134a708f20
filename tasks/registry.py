"""The tasks: everything that lists them (help page, study, sweeps, report) reads this table.

A new task is one entry here. Nothing in this file and no settings.py imports PyTorch, so that the help page is quick.
"""

import difflib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from study.configuration.names import check_classifier
from study.settings.common import AUTOENCODER_KEYS, CLASSIFIER_KEYS, Common, Labels, Trainer
from study.settings.fields import Settings, check_names, check_node, default_of, resolved

STEP, MEASUREMENT, ANALYSIS, RESULT, TOOL = (
    "Steps of a study",
    "Further measurements of a study (measurements=[...])",
    "Analyses of classifiers, with or without autoencoders (analyses=[...])",
    "Results",
    "Tools",
)


@dataclass(frozen=True)
class Task:
    """One value of ``task=``.

    Attributes:
        name: The value; also the node of its settings.
        about: One line of help.
        group: The heading under which the help page lists it.
        settings: ``module:class`` of its settings; ``None``: it has none.
        function: ``module:function`` that runs it and returns its objective; empty: ``run`` of ``tasks/<name>.py``.
        control: Key of its settings that makes it a control, which has a job of that name.
        needs_autoencoders: Whether it cannot be run with ``autoencoder=none``.
        per_classifier: Whether every classifier of a study has a job of its own.
        per_seed: Whether every seed has one.
        labelled: Whether it uses labels of images, or what was measured with them.
        report: Modules whose ``read(root, titles)`` returns what the task adds to the page, a ``report.page.Part``, or
            ``None`` if nothing is written.
    """

    name: str
    about: str
    group: str
    settings: str | None
    function: str = ""
    control: str | None = None
    needs_autoencoders: bool = False
    per_classifier: bool = False
    per_seed: bool = False
    labelled: bool = True
    report: Sequence[str] = ()

    def run(self, cfg: DictConfig) -> float:
        """Run it, and return its objective."""
        return float(self.load()(cfg))

    def load(self) -> Any:
        """The function that runs it."""
        return load(self.function or f"tasks.{self.name}:run")

    def settings_class(self) -> type[Settings] | None:
        """The dataclass of its settings."""
        return None if self.settings is None else load(self.settings)


TRAINING, EVALUATION = "study.settings.training", "study.settings.evaluation"
TASKS = (
    Task("study", "every step that is missing, in order (the default)", STEP, None),
    Task("ask", "one network and a folder of images, no labels: a page in minutes", STEP, None),
    Task("train_classifier", "one classifier, on the images of the study", STEP, f"{TRAINING}:TrainClassifier",
         per_classifier=True),
    Task("compress", "a smaller classifier from one of the study: pruned, int8 or distilled", STEP,
         f"{TRAINING}:Compress", per_classifier=True),
    Task("decisions", "what each classifier predicts on the originals, for labels=decisions", STEP, None,
         report=("report.parts.decisions",)),
    Task("pretrain", "A_S: the autoencoder that all others start from", STEP, f"{TRAINING}:Pretrain",
         control="second_start", needs_autoencoders=True, labelled=False),
    Task("finetune", "A_i: A_S trained on through one frozen classifier", STEP, f"{TRAINING}:Finetune",
         control="extra_training", needs_autoencoders=True, per_classifier=True, per_seed=True),
    Task("cross_evaluate", "accuracy of every classifier on the reconstructions of every autoencoder", STEP,
         f"{EVALUATION}:CrossEvaluate", needs_autoencoders=True),
    Task("signal_statistics", "colours and frequencies of reconstructions, agreement of classifiers", MEASUREMENT,
         f"{EVALUATION}:SignalStatistics", needs_autoencoders=True,
         report=("report.parts.colour_and_frequency", "report.parts.agreement")),
    Task("noise_curves", "accuracy under additive noise, with and without autoencoders", MEASUREMENT,
         f"{EVALUATION}:NoiseCurves", needs_autoencoders=True, report=("report.parts.noise",)),
    Task("probe", "readers: what can be learnt from the reconstructions of every autoencoder", MEASUREMENT,
         f"{EVALUATION}:Probe", needs_autoencoders=True),
    Task("band_tolerance", "how many bits each classifier lets in, by scale, orientation and colour", ANALYSIS,
         "methods.band_tolerance.settings:BandTolerance", report=("methods.band_tolerance.report",)),
    Task("robustness", "accuracy under attack, of classifiers alone and behind their autoencoders", ANALYSIS,
         "methods.robustness.settings:Robustness", report=("methods.robustness.report",)),
    Task("class_patterns", "the few pixels that make each classifier predict each class", ANALYSIS,
         "methods.class_patterns.settings:ClassPatterns",
         report=("methods.class_patterns.report",)),
    Task("layer_features", "images that show what layers find most informative in a set of images", ANALYSIS,
         "methods.layer_features.settings:LayerFeatures", report=("methods.layer_features.report",)),
    Task("concepts", "groups of images, of neurons and of pixels that go together", ANALYSIS,
         "methods.concepts.settings:Concepts",
         report=("methods.concepts.report",)),
    Task("native_accuracy", "accuracy on the originals as published evaluations see them", ANALYSIS,
         f"{EVALUATION}:NativeAccuracy"),
    Task("order", "relative rates of change, lattice and order of the classifiers", RESULT, None, labelled=False),
    Task("disagreement", "images on which a compressed classifier and its parent disagree", RESULT,
         f"{EVALUATION}:Disagreement", report=("report.parts.disagreement",)),
    Task("intervals", "confidence intervals of the numbers and of the order", RESULT, f"{EVALUATION}:Intervals",
         report=("report.parts.intervals", "report.parts.cues")),
    Task("report", "figures and a page", RESULT, f"{EVALUATION}:Report"),
    Task("prepare", "evaluation images, resized and cropped once (ImageNet)", TOOL, None, labelled=False),
    Task("sweep_table", "the jobs of a sweep: a table and a figure", TOOL, f"{EVALUATION}:SweepTable",
         labelled=False),
    Task("compare_objectives", "how far each objective separates planted cues: several studies in one table", TOOL,
         f"{EVALUATION}:CompareObjectives", labelled=False),
)  # fmt: skip
BY_NAME = {task.name: task for task in TASKS}


def load(path: str) -> Any:
    """The object that ``module:name`` names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def task_named(name: str) -> Task:
    """The task of a name.

    Raises:
        ValueError: If there is none; names the nearest.
    """
    if name not in BY_NAME:
        raise ValueError(f"task={name}: there is no such task. Did you mean {nearest(name, list(BY_NAME))}?")
    return BY_NAME[name]


def nearest(name: str, known: Sequence[str]) -> str:
    """The names most like a mistyped one, or all of them, in words."""
    return " or ".join(difflib.get_close_matches(name, known) or known)


GROUPS = ("data", "pretrain_data", "autoencoder", "classifier", "objective", "trainer", "logger", "hydra")


def settings_classes() -> dict[str, type[Settings]]:
    """The dataclass of every node of settings, by the name of the node."""
    return {"labels": Labels} | {
        task.name: settings for task in TASKS if (settings := task.settings_class()) is not None
    }


def register_settings() -> None:
    """Give Hydra the settings of all tasks, so that every configuration has them: group ``settings``."""
    store, nodes = ConfigStore.instance(), settings_classes()
    common = {field.name: default_of(field) for field in fields(Common)}
    store.store(group="settings", name="common", node=common, package="_global_")
    for name, node in nodes.items():
        store.store(group="settings", name=name, node=node, package=name)
    store.store(group="settings", name="all", node={"defaults": ["common", *nodes]}, package="_global_")


def check_settings(cfg: DictConfig) -> None:
    """Refuse wrong values in any node of settings, whatever the task.

    Raises:
        ValueError: Names the key, its value and what is expected.
    """
    check_node(cfg, Common, "")
    task_named(cfg.task)
    check_names(cfg, [*(field.name for field in fields(Common)), *settings_classes(), *GROUPS])
    check_names(cfg.autoencoder, AUTOENCODER_KEYS, "autoencoder")
    check_names(cfg.classifier, CLASSIFIER_KEYS, "classifier")
    if not OmegaConf.is_missing(cfg.classifier, "name"):
        check_classifier(cfg.classifier.get("name"), "classifier.name")
    resolved(cfg.trainer, Trainer, "trainer")
    for name, settings in settings_classes().items():
        check_node(cfg[name], settings, name)


def job_name(cfg: DictConfig) -> str:
    """Name of the folder of a job: the task, its classifier and its seed where a study has several, or the control."""
    task, classifier = task_named(cfg.task), cfg.classifier.get("name")
    if task.control and cfg[task.name][task.control]:
        return task.control
    name = f"{task.name}-{classifier}" if task.per_classifier else task.name
    return f"{name}-seed{cfg.seed}" if task.per_seed and cfg.seed else name


def run_task(cfg: DictConfig, **changes: Any) -> float:
    """Run the task of a configuration, the only one in the folder of its job, and return its objective.

    Args:
        cfg: The configuration.
        **changes: Keys of the top level that are to have other values, such as ``task``.
    """
    from study.autoencoders import require_autoencoders
    from study.folder import study_folder
    from study.jobs import only_one

    cfg = with_changes(cfg, **changes)
    task = task_named(cfg.task)
    if task.needs_autoencoders:
        require_autoencoders(cfg, f"task={task.name}")
    with only_one(study_folder(cfg).root / "jobs" / job_name(cfg)):
        return task.run(cfg)


def with_changes(cfg: DictConfig, **changes: Any) -> DictConfig:
    """The configuration that a single run with other values would have."""
    changed: DictConfig = OmegaConf.merge(cfg, {})  # type: ignore[assignment]
    OmegaConf.set_struct(changed, False)
    for key, value in changes.items():
        OmegaConf.update(changed, key, value, merge=False)
    return changed


def weights_made(cfg: DictConfig) -> Path | None:
    """The weights that the job of a configuration makes, if it makes some."""
    from study.folder import classifier_file, study_folder

    folder, task = study_folder(cfg), task_named(cfg.task)
    if task.control and cfg[task.name][task.control]:
        return folder.control(task.control)
    if task.name == "pretrain":
        return folder.pretrained
    name = str(cfg.classifier.get("name"))
    if task.per_seed:
        return folder.autoencoder(name, cfg.seed)
    return classifier_file(cfg, name) if task.per_classifier else None
