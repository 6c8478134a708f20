"""The layout of the project: who may import whom, how large files and rooms are, and one home per default."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import run
from study.settings.common import Common, Trainer
from study.settings.fields import default_of, settings_type
from tasks.registry import TASKS, settings_classes

ROOT = Path(run.__file__).parent
LOWEST = {"metrics": set[str](), "stats": {"metrics"}, "callbacks": {"networks"}, "report": {"stats"}}
ROOMS: dict[str, set[str]] = LOWEST | {
    "networks": set(),
    "datamodules": {"networks"},
    "lightning_modules": {"networks", "metrics", "stats", "datamodules"},
    "study": {"callbacks", "datamodules", "networks", "lightning_modules", "metrics", "stats"},
    "methods": {"study", "callbacks", "datamodules", "networks", "lightning_modules", "metrics", "stats", "report"},
    "tasks": {
        "methods", "study", "callbacks", "datamodules", "networks", "lightning_modules", "metrics", "stats", "report",
    },
    "hydra_plugins": {"study", "tasks", "callbacks"},
}  # fmt: skip
LINES, FILES = 350, 28


def modules(room: str) -> list[Path]:
    return sorted(path for path in (ROOT / room).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


ALL = {name_of(path): path for room in ROOMS for path in modules(room)}


def imported(path: Path, at_start: bool = False) -> Iterator[str]:
    """Modules of this project that a file imports; ``at_start``: only when it is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_start else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in ROOMS)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ROOMS:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in ALL else node.module


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    wrong = []
    for path in modules(room):
        for module in imported(path):
            other = module.split(".")[0]
            if other != room and other not in ROOMS[room]:
                wrong.append((name_of(path), module))
            if room == "methods" and other == "methods" and module.split(".")[1] != name_of(path).split(".")[1]:
                wrong.append((name_of(path), module))
    assert not wrong


def test_no_circle_of_imports() -> None:
    edges = {name: set(imported(path, at_start=True)) - {name} for name, path in ALL.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in sorted(edges.get(name, set())):
                visit(other, (*trail, name))
            done.add(name)

    for name in sorted(edges):
        visit(name, ())


def test_files_and_rooms_stay_small() -> None:
    long = {name: lines for name, path in ALL.items() if (lines := len(path.read_text().splitlines())) > LINES}
    assert not long
    folders = {path.parent for room in [*ROOMS, "tests"] for path in modules(room)}
    full = {str(folder): count for folder in folders if (count := len(list(folder.glob("*.py")))) > FILES}
    assert not full


def test_every_module_that_the_registry_names_exists() -> None:
    for task in TASKS:
        assert callable(task.load())
        assert all(hasattr(importlib.import_module(module), "read") for module in task.report)


def setting_defaults() -> dict[str, list[Any]]:
    """The defaults of every key of settings, by the last part of its name."""
    values: dict[str, list[Any]] = {}

    def walk(node: type[Any]) -> None:
        for field in dataclasses.fields(node):
            inner = settings_type(field.type)
            if inner is not None:
                walk(inner)
            elif default_of(field) not in ("???", None):
                values.setdefault(field.name, []).append(default_of(field))

    for node in (Common, Trainer, *settings_classes().values()):
        walk(node)
    return values


def yaml_defaults() -> dict[str, list[Any]]:
    """Values that files of conf/ give to the arguments of their ``_target_``."""
    values: dict[str, list[Any]] = {}
    for path in [*(ROOT / "conf" / "data").glob("*.yaml"), *(ROOT / "conf" / "classifier").glob("*.yaml")]:
        tree: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        for key, value in tree.items():
            if value not in (None, "???") and not isinstance(value, dict):
                values.setdefault(key, []).append(value)
    return values


BELOW = ("networks", "datamodules", "lightning_modules", "methods", "metrics", "stats")
# arguments that have another meaning than the setting of the same name, each with the reason
OTHER_MEANING = {
    "Poison.seed": "of the trigger; data.poison has its home here",
    "Poison.__init__.seed": "of the trigger; data.poison has its home here",
    "calibrated_threshold.seed": "of a simulation that is the same for every study",
    "mean_over_classes.seed": "of resamples that are the same for every study",
}


def signatures() -> Iterator[tuple[str, str, inspect.Parameter]]:
    """Every argument of every public function and class below the engine."""
    for room in BELOW:
        package = importlib.import_module(room)
        for info in pkgutil.walk_packages(package.__path__, f"{room}."):
            if info.name.endswith((".settings", "__main__")):
                continue
            module = importlib.import_module(info.name)
            for name, thing in vars(module).items():
                if getattr(thing, "__module__", None) != module.__name__ or not callable(thing):
                    continue
                methods = inspect.getmembers(thing, inspect.isfunction) if inspect.isclass(thing) else []
                for owner, function in [(name, thing), *((f"{name}.{key}", part) for key, part in methods)]:
                    try:
                        parameters = inspect.signature(function).parameters.values()
                    except (TypeError, ValueError):
                        continue
                    yield from ((info.name, owner, parameter) for parameter in parameters)


def same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def test_no_default_stands_in_two_places() -> None:
    homes = setting_defaults()
    for key, values in yaml_defaults().items():
        homes.setdefault(key, []).extend(values)
    twice = sorted(
        {
            f"{module}.{owner}({parameter.name}={parameter.default!r})"
            for module, owner, parameter in signatures()
            if parameter.default is not inspect.Parameter.empty
            and any(
                parameter.default == value and type(parameter.default) is type(value)
                for value in homes.get(parameter.name, [])
            )
            and f"{owner}.{parameter.name}" not in OTHER_MEANING
        }
    )
    assert not twice
