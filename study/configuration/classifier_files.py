"""The configs of classifiers: from conf/classifier, as the command changes them."""

import copy
import difflib
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, open_dict

from study.configuration.names import LIBRARIES, OWN, entry_name
from study.configuration.shared_files import is_own
from study.folder import CONF
from study.settings.common import CLASSIFIER_KEYS
from study.settings.fields import check_names

PREPROCESSING = ("size", "resize", "mean", "std", "interpolation")  # keys of network that the preprocessing gets


def read_configs(cfg: DictConfig) -> dict[str, DictConfig]:
    """The config of each classifier of the study, whatever its labels are."""
    chosen = None if OmegaConf.is_missing(cfg.classifier, "name") else cfg.classifier.name
    settings, only = cfg.classifier_settings or {}, only_network(cfg)
    configs: dict[str, DictConfig] = {}
    for entry in cfg.classifiers:
        name = entry_name(entry)
        if name in configs:
            raise ValueError(f"classifiers: two are called {name}; rename one of their files")
        changes = [settings.get(name), only if len(cfg.classifiers) == 1 else None]
        configs[name] = cfg.classifier if name == chosen else read_config(entry, *changes)
    unknown = settings.keys() - configs.keys() - {chosen}
    if unknown:
        raise ValueError(f"classifier_settings: {', '.join(sorted(unknown))} is not one of classifiers={list(configs)}")
    return configs


def apply_command(cfg: DictConfig, per_classifier: bool) -> None:
    """Give the classifier of a task what the command says of it.

    Args:
        cfg: The configuration; its classifier is changed.
        per_classifier: Whether the task works on that classifier alone.

    Raises:
        ValueError: If the command describes the study's only network, and the study has several.
    """
    only, names = only_network(cfg), [entry_name(entry) for entry in cfg.classifiers]
    if only and len(names) > 1 and not per_classifier:
        raise ValueError(
            f"{', '.join(shortcuts(cfg))}: the study has {len(names)} classifiers; say which is meant, as "
            f"classifier_settings={{{names[0]}:{{weights:/path/to/file}}}}"
        )
    if not OmegaConf.is_missing(cfg.classifier, "name"):
        apply_settings(cfg.classifier, (cfg.classifier_settings or {}).get(cfg.classifier.name))
        if per_classifier or names == [cfg.classifier.name]:
            apply_settings(cfg.classifier, only)


def shortcuts(cfg: DictConfig) -> list[str]:
    """The keys of the command that describe the study's only network."""
    named = [f"network.{name}" for name, value in cfg.network.items() if value is not None]
    return [*named, *(["weights"] if cfg.weights is not None else [])]


def only_network(cfg: DictConfig) -> DictConfig | None:
    """What the keys ``network`` and ``weights`` say of the study's only classifier, as its config has it."""
    given: Any = {name: value for name, value in cfg.network.items() if value is not None}
    changes: dict[str, Any] = {name: value for name, value in given.items() if name not in PREPROCESSING}
    if viewed := {name: value for name, value in given.items() if name in PREPROCESSING}:
        changes["preprocessing"] = viewed
    if cfg.weights is not None:
        changes["weights"] = cfg.weights
    return OmegaConf.create(changes) if changes else None


def apply_settings(config: DictConfig, settings: Mapping[str, Any] | DictConfig | None) -> None:
    """Give a classifier's config what the command says of it, before anything is derived from it."""
    if settings is None:
        return
    unknown = settings.keys() - config.keys()
    if unknown:
        raise ValueError(
            f"classifier_settings.{config.name} has no key {', '.join(sorted(map(str, unknown)))}; "
            f"choose from {', '.join(map(str, config))}"
        )
    with open_dict(config):
        config.merge_with(settings)


def read_config(entry: str, *settings: Mapping[str, Any] | DictConfig | None) -> DictConfig:
    """A classifier's config as its file says, composed, and as ``settings`` change it."""
    kind, _, rest = entry.partition(":" if entry.partition(":")[0] in OWN else "/")
    own, library = kind in OWN and bool(rest), kind in LIBRARIES and bool(rest)
    of_all = (*LIBRARIES, *OWN)
    known = sorted(path.stem for path in (CONF / "classifier").glob("*.yaml") if path.stem not in of_all)
    if not own and not library and entry not in known:
        near = difflib.get_close_matches(entry, known) or known
        raise ValueError(f"classifiers: there is no conf/classifier/{entry}.yaml; did you mean {', '.join(near)}?")
    overrides = (f"classifier.name={rest}",) if library else ()
    config: DictConfig = composed(f"classifier/{kind if own or library else entry}", overrides).classifier
    if own:
        with open_dict(config):
            config.name = entry_name(entry)
            if kind == "module":
                config.network.entry = rest
            else:
                config.weights = str(Path(rest).expanduser())
    for changes in settings:
        apply_settings(config, changes)
    OmegaConf.resolve(config)
    check_names(config, CLASSIFIER_KEYS, f"classifier {entry}")
    return config


def composed(path: str, overrides: tuple[str, ...]) -> DictConfig:
    """A file of a classifier with what it is based on; the caller may change it.

    A task reads the same files many times, and Hydra needs 50 ms each time. So what it made of this project's files is
    kept until one of them changes. Files of a user's own folders are always read.
    """
    running = GlobalHydra.instance()
    if not running.is_initialized():
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            return composed(path, overrides)
    folders = [str(source.path) for source in running.config_loader().get_search_path().get_path()]
    if not all(is_own(folder if "://" in folder else f"file://{folder}") for folder in folders):
        return hydra.compose(path, list(overrides))
    files = sorted((CONF / "classifier").rglob("*.yaml"))
    versions = tuple((str(file), status.st_mtime_ns, status.st_size) for file in files if (status := file.stat()))
    return copy.deepcopy(composed_once(path, overrides, versions))


@functools.lru_cache(maxsize=256)
def composed_once(path: str, overrides: tuple[str, ...], versions: tuple[tuple[str, int, int], ...]) -> DictConfig:
    """What Hydra makes of a file of a classifier, for one version of all of them."""
    return hydra.compose(path, list(overrides))
