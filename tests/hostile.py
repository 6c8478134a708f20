"""Configurations that try to run code, and a way to run the program on them in this process."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_automatic_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

import run

CANARY = "CANARY"  # in the text of a trick, stands for a file that must not appear
GLOBAL = "# @package _global_\n"


def written(folder: Path, files: Mapping[str, Any], canary: Path) -> Path:
    """Write the files of a shared folder: text as it is, anything else as YAML of the package ``_global_``."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else GLOBAL + yaml.safe_dump(content, sort_keys=False)
        path.write_bytes(text.replace(CANARY, str(canary)).encode("utf-8", "surrogateescape"))
    return folder


def start(shared: Path, studies: Path | None, *overrides: str, config: str = "config") -> list[DictConfig]:
    """What ``python run.py --config-dir=<shared> --config-name=<config> …`` does, up to the end of the task.

    Hydra itself runs, with its callbacks and loggers.

    Returns:
        The configurations of which the task was run.
    """
    ran: list[DictConfig] = []

    def task(cfg: DictConfig) -> float:
        ran.append(cfg)
        return run.run(cfg)

    functools.update_wrapper(task, run.run)
    GlobalHydra.instance().clear()
    search = create_automatic_config_search_path(None, None, str(run.CONF))
    search.prepend("command-line", f"file://{shared}", anchor=SearchPathQuery(provider="schema"))
    try:
        hydra = Hydra.create_main_hydra2("run", search)
        where = [] if studies is None else [f"studies={studies}"]
        hydra.run(config_name=config, task_function=task, overrides=[*overrides, *where])
    finally:
        GlobalHydra.instance().clear()
    return ran


def refusal(shared: Path, studies: Path | None, *overrides: str, config: str = "config") -> str:
    """The one line with which the program refuses to run."""
    try:
        start(shared, studies, *overrides, config=config)
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:  # as one_line_errors
        text = run.EXPLAIN(error)
        assert text
        assert "\n" not in text
        return text
    raise AssertionError("not refused")
