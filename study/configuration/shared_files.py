"""Configuration files that do not belong to the project may set values, and only a few numbers of Hydra's own node.

Hydra's node can name classes, commands and files: callbacks, loggers, launchers, the environment. On the command line
the user may set all of it. In a file from elsewhere (``--config-dir``, ``hydra.searchpath``) it is refused before Hydra
uses it. Hydra has no hook for this, so methods of its loader are wrapped: in hydra-core 1.3 one of them reads every
file, and one puts every file in its place in the configuration.
"""

import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository, IConfigRepository
from hydra.core.default_element import InputDefault, ResultDefault
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from study.folder import CONF

OWN = ("pkg://hydra.conf", "pkg://hydra_plugins.", "structured://")  # of Hydra, its installed plugins, dataclasses
NUMBERS = frozenset(
    f"hydra.launcher.{name}" for name in ("array_parallelism", "cpus_per_task", "jobs_at_once", "mem_gb", "timeout_min")
)
MODES = ("RUN", "MULTIRUN")
LAUNCHERS = ("one_by_one", "parallel", "slurm")
ALIASES, LEVELS = 20, 50  # of YAML, in one file: hundreds of aliases can stand for billions of values
FIX = "a configuration file that is shared may set values of this project only; give hydra.… on the command line"
load_file, place_file, load_all = (
    ConfigRepository.load_config,
    ConfigLoaderImpl._load_single_config,
    ConfigLoaderImpl.load_configuration,
)


def guard_configuration() -> None:
    """Have Hydra refuse, from now on, what files from elsewhere may not say."""
    ConfigRepository.load_config = read_checked  # type: ignore[method-assign]
    ConfigLoaderImpl._load_single_config = place_checked  # type: ignore[method-assign]
    ConfigLoaderImpl.load_configuration = load_checked  # type: ignore[method-assign]


def read_checked(self: ConfigRepository, config_path: str) -> ConfigResult | None:
    """Read one file.

    Raises:
        ValueError: If it is no YAML of plain values, or says what it may not say.
    """
    if config_path.startswith("/") or ".." in config_path.split("/"):
        raise ValueError(f"{config_path} is a path, not a name: choose a file by its name within --config-dir=<folder>")
    source = self._find_object_source(config_path, ObjectType.CONFIG)
    foreign = source is not None and not is_own(f"{source.scheme()}://{source.path}")
    file = f"{config_path.removesuffix('.yaml')}.yaml"
    try:
        if foreign and source is not None and source.scheme() == "file":
            check_size(Path(source.path, file))
        loaded = load_file(self, config_path=config_path)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{file} cannot be read: {error or 'it contains itself'}") from error
    if loaded is None or not foreign:
        return loaded
    where = described(config_path, loaded)
    if config_path.split("/")[0] == "settings":
        raise ValueError(f"{where} would replace the types of all settings: remove it")
    check_hydra(loaded.config, where)
    for default in loaded.defaults_list or ():
        check_choice(default, config_path, where)
    return loaded


def place_checked(self: ConfigLoaderImpl, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
    """Put one file in its place in the configuration, which may be another than its own.

    Raises:
        ValueError: If it would set what it may not set there.
    """
    placed = place_file(self, default=default, repo=repo)
    path, package = str(default.config_path), first(str(default.package or ""))
    home = path.startswith("hydra/") and default.package in ("hydra", posixpath.dirname(path).replace("/", "."))
    if not (is_own(placed.path) and (package != "hydra" or home)):
        check_hydra(placed.config, described(path, placed))
    return placed


def load_checked(self: ConfigLoaderImpl, *arguments: Any, **options: Any) -> DictConfig:
    """Compose a configuration.

    Raises:
        ValueError: If its files choose each other without an end, or Hydra would save values of the environment.
    """
    try:
        cfg = load_all(self, *arguments, **options)
    except RecursionError as error:
        raise ValueError("a file of the configuration chooses itself in its defaults: remove that entry") from error
    if OmegaConf.select(cfg, "hydra.job.env_copy"):
        raise ValueError(
            "hydra.job.env_copy would save values of the environment with Hydra's settings: remove it, because every "
            "job inherits the environment"
        )
    return cfg


def is_own(path: str) -> bool:
    """Whether a folder of configuration files, as Hydra names it, belongs to this project or to Hydra."""
    return path.startswith(OWN) or (path.startswith("file://") and Path(path.removeprefix("file://")).resolve() == CONF)


def described(config_path: str, loaded: ConfigResult) -> str:
    """A file in words."""
    return f"{loaded.path.removeprefix('file://')}/{config_path.removesuffix('.yaml')}.yaml"


def check_hydra(config: Any, where: str) -> None:
    """Refuse keys of Hydra's node, but for those that hold a number or the mode.

    Raises:
        ValueError: Names the key and the file.
    """
    plain = OmegaConf.to_container(config, resolve=False) if OmegaConf.is_config(config) else config
    if not isinstance(plain, Mapping):
        return
    for name, value in settings(plain.get("hydra", {}), "hydra"):
        if name == "hydra" and value == {}:
            continue
        number = name in NUMBERS and isinstance(value, int) and not isinstance(value, bool) and value > 0
        if not number and not (name == "hydra.mode" and value in MODES):
            raise ValueError(f"{name} in {where} is not allowed: {FIX}")


def settings(tree: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings, with its dotted key; a list is one value."""
    if isinstance(tree, Mapping) and tree:
        for name, branch in tree.items():
            yield from settings(branch, f"{key}.{name}")
    else:
        yield key, tree


def first(package: str) -> str:
    """The first part of a package."""
    return package.removeprefix("_global_.").split(".")[0]


def check_choice(default: InputDefault, config_path: str, where: str) -> None:
    """Refuse an entry of a defaults list that chooses a file for Hydra's node, except a launcher of this project.

    Raises:
        ValueError: Names the entry and the file.
    """
    group = str(getattr(default, "group", None) or getattr(default, "path", ""))
    absolute = posixpath.normpath(posixpath.join("/", posixpath.dirname(config_path), group)).lstrip("/")
    value = getattr(default, "value", None)
    if absolute == "hydra/launcher" and default.package is None and value in LAUNCHERS:
        return
    if absolute.split("/")[0] == "hydra" or first(str(default.package or "")) == "hydra":
        raise ValueError(f"{group} in the defaults of {where} is not allowed: {FIX}")


def check_size(path: Path) -> None:
    """Refuse a file that would fill the memory, or keep the reader of YAML busy for hours.

    Raises:
        ValueError: Names the file.
    """
    aliases = level = 0
    for event in yaml.parse(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader):
        aliases += isinstance(event, yaml.AliasEvent)
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if aliases > ALIASES:
            raise ValueError(f"{path} has more than {ALIASES} aliases (*name): write the values out")
        if level > LEVELS:
            raise ValueError(f"{path} has more than {LEVELS} levels: write it with fewer")
