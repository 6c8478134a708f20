"""The help pages: what the program can do, and the keys of one task. Nothing here loads PyTorch: they are quick."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from study.settings.fields import Settings, default_of, expected, settings_type

COLUMN, WIDTH = 36, 120  # of the keys, of all
INTRODUCTION = """like-to-see: what do image classifiers like to see?

usage: python run.py [task=<task>] [group=choice ...] [key=value ...]

  python run.py                                            the whole study on built-in photographs (a laptop, minutes)
  python run.py experiment=smoke                           a minute: is the installation sound?
  python run.py task=ask classifier=torchvision/resnet50 images=/my/photos    one network, any images, no labels
  python run.py data=folder data.root=/data/pets study=pets               on your own images
  python run.py experiment=paper data.root=/data/imagenet                 the study of the paper (docs/imagenet.md)
  python run.py -m task=finetune classifier=alexnet_compact,vgg_compact   a sweep: one job each (docs/cluster.md)
"""
END = """
python run.py task=<task> --help prints the keys of a task; any key can be given with any task,
as finetune.epochs=4; keys of other steps have no effect on it.
python run.py --cfg job prints the whole configuration, --hydra-help the options of Hydra, and
eval "$(python run.py -sc install=bash)" completes names in the shell. The page: studies/<study>/report/index.html."""


def overview(groups: Mapping[str, Sequence[tuple[str, str]]], conf: Path) -> str:
    """The help page.

    Args:
        groups: By heading, the name of each task and a line about it.
        conf: The folder of the configuration groups.
    """
    lines = [INTRODUCTION]
    for heading, tasks in groups.items():
        lines += [f"{heading}:", *(f"  {name:<20}{about}" for name, about in tasks)]
    lines.append("Groups:")
    for folder in sorted(path for path in conf.rglob("*") if path.is_dir() and any(path.glob("*.yaml"))):
        name = str(folder.relative_to(conf))
        lines.append(folded(f"  {name}=", sorted(path.stem for path in folder.glob("*.yaml"))))
    return "\n".join(lines) + END


def folded(start: str, names: Sequence[str]) -> str:
    """Names behind a start, cut where a line is full: an ellipsis stands for what is left out."""
    shown, line = list(names), start + " | ".join(names)
    while len(line) > WIDTH:
        shown = shown[:-1]
        line = start + " | ".join(shown) + f" | … ({len(names)})"
    return line


def of_settings(key: str, settings: type[Settings]) -> str:
    """The keys of one node of settings, each with its default, its range and a line of help."""
    lines = []
    for field in fields(settings):  # type: ignore[arg-type]
        name, inner = f"{key}.{field.name}" if key else field.name, settings_type(field.type)
        default = default_of(field)
        if inner is not None and default is not None:
            lines.append(of_settings(name, inner))
            continue
        start, about = f"{name}={shown(default)}", f"{field.metadata['about']} ({expected(field)})"
        lines += [start] if len(start) > COLUMN - 2 else []
        lead = "" if len(start) > COLUMN - 2 else start
        lines += textwrap.wrap(about, WIDTH, initial_indent=f"{lead:<{COLUMN}}", subsequent_indent=" " * COLUMN)
    return "\n".join(lines)


def shown(value: Any) -> str:
    """A default as it is written on the command line."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(shown, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{shown(part)}" for name, part in value.items()) + "}"
    return str(value)
